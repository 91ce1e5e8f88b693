"""Scores of a restorer over pairs: what `dmsr evaluate` prints and the trainer watches.

Knows nothing of weights or devices: any function from picture to picture can be scored.
"""

from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, fields

import numpy as np

from model.dataset import Pair
from model.degrade import Picture
from model.evaluation.metrics import luma, psnr, ssim


@dataclass(frozen=True)
class Score:
    """Hold the figures of one picture, or their means; PSNR in dB, the input's own beside the output's."""

    psnr_y: float
    ssim_y: float
    psnr_rgb: float
    input_psnr_y: float
    input_ssim_y: float
    input_psnr_rgb: float

    @classmethod
    def measure(cls, pair: Pair, restored: Picture) -> "Score":
        """Compare input and output with the clean picture."""
        clean = luma(pair.clean)
        output, degraded = luma(restored), luma(pair.degraded)
        return cls(
            psnr(output, clean),
            ssim(output, clean),
            psnr(restored, pair.clean),
            psnr(degraded, clean),
            ssim(degraded, clean),
            psnr(pair.degraded, pair.clean),
        )


@dataclass(frozen=True)
class Report:
    """Hold the scores of a set by picture name."""

    images: dict[str, Score]

    @property
    def mean(self) -> Score:
        """Return the plain mean of every figure, as the papers do."""
        rows = np.array([[getattr(score, f.name) for f in fields(Score)] for score in self.images.values()])
        return Score(*rows.mean(axis=0).tolist())

    @property
    def worse(self) -> list[str]:
        """Name the pictures whose Y-PSNR fell."""
        return [name for name, score in self.images.items() if score.psnr_y < score.input_psnr_y]

    def to_table(self) -> dict[str, object]:
        """Return plain dictionaries for JSON, the mean first; an infinite PSNR, of equal pictures, becomes None."""

        def plain(score: Score) -> dict[str, float | None]:
            return {key: value if np.isfinite(value) else None for key, value in asdict(score).items()}

        return {"mean": plain(self.mean), "images": {name: plain(score) for name, score in self.images.items()}}


def evaluate(restore: Callable[[Picture], Picture], pairs: Iterable[Pair]) -> Report:
    """Restore and score every pair, one after the other."""
    return Report({pair.name: Score.measure(pair, restore(pair.degraded)) for pair in pairs})
