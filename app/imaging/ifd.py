"""Image file directories: the tagged fields of TIFF, BigTIFF and EXIF. Knows how fields look, not what they mean."""

import math
import struct
from dataclasses import dataclass

import numpy as np

# Bytes of one value, by field type: BYTE, ASCII, SHORT, LONG, RATIONAL, their signed kin, FLOAT, DOUBLE, IFD; and the
# LONG8 and IFD8 of BigTIFF.
_TYPE_BYTES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4}
_BIG_TYPE_BYTES = _TYPE_BYTES | {16: 8, 18: 8}
# Bytes that swap places between the two byte orders, where that is more than one.
_WORD_BYTES = {3: 2, 4: 4, 5: 4, 8: 2, 9: 4, 10: 4, 11: 4, 12: 8, 13: 4, 16: 8, 18: 8}
_INTEGER_CODES = {1: "B", 3: "H", 4: "I", 13: "I", 16: "Q", 18: "Q"}
ASCII, SHORT, LONG, RATIONAL = 2, 3, 4, 5

# Real directories have under 200 fields; each costs Python a microsecond.
MAX_FIELDS = 1024


@dataclass(frozen=True, slots=True)
class Field:
    """One field: its type and count, the bytes of its values, and the 12 bytes it was read from."""

    type: int
    count: int
    value: memoryview | bytes
    entry: bytes = b""

    def integers(self, order: str) -> tuple[int, ...]:
        """Return the values of an unsigned integer field; none of any other."""
        code = _INTEGER_CODES.get(self.type)
        return struct.unpack(f"{order}{self.count}{code}", self.value) if code else ()

    def rationals(self, order: str) -> tuple[float, ...]:
        """Return the values of an unsigned rational field, infinite where it divides by zero; none of any other."""
        if self.type != RATIONAL:
            return ()
        numbers = struct.unpack(f"{order}{2 * self.count}I", self.value)
        return tuple(a / b if b else math.inf for a, b in zip(numbers[::2], numbers[1::2], strict=True))

    def little_endian(self, order: str) -> "Field":
        """Return the field as a little-endian file holds it."""
        word = _WORD_BYTES.get(self.type, 1)
        if order == "<" or word == 1:
            return self
        value = np.frombuffer(self.value, np.uint8).reshape(-1, word)[:, ::-1].tobytes()
        return Field(self.type, self.count, value)


def read_header(blob: bytes) -> tuple[str, bool, int]:
    """Read a TIFF header: the byte order as struct writes it, whether it is BigTIFF, and where its directory is.

    Raise KeyError for bytes that are no TIFF's, struct.error for too few.
    """
    order, big = {
        b"II*\0": ("<", False),
        b"MM\0*": (">", False),
        b"II+\0": ("<", True),
        b"MM\0+": (">", True),
    }[bytes(blob[:4])]
    return order, big, struct.unpack_from(order + ("Q" if big else "I"), blob, 8 if big else 4)[0]


def read_fields(blob: bytes, order: str, offset: int, big: bool = False) -> tuple[dict[int, Field], int]:
    """Read the directory at `offset`: its fields by tag, and the offset of the next directory, 0 after the last.

    Fields of unknown type, or whose values do not lie within the blob, are left out, and repeated tags too; of a
    directory that is cut off, those that are there are read. Values are views, not copies. big: the directory is a
    BigTIFF's. Raise struct.error when the directory does not begin within the blob or has too many fields.
    """
    view = memoryview(blob)
    fields: dict[int, Field] = {}
    head, entry, inline, sizes = ("Q", "HHQQ", 8, _BIG_TYPE_BYTES) if big else ("H", "HHII", 4, _TYPE_BYTES)
    head_bytes, entry_bytes = struct.calcsize("=" + head), struct.calcsize("=" + entry)
    (count,) = struct.unpack_from(order + head, blob, offset)
    if count > MAX_FIELDS:
        raise struct.error(f"a directory of {count} fields")
    after = offset + head_bytes + entry_bytes * count
    for at in range(offset + head_bytes, min(after, len(blob) - entry_bytes + 1), entry_bytes):
        tag, type_, values, where = struct.unpack_from(order + entry, blob, at)
        size = sizes.get(type_, 0) * values
        start = at + entry_bytes - inline if size <= inline else where
        if size and start + size <= len(blob):
            fields.setdefault(tag, Field(type_, values, view[start : start + size], bytes(view[at : at + entry_bytes])))
    word = "Q" if big else "I"
    (following,) = struct.unpack_from(order + word, blob, after) if after + inline <= len(blob) else (0,)
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
