"""How the learning rate, the crops and the averaging change over a run.

Knows nothing of torch: progress from 0 to 1 and step numbers in, numbers out.
"""

import math
from collections.abc import Sequence

from model.training.recipe import Optimiser, Phase


def learning_rate(optimiser: Optimiser, step: int, progress: float, steps: int | None = None) -> float:
    """Return the rate of a step: a linear rise over the warm-up, times the schedule's fall to final_rate at progress 1.

    steps: of the whole run, where they are known. A warm-up takes a tenth of a run at most, by steps or by the clock.
    """
    progress = min(max(progress, 0.0), 1.0)
    if optimiser.schedule == "cosine":
        height = 0.5 * (1 + math.cos(math.pi * progress))
    else:
        height = min(1.0, (1 - progress) / (1 - optimiser.flat)) if optimiser.flat < 1 else 1.0
    rate = optimiser.final_rate + (optimiser.peak_rate - optimiser.final_rate) * height
    if steps is None:
        return rate * min(1.0, max((step + 1) / (optimiser.warmup_steps + 1), 10 * progress))
    return rate * min(1.0, (step + 1) / (min(optimiser.warmup_steps, steps // 10) + 1))


def phase_at(phases: Sequence[Phase], progress: float) -> Phase:
    """Return the first phase whose `until` lies beyond progress; the last one when all are over."""
    return next((phase for phase in phases if progress < phase.until), phases[-1])


def averaging_decay(decay: float, step: int) -> float:
    """Begin the moving average short, (1 + step) / (10 + step), so that a fresh network is soon forgotten."""
    return min(decay, (1 + step) / (10 + step))
