"""Small pictures beside a huge one: what a 24-megapixel upload does to the latency of everybody else.

One server process; 256×256 pictures one after another, first alone, then while the huge one is in flight. The bound is
2 × the unloaded median + 2 batch times.
"""

import asyncio
import statistics
import time

import httpx

from benchmarks import report, scrape
from benchmarks.pictures import drawn, encoded
from benchmarks.service import serving


async def latency(client: httpx.AsyncClient, picture: bytes) -> float:
    """Post one picture and return the seconds until its answer."""
    start = time.perf_counter()
    (await client.post("/derain?scale=1", content=picture)).raise_for_status()
    return time.perf_counter() - start


async def measure(url: str, count: int, huge_size: tuple[int, int]) -> dict[str, object]:
    """Measure alone, then beside the huge picture."""
    small = encoded(drawn(256, 256))
    huge = encoded(drawn(*huge_size), "jpeg", quality=90)
    async with httpx.AsyncClient(base_url=url, timeout=3600) as client:
        await latency(client, small)
        alone = [await latency(client, small) for _ in range(count)]
        start = time.perf_counter()
        flooding = asyncio.create_task(client.post("/derain?scale=1", content=huge))
        while not await scrape.total(client, "dmsr_queue_tiles"):  # noqa: ASYNC110 - it is another process
            await asyncio.sleep(0.05)
        flooded = []
        while not flooding.done() and len(flooded) < count:
            flooded.append(await latency(client, small))
        finished_early = flooding.done()
        answer = await flooding
        huge_seconds = time.perf_counter() - start
        batches = await scrape.total(client, "dmsr_batch_duration_seconds_count")
        batch_seconds = await scrape.total(client, "dmsr_batch_duration_seconds_sum") / batches
    bound = 2 * statistics.median(alone) + 2 * batch_seconds
    return {
        "huge_megapixels": round(huge_size[0] * huge_size[1] / 1e6, 1),
        "huge_status": answer.status_code,
        "huge_seconds": round(huge_seconds, 1),
        "huge_finished_before_the_small_ones": finished_early,
        "batch_seconds": round(batch_seconds, 4),
        "alone_median_seconds": round(statistics.median(alone), 4),
        "flooded_median_seconds": round(statistics.median(flooded), 4),
        "flooded_pictures": len(flooded),
        "bound_seconds": round(bound, 4),
        "flooded_over_bound": round(statistics.median(flooded) / bound, 3),
    }


def main() -> None:
    """Measure and report."""
    parser = report.parser(__doc__)
    parser.add_argument("--network", default="w4d1", help="a size such as w16d4, or a weights file")
    parser.add_argument("--count", type=int, default=15, help="small pictures in each half")
    parser.add_argument("--huge", type=int, nargs=2, default=(4000, 6000), metavar=("HEIGHT", "WIDTH"))
    options = parser.parse_args()
    with serving(options.network) as service:
        figures = asyncio.run(measure(service.url, options.count, tuple(options.huge)))
    report.write("flood", options, figures)


if __name__ == "__main__":
    main()
