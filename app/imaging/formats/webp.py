"""WebP: RIFF chunks around a VP8 or VP8L stream."""

import struct
from collections.abc import Iterator
from io import BytesIO

from PIL.ImageFile import ImageFile
from PIL.WebPImagePlugin import WebPImageFile

from app.errors import UndecodableImage
from app.imaging.formats.header import Header

MAX_CHUNKS = 4096

_ANIMATION, _ALPHA, _EXIF_AND_XMP = 0x02, 0x10, 0x0C
_PICTURE_CHUNKS = frozenset((b"VP8X", b"ICCP", b"ALPH", b"VP8 ", b"VP8L"))


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
    """Open the picture from the chunks that make it: where the file ends behind them, or says it does, is no matter."""
    if data[12:16] == b"VP8X" and data[20] & _ANIMATION:
        return WebPImageFile(BytesIO(data))
    parts = []
    for kind, start, end in _chunks(data):
        content = data[start:end]
        if kind == b"VP8X":
            content = bytes((content[0] & ~_EXIF_AND_XMP,)) + content[1:]
        if kind in _PICTURE_CHUNKS:
            parts.append(struct.pack("<4sI", kind, len(content)) + content + bytes(len(content) % 2))
    body = b"WEBP" + b"".join(parts)
    return WebPImageFile(BytesIO(b"RIFF" + struct.pack("<I", len(body)) + body))


def _frames_and_exif(data: bytes) -> tuple[int, bytes]:
    frames, exif = 0, b""
    for kind, start, end in _chunks(data):
        if kind == b"ANMF":
            frames += 1
        elif kind == b"EXIF" and not exif:
            exif = data[start:end]
    return frames, exif


def _chunks(data: bytes) -> Iterator[tuple[bytes, int, int]]:
    """Yield name, start and end of each chunk's content, the last one perhaps cut off."""
    at = 12
    for _ in range(MAX_CHUNKS):
        if at + 8 > len(data):
            return
        kind, length = struct.unpack_from("<4sI", data, at)
        yield kind, at + 8, min(at + 8 + length, len(data))
        at += 8 + length + length % 2
    raise UndecodableImage("The WebP has more chunks than a picture needs.", limit=MAX_CHUNKS)
