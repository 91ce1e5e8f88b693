"""Read an image's header, so that what must not be decoded is refused before one pixel is. Decodes nothing."""

import re

from app.errors import AnimatedImage, ImageTooLarge, NotAnImage, UndecodableImage
from app.imaging.fault import picture_at_fault
from app.imaging.formats import READERS, jxl
from app.imaging.formats.bmp import HEADER_BYTES as BMP_HEADER_BYTES
from app.imaging.formats.isobmff import brands
from app.imaging.metadata import clean_exif, read_orientation
from app.imaging.picture import ImageLimits, Probe

_READ = "JPEG, PNG, WebP, TIFF, BMP, AVIF, HEIC, JPEG XL and GIF are read here."
# By format, the brands of ISO media files; a file may name those of several, and then is what stands first here.
_BRANDS = {
    "avif": {b"avif", b"avis"},
    "heic": {b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1"},
}
# What people send that is not read, by its first bytes.
_STRANGERS = (
    (rb"\0\0\0\x0cjP  |\xff\x4f\xff\x51", "This is a JPEG 2000 image. Save it as JPEG or PNG."),
    (rb"8BPS", "This is a Photoshop document. Save it as PNG or TIFF."),
    (rb"%PDF", "This is a PDF. Export the picture as PNG."),
    (
        rb"\x89PNG",
        "This is a PNG whose line ends were changed on its way. Send it as binary, with curl by --data-binary.",
    ),
    (rb"II\xbc", "This is a JPEG XR image. Save it as JPEG or PNG."),
    (rb"IIR[OS]|IIU\0|FUJIFILM|....ftypcrx ", "This is a camera's raw file. Develop it to JPEG or PNG."),
    (rb"....ftyp(?:mp4|isom|qt  |M4V|avc1)|\x1a\x45\xdf\xa3", "This is a film. Send one picture of it."),
    (rb"\s*<(?:\?xml|svg|!DOCTYPE|html)", "This is text: an SVG or a page. Send a picture made of pixels."),
)


def probe(data: bytes, limits: ImageLimits) -> Probe:
    """Return what the header says.

    Raise NotAnImage, ImageTooLarge, AnimatedImage, UnsupportedImage (pixels that could not come back as they are) or
    UndecodableImage (a header that cannot be true).
    """
    format = sniff(data)
    if limits.formats is not None and format not in limits.formats:
        read = ", ".join(name.upper() for name in limits.formats)
        raise NotAnImage(f"This service does not read {format.upper()}. It reads {read}.")
    with picture_at_fault(format):
        header = READERS[format].read(data)
    if header.width <= 0 or header.height <= 0:
        raise UndecodableImage(f"The {format.upper()} header says {header.width} × {header.height} pixels.")
    _check_size(header.width, header.height, limits)
    if header.frames > 1:
        raise AnimatedImage("The image has several frames or pages. Send one picture at a time.", limit=1)
    orientation = header.orientation or read_orientation(header.exif)
    width, height = (header.height, header.width) if orientation >= 5 else (header.width, header.height)
    # Of a TIFF header.exif is the whole file; the probe lives as long as the request and must not hold it.
    exif = clean_exif(header.exif, width, height, turned=orientation >= 5)
    return Probe(format, width, height, header.mode, header.bits, header.alpha, header.frames, orientation, exif)


def sniff(data: bytes) -> str:
    """Return the format the first bytes show, whatever name or content type came with them; raise NotAnImage."""
    if data.startswith(b"\xff\xd8\xff"):
        return "jpeg"
    if data.startswith(b"\x89PNG\r\n\x1a\n"):
        return "png"
    if data.startswith(b"RIFF") and data[8:12] == b"WEBP":
        return "webp"
    if data.startswith((b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")):
        return "tiff"
    if data.startswith((b"GIF87a", b"GIF89a")):
        return "gif"
    if data.startswith((jxl.CODESTREAM, jxl.CONTAINER)):
        return "jxl"
    if data.startswith(b"BM") and int.from_bytes(data[14:18], "little") in BMP_HEADER_BYTES:
        return "bmp"
    if found := brands(data):
        for format, names in _BRANDS.items():
            if found & names:
                return format
    for pattern, remedy in _STRANGERS:
        if re.match(pattern, data, re.DOTALL):
            raise NotAnImage(f"{remedy} {_READ}")
    if not data:
        raise NotAnImage(f"The file is empty. {_READ}")
    raise NotAnImage(f"The data is not an image of a known format. {_READ}")


def _check_size(width: int, height: int, limits: ImageLimits) -> None:
    if width * height > limits.max_pixels:
        raise ImageTooLarge(
            f"The image has {width} × {height} pixels; at most {limits.max_pixels} are taken.",
            limit=limits.max_pixels,
            observed=width * height,
        )
    if max(width, height) > limits.max_side:
        raise ImageTooLarge(
            f"The image is {width} × {height}; at most {limits.max_side} pixels a side are taken.",
            limit=limits.max_side,
            observed=max(width, height),
        )
