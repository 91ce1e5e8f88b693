"""Ten times too much, once and for a minute: is everybody served or refused truthfully, and does the service stay up?

burst: ten queues' worth of pictures at once, from clients who obey Retry-After; each must be served, all within twice
the ideal time. sustained: open-loop arrivals at ten times the capacity; only 200 and 429 may come back.
"""

import asyncio
import statistics
import time
from collections.abc import Awaitable, Callable

import httpx

from benchmarks import networks, report, scrape
from benchmarks.arrivals import by_status, open_loop, poisson
from benchmarks.load import PATIENCE_SECONDS
from benchmarks.memory import status_bytes
from benchmarks.pictures import drawn, encoded
from benchmarks.service import serving
from model.inference.tiling import TilePlan

SIDE = 200


async def capacity(client: httpx.AsyncClient, picture: bytes, seconds: float = 8) -> float:
    """Measure pictures per second with the device always busy."""
    end = time.perf_counter() + seconds
    done = 0

    async def keep_posting() -> None:
        nonlocal done
        while time.perf_counter() < end:
            (await client.post("/derain?scale=1", content=picture)).raise_for_status()
            done += 1

    start = time.perf_counter()
    await asyncio.gather(*(keep_posting() for _ in range(3)))
    return done / (time.perf_counter() - start)


async def burst(client: httpx.AsyncClient, picture: bytes, count: int, rate: float) -> dict[str, object]:
    """Post `count` pictures at once and come back when told to."""
    tries: list[int] = []

    async def obedient() -> None:
        for attempt in range(1, 1000):
            answer = await client.post("/derain?scale=1", content=picture)
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
    live: list[float] = []
    memory: list[int] = []
    send = bare_client(client.base_url)

    async def watch() -> None:
        while True:
            start = time.perf_counter()
            assert await send("GET /livez") == 200
            live.append(time.perf_counter() - start)
            memory.append(status_bytes(pid, "VmRSS"))
            await asyncio.sleep(0.1)

    watching = asyncio.create_task(watch())
    instants = poisson(10 * rate, round(10 * rate * seconds))
    before, start = await scrape.total(client, "dmsr_tiles_total"), time.perf_counter()
    computed = time.process_time()
    posting = open_loop(lambda _: send("POST /derain?scale=1", picture), instants, PATIENCE_SECONDS)
    answering = asyncio.create_task(posting)
    await asyncio.sleep(seconds)  # what is served after the last instant is no longer under this load
    after, elapsed = await scrape.total(client, "dmsr_tiles_total"), time.perf_counter() - start
    computed = time.process_time() - computed
    answers = await answering
    watching.cancel()
    settled = memory[len(memory) // 4 :]
    return {
        "seconds": round(elapsed, 1),
        "requests": len(answers),
        "statuses": by_status(answers),
        "served_over_capacity": round((after - before) / elapsed / (rate * tiles_each), 3),
        "cores_taken_by_the_clients": round(computed / elapsed, 3),
        "livez_p99_seconds": round(statistics.quantiles(live, n=100)[98], 4),
        "memory_growth_bytes": settled[-1] - settled[0],
        "memory_peak_bytes": max(memory),
    }


def bare_client(url: httpx.URL) -> Callable[[str, bytes], Awaitable[int]]:
    """Return what sends a method and path with a body and answers the status, without an HTTP client.

    One that parses takes 5 ms a request, and from the very cores whose tiles are counted. Connections are kept.
    """
    idle: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = []

    async def send(what: str, body: bytes = b"") -> int:
        while idle and idle[-1][0].at_eof():  # the service hangs up on who has been idle for long
            idle.pop()[1].close()
        reader, writer = idle.pop() if idle else await asyncio.open_connection(url.host, url.port)
        writer.write(f"{what} HTTP/1.1\r\nHost: {url.host}\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body)
        answer = (await reader.readuntil(b"\r\n\r\n")).lower()
        await reader.readexactly(int(answer.partition(b"content-length: ")[2].partition(b"\r\n")[0]))
        idle.append((reader, writer))
        return int(answer.split()[1])

    return send


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
    parser = report.parser(__doc__)
    parser.add_argument("--network", default="w16d4", help="a size such as w16d4, or a weights file")
    parser.add_argument("--queue", type=int, default=120, help="DMSR_QUEUE_TILES")
    parser.add_argument("--seconds", type=float, default=60, help="how long the sustained part lasts")
    options = parser.parse_args()
    info = networks.describe(options.network)
    tiles_each = len(TilePlan(SIDE, SIDE, info.tile, info.overlap))
    # The service starts only where its queue holds the largest picture that it may be sent, at every scale it may try.
    limits = {"QUEUE_TILES": options.queue, "LIMITS_PIXELS": SIDE**2, "LIMITS_SIDE": SIDE}
    with serving(options.network, **limits) as service:
        figures = asyncio.run(measure(service.url, service.process.pid, options, tiles_each))
    report.write("overload", options, figures)


if __name__ == "__main__":
    main()
