"""Scores of a restorer over pairs: what `dmsr evaluate` prints and the trainer watches.

Knows nothing of weights or devices: any function from picture to picture can be scored.
"""

from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, fields
from math import isfinite, isnan, nan

import numpy as np

from model.data.datasets import Pair
from model.data.picture import Picture
from model.evaluation.metrics import luma, psnr, ssim
from model.evaluation.tile_steps import tile_step_growth
from model.inference.tiling import TilePlan

UNTOUCHED = 100.0
"""PSNR in dB at which a picture that comes back equal to its target counts in a mean, where infinity would hide the
others: that of a single pixel in 400×400 that is one grey level off."""


@dataclass(frozen=True)
class Score:
    """Hold the figures of one picture, or their means; PSNR in dB, the input's own beside the output's.

    tile_step: by how much the brightness step between tiles grew in flat regions, in 1/255; NaN where nothing is flat.
    """

    psnr_y: float
    ssim_y: float
    psnr_rgb: float
    input_psnr_y: float
    input_ssim_y: float
    input_psnr_rgb: float
    tile_step: float = nan

    @classmethod
    def measure(cls, pair: Pair, restored: Picture, plan: TilePlan | None = None) -> "Score":
        """Compare input and output with the clean picture; without a plan the tile step is not measured."""
        clean, output, degraded = luma(pair.clean), luma(restored), luma(pair.degraded)
        return cls(
            psnr(output, clean),
            ssim(output, clean),
            psnr(restored, pair.clean),
            psnr(degraded, clean),
            ssim(degraded, clean),
            psnr(pair.degraded, pair.clean),
            nan if plan is None else tile_step_growth(pair.degraded, restored, plan, pair.clean),
        )


@dataclass(frozen=True)
class Report:
    """Hold the scores of a set by picture name."""

    images: dict[str, Score]

    @property
    def mean(self) -> Score:
        """Return the plain mean of every figure, as the papers do; of the tile step, where there is one.

        An output equal to its target counts as UNTOUCHED; inputs that are clear stay infinite.
        """
        columns = {f.name: [getattr(score, f.name) for score in self.images.values()] for f in fields(Score)}
        for name in ("psnr_y", "psnr_rgb"):
            columns[name] = [min(value, UNTOUCHED) for value in columns[name]]
        columns["tile_step"] = [step for step in columns["tile_step"] if not isnan(step)] or [nan]
        return Score(**{name: float(np.mean(values)) for name, values in columns.items()})

    @property
    def worse(self) -> list[str]:
        """Name the pictures whose Y-PSNR fell."""
        return [name for name, score in self.images.items() if score.psnr_y < score.input_psnr_y]

    def to_table(self) -> dict[str, object]:
        """Return plain dictionaries for JSON, the mean first; what is infinite (equal pictures) or NaN becomes None."""

        def plain(score: Score) -> dict[str, float | None]:
            return {key: value if isfinite(value) else None for key, value in asdict(score).items()}

        return {"mean": plain(self.mean), "images": {name: plain(score) for name, score in self.images.items()}}


def evaluate(
    restore: Callable[[Picture], Picture],
    pairs: Iterable[Pair],
    plan: Callable[[int, int], TilePlan] | None = None,
) -> Report:
    """Restore and score every pair; plan, as Restorer.plan, tells from height and width where tiles meet."""
    images = {}
    for pair in pairs:
        tiles = None if plan is None else plan(*pair.clean.shape[:2])
        images[pair.name] = Score.measure(pair, restore(pair.degraded), tiles)
    return Report(images)
