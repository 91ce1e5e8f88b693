"""How a change that was made to a smaller picture is carried into the full one, which keeps its detail.

Knows nothing of rain's scale, networks or files: arrays in, an array out. Pure numpy and Pillow. Rain is removed light:
the difference is enlarged and added. Haze is smooth in space: the full picture is given the brightness and contrast
that the smaller one got in each neighbourhood (guided filter, He et al., ECCV 2010).
"""

from collections.abc import Generator

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from model.inference.tiling import Pixels

_BAND_PIXELS = 1 << 20
"""Pixels merged at a time, so that no second picture's worth of memory is needed."""


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


def strengthened(before: Pixels, after: Pixels, strength: float) -> Pixels:
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
