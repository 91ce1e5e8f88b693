"""AVIF: an ISO media file whose boxes libavif parses, once ours have found them bounded; opening it decodes nothing.

Its rotation and mirror boxes count, not its EXIF; Pillow hands them over as the orientation tag of the EXIF.
"""

from io import BytesIO

from PIL.AvifImagePlugin import AvifImageFile

from app.imaging.formats.header import Header
from app.imaging.formats.isobmff import check_boxes, code_point_chunks, properties

_CONFIGURATION = b"av1C"

colour_chunks = code_point_chunks


def read(data: bytes) -> Header:
    """Read size, frames, alpha and EXIF; Pillow decodes 8 bits, whatever the file has."""
    check_boxes(data)
    with open_image(data) as image:
        width, height = image.size
        mode = "grey" if image.mode in ("L", "LA") else "rgb"
        alpha = image.mode in ("LA", "RGBA")
        return Header(width, height, mode, 8, alpha, image.n_frames, image.info.get("exif", b""))


def open_image(data: bytes) -> AvifImageFile:
    return AvifImageFile(BytesIO(data))


def narrowing(data: bytes) -> str | None:
    """Say how many bits of 10 or 12 are lost; None for 8."""
    # Version, profile, then tier, high_bitdepth and twelve_bit flags.
    bits = max((_bits(box[2]) for box in properties(data, _CONFIGURATION) if len(box) > 2), default=8)
    return f"The AVIF's {bits} bits a channel were narrowed to 8." if bits > 8 else None


def _bits(flags: int) -> int:
    if not flags & 0x40:
        return 8
    return 12 if flags & 0x20 else 10
