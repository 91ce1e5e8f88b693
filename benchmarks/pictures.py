"""The pictures that are sent around, all drawn by code.

Pillow is imported where it is used: benchmarks of the bare network draw pictures on machines without it.
"""

from io import BytesIO

import numpy as np


def drawn(height: int, width: int, seed: int = 0) -> np.ndarray:
    """Draw a picture with slopes, edges and noise, uint8 (H, W, 3)."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[0:height, 0:width]
    base = np.stack([x * 255 / max(width - 1, 1), y * 255 / max(height - 1, 1), 128 + 100 * np.sin(x / 9)], axis=-1)
    base[(y // 8 + x // 8) % 5 == 0] *= 0.5
    return np.clip(base + rng.normal(0, 6, base.shape), 0, 255).astype(np.uint8)


def encoded(rgb: np.ndarray, format: str = "png", **options: object) -> bytes:
    """Encode an array as a file's bytes, in a format that Pillow writes by itself."""
    from PIL import Image

    buffer = BytesIO()
    Image.fromarray(rgb).save(buffer, format, **options)
    return buffer.getvalue()
