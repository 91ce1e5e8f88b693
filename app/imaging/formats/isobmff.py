"""The boxes that AVIF and HEIC share: their brands, the colours they name by numbers, and bounds for all of them.

Source: ISO/IEC 14496-12 (boxes), 23008-12 (items); AV1 specification, 5.3 (units); ITU-T H.265, 7.3.1 (units).
"""

import struct
from collections.abc import Iterator
from typing import NamedTuple

from app.errors import AnimatedImage, UndecodableImage
from app.imaging import profile

# A photo's properties end within a few kilobytes; one of a thousand tiles has 40 kB of them.
MAX_META_BYTES = 256 * 1024
MAX_ITEMS = 1024
MAX_BOXES = 4096
# Of one picture: layers of a progressive AVIF are four at most, and each tile group or slice is a unit.
MAX_FRAMES, MAX_UNITS = 8, 4096

# What boxes hold before the boxes in them; and those of which every entry is read by libraries, or by all of them.
_META_HEAD, _ENTRY_HEAD = 4, 4
_COUNTED = frozenset((b"iloc", b"iinf", b"ipma"))
_SEQUENCES = frozenset((b"moov", b"moof"))
_NEEDED = frozenset((b"ftyp", b"meta"))
_IN_FILE, _IN_META = 0, 1
_FRAME_HEADER, _FRAME = 3, 6
_FIRST_PARAMETER_SET = 32


class Box(NamedTuple):
    """Hold a box: its kind, and where its content starts and ends."""

    kind: bytes
    start: int
    end: int


class Item(NamedTuple):
    """Hold where an item lies: in the file or in the meta box, as (start, end) of its parts."""

    number: int
    method: int
    extents: tuple[tuple[int, int], ...]


def brands(data: bytes) -> set[bytes]:
    """Return the brands of the file type box, major and compatible; none for data that does not begin with one."""
    if data[4:8] != b"ftyp":
        return set()
    length = min(int.from_bytes(data[:4], "big"), 256)
    return {data[at : at + 4] for at in (8, *range(16, length, 4))}


def check_boxes(data: bytes) -> None:
    """Refuse what would cost a library more than a picture does; libraries look up each item in lists of all others.

    Raise UndecodableImage, or AnimatedImage for a film. Reads every box once, and each at most so many times as there
    are bounds here.
    """
    boxes = {box.kind: box for box in reversed(list(_boxes(data, 0, len(data), outer=True)))}
    if _SEQUENCES & boxes.keys():
        raise AnimatedImage("The file holds a film or a sequence of pictures. Send one picture at a time.", limit=1)
    meta = boxes.get(b"meta")
    if meta is None:
        raise UndecodableImage("The file has no box that describes a picture.")
    if meta.end - meta.start > MAX_META_BYTES:
        raise _too_many("bytes of description", MAX_META_BYTES, meta.end - meta.start)
    inner = list(_boxes(data, meta.start + _META_HEAD, meta.end))
    kinds = [box.kind for box in inner]
    if any(kinds.count(kind) > 1 for kind in (b"iloc", b"iinf", b"iprp", b"iref", b"pitm", b"idat")):
        raise UndecodableImage("The file describes its items twice.")
    found = {box.kind: box for box in inner}
    for box in (*inner, *_properties(data, found)):
        if box.kind in _COUNTED and (count := _count(data, box)) > MAX_ITEMS:
            raise _too_many("items", MAX_ITEMS, count)
    if b"iref" in found:
        references = list(_boxes(data, found[b"iref"].start + _ENTRY_HEAD, found[b"iref"].end))
        if len(references) > MAX_ITEMS:
            raise _too_many("references", MAX_ITEMS, len(references))
    if b"iloc" in found:
        _check_items(data, list(_items(data, found[b"iloc"])), _types(data, found.get(b"iinf")), found.get(b"idat"))


def _check_items(data: bytes, items: list[Item], types: dict[int, bytes], inside: Box | None) -> None:
    """Make sure that all items together have no more bytes than the file, and each but few frames."""
    if any(end > len(data) for item in items for _, end in item.extents):
        raise UndecodableImage("The file is cut off: an item ends behind its end.")
    if sum(end - start for item in items for start, end in item.extents) > len(data):
        raise UndecodableImage("The file's items have more bytes than the file: some are used twice.")
    for item in items:
        if item.method == _IN_META and inside:
            places = [(inside.start + start, inside.start + end) for start, end in item.extents]
        else:
            places = list(item.extents)
        if any(end > len(data) for _, end in places):
            raise UndecodableImage("The file is cut off: an item ends behind its end.")
        count_frames = {b"av01": _count_av1_frames, b"hvc1": _count_hevc_frames}.get(types.get(item.number, b""))
        if count_frames:
            frames = count_frames(b"".join(data[start:end] for start, end in places))
            if frames > MAX_FRAMES:
                raise _too_many("frames in one picture", MAX_FRAMES, frames)


def _boxes(data: bytes, at: int, end: int, outer: bool = False) -> Iterator[Box]:
    """Yield the boxes between two places; raise UndecodableImage for one that is longer than what holds it.

    outer: they are those of the file, behind which some devices leave bytes that are none.
    """
    for _ in range(MAX_BOXES):
        if at + 8 > end:
            return
        length, kind = struct.unpack_from(">I4s", data, at)
        start = at + 8
        if length == 1 and start + 8 <= end:
            (length,) = struct.unpack_from(">Q", data, start)
            start += 8
        box_end = end if length == 0 else at + length
        if box_end < start or (box_end > end and kind != b"mdat"):
            if outer and kind not in _NEEDED:
                return
            raise UndecodableImage("The file's boxes do not fit into each other.")
        yield Box(kind, start, min(box_end, end))
        at = box_end
    raise _too_many("boxes", MAX_BOXES, MAX_BOXES)


def properties(data: bytes, kind: bytes) -> Iterator[bytes]:
    """Yield the contents of the properties of that kind, in a file whose boxes have been checked."""
    boxes = _boxes(data, 0, len(data), outer=True)
    for parent, head in ((b"meta", _META_HEAD), (b"iprp", 0), (b"ipco", 0)):
        place = next((box for box in boxes if box.kind == parent), None)
        if place is None:
            return
        boxes = _boxes(data, place.start + head, place.end)
    yield from (data[box.start : box.end] for box in boxes if box.kind == kind)


def _properties(data: bytes, found: dict[bytes, Box]) -> Iterator[Box]:
    """Yield the boxes of the item properties, the properties themselves counted."""
    if b"iprp" not in found:
        return
    for box in _boxes(data, found[b"iprp"].start, found[b"iprp"].end):
        yield box
        if box.kind == b"ipco" and (count := sum(1 for _ in _boxes(data, box.start, box.end))) > MAX_ITEMS:
            raise _too_many("properties", MAX_ITEMS, count)


def _count(data: bytes, box: Box) -> int:
    """Return how many entries a box says it has."""
    version = data[box.start]
    if box.kind == b"ipma":
        return int(struct.unpack_from(">I", data, box.start + 4)[0])
    at, wide = (box.start + 6, version == 2) if box.kind == b"iloc" else (box.start + 4, version > 0)
    return int(struct.unpack_from(">I" if wide else ">H", data, at)[0])


def _items(data: bytes, box: Box) -> Iterator[Item]:
    """Yield the items that a location box lists."""
    version, sizes, more = data[box.start], data[box.start + 4], data[box.start + 5]
    offset_bytes, length_bytes, base_bytes = sizes >> 4, sizes & 15, more >> 4
    index_bytes = more & 15 if version in (1, 2) else 0
    at, extents_left = box.start + (10 if version == 2 else 8), MAX_BOXES

    def take(count: int) -> int:
        nonlocal at
        at += count
        if at > box.end:
            raise UndecodableImage("The file's list of items is cut off.")
        return int.from_bytes(data[at - count : at], "big")

    for _ in range(_count(data, box)):
        number = take(4 if version == 2 else 2)
        method = take(2) & 15 if version in (1, 2) else _IN_FILE
        take(2)
        base, count, extents = take(base_bytes), take(2), []
        extents_left -= count
        if extents_left < 0:
            raise _too_many("parts of items", MAX_BOXES, MAX_BOXES - extents_left)
        for _ in range(count):
            take(index_bytes)
            start = base + take(offset_bytes)
            length = take(length_bytes)
            extents.append((start, start + length if length else len(data)))
        yield Item(number, method, tuple(extents))


def _types(data: bytes, box: Box | None) -> dict[int, bytes]:
    """Return the types of the items that an information box lists."""
    if box is None:
        return {}
    types, start = {}, box.start + (6 if data[box.start] == 0 else 8)
    for entry in _boxes(data, start, box.end):
        version = data[entry.start]
        if entry.kind == b"infe" and version >= 2:
            number, type_ = struct.unpack_from(">H2x4s" if version == 2 else ">I2x4s", data, entry.start + 4)
            types[number] = type_
    return types


def _count_av1_frames(stream: bytes) -> int:
    """Count the frames among the units of an AV1 item."""
    at, frames = 0, 0
    for _ in range(MAX_UNITS):
        if at >= len(stream):
            return frames
        head = stream[at]
        frames += head >> 3 & 15 in (_FRAME_HEADER, _FRAME)
        at += 2 if head & 4 else 1
        if not head & 2:  # without a size, it is the last one
            return frames
        size = 0
        for digit in range(8):
            if at >= len(stream):
                return frames
            size |= (stream[at] & 127) << 7 * digit
            at += 1
            if not stream[at - 1] & 128:
                break
        at += size
    raise _too_many("units in one picture", MAX_UNITS, MAX_UNITS)


def _count_hevc_frames(stream: bytes) -> int:
    """Count the frames among the units of an HEVC item, whose lengths have four bytes as all encoders write them."""
    at, frames = 0, 0
    for _ in range(MAX_UNITS):
        if at + 7 > len(stream):
            return frames
        (length,) = struct.unpack_from(">I", stream, at)
        kind, first_slice = stream[at + 4] >> 1 & 63, stream[at + 6] & 128
        frames += kind < _FIRST_PARAMETER_SET and bool(first_slice)
        at += 4 + length
    raise _too_many("units in one picture", MAX_UNITS, MAX_UNITS)


def _too_many(what: str, limit: int, observed: int) -> UndecodableImage:
    return UndecodableImage(f"The file has more {what} than a picture needs.", limit=limit, observed=observed)


def code_point_chunks(data: bytes) -> tuple[tuple[bytes, bytes], ...]:
    """Return what an nclx box says of the colours, as the chunk by which a PNG says it; () for sRGB or nothing.

    The matrix of the file is undone by decoding, so the chunk says RGB of full range.
    """
    told = next((colour for colour in properties(data, b"colr") if colour[:4] == b"nclx" and len(colour) >= 8), None)
    if told is None:
        return ()
    primaries, transfer = struct.unpack_from(">HH", told, 4)
    if profile.usual_code_points(primaries, transfer) or not 0 < primaries < 256 or not 0 < transfer < 256:
        return ()
    return ((b"cICP", bytes((primaries, transfer, 0, 1))),)
