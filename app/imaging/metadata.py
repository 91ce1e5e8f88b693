"""EXIF: the orientation it tells, and what of it may travel on.

Kept are the fields that describe picture and exposure. Left out are position, maker notes, thumbnail, and all that EXIF
can embed: XMP, IPTC and Photoshop data may hold a position too.
"""

import struct
from contextlib import suppress
from io import BytesIO

from app.imaging.ifd import ASCII, LONG, RATIONAL, SHORT, Field, read_fields, read_header, write_fields

ORIENTATION, EXIF_POINTER = 0x0112, 0x8769
_PREFIX = b"Exif\0\0"
_BYTE, _POINTER_TYPE, _FIRST_BIG_TYPE = 1, 13, 16
# The describing fields of the main directory, by type: texts (description, maker, model, software, date, artist, host,
# copyright; Windows writes its own as bytes), and single values (resolutions; orientation, unit, ratings). All other
# fields there belong to the container.
_TEXTS = {
    **dict.fromkeys((0x010E, 0x010F, 0x0110, 0x0131, 0x0132, 0x013B, 0x013C, 0x8298), ASCII),
    **dict.fromkeys((0x9C9B, 0x9C9C, 0x9C9D, 0x9C9E, 0x9C9F), _BYTE),
}
_VALUES = {0x011A: RATIONAL, 0x011B: RATIONAL, ORIENTATION: SHORT, 0x0128: SHORT, 0x4746: SHORT, 0x4749: SHORT}
_WIDTH, _HEIGHT = 0xA002, 0xA003
_RESOLUTIONS, _UNIT, _INCH, _CENTIMETRE = (0x011A, 0x011B), 0x0128, 2, 3
# Maker note, related sound file, interoperability and position pointers.
_LEFT_OUT = frozenset((0x927C, 0xA004, 0xA005, 0x8825))

# A JPEG holds its EXIF in one segment of 64 kB; values are taken in the order of their tags while they fit.
MAX_VALUE_BYTES = 56_000


def read_orientation(exif: bytes) -> int:
    """Return the orientation (1 to 8) that an EXIF block or TIFF file names; 1 when it names none or is unreadable."""
    main, order = _read_main(exif)
    (orientation,) = main[ORIENTATION].integers(order)[:1] or (1,) if ORIENTATION in main else (1,)
    return orientation if 1 <= orientation <= 8 else 1


def read_resolution(exif: bytes) -> tuple[float, float] | None:
    """Return the resolution that an EXIF block or TIFF file names, in dots an inch: along rows, along columns."""
    main, order = _read_main(exif)
    unit = (main[_UNIT].integers(order) if _UNIT in main else ()) or (_INCH,)
    found = [main[tag].rationals(order)[:1] if tag in main else () for tag in _RESOLUTIONS]
    if not all(found) or unit[0] not in (_INCH, _CENTIMETRE):
        return None
    (x,), (y,) = found
    return (2.54 * x, 2.54 * y) if unit[0] == _CENTIMETRE else (x, y)


def clean_exif(exif: bytes, width: int, height: int, turned: bool = False) -> bytes:
    """Return a new EXIF block of what may travel on, orientation reset and size corrected; empty when nothing remains.

    Accept an EXIF block or a whole TIFF file. Of a damaged block the readable fields are kept. turned: the picture has
    been turned by a quarter, so that its two resolutions change places.
    """
    order, main, exposure = _read_block(exif)
    if turned:
        swapped = dict(zip(_RESOLUTIONS, reversed(_RESOLUTIONS), strict=True))
        main = {swapped.get(tag, tag): field for tag, field in main.items()}
    main = {tag: field for tag, field in main.items() if _describes(tag, field)}
    exposure = {tag: field for tag, field in exposure.items() if tag not in _LEFT_OUT and field.type != _POINTER_TYPE}
    # First choose, then convert: a thousand fields of a hostile file may each claim all of its bytes.
    main, room = _fitting(main, MAX_VALUE_BYTES)
    exposure, _ = _fitting(exposure, room)
    main, exposure = ({tag: f.little_endian(order) for tag, f in fields.items()} for fields in (main, exposure))
    if ORIENTATION in main:
        main[ORIENTATION] = Field(SHORT, 1, struct.pack("<H", 1))
    for tag, side in ((_WIDTH, width), (_HEIGHT, height)):
        if tag in exposure:
            exposure[tag] = Field(LONG, 1, struct.pack("<I", side))
    return _block(main, exposure) if main or exposure else b""


def with_resolution(exif: bytes, dpi: tuple[float, float]) -> bytes:
    """Return a cleaned EXIF block that tells the resolution, for a format with no other place for it.

    dpi: dots an inch along rows and along columns, up to 65,535. What the block says already stays.
    """
    if read_resolution(exif):
        return exif
    _, main, exposure = _read_block(exif)
    for tag, value in zip(_RESOLUTIONS, dpi, strict=True):
        main[tag] = Field(RATIONAL, 1, struct.pack("<II", round(1000 * value), 1000))
    main[_UNIT] = Field(SHORT, 1, struct.pack("<H", _INCH))
    return _block(main, exposure)


def add_exif_to_tiff(file: BytesIO, exif: bytes, container: dict[int, Field] | None = None) -> None:
    """Give a little-endian TIFF the fields of a cleaned EXIF block, through a new first directory behind its end.

    container: fields to put in the place of the file's own. Pillow's own way lets libtiff judge each field, and needs
    the predictor given along with them.
    """
    data = file.getvalue()
    own, _ = read_fields(data, "<", struct.unpack_from("<I", data, 4)[0])
    _, main, exposure = _read_block(exif)
    at = len(data) + len(data) % 2
    file.seek(at)
    file.write(_write_block({**main, **own, **(container or {})}, exposure, at))
    file.seek(4)
    file.write(struct.pack("<I", at))


def _read_main(exif: bytes) -> tuple[dict[int, Field], str]:
    """Return the main fields of an EXIF block or TIFF file and its byte order; none when it cannot be read."""
    blob = exif.removeprefix(_PREFIX)
    try:
        order, big, at = read_header(blob)
        return read_fields(blob, order, at, big)[0], order
    except (KeyError, struct.error):
        return {}, "<"


def _read_block(exif: bytes) -> tuple[str, dict[int, Field], dict[int, Field]]:
    """Return the byte order, the main and the exposure fields of an EXIF block or TIFF file; {} for what is damaged."""
    main, order = _read_main(exif)
    blob = exif.removeprefix(_PREFIX)
    exposure: dict[int, Field] = {}
    if pointer := main.pop(EXIF_POINTER, None):
        with suppress(IndexError, struct.error):
            exposure, _ = read_fields(blob, order, pointer.integers(order)[0], read_header(blob)[1])
    main, exposure = (
        {tag: field for tag, field in fields.items() if field.type < _FIRST_BIG_TYPE} for fields in (main, exposure)
    )
    return order, main, exposure


def _block(main: dict[int, Field], exposure: dict[int, Field]) -> bytes:
    """Write a little-endian EXIF block."""
    return _PREFIX + b"II*\0" + struct.pack("<I", 8) + _write_block(main, exposure, 8)


def _write_block(main: dict[int, Field], exposure: dict[int, Field], at: int) -> bytes:
    """Write both directories to stand at `at`, the main one first."""
    if not exposure:
        return write_fields(main, at)
    end = at + len(write_fields({**main, EXIF_POINTER: Field(LONG, 1, bytes(4))}, at))
    pointer = Field(LONG, 1, struct.pack("<I", end))
    return write_fields({**main, EXIF_POINTER: pointer}, at) + write_fields(exposure, end)


def _describes(tag: int, field: Field) -> bool:
    return _TEXTS.get(tag) == field.type or (_VALUES.get(tag) == field.type and field.count == 1)


def _fitting(fields: dict[int, Field], room: int) -> tuple[dict[int, Field], int]:
    fitting = {}
    for tag, field in sorted(fields.items()):
        cost = 12 + len(field.value) + len(field.value) % 2
        if cost <= room:
            fitting[tag] = field
            room -= cost
    return fitting, room
