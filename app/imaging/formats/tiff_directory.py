"""The first directory of a TIFF or BigTIFF: its fields, bounded and sound, and a small file made of some of them."""

import struct
from enum import IntEnum
from io import BytesIO
from typing import NamedTuple

from PIL.TiffImagePlugin import TiffImageFile

from app.errors import UndecodableImage
from app.imaging.ifd import LONG, Field, read_fields, read_header, write_fields

# Pillow makes a Python object of each value: 30,000 strips of one row in each of three planes still pass.
MAX_VALUES = 262_144
# A pyramid has one smaller copy for each power of two.
MAX_PAGES_READ = 32


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


PICTURE_TAGS = frozenset(Tag)
SUBFILE, REDUCED = 254, 1
_BYTE, _UNDEFINED, _LONG8 = 1, 7, 16


class Directory(NamedTuple):
    """Hold a directory's fields by tag, the byte order of file and samples, and where the next directory is."""

    order: str
    fields: dict[int, Field]
    following: int
    big: bool

    def values(self, tag: int, default: tuple[int, ...] = ()) -> tuple[int, ...]:
        return self.fields[tag].integers(self.order) if tag in self.fields else default

    def value(self, tag: int, default: int) -> int:
        return (self.values(tag) or (default,))[0]


def first_directory(data: bytes) -> Directory:
    """Read the first directory; raise UndecodableImage when it holds more than a picture needs."""
    order, big, at = read_header(data)
    fields, following = read_fields(data, order, at, big)
    many = sum(f.count for tag, f in fields.items() if tag in PICTURE_TAGS and f.type not in (_BYTE, _UNDEFINED))
    if many > MAX_VALUES:
        raise UndecodableImage("The TIFF's directory holds more values than a picture needs.", limit=MAX_VALUES)
    return Directory(order, fields, following, big)


def count_pages(data: bytes, page: Directory) -> int:
    """Count the first page and those after it, reduced copies of it aside: 1 or, for any more, 2."""
    seen: set[int] = set()
    while page.following and page.following + 2 <= len(data):
        if page.following in seen or len(seen) == MAX_PAGES_READ:
            raise UndecodableImage("The TIFF's pages come to no end.", limit=MAX_PAGES_READ)
        seen.add(page.following)
        page = Directory(page.order, *read_fields(data, page.order, page.following, page.big), page.big)
        if not page.value(SUBFILE, 0) & REDUCED:
            return 2
    return 1


def open_with(data: bytes, fields: dict[int, Field]) -> TiffImageFile:
    """Open a classic little-endian file of the given little-endian fields behind the data of another.

    Offsets into the data stay true: only its first 8 bytes are written over.
    """
    view, at = memoryview(data), len(data) + len(data) % 2
    classic = {tag: _classic(field) for tag, field in fields.items()}
    parts = (b"II*\0" + struct.pack("<I", at), view[8:], bytes(at - len(data)), write_fields(classic, at))
    return TiffImageFile(BytesIO(b"".join(parts)))


def longs(*values: int) -> Field:
    """Make a field of unsigned integers."""
    return Field(LONG, len(values), struct.pack(f"<{len(values)}I", *values))


def _classic(field: Field) -> Field:
    return longs(*field.integers("<")) if field.type == _LONG8 else field
