"""EXIF: the orientation it tells, and what of it may travel on.

Kept are the fields that describe picture and exposure. Left out are position, maker notes, thumbnail, and all that EXIF
can embed: XMP, IPTC and Photoshop data may hold a position too.
"""

import struct
from io import BytesIO

from app.imaging.ifd import ASCII, LONG, RATIONAL, SHORT, Field, byte_order, read_fields, write_fields

ORIENTATION, EXIF_POINTER = 0x0112, 0x8769
_PREFIX = b"Exif\0\0"
_BYTE, _POINTER_TYPE = 1, 13
# The describing fields of the main directory, by type: texts (description, maker, model, software, date, artist, host,
# copyright; Windows writes its own as bytes), and single values (resolutions; orientation, unit, ratings). All other
# fields there belong to the container.
_TEXTS = {
    **dict.fromkeys((0x010E, 0x010F, 0x0110, 0x0131, 0x0132, 0x013B, 0x013C, 0x8298), ASCII),
    **dict.fromkeys((0x9C9B, 0x9C9C, 0x9C9D, 0x9C9E, 0x9C9F), _BYTE),
}
_VALUES = {0x011A: RATIONAL, 0x011B: RATIONAL, ORIENTATION: SHORT, 0x0128: SHORT, 0x4746: SHORT, 0x4749: SHORT}
_WIDTH, _HEIGHT = 0xA002, 0xA003
# Maker note, related sound file, interoperability and position pointers.
_LEFT_OUT = frozenset((0x927C, 0xA004, 0xA005, 0x8825))

# A JPEG holds its EXIF in one segment of 64 kB; values are taken in the order of their tags while they fit.
MAX_VALUE_BYTES = 56_000


def read_orientation(exif: bytes) -> int:
    """Return the orientation (1 to 8) that an EXIF block or TIFF file names; 1 when it names none or is unreadable."""
    blob = exif.removeprefix(_PREFIX)
    try:
        order = byte_order(blob)
        fields, _ = read_fields(blob, order, struct.unpack_from(order + "I", blob, 4)[0])
        (orientation,) = fields[ORIENTATION].integers(order)
    except (KeyError, ValueError, struct.error):
        return 1
    return orientation if 1 <= orientation <= 8 else 1


def clean_exif(exif: bytes, width: int, height: int) -> bytes:
    """Return a new EXIF block of what may travel on, orientation reset and size corrected; empty when nothing remains.

    Accept an EXIF block or a whole TIFF file. A block that cannot be read is dropped: it describes nothing.
    """
    try:
        order, main, exposure = _read_block(exif)
    except (KeyError, IndexError, struct.error):
        return b""
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
    if not main and not exposure:
        return b""
    return _PREFIX + b"II*\0" + struct.pack("<I", 8) + _write_block(main, exposure, 8)


def add_exif_to_tiff(file: BytesIO, exif: bytes) -> None:
    """Give a little-endian TIFF the fields of a cleaned EXIF block, through a new first directory behind its end.

    Pillow's own way lets libtiff judge each field, and needs the predictor given along with them.
    """
    data = file.getvalue()
    container, _ = read_fields(data, "<", struct.unpack_from("<I", data, 4)[0])
    _, main, exposure = _read_block(exif)
    at = len(data) + len(data) % 2
    file.seek(at)
    file.write(_write_block({**main, **container}, exposure, at))
    file.seek(4)
    file.write(struct.pack("<I", at))


def _read_block(exif: bytes) -> tuple[str, dict[int, Field], dict[int, Field]]:
    """Return the byte order, the main and the exposure fields of an EXIF block or TIFF file."""
    blob = exif.removeprefix(_PREFIX)
    order = byte_order(blob)
    main, _ = read_fields(blob, order, struct.unpack_from(order + "I", blob, 4)[0])
    exposure = {}
    if pointer := main.pop(EXIF_POINTER, None):
        exposure, _ = read_fields(blob, order, pointer.integers(order)[0])
    return order, main, exposure


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
