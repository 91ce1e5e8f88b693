"""Pictures drawn by code: every mode, format, orientation and profile the imaging tests need, and no file on disk."""

import struct
import zlib
from io import BytesIO

import numpy as np
from PIL import ExifTags, Image, ImageCms

WIDTH, HEIGHT = 23, 17

# Which Pillow modes each format can store; "P+key" is a palette with transparent entries, "I;16" 16-bit grey.
STORABLE = {
    "png": ("1", "L", "LA", "P", "P+key", "RGB", "RGBA", "I;16"),
    "jpeg": ("L", "RGB", "CMYK"),
    "webp": ("RGB", "RGBA"),
    "tiff": ("1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "I;16"),
    "bmp": ("1", "L", "P", "RGB"),
    "avif": ("RGB", "RGBA"),
}
TAGGED = tuple(name for name in STORABLE if name != "bmp")


def draw(mode: str, width: int = WIDTH, height: int = HEIGHT) -> Image.Image:
    """Draw ramps that no rotation or reflection maps to themselves."""
    y, x = np.mgrid[0:height, 0:width]
    if mode == "I;16":
        return Image.fromarray((x * 2791 + y * 131 + 7).astype(np.uint16))
    channels = [x * 255 // max(width - 1, 1), y * 255 // max(height - 1, 1), (x * 3 + y * 7) % 256, 255 - (x + 2 * y)]
    rgba = Image.fromarray(np.stack(channels, -1).astype(np.uint8))
    if mode in ("P", "P+key"):
        palette = rgba.convert("RGB").quantize(16)
        if mode == "P+key":
            palette.info["transparency"] = bytes(range(0, 256, 16))
        return palette
    return rgba.convert("RGB").convert(mode) if mode in ("1", "L", "RGB", "CMYK") else rgba.convert(mode)


def save(image: Image.Image, format: str, **options) -> bytes:
    file = BytesIO()
    image.save(file, format, **options)
    return file.getvalue()


def camera_exif(orientation: int) -> bytes:
    """Write what a phone writes: camera and exposure, but also where it was and the maker's notes."""
    exif = Image.Exif()
    exif[ExifTags.Base.Make] = "Rainmaker"
    exif[ExifTags.Base.Orientation] = orientation
    exif[ExifTags.IFD.Exif] = {
        ExifTags.Base.ExposureTime: 0.008,
        ExifTags.Base.DateTimeOriginal: "2024:05:06 07:08:09",
        ExifTags.Base.MakerNote: b"serial number 12345",
        ExifTags.Base.ExifImageWidth: WIDTH,
        ExifTags.Base.ExifImageHeight: HEIGHT,
    }
    exif[ExifTags.IFD.GPSInfo] = {ExifTags.GPS.GPSLatitudeRef: "N", ExifTags.GPS.GPSLatitude: (48.0, 8.0, 9.0)}
    return exif.tobytes()


def srgb_profile() -> bytes:
    return ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


def cmyk_profile(paper: tuple[int, int, int], ink: tuple[int, int, int]) -> bytes:
    """Build a printer profile of two colours (8-bit Lab): bare paper, and any ink at full strength."""
    corners = b"".join(bytes(paper if corner == 0 else ink) for corner in range(16))
    identity = struct.pack(">9i", *(65536 * (row == column) for row in range(3) for column in range(3)))
    ramp = bytes(range(256))
    table = b"mft1" + bytes(4) + bytes((4, 3, 2, 0)) + identity + ramp * 4 + corners + ramp * 3
    table += bytes(-len(table) % 4)
    header_bytes, tags_at = 128, 128 + 4 + 12
    total = tags_at + len(table)
    header = struct.pack(">I4xI4s4s4s12x4s", total, 0x02400000, b"prtr", b"CMYK", b"Lab ", b"acsp").ljust(68, b"\0")
    header += struct.pack(">3i", 63190, 65536, 54061)
    return header.ljust(header_bytes, b"\0") + struct.pack(">I4sII", 1, b"A2B0", tags_at, len(table)) + table


def deep_samples(channels: int, width: int = 37, height: int = 29) -> np.ndarray:
    """Draw ramps in which every byte of every sample matters, uint16 (H, W, channels)."""
    y, x, c = np.mgrid[0:height, 0:width, 0:channels]
    return ((x * 1777 + y * 4099 + c * 19_001 + x * y * 13) % 65_536).astype(np.uint16)


def deep_png(samples: np.ndarray, interlaced: bool, *chunks: bytes) -> bytes:
    """Write uint16 (H, W, 1 to 4) as a PNG by the letter of the standard, each row unfiltered."""
    height, width, channels = samples.shape
    passes = [(0, 0, 1, 1)]
    if interlaced:
        passes = [(0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2)]
    rows = b"".join(
        b"\0" + row.astype(">u2").tobytes() for x, y, dx, dy in passes for row in samples[y::dy, x::dx] if row.size
    )
    header = struct.pack(">IIBBBBB", width, height, 16, (0, 4, 2, 6)[channels - 1], 0, 0, interlaced)
    made = [(b"IHDR", header), *chunks, (b"IDAT", zlib.compress(rows)), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        part
        if isinstance(part, bytes)
        else struct.pack(">I", len(part[1])) + part[0] + part[1] + struct.pack(">I", zlib.crc32(part[0] + part[1]))
        for part in made
    )
