"""Draw the page's sample: a bay at dusk by code, and synthesised rain over it.

Run `python docs/sample.py` after changing it; it writes app/web/sample.jpg.
"""

from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from model.data.rain import Rain, RainLayer, add_rain

WIDTH, HEIGHT = 768, 512
SCALE = 2  # drawn twice as large, so that edges come out smooth
SHORE = 0.62
SHOWER = Rain(
    layers=(
        RainLayer(coverage=0.09, length=30, width=1.7, angle=-9, strength=0.5),
        RainLayer(coverage=0.07, length=14, width=1.0, angle=-11, strength=0.38),
    ),
    veil=0.0,
    screen=False,
)


def bay(seed: int = 4) -> np.ndarray:
    """Draw evening sky, ridges, a village with lit windows and its reflection, uint8 (HEIGHT, WIDTH, 3)."""
    rng = np.random.default_rng(seed)
    width, height = WIDTH * SCALE, HEIGHT * SCALE
    shore = int(height * SHORE)
    image = Image.fromarray(_sky(width, shore))
    draw = ImageDraw.Draw(image)
    for depth, color in enumerate([(132, 130, 152), (98, 106, 132), (66, 82, 104), (40, 58, 72)]):
        line = _ridge(rng, width, shore * (0.60 + 0.105 * depth), 70 - 12 * depth)
        draw.polygon([(0, shore), *enumerate(line), (width, shore)], fill=color)
    _village(draw, rng, width, shore)
    scene = np.concatenate([np.asarray(image), _water(np.asarray(image), rng, height - shore)])
    image = Image.fromarray(scene)
    _pines(ImageDraw.Draw(image), rng, width, height)
    pixels = np.asarray(image.filter(ImageFilter.GaussianBlur(0.8)).resize((WIDTH, HEIGHT), Image.Resampling.LANCZOS))
    return np.clip(pixels + rng.normal(0, 2, pixels.shape), 0, 255).astype(np.uint8)


def _sky(width: int, height: int) -> np.ndarray:
    """Blend from night blue to the last light, which is strongest where the sun went down."""
    y, x = np.mgrid[0:height, 0:width].astype(np.float32)
    stops = np.array([[44, 66, 104], [96, 112, 148], [196, 158, 146], [236, 190, 140]], np.float32)
    sky = np.stack([np.interp(y / height, [0, 0.4, 0.7, 0.9], stops[:, c]) for c in range(3)], axis=-1)
    glow = np.exp(-(((x - 0.66 * width) / (0.22 * width)) ** 2 + ((y - 0.74 * height) / (0.26 * height)) ** 2))
    return np.clip(sky + glow[..., None] * np.array([46, 36, 8]), 0, 255).astype(np.uint8)


def _ridge(rng: np.random.Generator, width: int, level: float, rise: float) -> list[float]:
    """Return the skyline of hills, one height a column: waves that get shorter and flatter."""
    x = np.arange(width) / width
    line = sum(
        np.sin(2 * np.pi * (x * wave + rng.random())) * rise / wave**0.85 for wave in (1.3, 2.9, 5.3, 11.0, 23.0)
    )
    return list(level - line)


def _village(draw: ImageDraw.ImageDraw, rng: np.random.Generator, width: int, shore: int) -> None:
    """Draw houses along the shore, a steeple among them."""
    x = int(width * 0.13)
    while x < width * 0.8:
        house, tall = int(rng.integers(44, 84)), int(rng.integers(34, 74))
        wall = tuple(int(v) for v in np.array([150, 128, 116]) + rng.integers(-34, 34) + rng.integers(-14, 14, 3))
        roof = tuple(int(v) for v in np.array([104, 58, 52]) + rng.integers(-22, 22, 3))
        draw.rectangle((x, shore - tall, x + house, shore), fill=wall)
        draw.polygon(
            [(x - 5, shore - tall), (x + house / 2, shore - tall - 30), (x + house + 5, shore - tall)], fill=roof
        )
        for left in range(x + 8, x + house - 12, 19):
            for top in range(shore - tall + 9, shore - 16, 24):
                lit = rng.random() < 0.5
                draw.rectangle((left, top, left + 9, top + 13), fill=(255, 218, 138) if lit else (52, 56, 68))
        x += house + int(rng.integers(-6, 26))
    tower = int(width * 0.44)
    draw.rectangle((tower, shore - 148, tower + 34, shore - 20), fill=(176, 164, 150))
    draw.polygon([(tower - 4, shore - 148), (tower + 17, shore - 226), (tower + 38, shore - 148)], fill=(66, 72, 84))
    draw.ellipse((tower + 10, shore - 136, tower + 24, shore - 122), fill=(255, 226, 160))


def _water(land: np.ndarray, rng: np.random.Generator, height: int) -> np.ndarray:
    """Mirror the land, darker and bluer, each row shifted by ripples that grow towards the viewer."""
    near = np.linspace(0, 1, height)
    rows = len(land) - 1 - (np.arange(height) * 0.95).astype(int)
    shifts = (np.sin(np.arange(height) * 0.42) + rng.normal(0, 0.6, height)) * (1 + 9 * near)
    mirror = np.stack([np.roll(land[row], int(shift), axis=0) for row, shift in zip(rows, shifts, strict=True)])
    fade = near[:, None, None]
    return ((mirror * 0.74 + np.array([6, 14, 24])) * (1 - fade * 0.55)).astype(np.uint8)


def _pines(draw: ImageDraw.ImageDraw, rng: np.random.Generator, width: int, height: int) -> None:
    """Draw the near shore with pines in the dark corners of the picture."""
    for x, size in ((20, 560), (118, 430), (-50, 640), (width - 40, 600), (width - 140, 440), (width - 205, 300)):
        base = height - 30
        draw.rectangle((x - 7, base - 60, x + 7, height), fill=(26, 22, 20))
        for step in np.linspace(0, 1, 13):
            half, y = size * (0.04 + 0.2 * step), base - size * (1 - step)
            green = tuple(int(v) for v in np.array([20, 36, 34]) + rng.integers(-5, 9))
            left, right = half * rng.uniform(0.85, 1.1, 2)
            draw.polygon([(x, y - size * 0.1), (x - left, y + size * 0.06), (x + right, y + size * 0.06)], fill=green)
    bank = [
        (at, height - 26 - 60 * abs(at / width - 0.5) ** 1.5 * 3 + rng.normal(0, 3)) for at in range(0, width + 8, 8)
    ]
    draw.polygon([(0, height), *bank, (width, height)], fill=(18, 28, 28))


def main() -> None:
    """Write the picture."""
    rainy = add_rain(bay(), SHOWER, np.random.default_rng(7))
    path = Path(__file__).parent.parent / "app" / "web" / "sample.jpg"
    Image.fromarray(rainy).save(path, quality=88, optimize=True)


if __name__ == "__main__":
    main()
