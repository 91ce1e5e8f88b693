"""The patchwork test: do neighbouring tiles come out unevenly bright where the picture is flat?

Knows nothing of networks: a picture, what became of it, and the plan its tiles were laid by.

Air-light judged tile by tile turns a plain sky into squares, and PSNR hardly notices. So the brightness on both sides
of every place where two tiles meet is compared, before and after, wherever the clean picture is flat.
"""

from collections.abc import Iterator
from itertools import pairwise
from math import nan

import numpy as np

from model.data.picture import Picture
from model.evaluation.metrics import luma
from model.inference.tiling import TilePlan

SPAN = 16
"""Length along the seam, and depth on each side of it, of the patches compared, in pixels."""

FLAT_DEVIATION = 3.0
"""Largest standard deviation of the clean picture's luma over both patches for the place to count as flat."""


def tile_step_growth(before: Picture, after: Picture, plan: TilePlan, clean: Picture | None = None) -> float:
    """Return by how much the mean brightness step across seams grew, in 1/255; NaN where nothing is flat.

    The step is the absolute difference of mean luma between a patch of one tile and the facing patch of the next, the
    strip in which they are blended left out. `clean` says what is flat; by default the picture before.
    """
    flat = luma(before if clean is None else clean).astype(np.float64)
    inputs, outputs = (luma(picture).astype(np.float64) for picture in (before, after))
    # A column seam of the transposed picture is a row seam of the picture.
    growth = [
        *_growth(flat, inputs, outputs, _seams(plan.columns, plan)),
        *_growth(flat.T, inputs.T, outputs.T, _seams(plan.rows, plan)),
    ]
    return float(np.mean(growth)) if growth else nan


def _seams(starts: list[int], plan: TilePlan) -> list[int]:
    """Find where one window hands over to the next: the middle of the strip that both see."""
    if plan.overlap == 0:
        return [start + plan.tile for start in starts[:-1]]
    return [round((following + start + plan.tile) / 2) for start, following in pairwise(starts)]


def _growth(flat: np.ndarray, before: np.ndarray, after: np.ndarray, seams: list[int]) -> Iterator[float]:
    reach = SPAN + SPAN // 2  # half a span for the blending, then a patch
    height, width = flat.shape
    for seam in seams:
        if seam < reach or seam + reach > width:
            continue
        left, right = slice(seam - reach, seam - SPAN // 2), slice(seam + SPAN // 2, seam + reach)
        for top in range(0, height - SPAN + 1, SPAN):
            rows = slice(top, top + SPAN)
            if flat[rows, seam - reach : seam + reach].std() <= FLAT_DEVIATION:
                steps = [abs(plane[rows, left].mean() - plane[rows, right].mean()) for plane in (before, after)]
                yield steps[1] - steps[0]
