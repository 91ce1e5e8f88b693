"""One restorer against two, a core each, on a Ray cluster of two nodes on this machine: throughput, and a huge picture.

Through HTTP, so with all that Ray takes of the same two cores. What two processes that know nothing of each other
manage is measured beside it: no cluster on this machine can do better. Needs the extra `ray`.
"""

import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import torch

from benchmarks import report
from model.checkpoint import CheckpointInfo, read_info, save_checkpoint
from model.config import DMSRConfig
from model.network import DMSR
from model.tiling import TilePlan
from tests.deploy.cluster import ROOT, RayService, run_cluster
from tests.pictures import drawn, encoded

BARE = """
import sys, time, numpy as np, torch
from model.runner import TileRunner
torch.set_num_threads(1)
runner = TileRunner.load(sys.argv[1], "cpu", "fp32", max_tiles=1)
tile = np.full((1, runner.tile, runner.tile, 3), 127, np.uint8)
runner.run(tile)
print("warm", flush=True)
input()
start = time.perf_counter()
for _ in range(int(sys.argv[2])):
    runner.run(tile)
print(time.perf_counter() - start)
"""


def random_weights(folder: Path, width: int, depth: int) -> Path:
    """Write a weights file of random numbers: as fast as any other."""
    torch.manual_seed(0)
    config = DMSRConfig(width, depth)
    path = folder / f"random-w{width}d{depth}.safetensors"
    save_checkpoint(path, DMSR(config).state_dict(), CheckpointInfo(config, "derain"))
    return path


def bare_tiles_per_second(weights: Path, processes: int, tiles: int) -> float:
    """Measure what so many processes of one thread each manage together, each with so many tiles."""
    command = [sys.executable, "-c", BARE, str(weights), str(tiles)]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True, "cwd": ROOT}
    running = [subprocess.Popen(command, **pipes) for _ in range(processes)]
    for process in running:
        process.stdout.readline()
    for process in running:
        process.stdin.write("\n")
        process.stdin.flush()
    return processes * tiles / max(float(process.communicate()[0]) for process in running)


def post(url: str, picture: bytes) -> float:
    """Post one picture and return the seconds until its answer."""
    start = time.perf_counter()
    httpx.post(f"{url}/derain", content=picture, timeout=3600).raise_for_status()
    return time.perf_counter() - start


def measure(service: RayService, tile: int, count: int, huge: bytes) -> tuple[float, float]:
    """Return pictures of one tile per second, with callers enough, and the seconds of the huge picture."""
    small = encoded(drawn(tile, tile))
    with ThreadPoolExecutor(count) as callers:
        post(service.url, small)
        start = time.perf_counter()
        list(callers.map(lambda _: post(service.url, small), range(count)))
        rate = count / (time.perf_counter() - start)
    return rate, post(service.url, huge)


def main() -> None:
    """Measure and report."""
    parser = report.parser(__doc__)
    parser.add_argument("--weights", type=Path, help="deraining weights; random ones of --width and --depth by default")
    parser.add_argument("--width", type=int, default=48)
    parser.add_argument("--depth", type=int, default=16)
    parser.add_argument("--count", type=int, default=12, help="pictures of one tile")
    parser.add_argument("--huge", type=int, nargs=2, default=(352, 464), metavar=("HEIGHT", "WIDTH"))
    options = parser.parse_args()
    huge = encoded(drawn(*options.huge))
    with tempfile.TemporaryDirectory() as folder:
        weights = (options.weights or random_weights(Path(folder), options.width, options.depth)).resolve()
        info = read_info(weights)
        bare = {number: bare_tiles_per_second(weights, number, options.count // 2) for number in (1, 2)}
        rates, seconds = {}, {}
        with run_cluster(nodes=2) as service:
            for restorers in (1, 2):
                settings = {"DMSR_WEIGHTS_DERAIN": str(weights), "DMSR_RUNNER_MAX_TILES": "1"}
                service.deploy(settings | {"DMSR_RUNNER_PRECISION": "fp32"}, restorers)
                rates[restorers], seconds[restorers] = measure(service, info.tile, options.count, huge)
    report.write(
        f"scale-out-w{info.config.width}d{info.config.depth}",
        options.json,
        {
            "weights": weights.stem,
            "precision": "fp32",
            "pictures": options.count,
            "tiles_per_second": {str(number): round(rate, 3) for number, rate in rates.items()},
            "throughput_two_over_one": round(rates[2] / rates[1], 3),
            "huge_tiles": len(TilePlan(*options.huge, info.tile, info.overlap)),
            "huge_seconds": {str(number): round(spent, 2) for number, spent in seconds.items()},
            "huge_two_over_one": round(seconds[2] / seconds[1], 3),
            "bare_tiles_per_second": {str(number): round(rate, 3) for number, rate in bare.items()},
            "bare_two_over_one": round(bare[2] / bare[1], 3),
        },
    )


if __name__ == "__main__":
    main()
