"""What the stations of imaging hand on: limits, what a header says, pixels. Knows nothing of files or codecs."""

from dataclasses import dataclass, field

import numpy as np


@dataclass(frozen=True, slots=True)
class ImageLimits:
    """How large a picture may say it is before its pixels are left alone, and of which formats; None: all there are.

    Above 178 megapixels Pillow has a limit of its own for TIFF and WebP, which it calls undecodable then.
    """

    max_pixels: int = 50_000_000
    max_side: int = 30_000
    formats: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True)
class Probe:
    """What the header of an image says; no pixel has been decoded.

    `width` and `height` are as displayed, after `orientation` (EXIF, 1 to 8) is applied. `mode` is "grey", "rgb",
    "palette" or "cmyk", and `bits` those of its deepest channel. `exif` is what may travel on.
    """

    format: str
    width: int
    height: int
    mode: str
    bits: int
    alpha: bool
    frames: int
    orientation: int
    exif: bytes = field(repr=False, compare=False)

    @property
    def pixels(self) -> int:
        return self.width * self.height


@dataclass(frozen=True, slots=True)
class Picture:
    """The pixels of an image, upright, with what must come back beside them.

    `rgb` is uint8 (H, W, 3), C-contiguous: what the network sees. `deep` is uint16 (H, W, 1 or 3), grey or RGB: the
    values that `rgb` holds narrowed to 8 bits. `alpha` is (H, W), of the depth of the deepest. `dpi` is (horizontal,
    vertical). `png_colour` holds the PNG chunks that say what the numbers mean, beside or instead of an ICC profile.
    `warnings` are sentences on what the file did not have or what could not be kept.
    """

    rgb: np.ndarray
    grey: bool = False
    alpha: np.ndarray | None = None
    deep: np.ndarray | None = None
    icc: bytes | None = None
    exif: bytes = b""
    dpi: tuple[float, float] | None = None
    png_colour: tuple[tuple[bytes, bytes], ...] = ()
    warnings: tuple[str, ...] = ()

    @property
    def width(self) -> int:
        return int(self.rgb.shape[1])

    @property
    def height(self) -> int:
        return int(self.rgb.shape[0])

    @property
    def bits(self) -> int:
        return 8 if self.deep is None else 16

    @property
    def opaque(self) -> bool:
        """Tell whether every pixel is."""
        return self.alpha is None or bool((self.alpha == np.iinfo(self.alpha.dtype).max).all())
