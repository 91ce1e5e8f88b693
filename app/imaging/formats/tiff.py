"""TIFF and BigTIFF: their one page. Pillow and libtiff see a new directory, of those fields that make the picture."""

import numpy as np
from PIL.ImageFile import ImageFile

from app.errors import UndecodableImage, UnsupportedImage
from app.imaging.formats.header import Header, Samples
from app.imaging.formats.tiff_directory import (
    PICTURE_TAGS,
    REDUCED,
    SUBFILE,
    Directory,
    Tag,
    count_pages,
    first_directory,
    open_with,
)
from app.imaging.formats.tiff_samples import Layout, layout, read_samples
from app.imaging.ifd import Field
from app.imaging.metadata import read_resolution

# A tile may be larger than the picture, and is decoded whole.
MAX_TILE_SIDE = 2048

_UNCOMPRESSED, _JPEG = 1, 7
# None, LZW, JPEG, Deflate (two numbers), PackBits. Fax codings are for documents, the rest is rare or fragile.
_COMPRESSIONS = frozenset((1, 5, _JPEG, 8, 32773, 32946))
_REFUSED_COMPRESSIONS = {
    2: "a fax coding (CCITT RLE)",
    3: "a fax coding (CCITT Group 3)",
    4: "a fax coding (CCITT Group 4)",
    6: "JPEG of the old kind",
    32809: "ThunderScan",
    34661: "JBIG",
    34712: "JPEG 2000",
    34887: "LERC",
    34925: "LZMA",
    50000: "Zstandard",
    50001: "WebP",
    34933: "PNG",
    34934: "JPEG XR",
    50002: "JPEG XL",
    52546: "JPEG XL",
}
_YCBCR = 6
_MODES = {0: "grey", 1: "grey", 2: "rgb", 3: "palette", 5: "cmyk", _YCBCR: "rgb"}
_DEEP_PHOTOMETRICS = (0, 1, 2)
_UNSIGNED, _UNDEFINED_FORMAT = 1, 4
_REFUSED_FORMATS = {2: "signed", 3: "floating-point", 5: "complex", 6: "complex"}
_REMEDY = "Save it with 8 or 16 bits a channel, unsigned."


def read(data: bytes) -> Header:
    """Read the first directory and count the pages; refuse kinds of pixels that would be narrowed or guessed."""
    page = first_directory(data)
    if page.value(SUBFILE, 0) & REDUCED:
        raise UnsupportedImage("The TIFF begins with a preview, as camera raw files do. Develop it to JPEG or PNG.")
    photometric, compression = page.value(Tag.PHOTOMETRIC, 0), page.value(Tag.COMPRESSION, _UNCOMPRESSED)
    if photometric not in _MODES:
        raise UnsupportedImage("The TIFF is neither greyscale, RGB, palette, CMYK nor YCbCr. Save it as RGB.")
    if compression not in _COMPRESSIONS:
        name = _REFUSED_COMPRESSIONS.get(compression, f"number {compression}")
        raise UnsupportedImage(
            f"The TIFF's compression is {name}, which is not read here. Save it with LZW, Deflate or none.",
            observed=compression,
        )
    found = layout(page)
    _check_samples(page, photometric, found.bits)
    if compression == _JPEG and photometric in _DEEP_PHOTOMETRICS and not found.plain:
        raise UnsupportedImage("The TIFF has JPEG compression of samples other than colours. Save it with LZW.")
    coarse = compression == _UNCOMPRESSED and page.values(Tag.YCBCR_SUBSAMPLING, (1, 1)) != (1, 1)
    if photometric == _YCBCR and (coarse or found.planes > 1):
        raise UnsupportedImage("The TIFF has YCbCr in planes, or with coarser colours, uncompressed. Save it as RGB.")
    width, height = page.value(Tag.WIDTH, 0), page.value(Tag.HEIGHT, 0)
    sides = page.value(Tag.TILE_WIDTH, 1), page.value(Tag.TILE_HEIGHT, 1)
    if min(width, height, *sides) < 1:
        raise UndecodableImage(f"The TIFF says {width} × {height} pixels, in tiles of {sides[0]} × {sides[1]}.")
    if sides[0] > max(MAX_TILE_SIDE, width) or sides[1] > max(MAX_TILE_SIDE, height):
        raise UndecodableImage("The TIFF's tiles are far larger than the picture.", limit=MAX_TILE_SIDE)
    _check_parts(page, width, height, found, compression, len(data))
    alpha = found.alpha and photometric in _DEEP_PHOTOMETRICS
    return Header(width, height, _MODES[photometric], found.bits, alpha, count_pages(data, page), data)


def open_image(data: bytes) -> ImageFile:
    """Open the picture through a directory that says no more than is needed."""
    page = first_directory(data)
    return open_with(data, _picture_fields(page))


def read_deep(data: bytes) -> Samples | None:
    """Return the samples where Pillow would narrow or confuse them, None where it reads them as they are."""
    page = first_directory(data)
    if page.value(Tag.PHOTOMETRIC, 0) not in _DEEP_PHOTOMETRICS or layout(page).plain:
        return None
    icc = page.fields.get(Tag.ICC_PROFILE)
    return Samples(read_samples(data, page), bytes(icc.value) if icc else None, read_resolution(data))


def narrowing(data: bytes) -> str | None:
    """Say how many samples a pixel are left out: those that are neither colours nor alpha."""
    page = first_directory(data)
    found = layout(page)
    others = found.samples - found.colours - found.alpha
    if page.value(Tag.PHOTOMETRIC, 0) not in _DEEP_PHOTOMETRICS or others <= 0:
        return None
    return f"{others} of the TIFF's {found.samples} channels, neither colours nor transparency, were left out."


def _picture_fields(page: Directory) -> dict[int, Field]:
    """Return the fields that make the picture, little-endian.

    Samples of an undefined format are unsigned integers, as other readers take them.
    """
    fields = {tag: f.little_endian(page.order) for tag, f in page.fields.items() if tag in PICTURE_TAGS}
    if set(page.values(Tag.SAMPLE_FORMAT)) & {_UNDEFINED_FORMAT}:
        del fields[Tag.SAMPLE_FORMAT]
    return fields


def _check_samples(page: Directory, photometric: int, bits: int) -> None:
    kinds = set(page.values(Tag.SAMPLE_FORMAT, (_UNSIGNED,))) - {_UNSIGNED, _UNDEFINED_FORMAT}
    if kinds:
        kind = _REFUSED_FORMATS.get(min(kinds), "unknown")
        raise UnsupportedImage(f"The TIFF has {kind} samples of {bits} bits. {_REMEDY}", observed=bits)
    if bits == 16 and photometric not in _DEEP_PHOTOMETRICS:
        raise UnsupportedImage(
            "The TIFF has 16 bits in a colour space other than greyscale and RGB. Save it as RGB.", observed=bits
        )
    if bits not in (1, 2, 4, 8, 16) or len(set(page.values(Tag.BITS, (1,)))) > 1:
        raise UnsupportedImage(f"The TIFF has samples of {bits} bits or of several depths. {_REMEDY}", observed=bits)


def _check_parts(page: Directory, width: int, height: int, found: Layout, compression: int, file_bytes: int) -> None:
    """Refuse strips or tiles that end behind the file, where our own directory will be, and those that overlap.

    A block of Deflate that many strips share costs its sender once and us as often as they are. Uncompressed ones must
    not be more than the picture has, nor begin nearer than they are long: Pillow reads each up to where the next
    begins, in Python, and a byte at a time would last minutes.
    """
    if Tag.STRIP_OFFSETS in page.fields:
        columns, rows = width, max(1, min(page.value(Tag.ROWS_PER_STRIP, height), height))
        tags, shortest = (Tag.STRIP_OFFSETS, Tag.STRIP_BYTES), height % rows or rows
    else:
        columns, rows = page.value(Tag.TILE_WIDTH, width), page.value(Tag.TILE_HEIGHT, height)
        tags, shortest = (Tag.TILE_OFFSETS, Tag.TILE_BYTES), rows
    offsets, sizes = (np.array(page.values(tag), np.uint64) for tag in tags)
    if compression == _UNCOMPRESSED:
        planes_samples = found.samples if found.planes == 1 else 1
        least_bytes = shortest * (columns * found.bits * planes_samples // 8)
        expected = -(-width // columns) * -(-height // rows) * found.planes
        if len(offsets) > expected or (np.diff(np.sort(offsets)) < least_bytes).any():
            raise UndecodableImage("The TIFF's strips or tiles overlap.")
        if len(sizes):
            sizes = np.minimum(sizes, np.uint64(rows * (columns * found.bits * planes_samples + 7) // 8))
        else:
            sizes = np.full(len(offsets), least_bytes, np.uint64)
    elif len(offsets) == len(sizes):
        order = np.argsort(offsets)
        if (offsets[order][:-1] + sizes[order][:-1] > offsets[order][1:])[sizes[order][:-1] > 0].any():
            raise UndecodableImage("The TIFF's strips or tiles overlap.")
    elif len(offsets) > 1:
        raise UndecodableImage("The TIFF does not say how long its strips or tiles are.")
    if len(offsets) and (offsets + sizes > file_bytes).any():
        raise UndecodableImage("The TIFF is cut off: its pixels end behind the end of the file.")
