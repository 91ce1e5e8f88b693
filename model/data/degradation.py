"""Rain and haze drawn onto clean pictures, for training without pairs and for `dmsr degrade`.

Knows nothing of files or of the network: an RGB picture and a random generator in, a degraded picture of the same size
out. The same generator state gives the same picture. Every function works at the size it is given, so that training
draws rain for a crop only: 1 ms for 64×64, 3 ms for 128×128.
"""

from dataclasses import dataclass

import numpy as np

Picture = np.ndarray
"""RGB, uint8, (H, W, 3)."""


@dataclass(frozen=True)
class RainLayer:
    """Describe the streaks at one distance from the camera.

    coverage: summed streak area over picture area, 0.005–1. RainTrainL lies near 0.1, Heavy32 reaches 1.
    length, width: of one streak in pixels, 6–70 and 0.8–4 (measured on the same sets, and coarser for near drops).
    angle: degrees from the vertical, −45–45; wind gives all layers nearly the same.
    strength: brightness of the strongest streak as a part of white, 0.15–0.9.
    """

    coverage: float
    length: float
    width: float
    angle: float
    strength: float


@dataclass(frozen=True)
class Rain:
    """Describe all rain in one picture: layers near to far, a veil of mist (part of white, 0–0.4) and the blending.

    screen: blend as light through film, J + R·(1 − J), as picture editors do (Rain800); otherwise add, as
        Yang et al. (CVPR 2017) do. Both are clipped at white.
    """

    layers: tuple[RainLayer, ...]
    veil: float
    screen: bool


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


def add_rain(picture: Picture, rain: Rain, rng: np.random.Generator) -> Picture:
    """Draw the rain over the picture; clear of rain and veil, the picture comes back unchanged."""
    height, width = picture.shape[:2]
    clean = picture.astype(np.float32) / 255
    light = sum((streaks(height, width, layer, rng) for layer in rain.layers), np.zeros((height, width), np.float32))
    light = np.clip(light, 0, 1)[..., None]
    if rain.veil:
        mist = rain.veil * (0.6 + 0.4 * smooth_field(rng, (0, 1), (0, 1), height, width))[..., None]
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
    taper = np.clip((layer.length / 2 - np.abs(along)) / (0.25 * layer.length) + 0.5, 0, 1)
    line = taper * np.exp(-0.5 * (across / (layer.width / 2.355)) ** 2)  # width: of the profile at half its height
    drawn = np.fft.irfft2(np.fft.rfft2(drops.reshape(height, width)) * np.fft.rfft2(line), s=(height, width))
    return np.maximum(drawn, 0).astype(np.float32)


def add_haze(
    picture: Picture,
    haze: Haze,
    rng: np.random.Generator,
    rows: tuple[float, float] = (0, 1),
    columns: tuple[float, float] = (0, 1),
) -> Picture:
    """Lay the haze over the picture.

    rows, columns: where the picture lies in the whole scene, as parts of its height and width. A training crop is seen
        through a crop of the scene's haze; haze invented for each crop would be far too uneven.
    """
    height, width = picture.shape[:2]
    clean = picture.astype(np.float32) / 255
    heights = np.linspace(*rows, height, dtype=np.float32)[:, None]
    depth = haze.horizon * (1 - heights) + (1 - haze.horizon) * smooth_field(rng, rows, columns, height, width)
    if haze.relief:
        depth = depth + haze.relief * (clean.mean(axis=2) - 0.4)
    through = np.exp(-haze.density * np.clip(depth, 0.05, 1.2))[..., None]
    return quantise(clean * through + np.float32(haze.airlight) * (1 - through))


def smooth_field(
    rng: np.random.Generator, rows: tuple[float, float], columns: tuple[float, float], height: int, width: int
) -> np.ndarray:
    """Draw a smooth random field over a scene, mostly in [0, 1], and return the given part of it, (height, width).

    A 4×4 grid of random values, interpolated by smoothstep: at most some three hills across a scene.
    """
    grid = rng.random((4, 4)).astype(np.float32)

    def weights(span: tuple[float, float], count: int) -> np.ndarray:
        place = np.clip(np.linspace(*span, count), 0, 1) * 3
        low = np.minimum(place.astype(int), 2)
        part = place - low
        part = part * part * (3 - 2 * part)
        matrix = np.zeros((count, 4), np.float32)
        matrix[np.arange(count), low] = 1 - part
        matrix[np.arange(count), low + 1] = part
        return matrix

    return weights(rows, height) @ grid @ weights(columns, width).T


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


def quantise(picture: np.ndarray) -> Picture:
    """Turn [0, 1] into uint8, rounded, clipped."""
    return (np.clip(picture, 0, 1) * 255 + 0.5).astype(np.uint8)
