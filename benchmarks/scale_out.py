"""One restorer against two, a core each, on a Ray cluster of two nodes on this machine: throughput, and a huge picture.

Through HTTP, so with all that Ray takes of the same two cores. The share of a core that each restorer had tells whether
the machine was idle: below 0.9 something else ran, and the figures are provisional. --bare measures two processes that
know nothing of each other, against one: no cluster on this machine can do better. Needs the extra `ray`.
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
from benchmarks.cluster import RayService, cpu_seconds, run_cluster
from benchmarks.pictures import drawn, encoded
from benchmarks.process import ROOT
from model.checkpoints.checkpoint import CheckpointInfo, read_info, save_checkpoint
from model.inference.tiling import TilePlan
from model.network.config import DMSRConfig
from model.network.network import DMSR

BARE = """
import sys, time, numpy as np, torch
from pathlib import Path
from model.inference.runner import TileRunner
torch.set_num_threads(1)
runner = TileRunner.load(Path(sys.argv[1]), "cpu", "fp32", max_tiles=1)
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
    httpx.post(f"{url}/derain?scale=1", content=picture, timeout=3600).raise_for_status()
    return time.perf_counter() - start


def measure(service: RayService, restorers: int, tile: int, count: int, huge: bytes) -> tuple[float, float, float]:
    """Return tiles per second with callers enough, the share of a core a restorer had, the huge one's seconds."""
    small, pids = encoded(drawn(tile, tile)), service.pids("Restorer")
    assert len(pids) == restorers, f"{len(pids)} restorers run, not {restorers}"
    with ThreadPoolExecutor(count) as callers:
        post(service.url, small)
        before, start = sum(map(cpu_seconds, pids)), time.perf_counter()
        list(callers.map(lambda _: post(service.url, small), range(count)))
        seconds = time.perf_counter() - start
        share = (sum(map(cpu_seconds, pids)) - before) / seconds / restorers
    return count / seconds, share, post(service.url, huge)


def scale_out(
    weights: Path, info: CheckpointInfo, count: int, size: tuple[int, int]
) -> tuple[dict[int, float], dict[str, object]]:
    """Measure with one restorer, then with two; tiles per second, and the other figures."""
    huge = encoded(drawn(*size))
    rates, shares, seconds = {}, {}, {}
    with run_cluster(nodes=2) as service:
        for restorers in (1, 2):
            settings = {"DMSR_WEIGHTS_DERAIN": str(weights), "DMSR_RUNNER_MAX_TILES": "1", "OMP_NUM_THREADS": "1"}
            service.deploy(settings | {"DMSR_RUNNER_PRECISION": "fp32"}, restorers)
            rates[restorers], shares[restorers], seconds[restorers] = measure(
                service, restorers, info.tile, count, huge
            )
    return rates, {
        "pictures": count,
        "restorer_core_share": {str(number): round(share, 3) for number, share in shares.items()},
        "huge_tiles": len(TilePlan(*size, info.tile, info.overlap)),
        "huge_seconds": {str(number): round(spent, 2) for number, spent in seconds.items()},
        "huge_two_over_one": round(seconds[2] / seconds[1], 3),
    }


def main() -> None:
    """Measure and report."""
    parser = report.parser(__doc__)
    parser.add_argument("--weights", type=Path, help="deraining weights; random ones of --width and --depth by default")
    parser.add_argument("--width", type=int, default=48)
    parser.add_argument("--depth", type=int, default=16)
    parser.add_argument("--count", type=int, default=8, help="pictures of one tile")
    parser.add_argument("--huge", type=int, nargs=2, default=(240, 352), metavar=("HEIGHT", "WIDTH"))
    parser.add_argument("--bare", action="store_true", help="measure processes without a cluster instead")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        weights = (options.weights or random_weights(Path(folder), options.width, options.depth)).resolve()
        info = read_info(weights)
        if options.bare:
            rates = {number: bare_tiles_per_second(weights, number, options.count // 2) for number in (1, 2)}
            figures = {}
        else:
            rates, figures = scale_out(weights, info, options.count, tuple(options.huge))
    name = f"scale-out-{'bare-' if options.bare else ''}w{info.config.width}d{info.config.depth}"
    common = {
        "weights": weights.stem,
        "precision": "fp32",
        "tile": info.tile,
        "overlap": info.overlap,
        "tiles_per_second": {str(number): round(rate, 4) for number, rate in rates.items()},
        "throughput_two_over_one": round(rates[2] / rates[1], 3),
    }
    report.write(name, options, common | figures)


if __name__ == "__main__":
    main()
