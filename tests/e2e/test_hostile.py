"""Callers who mean harm, or do not know what they do: each is refused in bounded time and costs the others nothing."""

import json
import resource
import statistics
import time
from contextlib import ExitStack

import httpx
import pytest

from tests.e2e.conftest import KEY
from tests.e2e.raw import answer, connection, head
from tests.pictures import drawn, encoded

CHUNK = b"8000\r\n" + bytes(0x8000) + b"\r\n"


def begin(path="/derain", *headers):
    return head(path, f"X-API-Key: {KEY}", *headers)


@pytest.mark.parametrize("declared", [100_001, 10 * 2**30, 10**19])
def test_a_body_that_says_it_is_too_large_is_refused_before_it_comes(strict_server, declared):
    with connection(strict_server.url) as sock:
        started = time.monotonic()
        sock.sendall(begin("/derain", f"Content-Length: {declared}"))
        status, received = answer(sock)
    assert status == 413
    assert b"100 Continue" not in received
    assert time.monotonic() - started < 2


def pour(sock):
    """Send chunks for as long as anybody takes them, and return how many bytes that were."""
    sent, started = 0, time.monotonic()
    while time.monotonic() - started < 10:
        try:
            sock.sendall(CHUNK)
        except (BrokenPipeError, ConnectionResetError):
            return sent
        sent += len(CHUNK)
    raise AssertionError(f"{sent} bytes were taken, and nobody hung up")


@pytest.mark.parametrize("path", ["/derain", "/nowhere", "/derain?format=gif"])
def test_a_body_without_end_is_cut_off(strict_server, path):
    """Chunk after chunk until the server has had enough: an answer, and nobody listens any more."""
    with connection(strict_server.url) as sock:
        sock.sendall(begin(path, "Transfer-Encoding: chunked"))
        assert pour(sock) < 64 * 2**20


def test_a_body_that_drips_is_given_one_deadline_in_all(strict_server):
    """Each byte comes in time, and the whole does not."""
    started = time.monotonic()
    with connection(strict_server.url, timeout=0.3) as sock:
        sock.sendall(begin("/derain", "Content-Length: 1000"))
        while time.monotonic() - started < 10:
            sock.sendall(b"x")
            try:
                received = sock.recv(65536)
                break
            except TimeoutError:
                continue
    assert received.startswith(b"HTTP/1.1 408")
    assert time.monotonic() - started < 5


@pytest.mark.parametrize("junk", [b"\x16\x03\x01\x02\x00\x01\x00", b"GET\r\n\r\n", b"GET / HTTP/1.1\r\n: x\r\n\r\n"])
def test_what_is_not_http_is_400_and_closed(strict_server, junk):
    with connection(strict_server.url) as sock:
        sock.sendall(junk + b"\r\n\r\n")
        status, _ = answer(sock)
    assert status == 400


def test_heads_without_end_are_400_and_closed(strict_server):
    with connection(strict_server.url) as sock:
        sock.sendall(b"GET /livez HTTP/1.1\r\nHost: localhost\r\n" + b"X-Long: " + bytes(70_000).replace(b"\0", b"a"))
        status, _ = answer(sock)
    assert status == 400


def test_a_form_of_a_million_parts_is_refused_soon(strict_server):
    part = b"--b\r\n\r\n\r\n"
    body = part * (90_000 // len(part)) + b"--b--"
    headers = {"x-api-key": KEY, "content-type": "multipart/form-data; boundary=b"}
    refused = httpx.post(f"{strict_server.url}/derain", content=body, headers=headers)
    assert refused.status_code == 400
    assert refused.json()["limit"] == 16
    assert refused.elapsed.total_seconds() < 2


def test_who_hangs_up_in_the_middle_of_a_body_is_no_fault_of_ours(strict_server):
    with connection(strict_server.url) as sock:
        sock.sendall(begin("/derain", "Content-Length: 5000", "X-Request-ID: hung-up", "Expect: 100-continue"))
        assert sock.recv(100).startswith(b"HTTP/1.1 100")
        sock.sendall(b"so much and no more")
    give_up = time.monotonic() + 10
    while '"request_id": "hung-up"' not in strict_server.log:
        assert time.monotonic() < give_up
        httpx.get(f"{strict_server.url}/livez")
    (line,) = [json.loads(line) for line in strict_server.log.splitlines() if "hung-up" in line]
    assert (line["status"], line["outcome"], line["level"]) == (499, "cancelled", "info")


def latency_seconds(client, count):
    """Return the median time of a small picture."""
    body, times = encoded(drawn(32, 32)), []
    for _ in range(count):
        started = time.perf_counter()
        assert client.post("/derain", content=body).status_code == 200
        times.append(time.perf_counter() - started)
    return statistics.median(times)


@pytest.mark.slow
def test_two_thousand_silent_connections_slow_nobody_down(server, client):
    """Half of them say nothing, half stop in the middle of a head; others wait at most half as long again."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 8192), hard))
    try:
        before = latency_seconds(client, 100)
        with ExitStack() as silent:
            for number in range(2000):
                sock = silent.enter_context(connection(server.url))
                if number % 2:
                    sock.sendall(b"POST /derain HTTP/1.1\r\nHost: te")
            during = latency_seconds(client, 100)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    print(f"median {1000 * before:.1f} ms alone, {1000 * during:.1f} ms among them")  # noqa: T201 - for the log
    assert during < 1.5 * before
