"""PNG: a signature and a row of chunks. An APNG of one frame is read as the PNG it also is."""

import struct
import zlib
from collections.abc import Iterator
from contextlib import suppress
from io import BytesIO

import numpy as np
from PIL.ImageFile import ImageFile
from PIL.PngImagePlugin import PngImageFile

from app.errors import UndecodableImage, UnsupportedImage
from app.imaging.formats.header import Header, Samples

# 150 MB of pixels in chunks of 8 kB, the smallest that encoders write, are 18,000.
MAX_CHUNKS = 65_536

COLOUR_CHUNKS = (b"cHRM", b"cICP", b"gAMA", b"sRGB")
_SIGNATURE_BYTES = 8
# Of compressed pixels, beside twice what they are without compression. Deflate adds five bytes to 64 kB that it cannot
# shrink, but it may also have blocks without pixels, without end.
_PACKED_BYTES = 1 << 16
_CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
_PIECE_BYTES, _RESCUED_BYTES, _LAST_FILTER = 1 << 14, 64, 4
# Of each pass: the first column and row, and the steps between them (PNG third edition, 8.2).
_ADAM7 = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))
_PICTURE_CHUNKS = frozenset((b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND", b"iCCP", b"pHYs"))
_GREY, _RGB, _PALETTE, _GREY_ALPHA, _RGBA = 0, 2, 3, 4, 6
_MODES = {_GREY: "grey", _RGB: "rgb", _PALETTE: "palette", _GREY_ALPHA: "grey", _RGBA: "rgb"}
# The depths each colour type has (PNG third edition, table 8).
_BITS = {_GREY: (1, 2, 4, 8, 16), _RGB: (8, 16), _PALETTE: (1, 2, 4, 8), _GREY_ALPHA: (8, 16), _RGBA: (8, 16)}


def read(data: bytes) -> Header:
    """Read IHDR and the few chunks that say more: transparency, animation, EXIF."""
    if data.startswith(b"CgBI", _SIGNATURE_BYTES + 4):
        raise UnsupportedImage("The PNG is of the kind that Xcode makes for iPhones (CgBI). Save it as a plain PNG.")
    width, height, bits, colour_type, *methods = struct.unpack_from(">IIBBBBB", data, _SIGNATURE_BYTES + 8)
    if bits not in _BITS.get(colour_type, ()) or methods[:2] != [0, 0] or methods[2] > 1:
        raise UndecodableImage(
            f"The header says a PNG of colour type {colour_type} with {bits} bits, compression {methods[0]}, filter "
            f"{methods[1]}, interlace {methods[2]}; there is no such PNG.",
            observed=bits,
        )
    first, packed = {}, 0
    for kind, start, end in _chunks(data):
        packed += end - start - 12 if kind == b"IDAT" else 0
        if kind not in first:
            first[kind] = data[start + 8 : end - 4] if kind in (b"acTL", b"eXIf") else b""
    most = _PACKED_BYTES + 2 * _unpacked_bytes(_pass_sizes(width, height, methods[2]), bits * _CHANNELS[colour_type])
    if packed > most:
        raise UndecodableImage(
            "The PNG has far more compressed bytes than its pixels can need.", limit=most, observed=packed
        )
    frames = int.from_bytes(first[b"acTL"][:4], "big") if b"acTL" in first else 1
    alpha = colour_type in (4, 6) or b"tRNS" in first
    return Header(width, height, _MODES[colour_type], bits, alpha, max(frames, 1), first.get(b"eXIf", b""))


def open_image(data: bytes) -> ImageFile:
    """Open the picture from the chunks that make it, each but IDAT once: text and profile bombs stay outside."""
    bits, colour_type = data[24], data[25]
    parts = _picture_parts(data)
    if colour_type == _PALETTE and not any(bytes(part[4:8]) == b"PLTE" for part in parts):
        raise UndecodableImage("The PNG's palette is missing.")
    image = PngImageFile(BytesIO(b"".join(parts)))
    if colour_type == _GREY and 1 < bits < 8 and "transparency" in image.info:
        # Pillow widens the pixels of 2 and 4 bits to 8, but not the transparent value it compares them with.
        image.info["transparency"] *= 255 // (2**bits - 1)
    return image


def read_deep(data: bytes) -> Samples | None:
    """Return the samples of a PNG of 16 bits a channel, which Pillow narrows to 8; None for one of fewer.

    Pillow takes either byte of a 16-bit sample for its 8 bits, by the name of the byte order: decoded twice, it gives
    both. For 6 megapixels of RGB that takes 0.84 s; imagecodecs, which brings 80 MB of codecs along, takes 0.37.
    """
    bits, colour_type = data[24], data[25]
    if bits != 16:
        return None
    with open_image(data) as image:
        info = image.info
        values = np.asarray(image)[..., None] if colour_type == _GREY else None
    if colour_type == _GREY_ALPHA:
        values = _pairs(data)
    elif values is None:
        values = np.stack([_bytes_of(data, order) for order in "LB"], axis=-1).view("<u2")[..., 0]
    transparent = next((data[start + 8 : end - 4] for kind, start, end in _chunks(data) if kind == b"tRNS"), None)
    if transparent and colour_type in (_GREY, _RGB):
        key = np.frombuffer(transparent[: 2 * values.shape[2]], ">u2")
        alpha = np.where((values == key).all(axis=2), 0, 65_535).astype(np.uint16)
        values = np.dstack([values, alpha])
    return Samples(values, info.get("icc_profile"), info.get("dpi"))


def _bytes_of(data: bytes, order: str) -> np.ndarray:
    """Return the lower byte ("L") or the upper one ("B") of all samples of an RGB or RGBA picture, uint8 (H, W, C)."""
    with open_image(data) as image:
        image.tile = [tile._replace(args=f"{image.mode};16{order}") for tile in image.tile]
        return np.asarray(image)


def _pairs(data: bytes) -> np.ndarray:
    """Return the samples, uint16 (H, W, 2), of grey and alpha: read as RGBA of 8 bits, the same bytes on the disk."""
    parts = [bytes(part) for part in _picture_parts(data)]
    header = parts[1][4:16] + bytes((8, _RGBA)) + parts[1][18:21]
    parts[1] = parts[1][:4] + header + struct.pack(">I", zlib.crc32(header))
    kept = [part for part in parts if part[4:8] != b"tRNS"]
    with PngImageFile(BytesIO(b"".join(kept))) as image:
        return np.asarray(image).view(">u2").astype(np.uint16)


def _picture_parts(data: bytes) -> list[memoryview]:
    view, seen = memoryview(data), set()
    parts = [view[:_SIGNATURE_BYTES]]
    for kind, start, end in _chunks(data):
        if kind in _PICTURE_CHUNKS and (kind == b"IDAT" or kind not in seen):
            seen.add(kind)
            parts.append(view[start:end])
    return parts


def complete(data: bytes) -> tuple[bytes, float]:
    """Return the picture as a whole file, and the part of it that is missing, 0 to 1, judged by what can be unpacked.

    A sound file is returned as it is. Of another the rows that can be had are kept, and the others are black.
    """
    chunks = [
        (kind, start, end, zlib.crc32(data[start + 4 : end - 4]) == int.from_bytes(data[end - 4 : end], "big"))
        for kind, start, end in _chunks(data)
    ]
    width, height, bits, colour_type, _, _, interlaced = struct.unpack_from(">IIBBBBB", data, _SIGNATURE_BYTES + 8)
    pixel_bits = bits * _CHANNELS[colour_type]
    sizes = _pass_sizes(width, height, interlaced)
    expected = _unpacked_bytes(sizes, pixel_bits)
    packed = memoryview(
        b"".join(data[start + 8 : end - 4 if sound else end] for kind, start, end, sound in chunks if kind == b"IDAT")
    )
    sound = all(sound for kind, *_, sound in chunks if kind in _PICTURE_CHUNKS) and chunks[-1][0] == b"IEND"
    if sound and sum(map(len, _unpacked(packed, expected))) >= expected:
        return data, 0.0
    # Byte by byte, nearly: of a piece that is damaged zlib gives nothing. Without the checksum at the end.
    unpacked = b"".join(_unpacked(packed[2:], expected, -zlib.MAX_WBITS, _RESCUED_BYTES))[:expected]
    rows = _with_known_filters(unpacked, pixel_bits, sizes)
    before = [data[start:end] for kind, start, end, sound in chunks if sound and kind not in (b"IDAT", b"IEND")]
    made = [
        struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))
        for kind, content in ((b"IDAT", zlib.compress(rows.ljust(expected, b"\0"), 0)), (b"IEND", b""))
    ]
    return b"".join((data[:_SIGNATURE_BYTES], *before, *made)), 1 - len(rows) / expected


def _pass_sizes(width: int, height: int, interlaced: int) -> list[tuple[int, int]]:
    """Return columns and rows of each pass; one that has no pixels has one of them at 0."""
    passes = _ADAM7 if interlaced else ((0, 0, 1, 1),)
    return [(max(-(-(width - x) // across), 0), max(-(-(height - y) // down), 0)) for x, y, across, down in passes]


def _unpacked_bytes(sizes: list[tuple[int, int]], pixel_bits: int) -> int:
    """Return how many bytes Deflate has to give: of each row a filter and its pixels."""
    return sum((1 + -(-columns * pixel_bits // 8)) * rows for columns, rows in sizes if columns)


def _unpacked(
    packed: memoryview, expected: int, window_bits: int = zlib.MAX_WBITS, piece_bytes: int = _PIECE_BYTES
) -> Iterator[bytes]:
    """Yield what can be unpacked, and at most a byte more than expected: so a checksum behind it is read too."""
    unpacker, left = zlib.decompressobj(window_bits), expected + 1
    with suppress(zlib.error):
        for at in range(0, len(packed), piece_bytes):
            if left:
                yield (piece := unpacker.decompress(packed[at : at + piece_bytes], left))
                left -= len(piece)


def _with_known_filters(rows: bytes, pixel_bits: int, sizes: list[tuple[int, int]]) -> bytes:
    """Return the rows up to the first whose filter does not exist: from there on they are noise."""
    at = 0
    for columns, count in sizes:
        row_bytes = 1 + -(-columns * pixel_bits // 8)
        for _ in range(count if columns > 0 else 0):
            if at < len(rows) and rows[at] > _LAST_FILTER:
                return rows[:at]
            at += row_bytes
    return rows


def colour_chunks(data: bytes) -> tuple[tuple[bytes, bytes], ...]:
    """Return (name, content) of the chunks that tell the meaning of the colours beside or instead of an ICC profile."""
    found = {kind: data[start + 8 : end - 4] for kind, start, end in _chunks(data) if kind in COLOUR_CHUNKS}
    return tuple((kind, content) for kind, content in found.items() if len(content) <= 32)


def _chunks(data: bytes) -> Iterator[tuple[bytes, int, int]]:
    """Yield name, start and end of each chunk, length and checksum included, the last one perhaps cut off."""
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
