"""What every format's header is read into, and samples that Pillow has no mode for. Knows no format."""

from typing import NamedTuple

import numpy as np


class Header(NamedTuple):
    """A header's facts, as stored: width and height are those before orientation, `exif` is as found.

    `mode` is "grey", "rgb", "palette" or "cmyk", `bits` those of the deepest channel. `orientation` is that of the
    EXIF unless the format has a word of its own for it.
    """

    width: int
    height: int
    mode: str
    bits: int = 8
    alpha: bool = False
    frames: int = 1
    exif: bytes = b""
    orientation: int | None = None


class Samples(NamedTuple):
    """Pixels as stored: uint8 or uint16 (H, W, C), C being 1 to 4 for grey or RGB with or without alpha."""

    values: np.ndarray
    icc: bytes | None = None
    dpi: tuple[float, float] | None = None
