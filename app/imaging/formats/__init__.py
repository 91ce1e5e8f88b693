"""The image formats read here, a file each: `read` reads the header, `open_image` opens the pixels with Pillow.

Pillow is given the bytes that make the picture and no others. Text, thumbnails, unknown chunks and further pages never
reach it: what it does not see cannot cost memory or time.
"""

from types import MappingProxyType

from app.imaging.formats import avif, bmp, jpeg, png, tiff, webp

READERS = MappingProxyType({"jpeg": jpeg, "png": png, "webp": webp, "tiff": tiff, "bmp": bmp, "avif": avif})
