"""Pillow's many modes into four: grey, grey with alpha, RGB, RGB with alpha; and from 16 bits to 8 and back.

Works on bands of rows, so that a conversion never holds the whole picture twice.
"""

import struct
from collections.abc import Callable, Iterator
from contextlib import suppress
from io import BytesIO

import numpy as np
from PIL import ImageCms
from PIL.Image import Image

from app.imaging.profile import color_space, for_transform

BAND_PIXELS = 1 << 20

_TO_GREY = frozenset(("1", "L", "LA", "La"))
_STEP = 257  # 65535 / 255: the 16-bit distance between two neighbouring 8-bit values


def row_bands(height: int, width: int) -> Iterator[slice]:
    """Yield slices of rows of about a million pixels."""
    rows = max(1, BAND_PIXELS // width)
    for top in range(0, height, rows):
        yield slice(top, min(top + rows, height))


def is_grey(image: Image) -> bool:
    """Tell whether the picture is grey by its form: grey samples, or a palette of greys."""
    if image.mode in ("P", "PA"):
        palette = np.array(image.getpalette("RGB"), np.uint8).reshape(-1, 3)
        return bool((palette == palette[:, :1]).all())
    return image.mode in _TO_GREY or image.mode.startswith("I;16")


def has_alpha(image: Image) -> bool:
    return image.mode in ("LA", "La", "PA", "RGBA") or "transparency" in image.info


def band_converter(image: Image) -> Callable[[Image], Image]:
    """Return what turns a band of the image into L, LA, RGB or RGBA.

    CMYK goes to sRGB through its profile, relative colorimetric with black point compensation as photo editors do;
    without a profile, or with one that is damaged or for other colours, by plain complement.
    """
    profile = image.info.get("icc_profile")
    if image.mode == "CMYK" and profile and color_space(profile) == "CMYK":
        with suppress(ImageCms.PyCMSError, OSError, struct.error):
            transform = ImageCms.buildTransform(
                ImageCms.ImageCmsProfile(BytesIO(for_transform(profile))),
                ImageCms.createProfile("sRGB"),
                "CMYK",
                "RGB",
                ImageCms.Intent.RELATIVE_COLORIMETRIC,
                ImageCms.Flags.BLACKPOINTCOMPENSATION,
            )
            return transform.apply
    mode = ("L" if image.mode in _TO_GREY else "RGB") + ("A" if has_alpha(image) else "")
    return lambda band: band if band.mode == mode else band.convert(mode)


def unmultiply(samples: np.ndarray) -> None:
    """Turn colours that were multiplied by their alpha, the last of (H, W, C) samples, into plain ones, in place.

    A colour above its alpha cannot have been multiplied by it: then the label is wrong, and the colours are left as
    they stand, because dividing would clip them.
    """
    full = np.iinfo(samples.dtype).max
    bands = [samples[rows] for rows in row_bands(*samples.shape[:2])]
    if any((band[..., :-1] > band[..., -1:]).any() for band in bands):
        return
    for band in bands:
        alpha = band[..., -1:].astype(np.uint32)
        band[..., :-1] = (band[..., :-1].astype(np.uint32) * full + alpha // 2) // np.maximum(alpha, 1)


def narrow(deep: np.ndarray) -> np.ndarray:
    """Return 16-bit values as the nearest 8-bit ones (uint8); v × 257 gives v back."""
    return ((deep.astype(np.uint32) + _STEP // 2) // _STEP).astype(np.uint8)


def apply_change(deep: np.ndarray, before: np.ndarray, after: np.ndarray) -> np.ndarray:
    """Return 16-bit values moved by what the network changed in 8 bits: deep + 257 × (after − before), clipped."""
    moved: np.ndarray = deep + (after.astype(np.int32) - before) * _STEP
    return np.asarray(moved.clip(0, 65535), np.uint16)


def mean_grey(rgb: np.ndarray) -> np.ndarray:
    """Return the rounded mean of the channels, uint8 (H, W).

    Of a grey picture the network gives three estimates of one value; their plain mean errs least, where a luma
    would lean on one of them.
    """
    total = rgb[..., 0].astype(np.uint16)
    total += rgb[..., 1]
    total += rgb[..., 2]
    total += 1
    total //= 3
    return total.astype(np.uint8)
