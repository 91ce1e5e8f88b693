"""All that is to be learnt from a card in so many minutes: gate, tests, speed, training and a file of weights.

    python -m benchmarks.card --minutes 40 --pack pack.tar --out RUN     # benchmarks.pack writes the pack
    python -m benchmarks.card --minutes 40 --data DATA --out RUN

Each part writes RUN/NAME.json as it ends; the same command goes on with what is missing, training included. A part that
fails is written down with its error, and the others follow. It needs what model/ needs, pytest and rich; `load` needs
the service's packages as well, and is left out without them. Without a card it runs on the processor, to try it out.

The parts share one clock and one card, and are read in the order in which they run: so they are one long file.
"""

import argparse
import json
import os
import signal
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from importlib.util import find_spec
from math import isfinite
from pathlib import Path

import numpy as np
import torch

from benchmarks import ablations, networks, pack, report, roofline, tiles
from benchmarks.weights import sets
from model.checkpoints.catalog import WEIGHTS_FOLDER
from model.checkpoints.checkpoint import load_checkpoint, read_info, save_checkpoint
from model.data.datasets import DatasetError
from model.data.sources import build_mixture, build_validation
from model.evaluation.protocol import evaluate
from model.inference.devices import cuda_hindrance, description, resolve_device
from model.inference.precision import bearable, error, fastest_form, in_precision, ladder, patterned
from model.inference.restorer import Restorer
from model.network.config import DMSRConfig
from model.training.recipe import Recipe
from model.training.trainer import Trainer
from tests.pictures import drawn

ROOT = Path(__file__).parent.parent
RESUMED_STEPS = 50
END_SECONDS = 0.12
"""The part of all time that evaluation and packing may take, after the training."""

LARGEST_FILE = 16_000_000

LAST = ("train", "packed", "scores")
"""Parts that are worth something however late it is."""


@dataclass
class Card:
    """Hold what the parts share: the options, the end of the time and whether somebody asked to stop."""

    options: argparse.Namespace
    ends: float
    stopped: threading.Event

    @property
    def left(self) -> float:
        """Return the seconds that are left."""
        return self.ends - time.monotonic()

    @property
    def device(self) -> torch.device:
        """Return the device that all parts use."""
        return resolve_device("auto")

    def recipe(self) -> tuple[Recipe, Path]:
        """Return the recipe, with the network and batches to train, and the folder its paths start from."""
        options = self.options
        if options.pack:
            folder = options.out / "data"
            recipe = pack.unpacked(options.pack, folder)
        else:
            recipe, folder = Recipe.load(options.recipe), options.data
        width, depth = options.train_network.removeprefix("w").split("d")
        phases = tuple(replace(phase, batch=phase.batch * options.batches) for phase in recipe.phases)
        recipe = replace(recipe, network=DMSRConfig(int(width), int(depth)), phases=phases)
        if options.crops:
            recipe = replace(recipe, calibration_crops=options.crops)
        return recipe, folder


def device(card: Card) -> dict[str, object]:
    """Say what was found, and why not if there is no card."""
    return description(card.device) | {"hindrance": cuda_hindrance(), **report.circumstances()}


def gpu_tests(card: Card) -> dict[str, object]:
    """Run the tests marked `gpu`; what they print goes along if one fails."""
    where = ["tests/model/inference/test_cuda.py", "tests/model/training/test_cuda.py"]
    command = [sys.executable, "-m", "pytest", "-m", "gpu", "-rfEs", "--tb=short", *where]
    done = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, timeout=max(card.left / 3, 60), check=False
    )
    last = done.stdout.strip().splitlines()[-1:]
    return {"summary": "".join(last), "passed": done.returncode == 0, "output": done.stdout[-8000:]}


def gate(card: Card) -> dict[str, object]:
    """Give every shipped file's error in each precision of the device, on patterned and drawn tiles."""
    found: dict[str, object] = {}
    for path in sorted(WEIGHTS_FOLDER.glob("*.safetensors")):
        network, info = load_checkpoint(path)
        network = network.to(card.device, memory_format=torch.channels_last)
        batch = np.concatenate([patterned(info.tile), *(drawn(info.tile, info.tile, seed)[None] for seed in range(3))])
        if card.device.type == "cpu":
            batch = batch[:1]  # which emulates 16 bits, and takes seconds a tile
        exact = restored(network, batch, card.device, "fp32")
        verdicts = {}
        for precision in ladder("auto", card.device)[:-1]:
            half = fastest_form(network, card.device, precision)
            coarse = restored(half, batch, card.device, precision)
            verdicts[precision] = judged(coarse, exact)
        with torch.autocast(card.device.type, torch.bfloat16):
            verdicts["bf16 by autocast"] = judged(restored(network, batch, card.device, "fp32"), exact)
        found[path.stem] = verdicts
    return found


@torch.inference_mode()
def restored(network: torch.nn.Module, batch: np.ndarray, device: torch.device, precision: str) -> torch.Tensor:
    """Restore tiles one by one and return 8-bit steps, float32 (n, 3, tile, tile)."""
    x = torch.from_numpy(batch).to(device).permute(0, 3, 1, 2).float().div(255)
    with in_precision(precision, device):
        each = [network(one[None].contiguous(memory_format=torch.channels_last))[0].float() for one in x]
    return torch.cat(each).clamp(0, 1).mul(255).round().cpu()


def judged(coarse: torch.Tensor, exact: torch.Tensor) -> dict[str, object]:
    """Set a precision against float32, by the gate's tile, which comes first, and by all of them."""
    mean, rare = error(coarse[:1], exact[:1])
    worst = max(error(one, other)[0] for one, other in zip(coarse, exact, strict=True))
    passes = bearable(coarse[:1], exact[:1])
    return {"passes": passes, "mean": round(mean, 4), "p999": rare, "worst_mean_of_all_tiles": round(worst, 4)}


def speed(name: str, card: Card) -> dict[str, object]:
    """Measure `tiles` for one network, and what each part of the runner is worth."""
    figures = tiles.measure(name, card.options.batch_sizes, card.options.rounds, profiled=card.device.type == "cuda")
    batch = int(figures["batch"])
    peak = roofline.matmul_peak(card.device, "bf16") if card.device.type == "cuda" else None
    return figures | {
        "ablations_seconds_per_tile": ablations.measure(name, batch, card.options.rounds),
        "bf16_matmul_gflops_peak": peak and round(peak / 1e9, 1),
    }


def load(name: str, card: Card) -> dict[str, object]:
    """Run `load` as a command, where the service's packages are."""
    if missing := [package for package in ("fastapi", "uvicorn", "httpx", "structlog") if find_spec(package) is None]:
        return {"left_out": f"missing: {', '.join(missing)}"}
    result = card.options.out / f"benchmark-load-{networks.label(name)}.json"
    quick = ["--pictures", "2", "--rounds", "1", "--idle-rounds", "2", "--arrivals", "4"] if card.options.quick else []
    command = [sys.executable, "-m", "benchmarks.load", "--network", name, "--json", str(result), *quick]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True, timeout=max(card.left / 3, 60))
    return json.loads(result.read_text())


def resume(card: Card) -> dict[str, object]:
    """Train a few steps, stop in the middle, go on in another trainer, and set that against a run without a stop."""
    recipe, data = card.recipe()
    steps = card.options.resumed_steps
    recipe = replace(recipe, steps=steps, validations=(), phases=recipe.phases[:1])
    mixture = build_mixture(recipe.sources, data, side=recipe.largest_side, seed=recipe.seed)
    losses: dict[str, list[float]] = {}

    def train(folder: str, stop: int | None = None) -> Trainer:
        trainer = Trainer(recipe, mixture, {}, card.options.out / "resume" / folder)
        seen = losses.setdefault(folder, [])
        trainer.run(
            lambda progress: seen.append(progress.loss) if progress.reports is None else None,
            lambda: trainer.counters.step == stop,
        )
        return trainer

    whole = train("whole")
    train("halves", steps // 2)
    halves = train("halves")
    differences = [abs(one - other) / one for one, other in zip(losses["whole"], losses["halves"], strict=True)]
    return {
        "steps": halves.counters.step,
        "skipped": halves.counters.skipped,
        "steps_per_second": round(steps / whole.counters.elapsed_seconds, 3),
        "largest_relative_difference_of_losses": max(differences),
        "first_loss": losses["whole"][0],
        "last_loss": losses["whole"][-1],
    }


def train(card: Card) -> dict[str, object]:
    """Train until the time for evaluation and packing comes; the run's folder is resumed."""
    recipe, data = card.recipe()
    mixture = build_mixture(recipe.sources, data, side=recipe.largest_side, seed=recipe.seed)
    validations = {spec.name: build_validation(spec, data) for spec in recipe.validations}
    for_training = card.left - END_SECONDS * 60 * card.options.minutes
    trainer = Trainer(recipe, mixture, validations, card.options.out / "training", minutes=1)
    before = trainer.counters.elapsed_seconds
    trainer.minutes = (before + max(for_training, 1)) / 60
    first = trainer.counters.step
    losses: list[float] = []
    trainer.run(lambda progress: losses.append(progress.loss), card.stopped.is_set)
    if card.stopped.is_set():
        raise InterruptedError(f"stopped at step {trainer.counters.step}; the same command goes on from there")
    spent = trainer.counters.elapsed_seconds - before
    parameters = sum(parameter.numel() for parameter in trainer.network.parameters())
    return {
        "parameters": parameters,
        "steps": trainer.counters.step,
        "skipped": trainer.counters.skipped,
        "minutes": round(trainer.counters.elapsed_seconds / 60, 2),
        "steps_per_second": round((trainer.counters.step - first) / max(spent, 1e-9), 3),
        "mean_of_the_last_losses": round(float(np.mean(losses[-50:])), 5) if losses else None,
        "best_validation_psnr": round(trainer.counters.best_psnr, 3),
    }


def packed_file(card: Card) -> dict[str, object]:
    """Round the best weights to bfloat16 and write them as one file."""
    source, target = card.options.out / "training" / "best.safetensors", card.options.out / "weights.safetensors"
    network, info = load_checkpoint(source)
    state = {
        key: value.bfloat16() if value.is_floating_point() else value for key, value in network.state_dict().items()
    }
    sha256 = save_checkpoint(target, state, info)
    size = target.stat().st_size
    return {"file": target.name, "bytes": size, "small_enough": size <= LARGEST_FILE, "sha256": sha256}


def scores(card: Card) -> dict[str, object]:
    """Score the packed file on the recipe's validations, and on the sets of weights/sets.toml that the data has."""
    path = card.options.out / "weights.safetensors"
    recipe, data = card.recipe()
    restorer = Restorer.load(path)
    found: dict[str, object] = {"precision": "", "sets": {}, "left_out": []}
    specs = (
        [*recipe.validations, *(spec for spec, _ in sets(read_info(path).task))]
        if card.options.data
        else list(recipe.validations)
    )
    for spec in {spec.name: spec for spec in specs}.values():
        if spec not in recipe.validations and (card.left < 20 or card.stopped.is_set()):
            found["left_out"].append(f"{spec.name}: no time")
            continue
        try:
            pairs = build_validation(spec, data)
        except (DatasetError, OSError) as failure:
            found["left_out"].append(f"{spec.name}: {failure}")
            continue
        scored = evaluate(partial(restorer.restore, scale=1.0), pairs, restorer.plan)
        figures = {"pictures": len(pairs), "worse": len(scored.worse)}
        for key in ("input_psnr_y", "psnr_y", "input_ssim_y", "ssim_y"):
            value = getattr(scored.mean, key)
            figures[key] = (
                round(value, 3) if isfinite(value) else None
            )  # JSON knows no infinity: an input that is clear
        found["sets"][spec.name] = figures
    found["precision"] = restorer.runner.precision
    return found


def parts(card: Card) -> dict[str, Callable[[Card], dict[str, object]]]:
    """List the parts in their order."""
    found: dict[str, Callable[[Card], dict[str, object]]] = {"device": device, "gate": gate, "gpu_tests": gpu_tests}
    for name in card.options.networks:
        found[f"tiles-{networks.label(name)}"] = partial(speed, name)
    found["resume"] = resume
    found[f"load-{networks.label(card.options.networks[0])}"] = partial(load, card.options.networks[0])
    return found | {"train": train, "packed": packed_file, "scores": scores}


def run(card: Card) -> bool:
    """Run every part that has no result yet; tell whether all have one that is good."""
    out: Path = card.options.out
    good = True
    for name, part in parts(card).items():
        path = out / f"{name}.json"
        if path.exists() and "failed" not in json.loads(path.read_text()):
            continue
        if card.stopped.is_set():
            return False
        if card.left <= 0 and name not in LAST:
            print(f"{name}: no time is left for it; the same command goes on with it")  # noqa: T201
            good = False
            continue
        began = time.monotonic()
        print(f"{name} … {card.left / 60:.1f} minutes left", flush=True)  # noqa: T201 - a command's progress
        try:
            result = part(card)
        except Exception as failure:  # noqa: BLE001 - the other parts are worth as much
            result = {"failed": f"{type(failure).__name__}: {failure}", "trace": traceback.format_exc()[-4000:]}
            good = False
        result = {"part": name, "seconds": round(time.monotonic() - began, 2), **result}
        partial_file = path.with_suffix(".part")
        partial_file.write_text(json.dumps(result, indent=2) + "\n")
        os.replace(partial_file, path)
    return good


def main() -> None:
    """Run the parts; ends with 1 if one failed or is missing."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, required=True, help="for everything together")
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--data", type=Path, help="the folder that the recipe's paths start from")
    source.add_argument("--pack", type=Path, help="a file that benchmarks.pack wrote; it has its recipe in it")
    parser.add_argument("--recipe", type=Path, default=ROOT / "model/training/recipes/derain-w16d4.toml")
    parser.add_argument("--out", type=Path, default=Path("card"), help="where the results go")
    parser.add_argument("--networks", nargs="+", default=["w16d4", "w48d16"], help="to measure; the first one serves")
    parser.add_argument("--train-network", default="w32d5", help="to train; w32d5 has 7.3 M parameters")
    parser.add_argument("--batches", type=int, default=2, help="by how much the recipe's batches are enlarged")
    parser.add_argument("--crops", type=int, default=0, help="for the BatchNorm statistics, in place of the recipe's")
    parser.add_argument("--resumed-steps", type=int, default=RESUMED_STEPS)
    parser.add_argument("--batch-sizes", type=int, nargs="+", help="of `tiles`")
    parser.add_argument("--rounds", type=int, default=5, help="of `tiles`")
    parser.add_argument("--quick", action="store_true", help="few pictures for `load`")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    card = Card(options, time.monotonic() + 60 * options.minutes, threading.Event())
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: card.stopped.set())
    sys.exit(0 if run(card) else 1)


if __name__ == "__main__":
    main()
