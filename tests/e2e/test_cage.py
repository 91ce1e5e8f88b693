"""Decoders that do not answer, readers that do not read, heads that do not end: one server that bounds them all.

A decoder is stopped by a signal, as no file can be relied on to last. Everything else is the service as it runs.
"""

import asyncio
import os
import signal
import socket
import time
from contextlib import suppress
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest

from tests import bombs
from tests.e2e.raw import answer, connection, head
from tests.e2e.server import run_server
from tests.pictures import drawn, encoded

PICTURE = encoded(drawn(40, 40))
SETTINGS = {
    "DMSR_WEIGHTS_DEHAZE": "off",
    "DMSR_RUNNER_MAX_TILES": "4",
    "DMSR_SERVER_CODEC_THREADS": "1",
    "DMSR_SERVER_DRAIN_SECONDS": "1",
    "DMSR_SERVER_HEAD_SECONDS": "1",
    # A busy machine may think that two megapixels take an hour.
    "DMSR_QUEUE_DEADLINE_SECONDS": "1000000",
    "DMSR_QUEUE_MAX_DEADLINE_SECONDS": "1000000",
    "DMSR_LIMITS_ANSWER_SECONDS": "1",
    "DMSR_LIMITS_ANSWER_BYTES": "20000000",
}


@pytest.fixture(scope="module")
def caged(tiny_weights, tmp_path_factory):
    folder = tmp_path_factory.mktemp("caged")
    with run_server(folder, {"DMSR_WEIGHTS_DERAIN": str(tiny_weights), **SETTINGS}) as running:
        yield running


def children(pid):
    """Return the numbers of a process's children."""
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            if int(path.read_text().rpartition(")")[2].split()[1]) == pid:
                found.append(int(path.parent.name))
    return found


def codec_processes(server):
    """Return the numbers of those that decode: the children of the nursery, two of them."""
    give_up = time.monotonic() + 30
    while time.monotonic() < give_up:
        found = [child for nursery in children(server.process.pid) for child in children(nursery)]
        if len(found) == 2:
            return found
        time.sleep(0.05)
    raise AssertionError("the codec processes are not there")


def value(server, metric):
    lines = httpx.get(f"{server.url}/metrics").text.splitlines()
    return next(float(line.split()[-1]) for line in lines if line.startswith(metric + " "))


def until(true):
    give_up = time.monotonic() + 30
    while not true():
        assert time.monotonic() < give_up
        time.sleep(0.05)


def test_a_decoder_without_end_is_answered_at_the_deadline(caged):
    for pid in codec_processes(caged):
        os.kill(pid, signal.SIGSTOP)
    late = httpx.post(f"{caged.url}/derain", content=PICTURE, headers={"X-Request-Timeout": "1"}, timeout=60)
    assert (late.status_code, late.json()["type"]) == (504, "/problems/deadline-exceeded")
    assert 1 <= late.elapsed.total_seconds() < 20
    for pid in codec_processes(caged):
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGCONT)
    assert httpx.post(f"{caged.url}/derain", content=PICTURE, timeout=60).status_code == 200
    assert value(caged, 'dmsr_codec_deaths_total{reason="deadline"}') >= 1


def test_a_hang_up_ends_the_decoder(caged):
    before = value(caged, 'dmsr_codec_deaths_total{reason="cancelled"}')
    stopped = codec_processes(caged)
    for pid in stopped:
        os.kill(pid, signal.SIGSTOP)
    with connection(caged.url) as sock:
        sock.sendall(head("/derain", f"Content-Length: {len(PICTURE)}") + PICTURE)
        until(lambda: value(caged, 'dmsr_codec_processes{state="busy"}') == 1)
    until(lambda: value(caged, 'dmsr_codec_deaths_total{reason="cancelled"}') == before + 1)
    for pid in codec_processes(caged):
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGCONT)
    assert httpx.post(f"{caged.url}/derain", content=PICTURE, timeout=60).status_code == 200


@pytest.mark.parametrize("name", bombs.BOMBS)
def test_a_bomb_is_a_4xx_or_the_small_picture_that_it_is(caged, name):
    data = bombs.BOMBS[name]()
    answered = httpx.post(f"{caged.url}/derain", content=data, timeout=60)
    assert answered.status_code in (200, 422), answered.text
    assert value(caged, "dmsr_decoded_bytes") == 0
    assert httpx.get(f"{caged.url}/readyz").status_code == 200


def test_a_head_that_drips_is_cut_off(caged):
    with connection(caged.url) as sock, suppress(BrokenPipeError, ConnectionResetError):
        for byte in b"POST /derain HTTP/1.1\r\nX-Long: " + bytes(1000).replace(b"\0", b"a"):
            sock.sendall(bytes([byte]))
            time.sleep(0.1)
        raise AssertionError("it was read to its end")


def test_a_second_head_that_drips_is_cut_off(caged):
    with connection(caged.url) as sock:
        sock.sendall(head("/livez", method="GET"))
        received = b""
        while not received.endswith(b"alive\n"):
            received += sock.recv(65536)
        sock.sendall(b"GET /liv")
        assert answer(sock) == (0, b"")


def test_a_body_in_chunks_of_one_byte_is_cut_off(caged):
    sent = 0
    with connection(caged.url) as sock, suppress(BrokenPipeError, ConnectionResetError):
        sock.sendall(head("/derain", "Transfer-Encoding: chunked"))
        while sent < 8 << 20:
            sock.sendall(b"1\r\nx\r\n" * 10_000)
            sent += 10_000
        raise AssertionError("all of it was taken")


@pytest.mark.parametrize("size", [64, 1000, 100_000])
def test_a_body_in_chunks_of_a_usual_size_is_taken(caged, size):
    data = encoded(drawn(150, 150))
    chunks = (data[at : at + size] for at in range(0, len(data), size))
    assert httpx.post(f"{caged.url}/derain?format=jpeg", content=chunks, timeout=60).status_code == 200


def test_a_body_of_two_lengths_is_refused_and_the_connection_closed(caged):
    with connection(caged.url) as sock:
        sock.sendall(head("/derain", "Content-Length: 5", "Transfer-Encoding: chunked") + b"0\r\n\r\n")
        status, received = answer(sock)
    assert status == 400
    assert b"connection: close" in received.lower()


def test_a_reader_that_stands_still_is_cut_off_and_holds_nothing(caged):
    body = encoded(drawn(1400, 1400), "jpeg")
    address = urlsplit(caged.url)
    with socket.socket() as still:
        still.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        still.settimeout(60)
        still.connect((address.hostname, address.port))
        still.sendall(head("/derain?format=tiff&strength=0", f"Content-Length: {len(body)}") + body)
        received = still.recv(1024)
        length = int(received.lower().partition(b"content-length: ")[2].split()[0])
        assert httpx.post(f"{caged.url}/derain", content=PICTURE, timeout=60).status_code == 200
        until(lambda: value(caged, "dmsr_answer_bytes") == 0)
        time.sleep(2)  # nothing is read meanwhile, and what the kernel holds is all that is left
        _, rest = answer(still)
    assert value(caged, "dmsr_admitted_tiles") == 0
    assert len(received) + len(rest) < length


def test_sigterm_ends_with_decoders_that_do_not(tiny_weights, tmp_path):
    with run_server(tmp_path, {"DMSR_WEIGHTS_DERAIN": str(tiny_weights), **SETTINGS}) as server:
        for pid in codec_processes(server):
            os.kill(pid, signal.SIGSTOP)

        async def stop():
            async with httpx.AsyncClient(base_url=server.url, timeout=60) as client:
                posted = [asyncio.create_task(client.post("/derain", content=PICTURE)) for _ in range(4)]
                while (await client.get("/metrics")).text.find('processes{state="busy"} 2.0') < 0:  # noqa: ASYNC110
                    await asyncio.sleep(0.05)
                server.process.terminate()
                return await asyncio.gather(*posted)

        assert {answered.status_code for answered in asyncio.run(stop())} == {503}
        assert server.process.wait(30) == 0
        assert '"event": "stopped"' in server.log
        assert "Traceback" not in server.log
