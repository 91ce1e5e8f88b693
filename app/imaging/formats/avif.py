"""AVIF: an ISO media file whose boxes libavif parses; opening it decodes nothing.

Its rotation and mirror boxes count, not its EXIF; Pillow hands them over as the orientation tag of the EXIF.
"""

import re
from io import BytesIO

from PIL.AvifImagePlugin import AvifImageFile
from PIL.ImageFile import ImageFile

from app.errors import UnsupportedImage
from app.imaging.formats.header import Header

# The codec's configuration box: name, version byte, profile byte, then tier, high_bitdepth and twelve_bit flags.
_CONFIGURATION = re.compile(rb"av1C\x81.(.)", re.DOTALL)


def read(data: bytes) -> Header:
    """Read size, frames, alpha and EXIF; refuse 10 and 12 bits, which Pillow narrows to 8 without a word."""
    bits = max((_bits(match[1][0]) for match in _CONFIGURATION.finditer(data)), default=8)
    if bits > 8:
        raise UnsupportedImage(f"The AVIF has {bits} bits a channel; save it with 8.", limit=8, observed=bits)
    with open_image(data) as image:
        width, height = image.size
        mode = "grey" if image.mode in ("L", "LA") else "rgb"
        alpha = image.mode in ("LA", "RGBA")
        return Header(width, height, mode, bits, alpha, image.n_frames, image.info.get("exif", b""))


def open_image(data: bytes) -> ImageFile:
    return AvifImageFile(BytesIO(data))


def _bits(flags: int) -> int:
    if not flags & 0x40:
        return 8
    return 12 if flags & 0x20 else 10
