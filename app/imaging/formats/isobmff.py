"""The boxes that AVIF and HEIC share: their brands, and the colours they name by numbers."""

import struct

# Properties stand in the first box after the brands; real ones end within a few kilobytes.
_SEARCHED_BYTES = 1 << 16
_UNSPECIFIED = 2


def brands(data: bytes) -> set[bytes]:
    """Return the brands of the file type box, major and compatible; none for data that does not begin with one."""
    if data[4:8] != b"ftyp":
        return set()
    length = min(int.from_bytes(data[:4], "big"), 256)
    return {data[at : at + 4] for at in (8, *range(16, length, 4))}


def code_point_chunks(data: bytes) -> tuple[tuple[bytes, bytes], ...]:
    """Return what an nclx box says of the colours, as the chunk by which a PNG says it; () for sRGB or nothing.

    The matrix of the file is undone by decoding, so the chunk says RGB of full range.
    """
    at = data.find(b"colrnclx", 0, _SEARCHED_BYTES)
    if at < 0 or at + 12 > len(data):
        return ()
    primaries, transfer = struct.unpack_from(">HH", data, at + 8)
    usual = primaries in (1, _UNSPECIFIED) and transfer in (1, 6, 13, _UNSPECIFIED)
    if usual or not 0 < primaries < 256 or not 0 < transfer < 256:
        return ()
    return ((b"cICP", bytes((primaries, transfer, 0, 1))),)
