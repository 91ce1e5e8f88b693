"""BMP: a fixed header and rows of pixels, Windows and OS/2 kinds."""

import struct
from io import BytesIO

from PIL.BmpImagePlugin import BmpImageFile
from PIL.ImageFile import ImageFile

from app.errors import UnsupportedImage
from app.imaging.formats.header import Header

HEADER_BYTES = (12, 40, 52, 56, 64, 108, 124)

_UNCOMPRESSED, _BITFIELDS = 0, 3
_DEPTHS = (1, 4, 8, 16, 24, 32)


def read(data: bytes) -> Header:
    """Read size and depth. Run-length coding is refused: Pillow decodes it in Python, seconds a megapixel at worst."""
    (header_bytes,) = struct.unpack_from("<I", data, 14)
    if header_bytes == 12:
        width, height, _, depth = struct.unpack_from("<4H", data, 18)
        _check_depth(depth)
        return Header(width, height, "palette" if depth <= 8 else "rgb")
    width, height, _, depth, compression = struct.unpack_from("<iiHHI", data, 18)
    if compression not in (_UNCOMPRESSED, _BITFIELDS):
        raise UnsupportedImage("The BMP is compressed; save it uncompressed, or as PNG.")
    _check_depth(depth)
    alpha = False
    if compression == _BITFIELDS and depth == 32 and header_bytes >= 56:
        masks = struct.unpack_from("<4I", data, 54)
        alpha = bool(masks[3]) or not any(masks)
    return Header(width, abs(height), "palette" if depth <= 8 else "rgb", alpha=alpha)


def _check_depth(depth: int) -> None:
    if depth not in _DEPTHS:
        raise UnsupportedImage(f"The BMP has {depth} bits a pixel; save it with 24, or as PNG.", observed=depth)


def open_image(data: bytes) -> ImageFile:
    return BmpImageFile(BytesIO(data))
