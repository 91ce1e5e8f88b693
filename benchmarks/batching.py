"""Queue against bare runner: what batching tiles of many pictures costs, without codecs or HTTP.

Fake clients in one process feed pictures of mixed sizes; the runner's own loop over the same number of tiles, in as
many threads as the queue has and at the same batch size, is the measure. Both take turns, and the ratio of the medians
counts.
"""

import asyncio
import statistics
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from app.batching.device_worker import DeviceWorker
from app.batching.engine import BatchingEngine
from app.batching.job import TileJob
from app.batching.tile_queue import TileQueue
from app.telemetry.metrics import Metrics
from benchmarks import networks, report
from model.inference.runner import TileRunner
from model.inference.tiling import TilePlan

SIZES = ((64, 64), (256, 256), (300, 500), (720, 480), (1500, 2000))


def queue_seconds(runner: TileRunner, plans: list[TilePlan], pictures: list[np.ndarray]) -> float:
    """Run every picture as a job of its own, all at once; only the time to the last finished job counts."""

    async def run() -> float:
        queue, metrics = TileQueue(), Metrics()
        worker = DeviceWorker("bench", {"derain": runner}, queue, metrics, time.monotonic)
        engine = BatchingEngine([worker], queue, metrics, time.monotonic)
        engine.start()
        start = time.perf_counter()
        jobs = [TileJob("derain", picture, plan) for picture, plan in zip(pictures, plans, strict=True)]
        await asyncio.gather(*(engine.run(job) for job in jobs))
        seconds = time.perf_counter() - start
        await engine.stop()
        return seconds

    return asyncio.run(run())


def bare_seconds(runner: TileRunner, tiles: int) -> float:
    """Run as many tiles straight through the runner."""
    size = runner.batch_tiles
    batch = np.random.default_rng(0).integers(0, 256, (size, runner.tile, runner.tile, 3), np.uint8)
    counts = [min(size, tiles - done) for done in range(0, tiles, size)]
    with ThreadPoolExecutor(max(runner.threads, 1)) as device:
        start = time.perf_counter()
        list(device.map(lambda count: runner.run(batch[:count], threads=1), counts))
        return time.perf_counter() - start


def main() -> None:
    """Measure and report."""
    parser = report.parser(__doc__)
    parser.add_argument("--network", default="w48d16", help="a size such as w16d4, or a weights file")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--largest", type=int, default=3_000_000, help="leave out pictures of more pixels")
    options = parser.parse_args()
    runner = TileRunner(*networks.build(options.network))
    runner.warm_up()
    sizes = [size for size in SIZES if size[0] * size[1] <= options.largest]
    plans = [TilePlan(*size, runner.tile, runner.info.overlap) for size in sizes]
    rng = np.random.default_rng(1)
    pictures = [rng.integers(0, 256, (*size, 3), np.uint8) for size in sizes]
    tiles = sum(map(len, plans))
    queued, bare = [], []
    for _ in range(options.rounds):
        bare.append(bare_seconds(runner, tiles))
        queued.append(queue_seconds(runner, plans, pictures))
    report.write(
        f"batching-{networks.label(options.network)}",
        options,
        {
            "precision": runner.precision,
            "batch": runner.batch_tiles,
            "tiles": tiles,
            "bare_tiles_per_second": round(tiles / statistics.median(bare), 3),
            "queue_tiles_per_second": round(tiles / statistics.median(queued), 3),
            "queue_over_bare": round(statistics.median(bare) / statistics.median(queued), 4),
        },
    )


if __name__ == "__main__":
    main()
