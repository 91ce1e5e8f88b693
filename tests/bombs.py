"""Files that are made to do harm, all built by code: small uploads that ask for far more work than a picture does."""

import struct
import zlib
from collections.abc import Iterable
from io import BytesIO

import numpy as np

from tests.pictures import drawn, encoded

# A block of Deflate that holds nothing: its tables have one code, for the end, and take a microsecond to build.
_CODE_LENGTHS = {18: 1, 0: 2, 1: 2}
_ORDER = (16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1)


def _low_first(value: int, bits: int) -> str:
    return format(value, f"0{bits}b")[::-1]


def _empty_blocks() -> bytes:
    """Return two empty blocks of dynamic codes, 23 bytes."""
    head = _low_first(0, 1) + _low_first(2, 2) + _low_first(0, 5) + _low_first(0, 5) + _low_first(len(_ORDER) - 4, 4)
    lengths = "".join(_low_first(_CODE_LENGTHS.get(symbol, 0), 3) for symbol in _ORDER)
    # 138 and 118 codes of length 0, one of length 1 for the end of the block; no distances; then that end.
    block = head + lengths + "0" + _low_first(127, 7) + "0" + _low_first(107, 7) + "11" + "10" + "0"
    bits = 2 * block
    return bytes(int(bits[at : at + 8][::-1], 2) for at in range(0, len(bits), 8))


def slow_zlib(content: bytes, size: int) -> bytes:
    """Compress content to `size` bytes or a few more, nearly all of them empty blocks."""
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    packed = packer.compress(content) + packer.flush()
    return b"\x78\x9c" + _empty_blocks() * (size // 23) + packed + struct.pack(">I", zlib.adler32(content))


def png_of_empty_blocks(size: int) -> bytes:
    """Return a PNG of 8 × 8 pixels of so many bytes."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    pixels = slow_zlib((b"\0" + bytes(8)) * 8, size)
    header = struct.pack(">IIBBBBB", 8, 8, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")


def _directory(fields: dict[int, tuple[str, Iterable[int]]], at: int, following: int = 0) -> bytes:
    """Write a TIFF directory that stands at `at`; fields: by tag, the letter of struct and the values."""
    entries, values, values_at = b"", b"", at + 2 + 12 * len(fields) + 4
    for tag, (letter, numbers) in sorted(fields.items()):
        content = struct.pack(f"<{len(numbers)}{letter}", *numbers)
        entries += struct.pack("<HHI", tag, {"H": 3, "I": 4}[letter], len(numbers))
        if len(content) <= 4:
            entries += content.ljust(4, b"\0")
        else:
            entries += struct.pack("<I", values_at + len(values))
            values += content + bytes(len(content) % 2)
    return struct.pack("<H", len(fields)) + entries + struct.pack("<I", following) + values


def _grey_tiff(width: int, height: int, compression: int, offsets: list[int], sizes: list[int]) -> dict:
    return {
        256: ("I", [width]),
        257: ("I", [height]),
        258: ("H", [8]),
        259: ("H", [compression]),
        262: ("H", [1]),
        273: ("I", offsets),
        277: ("H", [1]),
        278: ("I", [1]),
        279: ("I", sizes),
    }


def tiff_of_shared_strips(rows: int, size: int) -> bytes:
    """Return a TIFF of `rows` strips that are all the same block of `size` bytes of Deflate."""
    strip = slow_zlib(bytes(16), size)
    fields = _grey_tiff(16, rows, 8, [8] * rows, [len(strip)] * rows)
    at = 8 + len(strip)
    return b"II*\0" + struct.pack("<I", at) + strip + _directory(fields, at)


def tiff_of_pages_in_a_circle(fields: int) -> bytes:
    """Return a TIFF of a picture and a reduced copy of `fields` fields that is its own next page."""
    picture = _grey_tiff(2, 2, 1, [8, 10], [2, 2])
    first_at = 12
    first = _directory(picture, first_at)
    second_at = first_at + len(first)
    first = _directory(picture, first_at, second_at)
    reduced = {254: ("I", [1])} | {60_000 + number: ("I", [0]) for number in range(fields)}
    return b"II*\0" + struct.pack("<I", first_at) + bytes(4) + first + _directory(reduced, second_at, second_at)


def _box(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I4s", 8 + len(content), kind) + content


def _full(kind: bytes, content: bytes, version: int = 0) -> bytes:
    return _box(kind, struct.pack(">I", version << 24) + content)


_BRANDS = _box(b"ftyp", b"avif\0\0\0\0avifmif1miaf")
_HANDLER = _full(b"hdlr", bytes(4) + b"pict" + bytes(13))


def avif_of_many_items(items: int) -> bytes:
    """Return an AVIF whose list of places has so many entries, none of which has a place."""
    entries = b"".join(struct.pack(">IHHH", number, 0, 0, 0) for number in range(1, items + 1))
    places = _full(b"iloc", b"\x44\0" + struct.pack(">I", items) + entries, version=2)
    return _BRANDS + _full(b"meta", _HANDLER + _full(b"pitm", struct.pack(">I", 1), 1) + places)


def avif_of_many_frames(frames: int, height: int = 480, width: int = 640) -> bytes:
    """Return an AVIF of one picture, whose frame stands so many times in its data."""
    sound = encoded(drawn(height, width), "avif", quality=20)
    at = sound.index(b"av1C") - 4
    configuration = sound[at : at + int.from_bytes(sound[at : at + 4], "big")]
    stream = sound[sound.index(b"mdat") + 4 :]
    repeated = stream[_first_frame(stream) :]
    return avif_of(stream + repeated * (frames - 1), configuration, height, width)


def _first_frame(stream: bytes) -> int:
    """Return where the first frame of an AV1 stream begins, whose units all have a size."""
    at = 0
    while stream[at] >> 3 & 15 not in (3, 6):
        size, digits = 0, 0
        while True:
            byte = stream[at + 1 + digits]
            size |= (byte & 127) << 7 * digits
            digits += 1
            if byte < 128:
                break
        at += 1 + digits + size
    return at


def avif_of(stream: bytes, configuration: bytes, height: int, width: int) -> bytes:
    """Return an AVIF of one item of AV1."""
    properties = _full(b"ispe", struct.pack(">II", width, height)) + _full(b"pixi", b"\x03\x08\x08\x08") + configuration
    association = _full(b"ipma", struct.pack(">IHB", 1, 1, 3) + b"\x01\x02\x83")

    def meta(at: int) -> bytes:
        return _full(
            b"meta",
            _HANDLER
            + _full(b"pitm", struct.pack(">H", 1))
            + _full(b"iloc", b"\x44\0" + struct.pack(">HHHHII", 1, 1, 0, 1, at, len(stream)))
            + _full(b"iinf", struct.pack(">H", 1) + _full(b"infe", struct.pack(">HH", 1, 0) + b"av01\0", 2))
            + _box(b"iprp", _box(b"ipco", properties) + association),
        )

    at = len(_BRANDS) + len(meta(0)) + 8
    return _BRANDS + meta(at) + _box(b"mdat", stream)


def jpeg_of_many_elements(elements: int, channels: int = 4) -> bytes:
    """Return a CMYK JPEG whose profile's pipeline has so many elements, which are all the same curves."""
    from PIL import Image

    curve = b"curf" + struct.pack(">4xHH", 1, 0) + b"parf" + struct.pack(">4xHH4f", 0, 0, 1, 1, 0, 0)
    head = 12 + 8 * channels
    curves = (
        b"cvst" + struct.pack(">4xHH", channels, channels) + struct.pack(">II", head, len(curve)) * channels + curve
    )

    def matrix(rows: int, columns: int) -> bytes:
        numbers = np.full(rows * columns + columns, 0.1, ">f4")
        return b"matf" + struct.pack(">4xHH", rows, columns) + numbers.tobytes()

    parts = [matrix(4, channels), curves, matrix(channels, 3)]
    at, places = 16 + 8 * (elements + 2), []
    for part in parts:
        places.append(struct.pack(">II", at, len(part)))
        at += len(part)
    table = places[0] + places[1] * elements + places[2]
    pipeline = b"mpet" + struct.pack(">4xHHI", 4, 3, elements + 2) + table + b"".join(parts)
    file = BytesIO()
    profile = _cmyk_profile({b"D2B1": pipeline, b"D2B0": pipeline})
    Image.new("CMYK", (8, 8), (10, 20, 30, 40)).save(file, "jpeg", icc_profile=profile)
    return file.getvalue()


def _cmyk_profile(tags: dict[bytes, bytes]) -> bytes:
    words = "x".encode("utf-16-be")
    text = b"mluc" + struct.pack(">4xII4sII", 1, 12, b"enUS", len(words), 28) + words
    white = b"XYZ " + struct.pack(">4x3I", 0xF6D6, 0x10000, 0xD32D)
    tags = {b"desc": text, b"cprt": text, b"wtpt": white, **tags}
    at, table, body = 132 + 12 * len(tags), b"", b""
    for name, content in tags.items():
        table += name + struct.pack(">II", at + len(body), len(content))
        body += content + bytes(-len(content) % 4)
    head = struct.pack(">I4xI", at + len(body), 0x04400000) + b"prtrCMYKLab " + struct.pack(">6H", 2026, 1, 1, 0, 0, 0)
    head += b"acsp" + bytes(28) + struct.pack(">3I", 0xF6D6, 0x10000, 0xD32D)
    return head.ljust(128, b"\0") + struct.pack(">I", len(tags)) + table + body


BOMBS = {
    "AVIF, 160,000 items": lambda: avif_of_many_items(160_000),
    "AVIF, 3,000 frames": lambda: avif_of_many_frames(3000, 64, 64),
    "TIFF, 30,000 strips in one block": lambda: tiff_of_shared_strips(30_000, 1_000_000),
    "TIFF, pages in a circle": lambda: tiff_of_pages_in_a_circle(1000),
    "JPEG, profile of 5,000 elements": lambda: jpeg_of_many_elements(5000),
    "JPEG, profile of 2,000 elements and 15 channels": lambda: jpeg_of_many_elements(2000, 15),
    "PNG, 30 MB of empty blocks": lambda: png_of_empty_blocks(30_000_000),
}
"""By name: what makes the file."""
