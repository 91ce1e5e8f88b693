"""The image formats read here, a file each: `read` reads the header, `open_image` opens the pixels with Pillow.

Some have more: `read_deep` returns samples that Pillow would narrow or does not know, None for others; `complete` tells
how much of a picture is missing; `colour_chunks` says what its numbers mean, in the chunks of PNG; `narrowing` says in
words what is not handed over.

Pillow is given the bytes that make the picture and no others. Text, thumbnails, unknown chunks and further pages never
reach it: what it does not see cannot cost memory or time.
"""

from contextlib import suppress
from types import MappingProxyType

from app.errors import UnsupportedImage
from app.imaging.formats import avif, bmp, gif, heic, jpeg, jxl, png, tiff, webp

READERS = MappingProxyType(
    {
        "jpeg": jpeg,
        "png": png,
        "webp": webp,
        "tiff": tiff,
        "bmp": bmp,
        "avif": avif,
        "gif": gif,
        "heic": heic,
        "jxl": jxl,
    }
)


def load_libraries() -> None:
    """Import now what is imported when it is first needed."""
    for reader in (heic, jxl):
        with suppress(UnsupportedImage):
            reader.library()
