"""The picture out of a body: forms, JSON and bytes, whole and torn."""

import asyncio
import json
import threading
import time
import tracemalloc
from base64 import b64encode, urlsafe_b64encode
from contextlib import suppress

import pytest
from starlette.requests import Request

from app.api.body import _beside_the_loop, _read_form, read_upload
from app.errors import CompressedBody, MalformedRequest

PICTURE = bytes(range(256)) * 40 + b"\r\n--b\r--bound\r\n"
FORM = "multipart/form-data; boundary=bound"


def read(body, content_type, **headers):
    """Read a body that comes in pieces, as from the network."""
    pieces = [body[at : at + 1000] for at in range(0, len(body), 1000)]

    async def receive():
        return {"type": "http.request", "body": pieces.pop(0) if pieces else b"", "more_body": bool(pieces)}

    lines = {"content-type": content_type, **headers}
    scope = {
        "type": "http",
        "headers": [(name.replace("_", "-").encode(), value.encode()) for name, value in lines.items()],
    }
    return asyncio.run(read_upload(Request(scope, receive)))


def part(name, content, more=""):
    return (
        b'--bound\r\nContent-Disposition: form-data; name="%s"%s\r\n\r\n' % (name.encode(), more.encode())
        + content
        + b"\r\n"
    )


def form(*parts):
    return b"".join(parts) + b"--bound--\r\n"


@pytest.mark.parametrize(
    "body",
    [
        form(part("file", PICTURE, '; filename="a b.jpg"')),
        form(part("file", PICTURE)),
        b"a preamble\r\n" + form(part("file", PICTURE)) + b"an epilogue",
        form(part("file", b"", '; filename=""'), part("file", PICTURE, '; filename="a b.jpg"')),
        form(part("file", PICTURE)).replace(b"--bound\r\nContent-D", b"--bound  \r\nCONTENT-d"),
        form(part("file", PICTURE))[:-2],
    ],
    ids=["named", "unnamed", "preamble", "an empty part beside it", "odd head", "no last line end"],
)
def test_the_picture_is_taken_out_of_a_form(body):
    assert read(body, FORM).picture == PICTURE


def test_a_form_brings_the_name_of_the_file_and_options():
    upload = read(
        form(part("format", b"jpeg"), part("file", b"x", '; filename="a b.jpg"'), part("quality", b"50")), FORM
    )
    assert (upload.filename, upload.fields) == ("a b.jpg", {"format": "jpeg", "quality": "50"})


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (form(part("file", PICTURE))[:5000], "cut off"),
        (form(part("file", PICTURE))[:40], "cut off"),
        (form(part("file", PICTURE))[:-4], "cut off"),
        (form(part("file", b"", '; filename=""')), "No file was chosen"),
        (form(part("file", b"", '; filename=""'), part("format", b"png")), "No file was chosen"),
        (form(part("picture", PICTURE)), "it has: picture"),
        (form(), "it has: none"),
        (form(part("file", b"a"), part("file", b"b")), "2 parts"),
        (form(part("file", b"a"), part("format", b"b"), part("format", b"b")), "several parts named 'format'"),
        (form(*[part(str(number), b"") for number in range(17)]), "more than 16 parts"),
        (b"no form at all", "boundary"),
        (form(part("file", PICTURE)).replace(b"\r\n", b"\n"), "end in LF"),
        (b"", "empty"),
    ],
)
def test_the_words_say_what_is_wrong_with_a_form(body, words):
    with pytest.raises(MalformedRequest, match=words):
        read(body, FORM)


def test_what_is_nearly_the_boundary_costs_little():
    body = form(part("file", b"\r\n--boundx" * 500_000))
    begun = time.process_time()
    with pytest.raises(MalformedRequest, match="inside"):
        read(body, FORM)
    assert time.process_time() - begun < 1


@pytest.mark.parametrize("boundary", ["", "b" * 71, "b" * 300])
def test_a_boundary_is_as_long_as_the_rfc_says(boundary):
    with pytest.raises(MalformedRequest, match="1 to 70"):
        read(form(part("file", PICTURE)), f"multipart/form-data; boundary={boundary}")


@pytest.mark.parametrize("boundary", [b"b", b"ab" * 35, b"-" * 70])
@pytest.mark.parametrize("filling", ["near", "dashes", "line ends", "padding"])
def test_a_form_of_false_boundaries_is_read_once(boundary, filling):
    """8 MB of whatever looks like the boundary; twice as much may not take four times as long."""
    delimiter = b"\r\n--" + boundary
    false = {"near": delimiter[:-1] + b"\0", "dashes": b"-x", "line ends": b"\r\n--", "padding": b" "}[filling]

    def seconds(size):
        content = false * (size // len(false))
        body = delimiter[2:] + b'\r\nContent-Disposition: form-data; name="file"\r\n\r\n' + content + delimiter + b"--"
        begun = time.process_time()
        with suppress(MalformedRequest):
            _read_form(body, boundary)
        return time.process_time() - begun

    assert min(seconds(8 << 20) for _ in range(3)) < 3 * min(seconds(4 << 20) for _ in range(3)) + 0.05


def test_a_large_body_is_parsed_beside_the_loop():
    """What the loop does meanwhile goes on: it is asked from the thread that parses."""
    seen = []

    async def run():
        loop = asyncio.get_running_loop()

        def parse(body):
            seen.append(threading.current_thread() is threading.main_thread())
            asyncio.run_coroutine_threadsafe(asyncio.sleep(0), loop).result(60)

        await _beside_the_loop(parse, bytes(2 << 20))
        await _beside_the_loop(lambda body: seen.append(threading.current_thread() is threading.main_thread()), b"")

    asyncio.run(run())
    assert seen == [False, True]


def test_spaces_in_base64_cost_nothing():
    """A list of sixteen million pieces would take half a gigabyte."""
    body = b'{"data":"' + b"A " * (4 << 20) + b'"}'
    tracemalloc.start()
    try:
        assert read(body, "application/json").picture == bytes(3 << 20)
        assert tracemalloc.get_traced_memory()[1] < 8 * len(body)
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(
    "data",
    [
        b64encode(PICTURE).decode(),
        urlsafe_b64encode(PICTURE).decode().rstrip("="),
        "data:image/jpeg;base64," + b64encode(PICTURE).decode(),
        " DATA:image/jpeg;name=a;Base64," + b64encode(PICTURE).decode(),
        "\n".join(b64encode(PICTURE).decode()[at : at + 76] for at in range(0, 20_000, 76)),
    ],
    ids=["plain", "url-safe", "data URL", "another data URL", "lines"],
)
def test_the_picture_is_taken_out_of_json(data):
    upload = read(
        json.dumps({"data": data, "filename": "a.jpg", "format": "jpeg"}).encode(), "application/json; charset=utf-8"
    )
    assert (upload.picture, upload.filename, upload.fields) == (PICTURE, "a.jpg", {"format": "jpeg"})


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"{", "cannot be read"),
        (b"[1]", "object"),
        (b'{"picture": "aaaa"}', "as 'data'"),
        (b'{"data": 5}', "as 'data'"),
        (b'{"data": "not base64!"}', "not base64"),
        (b'{"data": "\xc3\xa9"}', "not base64"),
        (b'{"data": ""}', "empty"),
        (b'{"data": "YQ==", "data": "Yg=="}', "several members named 'data'"),
        (b'{"data": "YQ==", "format": "png", "format": "jpeg"}', "several members named 'format'"),
        (b"[" * 100_000, "far more members"),
        (b'{"data": "", "a": [' + b"{}," * 1_000_000, "far more members"),
    ],
)
def test_the_words_say_what_is_wrong_with_json(body, words):
    with pytest.raises(MalformedRequest, match=words):
        read(body, "application/json")


@pytest.mark.parametrize("coding", ["gzip", "br", "GZIP", "identity, zstd"])
def test_a_content_encoding_is_refused_by_name(coding):
    with pytest.raises(CompressedBody, match=coding.split()[-1].lower()):
        read(PICTURE, "image/jpeg", content_encoding=coding)


def test_every_line_and_every_part_is_asked_for_its_encoding():
    lines = [(b"content-encoding", b"identity"), (b"content-encoding", b"gzip")]
    with pytest.raises(CompressedBody, match="gzip"):
        asyncio.run(read_upload(Request({"type": "http", "headers": lines})))
    for header in (b"Content-Encoding: gzip", b"Content-Transfer-Encoding: BASE64"):
        with pytest.raises(CompressedBody, match=header.split()[1].decode().lower()):
            read(form(part("file", PICTURE).replace(b"\r\n\r\n", b"\r\n" + header + b"\r\n\r\n")), FORM)


@pytest.mark.parametrize(
    ("body", "kind", "words"),
    [
        (b"file=photo.jpg", "application/x-www-form-urlencoded", "text alone"),
        (b"data=iVBORw0KGgo%3D&format=png", "application/x-www-form-urlencoded; charset=utf-8", "text alone"),
        (form(part("file", PICTURE)), "multipart/mixed; boundary=bound", "multipart/mixed; a form is"),
        (form(part("file", PICTURE)), "multipart/related; boundary=bound", "multipart/related; a form is"),
    ],
)
def test_forms_of_other_kinds_are_told_which_is_meant(body, kind, words):
    with pytest.raises(MalformedRequest, match=words):
        read(body, kind)


def test_a_picture_is_one_whatever_curl_calls_it():
    assert read(PICTURE, "application/x-www-form-urlencoded").picture == PICTURE


@pytest.mark.parametrize("kind", ["text/json", "application/vnd.example+json", "Application/JSON;charset=utf-8"])
def test_json_by_its_other_names(kind):
    assert read(b'{"data": "YWJj"}', kind).picture == b"abc"


def test_no_encoding_by_name_is_none():
    assert read(PICTURE, "image/jpeg", content_encoding="identity").picture == PICTURE
