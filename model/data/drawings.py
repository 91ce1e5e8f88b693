"""Things drawn into clean scenes that look like rain and are none: they are to be left alone.

Knows nothing of files or of the network: an RGB picture and a random generator in, a picture of the same size out.
"""

import numpy as np

from model.data.picture import Picture


def draw_markings(picture: Picture, rng: np.random.Generator) -> Picture:
    """Paint one to three bright bars into the scene itself: lane lines and railings, which are not to be wiped out."""
    height, width = picture.shape[:2]
    y, x = np.mgrid[:height, :width].astype(np.float32)
    canvas = picture.astype(np.float32)
    for _ in range(rng.integers(1, 4)):
        angle = rng.uniform(0, np.pi)
        offset_y, offset_x = rng.uniform(0, height), rng.uniform(0, width)
        along = (x - offset_x) * np.cos(angle) + (y - offset_y) * np.sin(angle)
        across = (y - offset_y) * np.cos(angle) - (x - offset_x) * np.sin(angle)
        half = rng.uniform(1, 4) * (1 + rng.uniform(-0.5, 0.5) * along / max(height, width))  # perspective narrows it
        inside = np.clip(half - np.abs(across) + 0.5, 0, 1) * np.clip(rng.uniform(12, 200) - np.abs(along) + 0.5, 0, 1)
        colour = np.float32(rng.uniform(170, 255) * np.array([1, 1, rng.choice([1, 0.6])]))
        alpha = rng.uniform(0.5, 1) * inside[..., None]
        canvas = canvas * (1 - alpha) + colour * alpha
    return canvas.clip(0, 255).round().astype(np.uint8)
