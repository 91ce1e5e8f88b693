"""16 bits of grey with alpha, RGB and RGB with alpha as PNG and TIFF, which Pillow does not write.

Pillow still writes all that stands around the samples. For 6 megapixels of RGB the PNG takes 0.7 s and is smaller than
that of imagecodecs, which takes 2.1.
"""

import struct
import zlib
from collections.abc import Callable
from io import BytesIO
from types import MappingProxyType
from typing import Any

import numpy as np
from PIL import Image

from app.imaging.ifd import SHORT, Field
from app.imaging.metadata import add_exif_to_tiff

_COLOUR_TYPES = {1: 0, 2: 4, 3: 2, 4: 6}
_MODES = {1: "L", 2: "LA", 3: "RGB", 4: "RGBA"}
_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_FILTER_LEFT = 1
_WIDTH, _BITS, _PHOTOMETRIC, _SAMPLES, _PREDICTOR, _EXTRA_SAMPLES = 256, 258, 262, 277, 317, 338
_BLACK_IS_ZERO, _RGB, _DIFFERENCES, _UNASSOCIATED = 1, 2, 2, 2


_Encode = Callable[[np.ndarray, bytes, dict[str, Any]], bytes]


def _png(samples: np.ndarray, exif: bytes, options: dict[str, Any]) -> bytes:
    """Write a PNG: the chunks of a small one by Pillow, with another header and other pixels."""
    height, width, channels = samples.shape
    frame = BytesIO()
    more = {"exif": exif} if exif else {}
    Image.new(_MODES[channels], (1, 1)).save(frame, "png", **options, **more)
    header = struct.pack(">IIBBBBB", width, height, 16, _COLOUR_TYPES[channels], 0, 0, 0)
    data, parts, at = frame.getvalue(), [_SIGNATURE], len(_SIGNATURE)
    while at < len(data):
        length, kind = struct.unpack_from(">I4s", data, at)
        end = at + 12 + length
        if kind == b"IHDR":
            parts.append(_chunk(kind, header))
        elif kind == b"IDAT":
            parts.append(_chunk(kind, _deflated(samples, options["compress_level"], options["compress_type"])))
        else:
            parts.append(data[at:end])
        at = end
    return b"".join(parts)


def _deflated(samples: np.ndarray, level: int, strategy: int) -> bytes:
    """Compress the rows, each sample's bytes as the difference to those of the pixel on the left (filter 1)."""
    height, width, channels = samples.shape
    pixel, packer = 2 * channels, zlib.compressobj(level, zlib.DEFLATED, 15, 9, strategy)
    parts, band = [], max(1, (1 << 20) // width)
    for top in range(0, height, band):
        stored = samples[top : top + band].astype(">u2").view(np.uint8).reshape(-1, width * pixel)
        rows = np.empty((len(stored), 1 + width * pixel), np.uint8)
        rows[:, 0] = _FILTER_LEFT
        rows[:, 1 : 1 + pixel] = stored[:, :pixel]
        np.subtract(stored[:, pixel:], stored[:, :-pixel], out=rows[:, 1 + pixel :])
        parts.append(packer.compress(rows.data))
    return b"".join((*parts, packer.flush()))


def _chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(content, zlib.crc32(kind)))


def _tiff(samples: np.ndarray, exif: bytes, options: dict[str, Any]) -> bytes:
    """Write a TIFF: Pillow compresses the bytes as if they were grey, and a new directory says what they are."""
    height, width, channels = samples.shape
    differences = samples.astype("<u2")
    differences[:, 1:] -= samples[:, :-1]
    packed = differences.view(np.uint8).reshape(height, width * channels * 2)
    file = BytesIO()
    # Without the predictor, which would make differences of bytes.
    Image.fromarray(packed).save(file, "tiff", **{name: value for name, value in options.items() if name != "tiffinfo"})
    colours = channels if channels in (1, 3) else channels - 1
    fields = {
        _WIDTH: _shorts(width) if width < 65_536 else Field(4, 1, struct.pack("<I", width)),
        _BITS: _shorts(*[16] * channels),
        _PHOTOMETRIC: _shorts(_RGB if colours == 3 else _BLACK_IS_ZERO),
        _SAMPLES: _shorts(channels),
        _PREDICTOR: _shorts(_DIFFERENCES),
    }
    if channels > colours:
        fields[_EXTRA_SAMPLES] = _shorts(_UNASSOCIATED)
    add_exif_to_tiff(file, exif, fields)
    return file.getvalue()


def _shorts(*values: int) -> Field:
    return Field(SHORT, len(values), struct.pack(f"<{len(values)}H", *values))


def _with_channels(write: _Encode) -> _Encode:
    return lambda samples, exif, options: write(samples.reshape(*samples.shape[:2], -1), exif, options)


# By format: uint16 (H, W) or (H, W, C), EXIF or b"", and Pillow's options to a file's bytes.
DEEP_ENCODERS = MappingProxyType({"png": _with_channels(_png), "tiff": _with_channels(_tiff)})
