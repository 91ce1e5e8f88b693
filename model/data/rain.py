"""Rain as the benchmarks draw it: layers of grey streaks, and a veil, added to a clean picture.

Knows nothing of files or of the network: an RGB picture and a random generator in, a rainy picture of the same size
out. The same generator state gives the same picture. Every function works at the size it is given, so that training
draws rain for a crop only: 1 ms for 64×64, 3 ms for 128×128. Rain as cameras see it stands in camera_rain.py.
"""

from dataclasses import dataclass

import numpy as np

from model.data.fields import WHOLE, Field
from model.data.picture import Picture, quantise, to_float


@dataclass(frozen=True)
class RainLayer:
    """Describe the streaks at one distance from the camera.

    coverage: summed streak area over picture area, 0.005–1, up to 12 for the dimmest streaks of a downpour. RainTrainL
        lies near 0.1.
    length, width: of one streak in pixels, 6–150 and 0.8–4 (measured up to 70 on RainTrainL and Heavy32).
    angle: degrees from the vertical, −45–45; wind gives all layers nearly the same.
    strength: brightness of the strongest streak as a part of white, 0.08–0.9.
    flat: one grey from edge to edge and end to end, as Heavy32 has it, instead of a profile that fades.
    """

    coverage: float
    length: float
    width: float
    angle: float
    strength: float
    flat: bool = False


@dataclass(frozen=True)
class Rain:
    """Describe all rain in one picture: layers near to far, a veil of mist (part of white, 0–0.4) and the blending.

    screen: blend as light through film, J + R·(1 − J), as picture editors do (Rain800); otherwise add, as
        Yang et al. (CVPR 2017) do. Both are clipped at white.
    """

    layers: tuple[RainLayer, ...]
    veil: float
    screen: bool


def sample_rain(rng: np.random.Generator, heavy: float = 0.35) -> Rain:
    """Draw one rain: with probability `heavy` dense streaks as in Rain100H, otherwise a drizzle to a shower."""
    dense = rng.random() < heavy
    wind = rng.uniform(-45, 45) if rng.random() < 0.5 else rng.normal(0, 12)
    total = rng.uniform(0.25, 1.1) if dense else np.exp(rng.uniform(np.log(0.01), np.log(0.4)))
    count = int(rng.integers(2, 5)) if dense else int(rng.integers(1, 4))
    shares = rng.dirichlet(np.ones(count)) * total
    thickness = rng.uniform(0.9, 2.6)
    strength = rng.uniform(0.3, 0.85) if dense else rng.uniform(0.15, 0.9)
    layers = tuple(
        RainLayer(
            coverage=float(share),
            length=float(np.exp(rng.uniform(np.log(12 if dense else 7), np.log(70)))),
            width=float(np.clip(thickness * rng.uniform(0.7, 1.5), 0.8, 4)),
            angle=float(wind + rng.normal(0, 3)),
            strength=float(strength * rng.uniform(0.6, 1)),
        )
        for share in shares
    )
    return Rain(layers, float(rng.uniform(0.02, 0.4)) if rng.random() < 0.2 else 0.0, bool(rng.random() < 0.35))


def sample_downpour(rng: np.random.Generator) -> Rain:
    """Draw one rain as Rain100H has it: flat streaks of up to five directions, long, dim one by one, added up.

    Measured on the trained half of Heavy32: rain adds 7–70 grey values on the mean and covers 11–83% of the pixels.
    """
    wind = rng.normal(0, 12)
    light = np.exp(rng.uniform(np.log(0.05), np.log(0.6)))  # what all streaks add to a black picture
    shares = rng.dirichlet(np.ones(int(rng.integers(2, 6)))) * light
    thickness = rng.uniform(0.9, 2.4)
    mean_brightness = 0.625  # of a layer's streaks, as a part of its strength; see `streaks`
    layers = []
    for share in shares:
        # Most layers fall with the wind; a thin one may cross it.
        crossing = share < 0.2 * light and rng.random() < 0.5
        strength = np.exp(rng.uniform(np.log(0.08), np.log(0.5)))
        layers.append(
            RainLayer(
                coverage=float(share / (mean_brightness * strength)),
                length=float(np.exp(rng.uniform(np.log(15), np.log(150)))),
                width=float(np.clip(thickness * rng.uniform(0.7, 1.5), 0.8, 4)),
                angle=float(rng.uniform(-45, 45) if crossing else wind + rng.normal(0, 6)),
                strength=float(strength),
                flat=bool(rng.random() < 0.8),
            )
        )
    return Rain(tuple(layers), veil=0.0, screen=False)


def add_rain(picture: Picture, rain: Rain, rng: np.random.Generator) -> Picture:
    """Draw the rain over the picture; clear of rain and veil, the picture comes back unchanged."""
    height, width = picture.shape[:2]
    clean = to_float(picture)
    light = sum((streaks(height, width, layer, rng) for layer in rain.layers), np.zeros((height, width), np.float32))
    light = np.clip(light, 0, 1)[..., None]
    if rain.veil:
        mist = rain.veil * (0.6 + 0.4 * Field.draw(rng).over(WHOLE, height, width))[..., None]
        clean = clean * (1 - mist) + 0.85 * mist
    return quantise(clean + (light * (1 - clean) if rain.screen else light))


def streaks(height: int, width: int, layer: RainLayer, rng: np.random.Generator) -> np.ndarray:
    """Draw one layer of streaks, (height, width) from 0 up, most of it at most `strength`.

    Drops fall on random pixels and are convolved with one tapered line. The convolution is circular: a streak that
    leaves at one border comes back at the other, so density is even up to the edges.
    """
    drops = np.zeros(height * width, np.float32)
    count = rng.poisson(layer.coverage * height * width / (layer.length * layer.width))
    if not count:
        return drops.reshape(height, width)
    brightness = layer.strength * rng.uniform(0.25, 1, count).astype(np.float32)
    np.add.at(drops, rng.integers(0, drops.size, count), brightness)
    y = np.fft.fftfreq(height, 1 / height).astype(np.float32)[:, None]
    x = np.fft.fftfreq(width, 1 / width).astype(np.float32)[None, :]
    angle = np.deg2rad(layer.angle)
    along, across = y * np.cos(angle) + x * np.sin(angle), x * np.cos(angle) - y * np.sin(angle)
    if layer.flat:
        sides = ((along, layer.length), (across, layer.width))
        line = np.prod([np.clip(side / 2 - np.abs(away) + 0.5, 0, min(1, side)) for away, side in sides], axis=0)
    else:
        taper = np.clip((layer.length / 2 - np.abs(along)) / (0.25 * layer.length) + 0.5, 0, 1)
        line = taper * np.exp(-0.5 * (across / (layer.width / 2.355)) ** 2)  # width: of the profile at half its height
    drawn = np.fft.irfft2(np.fft.rfft2(drops.reshape(height, width)) * np.fft.rfft2(line), s=(height, width))
    return np.maximum(drawn, 0).astype(np.float32)
