"""The runner against the plain network, ONNX Runtime and OpenVINO: seconds a tile, error, and the machine's own limits.

On a processor the other engines have rows where they are installed.
"""

import contextlib
from collections.abc import Callable, Iterable

import numpy as np
import torch
from torch.autograd import DeviceType
from torch.autograd.profiler_util import FunctionEventAvg
from torch.profiler import ProfilerActivity, profile

from benchmarks import networks, report, roofline
from benchmarks.engines import engines
from benchmarks.pictures import drawn
from benchmarks.plain import PlainRunner, plain_process
from benchmarks.timing import interleaved
from model.inference.runner import TileRunner

CPU_BATCHES = (1, 2, 4, 8)
CUDA_BATCHES = (1, 2, 4, 8, 16, 32, 64)
PRECISIONS = {"bf16": "auto", "fp32": "fp32"}
"""What a runner is asked for, by what it has chosen."""


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
        contenders["plain", count] = lambda count=count: released(tiles[:count])[1]
        if not on_gpu or count <= chosen:  # above the chosen batch there are no graphs
            contenders["runner", count] = lambda count=count: run(count)
    if on_gpu:
        # Graphs are captured by warm_up alone: this one launches kernel by kernel.
        eager = TileRunner(*networks.build(name), precision=PRECISIONS[runner.precision], max_tiles=chosen)
        contenders["runner_without_graphs", chosen] = lambda: eager.run(tiles[:chosen])
    peaks = [roofline.peaks(runner.device, runner.precision)]
    with (
        plain_process(name, plain.device.type) as released,
        contextlib.nullcontext({}) if on_gpu else engines(name) as others,
    ):
        for engine, restore in others.items():
            for count in batches:
                contenders[engine, count] = lambda restore=restore, count=count: restore(tiles[:count])
        each = {key: seconds / key[1] for key, seconds in interleaved(contenders, rounds).items()}
        exact = released_exactly(plain, tiles)
        errors = {engine: error(restore(tiles), exact) for engine, restore in others.items()}
    best = {who: min(taken for (name, _), taken in each.items() if name == who) for who, _ in each}
    peaks.append(roofline.peaks(runner.device, runner.precision))
    figures: dict[str, object] = {
        "precision": runner.precision,
        "batch": chosen,
        "seconds_per_tile": by_batch(each),
        "speedup_over_plain": round(best["plain"] / best["runner"], 3),
        "speedup_of_graphs": round(best["runner_without_graphs"] / best["runner"], 3) if on_gpu else None,
        "error": error(runner.run(tiles).tiles, exact),
        "engines": {
            engine: {"speedup_of_runner": round(best[engine] / best["runner"], 3), "error": found}
            for engine, found in errors.items()
        },
        "roofline": limits(runner, best, *map(max, zip(*peaks, strict=True))),
    }
    if profiled:
        figures["profile"] = {
            "plain": operator_shares(lambda: plain.run(tiles[:1]), on_gpu),
            "runner": operator_shares(lambda: run(chosen if on_gpu else 1), on_gpu),
        }
    return figures


def by_batch(each: dict[tuple[str, int], float]) -> dict[str, dict[str, float]]:
    """Group seconds a tile by contender and batch."""
    grouped: dict[str, dict[str, float]] = {}
    for (who, count), seconds in each.items():
        grouped.setdefault(who, {})[str(count)] = round(seconds, 5)
    return grouped


def released_exactly(plain: PlainRunner, tiles: np.ndarray) -> np.ndarray:
    """Return what the plain network answers without TF32."""
    with torch.backends.cudnn.flags(enabled=True, allow_tf32=False):
        return np.concatenate([plain.run(tile[None]).tiles for tile in tiles])


def error(restored: np.ndarray, exact: np.ndarray) -> dict[str, float]:
    """Compare two answers, in 8-bit steps."""
    difference = np.abs(restored.astype(int) - exact)
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
    return shares(profiled.key_averages(), on_gpu, most)


def shares(events: Iterable[FunctionEventAvg], on_gpu: bool, most: int) -> dict[str, float]:
    """Return each event's share of the time. On a GPU kernels alone count: their operators have the same."""
    attribute = "self_device_time_total" if on_gpu else "self_cpu_time_total"
    listed = [event for event in events if not on_gpu or event.device_type == DeviceType.CUDA]
    taken = {event.key: getattr(event, attribute) for event in listed}
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
