"""JPEG: marker segments up to the first scan, then compressed data up to the first end-of-image mark.

A camera's MPO file is a JPEG followed by others, so it is read as its first picture.
"""

import struct
from collections.abc import Iterator
from io import BytesIO

from PIL.ImageFile import ImageFile
from PIL.JpegImagePlugin import JpegImageFile

from app.errors import UndecodableImage, UnsupportedImage
from app.imaging.formats.header import Header

# Real files have a few dozen segments; a megabyte of ICC profile is 17. Each costs Python a microsecond or two.
MAX_SEGMENTS = 4096
# Progressive files have about ten scans, and each one, even empty, costs 45 ms at 50 megapixels.
MAX_SCANS = 64

_START_OF_SCAN, _APP0, _APP1, _APP2, _APP14 = 0xDA, 0xE0, 0xE1, 0xE2, 0xEE
_END_OF_IMAGE = b"\xff\xd9"
_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_WITHOUT_LENGTH = frozenset((0x00, 0x01, *range(0xD0, 0xD9)))
_COMMENT_OR_APP = frozenset((0xFE, *range(0xE0, 0xF0)))
_MODES = {1: "grey", 3: "rgb", 4: "cmyk"}


def read(data: bytes) -> Header:
    """Read the frame header, and the EXIF if there is one."""
    frame, exif = None, b""
    for marker, start, end in _segments(data):
        if marker in _FRAMES:
            frame = struct.unpack_from(">BHHB", data, start + 4)
        elif marker == _APP1 and not exif and data.startswith(b"Exif\0\0", start + 4):
            exif = data[start + 10 : end]
    if frame is None or frame[3] not in _MODES:
        raise UndecodableImage("The JPEG has no usable frame header.")
    bits, height, width, components = frame
    if bits != 8:
        raise UnsupportedImage(f"The JPEG has {bits} bits a channel; save it with 8.", limit=8, observed=bits)
    return Header(width, height, _MODES[components], exif=exif)


def open_image(data: bytes) -> ImageFile:
    """Open the picture without comments and application segments, other than JFIF, Adobe and the ICC profile.

    Refuse more scans than a real picture has; `read` does not, as counting them goes through the whole file.
    """
    view = memoryview(data)
    parts, scan_end = [view[:2]], 0
    for marker, start, end in _segments(data):
        scan_end = end
        profile = marker == _APP2 and data.startswith(b"ICC_PROFILE\0", start + 4)
        if marker not in _COMMENT_OR_APP or marker in (_APP0, _APP14) or profile:
            parts += (b"\xff", view[start + 1 : end])
    picture_end = _end_of_picture(data, scan_end)
    scans = 1 + data.count(b"\xff\xda", scan_end, picture_end)
    if scans > MAX_SCANS:
        raise UndecodableImage("The JPEG has more scans than a picture needs.", limit=MAX_SCANS, observed=scans)
    parts.append(view[scan_end:picture_end])
    return JpegImageFile(BytesIO(b"".join(parts)))


def _segments(data: bytes) -> Iterator[tuple[int, int, int]]:
    """Yield marker, start and end of each segment, the first scan's header being the last."""
    at = 2
    for _ in range(MAX_SEGMENTS):
        at = data.index(b"\xff", at)
        marker = data[at + 1]
        if marker == 0xFF:
            at += 1
        elif marker in _WITHOUT_LENGTH:
            at += 2
        else:
            (length,) = struct.unpack_from(">H", data, at + 2)
            end = at + 2 + length
            yield marker, at, end
            if marker == _START_OF_SCAN:
                return
            at = end
    raise UndecodableImage("The JPEG has more segments than a picture needs.", limit=MAX_SEGMENTS)


def _end_of_picture(data: bytes, scan_start: int) -> int:
    # Compressed data never holds 0xFF 0xD9. What follows it is neither counted nor decoded, so a mark hidden in a
    # comment gains nothing.
    end = data.find(_END_OF_IMAGE, scan_start)
    return len(data) if end < 0 else end + 2
