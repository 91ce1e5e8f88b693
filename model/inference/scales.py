"""The course of a picture: surveyed for its rain, restored at one scale or several, merged into the full size.

Knows nothing of networks, devices or files: it yields the pixels that are to be restored and is sent them back. Pure
numpy and Pillow. `survey` judges what the network did to windows, `merge` carries a change into the full picture.

The network knows streaks of 1 to 12 pixels, the narrower the better. A photo of 12 megapixels has streaks of 8 to 30,
of which it takes a part or nothing. Such a photo is made smaller, restored, and the difference is enlarged and added to
the full picture.

A survey says where the rain is: a few windows of the picture, of its half, its quarter and so on go through the
network. Rain of another size is looked for again when that of the first is gone. The finest comes first: streaks too
large for a scale hardly respond, and a coarse pass takes little from a picture without rain of its size.

Haze is smooth in space, so it is estimated on a smaller picture of one size.
"""

from collections.abc import Callable, Generator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Literal

import numpy as np
from PIL import Image

from model.inference import tiling
from model.inference.merge import carry_haze, carry_rain, strengthened
from model.inference.survey import OCTAVES, SMALLEST, Response, choose, ordinary_windows
from model.inference.tiling import Pixels, TilePlan

LARGEST_STRENGTH = 1.5

MOST_PASSES = 3
"""Rain of more than three sizes, each at least twice the one before, is not looked for."""

_WHOLE_TILES = 12
"""A picture of so few tiles is surveyed by restoring it: mostly that is the pass it needs."""

_WINDOWS = 4
"""Windows that a survey takes of each scale: one of each quarter of the picture."""

_HAZE_PIXELS = 600_000
"""Haze is estimated on a picture of about this size: the photos that the weights are validated on have 0.4 million."""

MARGIN = 8
"""Pixels along a window's border that are not judged: the network knows least there."""


@dataclass(frozen=True)
class Work:
    """Ask for an image, uint8 (H, W, 3), to be restored by a plan; later: the most tiles that may yet follow."""

    image: Pixels
    plan: TilePlan
    later: int = 0


@dataclass(frozen=True)
class Outcome:
    """Hold the restored picture and the scales it was restored at, finest first; none where no rain was found.

    tiles: how many were restored, a survey's among them. kept: how many of them came out as noise and were left alone.
    """

    image: Pixels
    scales: tuple[float, ...]
    tiles: int = 0
    kept: int = 0

    def __str__(self) -> str:
        """Name the scales."""
        return name_scales(self.scales)


Scale = float | Literal["auto"]

Plan = Callable[[int, int], TilePlan]
"""Lays the tiles for a picture of height × width pixels."""

Clock = Callable[[str], AbstractContextManager[None]]
"""Times a block as one station."""

Course = Generator[Work, Pixels, Outcome]
"""Yields work, is sent each restored image, of the same shape, and returns the outcome."""


def untimed(_: str) -> AbstractContextManager[None]:
    """Time nothing."""
    return nullcontext()


def name_scales(scales: Sequence[float]) -> str:
    """Name scales in one line: "1", "0.5, 0.125", or "none"."""
    return ", ".join(f"{scale:.3g}" for scale in scales) or "none"


def check_scale(scale: Scale, strength: float) -> None:
    """Raise ValueError for a scale that is neither "auto" nor in 1/16…1, or a strength outside 0…1.5."""
    if scale != "auto" and not (isinstance(scale, int | float) and SMALLEST <= scale <= 1):
        raise ValueError(f"scale is {scale!r}; it must be auto or a number from {SMALLEST} to 1")
    if not 0 <= strength <= LARGEST_STRENGTH:
        raise ValueError(f"strength is {strength!r}; it must lie between 0 and {LARGEST_STRENGTH}")


def most_tiles(height: int, width: int, plan: Plan, task: str, scale: Scale = "auto") -> int:
    """Return the most tiles that `restoration` can ask for, from the size alone."""
    if scale == "auto" and task != "dehaze":
        return _RainCourse(height, width, plan).most_tiles
    reduction = haze_reduction(height, width) if scale == "auto" else 1 / scale
    return len(plan(*_reduced(height, width, reduction)))


def least_tiles(height: int, width: int, plan: Plan, task: str, scale: Scale = "auto") -> int:
    """Return the fewest tiles that `restoration` asks for, from the size alone; mostly a survey that finds no rain."""
    if scale == "auto" and task != "dehaze":
        return _RainCourse(height, width, plan).least_tiles
    return most_tiles(height, width, plan, task, scale)


def most_tiles_within(pixels: int, side: int, laid: tuple[int, int, bool]) -> int:
    """Return the most tiles that a picture within a limit of pixels and of the longer side can need at any scale.

    laid: the tile, overlap and overview of its plans.
    """
    # Of a pass at 1/2**i, whose sides may be rounded up; every pass but the first comes after a survey.
    passes = [
        tiling.most_tiles((pixels + 2 * side + 1 >> 2 * i) + 1, (side >> i) + 1, *laid) for i in range(MOST_PASSES)
    ]
    return sum(passes) + _WHOLE_TILES + MOST_PASSES * _WINDOWS * len(OCTAVES)


def restoration(
    rgb: Pixels, plan: Plan, task: str, scale: Scale = "auto", strength: float = 1.0, at: Clock = untimed
) -> Course:
    """Restore a picture, uint8 (H, W, 3), at the scale or scales that it needs.

    scale: the part of its size at which it is restored; "auto" finds that out.
    strength: how much of the difference is added; 0 gives the picture back, 1 the restored one.
    at: times the stations "survey" and "merge".
    """
    check_scale(scale, strength)
    if not strength:
        return Outcome(rgb, ())
    height, width = rgb.shape[:2]
    if scale == "auto" and task != "dehaze":
        image, scales = yield from _RainCourse(height, width, plan, at).run(rgb)
    else:
        reduction = haze_reduction(height, width) if scale == "auto" else 1 / scale
        image, scales = (yield from _pass(rgb, plan, task, reduction, 0, at)), (1 / reduction,)
    with at("merge"):
        return Outcome(strengthened(rgb, image, strength), scales)


def haze_reduction(height: int, width: int) -> float:
    """Return by how much a picture is made smaller to estimate its haze: 1 up to twice the size meant."""
    reduction = (height * width / _HAZE_PIXELS) ** 0.5
    return reduction if reduction > 2**0.5 else 1.0


class _RainCourse:
    """Look for rain in a picture of height × width pixels, and take it off, the finest first."""

    def __init__(self, height: int, width: int, plan: Plan, at: Clock = untimed) -> None:
        self._size, self._plan, self._at = (height, width), plan, at
        self.whole = plan(height, width)
        # The smallest picture must still fill a tile.
        self._octaves = [1] + [octave for octave in OCTAVES[1:] if min(height, width) >= self.whole.tile * octave]
        few = len(self.whole) <= _WHOLE_TILES
        self._restored_as_survey = few or len(self._octaves) == 1
        self._windows_each = 1 if few else _WINDOWS

    @property
    def most_tiles(self) -> int:
        """Return the most tiles in all."""
        if len(self._octaves) == 1:
            return len(self.whole)
        first = len(self.whole) if self._restored_as_survey else 0
        return first + self._windows_each * len(self._octaves) + self._most_from(1, MOST_PASSES)

    @property
    def least_tiles(self) -> int:
        """Return the fewest tiles in all."""
        return len(self.whole) if self._restored_as_survey else self._windows_each * len(self._octaves)

    def run(self, rgb: Pixels) -> Generator[Work, Pixels, tuple[Pixels, tuple[float, ...]]]:
        """Return the restored picture and the scales of the passes."""
        image, at_full_size = rgb, None
        scales: list[float] = []
        responses: dict[int, Response] = {}
        if self._restored_as_survey:
            at_full_size = yield Work(rgb, self.whole, self.most_tiles - len(self.whole))
            with self._at("survey"):
                responses[1] = Response.measure(rgb[None], at_full_size[None])
            if len(self._octaves) == 1:
                return (at_full_size, (1.0,)) if responses[1].found else (rgb, ())
        if choose(responses, self._octaves[-1]) != 1:
            due = [octave for octave in self._octaves if octave not in responses]
            responses |= yield from self._survey(rgb, due, self._most_from(1, MOST_PASSES))
        while reduction := choose(responses, self._octaves[-1]):
            left = MOST_PASSES - len(scales)
            if reduction == 1 and at_full_size is not None:
                image = at_full_size
            else:
                later = self._most_from(reduction, left) - self._tiles(reduction)
                image = yield from _pass(image, self._plan, "derain", reduction, later, self._at)
            scales.append(1 / reduction)
            due = [octave for octave in self._octaves if octave > reduction]
            due = [octave for octave in due if octave not in responses or responses[octave].found]
            if not due or left == 1:
                break
            responses = yield from self._survey(image, due, self._most_from(2 * reduction, left - 1))
        return image, tuple(scales)

    def _survey(
        self, image: Pixels, octaves: Sequence[int], later: int
    ) -> Generator[Work, Pixels, dict[int, Response]]:
        """Have windows of the picture restored, made smaller by each octave, one below the other in one image."""
        tile, reduced, by, each = self.whole.tile, image, 1, []
        with self._at("survey"):
            for octave in octaves:
                if octave > by:
                    reduced, by = np.asarray(Image.fromarray(reduced).reduce(octave // by)), octave
                each.append(ordinary_windows(reduced, tile, self._windows_each))
            sheet = np.concatenate([window for windows in each for window in windows])
        restored = yield Work(sheet, TilePlan(len(sheet), tile, tile, 0), later)
        with self._at("survey"):
            inside, responses, top = slice(MARGIN, -MARGIN), {}, 0
            for octave, windows in zip(octaves, each, strict=True):
                after = restored[top : top + len(windows) * tile].reshape(windows.shape)
                responses[octave] = Response.measure(windows[:, inside, inside], after[:, inside, inside])
                top += len(windows) * tile
        return responses

    def _tiles(self, reduction: float) -> int:
        return len(self._plan(*_reduced(*self._size, reduction)))

    def _most_from(self, reduction: float, passes: int) -> int:
        """Return the most tiles of so many passes, the first at a reduction, and of the surveys between them."""
        tiles = self._tiles(reduction)
        due = [octave for octave in self._octaves if octave >= 2 * reduction]
        if passes > 1 and due:
            tiles += self._windows_each * len(due) + self._most_from(2 * reduction, passes - 1)
        return tiles


def _pass(
    rgb: Pixels, plan: Plan, task: str, reduction: float, later: int, at: Clock
) -> Generator[Work, Pixels, Pixels]:
    """Restore a picture made smaller, and carry what changed into the full one."""
    height, width = _reduced(rgb.shape[0], rgb.shape[1], reduction)
    if (height, width) == rgb.shape[:2]:
        return (yield Work(rgb, plan(height, width), later))
    with at("survey"):
        small = np.asarray(Image.fromarray(rgb).resize((width, height), Image.Resampling.LANCZOS))
    restored = yield Work(small, plan(height, width), later)
    with at("merge"):
        return carry_haze(rgb, small, restored) if task == "dehaze" else carry_rain(rgb, small, restored)


def _reduced(height: int, width: int, reduction: float) -> tuple[int, int]:
    return max(1, round(height / reduction)), max(1, round(width / reduction))
