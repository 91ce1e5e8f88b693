"""What every format's header is read into. Knows no format."""

from typing import NamedTuple


class Header(NamedTuple):
    """A header's facts, as stored: width and height are those before orientation, `exif` is as found.

    `mode` is "grey", "rgb", "palette" or "cmyk", `bits` those of the deepest channel.
    """

    width: int
    height: int
    mode: str
    bits: int = 8
    alpha: bool = False
    frames: int = 1
    exif: bytes = b""
