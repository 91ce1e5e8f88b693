"""Pictures for the tests, all drawn by code: the benchmarks' own, in every format there is."""

from io import BytesIO

import numpy as np

from benchmarks.pictures import drawn

__all__ = ["decoded", "drawn", "encoded"]


def encoded(rgb: np.ndarray, format: str = "png", **options: object) -> bytes:
    """Encode an array as a file's bytes."""
    from PIL import Image

    if format == "heic":
        import pillow_heif

        pillow_heif.register_heif_opener()
        format = "heif"
    elif format == "jxl":
        import pillow_jxl  # noqa: F401 - registers itself

    buffer = BytesIO()
    Image.fromarray(rgb).save(buffer, format, **options)
    return buffer.getvalue()


def decoded(data: bytes) -> np.ndarray:
    """Decode a file's bytes into an array."""
    from PIL import Image

    with Image.open(BytesIO(data)) as image:
        return np.asarray(image)
