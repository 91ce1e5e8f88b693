"""The runner against the plain network: seconds a tile, error, and how close both are to the machine's own limits."""

from collections.abc import Callable

import numpy as np
import torch
from torch.profiler import ProfilerActivity, profile

from benchmarks import networks, report, roofline
from benchmarks.plain import PlainRunner, plain_process
from benchmarks.timing import interleaved
from model.inference.runner import TileRunner
from tests.pictures import drawn

CPU_BATCHES = (1, 2, 4, 8)
CUDA_BATCHES = (1, 2, 4, 8, 16, 32, 64)


def measure(name: str, batches: list[int] | None, rounds: int, profiled: bool) -> dict[str, object]:
    """Measure one network, by name."""
    network, info = networks.build(name)
    plain = PlainRunner(network, "cuda" if torch.cuda.is_available() else "cpu")
    runner = TileRunner(network, info, max_tiles=64)
    runner.warm_up()
    chosen, on_gpu = runner.max_tiles, runner.device.type == "cuda"
    batches = batches or list(CUDA_BATCHES if on_gpu else CPU_BATCHES)
    tiles = np.stack([drawn(runner.tile, runner.tile, seed) for seed in range(max(batches))])

    def run(count: int) -> None:
        runner.max_tiles = max(count, chosen)
        runner.run(tiles[:count])

    contenders: dict[tuple[str, int], Callable[[], object]] = {}
    for count in batches:
        contenders["plain", count] = lambda count=count: released(tiles[:count])
        if not on_gpu or count <= chosen:  # above the chosen batch there are no graphs
            contenders["runner", count] = lambda count=count: run(count)
    if on_gpu:
        eager = without_graphs(*networks.build(name), chosen)
        contenders["runner_without_graphs", chosen] = lambda: eager.run(tiles[:chosen])
    peaks = [roofline.peaks(runner.device, runner.precision)]
    with plain_process(name, plain.device.type) as released:
        each = {key: seconds / key[1] for key, seconds in interleaved(contenders, rounds).items()}
    best = {who: min(taken for (name, _), taken in each.items() if name == who) for who, _ in each}
    peaks.append(roofline.peaks(runner.device, runner.precision))
    figures: dict[str, object] = {
        "precision": runner.precision,
        "batch": chosen,
        "seconds_per_tile": by_batch(each),
        "speedup_over_plain": round(best["plain"] / best["runner"], 3),
        "speedup_of_graphs": round(best["runner_without_graphs"] / best["runner"], 3) if on_gpu else None,
        "error": error(runner, plain, tiles),
        "roofline": limits(runner, best, *map(max, zip(*peaks, strict=True))),
    }
    if profiled:
        figures["profile"] = {
            "plain": operator_shares(lambda: plain.run(tiles[:1]), on_gpu),
            "runner": operator_shares(lambda: run(chosen) if on_gpu else on_this_thread(runner, tiles[:1]), on_gpu),
        }
    return figures


def without_graphs(network: object, info: object, chosen: int) -> TileRunner:
    """Make a runner that launches kernel by kernel; only this comparison wants one, so the runner has no switch."""
    runner = TileRunner(network, info, max_tiles=chosen)
    runner._graphs = None
    return runner


@torch.inference_mode()
def on_this_thread(runner: TileRunner, tiles: np.ndarray) -> None:
    """Run tiles where a profiler sees it, which follows no other thread; the runner's own are others."""
    runner._restore(torch.from_numpy(tiles))


def by_batch(each: dict[tuple[str, int], float]) -> dict[str, dict[str, float]]:
    """Group seconds a tile by contender and batch."""
    grouped: dict[str, dict[str, float]] = {}
    for (who, count), seconds in each.items():
        grouped.setdefault(who, {})[str(count)] = round(seconds, 5)
    return grouped


def error(runner: TileRunner, plain: PlainRunner, tiles: np.ndarray) -> dict[str, float]:
    """Compare what both answer, in 8-bit steps; the plain network without TF32."""
    with torch.backends.cudnn.flags(enabled=True, allow_tf32=False):
        wanted = np.concatenate([plain.run(tile[None]).tiles for tile in tiles])
    difference = np.abs(runner.run(tiles).tiles.astype(int) - wanted)
    return {
        "mean_steps": round(float(difference.mean()), 4),
        "p999_steps": float(np.quantile(difference, 0.999)),
        "max_steps": int(difference.max()),
    }


def limits(runner: TileRunner, best: dict[str, float], matmul: float, copy: float) -> dict[str, float]:
    """Set the best seconds a tile against what a matrix product and a copy get out of the device."""
    flops, traffic = roofline.cost(runner.info.config, runner.tile)
    return {
        "gflop_per_tile": round(flops / 1e9, 3),
        "unfused_megabytes_per_tile": round(traffic / 1e6, 1),
        "matmul_gflops_peak": round(matmul / 1e9, 1),
        "copy_gigabytes_per_second_peak": round(copy / 1e9, 1),
        "matmul_bound_seconds": round(flops / matmul, 5),
        "unfused_copy_bound_seconds": round(traffic / copy, 5),
    } | {f"{who}_percent_of_matmul_peak": round(100 * flops / matmul / taken, 2) for who, taken in best.items()}


def operator_shares(call: Callable[[], object], on_gpu: bool, most: int = 15) -> dict[str, float]:
    """Return which part of the time each operator takes, the dearest first."""
    activities = [ProfilerActivity.CPU] + [ProfilerActivity.CUDA] * on_gpu
    with profile(activities=activities) as profiled:
        call()
    attribute = "self_device_time_total" if on_gpu else "self_cpu_time_total"
    taken = {event.key: getattr(event, attribute) for event in profiled.key_averages()}
    whole = sum(taken.values())
    dearest = sorted(taken, key=taken.__getitem__, reverse=True)[:most]
    return {key: round(taken[key] / whole, 4) for key in dearest}


def main() -> None:
    """Measure and report."""
    parser = report.parser(__doc__)
    parser.add_argument("--network", default="w16d4", help="a size such as w16d4, or a weights file")
    parser.add_argument("--batches", type=int, nargs="+", help="1 to 8 on a CPU, 1 to 64 on CUDA by default")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--profile", action="store_true", help="add the operators' shares of the time")
    options = parser.parse_args()
    figures = measure(options.network, options.batches, options.rounds, options.profile)
    report.write(f"tiles-{networks.label(options.network)}", options, figures)


if __name__ == "__main__":
    main()
