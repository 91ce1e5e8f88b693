"""One RGB picture: read, written, resized, stored as JPEG and read again.

Knows nothing of rain, haze or folders.
"""

import io
import zlib
from pathlib import Path

import numpy as np
from PIL import Image, ImageFilter

Picture = np.ndarray
"""RGB, uint8, (H, W, 3)."""


def read_picture(path: Path) -> Picture:
    """Decode a file as RGB, uint8 (H, W, 3)."""
    with Image.open(path) as image:
        return np.asarray(image.convert("RGB"))


def write_picture(path: Path, picture: Picture) -> None:
    """Encode RGB, uint8 (H, W, 3), as a file whose suffix is the format."""
    Image.fromarray(picture).save(path)


def resize(picture: Picture, height: int, width: int, kernel: str = "bicubic") -> Picture:
    """Resize by the kernel bilinear, bicubic or lanczos, widened where the picture shrinks, so that nothing aliases."""
    if picture.shape[:2] == (height, width):
        return picture
    resampling = Image.Resampling[kernel.upper()]
    return np.asarray(Image.fromarray(picture).resize((width, height), resampling))


def resize_part(plane: np.ndarray, part: tuple[float, float, float, float], height: int, width: int) -> np.ndarray:
    """Resize a part (top, bottom, left, right in pixels, not only whole ones) of a float32 plane bicubically."""
    top, bottom, left, right = part
    box = (left, top, right, bottom)
    return np.asarray(Image.fromarray(plane).resize((width, height), Image.Resampling.BICUBIC, box=box))


def blur(picture: Picture, sigma: float) -> Picture:
    """Blur by a Gaussian of sigma pixels (three box filters, Pillow's way)."""
    return np.asarray(Image.fromarray(picture).filter(ImageFilter.GaussianBlur(sigma)))


def through_jpeg(picture: Picture, quality: int, subsampling: str = "4:2:0") -> Picture:
    """Encode as JPEG of that quality, 1–95, and decode."""
    file = io.BytesIO()
    Image.fromarray(picture).save(file, "JPEG", quality=quality, subsampling=subsampling)
    return np.asarray(Image.open(file))


def to_float(picture: Picture) -> np.ndarray:
    """Turn uint8 into float32 in [0, 1]."""
    return picture.astype(np.float32) / 255


def quantise(picture: np.ndarray) -> Picture:
    """Turn [0, 1] into uint8, rounded, clipped."""
    quantised: Picture = (np.clip(picture, 0, 1) * 255 + 0.5).astype(np.uint8)
    return quantised


def without_colour(picture: Picture) -> Picture:
    """Replace all three channels by their luma (BT.601), as grey photos stored as RGB have it."""
    return np.repeat(np.asarray(Image.fromarray(picture).convert("L"))[..., None], 3, axis=2)


def starken(picture: Picture, rng: np.random.Generator) -> Picture:
    """Raise the contrast 2.5 to 6 times about a grey of 0.3 to 0.6, as scans and pictures made for effect have it."""
    return quantise((to_float(picture) - rng.uniform(0.3, 0.6)) * rng.uniform(2.5, 6) + 0.5)


def picture_rng(seed: int, name: str) -> np.random.Generator:
    """Return the generator that degrades the picture of a name: the same for the same seed, whatever came before."""
    return np.random.default_rng((seed, zlib.crc32(name.encode())))
