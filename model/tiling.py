"""A picture into tiles of one size and back: pure arithmetic on uint8 arrays, the one tiling of every road.

Knows nothing of networks, devices or files.

Blending is done in integers. Along each axis the weights of all windows over a pixel sum to sixteen, so in two
dimensions to 256, and the accumulator is 16 bits wide: exact, half the memory of float32, and independent of the order
in which tiles come back.
"""

from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

Pixels = NDArray[np.uint8]

_AXIS_SUM = 16


@dataclass(frozen=True)
class TilePlan:
    """Lay windows of tile × tile pixels over a picture of height × width pixels, at least one in each direction.

    overlap 0 is the authors' protocol: windows side by side, the last pushed inward to end at the border, and of it
    only what no earlier window covers is used. overlap > 0 spaces the windows evenly, each sharing at least that many
    pixels with the next; a linear ramp of that width in the middle of the shared strip joins them.
    A picture smaller than a tile is padded by reflection; `Stitcher.image` crops the padding off again.
    """

    height: int
    width: int
    tile: int
    overlap: int

    def __post_init__(self) -> None:
        if self.height < 1 or self.width < 1:
            raise ValueError(f"a picture of {self.width}×{self.height} pixels cannot be tiled")
        if not 0 <= self.overlap <= self.tile // 4:
            raise ValueError(f"overlap is {self.overlap}; it must lie between 0 and a quarter of the tile, {self.tile}")

    def __len__(self) -> int:
        """Count the tiles."""
        return len(self.rows) * len(self.columns)

    @cached_property
    def rows(self) -> list[int]:
        """Return the top edges of the windows in pixels."""
        return _starts(self.height, self.tile, self.overlap)

    @cached_property
    def columns(self) -> list[int]:
        """Return the left edges of the windows in pixels."""
        return _starts(self.width, self.tile, self.overlap)

    def origin(self, index: int) -> tuple[int, int]:
        """Return (top, left) of tile number `index`, counted row by row."""
        row, column = divmod(index, len(self.columns))
        return self.rows[row], self.columns[column]

    def weights(self, index: int) -> NDArray[np.uint16]:
        """Return how much each pixel of a tile counts, (tile, tile), in 256ths."""
        row, column = divmod(index, len(self.columns))
        return np.multiply.outer(self._row_weights[row], self._column_weights[column])

    @cached_property
    def _row_weights(self) -> NDArray[np.uint16]:
        return _axis_weights(self.rows, self.tile, self.overlap)

    @cached_property
    def _column_weights(self) -> NDArray[np.uint16]:
        return _axis_weights(self.columns, self.tile, self.overlap)


def most_tiles(pixels: int, side: int, tile: int, overlap: int) -> int:
    """Return the most tiles that a picture within a limit of pixels and of the longer side can need."""
    most, stride = 1, tile - overlap
    for columns in range(1, _count(side, tile, overlap) + 1):
        # The narrowest picture with so many columns leaves the most pixels for its height.
        width = 1 if columns == 1 else overlap + (columns - 1) * stride + 1
        height = min(side, pixels // width)
        if height:
            most = max(most, columns * _count(height, tile, overlap))
    return most


def cut(image: Pixels, plan: TilePlan, index: int) -> Pixels:
    """Take tile number `index` out of an image (H, W, 3) as (tile, tile, 3), reflected where the image is too small."""
    top, left = plan.origin(index)
    window = image[top : top + plan.tile, left : left + plan.tile]
    missing = [(0, plan.tile - window.shape[0]), (0, plan.tile - window.shape[1]), (0, 0)]
    return np.pad(window, missing, mode="reflect") if any(end for _, end in missing) else window


class Stitcher:
    """Join restored tiles, in any order, into one image; `stitch(cut(x)) == x` for every plan."""

    def __init__(self, plan: TilePlan) -> None:
        self.plan = plan
        height, width = max(plan.height, plan.tile), max(plan.width, plan.tile)
        self._sum = np.zeros((height, width, 3), np.uint16)
        self._missing = set(range(len(plan)))

    def add(self, index: int, tile: Pixels) -> None:
        """Blend in the restored tile number `index`, (tile, tile, 3); each exactly once."""
        self._missing.remove(index)
        top, left = self.plan.origin(index)
        window = self._sum[top : top + self.plan.tile, left : left + self.plan.tile]
        window += tile * self.plan.weights(index)[:, :, None]

    def image(self) -> Pixels:
        """Return the joined image, (H, W, 3), rounded; call once, after every tile was added."""
        assert not self._missing, f"{len(self._missing)} tiles were never added"
        total = self._sum[: self.plan.height, : self.plan.width]
        total += _AXIS_SUM**2 // 2
        total >>= 8
        return total.astype(np.uint8)


def _count(length: int, tile: int, overlap: int) -> int:
    return 1 if length <= tile else -(-(length - overlap) // (tile - overlap))


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
