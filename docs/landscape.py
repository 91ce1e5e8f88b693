"""Draw a mountain lake on a late afternoon by code, with the distance of every pixel, for pictures of weather.

Terrain is noise of many sizes, lit by a low sun that casts shadows, with trees, rock and snow by height and slope.
It is seen along rays (the voxel space way), once directly and once for the mirror of the lake.
"""

from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw

WIDTH, HEIGHT = 960, 600
SMOOTH = 2  # drawn twice as large, so that edges come out smooth
GRID, REACH = 2048, 420.0  # terrain cells a side, and how far they go in metres of a small world
CELL = REACH / GRID
EYE, FOCAL, HORIZON = 2.6, 0.92, 0.57  # height of the camera, focal length in widths, line of the horizon in heights
SUN = np.array([0.78, 0.42, -0.46]) / np.linalg.norm([0.78, 0.42, -0.46])  # x to the right, up, z away from us
SUNLIGHT, SKYLIGHT = np.array([1.75, 1.32, 0.92]), np.array([0.34, 0.42, 0.56])
AIR = np.array([168, 186, 208]) / 255


@dataclass(frozen=True)
class Scene:
    """A picture, uint8 (H, W, 3), and how far each pixel is, 0 here to 1 at the sky."""

    picture: np.ndarray
    depth: np.ndarray


@dataclass(frozen=True)
class Terrain:
    """Height of each cell in metres, (z, x), the middle of x at the camera; its colour and light, (z, x, 3)."""

    height: np.ndarray
    colour: np.ndarray


def draw(seed: int = 5, times: int = 1, smooth: int = SMOOTH) -> Scene:
    """Draw the lake, so many times larger than WIDTH × HEIGHT; smooth: how much larger still, before it is shrunk."""
    rng = np.random.default_rng(seed)
    size = WIDTH * times, HEIGHT * times
    width, height = (side * smooth for side in size)
    terrain = _terrain(rng)
    sky = _sky(rng, width, height)
    direct, depth = _look(terrain, sky, EYE)
    mirror, _ = _look(terrain, sky, -EYE)
    picture, depth = _lake(rng, direct, depth, mirror)
    image = Image.fromarray((255 * np.clip(picture, 0, 1)).astype(np.uint8))
    near = Image.new("L", image.size, 0)
    _pines(ImageDraw.Draw(image), ImageDraw.Draw(near), rng, width, height)
    depth = np.where(np.asarray(near) > 0, 0.02, depth)
    pixels = np.asarray(image.resize(size, Image.Resampling.LANCZOS)).astype(np.float32)
    pixels += rng.normal(0, 1.6, (*pixels.shape[:2], 1))  # a sensor's grain
    shrunk = Image.fromarray(depth.astype(np.float32)).resize(size, Image.Resampling.BOX)
    return Scene(np.clip(pixels, 0, 255).astype(np.uint8), np.asarray(shrunk))


def _noise(rng: np.random.Generator, side: int, slope: float, coarsest: float = 1.0) -> np.ndarray:
    """Return noise (side, side) of mean 0 and deviation 1 whose amplitude falls with frequency to the power of slope.

    coarsest: the lowest frequency there is, in waves a side.
    """
    frequency = np.hypot(np.fft.fftfreq(side)[:, None], np.fft.rfftfreq(side)[None]) * side
    amplitude = np.where(frequency < coarsest, 0, np.maximum(frequency, 1) ** -slope)
    phases = np.exp(2j * np.pi * rng.random(amplitude.shape))
    field = np.fft.irfft2(amplitude * phases, (side, side))
    return ((field - field.mean()) / field.std()).astype(np.float32)


def _smoothstep(low: float, high: float, value: np.ndarray) -> np.ndarray:
    t = np.clip((value - low) / (high - low), 0, 1)
    return t * t * (3 - 2 * t)


def _terrain(rng: np.random.Generator) -> Terrain:
    z, x = np.mgrid[0:GRID, 0:GRID].astype(np.float32) * CELL
    x -= REACH / 2
    rough, fine = _noise(rng, GRID, 2.1, 2), _noise(rng, GRID, 1.9, 16)
    ridges = 1 - np.abs(_noise(rng, GRID, 2.35, 3)) * 0.75
    shore = np.hypot(x / 34, (z - 30) / 46) + 0.10 * rough + 0.012 * fine
    rise = _smoothstep(1.3, 7.0, shore)
    height = 5 * (shore - 1) + rise * (58 * ridges + 8 * rough) + 0.5 * fine * (0.2 + rise)
    slope = np.hypot(*np.gradient(height, CELL))
    wooded = (height > 1.2) & (height < 27 + 6 * rough) & (slope < 1.5) & (fine + 0.6 * rough > -0.9)
    height = height + wooded * _trees(rng)
    north, east = np.gradient(height, CELL)
    normal = np.stack([-east, np.ones_like(east), -north], axis=-1)
    normal /= np.linalg.norm(normal, axis=-1, keepdims=True)
    light = np.clip(normal @ SUN, 0, 1) * _lit(height)
    grain = (1 + 0.10 * _noise(rng, GRID, 0.6, 40))[..., None]
    meadow, rock, snow, wood = (
        np.array(c) / 255 for c in ((118, 128, 62), (128, 118, 110), (236, 238, 244), (52, 70, 46))
    )
    bare = _smoothstep(0.7, 1.4, slope + 0.1 * fine)[..., None]
    white = (_smoothstep(34, 46, height + 4 * fine) * (1 - _smoothstep(1.2, 2.4, slope)))[..., None]
    colour = np.where(wooded[..., None], wood, meadow * (1 - bare) + rock * bare)
    colour = (colour * (1 - white) + snow * white) * grain
    return Terrain(
        height, (colour * (SKYLIGHT * (0.6 + 0.4 * normal[..., 1:2]) + SUNLIGHT * light[..., None])).astype(np.float32)
    )


def _trees(rng: np.random.Generator) -> np.ndarray:
    """Return the heights of a forest of cones, each a few cells wide."""
    trees = np.zeros((GRID, GRID), np.float32)
    for step, tall in ((7, 2.3), (5, 1.6)):
        z, x = np.mgrid[0:GRID, 0:GRID]
        cells = GRID // step + 1
        at = rng.uniform(0.25, 0.75, (2, cells, cells)) * step
        size = rng.uniform(0.5, 1.0, (cells, cells)) * tall
        row, column = z // step, x // step
        away = np.hypot(z % step - at[0][row, column], x % step - at[1][row, column])
        trees = np.maximum(trees, np.clip(1 - away / (0.48 * step), 0, 1) * size[row, column])
    return trees


def _lit(height: np.ndarray) -> np.ndarray:
    """Return how much sun reaches each cell, by walking towards the sun over what stands in its way."""
    across, up, away = SUN
    flat = np.hypot(across, away)
    lit = np.ones_like(height)
    for step in np.concatenate([np.arange(1, 20, 2), np.arange(20, 400, 12)]):
        rows, columns = round(away / flat * step), round(across / flat * step)
        above = height + step * CELL * up / flat
        blocker = np.roll(height, (-rows, -columns), (0, 1))
        lit = np.minimum(lit, _smoothstep(1.2, -0.2, blocker - above))
    return lit


def _sky(rng: np.random.Generator, width: int, height: int) -> np.ndarray:
    """Paint the sky, (height, width, 3): blue above, warm towards the sun, clouds that crowd at the horizon."""
    y, x = np.mgrid[0:height, 0:width].astype(np.float32)
    up = np.clip(HORIZON - y / height, 0, 1) / HORIZON
    stops = np.array([[236, 206, 176], [206, 206, 212], [142, 176, 218], [78, 124, 190]]) / 255
    sky = np.stack([np.interp(up, [0, 0.22, 0.55, 1], stops[:, c]) for c in range(3)], axis=-1)
    side = np.exp(-(((x / width - 0.95) / 0.5) ** 2) - ((up - 0.05) / 0.45) ** 2)[..., None]
    sky = sky + side * np.array([0.16, 0.08, -0.04])
    field = _noise(rng, 1024, 1.55, 2)
    distance = 1 / (up + 0.12)
    u, v = ((x / width - 0.5) * distance * 300 + 600) % 1024, (distance * 190) % 1024
    cover = _smoothstep(0.15, 2.0, field[v.astype(int), u.astype(int)]) * _smoothstep(0.02, 0.3, up)
    shade = _smoothstep(0.3, 2.4, field[v.astype(int), ((u + 14) % 1024).astype(int)])[..., None]
    cloud = np.array([1.0, 0.96, 0.92]) * (1 - shade) + np.array([0.70, 0.72, 0.80]) * shade
    return (sky * (1 - 0.85 * cover[..., None]) + cloud * 0.85 * cover[..., None]).astype(np.float32)


def _look(terrain: Terrain, sky: np.ndarray, eye: float) -> tuple[np.ndarray, np.ndarray]:
    """See the terrain above the water from this height: colours (height, width, 3) and depth; what is empty is sky.

    Along each column of pixels, the first step whose ground stands as high as a row is what that row shows.
    """
    height, width = sky.shape[:2]
    focal = FOCAL * width
    steps = np.geomspace(6, REACH * 0.97, 1500)
    columns = (np.arange(width) - width / 2) / focal
    top = np.full(width, height, np.float32)
    picture, depth = sky.copy(), np.ones((height, width), np.float32)
    rows = np.arange(height)[:, None]
    for z in steps:
        at = np.clip((columns * z + REACH / 2) / CELL, 0, GRID - 1.001)
        cell, part = at.astype(int), at % 1
        row = min(int(z / CELL), GRID - 1)
        ground = terrain.height[row, cell] * (1 - part) + terrain.height[row, cell + 1] * part
        y = HORIZON * height - (ground - eye) / z * focal
        seen = (ground > 0) & (y < top)
        if not seen.any():
            continue
        first = max(int(y[seen].min()), 0)
        last = int(min(top[seen].max(), height))
        band = rows[first : last + 1]
        bottom = np.minimum(top, HORIZON * height + eye / z * focal + 1)
        fill = seen & (band >= y) & (band < np.where(top < height, top, bottom))
        haze = 1 - np.exp(-((z / 420) ** 1.25))
        colour = terrain.colour[row, cell] * (1 - part[:, None]) + terrain.colour[row, cell + 1] * part[:, None]
        colour = colour * (1 - haze) + AIR * haze
        picture[first : last + 1][fill] = np.broadcast_to(colour, (*fill.shape, 3))[fill]
        depth[first : last + 1][fill] = 0.08 + 0.82 * z / REACH
        top = np.where(seen, y, top)
    return picture, depth


def _lake(
    rng: np.random.Generator, direct: np.ndarray, depth: np.ndarray, mirror: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Lay the mirrored picture, stirred by waves that grow towards the viewer, wherever there is water."""
    height, width = depth.shape
    horizon = int(HORIZON * height)
    below = np.arange(height - horizon)
    near = (below / below[-1])[:, None]
    waves = _noise(rng, 1024, 1.0, 6)
    distance = 1 / (near + 0.03)
    x = np.arange(width)[None]
    u = ((x / width - 0.5) * distance * 240 + 512) % 1024
    wave = waves[((distance * 900) % 1024).astype(int), u.astype(int)]
    stirred = wave * width / (WIDTH * SMOOTH)
    shifted = np.clip(horizon - below[:, None] + stirred * (2 + 26 * near), 0, horizon - 1).astype(int)
    beside = np.clip(x + stirred * (1 + 5 * near), 0, width - 1).astype(int)
    mirrored = mirror[shifted, beside]
    clear = np.clip(0.86 - 0.42 * near, 0, 1)[..., None]
    water = mirrored * clear + np.array([22, 44, 52]) / 255 * (1 - clear) + 0.012 * wave[..., None]
    wet = depth[horizon:] == 1
    picture, depth = direct.copy(), depth.copy()
    picture[horizon:][wet] = water[wet]
    depth[horizon:][wet] = (
        0.08 + 0.82 * np.clip(EYE * FOCAL * width / (below[:, None] + 6) / REACH, 0, 1) * np.ones_like(wave)
    )[wet]
    return picture, depth


def _pines(
    draw: ImageDraw.ImageDraw, near: ImageDraw.ImageDraw, rng: np.random.Generator, width: int, height: int
) -> None:
    """Draw pines close by in the corners; near marks where they stand."""
    for x, size in ((0.005, 1.0), (0.085, 0.66), (0.15, 0.4), (0.985, 0.92), (0.915, 0.56)):
        x, size, base = x * width, size * height, height * 1.02
        trunk = (x - size * 0.009, base - size * 0.9, x + size * 0.009, base)
        draw.rectangle(trunk, fill=(38, 30, 24))
        near.rectangle(trunk, fill=255)
        for along in np.sort(rng.uniform(0.015, 0.98, 340)):
            reach, y = size * 0.19 * along**0.8, base - size * (1 - along)
            side = rng.choice((-1, 1))
            tip, droop = reach * rng.uniform(0.35, 1.1), size * rng.uniform(0.006, 0.04)
            lit = 0.55 + 0.45 * (side > 0) + rng.uniform(-0.2, 0.3)
            green = tuple(int(v * lit) for v in (44, 56, 34))
            twig = [
                (x, y - size * 0.012),
                (x + side * tip, y + droop),
                (x + side * tip * 0.5, y + droop * 0.9),
                (x, y + size * 0.008),
            ]
            draw.polygon(twig, fill=green)
            near.polygon(twig, fill=255)
