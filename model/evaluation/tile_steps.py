"""The patchwork test: do neighbouring tiles come out unevenly bright where the picture is flat?

Knows nothing of networks: a picture, what became of it, and the plan its tiles were laid by.

Air-light judged tile by tile turns a plain sky into squares, and PSNR hardly notices. So the brightness on both sides
of every place where two tiles meet is compared, before and after, wherever the clean picture is flat. Contrast that is
given back grows everywhere, and noise that is removed shrinks everywhere: so the same is done in the middle of tiles,
and only what grew more where they meet is theirs.
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

REACH = SPAN // 2 + SPAN
"""How far the place is looked at on each side of a seam, in pixels: half a span for the blending, then a patch."""

FLAT_DEVIATION = 3.0
"""Largest standard deviation of the clean picture's luma over both patches for the place to count as flat."""


def tile_step_growth(before: Picture, after: Picture, plan: TilePlan, clean: Picture | None = None) -> float:
    """Return by how much more the mean brightness step grew across seams than inside tiles, in 1/255.

    The step is the absolute difference of mean luma between a patch of one tile and the facing patch of the next, the
    strip in which they are blended left out; inside tiles, between patches as far apart about the middle of each.
    NaN where nothing is flat at a seam, or nothing inside. `clean` says what is flat; by default the picture before.
    """
    planes = [luma(picture).astype(np.float64) for picture in (before if clean is None else clean, before, after)]
    excess: list[float] = []
    # A column seam of the transposed picture is a row seam of the picture.
    for starts, turned in ((plan.columns, planes), (plan.rows, [plane.T for plane in planes])):
        if inside := list(_growth(turned, _middles(starts, plan))):
            excess += (growth - float(np.mean(inside)) for growth in _growth(turned, _seams(starts, plan)))
    return float(np.mean(excess)) if excess else nan


def _seams(starts: list[int], plan: TilePlan) -> list[int]:
    """Find where one window hands over to the next: the middle of the strip that both see."""
    if plan.overlap == 0:
        return [start + plan.tile for start in starts[:-1]]
    return [round((following + start + plan.tile) / 2) for start, following in pairwise(starts)]


def _middles(starts: list[int], plan: TilePlan) -> list[int]:
    """Find the middles of windows that no seam is near."""
    middles = (start + plan.tile // 2 for start in starts)
    return [middle for middle in middles if all(abs(middle - seam) >= REACH for seam in _seams(starts, plan))]


def _growth(planes: list[np.ndarray], places: list[int]) -> Iterator[float]:
    flat, before, after = planes
    height, width = flat.shape
    for place in places:
        if place < REACH or place + REACH > width:
            continue
        left, right = slice(place - REACH, place - SPAN // 2), slice(place + SPAN // 2, place + REACH)
        for top in range(0, height - SPAN + 1, SPAN):
            rows = slice(top, top + SPAN)
            if flat[rows, place - REACH : place + REACH].std() <= FLAT_DEVIATION:
                steps = [abs(plane[rows, left].mean() - plane[rows, right].mean()) for plane in (before, after)]
                yield steps[1] - steps[0]
