"""PNG: a signature and a row of chunks. An APNG of one frame is read as the PNG it also is."""

import struct
from collections.abc import Iterator
from io import BytesIO

from PIL.ImageFile import ImageFile
from PIL.PngImagePlugin import PngImageFile

from app.errors import UndecodableImage, UnsupportedImage
from app.imaging.formats.header import Header

# 150 MB of pixels in chunks of 8 kB, the smallest that encoders write, are 18,000.
MAX_CHUNKS = 65_536

COLOUR_CHUNKS = (b"cHRM", b"cICP", b"gAMA", b"sRGB")
_SIGNATURE_BYTES = 8
_PICTURE_CHUNKS = frozenset((b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND", b"iCCP", b"pHYs"))
_MODES = {0: "grey", 2: "rgb", 3: "palette", 4: "grey", 6: "rgb"}


def read(data: bytes) -> Header:
    """Read IHDR and the few chunks that say more: transparency, animation, EXIF."""
    width, height, bits, colour_type = struct.unpack_from(">4xIIBB", data, _SIGNATURE_BYTES + 4)
    if colour_type not in _MODES:
        raise UndecodableImage("The PNG has an unknown colour type.")
    first = {}
    for kind, start, end in _chunks(data):
        if kind not in first:
            first[kind] = data[start + 8 : end - 4] if kind in (b"acTL", b"eXIf") else b""
    frames = int.from_bytes(first[b"acTL"][:4], "big") if b"acTL" in first else 1
    alpha = colour_type in (4, 6) or b"tRNS" in first
    if bits == 16 and (colour_type != 0 or alpha):
        raise UnsupportedImage(
            "The PNG has 16 bits a channel in colour or with transparency, which would be narrowed to 8. "
            "Save it with 8 bits a channel, or as 16-bit greyscale without transparency.",
            observed=16,
            limit=8,
        )
    return Header(width, height, _MODES[colour_type], bits, alpha, max(frames, 1), first.get(b"eXIf", b""))


def open_image(data: bytes) -> ImageFile:
    """Open the picture from the chunks that make it, each but IDAT once: text and profile bombs stay outside."""
    view, seen = memoryview(data), set()
    parts = [view[:_SIGNATURE_BYTES]]
    for kind, start, end in _chunks(data):
        if kind in _PICTURE_CHUNKS and (kind == b"IDAT" or kind not in seen):
            seen.add(kind)
            parts.append(view[start:end])
    image = PngImageFile(BytesIO(b"".join(parts)))
    _, _, bits, colour_type = struct.unpack_from(">4xIIBB", data, _SIGNATURE_BYTES + 4)
    if colour_type == 0 and 1 < bits < 8 and "transparency" in image.info:
        # Pillow widens the pixels of 2 and 4 bits to 8, but not the transparent value it compares them with.
        image.info["transparency"] *= 255 // (2**bits - 1)
    return image


def colour_chunks(data: bytes) -> tuple[tuple[bytes, bytes], ...]:
    """Return (name, content) of the chunks that tell the meaning of the colours beside or instead of an ICC profile."""
    found = {kind: data[start + 8 : end - 4] for kind, start, end in _chunks(data) if kind in COLOUR_CHUNKS}
    return tuple((kind, content) for kind, content in found.items() if len(content) <= 32)


def _chunks(data: bytes) -> Iterator[tuple[bytes, int, int]]:
    """Yield name, start and end of each whole chunk, length and checksum included."""
    at = _SIGNATURE_BYTES
    for _ in range(MAX_CHUNKS):
        if at + 12 > len(data):
            return
        length, kind = struct.unpack_from(">I4s", data, at)
        end = at + 12 + length
        yield kind, at, min(end, len(data))
        if kind == b"IEND":
            return
        at = end
    raise UndecodableImage("The PNG has more chunks than a picture needs.", limit=MAX_CHUNKS)
