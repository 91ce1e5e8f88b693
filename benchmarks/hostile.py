"""What files that are made to do harm cost: each is sent in a loop, beside callers who mean no harm.

For each file: the answers, CPU seconds and peak memory of all the service's processes for one of it, and, while it is
sent by several callers at once, the latency of /livez and the rate of small pictures beside their rate alone. Linux.
"""

import asyncio
import os
import statistics
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path

import httpx

from benchmarks import report
from benchmarks.service import serving
from tests.bombs import BOMBS
from tests.pictures import drawn, encoded

_TICKS = os.sysconf("SC_CLK_TCK")
_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
_FORM = {"Content-Type": "multipart/form-data; boundary=" + "ab" * 35}


def form_of_false_boundaries(size: int) -> bytes:
    """Return a form of so many bytes of what is the boundary but for its last letter."""
    boundary = b"--" + b"ab" * 35
    false = b"\r\n" + boundary[:-1] + b"x"
    return boundary + b"\r\n\r\n" + false * (size // len(false)) + b"\r\n" + boundary + b"--"


def uploads() -> dict[str, tuple[bytes, dict[str, str]]]:
    """Return by name each body and its headers."""
    bodies = {name: (make(), {}) for name, make in BOMBS.items()}
    return bodies | {"form of 30 MB of false boundaries": (form_of_false_boundaries(30_000_000), _FORM)}


def processes(pid: int) -> list[list[str]]:
    """Return the fields of /proc/PID/stat, from the parent on, of a process and all below it."""
    found = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            found[int(path.parent.name)] = path.read_text().rpartition(")")[2].split()
    tree, left = [], [pid]
    while left:
        pid = left.pop()
        if pid in found:
            tree.append(found[pid])
            left += [child for child, fields in found.items() if int(fields[1]) == pid]
    return tree


def cpu_seconds(pid: int) -> float:
    """Return the CPU seconds of a process and all below it, the dead ones among them included."""
    return sum(sum(map(int, fields[11:15])) for fields in processes(pid)) / _TICKS


def memory_bytes(pid: int) -> int:
    """Return the resident memory of a process and all below it; what they share is counted for each."""
    return sum(int(fields[21]) * _PAGE_BYTES for fields in processes(pid))


async def repeat(seconds: float, work: Callable[[], Awaitable[None]], pause: float = 0.0) -> int:
    """Do something again and again for so long; return how often it was done."""
    end, count = time.monotonic() + seconds, 0
    while time.monotonic() < end:
        await work()
        count += 1
        await asyncio.sleep(pause)
    return count


async def measure_one(client: httpx.AsyncClient, pid: int, body: bytes, headers: dict[str, str]) -> dict[str, object]:
    """Send a file once and see what it costs."""
    before, idle, peak = cpu_seconds(pid), memory_bytes(pid), 0
    posting = asyncio.create_task(client.post("/derain", content=body, headers=headers))
    while not posting.done():
        await asyncio.sleep(0.02)
        peak = max(peak, memory_bytes(pid))
    answer = posting.result()
    return {
        "upload_bytes": len(body),
        "status": answer.status_code,
        "detail": answer.json()["detail"] if answer.is_error else "",
        "seconds": round(answer.elapsed.total_seconds(), 2),
        "cpu_seconds": round(cpu_seconds(pid) - before, 2),
        "memory_over_idle_bytes": max(peak - idle, 0),
    }


async def measure_beside(
    client: httpx.AsyncClient, seconds: float, attackers: int, body: bytes, headers: dict[str, str]
) -> dict[str, object]:
    """Send a file from several callers in a loop; see how long /livez takes and how many pictures others get."""
    latencies, statuses = [], Counter()
    small = encoded(drawn(64, 64))

    async def attack() -> None:
        try:
            statuses[str((await client.post("/derain", content=body, headers=headers)).status_code)] += 1
        except httpx.TransportError:
            statuses["connection lost"] += 1

    async def live() -> None:
        start = time.perf_counter()
        (await client.get("/livez")).raise_for_status()
        latencies.append(time.perf_counter() - start)

    async def picture() -> None:
        (await client.post("/derain?scale=1", content=small)).raise_for_status()

    pictures, *_ = await asyncio.gather(
        repeat(seconds, picture), repeat(seconds, live, 0.02), *(repeat(seconds, attack) for _ in range(attackers))
    )
    return {
        "statuses": dict(statuses),
        "livez_median_seconds": round(statistics.median(latencies), 4),
        "livez_p99_seconds": round(sorted(latencies)[int(0.99 * len(latencies))], 4),
        "pictures_per_second": round(pictures / seconds, 2),
    }


async def measure(url: str, pid: int, seconds: float, attackers: int) -> dict[str, object]:
    """Measure every file."""
    rows = {}
    async with httpx.AsyncClient(base_url=url, timeout=600) as client:
        await client.post("/derain?scale=1", content=encoded(drawn(64, 64)))
        alone = await measure_beside(client, seconds, 0, b"", {})
        for name, (body, headers) in uploads().items():
            one = await measure_one(client, pid, body, headers)
            beside = await measure_beside(client, seconds, attackers, body, headers)
            part = beside["pictures_per_second"] / alone["pictures_per_second"]
            rows[name] = {"one": one, "in_a_loop": beside | {"pictures_of_those_alone": round(part, 2)}}
    return {"alone": alone, "files": rows}


def table(figures: dict) -> str:
    """Return the figures as a table in Markdown."""
    lines = [
        "| file | upload, MB | answer | CPU, s | memory, MB | `/livez` p99, ms | others' pictures |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    for name, row in figures["files"].items():
        one, loop = row["one"], row["in_a_loop"]
        lines.append(
            f"| {name} | {one['upload_bytes'] / 1e6:.2f} | {one['status']} | {one['cpu_seconds']:.2f} | "
            f"{one['memory_over_idle_bytes'] / 1e6:.0f} | {1000 * loop['livez_p99_seconds']:.0f} | "
            f"{loop['pictures_of_those_alone']:.0%} |"
        )
    return "\n".join(lines)


def main() -> None:
    """Measure, print the table and report."""
    parser = report.parser(__doc__)
    parser.add_argument("--network", default="w4d1", help="a size such as w16d4, or a weights file")
    parser.add_argument("--seconds", type=float, default=10, help="for which each file is sent")
    parser.add_argument("--attackers", type=int, default=2, help="callers who send it at once")
    options = parser.parse_args()
    with serving(options.network) as service:
        figures = asyncio.run(measure(service.url, service.process.pid, options.seconds, options.attackers))
    report.write("hostile", options, figures)
    print(table(figures))  # noqa: T201 - a command's output


if __name__ == "__main__":
    main()
