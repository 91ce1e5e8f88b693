"""Scores of a restorer on pairs enlarged as if a better camera had taken them: is rain found at every size?

Knows nothing of weights or devices.
"""

import time
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np

from model.data.datasets import Pair
from model.data.picture import Picture, resize, through_jpeg
from model.evaluation.metrics import luma, psnr
from model.inference.scales import Outcome

JPEG_QUALITY = 95


@dataclass(frozen=True)
class Enlarged:
    """Hold the mean Y-PSNR in dB of pairs enlarged by a factor, the smallest gain of a picture, and the scales used.

    scales: how many pictures were restored at each scale or several, as X-DMSR-Scale says it. seconds: all together.
    """

    factor: float
    psnr_y: float
    input_psnr_y: float
    least_gain: float
    scales: dict[str, int]
    seconds: float

    @property
    def gain(self) -> float:
        """Return the mean gain in dB."""
        return self.psnr_y - self.input_psnr_y


def enlarge(pair: Pair, factor: float) -> Pair:
    """Enlarge both pictures bicubically; the degraded one goes through JPEG, as a camera's does."""
    size = [round(side * factor) for side in pair.clean.shape[:2]]
    return Pair(pair.name, through_jpeg(resize(pair.degraded, *size), JPEG_QUALITY), resize(pair.clean, *size))


def measure_enlarged(restore: Callable[[Picture], Outcome], pairs: Iterable[Pair], factor: float) -> Enlarged:
    """Restore and score every pair enlarged by a factor."""
    outputs, inputs, scales, seconds = [], [], Counter[str](), 0.0
    for pair in pairs:
        large = enlarge(pair, factor)
        start = time.perf_counter()
        outcome = restore(large.degraded)
        seconds += time.perf_counter() - start
        scales[str(outcome)] += 1
        clean = luma(large.clean)
        outputs.append(psnr(luma(outcome.image), clean))
        inputs.append(psnr(luma(large.degraded), clean))
    least = float(np.min(np.subtract(outputs, inputs)))
    return Enlarged(factor, float(np.mean(outputs)), float(np.mean(inputs)), least, dict(scales), round(seconds, 1))
