"""How soon work ends that nobody waits for any more: at its deadline, at a hang-up, at SIGTERM.

A decoder without end is one that is stopped by a signal, as no file can be relied on to last.
"""

import asyncio
import os
import signal
import socket
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from urllib.parse import urlsplit

import httpx

from benchmarks.pictures import drawn, encoded
from benchmarks.process_tree import tree
from benchmarks.service import serving

Upload = tuple[bytes, Mapping[str, str]]

DEADLINE_SECONDS, DRAIN_SECONDS = 2.0, 3.0
_LOOK_SECONDS = 0.005
_PATIENCE_SECONDS = 60.0


def decoders(pid: int) -> list[int]:
    """Return the numbers of a service's codec processes: the children of its nursery."""
    members = tree(pid)
    nurseries = [child for child, fields in members.items() if int(fields[1]) == pid]
    return [child for child, fields in members.items() if int(fields[1]) in nurseries]


@contextmanager
def stopped(pids: Sequence[int]) -> Iterator[None]:
    """Stop processes while the block runs."""
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for pid in pids:
            with suppress(ProcessLookupError):  # those that were killed meanwhile
                os.kill(pid, signal.SIGCONT)


def huge() -> bytes:
    """Return a sound picture of 24 megapixels, which takes minutes to restore."""
    return encoded(drawn(4000, 6000), "jpeg", quality=90)


async def deadlines(client: httpx.AsyncClient, pid: int, uploads: Mapping[str, Upload]) -> dict[str, object]:
    """Send each file with two seconds to go, and one more to decoders that do not move; see when answers come."""
    rows = {}
    for name, (body, headers) in uploads.items():
        rows[name] = await _timed(client, body, headers)
    with stopped(decoders(pid)):
        rows["decoders that do not move"] = await _timed(client, encoded(drawn(64, 64)), {})
    return {"slowest_seconds": max(row["seconds"] for row in rows.values()), "files": rows}


async def _timed(client: httpx.AsyncClient, body: bytes, headers: Mapping[str, str]) -> dict[str, float]:
    """Count from the moment when all of the body is on its way, as the deadline does."""
    sent = time.perf_counter()

    async def content() -> AsyncIterator[bytes]:
        nonlocal sent
        yield body
        sent = time.perf_counter()

    more = {"X-Request-Timeout": str(DEADLINE_SECONDS), "Content-Length": str(len(body))}
    answer = await client.post("/derain?scale=1", content=content(), headers={**headers, **more})
    return {"status": answer.status_code, "seconds": round(time.perf_counter() - sent, 3)}


async def hang_ups(url: str, pid: int, count: int) -> dict[str, object]:
    """Hang up on decoders that do not move; see how long each lives on."""
    address, picture = urlsplit(url), encoded(drawn(64, 64))
    head = f"POST /derain HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(picture)}\r\n\r\n".encode()
    lived = []
    for _ in range(count):
        there = await _settled(pid)
        with stopped(there):
            with socket.create_connection((address.hostname, address.port)) as caller:
                caller.sendall(head + picture)
                await _until_busy(url)
            start = time.perf_counter()
            while set(there) <= set(decoders(pid)):
                if time.perf_counter() - start > _PATIENCE_SECONDS:
                    raise RuntimeError("the decoder goes on")
                await asyncio.sleep(_LOOK_SECONDS)
            lived.append(round(time.perf_counter() - start, 3))
    return {"slowest_seconds": max(lived), "seconds": lived}


async def _settled(pid: int) -> list[int]:
    """Wait until those that have died are replaced, and return the numbers of all."""
    before: list[int] = []
    while not (now := decoders(pid)) or now != before:
        before = now
        await asyncio.sleep(0.2)
    return now


async def _until_busy(url: str) -> None:
    async with httpx.AsyncClient(base_url=url) as client:
        give_up = time.perf_counter() + _PATIENCE_SECONDS
        while 'dmsr_codec_processes{state="busy"} 0.0' in (await client.get("/metrics")).text:
            if time.perf_counter() > give_up:
                raise RuntimeError("no decoder was asked")
            await asyncio.sleep(_LOOK_SECONDS)


async def drain(network: str, uploads: Mapping[str, Upload], moving: bool) -> dict[str, object]:
    """Tell a service to end while every file is in flight; see how long it takes.

    moving: whether its decoders work, or are stopped and come to no end.
    """
    with serving(network, SERVER_DRAIN_SECONDS=DRAIN_SECONDS) as service:
        statuses: Counter[str] = Counter()
        ending = asyncio.Event()
        async with httpx.AsyncClient(base_url=service.url, timeout=_PATIENCE_SECONDS) as client:

            async def attack(body: bytes, headers: Mapping[str, str]) -> None:
                while not ending.is_set():
                    try:
                        answer = await client.post("/derain?scale=1", content=body, headers=headers)
                        statuses[str(answer.status_code)] += 1
                    except httpx.TransportError:
                        statuses["connection lost"] += 1

            with stopped([] if moving else decoders(service.process.pid)):
                attackers = [asyncio.create_task(attack(*upload)) for upload in uploads.values()]
                await asyncio.sleep(1)
                start = time.perf_counter()
                service.process.terminate()
                ending.set()
                code = await asyncio.to_thread(service.process.wait, _PATIENCE_SECONDS)
                seconds = time.perf_counter() - start
            await asyncio.gather(*attackers)
        left = [child for child in _children_of_session(service.process.pid)]
    return {
        "drain_seconds": DRAIN_SECONDS,
        "seconds": round(seconds, 3),
        "exit_code": code,
        "statuses": dict(statuses),
        "processes_left": len(left),
    }


def _children_of_session(pid: int) -> list[int]:
    """Return the numbers of those processes that still live in the session that a service had of its own."""
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            fields = path.read_text().rpartition(")")[2].split()
            if int(fields[3]) == pid and fields[0] != "Z":
                found.append(int(path.parent.name))
    return found
