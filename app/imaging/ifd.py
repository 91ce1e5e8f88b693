"""Image file directories: the tagged fields of TIFF and EXIF. Knows what fields look like, not what they mean."""

import struct
from typing import NamedTuple

import numpy as np

# Bytes of one value, by field type: BYTE, ASCII, SHORT, LONG, RATIONAL, their signed kin, FLOAT, DOUBLE, IFD.
_TYPE_BYTES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4}
# Bytes that swap places between the two byte orders, where that is more than one.
_WORD_BYTES = {3: 2, 4: 4, 5: 4, 8: 2, 9: 4, 10: 4, 11: 4, 12: 8, 13: 4}
_INTEGER_CODES = {1: "B", 3: "H", 4: "I", 13: "I"}
ASCII, SHORT, LONG, RATIONAL = 2, 3, 4, 5

# Real directories have under 200 fields; each costs Python a microsecond.
MAX_FIELDS = 1024


class Field(NamedTuple):
    """One field: its type and count, the bytes of its values, and the 12 bytes it was read from."""

    type: int
    count: int
    value: memoryview | bytes
    entry: bytes = b""

    def integers(self, order: str) -> tuple[int, ...]:
        """Return the values of an unsigned integer field; none of any other."""
        code = _INTEGER_CODES.get(self.type)
        return struct.unpack(f"{order}{self.count}{code}", self.value) if code else ()

    def little_endian(self, order: str) -> "Field":
        """Return the field as a little-endian file holds it."""
        word = _WORD_BYTES.get(self.type, 1)
        if order == "<" or word == 1:
            return self
        value = np.frombuffer(self.value, np.uint8).reshape(-1, word)[:, ::-1].tobytes()
        return Field(self.type, self.count, value)


def byte_order(blob: bytes) -> str:
    """Return the order that a TIFF header names, as struct writes it; raise KeyError when it names none."""
    return {b"II*\0": "<", b"MM\0*": ">"}[bytes(blob[:4])]


def read_fields(blob: bytes, order: str, offset: int) -> tuple[dict[int, Field], int]:
    """Read the directory at `offset`: its fields by tag, and the offset of the next directory, 0 after the last.

    Fields of unknown type, or whose values do not lie within the blob, are left out, and repeated tags too; values are
    views, not copies. Raise struct.error when the directory does not lie within the blob or has too many fields.
    """
    view, fields = memoryview(blob), {}
    (count,) = struct.unpack_from(order + "H", blob, offset)
    if count > MAX_FIELDS:
        raise struct.error(f"a directory of {count} fields")
    for at in range(offset + 2, offset + 2 + 12 * count, 12):
        tag, type_, values, where = struct.unpack_from(order + "HHII", blob, at)
        size = _TYPE_BYTES.get(type_, 0) * values
        start = at + 8 if size <= 4 else where
        if size and start + size <= len(blob):
            fields.setdefault(tag, Field(type_, values, view[start : start + size], bytes(view[at : at + 12])))
    after = offset + 2 + 12 * count
    (following,) = struct.unpack_from(order + "I", blob, after) if after + 4 <= len(blob) else (0,)
    return fields, following


def write_fields(fields: dict[int, Field], offset: int) -> bytes:
    """Write a little-endian directory that will stand at `offset`, the last one, and behind it the larger values."""
    entries, values = b"", b""
    values_at = offset + 2 + 12 * len(fields) + 4
    for tag, field in sorted(fields.items()):
        entries += struct.pack("<HHI", tag, field.type, field.count)
        if len(field.value) <= 4:
            entries += bytes(field.value).ljust(4, b"\0")
        else:
            entries += struct.pack("<I", values_at + len(values))
            values += bytes(field.value) + b"\0" * (len(field.value) % 2)
    return struct.pack("<H", len(fields)) + entries + b"\0\0\0\0" + values
