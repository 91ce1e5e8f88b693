"""How the learning rate, the crops and the averaging change over a run.

Knows nothing of torch: progress from 0 to 1 and step numbers in, numbers out.
"""

import math
from collections.abc import Sequence

from model.training.recipe import Optimiser, Phase


def learning_rate(optimiser: Optimiser, step: int, progress: float) -> float:
    """Rise linearly over the warm-up steps, then fall by a half cosine from peak_rate to final_rate at progress 1."""
    fall = 0.5 * (1 + math.cos(math.pi * min(max(progress, 0.0), 1.0)))
    rate = optimiser.final_rate + (optimiser.peak_rate - optimiser.final_rate) * fall
    return rate * min(1.0, (step + 1) / (optimiser.warmup_steps + 1))


def phase_at(phases: Sequence[Phase], progress: float) -> Phase:
    """Return the first phase whose `until` lies beyond progress; the last one when all are over."""
    return next((phase for phase in phases if progress < phase.until), phases[-1])


def averaging_decay(decay: float, step: int) -> float:
    """Begin the moving average short, (1 + step) / (10 + step), so that a fresh network is soon forgotten."""
    return min(decay, (1 + step) / (10 + step))
