"""HEIC: what iPhones make. An ISO media file whose pictures are HEVC; libheif reads it, through pillow-heif.

Its rotation and mirror boxes are applied by libheif, and the orientation in its EXIF does not count. A phone's file
may hold depth maps and further shots; it is read as its primary picture.
"""

from importlib import import_module
from io import BytesIO
from types import ModuleType
from typing import TYPE_CHECKING, cast

import numpy as np
from PIL.ImageFile import ImageFile

from app.errors import UnsupportedImage
from app.imaging import color
from app.imaging.formats.header import Header, Samples
from app.imaging.formats.isobmff import check_boxes, code_point_chunks

if TYPE_CHECKING:
    from pillow_heif import HeifImage

colour_chunks = code_point_chunks


def read(data: bytes) -> Header:
    """Read size, depth, alpha and EXIF of the primary picture; no pixel is decoded."""
    check_boxes(data)
    image = _primary(data)
    width, height = image.size
    grey = not image.mode.startswith("RGB")
    exif = cast(bytes | None, image.info.get("exif")) or b""
    return Header(
        width, height, "grey" if grey else "rgb", _bits(image), "A" in image.mode or "a" in image.mode, 1, exif, 1
    )


def open_image(data: bytes) -> ImageFile:
    raise NotImplementedError("read_deep reads every HEIC")


def read_deep(data: bytes) -> Samples:
    """Return the samples, of 16 bits where the file has 10 or 12."""
    image = _primary(data)
    values = np.asarray(image)
    values = values[..., None] if values.ndim == 2 else values
    if image.premultiplied_alpha:
        values = values.copy()
        color.unmultiply(values)
    return Samples(values, cast(bytes | None, image.info.get("icc_profile")))


def library() -> ModuleType:
    """Import the library; raise UnsupportedImage where there is none."""
    try:
        return import_module("pillow_heif")
    except ImportError:
        raise UnsupportedImage(
            "This is an HEIC photo, which this installation cannot read. Save it as JPEG, or install pillow-heif."
        ) from None


def _primary(data: bytes) -> "HeifImage":
    file = library().open_heif(BytesIO(data), convert_hdr_to_8bit=False)
    primary: HeifImage = file[file.primary_index]
    return primary


def _bits(image: "HeifImage") -> int:
    return 16 if image.mode.endswith(";16") else 8
