"""Bytes to pixels and back. Pillow and numpy only: knows nothing of HTTP, models or settings."""

from app.imaging.decode import decode
from app.imaging.encode import OUT_FORMATS, check_format, encode
from app.imaging.picture import ImageLimits, Picture, Probe
from app.imaging.probe import probe

__all__ = ["OUT_FORMATS", "ImageLimits", "Picture", "Probe", "check_format", "decode", "encode", "probe"]
