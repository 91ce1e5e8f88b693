"""WebP: RIFF chunks around a VP8 or VP8L stream."""

import struct
from io import BytesIO

from PIL.ImageFile import ImageFile
from PIL.WebPImagePlugin import WebPImageFile

from app.errors import UndecodableImage
from app.imaging.formats.header import Header

MAX_CHUNKS = 4096

_ANIMATION, _ALPHA = 0x02, 0x10


def read(data: bytes) -> Header:
    """Read the first chunk's size and alpha; of an extended file also its frames and EXIF."""
    first = data[12:16]
    if first == b"VP8 ":
        width, height = struct.unpack_from("<HH", data, 26)
        return Header(width & 0x3FFF, height & 0x3FFF, "rgb")
    if first == b"VP8L":
        (packed,) = struct.unpack_from("<I", data, 21)
        return Header((packed & 0x3FFF) + 1, (packed >> 14 & 0x3FFF) + 1, "rgb", alpha=bool(packed >> 28 & 1))
    if first != b"VP8X":
        raise UndecodableImage("The WebP does not begin with a picture.")
    flags = data[20]
    width = 1 + int.from_bytes(data[24:27], "little")
    height = 1 + int.from_bytes(data[27:30], "little")
    frames, exif = _frames_and_exif(data)
    frames = frames if flags & _ANIMATION else 1
    return Header(width, height, "rgb", alpha=bool(flags & _ALPHA), frames=max(frames, 1), exif=exif)


def open_image(data: bytes) -> ImageFile:
    return WebPImageFile(BytesIO(data))


def _frames_and_exif(data: bytes) -> tuple[int, bytes]:
    at, frames, exif = 12, 0, b""
    for _ in range(MAX_CHUNKS):
        if at + 8 > len(data):
            return frames, exif
        kind, length = struct.unpack_from("<4sI", data, at)
        if kind == b"ANMF":
            frames += 1
        elif kind == b"EXIF" and not exif:
            exif = data[at + 8 : at + 8 + length]
        at += 8 + length + length % 2
    raise UndecodableImage("The WebP has more chunks than a picture needs.", limit=MAX_CHUNKS)
