"""The service under load, as a process of its own, against the bare runner in this one.

idle: what one 256×256 picture waits for beside decode, forward and encode. saturation: so many tiles with always
enough to do, against the runner's own loop over as many. open_loop: mixed sizes at Poisson instants; latency counts
from the instant.
"""

import asyncio
import statistics
import time
from collections.abc import Sequence

import httpx

from benchmarks import networks, report, scrape
from benchmarks.arrivals import Post, by_status, closed_loop, open_loop, poisson
from benchmarks.batching import bare_seconds
from benchmarks.pictures import drawn, encoded
from benchmarks.service import serving
from benchmarks.stages import stations
from benchmarks.timing import TAIL_COUNT, percentiles
from model.inference.runner import TileRunner
from model.inference.tiling import TilePlan

SMALL = (256, 256)
MIXED = ((96, 96), (128, 128), (256, 256), (256, 256), (200, 300), (400, 600))
COUNTERS = (
    scrape.Series("dmsr_tiles_total"),
    # Of batches at once it counts each second once.
    scrape.Series("dmsr_stage_duration_seconds_sum", (("stage", "device"),)),
    scrape.Series("dmsr_batch_duration_seconds_count"),
)
PATIENCE_SECONDS = 600


def posting(client: httpx.AsyncClient, pictures: Sequence[bytes], path: str = "/derain?scale=1") -> Post:
    """Return what sends picture number n, over and over again from the first."""

    async def post(number: int) -> int:
        answer = await client.post(path, content=pictures[number % len(pictures)])
        return answer.status_code

    return post


async def idle(client: httpx.AsyncClient, runner: TileRunner, rounds: int) -> dict[str, float]:
    """Measure one small picture at a time: what a request takes beyond its own decode and encode and the bare runner.

    The runner does the same number of tiles in this process, in turns with the requests. The stations alone would not
    do: the time in which one lane waits for the other's last tile is nobody's, and no service can save it.
    """
    picture, each = encoded(drawn(*SMALL)), len(TilePlan(*SMALL, runner.tile, runner.info.overlap))
    whole, bare, own = [], [], []
    for _ in range(rounds + 1):
        bare.append(bare_seconds(runner, each))
        start = time.perf_counter()
        answer = await client.post("/derain?scale=1", content=picture)
        whole.append(time.perf_counter() - start)
        spent = stations(answer.raise_for_status())
        own.append(spent["decode"] + spent["encode"])
    added = [request - tiles - codec for request, tiles, codec in zip(whole, bare, own, strict=True)]
    return {
        "median_seconds": round(statistics.median(whole[1:]), 4),
        "bare_median_seconds": round(statistics.median(bare[1:]), 4),
        "added_median_milliseconds": round(1000 * statistics.median(added[1:]), 2),
    }


async def saturation(client: httpx.AsyncClient, runner: TileRunner, rounds: int, pictures: int) -> dict[str, object]:
    """Give runner and service the same number of tiles in turns; the ratio of the medians counts."""
    each = len(TilePlan(*SMALL, runner.tile, runner.info.overlap))
    clients = 2 + -(-2 * runner.max_tiles // each)  # two batches of tiles, and two pictures at decode or encode
    post = posting(client, [encoded(drawn(*SMALL))])
    bare, served = [], []
    for _ in range(rounds):
        bare.append(bare_seconds(runner, pictures * each))
        seconds, answers = await closed_loop(post, pictures, clients, PATIENCE_SECONDS)
        if set(by_status(answers)) != {"200"}:
            raise RuntimeError(f"the service refused at saturation: {by_status(answers)}")
        served.append(seconds)
    return {
        "batch": runner.batch_tiles,
        "tiles": pictures * each,
        "bare_tiles_per_second": round(pictures * each / statistics.median(bare), 3),
        "service_tiles_per_second": round(pictures * each / statistics.median(served), 3),
        "service_over_bare": round(statistics.median(bare) / statistics.median(served), 4),
    }


async def arrivals(
    client: httpx.AsyncClient, load: float, tiles_per_second: float, tiles: Sequence[int], count: int
) -> dict[str, object]:
    """Send `count` pictures of mixed sizes at a share of the capacity, whether or not the service keeps up."""
    rate = load * tiles_per_second / statistics.mean(tiles)
    instants = poisson(rate, count)
    post = posting(client, [encoded(drawn(*size)) for size in MIXED])
    before, start = await scrape.totals(client, *COUNTERS), time.perf_counter()
    answers = await open_loop(post, instants, PATIENCE_SECONDS)
    elapsed, after = time.perf_counter() - start, await scrape.totals(client, *COUNTERS)
    done, device_seconds, batches = (later - earlier for earlier, later in zip(before, after, strict=True))
    return {
        "load": load,
        "pictures": len(answers),
        "statuses": by_status(answers),
        "pictures_per_second": round(len(answers) / elapsed, 3),
        "tiles_per_second": round(done / elapsed, 3),
        "device_busy": round(device_seconds / elapsed, 4),
        "tiles_per_batch": round(done / max(batches, 1), 2),
    } | percentiles([answer.seconds for answer in answers])


async def measure(url: str, options: object) -> dict[str, object]:
    """Measure idle, saturated and at each load."""
    network, info = networks.build(options.network)
    runner = TileRunner(network, info)
    runner.warm_up()
    tiles = [len(TilePlan(*size, info.tile, info.overlap)) for size in MIXED]
    async with httpx.AsyncClient(base_url=url, timeout=PATIENCE_SECONDS, limits=httpx.Limits()) as client:
        alone = await idle(client, runner, options.idle_rounds)
        full = await saturation(client, runner, options.rounds, options.pictures)
        capacity = full["service_tiles_per_second"]
        loads = [await arrivals(client, load, capacity, tiles, options.arrivals) for load in options.loads]
    return {"precision": runner.precision, "idle": alone, "saturation": full, "open_loop": loads}


def main() -> None:
    """Measure and report."""
    parser = report.parser(__doc__)
    parser.add_argument("--network", default="w16d4", help="a size such as w16d4, or a weights file")
    parser.add_argument("--rounds", type=int, default=3, help="turns of runner and service at saturation")
    parser.add_argument("--pictures", type=int, default=24, help="of 256×256 a turn")
    parser.add_argument("--idle-rounds", type=int, default=50, help="single pictures; seven differ by 15 ms")
    parser.add_argument("--loads", type=float, nargs="*", default=[0.5, 0.8], help="shares of the capacity")
    parser.add_argument("--arrivals", type=int, default=TAIL_COUNT, help="at each load")
    options = parser.parse_args()
    with serving(options.network) as service:
        figures = asyncio.run(measure(service.url, options))
    report.write(f"load-{networks.label(options.network)}", options, figures)


if __name__ == "__main__":
    main()
