"""A picture into tiles of one size and back: pure arithmetic on uint8 arrays, the one tiling of every road.

Knows nothing of networks, devices or files.

Blending is done in integers. Along each axis the weights of all windows over a pixel sum to sixteen, so in two
dimensions to 256, and the accumulator is 16 bits wide: exact, half the memory of float32, and independent of the order
in which tiles come back.

A window does not show the scene around it, and haze is judged by the scene. A plan with an overview therefore adds the
tiles of the picture made up to eight times smaller, then those of that picture made smaller, until one tile shows all
of it. Each restored size sets the brightness of the next larger one, which keeps its own detail.
"""

from dataclasses import dataclass, replace
from functools import cached_property
from itertools import pairwise
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

Pixels = NDArray[np.uint8]

Sides = TypeVar("Sides", int, NDArray[np.int_])
"""One length in pixels or an array of them."""

_AXIS_SUM = 16

_REDUCTION = 8
"""An overview is at most so many times smaller: in a smaller one a step between tiles is too narrow to be mended."""

_SMOOTHING = 1.2
"""The correction is blurred with this standard deviation, in pixels of the overview, so that finer detail stays."""

_MARGIN = 2
"""Pixels along an overview's border that are not used, because the network sees least of their surroundings."""

_GREY = 128
"""Stands for no correction, so that corrections of both signs fit into uint8."""

_BAND_ROWS = 256
"""Rows corrected at a time, so that no second picture's worth of memory is needed."""


@dataclass(frozen=True)
class TilePlan:
    """Lay windows of tile × tile pixels over a picture of height × width pixels, at least one in each direction.

    overlap 0 is the authors' protocol: windows stand side by side, and the last is pushed inward to end at the border.
    Of the last only the part counts that no earlier window covers. overlap > 0 spaces the windows evenly; each shares
    at least that many pixels with the next, and a linear ramp of that width in the middle of the shared strip joins
    them.
    A picture smaller than a tile is padded by reflection; `Stitcher.image` crops the padding off again.
    overview: where there are several windows, the tiles of the picture made smaller follow after them.
    """

    height: int
    width: int
    tile: int
    overlap: int
    overview: bool = False

    def __post_init__(self) -> None:
        if self.height < 1 or self.width < 1:
            raise ValueError(f"a picture of {self.width}×{self.height} pixels cannot be tiled")
        if not 0 <= self.overlap <= self.tile // 4:
            raise ValueError(f"overlap is {self.overlap}; it must lie between 0 and a quarter of the tile, {self.tile}")

    def __len__(self) -> int:
        """Count the tiles, those of all overviews among them."""
        return self.windows + (len(self.smaller) if self.smaller else 0)

    @property
    def windows(self) -> int:
        """Count the windows over the picture itself."""
        return len(self.rows) * len(self.columns)

    @cached_property
    def smaller(self) -> "TilePlan | None":
        """Return the plan of the overview, or None where there is none."""
        if not self.overview or self.windows == 1:
            return None
        return replace(self, height=int(_reduced(self.height, self.tile)), width=int(_reduced(self.width, self.tile)))

    @cached_property
    def rows(self) -> list[int]:
        """Return the top edges of the windows in pixels."""
        return _starts(self.height, self.tile, self.overlap)

    @cached_property
    def columns(self) -> list[int]:
        """Return the left edges of the windows in pixels."""
        return _starts(self.width, self.tile, self.overlap)

    def origin(self, index: int) -> tuple[int, int]:
        """Return (top, left) of window number `index`, counted row by row."""
        row, column = divmod(index, len(self.columns))
        return self.rows[row], self.columns[column]

    def weights(self, index: int) -> NDArray[np.uint16]:
        """Return how much each pixel of a window counts, (tile, tile), in 256ths."""
        row, column = divmod(index, len(self.columns))
        weights: NDArray[np.uint16] = np.multiply.outer(self._row_weights[row], self._column_weights[column])
        return weights

    @cached_property
    def _row_weights(self) -> NDArray[np.uint16]:
        return _axis_weights(self.rows, self.tile, self.overlap)

    @cached_property
    def _column_weights(self) -> NDArray[np.uint16]:
        return _axis_weights(self.columns, self.tile, self.overlap)


def most_tiles(pixels: int, side: int, tile: int, overlap: int, overview: bool = False) -> int:
    """Return the most tiles that a picture within a limit of pixels and of the longer side can need."""
    widths = np.arange(1, min(side, pixels) + 1)
    heights = np.minimum(side, pixels // widths)
    tiles = windows = _count(heights, tile, overlap) * _count(widths, tile, overlap)
    while overview and windows.max() > 1:
        heights, widths = _reduced(heights, tile), _reduced(widths, tile)
        windows = (windows > 1) * _count(heights, tile, overlap) * _count(widths, tile, overlap)
        tiles = tiles + windows
    return int(tiles.max())


def cut(image: Pixels, plan: TilePlan, index: int) -> Pixels:
    """Take tile number `index` out of an image (H, W, 3) as (tile, tile, 3), reflected where the image is too small."""
    sizes: list[tuple[int, int]] = [image.shape[:2]]
    while index >= plan.windows:
        assert plan.smaller is not None, "the plan has no tile of this number"
        index, plan = index - plan.windows, plan.smaller
        sizes.append((plan.height, plan.width))
    top, left = plan.origin(index)
    window = _part(image, sizes, slice(top, top + plan.tile), slice(left, left + plan.tile))
    missing = [(0, plan.tile - window.shape[0]), (0, plan.tile - window.shape[1]), (0, 0)]
    return np.pad(window, missing, mode="reflect") if any(end for _, end in missing) else window


def shrink(image: Pixels, height: int, width: int) -> Pixels:
    """Make an image smaller, each pixel the mean of its share of rows and columns; along a shorter side, repeat."""
    return _part(image, [image.shape[:2], (height, width)], slice(0, height), slice(0, width))


def _part(image: Pixels, sizes: list[tuple[int, int]], rows: slice, columns: slice) -> Pixels:
    """Return rows × columns of an image shrunk from size to size; only the pixels that they need are read."""
    *larger, (height, width) = sizes
    if not larger:
        return image[rows, columns]
    row_edges, column_edges = _edges(larger[-1][0], height, rows), _edges(larger[-1][1], width, columns)
    source = _part(image, larger, slice(row_edges[0], row_edges[-1]), slice(column_edges[0], column_edges[-1]))
    # Row by row, because np.add.reduceat takes twenty times as long along the first axis.
    shares = pairwise(row_edges - row_edges[0])
    total = np.stack([source[first : max(end, first + 1)].sum(axis=0, dtype=np.uint32) for first, end in shares])
    total = np.add.reduceat(total, column_edges[:-1] - column_edges[0], axis=1)
    count: NDArray[np.intp] = np.multiply.outer(
        *(np.maximum(np.diff(edges), 1) for edges in (row_edges, column_edges))
    )[:, :, None]
    return ((total + count // 2) // count).astype(np.uint8)


def _edges(length: int, shorter: int, part: slice) -> NDArray[np.intp]:
    """Return where, of `length` pixels, the share of each pixel of a part begins, and where that of the last ends."""
    return np.arange(part.start, min(part.stop, shorter) + 1) * length // shorter


class Stitcher:
    """Join restored tiles, in any order, into one image; `stitch(cut(x)) == x` for every plan."""

    def __init__(self, plan: TilePlan) -> None:
        self.plan = plan
        height, width = max(plan.height, plan.tile), max(plan.width, plan.tile)
        self._sum = np.zeros((height, width, 3), np.uint16)
        self._missing = set(range(len(plan)))
        self._smaller = Stitcher(plan.smaller) if plan.smaller else None

    def add(self, index: int, tile: Pixels) -> None:
        """Blend in the restored tile number `index`, (tile, tile, 3); each exactly once."""
        self._missing.remove(index)
        if index >= self.plan.windows:
            assert self._smaller is not None, "the plan has no tile of this number"
            self._smaller.add(index - self.plan.windows, tile)
            return
        top, left = self.plan.origin(index)
        window = self._sum[top : top + self.plan.tile, left : left + self.plan.tile]
        window += tile * self.plan.weights(index)[:, :, None]

    def image(self) -> Pixels:
        """Return the joined image, (H, W, 3), rounded; call once, after every tile was added."""
        assert not self._missing, f"{len(self._missing)} tiles were never added"
        total = self._sum[: self.plan.height, : self.plan.width]
        total += _AXIS_SUM**2 // 2
        total >>= 8
        image = total.astype(np.uint8)
        if self._smaller is not None:
            _correct(image, self._smaller.image())
        return image


def _correct(image: Pixels, overview: Pixels) -> None:
    """Shift the brightness of an image, in place, to that of its overview."""
    (height, width), size = image.shape[:2], overview.shape[:2]
    shift = overview.astype(np.int16) - shrink(image, *size) + _GREY
    shift = np.pad(shift[_MARGIN:-_MARGIN, _MARGIN:-_MARGIN], ((_MARGIN, _MARGIN), (_MARGIN, _MARGIN), (0, 0)), "edge")
    small = Image.fromarray(shift.clip(0, 255).astype(np.uint8)).filter(ImageFilter.GaussianBlur(_SMOOTHING))
    for top in range(0, height, _BAND_ROWS):
        band = image[top : top + _BAND_ROWS]
        box = (0, top * size[0] / height, size[1], (top + len(band)) * size[0] / height)
        shift = np.asarray(small.resize((width, len(band)), Image.Resampling.BILINEAR, box), np.int16) - _GREY
        band[:] = (band + shift).clip(0, 255)


def _count(length: Sides, tile: int, overlap: int) -> Sides:
    """Count the windows along a side."""
    return 1 + (length > tile) * (-(-(length - tile) // (tile - overlap)))


def _reduced(length: Sides, tile: int) -> Sides:
    """Return the side of the overview of a side."""
    reduced: Sides = np.maximum(tile, -(-length // _REDUCTION))
    return reduced


def _starts(length: int, tile: int, overlap: int) -> list[int]:
    count = _count(length, tile, overlap)
    if count == 1:
        return [0]
    if overlap == 0:
        return [min(i * tile, length - tile) for i in range(count)]
    return [round(i * (length - tile) / (count - 1)) for i in range(count)]


def _axis_weights(starts: list[int], tile: int, overlap: int) -> NDArray[np.uint16]:
    """Give the weights (windows, tile) of the windows along one axis; over any pixel they sum to _AXIS_SUM."""
    weights = np.full((len(starts), tile), _AXIS_SUM, np.int32)
    for i, (start, following) in enumerate(pairwise(starts)):
        # The strip that both windows see is [following, start + tile); the hand-over is centred in it.
        middle = (following + start + tile) / 2 if overlap else start + tile
        positions = np.arange(tile) + 0.5
        for window, origin, fade in ((i, start, -1), (i + 1, following, 1)):
            # The later window's share of each pixel, as a whole number of sixteenths.
            later = (positions + origin - middle) / max(overlap, 1e-9) + 0.5
            share = np.floor(np.clip(later, 0, 1) * _AXIS_SUM + 0.5).astype(np.int32)
            weights[window] -= share if fade < 0 else _AXIS_SUM - share
    return weights.astype(np.uint16)
