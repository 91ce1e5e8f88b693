"""At which scale a picture's rain is found, and how the difference made there is carried into the full picture.

Knows nothing of networks, devices or files: it yields the pixels that are to be restored and is sent them back. Pure
numpy and Pillow.

The network knows streaks of one to four pixels. A photo of 12 megapixels has streaks of 8 to 30, and the network leaves
them alone. Such a photo is made smaller, restored, and the difference is enlarged and added to the full picture.

A survey says where the rain is: a few windows of the picture, of its half, its quarter and so on go through the
network. Two measured facts tell rain and its size. Rain lies over most of a picture, while detail that is mistaken for
it fills few places: `Response.amount`. And the removed light is as fine as the streaks: `Response.fineness`.
Rain of another size is looked for again when that of the first is gone. The finest comes first: streaks too large for
a scale hardly respond, and a coarse pass takes little from a picture without rain of its size.

Haze is smooth in space. It is estimated on a smaller picture, and the full one is given the brightness and contrast
that the smaller one got in each neighbourhood (guided filter, He et al., ECCV 2010).
"""

import math
from collections.abc import Callable, Generator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from model.inference import tiling
from model.inference.tiling import Pixels, TilePlan

_OCTAVES = (1, 2, 4, 8, 16)
"""By how much a picture is made smaller for a survey."""

SMALLEST = 1 / _OCTAVES[-1]
"""The smallest scale: there, streaks of 50 pixels look like those that the network knows."""

LARGEST_STRENGTH = 1.5

MOST_PASSES = 3
"""Rain of more than three sizes, each at least twice the one before, is not looked for."""

_LEAST_AMOUNT = 0.15
"""Rain is found from here on. Rain12's lightest has 0.5, and windows of clear photos stay below 0.1."""

_FINENESS = ((0.23, 3.0), (0.37, 2.0), (0.50, 1.5), (0.71, 1.0), (0.85, 0.75), (1.08, 0.5))
"""Fineness by how many times larger than known the streaks are: medians over Rain12 enlarged by 1 to 4."""

_TOO_LARGE, _TORN = 1.2, 0.05
"""The network tears streaks that are more times wider than known, and adds light on the way: its squares are 0.08 to
0.17 of those of the removed light, instead of 0.02 at most. Such rain is judged at the next scale."""

_SMALLEST_STEP, _LARGEST_STEP = 0.72, 1.4
"""How far from the scale where rain was judged its own may lie: half an octave."""

_NEAR, _NEAR_AND_DONE = 1.2, 1.4
"""Up to here a picture is restored at full size, whose detail is worth more; the second if that is done already."""

_WHOLE_TILES = 12
"""A picture of so few tiles is surveyed by restoring it: mostly that is the pass it needs."""

_WINDOWS = 4
"""Windows that a survey takes of each scale: one of each quarter of the picture."""

_HAZE_PIXELS = 600_000
"""Haze is estimated on a picture of about this size: the photos that the weights are validated on have 0.4 million."""

_BLOCK = 16
"""Side in pixels of the squares in which light and detail are counted."""

_MARGIN = 8
"""Pixels along a window's border that are not judged: the network knows least there."""

_BAND_PIXELS = 1 << 20
"""Pixels merged at a time, so that no second picture's worth of memory is needed."""


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


@dataclass(frozen=True)
class Response:
    """Hold what the network did to windows of a picture.

    amount: light removed from typical blocks, in steps of 8 bits, less twice the light added; rain only adds light.
    fineness: squared slopes of the removed light by its squares; about 0.7 for streaks as wide as known.
    added: squares of the light added by those of the light removed.
    """

    amount: float
    fineness: float
    added: float

    @property
    def found(self) -> bool:
        """Tell whether there is rain."""
        return self.amount >= _LEAST_AMOUNT

    @property
    def times_too_large(self) -> float:
        """Estimate how many times wider than known the streaks are, 0.5 to 3."""
        fineness, times = zip(*_FINENESS, strict=True)
        return float(np.interp(self.fineness, fineness, times))

    @property
    def whole(self) -> bool:
        """Tell whether the streaks were removed whole."""
        return self.times_too_large <= _TOO_LARGE and self.added <= _TORN

    @classmethod
    def measure(cls, before: Pixels, after: Pixels) -> "Response":
        """Compare windows before and after, uint8 (n, H, W, 3)."""
        change = before.mean(axis=-1, dtype=np.float32) - after.mean(axis=-1, dtype=np.float32)
        removed, added = np.maximum(change, 0), np.maximum(-change, 0)
        energy = float((removed * removed).sum()) or 1.0
        slopes = sum(float((np.diff(removed, axis=axis) ** 2).sum()) for axis in (1, 2))
        amount = _typical(removed) - 2 * _typical(added)
        return cls(amount, slopes / energy, float((added * added).sum()) / energy)


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


def most_tiles_within(pixels: int, side: int, laid: tuple[int, int, bool]) -> int:
    """Return the most tiles that a picture within a limit of pixels and of the longer side can need at any scale.

    laid: the tile, overlap and overview of its plans.
    """
    # Of a pass at 1/2**i, whose sides may be rounded up; every pass but the first comes after a survey.
    passes = [
        tiling.most_tiles((pixels + 2 * side + 1 >> 2 * i) + 1, (side >> i) + 1, *laid) for i in range(MOST_PASSES)
    ]
    return sum(passes) + _WHOLE_TILES + MOST_PASSES * _WINDOWS * len(_OCTAVES)


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
        return Outcome(_strengthened(rgb, image, strength), scales)


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
        self._octaves = [1] + [octave for octave in _OCTAVES[1:] if min(height, width) >= self.whole.tile * octave]
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
        near = _NEAR if at_full_size is None else _NEAR_AND_DONE
        if _choose(responses, 1, near) != 1:
            due = [octave for octave in self._octaves if octave not in responses]
            responses |= yield from self._survey(rgb, due, self._most_from(1, MOST_PASSES))
        least = 1.0
        while reduction := _choose(responses, least, near):
            left = MOST_PASSES - len(scales)
            if reduction == 1 and at_full_size is not None:
                image = at_full_size
            else:
                later = self._most_from(reduction, left) - self._tiles(reduction)
                image = yield from _pass(image, self._plan, "derain", reduction, later, self._at)
            scales.append(1 / reduction)
            least = 2 * reduction
            due = [octave for octave in self._octaves if octave >= least]
            due = [octave for octave in due if octave not in responses or responses[octave].found]
            if not due or left == 1:
                break
            responses = yield from self._survey(image, due, self._most_from(least, left - 1))
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
                each.append(_windows(reduced, tile, self._windows_each))
            sheet = np.concatenate([window for windows in each for window in windows])
        restored = yield Work(sheet, TilePlan(len(sheet), tile, tile, 0), later)
        with self._at("survey"):
            inside, responses, top = slice(_MARGIN, -_MARGIN), {}, 0
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


def _choose(responses: dict[int, Response], least: float, near: float) -> float | None:
    """Return by how much to make the picture smaller for the finest rain found; None for no rain.

    It is judged at the finest scale where streaks are removed whole. Where they are too large at every scale, detail
    was taken for them; then it is the finest scale with half the most that was removed at any.
    least: the smallest answer. near: up to it, the full size is near enough.
    """
    found = {at: response for at, response in sorted(responses.items()) if response.found}
    if not found:
        return None
    enough = max(response.amount for response in found.values()) / 2
    fallback = next(at for at, response in found.items() if response.amount >= enough)
    at = next((at for at, response in found.items() if response.whole), fallback)
    step = min(max(found[at].times_too_large, _SMALLEST_STEP), _LARGEST_STEP)
    reduction = min(max(at * step, least), 1 / SMALLEST)
    return 1.0 if reduction <= near else reduction


def _windows(image: Pixels, tile: int, count: int) -> Pixels:
    """Cut windows, (n, tile, tile, 3): of each part of the picture one that is as rich in detail as most of it.

    Rain is there as well as anywhere, and a fence or a page of text, which could be mistaken for it, mostly is not.
    """
    height, width = image.shape[:2]
    parts = math.isqrt(count)
    edges = [
        [(length * part // parts, length * (part + 1) // parts) for part in range(parts)] for length in (height, width)
    ]
    places = {_ordinary(image, tile, rows, columns) for rows in edges[0] for columns in edges[1]}
    return np.stack([image[top : top + tile, left : left + tile] for top, left in sorted(places)])


def _ordinary(image: Pixels, tile: int, rows: tuple[int, int], columns: tuple[int, int]) -> tuple[int, int]:
    """Return (top, left) of the window within rows and columns, or around them, with the median of slopes."""

    def starts(first: int, end: int, length: int) -> list[int]:
        # Eight places along a side are enough to know what is ordinary.
        last = max(min(end, length) - tile, 0)
        return sorted({round(place) for place in np.linspace(min(first, last), last, 8)})

    def detail(place: tuple[int, int]) -> tuple[float, tuple[int, int]]:
        top, left = place
        green = image[top : top + tile, left : left + tile, 1].astype(np.float32)
        return _typical(np.abs(np.diff(green, axis=1))[None]), place

    places = [(top, left) for top in starts(*rows, image.shape[0]) for left in starts(*columns, image.shape[1])]
    return sorted(places, key=detail)[len(places) // 2]


def _typical(light: NDArray[np.float32]) -> float:
    """Return the squared mean root of the blocks' means: their mean if light is spread evenly, far less if not."""
    count, height, width = light.shape
    rows, columns = max(height // _BLOCK, 1), max(width // _BLOCK, 1)
    light = light[:, : height // rows * rows, : width // columns * columns]
    blocks = light.reshape(count, rows, light.shape[1] // rows, columns, light.shape[2] // columns).mean(axis=(2, 4))
    return float(np.sqrt(blocks).mean() ** 2)


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


def carry_rain(rgb: Pixels, small: Pixels, restored: Pixels) -> Pixels:
    """Add the difference of two small pictures, enlarged, to the full one; where there is none, nothing changes."""
    before, after = Image.fromarray(small), Image.fromarray(restored)
    full = np.empty_like(rgb)
    for rows, size, box in _bands(rgb.shape, small.shape):
        band = rgb[rows].astype(np.int16)
        band += np.asarray(after.resize(size, Image.Resampling.BICUBIC, box))
        band -= np.asarray(before.resize(size, Image.Resampling.BICUBIC, box))
        full[rows] = band.clip(0, 255)
    return full


def carry_haze(rgb: Pixels, small: Pixels, restored: Pixels) -> Pixels:
    """Give every neighbourhood of the full picture the contrast and brightness that the small one got there."""
    radius, noise = max(2, round(min(small.shape[:2]) / 64)), 2.0**2
    slopes, offsets = [], []
    for channel in range(3):
        before, after = (image[..., channel].astype(np.float32) for image in (small, restored))
        mean_before, mean_after = _box_mean(before, radius), _box_mean(after, radius)
        variance = _box_mean(before * before, radius) - mean_before**2
        steepness = (_box_mean(before * after, radius) - mean_before * mean_after + noise) / (variance + noise)
        slope = steepness.astype(np.float32)
        slopes.append(Image.fromarray(_box_mean(slope, radius)))
        offsets.append(Image.fromarray(_box_mean(mean_after - slope * mean_before, radius)))
    full = np.empty_like(rgb)
    for rows, size, box in _bands(rgb.shape, small.shape):
        for channel, (steep, level) in enumerate(zip(slopes, offsets, strict=True)):
            band = rgb[rows, :, channel] * np.asarray(steep.resize(size, Image.Resampling.BILINEAR, box))
            band += np.asarray(level.resize(size, Image.Resampling.BILINEAR, box))
            full[rows, :, channel] = (band + 0.5).clip(0, 255)
    return full


def _box_mean(plane: NDArray[np.float32], radius: int) -> NDArray[np.float32]:
    """Return the mean over the square around each pixel of a plane (H, W), of which at borders only what is there."""
    for axis in (0, 1):
        length = plane.shape[axis]
        sums = np.cumsum(plane, axis=axis, dtype=np.float64)
        sums = np.concatenate([np.zeros_like(sums.take([0], axis)), sums], axis)
        first = np.maximum(np.arange(length) - radius, 0)
        end = np.minimum(np.arange(length) + radius + 1, length)
        count = (end - first).reshape((-1, 1) if axis == 0 else (1, -1))
        plane = ((sums.take(end, axis) - sums.take(first, axis)) / count).astype(np.float32)
    return plane


def _strengthened(before: Pixels, after: Pixels, strength: float) -> Pixels:
    """Add a part of the difference, or more than it."""
    if strength == 1 or after is before:
        return after
    full = np.empty_like(before)
    for rows, _, _ in _bands(before.shape, before.shape):
        change = after[rows].astype(np.float32) - before[rows]
        full[rows] = (before[rows] + strength * change + 0.5).clip(0, 255)
    return full


def _bands(
    shape: tuple[int, ...], small: tuple[int, ...]
) -> Generator[tuple[slice, tuple[int, int], tuple[float, float, float, float]]]:
    """Yield the rows of each band of a picture, its size in Pillow's order, and its box in the smaller picture."""
    (height, width), ratio = shape[:2], small[0] / shape[0]
    step = max(1, _BAND_PIXELS // width)
    for top in range(0, height, step):
        end = min(top + step, height)
        yield slice(top, end), (width, end - top), (0, top * ratio, small[1], end * ratio)
