"""Haze drawn onto clean pictures by Koschmieder's law: before smooth depth, or before a scene of objects.

Knows nothing of files or of the network: an RGB picture and a random generator in, a hazy picture of the same size out.
The same generator state gives the same picture.
"""

from dataclasses import dataclass

import numpy as np

from model.data.fields import WHOLE, Corner, Field
from model.data.picture import Picture, blur, quantise, to_float

SOFTNESS = 0.015
"""How far colours, as squared differences of parts of white, must lie apart for depth to jump between them."""


@dataclass(frozen=True)
class Haze:
    """Describe atmospheric scattering, I = J·t + A·(1 − t) with t = exp(−β·d) (Koschmieder, as RESIDE uses it).

    airlight: A, per channel, 0.6–1 with a cast of at most ±0.04 (RESIDE: 0.6–1, no cast).
    density: β, 0.2–3.5 for a depth d in [0, 1] (RESIDE indoors: 0.6–1.8 for depths to about 3).
    horizon: how far depth follows the height in the picture, 0–1; the rest is smooth random relief.
    relief: how far bright places lie behind dark ones, 0–0.6: skies are far, and depth jumps where objects end.
    """

    airlight: tuple[float, float, float]
    density: float
    horizon: float
    relief: float


@dataclass(frozen=True)
class SceneHaze:
    """Describe haze before objects: depth jumps where one ends, as in a room, and light is uneven.

    base: the haze itself; see sample_scene_haze for its ranges.
    objects: into how many parts the scene falls, by colour and place, 2–8.
    jump: how much depth differs between them at most, 0.1–0.9 of the scene's depth.
    uneven: how much the airlight's brightness differs over the scene, 0–0.25: windows, lamps, clouds.
    """

    base: Haze
    objects: int
    jump: float
    uneven: float


def sample_haze(rng: np.random.Generator) -> Haze:
    """Draw one haze, from a thin mist to a room one can barely see through."""
    grey = rng.uniform(0.6, 1.0)
    cast = rng.uniform(-0.04, 0.04, 3) if rng.random() < 0.5 else np.zeros(3)
    red, green, blue = np.clip(grey + cast, 0.55, 1).tolist()
    return Haze(
        airlight=(red, green, blue),
        density=float(np.exp(rng.uniform(np.log(0.2), np.log(3.5)))),
        horizon=float(rng.uniform(0, 1)),
        relief=float(rng.uniform(0, 0.6)) if rng.random() < 0.6 else 0.0,
    )


def add_haze(picture: Picture, haze: Haze, rng: np.random.Generator, place: Corner = WHOLE) -> Picture:
    """Lay the haze over the picture, which lies at that place of the whole scene."""
    height, width = picture.shape[:2]
    clean = to_float(picture)
    heights = np.linspace(*place[:2], height, dtype=np.float32)[:, None]
    depth = haze.horizon * (1 - heights) + (1 - haze.horizon) * Field.draw(rng).over(place, height, width)
    if haze.relief:
        depth = depth + haze.relief * (clean.mean(axis=2) - 0.4)
    through = np.exp(-haze.density * np.clip(depth, 0.05, 1.2))[..., None]
    return quantise(clean * through + np.asarray(haze.airlight, np.float32) * (1 - through))


def sample_scene_haze(rng: np.random.Generator) -> SceneHaze:
    """Draw one haze before objects, in a room or out of doors at even odds.

    In a room it is dense (β 0.6–1.8 for depths to 3 in RESIDE's ITS, 0.6–3.5 for our depths to 1), depth owes little to
    the height in the picture, and lamps or the sky in a window tint the airlight by 0.03 (σ), warm or blue.
    """
    room = rng.random() < 0.5
    grey = rng.uniform(0.65, 1.0)
    warmth = rng.normal(0, 0.03) if room else rng.normal(0, 0.015)
    airlight = np.clip([grey + warmth, grey, grey - warmth], 0.5, 1) if rng.random() < 0.6 else np.full(3, grey)
    density = rng.uniform(0.6, 3.5) if room else np.exp(rng.uniform(np.log(0.2), np.log(3.0)))
    red, green, blue = airlight.tolist()
    base = Haze(
        airlight=(red, green, blue),
        density=float(density),
        horizon=float(rng.uniform(0, 0.3) if room else rng.uniform(0.2, 1)),
        relief=float(rng.uniform(0, 0.3)) if rng.random() < 0.3 else 0.0,
    )
    uneven = float(rng.uniform(0, 0.25)) if rng.random() < 0.5 else 0.0
    return SceneHaze(base, int(rng.integers(2, 9)), float(rng.uniform(0.1, 0.9)), uneven)


def add_scene_haze(picture: Picture, haze: SceneHaze, rng: np.random.Generator, place: Corner = WHOLE) -> Picture:
    """Lay the haze over the picture, which lies at that place of the whole scene."""
    height, width = picture.shape[:2]
    clean, base = to_float(picture), haze.base
    heights = np.linspace(*place[:2], height, dtype=np.float32)[:, None]
    smooth = base.horizon * (1 - heights) + (1 - base.horizon) * Field.draw(rng).over(place, height, width)
    apart = object_depths(picture, haze.objects, rng)
    depth = smooth + haze.jump * (apart - smooth) + base.relief * (clean.mean(axis=2) - 0.4)
    through = np.exp(-base.density * np.clip(depth, 0.05, 1.2))[..., None]
    light = 1 + haze.uneven * (2 * Field.draw(rng).over(place, height, width) - 1)
    airlight = np.asarray(base.airlight, np.float32) * light[..., None]
    return quantise(clean * through + airlight * (1 - through))


def object_depths(picture: Picture, count: int, rng: np.random.Generator) -> np.ndarray:
    """Give each of up to `count` parts of a picture a random depth from 0 to 1, (H, W).

    A pixel takes the depths of so many random pixels of the blurred picture, mostly that of the most alike by colour
    and, less, by place: a cheap stand-in for objects. Depth jumps at the picture's own edges and is smooth elsewhere.
    """
    height, width = picture.shape[:2]
    colours = to_float(blur(picture, 1.0))
    y, x = np.arange(height, dtype=np.float32) / height, np.arange(width, dtype=np.float32) / width
    weights, depths = np.full((height, width), 1e-12, np.float32), np.zeros((height, width), np.float32)
    for _ in range(count):
        row, column, depth = rng.integers(height), rng.integers(width), np.float32(rng.random())
        difference = colours - colours[row, column]
        away = np.einsum("hwc,hwc->hw", difference, difference)
        away += np.float32(0.15) * (np.square(y - y[row])[:, None] + np.square(x - x[column]))
        weight = np.exp(away * np.float32(-1 / SOFTNESS))
        weights += weight
        depths += weight * depth
    return depths / weights
