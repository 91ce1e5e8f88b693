"""Readers who ask for a picture and then stand still, a thousand real connections; and what is left for the others."""

import asyncio
import resource
import socket
import time
from collections import Counter
from urllib.parse import urlsplit

import httpx

from benchmarks import scrape
from benchmarks.pictures import drawn, encoded
from benchmarks.process_tree import Watch, held_bytes

# An answer of about a megabyte. On a loopback's segments of 64 kB the kernel would take all of it; on those of a
# network, and with a small window at the other end, it takes tens of kilobytes.
_SIDE = 640
_WINDOW_BYTES, _SEGMENT_BYTES = 4096, 536
# Askers at once; more would only wait for each other.
_ASKERS = 8


async def stand_still(url: str, pid: int, count: int, limit_bytes: int, seconds: float) -> dict[str, object]:
    """Let so many readers take an answer's first bytes and no more; measure memory and the rate of small pictures.

    limit_bytes: what the service may hold of answers. seconds: for which the others are counted alone, and again when
    all readers stand.
    """
    upload = encoded(drawn(_SIDE, _SIDE), "jpeg", quality=90)
    readers: list[socket.socket] = []
    async with httpx.AsyncClient(base_url=url, timeout=120) as client:
        alone = await _small_pictures(client, seconds)
        idle, most_counted = held_bytes(pid), 0.0
        with Watch(lambda: held_bytes(pid), 0.1) as watch:
            asking = asyncio.create_task(_ask(url, upload, count, readers))
            while not asking.done():
                most_counted = max(most_counted, await scrape.total(client, "dmsr_answer_bytes"))
                await asyncio.sleep(0.2)
            await asking
            beside = await _small_pictures(client, seconds)
            most_counted = max(most_counted, await scrape.total(client, "dmsr_answer_bytes"))
        given_up = await scrape.total(client, "dmsr_answers_given_up_total")
        for reader in readers:
            reader.close()
    return {
        "readers": len(readers),
        "answers_given_up": int(given_up),
        "limit_bytes": limit_bytes,
        "answer_bytes_at_most": int(most_counted),
        "memory_over_idle_bytes": watch.peak - idle,
        "alone": alone,
        "beside": beside,
        "pictures_of_those_alone": round(beside["pictures_per_second"] / alone["pictures_per_second"], 2),
    }


async def _ask(url: str, upload: bytes, count: int, readers: list[socket.socket]) -> None:
    """Open connections, ask on each, and wait until its answer begins to come, of which nothing is read."""
    left = iter(range(count))

    async def ask() -> None:
        for _ in left:
            readers.append(await _reader(url, upload))

    await asyncio.gather(*(ask() for _ in range(_ASKERS)))


async def _reader(url: str, upload: bytes) -> socket.socket:
    address, loop = urlsplit(url), asyncio.get_running_loop()
    reader = socket.socket()
    reader.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _WINDOW_BYTES)
    reader.setsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG, _SEGMENT_BYTES)
    reader.setblocking(False)
    await loop.sock_connect(reader, (address.hostname, address.port))
    head = "POST /derain?format=tiff&strength=0 HTTP/1.1\r\nHost: localhost\r\n"
    await loop.sock_sendall(reader, f"{head}Content-Length: {len(upload)}\r\n\r\n".encode() + upload)
    begun = loop.create_future()
    loop.add_reader(reader, lambda: begun.done() or begun.set_result(None))
    try:
        await begun
    finally:
        loop.remove_reader(reader)
    return reader


async def _small_pictures(client: httpx.AsyncClient, seconds: float) -> dict[str, object]:
    small, statuses, slowest = encoded(drawn(64, 64)), Counter(), 0.0
    start = time.perf_counter()
    while time.perf_counter() - start < seconds:
        asked = time.perf_counter()
        statuses[str((await client.post("/derain?scale=1", content=small)).status_code)] += 1
        slowest = max(slowest, time.perf_counter() - asked)
    rate = statuses["200"] / (time.perf_counter() - start)
    return {"statuses": dict(statuses), "pictures_per_second": round(rate, 2), "slowest_seconds": round(slowest, 3)}


def allow_files(count: int) -> None:
    """Let this process, and the service that it will start, have so many files open."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < count:
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(count, hard), hard))
