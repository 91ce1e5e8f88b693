"""JPEG: marker segments up to the first scan, then compressed data up to the first end-of-image mark.

A camera's MPO file is a JPEG followed by others, so it is read as its first picture.
"""

import re
import struct
from collections.abc import Iterator
from io import BytesIO
from typing import NamedTuple

import numpy as np
from PIL.ImageFile import ImageFile
from PIL.JpegImagePlugin import JpegImageFile

from app.errors import UndecodableImage, UnsupportedImage
from app.imaging.formats.header import Header

# Real files have a few dozen segments; a megabyte of ICC profile is 17. Each costs Python a microsecond or two.
MAX_SEGMENTS = 4096
# Progressive files have about ten scans, and each one, even empty, costs 45 ms at 50 megapixels.
MAX_SCANS = 64

_START_OF_SCAN, _APP0, _APP1, _APP2, _APP14 = 0xDA, 0xE0, 0xE1, 0xE2, 0xEE
_MARK = memoryview(b"\xff")
_END_OF_IMAGE = b"\xff\xd9"
_PROGRESSIVE = frozenset((0xC2, 0xC6, 0xCA, 0xCE))
_SCAN = b"\xff\xda"
# Compressed data holds no other mark than those that restart it.
_SEGMENT, _RESTART = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]", re.DOTALL), re.compile(rb"\xff[\xd0-\xd7]")
_MOST_ZEROS = 16
# Bytes of no pattern, and many of them between the marks at which a decoder starts again.
_NOISE = b"".join(
    bytes(value * value * 7 // 5 % 251 for value in range(256 * turn, 256 * turn + 256))
    + bytes((0xFF, 0xD0 + turn % 8))
    for turn in range(16)
)
_HUM = _NOISE[:64]
# JPEG-LS has a frame of its own.
_FRAMES = frozenset((*range(0xC0, 0xD0), 0xF7)) - {0xC4, 0xC8, 0xCC}
# Sequential and progressive ones, by Huffman's coding or the arithmetic one; the others are lossless or in layers.
_READ_FRAMES = frozenset((0xC0, 0xC1, 0xC2, 0xC9, 0xCA))
_WITHOUT_LENGTH = frozenset((0x00, 0x01, *range(0xD0, 0xD9)))
_COMMENT_OR_APP = frozenset((0xFE, *range(0xE0, 0xF0)))
_MODES = {1: "grey", 3: "rgb", 4: "cmyk"}


class _Scan(NamedTuple):
    """Hold where a scan's head begins, and where its compressed data does and ends."""

    head: int
    start: int
    stop: int


def read(data: bytes) -> Header:
    """Read the frame header, and the EXIF if there is one."""
    kind, frame, exif = 0, None, b""
    for marker, start, end in _segments(data):
        if marker in _FRAMES:
            kind, frame = marker, struct.unpack_from(">BHHB", data, start + 4)
        elif marker == _APP1 and not exif and data.startswith(b"Exif\0\0", start + 4):
            exif = data[start + 10 : end]
    if frame is None:
        raise UndecodableImage("The JPEG has no frame header.")
    bits, height, width, components = frame
    if kind not in _READ_FRAMES:
        raise UnsupportedImage("The JPEG is a lossless or hierarchical one, or a JPEG-LS. Save it as PNG.")
    if components not in _MODES:
        raise UnsupportedImage(f"The JPEG has {components} channels; save it in grey or RGB.", observed=components)
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
            parts += (_MARK, view[start + 1 : end])
    picture_end = _end_of_picture(data, scan_end)
    scans = 1 + data.count(_SCAN, scan_end, picture_end)
    if scans > MAX_SCANS:
        raise UndecodableImage("The JPEG has more scans than a picture needs.", limit=MAX_SCANS, observed=scans)
    parts.append(view[scan_end:picture_end])
    return JpegImageFile(BytesIO(b"".join(parts)))


def complete(data: bytes) -> tuple[bytes, float]:
    """Return the picture with an end mark, and the part of it that is missing, 0 to 1, judged by what is decoded.

    libjpeg fills what it does not find with grey and says nothing that Pillow passes on. So the picture is decoded
    twice, made smaller: as it is, and with noise wherever compressed data ends. Noise behind the last block changes
    nothing; the first block that it changes is the first that was missing. For 3 megapixels that takes 15 ms, and 100
    if the picture is progressive.
    """
    frame, components, scan = 0, 1, (0, 0)
    for marker, start, end in _segments(data):
        if marker in _FRAMES:
            frame, components = marker, data[start + 9]
        scan = start, end
    end = data.find(_END_OF_IMAGE, scan[1])
    body = data[:end] if end >= 0 else _unfilled(data).removesuffix(b"\xff")
    scans = list(_scans(body, *scan))
    if scans[-1].start > len(body):  # the data ends inside the head of a scan
        scans.pop()
    body = body[: scans[-1].stop]
    # The brightness of a block is in the first scan; what the others refine shows at half the size.
    scale = 2 if frame in _PROGRESSIVE else 8
    missing = max(_changed_part(body, scans, scale), *(_skipped_part(body[s.start : s.stop]) for s in scans))
    missing = missing or _unsent_part(body, scans, components, frame in _PROGRESSIVE)
    return data if end == len(body) else body + _END_OF_IMAGE, missing


def _unfilled(data: bytes) -> bytes:
    """Return the data without the zeros that fill up a download that broke off; a few may belong to the picture."""
    kept = data.rstrip(b"\0")
    return kept + b"\0" if len(data) - len(kept) > _MOST_ZEROS else data


def _scans(data: bytes, head: int, start: int) -> Iterator[_Scan]:
    """Yield the scans from the first on, whose place is given; the last one may be cut off."""
    for _ in range(MAX_SCANS):
        mark = _SEGMENT.search(data, start)
        yield _Scan(head, start, mark.start() if mark else len(data))
        while mark and mark.group() != _SCAN:
            mark = _SEGMENT.search(data, _behind(data, mark))
        if not mark:
            return
        head, start = mark.start(), _behind(data, mark)
    raise UndecodableImage("The JPEG has more scans than a picture needs.", limit=MAX_SCANS)


def _behind(data: bytes, mark: re.Match[bytes]) -> int:
    """Return where the segment of a mark ends: behind the data if that is cut off before."""
    length = data[mark.end() : mark.end() + 2]
    return mark.end() + int.from_bytes(length, "big") if len(length) == 2 else len(data) + 1


def _changed_part(body: bytes, scans: list[_Scan], scale: int) -> float:
    """Return which part of the rows noise behind the data changes, from the first one on; body has no end mark."""
    noisy, at = [], 0
    for scan in scans:
        noisy += [body[at : scan.start], _RESTART.sub(_HUM + rb"\g<0>", body[scan.start : scan.stop]), _HUM]
        at = scan.stop
    pixels = []
    for data in (body, b"".join((*noisy[:-1], _NOISE))):
        with open_image(data + _END_OF_IMAGE) as image:
            image.draft(None, (max(image.width // scale, 1), max(image.height // scale, 1)))
            pixels.append(np.asarray(image))
    differing = (pixels[0] != pixels[1]).reshape(pixels[0].shape[0], -1).any(axis=1)
    return 1 - int(differing.argmax()) / len(differing) if differing.any() else 0.0


def _skipped_part(compressed: bytes) -> float:
    """Return the part of a scan that lies between marks that should follow each other and do not."""
    marks = np.frombuffer(b"\xd7" + b"".join(_RESTART.findall(compressed))[1::2], np.uint8)
    skipped = int(((np.diff(marks) - 1) % 8).sum())
    return skipped / (len(marks) + skipped)


def _unsent_part(data: bytes, scans: list[_Scan], components: int, progressive: bool) -> float:
    """Return the part of a picture's coefficients whose last bits no scan has sent."""
    sent: dict[int, set[int]] = {}
    for scan in scans:
        count = data[scan.head + 4]
        first, last, bits = data[scan.head + 5 + 2 * count : scan.head + 8 + 2 * count] if progressive else (0, 63, 0)
        for component in data[scan.head + 5 : scan.head + 5 + 2 * count : 2]:
            sent.setdefault(component, set()).update(range(first, last + 1) if bits & 15 == 0 else ())
    return 1 - sum(map(len, sent.values())) / (64 * components)


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
