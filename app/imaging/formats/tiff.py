"""TIFF: its one page. Pillow and libtiff see a new directory, of those fields that make the picture and are sound."""

import struct
from enum import IntEnum
from io import BytesIO
from typing import NamedTuple

import numpy as np
from PIL.ImageFile import ImageFile
from PIL.TiffImagePlugin import TiffImageFile

from app.errors import UndecodableImage, UnsupportedImage
from app.imaging.formats.header import Header
from app.imaging.ifd import Field, byte_order, read_fields

# Pillow makes a Python object of each value: 30,000 strips of one row in each of three planes still pass.
MAX_VALUES = 262_144
# A tile may be larger than the picture, and is decoded whole.
MAX_TILE_SIDE = 2048
MAX_PAGES_COUNTED = 100


class Tag(IntEnum):
    """The fields that make a picture of a file's data."""

    WIDTH = 256
    HEIGHT = 257
    BITS = 258
    COMPRESSION = 259
    PHOTOMETRIC = 262
    FILL_ORDER = 266
    STRIP_OFFSETS = 273
    SAMPLES = 277
    ROWS_PER_STRIP = 278
    STRIP_BYTES = 279
    X_RESOLUTION = 282
    Y_RESOLUTION = 283
    PLANES = 284
    RESOLUTION_UNIT = 296
    PREDICTOR = 317
    PALETTE = 320
    TILE_WIDTH = 322
    TILE_HEIGHT = 323
    TILE_OFFSETS = 324
    TILE_BYTES = 325
    EXTRA_SAMPLES = 338
    SAMPLE_FORMAT = 339
    JPEG_TABLES = 347
    YCBCR_COEFFICIENTS = 529
    YCBCR_SUBSAMPLING = 530
    YCBCR_POSITIONING = 531
    REFERENCE_BLACK_WHITE = 532
    ICC_PROFILE = 34675


_PICTURE_TAGS = frozenset(Tag)
_SUBFILE, _REDUCED = 254, 1
_UNCOMPRESSED = 1
# None, LZW, JPEG, Deflate (two numbers), PackBits. Fax codings are for documents, the rest is rare or fragile.
_COMPRESSIONS = frozenset((1, 5, 7, 8, 32773, 32946))
_MODES = {0: "grey", 1: "grey", 2: "rgb", 3: "palette", 5: "cmyk", 6: "rgb"}
_BYTE, _UNDEFINED = 1, 7


class _Directory(NamedTuple):
    order: str
    fields: dict[int, Field]
    following: int

    def values(self, tag: int, default: tuple[int, ...] = ()) -> tuple[int, ...]:
        return self.fields[tag].integers(self.order) if tag in self.fields else default

    def value(self, tag: int, default: int) -> int:
        return (self.values(tag) or (default,))[0]


def read(data: bytes) -> Header:
    """Read the first directory and count the pages; refuse kinds of pixels that Pillow narrows, inverts or guesses."""
    page = _first_directory(data)
    if page.value(_SUBFILE, 0) & _REDUCED:
        raise UnsupportedImage("The TIFF begins with a preview, as camera raw files do. Develop it to JPEG or PNG.")
    photometric, bits = page.value(Tag.PHOTOMETRIC, 0), max(page.values(Tag.BITS, (1,)))
    samples, extra = page.value(Tag.SAMPLES, 1), page.values(Tag.EXTRA_SAMPLES)
    grey16 = bits == 16 and photometric == 1 and samples == 1
    if set(page.values(Tag.SAMPLE_FORMAT, (1,))) != {1} or (bits not in (1, 2, 4, 8) and not grey16):
        raise UnsupportedImage(
            f"The TIFF has {bits}-bit samples of a kind that would be narrowed. "
            "Save it with 8 bits a channel, or as unsigned 16-bit greyscale, black being zero.",
            observed=bits,
        )
    if photometric not in _MODES:
        raise UnsupportedImage("The TIFF is neither greyscale, RGB, palette, CMYK nor YCbCr. Save it as RGB.")
    compression = page.value(Tag.COMPRESSION, _UNCOMPRESSED)
    if compression not in _COMPRESSIONS:
        raise UnsupportedImage("The TIFF's compression is not read here. Save it with LZW, Deflate or none.")
    width, height = page.value(Tag.WIDTH, 0), page.value(Tag.HEIGHT, 0)
    sides = page.value(Tag.TILE_WIDTH, 1), page.value(Tag.TILE_HEIGHT, 1)
    if sides[0] > max(MAX_TILE_SIDE, width) or sides[1] > max(MAX_TILE_SIDE, height):
        raise UndecodableImage("The TIFF's tiles are far larger than the picture.", limit=MAX_TILE_SIDE)
    if compression == _UNCOMPRESSED:
        _check_parts(page, width, height, samples * bits)
    alpha = bool({1, 2, 999} & set(extra)) or (photometric == 2 and samples == 4 and not extra)
    return Header(width, height, _MODES[photometric], bits, alpha, _pages(data, page), data)


def open_image(data: bytes) -> ImageFile:
    """Open the picture through a directory that takes the place of the file's own and says no more than is needed."""
    page = _first_directory(data)
    entries = [field.entry for tag, field in sorted(page.fields.items()) if tag in _PICTURE_TAGS]
    directory = struct.pack(page.order + "H", len(entries)) + b"".join(entries) + bytes(4)
    (at,) = struct.unpack_from(page.order + "I", data, 4)
    view = memoryview(data)
    return TiffImageFile(BytesIO(b"".join((view[:at], directory, view[at + len(directory) :]))))


def _first_directory(data: bytes) -> _Directory:
    order = byte_order(data)
    fields, following = read_fields(data, order, struct.unpack_from(order + "I", data, 4)[0])
    many = sum(f.count for tag, f in fields.items() if tag in _PICTURE_TAGS and f.type not in (_BYTE, _UNDEFINED))
    if many > MAX_VALUES:
        raise UndecodableImage("The TIFF's directory holds more values than a picture needs.", limit=MAX_VALUES)
    return _Directory(order, fields, following)


def _check_parts(page: _Directory, width: int, height: int, pixel_bits: int) -> None:
    """Refuse uncompressed strips or tiles that are more than the picture has, or begin nearer than they are long.

    Pillow reads each up to where the next begins, in Python: a byte at a time would last minutes.
    """
    planes = page.value(Tag.SAMPLES, 1) if page.value(Tag.PLANES, 1) == 2 else 1
    if Tag.STRIP_OFFSETS in page.fields:
        columns, rows = width, min(page.value(Tag.ROWS_PER_STRIP, height), height)
        shortest, offsets = height % rows or rows, page.values(Tag.STRIP_OFFSETS)
    else:
        columns, rows = page.value(Tag.TILE_WIDTH, width), page.value(Tag.TILE_HEIGHT, height)
        shortest, offsets = rows, page.values(Tag.TILE_OFFSETS)
    expected = -(-width // columns) * -(-height // rows) * planes
    least_bytes = shortest * (columns * pixel_bits // planes // 8)
    if len(offsets) > expected or (np.diff(np.sort(np.array(offsets, np.int64))) < least_bytes).any():
        raise UndecodableImage("The TIFF's strips or tiles overlap.")


def _pages(data: bytes, page: _Directory) -> int:
    """Count the first page and those after it, reduced copies of it aside."""
    pages = 1
    for _ in range(MAX_PAGES_COUNTED):
        if not page.following or page.following + 2 > len(data):
            break
        page = _Directory(page.order, *read_fields(data, page.order, page.following))
        pages += not page.value(_SUBFILE, 0) & _REDUCED
    return pages
