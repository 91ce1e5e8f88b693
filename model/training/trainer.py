"""The training loop: batches in, a folder with state and weights out.

Knows nothing of terminals or signals: it reports through a function and asks another whether to stop. In the folder lie
`state.safetensors` (to resume), `latest.safetensors` and `best.safetensors` (averaged weights, ready to serve) and
`progress.jsonl` (a line a step, another for each validation).
"""

import copy
import hashlib
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass, replace
from functools import partial
from math import nan
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from model.checkpoints.checkpoint import CheckpointInfo, load_checkpoint, save_checkpoint
from model.data.datasets import Pair
from model.data.mixture import Mixture
from model.data.picture import Picture
from model.evaluation.protocol import Report, evaluate
from model.inference.cpu_threads import prepare, usable_cpus
from model.inference.devices import resolve_device
from model.inference.precision import trains_in_bf16
from model.inference.restorer import Restorer
from model.inference.runner import TileRunner
from model.network.network import DMSR
from model.training.averaging import MovingAverage, estimate_statistics
from model.training.batches import batches
from model.training.growth import begin_from
from model.training.losses import decibel_loss, dual_domain_loss
from model.training.optimisers import Optimisers
from model.training.progress import Progress, ProgressLog
from model.training.recipe import Phase, Recipe
from model.training.schedule import averaging_decay, learning_rate, phase_at
from model.training.state import Counters, load_state, save_state

CALIBRATION_STEP = 2**40
"""Batches for the BatchNorm statistics are numbered from here, so that none of them is ever trained on."""

MOST_SKIPS_IN_A_ROW = 50

MOST_WORKERS = 8


@dataclass
class Step:
    """Hold what is known of a step when it is handed to the device, and what the device will know of it."""

    counters: Counters
    fraction: float
    rate: float
    phase: Phase
    loss: float | Tensor
    finite: bool | Tensor


class Trainer:
    """Train one network by a recipe in a folder of its own; a folder that holds a state is resumed.

    init: weights to begin from instead of random ones; they may be shallower than the recipe's network.
    minutes: end by wall time instead of the recipe's steps. The schedule then follows the clock, so that only runs by
        steps are repeatable to the bit.
    save_minutes, validate_minutes: how often, in time spent on steps.
    workers: processes that draw batches; by default none on a processor, and beside a GPU as many as there are CPUs.
    """

    def __init__(
        self,
        recipe: Recipe,
        mixture: Mixture,
        validations: Mapping[str, Sequence[Pair]],
        folder: Path,
        *,
        device: str = "auto",
        precision: str = "auto",
        init: Path | None = None,
        minutes: float | None = None,
        save_minutes: float = 5,
        validate_minutes: float = 15,
        workers: int | None = None,
    ) -> None:
        self.recipe, self.mixture, self.validations, self.folder = recipe, mixture, validations, Path(folder)
        self.minutes, self.save_minutes, self.validate_minutes = minutes, save_minutes, validate_minutes
        self.device = resolve_device(device)
        self.precision = "bf16" if trains_in_bf16(precision, self.device) else "fp32"
        self.on_cpu = self.device.type == "cpu"
        if self.on_cpu:
            prepare()
        else:
            torch.backends.cudnn.benchmark = True  # a run has few shapes and meets each of them thousands of times
        self.workers = workers if workers is not None else 0 if self.on_cpu else min(usable_cpus(), MOST_WORKERS)
        torch.manual_seed(recipe.seed)
        network = DMSR(recipe.network)
        if init is not None:
            begin_from(network, load_checkpoint(init)[0])
        # On a CPU without AMX channels last makes a step 1.15 s instead of 1.47; torch.compile saves nothing there.
        self.network = network.to(self.device, memory_format=torch.channels_last)  # type: ignore[call-overload]  # missing in the stub
        if not recipe.calibration_crops and init is None and not self.state_path.exists():
            raise ValueError(
                "the recipe's calibration_crops = 0 keeps the statistics of weights: name some with --init"
            )
        self.average = MovingAverage(self.network)
        self.optimisers = Optimisers(self.network, recipe.optimiser)
        self.counters = Counters()
        self.fingerprint = hashlib.sha256(repr(recipe).encode()).hexdigest()
        if self.state_path.exists():
            self.counters = load_state(self.state_path, self.network, self.average, self.optimisers, self.fingerprint)
        self.network.train(bool(recipe.calibration_crops) and not self.counters.frozen)

    @property
    def state_path(self) -> Path:
        """Return where the run's state lies."""
        return self.folder / "state.safetensors"

    @property
    def _steps(self) -> int | None:
        return self.recipe.steps if self.minutes is None else None

    def fraction(self, step: int) -> float:
        """Return the part of the run that is over before a step, from 0 to 1."""
        if self.minutes is not None:
            return min(1.0, self.counters.elapsed_seconds / (60 * self.minutes))
        return min(1.0, step / self.recipe.steps)

    def run(self, report: Callable[[Progress], None], stop: Callable[[], bool] = lambda: False) -> None:
        """Train to the end and validate, or until stop() is true after a step; the state is saved in both cases.

        Raises FloatingPointError when too many steps in a row give no finite gradient.
        """
        counters, skips_in_a_row = self.counters, 0
        saved = validated = counters.elapsed_seconds
        progress = Progress(counters, self.fraction(counters.step), nan, nan, self.recipe.phases[-1])

        def validate(progress: Progress) -> None:
            progress = replace(progress, reports=self.validate())
            log.add(progress)
            report(progress)

        def settle(step: Step) -> Progress:
            """Learn from the device how a step ended, count it and report it."""
            nonlocal skips_in_a_row
            finite = bool(step.finite)
            skips_in_a_row = 0 if finite else skips_in_a_row + 1
            counters.skipped += not finite
            if skips_in_a_row > MOST_SKIPS_IN_A_ROW:
                raise FloatingPointError(f"{skips_in_a_row} steps in a row gave no finite gradient")
            seen = replace(step.counters, skipped=counters.skipped)
            progress = Progress(seen, step.fraction, float(step.loss), step.rate, step.phase)
            log.add(progress)
            report(progress)
            return progress

        drawn = batches(self.mixture, self._phase, counters.step, self.workers, pinned=not self.on_cpu)
        # The host is one step ahead of a GPU, so that the device never waits for what it has to say about its last one.
        under_way: deque[Step] = deque()
        with closing(drawn), ProgressLog(self.folder, counters.step) as log:
            while (fraction := self.fraction(counters.step)) < 1 and not stop():
                began = time.monotonic()
                if fraction >= self.recipe.freeze_statistics and not counters.frozen:
                    self._freeze_statistics()
                phase, degraded, clean = next(drawn)
                rate = learning_rate(self.recipe.optimiser, counters.step, fraction, self._steps)
                loss, finite = self._step(degraded, clean, rate)
                counters.step += 1
                counters.elapsed_seconds += time.monotonic() - began
                fraction = self.fraction(counters.step)
                under_way.append(Step(replace(counters), fraction, rate, phase, loss, finite))
                while len(under_way) > (0 if self.on_cpu else 1):
                    progress = settle(under_way.popleft())
                if counters.elapsed_seconds - validated > 60 * self.validate_minutes:
                    saved = validated = counters.elapsed_seconds
                    while under_way:
                        progress = settle(under_way.popleft())
                    self.save()
                    validate(progress)
                elif counters.elapsed_seconds - saved > 60 * self.save_minutes:
                    saved = counters.elapsed_seconds
                    self.save()
            while under_way:
                progress = settle(under_way.popleft())
            self.save()
            if progress.fraction >= 1:
                validate(progress)

    def save(self) -> None:
        """Write the run's state."""
        save_state(self.state_path, self.network, self.average, self.optimisers, self.counters, self.fingerprint)

    def averaged(self) -> DMSR:
        """Copy the network with averaged weights and BatchNorm statistics of its own, in eval mode."""
        network = copy.deepcopy(self.network)
        self.average.copy_to(network)
        if self.recipe.calibration_crops and not self.counters.frozen:
            self._calibrate(network)
        return network

    def _freeze_statistics(self) -> None:
        """Go on from the averaged weights, with BatchNorm statistics estimated for them that stay as they are."""
        self.average.copy_to(self.network)
        self._calibrate(self.network)
        self.counters.frozen = True

    def _calibrate(self, network: DMSR) -> None:
        """Estimate BatchNorm statistics over crops of the tile's size, which leaves the network in eval mode."""
        size, per_batch = self.recipe.tile, 4
        batches = (
            self._to_device(self.mixture.batch(CALIBRATION_STEP + index, per_batch, size)[0])
            for index in range(-(-self.recipe.calibration_crops // per_batch))
        )
        with self._autocast():
            estimate_statistics(network, batches)

    def validate(self) -> dict[str, Report]:
        """Score the averaged weights on every validation set and write them as latest and, if they are, as best."""
        network, info = self.averaged(), self._info({})
        restorer = Restorer(TileRunner(network, info, str(self.device), "auto" if self.precision == "bf16" else "fp32"))
        at_full_size = partial(restorer.restore, scale=1.0)  # the network is to be judged, not the survey
        reports = {name: evaluate(at_full_size, pairs, restorer.plan) for name, pairs in self.validations.items()}
        scores = {name: round(report.mean.psnr_y, 3) for name, report in reports.items()}
        info = self._info(scores)
        save_checkpoint(self.folder / "latest.safetensors", network.state_dict(), info)
        psnr = float(np.mean(list(scores.values()))) if scores else 0.0
        if psnr >= self.counters.best_psnr:
            self.counters.best_psnr = psnr
            save_checkpoint(self.folder / "best.safetensors", network.state_dict(), info)
        return reports

    def _phase(self, step: int) -> Phase:
        return phase_at(self.recipe.phases, self.fraction(step))

    def _step(
        self, degraded: Picture | Tensor, clean: Picture | Tensor, rate: float
    ) -> tuple[float | Tensor, bool | Tensor]:
        """Take a step; the loss and whether its gradient was finite, else nothing moved, may still be on the device."""
        x, target = self._to_device(degraded), self._to_device(clean)
        with self._autocast():
            outputs = self.network(x)
        loss = dual_domain_loss(outputs, target)
        if self.recipe.decibel_weight:
            decibels = decibel_loss(outputs, target, self.recipe.decibel_floor)
            loss = loss + self.recipe.decibel_weight * decibels
        self.optimisers.zero_grad()
        loss.backward()
        norm = nn.utils.clip_grad_norm_(self.network.parameters(), self.recipe.optimiser.clip_norm)
        decay = averaging_decay(self.recipe.optimiser.average_decay, self.counters.step)
        finite = torch.isfinite(norm)
        if not self.on_cpu:
            self.optimisers.step(rate, finite)
            self.average.update(self.network, decay)  # of weights that did not move it moves towards them again
            return loss.detach(), finite
        if finite:
            self.optimisers.step(rate)
            self.average.update(self.network, decay)
        return loss.item(), bool(finite)

    def _to_device(self, pictures: Picture | Tensor) -> Tensor:
        x = torch.as_tensor(pictures).to(self.device, non_blocking=True).permute(0, 3, 1, 2).float().div_(255)
        return x.contiguous(memory_format=torch.channels_last)

    def _autocast(self) -> torch.autocast:
        return torch.autocast(self.device.type, torch.bfloat16, enabled=self.precision == "bf16")

    def _info(self, scores: dict[str, float]) -> CheckpointInfo:
        recipe = self.recipe
        training = asdict(self.counters) | {"seed": recipe.seed, "recipe": self.fingerprint[:12]}
        tiles = (recipe.tile, recipe.overlap, recipe.overview)
        return CheckpointInfo(recipe.network, recipe.task, *tiles, training, scores)
