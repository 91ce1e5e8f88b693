"""Requests drawn from our own OpenAPI document: what it promises must be so."""

from functools import partial

import httpx
import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from schemathesis import Case, GenerationMode, checks

from app.api.openapi import READ_MEDIA_TYPES
from tests.pictures import drawn, encoded

# /dehaze is left out: the server has no weights for it and says so with 503. The code of both routes is one.
RESTORE = ("/derain", "POST")
OPERATIONS = [
    RESTORE,
    *((path, "GET") for path in ("/models", "/progress/{request_id}", "/livez", "/readyz", "/metrics")),
]
# A time too short for any work is allowed, and the checks would take its answer, 504, for a fault of the server.
HEADERS = {"X-Request-Timeout": "60"}
SERVER_CHECKS = [
    checks.not_a_server_error,
    checks.status_code_conformance,
    checks.content_type_conformance,
    checks.response_schema_conformance,
]
RUN = settings(max_examples=25, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))


def pictures(format):
    """Draw real pictures that every format can hold."""
    sizes = st.tuples(st.integers(1, 90), st.integers(1, 90), st.integers(0, 3))
    return sizes.map(lambda size: encoded(drawn(*size), format))


for media_type in READ_MEDIA_TYPES:
    schemathesis.openapi.media_type(media_type, pictures(media_type.removeprefix("image/")))
schemathesis.openapi.format("picture", st.sampled_from(["png", "jpeg", "webp"]).flatmap(pictures))


def with_body(document, media_types, others=None):
    """Change which bodies the document says /derain takes."""
    post = document["paths"]["/derain"]["post"]
    content = {name: post["requestBody"]["content"][name] for name in media_types} | (others or {})
    post = post | {"requestBody": post["requestBody"] | {"content": content}}
    return document | {"paths": document["paths"] | {"/derain": {"post": post}}}


@pytest.fixture(scope="module")
def document(server):
    return httpx.get(f"{server.url}/openapi.json").json()


@pytest.fixture
def of_pictures(document):
    """The document with real pictures for a body."""
    form = {"type": "object", "required": ["file"], "properties": {"file": {"type": "string", "format": "picture"}}}
    form["additionalProperties"] = False
    return with_body(document, READ_MEDIA_TYPES, {"multipart/form-data": {"schema": form}})


@pytest.fixture
def of_bytes(document):
    """The document with any bytes for a body, bare and in a form."""
    return with_body(document, ("application/octet-stream", "multipart/form-data"))


def run(document, server, operation, mode, use):
    """Draw requests for one operation, send each to the server and look at the answer."""
    path, method = operation
    cases = schemathesis.openapi.from_dict(document)[path][method].as_strategy(generation_mode=mode)

    @RUN
    @given(cases)
    def send(case):
        use(case, base_url=server.url, headers=HEADERS)

    send()


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda operation: operation[0])
def test_pictures_are_answered_as_the_document_says(of_pictures, server, operation):
    """With real pictures wherever the document says bytes, every check holds."""
    run(of_pictures, server, operation, GenerationMode.POSITIVE, Case.call_and_validate)


def test_what_the_document_forbids_is_refused(of_pictures, server):
    post = of_pictures["paths"]["/derain"]["post"]
    # Each request's own time is overwritten by HEADERS, so a wrong one would never arrive.
    post = post | {"parameters": [told for told in post["parameters"] if told["name"] != "x-request-timeout"]}
    of_pictures = of_pictures | {"paths": of_pictures["paths"] | {"/derain": {"post": post}}}
    run(of_pictures, server, RESTORE, GenerationMode.NEGATIVE, Case.call_and_validate)


def test_any_bytes_are_answered_as_the_document_says(of_bytes, server):
    run(of_bytes, server, RESTORE, GenerationMode.POSITIVE, partial(Case.call_and_validate, checks=SERVER_CHECKS))
