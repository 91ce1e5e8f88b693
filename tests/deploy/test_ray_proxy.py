"""What stands around Serve's proxy, with an application in Serve's place that answers as it does."""

import asyncio

import httpx
import pytest
from starlette.responses import PlainTextResponse

from app.middleware.safe_headers import SafeHeaders
from deploy.ray.proxy import middlewares


def ask(app):
    """GET / through the middlewares; like Serve, name the request if the caller has not."""

    async def serve(scope, receive, send):
        scope["headers"] = [*scope["headers"], (b"x-request-id", b"abc")]
        await app(scope, receive, send)

    wrapped = serve
    for middleware in middlewares():
        wrapped = middleware.cls(wrapped)

    async def get():
        async with httpx.AsyncClient(transport=httpx.ASGITransport(wrapped), base_url="http://serve") as client:
            return await client.get("/")

    return asyncio.run(get())


async def silent(scope, receive, send):
    """What Serve does when the replica that held the request has died."""


@pytest.mark.parametrize("app", [silent, PlainTextResponse("no replica", 503), PlainTextResponse("oh", 500)])
def test_a_lost_ingress_is_a_503_with_the_time_to_come_back(app):
    answer = ask(app)
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "5")
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.headers.get_list("x-request-id") == ["abc"]
    assert answer.json()["request_id"] == "abc"
    assert answer.headers["x-content-type-options"] == "nosniff"


def test_too_many_callers_are_a_429_with_the_time_to_come_back():
    answer = ask(PlainTextResponse("dropped", 429, {"retry-after": "5"}))
    assert (answer.status_code, answer.headers["retry-after"]) == (429, "5")
    assert answer.json()["type"] == "/problems/overloaded"


@pytest.mark.parametrize("status", [200, 404, 429, 500, 503])
def test_an_answer_of_the_service_passes_with_one_request_id(status):
    ids = [("x-request-id", "abc"), ("x-request-id", "abc")]
    response = PlainTextResponse("mine", status)
    response.raw_headers += [(name.encode(), value.encode()) for name, value in ids]
    answer = ask(SafeHeaders(response))
    assert (answer.status_code, answer.text) == (status, "mine")
    assert answer.headers.get_list("x-request-id") == ["abc"]
