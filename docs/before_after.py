"""Draw the README's picture: a street by code, synthesised rain over it, and what the shipped weights make of that.

Run `python docs/before_after.py` after the weights change; it writes docs/before-after.jpg.
"""

from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from model import Restorer
from model.checkpoints.catalog import Catalog
from model.data.rain import Rain, RainLayer, add_rain

WIDTH, HEIGHT = 480, 480
SHOWER = Rain(
    layers=(
        RainLayer(coverage=0.10, length=26, width=1.6, angle=8, strength=0.55),
        RainLayer(coverage=0.06, length=12, width=1.0, angle=10, strength=0.4),
    ),
    veil=0.0,
    screen=False,
)


def street(seed: int = 3) -> np.ndarray:
    """Draw houses, trees and a road with lane markings, uint8 (HEIGHT, WIDTH, 3)."""
    rng = np.random.default_rng(seed)
    scale = 2
    w, h = WIDTH * scale, HEIGHT * scale
    horizon = int(h * 0.58)
    y = np.linspace(0, 1, h)[:, None, None]
    sky = (np.array([96, 128, 168]) * (1 - y) + np.array([196, 204, 206]) * y).repeat(w, axis=1)
    image = Image.fromarray(sky.astype(np.uint8))
    draw = ImageDraw.Draw(image)

    x = -20
    while x < w:
        width, height = int(rng.integers(90, 190)), int(rng.integers(170, 380))
        wall = tuple(int(v) for v in rng.integers(80, 160) + rng.integers(-22, 22, 3))
        draw.rectangle((x, horizon - height, x + width, horizon), fill=wall)
        for top in range(horizon - height + 18, horizon - 40, 44):
            for left in range(x + 14, x + width - 22, 36):
                lit = rng.random() < 0.3
                draw.rectangle((left, top, left + 18, top + 26), fill=(244, 214, 140) if lit else (46, 54, 66))
        x += width + int(rng.integers(-4, 24))

    draw.rectangle((0, horizon, w, h), fill=(92, 94, 92))
    draw.polygon([(w * 0.42, horizon), (w * 0.58, horizon), (w * 1.15, h), (-w * 0.15, h)], fill=(58, 60, 64))
    for near in (0.03, 0.07, 0.13, 0.22, 0.36, 0.58, 0.9):
        top, bottom = horizon + (h - horizon) * near, horizon + (h - horizon) * min(near * 1.32, 1)
        half = 2 + 12 * near
        draw.polygon(
            [(w / 2 - half, top), (w / 2 + half, top), (w / 2 + half * 1.3, bottom), (w / 2 - half * 1.3, bottom)],
            fill=(226, 224, 214),
        )
    for _ in range(5):
        cx, base, size = rng.integers(0, w), horizon + rng.integers(4, 40), int(rng.integers(50, 90))
        draw.rectangle((cx - 6, base - size, cx + 6, base), fill=(62, 48, 36))
        for _ in range(60):
            dx, dy, r = rng.normal(0, size * 0.35), rng.normal(-size * 1.2, size * 0.3), rng.integers(8, 20)
            green = tuple(int(v) for v in np.array([52, 92, 44]) + rng.integers(-18, 28))
            draw.ellipse((cx + dx - r, base + dy - r, cx + dx + r, base + dy + r), fill=green)
    pixels = np.asarray(image.filter(ImageFilter.GaussianBlur(1)).resize((WIDTH, HEIGHT), Image.Resampling.LANCZOS))
    return np.clip(pixels + rng.normal(0, 4, pixels.shape), 0, 255).astype(np.uint8)


def main() -> None:
    """Write the picture: rain on the left, restored on the right."""
    rainy = add_rain(street(), SHOWER, np.random.default_rng(7))
    catalog = Catalog.load()
    restored = Restorer.load(catalog.path(catalog.default("derain", "cpu"))).restore(rainy)
    both = np.concatenate([rainy, np.full((HEIGHT, 8, 3), 255, np.uint8), restored], axis=1)
    Image.fromarray(both).save(Path(__file__).with_name("before-after.jpg"), quality=88)


if __name__ == "__main__":
    main()
