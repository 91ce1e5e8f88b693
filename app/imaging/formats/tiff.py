"""TIFF: its one page. Pillow and libtiff see a new directory, of those fields that make the picture and are sound."""

import struct
from enum import IntEnum
from io import BytesIO

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
# None, LZW, JPEG, Deflate (two numbers), PackBits. Fax codings are for documents, the rest is rare or fragile.
_COMPRESSIONS = frozenset((1, 5, 7, 8, 32773, 32946))
_MODES = {0: "grey", 1: "grey", 2: "rgb", 3: "palette", 5: "cmyk", 6: "rgb"}
_BYTE, _UNDEFINED = 1, 7


def read(data: bytes) -> Header:
    """Read the first directory and count the pages; refuse kinds of pixels that Pillow narrows, inverts or guesses."""
    order, fields, following = _first_directory(data)

    def values(tag: int, default: tuple[int, ...] = ()) -> tuple[int, ...]:
        return fields[tag].integers(order) if tag in fields else default

    def value(tag: int, default: int) -> int:
        return (values(tag) or (default,))[0]

    if value(_SUBFILE, 0) & _REDUCED:
        raise UnsupportedImage("The TIFF begins with a preview, as camera raw files do. Develop it to JPEG or PNG.")
    photometric, bits, extra = value(Tag.PHOTOMETRIC, 0), max(values(Tag.BITS, (1,))), values(Tag.EXTRA_SAMPLES)
    grey16 = bits == 16 and photometric == 1 and value(Tag.SAMPLES, 1) == 1
    if set(values(Tag.SAMPLE_FORMAT, (1,))) != {1} or (bits not in (1, 2, 4, 8) and not grey16):
        raise UnsupportedImage(
            f"The TIFF has {bits}-bit samples of a kind that would be narrowed. "
            "Save it with 8 bits a channel, or as unsigned 16-bit greyscale, black being zero.",
            observed=bits,
        )
    if photometric not in _MODES:
        raise UnsupportedImage("The TIFF is neither greyscale, RGB, palette, CMYK nor YCbCr. Save it as RGB.")
    if value(Tag.COMPRESSION, 1) not in _COMPRESSIONS:
        raise UnsupportedImage("The TIFF's compression is not read here. Save it with LZW, Deflate or none.")
    width, height = value(Tag.WIDTH, 0), value(Tag.HEIGHT, 0)
    if value(Tag.TILE_WIDTH, 1) > max(MAX_TILE_SIDE, width) or value(Tag.TILE_HEIGHT, 1) > max(MAX_TILE_SIDE, height):
        raise UndecodableImage("The TIFF's tiles are far larger than the picture.", limit=MAX_TILE_SIDE)
    alpha = bool({1, 2, 999} & set(extra)) or (photometric == 2 and value(Tag.SAMPLES, 3) == 4 and not extra)
    return Header(width, height, _MODES[photometric], bits, alpha, _pages(data, order, following), data)


def open_image(data: bytes) -> ImageFile:
    """Open the picture through a directory that takes the place of the file's own and says no more than is needed."""
    order, fields, _ = _first_directory(data)
    entries = [field.entry for tag, field in sorted(fields.items()) if tag in _PICTURE_TAGS]
    directory = struct.pack(order + "H", len(entries)) + b"".join(entries) + bytes(4)
    (at,) = struct.unpack_from(order + "I", data, 4)
    view = memoryview(data)
    return TiffImageFile(BytesIO(b"".join((view[:at], directory, view[at + len(directory) :]))))


def _first_directory(data: bytes) -> tuple[str, dict[int, Field], int]:
    order = byte_order(data)
    fields, following = read_fields(data, order, struct.unpack_from(order + "I", data, 4)[0])
    many = sum(f.count for tag, f in fields.items() if tag in _PICTURE_TAGS and f.type not in (_BYTE, _UNDEFINED))
    if many > MAX_VALUES:
        raise UndecodableImage("The TIFF's directory holds more values than a picture needs.", limit=MAX_VALUES)
    return order, fields, following


def _pages(data: bytes, order: str, following: int) -> int:
    """Count the first page and those after it, reduced copies of it aside."""
    pages = 1
    for _ in range(MAX_PAGES_COUNTED):
        if not following or following + 2 > len(data):
            break
        fields, following = read_fields(data, order, following)
        subfile = fields[_SUBFILE].integers(order) if _SUBFILE in fields else ()
        pages += not (subfile and subfile[0] & _REDUCED)
    return pages
