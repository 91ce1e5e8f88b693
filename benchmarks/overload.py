"""Ten times too much, once and for a minute: is everybody served or refused truthfully, and does the service stay up?

burst: ten queues' worth of pictures at once, from clients who obey Retry-After; each must be served, all within twice
the ideal time. sustained: open-loop arrivals at ten times the capacity; only 200 and 429 may come back.
"""

import asyncio
import random
import statistics
import tempfile
import time
from collections import Counter
from pathlib import Path

import httpx

from benchmarks import report, scrape
from tests.e2e.server import run_server
from tests.pictures import drawn, encoded

SIDE = 200


def resident_bytes(pid: int) -> int:
    """Return a process's resident memory."""
    fields = Path(f"/proc/{pid}/statm").read_text().split()
    return int(fields[1]) * 4096


async def capacity(client: httpx.AsyncClient, picture: bytes, seconds: float = 8) -> float:
    """Measure pictures per second with the device always busy."""
    end = time.perf_counter() + seconds
    done = 0

    async def keep_posting() -> None:
        nonlocal done
        while time.perf_counter() < end:
            (await client.post("/derain", content=picture)).raise_for_status()
            done += 1

    start = time.perf_counter()
    await asyncio.gather(*(keep_posting() for _ in range(3)))
    return done / (time.perf_counter() - start)


async def burst(client: httpx.AsyncClient, picture: bytes, count: int, rate: float) -> dict[str, object]:
    """Post `count` pictures at once and come back when told to."""
    tries: list[int] = []

    async def obedient() -> None:
        for attempt in range(1, 1000):
            answer = await client.post("/derain", content=picture)
            if answer.status_code == 200:
                tries.append(attempt)
                return
            assert answer.status_code == 429, answer.text
            await asyncio.sleep(int(answer.headers["retry-after"]))

    start = time.perf_counter()
    await asyncio.gather(*(obedient() for _ in range(count)))
    seconds = time.perf_counter() - start
    return {
        "pictures": count,
        "served": len(tries),
        "seconds": round(seconds, 1),
        "ideal_seconds": round(count / rate, 1),
        "over_ideal": round(seconds * rate / count, 3),
        "tries_median": statistics.median(tries),
        "tries_most": max(tries),
    }


async def sustained(
    client: httpx.AsyncClient, pid: int, picture: bytes, rate: float, tiles_each: int, seconds: float
) -> dict[str, object]:
    """Post at ten times the rate, at Poisson instants that wait for nobody."""
    statuses: Counter[int] = Counter()
    live: list[float] = []
    memory: list[int] = []
    rng = random.Random(0)

    async def post() -> None:
        statuses[(await client.post("/derain", content=picture)).status_code] += 1

    async def watch() -> None:
        while True:
            start = time.perf_counter()
            (await client.get("/livez")).raise_for_status()
            live.append(time.perf_counter() - start)
            memory.append(resident_bytes(pid))
            await asyncio.sleep(0.1)

    watching = asyncio.create_task(watch())
    before = await scrape.total(client, "dmsr_tiles_total")
    start = time.perf_counter()
    posts = []
    due = start
    while (now := time.perf_counter()) < start + seconds:
        due += rng.expovariate(10 * rate)
        await asyncio.sleep(max(0.0, due - now))
        posts.append(asyncio.create_task(post()))
    after = await scrape.total(client, "dmsr_tiles_total")
    elapsed = time.perf_counter() - start
    await asyncio.gather(*posts)
    watching.cancel()
    settled = memory[len(memory) // 4 :]
    return {
        "seconds": round(elapsed, 1),
        "requests": len(posts),
        "statuses": {str(status): count for status, count in sorted(statuses.items())},
        "served_over_capacity": round((after - before) / elapsed / (rate * tiles_each), 3),
        "livez_p99_seconds": round(statistics.quantiles(live, n=100)[98], 4),
        "memory_growth_bytes": settled[-1] - settled[0],
        "memory_peak_bytes": max(memory),
    }


async def measure(url: str, pid: int, options: object, tiles_each: int) -> dict[str, object]:
    """Measure capacity, then a burst, then a minute of too much."""
    picture = encoded(drawn(SIDE, SIDE))
    limits = httpx.Limits(max_connections=None, max_keepalive_connections=100)
    async with httpx.AsyncClient(base_url=url, timeout=3600, limits=limits) as client:
        rate = await capacity(client, picture)
        count = 10 * options.queue // tiles_each
        burst_figures = await burst(client, picture, count, rate)
        sustained_figures = await sustained(client, pid, picture, rate, tiles_each, options.seconds)
    return {"pictures_per_second": round(rate, 2), "burst": burst_figures, "sustained": sustained_figures}


def main() -> None:
    """Measure and report."""
    from model.checkpoint import read_info
    from model.tiling import TilePlan

    parser = report.parser(__doc__)
    parser.add_argument("--weights", type=Path, required=True, help="deraining weights; small ones, to be quick")
    parser.add_argument("--queue", type=int, default=200, help="DMSR_QUEUE_TILES")
    parser.add_argument("--seconds", type=float, default=60, help="how long the sustained part lasts")
    options = parser.parse_args()
    info = read_info(options.weights)
    tiles_each = len(TilePlan(SIDE, SIDE, info.tile, info.overlap))
    environment = {
        "DMSR_WEIGHTS_DERAIN": str(options.weights),
        "DMSR_QUEUE_TILES": str(options.queue),
        "DMSR_LIMITS_PIXELS": "500000",
        "DMSR_LIMITS_SIDE": "2000",
    }
    with tempfile.TemporaryDirectory() as folder, run_server(Path(folder), environment) as server:
        figures = asyncio.run(measure(server.url, server.process.pid, options, tiles_each))
    report.write("overload", options.json, {"weights": options.weights.stem, "queue_tiles": options.queue} | figures)


if __name__ == "__main__":
    main()
