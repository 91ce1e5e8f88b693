"""JPEG XL: a bare codestream, or boxes around one. The plug-in decodes all at once, so the header is read here.

Source: ISO/IEC 18181-1, annex D (image header); 18181-2 (boxes).
"""

import struct
from importlib import import_module
from io import BytesIO
from types import ModuleType
from typing import NamedTuple

import numpy as np
from PIL.ImageFile import ImageFile
from PIL.JpegImagePlugin import JpegImageFile

from app.errors import UndecodableImage, UnsupportedImage
from app.imaging import color
from app.imaging.formats.header import Header, Samples

CODESTREAM = b"\xff\x0a"
CONTAINER = b"\0\0\0\x0cJXL \r\n\x87\n"
MAX_BOXES = 4096

# Hundreds of channels have longer headers, and are refused.
_HEADER_BYTES = 66

_RATIOS = ((1, 1), (12, 10), (4, 3), (3, 2), (16, 9), (5, 4), (2, 1))
_CHANNELS = {"L": 1, "LA": 2, "RGB": 3, "RGBA": 4}
_ALPHA_CHANNEL = 0


class _Bits:
    """Read numbers bit by bit, the lowest first."""

    def __init__(self, data: bytes) -> None:
        self._number, self._left = int.from_bytes(data, "little"), 8 * len(data)

    def take(self, count: int) -> int:
        """Return the next number of so many bits; raise IndexError after the end."""
        self._left -= count
        if self._left < 0:
            raise IndexError("the header is cut off")
        value = self._number & ((1 << count) - 1)
        self._number >>= count
        return value

    def choose(self, *kinds: tuple[int, int]) -> int:
        """Return a number of one of four kinds: (constant, further bits)."""
        constant, further = kinds[self.take(2)]
        return constant + self.take(further)


class _Container(NamedTuple):
    """Hold the beginning of the codestream and the EXIF, and whether that is packed and the picture a JPEG."""

    codestream: bytes
    exif: bytes
    packed_exif: bool
    holds_jpeg: bool


class _Picture(NamedTuple):
    """Hold what the codestream's header says: sides as stored, the turn to display them, bits as stored."""

    width: int
    height: int
    orientation: int = 1
    bits: int = 8
    mode: str = "rgb"
    alpha: bool = False
    premultiplied: bool = False
    frames: int = 1


def read(data: bytes) -> Header:
    """Read size, orientation, depth and alpha; refuse animations and floating-point samples."""
    container = _contents(data)
    found = _read_picture(container.codestream)
    bits = 16 if found.bits > 8 and not _narrowed(found) else 8
    # The decoder turns a picture upright, but not a JPEG, which it gives back byte for byte.
    turned = found.orientation >= 5 and not container.holds_jpeg
    width, height = (found.height, found.width) if turned else (found.width, found.height)
    orientation = found.orientation if container.holds_jpeg else 1
    return Header(width, height, found.mode, bits, found.alpha, found.frames, container.exif, orientation)


def open_image(data: bytes) -> ImageFile:
    raise NotImplementedError("read_deep reads every JPEG XL")


def read_deep(data: bytes) -> Samples:
    """Return the samples, of 16 bits where the file has more than 8."""
    decoder = library().Decoder(num_threads=1)
    is_jpeg, info, pixels, icc, *_ = decoder(data)
    if is_jpeg:
        with JpegImageFile(BytesIO(pixels)) as image:
            values = np.asarray(image if image.mode == "L" else image.convert("RGB"))
            return Samples(values.reshape(*values.shape[:2], -1), image.info.get("icc_profile"))
    mode = "L" if info.mode == "I;16" else info.mode.removesuffix(";16")
    count = info.width * info.height * _CHANNELS.get(mode, 0)
    kind = {count: np.uint8, 2 * count: np.uint16}.get(len(pixels)) if count else None
    if kind is None:
        raise UnsupportedImage(
            "The JPEG XL has samples of a kind that is not read. Save it with 8 or 16 bits a channel."
        )
    values = np.frombuffer(pixels, kind).reshape(info.height, info.width, -1)
    if _read_picture(_contents(data).codestream).premultiplied:
        values = values.copy()
        color.unmultiply(values)
    return Samples(values, icc or None)


def narrowing(data: bytes) -> str | None:
    """Say what the plug-in does not hand over."""
    container = _contents(data)
    found, lost = _read_picture(container.codestream), []
    if found.bits > 8 and _narrowed(found):
        lost.append(f"The JPEG XL's {found.bits} bits a channel were narrowed to 8.")
    if container.packed_exif:
        lost.append("The JPEG XL's EXIF is packed with Brotli and was left out.")
    return " ".join(lost) or None


def _narrowed(found: _Picture) -> bool:
    """Tell whether the plug-in gives 8 bits of a picture of more: it keeps those of grey ones only."""
    return found.mode != "grey"


def library() -> ModuleType:
    """Import the library; raise UnsupportedImage where there is none."""
    try:
        return import_module("pillow_jxl")
    except ImportError:
        raise UnsupportedImage(
            "This is a JPEG XL image, which this installation cannot read. Save it as PNG, or install "
            "pillow-jxl-plugin."
        ) from None


def _contents(data: bytes) -> _Container:
    """Read the boxes; the codestream may lie in several."""
    if data.startswith(CODESTREAM):
        return _Container(data, b"", False, False)
    at, parts, exif, packed, jpeg = 0, [], b"", False, False
    for _ in range(MAX_BOXES):
        if at + 8 > len(data):
            break
        length, kind = struct.unpack_from(">I4s", data, at)
        start = at + 8
        if length == 1:
            (length,) = struct.unpack_from(">Q", data, start)
            start += 8
        end = len(data) if length == 0 else at + length
        if kind in (b"jxlc", b"jxlp"):
            # The header may take several of them, the pixels are not looked at.
            begin = start + 4 * (kind == b"jxlp")
            parts.append(data[begin : min(end, begin + _HEADER_BYTES)])
        elif kind == b"Exif" and not exif:
            # Some writers leave out the offset that stands before it.
            offset = 0 if data.startswith((b"II*\0", b"MM\0*"), start) else 4 + _number(data, start)
            exif = data[start + offset : end]
        elif kind == b"brob":
            packed |= data.startswith(b"Exif", start)
        elif kind == b"jbrd":
            jpeg = True
        if end < start:
            break
        at = end
    codestream = b"".join(parts)
    if not codestream.startswith(CODESTREAM):
        raise UndecodableImage("The JPEG XL holds no codestream.")
    return _Container(codestream, exif, packed and not exif, jpeg)


def _number(data: bytes, at: int) -> int:
    return int.from_bytes(data[at : at + 4], "big")


def _read_picture(codestream: bytes) -> _Picture:
    """Read the image header (D.2, D.3)."""
    bits = _Bits(codestream[2:_HEADER_BYTES])
    width, height = _size(bits)
    found = _Picture(width, height)
    if bits.take(1):  # all as usual
        return found
    if bits.take(1):
        found = found._replace(orientation=1 + bits.take(3))
        if bits.take(1):
            _size(bits)
        if bits.take(1):
            raise UnsupportedImage("The JPEG XL holds a preview beside its picture. Save it without.")
        if bits.take(1):
            return found._replace(frames=2)
    if bits.take(1):
        raise UnsupportedImage("The JPEG XL has floating-point samples. Save it with 8 or 16 bits a channel.")
    depth = bits.choose((8, 0), (10, 0), (12, 0), (1, 6))
    bits.take(1)
    alpha, premultiplied, grey = _channels(bits)
    mode = "grey" if grey else "rgb"
    return found._replace(bits=depth, mode=mode, alpha=alpha, premultiplied=premultiplied)


def _size(bits: _Bits) -> tuple[int, int]:
    """Return width and height (D.2)."""
    small = bits.take(1)

    def side() -> int:
        return 8 * (1 + bits.take(5)) if small else bits.choose((1, 9), (1, 13), (1, 18), (1, 30))

    height = side()
    ratio = bits.take(3)
    if not ratio:
        return side(), height
    across, down = _RATIOS[ratio - 1]
    return height * across // down, height


def _channels(bits: _Bits) -> tuple[bool, bool, bool]:
    """Return whether there is an alpha channel, whether it is in the colours, and whether those are grey (D.3)."""
    extra, alpha, premultiplied = bits.choose((0, 0), (1, 0), (2, 4), (1, 12)), False, False
    for _ in range(extra):
        if bits.take(1):  # as usual: alpha of 8 bits
            alpha = True
            continue
        kind = bits.choose((0, 0), (1, 0), (2, 4), (18, 6))
        if kind != _ALPHA_CHANNEL or bits.take(1):
            raise UnsupportedImage("The JPEG XL has channels other than colours and alpha. Save it without them.")
        bits.choose((8, 0), (10, 0), (12, 0), (1, 6))
        bits.choose((0, 0), (3, 0), (4, 0), (1, 3))
        name = bits.choose((0, 0), (0, 4), (16, 5), (48, 10))
        for _ in range(name):
            bits.take(8)
        premultiplied |= bool(bits.take(1))
        alpha = True
    bits.take(1)  # XYB or not
    grey = False
    if not bits.take(1):  # colours not as usual
        bits.take(1)
        grey = bits.choose((0, 0), (1, 0), (2, 4), (18, 6)) == 1
    return alpha, premultiplied, grey
