"""Haze drawn onto clean pictures by Koschmieder's law.

Knows nothing of files or of the network: an RGB picture and a random generator in, a hazy picture of the same size out.
The same generator state gives the same picture.
"""

from dataclasses import dataclass

import numpy as np

from model.data.fields import WHOLE, Corner, Field
from model.data.picture import Picture, quantise, to_float


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


def sample_haze(rng: np.random.Generator) -> Haze:
    """Draw one haze, from a thin mist to a room one can barely see through."""
    grey = rng.uniform(0.6, 1.0)
    cast = rng.uniform(-0.04, 0.04, 3) if rng.random() < 0.5 else np.zeros(3)
    return Haze(
        airlight=tuple(float(a) for a in np.clip(grey + cast, 0.55, 1)),
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
    return quantise(clean * through + np.float32(haze.airlight) * (1 - through))
