"""GIF: a screen, and blocks of 255 bytes that hold its frames. Pillow puts the one frame on the screen."""

import struct
from io import BytesIO

from PIL.GifImagePlugin import GifImageFile
from PIL.ImageFile import ImageFile

from app.errors import UndecodableImage
from app.imaging.formats.header import Header

# 32 MB in blocks of 255 bytes are 132,000.
MAX_BLOCKS = 262_144

_EXTENSION, _FRAME, _END, _CONTROL = 0x21, 0x2C, 0x3B, 0xF9
_PALETTE, _PALETTE_SIZE, _TRANSPARENT = 0x80, 0x07, 0x01


def read(data: bytes) -> Header:
    """Read the screen's size, count the frames up to the second, and see whether one has a transparent colour."""
    width, height, flags = struct.unpack_from("<HHB", data, 6)
    at, frames, alpha, blocks = 13 + _palette_bytes(flags), 0, False, 0
    while frames < 2 and at < len(data) and data[at] != _END:
        if data[at] == _EXTENSION:
            alpha |= data[at + 1] == _CONTROL and bool(data[at + 3] & _TRANSPARENT)
            at += 2
        elif data[at] == _FRAME:
            frames += 1
            at += 10 + _palette_bytes(data[at + 9]) + 1
        elif frames:  # some writers fill up with zeros
            break
        else:
            raise UndecodableImage("The GIF has a block of an unknown kind.")
        while at < len(data) and data[at]:
            at += 1 + data[at]
            blocks += 1
            if blocks > MAX_BLOCKS:
                raise UndecodableImage("The GIF has more blocks than a picture needs.", limit=MAX_BLOCKS)
        at += 1
    if not frames:
        raise UndecodableImage("The GIF holds no picture.")
    return Header(width, height, "palette", alpha=alpha, frames=frames)


def open_image(data: bytes) -> ImageFile:
    return GifImageFile(BytesIO(data))


def _palette_bytes(flags: int) -> int:
    return 3 * 2 ** ((flags & _PALETTE_SIZE) + 1) if flags & _PALETTE else 0
