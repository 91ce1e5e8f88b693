"""What files and callers that mean harm cost, and what everybody else notices of them. Linux only.

Parts, each of which can be measured alone:

files      CPU and memory for one of each file; /livez and others' pictures while it is sent in a loop, in turn with
           the same without it
deadline   how late a request of two seconds is answered, whatever the file
hangup     how long a decoder lives on when its caller has gone
drain      how long the service takes to end with every file in flight, and with decoders that come to no end
readers    memory, and others' pictures, beside a thousand connections that do not read their answers
latency    what a request of 256×256 takes beyond its own decode and encode and the bare runner, and a decode beyond
           one without processes; of a network of its own, since what is added depends on how many tiles a picture has
"""

import argparse
import asyncio
import statistics
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping

import httpx

from app.imaging.decode import decode
from app.imaging.picture import ImageLimits
from app.imaging.probe import probe
from benchmarks import hostile_ends, load, networks, report
from benchmarks.hostile_readers import allow_files, stand_still
from benchmarks.process_tree import Watch, cpu_seconds, held_bytes
from benchmarks.service import serving
from benchmarks.stages import stations
from model.inference.runner import TileRunner
from tests.bombs import BOMBS
from tests.pictures import drawn, encoded

_FORM = {"Content-Type": "multipart/form-data; boundary=" + "ab" * 35}
# Of the files none has more pixels; each counts 9 bytes while it is stitched.
_PICTURE_BYTES = 9 * 640 * 480
_ANSWER_BYTES = 64 << 20


def form_of_false_boundaries(size: int) -> bytes:
    """Return a form of so many bytes of what is the boundary but for its last letter."""
    boundary = b"--" + b"ab" * 35
    false = b"\r\n" + boundary[:-1] + b"x"
    return boundary + b"\r\n\r\n" + false * (size // len(false)) + b"\r\n" + boundary + b"--"


def uploads() -> dict[str, hostile_ends.Upload]:
    """Return by name each body and its headers."""
    bodies: dict[str, hostile_ends.Upload] = {name: (make(), {}) for name, make in BOMBS.items()}
    return bodies | {"form of 30 MB of false boundaries": (form_of_false_boundaries(30_000_000), _FORM)}


async def repeat(seconds: float, work: Callable[[], Awaitable[None]], pause: float = 0.0) -> int:
    """Do something again and again for so long; return how often it was done."""
    end, count = time.monotonic() + seconds, 0
    while time.monotonic() < end:
        await work()
        count += 1
        await asyncio.sleep(pause)
    return count


async def measure_one(client: httpx.AsyncClient, pid: int, body: bytes, headers: Mapping[str, str]) -> dict:
    """Send a file once and see what it costs."""
    before, idle = cpu_seconds(pid), held_bytes(pid)
    with Watch(lambda: held_bytes(pid), 0.01) as watch:
        answer = await client.post("/derain", content=body, headers=headers)
    return {
        "upload_bytes": len(body),
        "status": answer.status_code,
        "detail": answer.json()["detail"] if answer.is_error else "",
        "seconds": round(answer.elapsed.total_seconds(), 2),
        "cpu_seconds": round(cpu_seconds(pid) - before, 2),
        "memory_over_idle_bytes": max(watch.peak - idle, 0),
    }


class Beside:
    """Count what others notice: latencies of /livez and small pictures, and the answers to an attack."""

    def __init__(self, client: httpx.AsyncClient) -> None:
        self._client, self._small = client, encoded(drawn(64, 64))
        self._latencies: list[float] = []
        self._statuses: Counter[str] = Counter()
        self._pictures, self._seconds = 0, 0.0

    async def go_on(self, seconds: float, attackers: int, body: bytes, headers: Mapping[str, str]) -> None:
        """Go on for so long, beside callers who send a file in a loop."""

        async def attack() -> None:
            try:
                answer = await self._client.post("/derain", content=body, headers=headers)
                self._statuses[str(answer.status_code)] += 1
            except httpx.TransportError:
                self._statuses["connection lost"] += 1

        async def live() -> None:
            start = time.perf_counter()
            (await self._client.get("/livez")).raise_for_status()
            self._latencies.append(time.perf_counter() - start)

        async def picture() -> None:
            (await self._client.post("/derain?scale=1", content=self._small)).raise_for_status()

        pictures, *_ = await asyncio.gather(
            repeat(seconds, picture), repeat(seconds, live, 0.02), *(repeat(seconds, attack) for _ in range(attackers))
        )
        self._pictures, self._seconds = self._pictures + pictures, self._seconds + seconds

    def figures(self) -> dict:
        """Return what was counted so far."""
        return {
            "statuses": dict(self._statuses),
            "livez_median_seconds": round(statistics.median(self._latencies), 4),
            "livez_p99_seconds": round(sorted(self._latencies)[int(0.99 * len(self._latencies))], 4),
            "pictures_per_second": round(self._pictures / self._seconds, 2),
        }


async def files(client: httpx.AsyncClient, pid: int, options: argparse.Namespace) -> dict:
    """Measure every file: one of it, then in a loop, in turn with the service that is left alone."""
    rows = {}
    for name, (body, headers) in uploads().items():
        one = await measure_one(client, pid, body, headers)
        alone, beside = Beside(client), Beside(client)
        for _ in range(options.rounds):
            await alone.go_on(options.seconds / options.rounds, 0, b"", {})
            await beside.go_on(options.seconds / options.rounds, options.attackers, body, headers)
        without, within = alone.figures(), beside.figures()
        part = round(within["pictures_per_second"] / without["pictures_per_second"], 2)
        rows[name] = {"one": one, "alone": without, "in_a_loop": within | {"pictures_of_those_alone": part}}
    return rows


async def latency(url: str, network: str, rounds: int) -> dict:
    """Measure one small picture at a time, and what the processes add to a decode in this one."""
    picture, here, there = encoded(drawn(*load.SMALL)), [], []
    runner = TileRunner(*networks.build(network))
    runner.warm_up()
    async with httpx.AsyncClient(base_url=url, timeout=600) as client:
        await client.post("/derain?scale=1", content=encoded(drawn(64, 64)))
        figures = await load.idle(client, runner, rounds)
        for _ in range(rounds):
            start = time.perf_counter()
            decode(picture, probe(picture, ImageLimits()))
            here.append(time.perf_counter() - start)
            spent = stations((await client.post("/derain?scale=1", content=picture)).raise_for_status())
            there.append(spent["probe"] + spent["decode"])
    return figures | {
        "codecs_added_median_milliseconds": round(1000 * (statistics.median(there) - statistics.median(here)), 2)
    }


def bounds(figures: dict) -> list[tuple[str, float, str, bool]]:
    """Return for each promise that was measured: its words, the figure, the bound, and whether it holds."""
    found = []

    def promise(words: str, figure: float, sign: str, bound: float) -> None:
        found.append((words, figure, f"{sign} {bound:g}", figure <= bound if sign == "≤" else figure >= bound))

    for name, row in figures.get("files", {}).items():
        one, loop = row["one"], row["in_a_loop"]
        promise(f"{name}: CPU, s", one["cpu_seconds"], "≤", 0.5 if 400 <= one["status"] < 500 else 1)
        own = _PICTURE_BYTES + one["upload_bytes"]
        promise(f"{name}: memory over its own, MB", round((one["memory_over_idle_bytes"] - own) / 1e6, 1), "≤", 100)
        promise(f"{name}: `/livez` p99, ms", round(1000 * loop["livez_p99_seconds"], 1), "≤", 100)
        promise(f"{name}: others' pictures, part", loop["pictures_of_those_alone"], "≥", 0.8)
    if found_deadline := figures.get("deadline"):
        promise("a deadline of 2 s answered, s", found_deadline["slowest_seconds"], "≤", 2.5)
    if hangup := figures.get("hangup"):
        promise("a decoder's life after a hang-up, s", hangup["slowest_seconds"], "≤", 0.5)
    for name, drained in figures.get("drain", {}).items():
        promise(f"SIGTERM to the end, {name}, s", drained["seconds"], "≤", drained["drain_seconds"] + 2)
    if readers := figures.get("readers"):
        promise("readers that stand still", readers["readers"], "≥", 1000)
        promise("answers held, MB", round(readers["answer_bytes_at_most"] / 1e6, 1), "≤", readers["limit_bytes"] / 1e6)
        others = readers["beside"]["statuses"]
        promise("others refused beside them", sum(others.values()) - others.get("200", 0), "≤", 0)
    if added := figures.get("latency"):
        promise("added to 256×256 at idle, ms", added["added_median_milliseconds"], "≤", 10)
        promise("of which the codecs' processes, ms", added["codecs_added_median_milliseconds"], "≤", 2)
    return found


def table(figures: dict) -> str:
    """Return the figures as tables in Markdown."""
    lines = []
    if "files" in figures:
        lines += [
            "| file | upload, MB | answer | CPU, s | memory, MB | `/livez` p99, ms (alone) | others' pictures |",
            "| --- | --- | --- | --- | --- | --- | --- |",
        ]
    for name, row in figures.get("files", {}).items():
        one, loop = row["one"], row["in_a_loop"]
        lines.append(
            f"| {name} | {one['upload_bytes'] / 1e6:.2f} | {one['status']} | {one['cpu_seconds']:.2f} | "
            f"{one['memory_over_idle_bytes'] / 1e6:.0f} | {1000 * loop['livez_p99_seconds']:.0f} "
            f"({1000 * row['alone']['livez_p99_seconds']:.0f}) | {loop['pictures_of_those_alone']:.0%} |"
        )
    lines += ["", "| promise | measured | bound | holds |", "| --- | --- | --- | --- |"]
    lines += [
        f"| {words} | {figure} | {bound} | {'yes' if holds else '**no**'} |"
        for words, figure, bound, holds in bounds(figures)
    ]
    return "\n".join(lines)


async def with_service(url: str, pid: int, options: argparse.Namespace) -> dict:
    """Measure the parts that share a service."""
    figures: dict[str, object] = {}
    async with httpx.AsyncClient(base_url=url, timeout=600) as client:
        await client.post("/derain?scale=1", content=encoded(drawn(64, 64)))
        if "files" in options.parts:
            figures["files"] = await files(client, pid, options)
        if "hangup" in options.parts:
            figures["hangup"] = await hostile_ends.hang_ups(url, pid, options.hang_ups)
        if "readers" in options.parts:
            figures["readers"] = await stand_still(url, pid, options.readers, _ANSWER_BYTES, options.seconds)
        if "deadline" in options.parts:
            many = uploads() | {"24 megapixels that are sound": (hostile_ends.huge(), {})}
            figures["deadline"] = await hostile_ends.deadlines(client, pid, many)
    return figures


async def drains(network: str) -> dict:
    """Measure how the service ends, with decoders that work and with decoders that do not move."""
    many = uploads()
    return {
        "every file in flight": await hostile_ends.drain(network, many, moving=True),
        "and decoders without end": await hostile_ends.drain(network, many, moving=False),
    }


def main() -> None:
    """Measure, print the tables and report."""
    parser = report.parser(__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parts = ("latency", "files", "hangup", "readers", "deadline", "drain")
    parser.add_argument("--parts", nargs="+", choices=parts, default=list(parts), help="what to measure; all of them")
    parser.add_argument("--network", default="w4d1", help="a size such as w16d4, or a weights file; w4d1")
    parser.add_argument("--latency-network", default="w16d4", help="the same for latency: the CPU default, w16d4")
    parser.add_argument("--seconds", type=float, default=8, help="for which each file is sent, and as long without; 8")
    parser.add_argument("--rounds", type=int, default=2, help="turns in which that is done; 2")
    parser.add_argument("--attackers", type=int, default=2, help="callers who send a file at once; 2")
    parser.add_argument("--hang-ups", type=int, default=5, help="decoders that are hung up on; 5")
    parser.add_argument("--readers", type=int, default=1000, help="connections that do not read; 1000")
    parser.add_argument("--pictures", type=int, default=50, help="small ones, of which latency is the median; 50")
    options = parser.parse_args()
    figures: dict[str, object] = {}
    allow_files(2 * options.readers + 200)
    if "latency" in options.parts:
        with serving(options.latency_network) as service:
            figures["latency"] = asyncio.run(latency(service.url, options.latency_network, options.pictures))
    if set(options.parts) - {"latency", "drain"}:
        with serving(options.network, LIMITS_ANSWER_BYTES=_ANSWER_BYTES) as service:
            figures |= asyncio.run(with_service(service.url, service.process.pid, options))
    if "drain" in options.parts:
        figures["drain"] = asyncio.run(drains(options.network))
    report.write("hostile", options, figures)
    print(table(figures))  # noqa: T201 - a command's output


if __name__ == "__main__":
    main()
