"""Every row of the list of failures, by a real request to a real process."""

import signal
import struct
import threading
import zlib
from hashlib import sha256
from io import BytesIO

import httpx
import numpy as np
import pytest
from PIL import Image

from app.errors import causes
from tests.e2e.conftest import KEY
from tests.e2e.raw import answer, connection, head
from tests.e2e.server import run_server
from tests.pictures import drawn, encoded

PHOTO = encoded(drawn(64, 64))
HEIC = b"\0\0\0\x18ftypheic" + bytes(100)
SEE_THROUGH = encoded(np.dstack([drawn(64, 64), np.full((64, 64), 9, np.uint8)]))
DEEP = encoded(np.full((64, 64), 999, np.uint16))
FORM = {"content-type": "multipart/form-data"}


def png_header(width, height):
    """A PNG that is all header: it promises so many pixels and has none."""
    body = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + body + struct.pack(">I", zlib.crc32(body))


def flat(height, width):
    """A picture of many tiles and few bytes."""
    return encoded(np.zeros((height, width), np.uint8))


def two_pages():
    buffer, page = BytesIO(), Image.new("L", (64, 64))
    page.save(buffer, "tiff", save_all=True, append_images=[page])
    return buffer.getvalue()


def fax():
    buffer = BytesIO()
    Image.new("1", (64, 64)).save(buffer, "tiff", compression="group4")
    return buffer.getvalue()


# status, problem, and what is sent to the strict server to bring it about: path, body, headers
TABLE = [
    (400, "malformed-request", "/derain", b"", {}),
    (400, "malformed-request", "/derain", b"x", FORM),
    (401, "unauthorized", "/derain", PHOTO, {"x-api-key": "guess"}),
    (401, "unauthorized", "/metrics", None, {"x-api-key": ""}),
    (401, "unauthorized", "/nowhere", None, {"x-api-key": ""}),
    (403, "forbidden", "/derain", PHOTO, {"sec-fetch-site": "cross-site", "origin": "https://example.com"}),
    (403, "forbidden", "/livez", None, {"host": "rebound.example.com"}),
    (404, "not-found", "/nowhere", PHOTO, {}),
    (404, "not-found", "/derain/", PHOTO, {}),
    (404, "not-found", "/progress/no-such-id", None, {}),
    (405, "method-not-allowed", "/derain", None, {}),
    (405, "method-not-allowed", "/models", PHOTO, {}),
    (406, "not-acceptable", "/derain", PHOTO, {"accept": "text/html"}),
    (406, "not-acceptable", "/derain?format=jpeg", SEE_THROUGH, {}),
    (406, "not-acceptable", "/derain?format=webp", DEEP, {}),
    (406, "not-acceptable", "/derain", DEEP, {"accept": "image/jpeg"}),
    (413, "body-too-large", "/derain", bytes(100_001), {}),
    (413, "image-too-large", "/derain", png_header(401, 400), {}),
    (413, "image-too-large", "/derain", png_header(501, 2), {}),
    (413, "image-too-large", "/derain", png_header(60_000, 60_000), {}),
    (415, "not-an-image", "/derain", b"8BPS" + bytes(100), {}),
    (415, "compressed-body", "/derain", PHOTO, {"content-encoding": "gzip"}),
    (422, "undecodable-image", "/derain", HEIC, {}),
    (422, "undecodable-image", "/derain", b"GIF89a" + bytes(100), {}),
    (422, "undecodable-image", "/derain", PHOTO[:2000], {}),
    (422, "animated-image", "/derain", two_pages(), {}),
    (422, "unsupported-image", "/derain", fax(), {}),
    (422, "invalid-parameter", "/derain?format=gif", PHOTO, {}),
    (422, "invalid-parameter", "/derain?quality=0", PHOTO, {}),
    (422, "invalid-parameter", "/derain?quality=101", PHOTO, {}),
    (422, "invalid-parameter", "/derain?metadata=some", PHOTO, {}),
    (422, "invalid-parameter", "/derain?output=all", PHOTO, {}),
    (422, "invalid-parameter", "/derain?fromat=png", PHOTO, {}),
    (422, "invalid-parameter", "/derain", PHOTO, {"x-request-timeout": "soon"}),
    (422, "invalid-parameter", "/derain", PHOTO, {"x-request-timeout": "0"}),
    (422, "invalid-parameter", "/derain", PHOTO, {"x-request-timeout": "nan"}),
    (422, "invalid-parameter", "/derain", PHOTO, {"x-request-timeout": "3601"}),
    (500, "restoration-failed", "/dehaze", PHOTO, {}),
    (504, "deadline-exceeded", "/derain", PHOTO, {"x-request-timeout": "1e-9"}),
]
# Those that need more than one request: the tests below this table.
STAGED = {"body-timeout", "too-many-wrong-keys", "overloaded", "buffers-full", "task-unavailable"}
STAGED |= {"warming", "draining"}
# Those no request can bring about; tests/app/api/test_problems.py and tests/app/batching/test_engine.py do.
OUT_OF_REACH = {"internal-error", "device-lost"}


def check_problem(answer, status, slug):
    """What every problem is made of, and what none may tell."""
    assert (answer.status_code, answer.json()["type"]) == (status, f"/problems/{slug}"), answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert "default-src 'none'" in answer.headers["content-security-policy"]
    problem = answer.json()
    assert problem["status"] == status
    assert problem["title"]
    assert problem["detail"].endswith(".")
    assert problem["request_id"] == answer.headers["x-request-id"]
    assert not [word for word in ("Traceback", ".py", "/tmp", ".safetensors", "site-packages") if word in answer.text]
    return problem


@pytest.fixture
def strict(strict_server):
    with httpx.Client(base_url=strict_server.url, headers={"x-api-key": KEY}, timeout=60) as client:
        yield client


@pytest.mark.parametrize(
    ("status", "slug", "path", "body", "headers"),
    TABLE,
    ids=[f"{slug}-{number}" for number, (_, slug, *_) in enumerate(TABLE)],
)
def test_each_cause_has_its_status_and_type(strict, status, slug, path, body, headers):
    method = "GET" if body is None else "POST"
    problem = check_problem(strict.request(method, path, content=body, headers=headers), status, slug)
    if status == 413:
        assert problem["observed"] > problem["limit"]
    if slug == "invalid-parameter":
        assert problem["parameter"] in (*path.replace("?", "=").split("="), "x-request-timeout")
    if status == 405:
        assert strict.request(method, path).headers["allow"] == problem["allow"]


def test_the_table_is_whole():
    assert {kind.slug for kind in causes()} == {slug for _, slug, *_ in TABLE} | STAGED | OUT_OF_REACH


def test_a_body_that_stops_is_408(strict_server):
    with connection(strict_server.url) as sock:
        sock.sendall(head("/derain", f"X-API-Key: {KEY}", "Content-Length: 5000") + b"only this")
        status, received = answer(sock)
    assert status == 408
    assert b"/problems/body-timeout" in received
    assert b"connection: close" in received.lower()


def test_uploads_together_are_bounded(strict_server, strict):
    """Two bodies that each fit, and together do not: the second one is refused, and fits when the first is gone."""
    with connection(strict_server.url) as sock:
        sock.sendall(head("/derain", f"X-API-Key: {KEY}", "Content-Length: 95000", "Expect: 100-continue"))
        assert sock.recv(100).startswith(b"HTTP/1.1 100")
        sock.sendall(bytes(90_000))
        refused = check_problem(strict.post("/derain", content=bytes(90_000)), 503, "buffers-full")
        assert refused["retry_after_seconds"] >= 1
    assert strict.post("/derain", content=bytes(90_000)).status_code == 415


def test_a_full_queue_is_429_and_says_when(strict):
    large = flat(401, 398)  # 72 of the 185 tiles that may wait

    def post_one(name):
        with httpx.Client(base_url=strict.base_url, headers=strict.headers, timeout=60) as one:
            answers.append(one.post("/derain?scale=1", content=large, headers={"x-request-id": name}))

    answers = []
    posting = [threading.Thread(target=post_one, args=[name]) for name in ("first", "second")]
    for thread in posting:
        thread.start()
    for thread, name in zip(posting, ("first", "second"), strict=True):
        while not (progress := strict.get(f"/progress/{name}")).is_success or not progress.json()["tiles_total"]:
            assert thread.is_alive()
    third = strict.post("/derain", content=large)  # which may need 116
    for thread in posting:
        thread.join()
    problem = check_problem(third, 429, "overloaded")
    assert int(third.headers["retry-after"]) == problem["retry_after_seconds"] >= 1
    assert [answer.status_code for answer in answers] == [200, 200]
    assert progress.json()["tiles_total"] == 72
    assert strict.get("/progress/first").status_code == 404


def test_callers_who_guess_keys_or_take_too_much_are_429(slow_weights, tmp_path):
    """The address comes from the proxy, which is this machine's."""
    (tmp_path / "keys").write_text(f"{sha256(KEY.encode()).hexdigest()}\n")
    environment = {
        "DMSR_WEIGHTS_DERAIN": str(slow_weights),
        "DMSR_WEIGHTS_DEHAZE": "off",
        "DMSR_AUTH_KEYS_FILE": str(tmp_path / "keys"),
        "DMSR_AUTH_WRONG_KEYS": "2",
        "DMSR_QUEUE_CALLER_REQUESTS": "1",
    }
    with run_server(tmp_path, environment) as server:
        with httpx.Client(base_url=server.url, headers={"x-forwarded-for": "192.0.2.1"}) as client:
            for _ in range(2):
                check_problem(client.get("/models", headers={"x-api-key": "guess"}), 401, "unauthorized")
            locked = client.get("/models", headers={"x-api-key": KEY})
            assert 1 <= check_problem(locked, 429, "too-many-wrong-keys")["retry_after_seconds"] <= 60
            assert locked.headers["retry-after"]
            assert client.get("/livez").status_code == 200
        with (
            httpx.Client(base_url=server.url, headers={"x-api-key": KEY}, timeout=60) as client,
            connection(server.url) as sock,
        ):
            sock.sendall(head("/derain", f"X-API-Key: {KEY}", f"Content-Length: {len(PHOTO)}"))
            while (second := client.post("/derain", content=PHOTO)).is_success:
                pass  # the head has not arrived yet
            assert check_problem(second, 429, "overloaded")["limit"] == 1
            assert client.get("/metrics").text.count('dmsr_refusals_total{reason="caller",task="derain"} 1.0') == 1
            sock.sendall(PHOTO)
            assert sock.recv(100).startswith(b"HTTP/1.1 200")


def test_no_weights_is_503(client):
    check_problem(client.post("/dehaze", content=PHOTO), 503, "task-unavailable")


def test_warming_and_draining_are_503(slow_weights, tmp_path):
    """At its start the service lives and takes no work; when it stops it finishes what it has and takes no more."""
    environment = {
        "DMSR_WEIGHTS_DERAIN": str(slow_weights),
        "DMSR_WEIGHTS_DEHAZE": "off",
        "DMSR_RUNNER_MAX_TILES": "2",
    }
    with run_server(tmp_path, environment, wait_for="/livez") as server, httpx.Client(base_url=server.url) as client:
        check_problem(client.post("/derain", content=PHOTO), 503, "warming")
        assert client.get("/readyz").status_code == 503
        while client.get("/readyz").status_code != 200:
            assert server.process.poll() is None
        answers = []
        posting = threading.Thread(
            target=lambda: answers.append(httpx.post(f"{server.url}/derain", content=flat(100, 100), timeout=60))
        )
        posting.start()
        while 'dmsr_queue_jobs{task="derain"} 1.0' not in client.get("/metrics").text:
            assert posting.is_alive()
        server.process.send_signal(signal.SIGTERM)
        while client.get("/readyz").text != "draining\n":
            assert posting.is_alive()
        refused = client.post("/derain", content=PHOTO)
        check_problem(refused, 503, "draining")
        assert int(refused.headers["retry-after"]) >= 1
        posting.join()
        assert answers[0].status_code == 200
        assert server.process.wait(30) == 0


def test_the_open_paths_need_no_key(strict_server):
    assert httpx.get(f"{strict_server.url}/livez").status_code == 200
    assert httpx.get(f"{strict_server.url}/readyz").status_code == 200


@pytest.mark.parametrize("headers", [{"authorization": f"Bearer {KEY}"}, {"authorization": f"bearer {KEY}"}])
def test_a_bearer_token_is_a_key_too(strict_server, headers):
    assert httpx.get(f"{strict_server.url}/metrics", headers=headers).status_code == 200


def test_pages_of_the_origin_that_is_set_may_call(strict_server):
    """A preflight needs no key; a page of another origin gets no leave."""
    ask = {"access-control-request-method": "POST", "access-control-request-headers": "x-api-key"}
    own = httpx.options(f"{strict_server.url}/derain", headers={"origin": "https://example.org"} | ask)
    assert own.status_code == 200
    assert own.headers["access-control-allow-origin"] == "https://example.org"
    other = httpx.options(f"{strict_server.url}/derain", headers={"origin": "https://example.com"} | ask)
    assert "access-control-allow-origin" not in other.headers
    refused = httpx.post(f"{strict_server.url}/derain", headers={"origin": "https://example.org"})
    assert refused.status_code == 401
    assert refused.headers["access-control-allow-origin"] == "https://example.org"


@pytest.mark.parametrize("name", ["traceparent", "X-Request-Timeout", "X-Request-ID", "Authorization", "Content-Type"])
def test_a_preflight_for_a_header_of_the_docs_is_granted(strict_server, name):
    asked = {"access-control-request-method": "POST", "access-control-request-headers": name.lower()}
    answer = httpx.options(f"{strict_server.url}/derain", headers={"origin": "https://example.org"} | asked)
    assert answer.status_code == 200
    assert name.lower() in answer.headers["access-control-allow-headers"].lower()


def test_a_page_of_the_web_may_call_a_service_at_home_if_it_is_named(strict_server):
    asked = {"access-control-request-method": "POST", "access-control-request-private-network": "true"}
    answer = httpx.options(f"{strict_server.url}/derain", headers={"origin": "https://example.org"} | asked)
    assert (answer.status_code, answer.headers["access-control-allow-private-network"]) == (200, "true")


def test_a_missing_network_is_no_matter_of_coming_back(client):
    answer = client.post("/dehaze", content=PHOTO)
    assert answer.json()["type"] == "/problems/task-unavailable"
    assert "retry-after" not in answer.headers


def test_a_time_that_cannot_suffice_is_told_as_such(client):
    answer = client.post("/derain", content=PHOTO, headers={"x-request-timeout": "0.0001"})
    problem = check_problem(answer, 504, "deadline-exceeded")
    assert "retry-after" not in answer.headers
    assert " 0 s" not in problem["detail"]
