"""Rain as cameras see it: drops at every distance, in and out of focus, before a scene that has depth.

Knows nothing of files or of the network: an RGB picture and a random generator in, a rainy picture of the same size
out. The same generator state gives the same picture. What the camera does afterwards stands in camera.py.

The optics follow Garg and Nayar, "Vision and Rain" (IJCV 2007). A drop refracts light of nearly the whole sky, so it is
as bright as the surroundings, whatever lies behind it; in motion it covers a pixel for a part of the exposure only:

    seen = (1 − opacity) · behind + opacity · light

Rain is therefore bright before dark places and hardly visible before the sky. Lengths are in pixels, depth runs from 0
at the lens to 1.
"""

from dataclasses import dataclass
from functools import partial

import numpy as np

from model.data.fields import WHOLE, Corner, Field
from model.data.picture import Picture, blur, quantise, resize_part, to_float

KINDS = ("streaks", "dashes", "flakes", "discs")
"""Streaks of a slow shutter, short thick ones of a fast one, flakes like snow, discs out of focus."""

VARIANTS = 3
"""Drops of one layer come in so many shapes; each shape is one convolution."""

CELL = 1.6
"""A layer is drawn on a grid where its drops have this radius, and enlarged: wide drops cost no more than thin ones."""


@dataclass(frozen=True)
class Drops:
    """Describe drops of one distance and shape: a line as long as the fall in one exposure, as wide as the drop.

    distance: 0–1; where the scene is nearer than this, it hides the drops.
    coverage: summed area of the drops over that of the picture, 0.02–0.9 (RainTrainL: about 0.1).
    length: of the fall during the exposure, from 0 (flash, snow) to 40 radii (Garg and Nayar: streaks at 1/60 s).
    radius: half the width; of a drop out of focus, the circle of confusion.
    angle: degrees from the vertical, −50–50. tumble: how much it differs between drops; flakes 90, streaks 1–5.
    opacity: the part of the exposure that a drop covers a pixel, 0.05–0.95; small for wide drops out of focus.
    softness: width of the edge as a part of the radius, 0.15 (a disc out of focus) to 1.5 (a thin streak).
    rim: how much darker the middle is than the edge, 0–0.6: bokeh, and the light that a drop bends.
    uneven: how far the outline departs from round, 0–0.4, as flakes do.
    lens: the part of its light that comes from behind the drop, blurred, 0–0.8.
    ground: drops that splash: only in the lower third of the scene, more towards its bottom.
    """

    distance: float
    coverage: float
    length: float
    radius: float
    angle: float
    opacity: float
    softness: float = 1.0
    tumble: float = 3.0
    rim: float = 0.0
    uneven: float = 0.0
    lens: float = 0.0
    ground: bool = False


@dataclass(frozen=True)
class CameraRain:
    """Describe all rain in one picture.

    layers: from far to near.
    light: what drops refract, RGB, 0.35–1.05: an overcast sky by day, lamps at night.
    flicker: how uneven that light is over the scene, 0–0.7; high near lamps.
    horizon: how far depth follows the height in the scene, 0–1; the rest is smooth random relief.
    veil: extinction over the whole depth, 0–0.8: distant drops no longer seen one by one. RESIDE's haze has up to 1.8;
        more than half of that would be haze, which is another task.
    """

    layers: tuple[Drops, ...]
    light: tuple[float, float, float]
    flicker: float
    horizon: float
    veil: float


def sample_camera_rain(rng: np.random.Generator, scale: float | None = None, kind: str | None = None) -> CameraRain:
    """Draw one rain.

    scale: the width of its common drops in pixels, 1–8 log-uniformly unless given; full camera pictures have 30.
    kind: of KINDS, for its common drops; streaks at even odds unless given.
    """
    scale = scale or float(np.exp(rng.uniform(0, np.log(8))))
    wind = rng.uniform(-50, 50) if rng.random() < 0.4 else rng.normal(0, 12)
    kind = kind or str(rng.choice(KINDS, p=[0.5, 0.2, 0.15, 0.15]))
    # One shutter for all: the fall in one exposure, in widths of a drop.
    falls = {"streaks": (8, 40), "dashes": (1.5, 6), "flakes": (0, 1.5), "discs": (0, 1.5)}
    fall = float(rng.uniform(*falls[kind]))
    total = np.exp(rng.uniform(np.log(0.06), np.log(0.9))) * (1 if kind in ("streaks", "dashes") else 0.6)
    shares = rng.dirichlet(np.full(int(rng.integers(1, 5)), 2.0)) * total
    layers = [_common(rng, kind, scale, wind, fall, share) for share in shares]
    if rng.random() < 0.3:
        layers.append(_near(rng, scale, wind, fall))
    if rng.random() < 0.2 and kind != "discs":
        layers.append(_common(rng, "discs", scale, wind, rng.uniform(0, 1.5), rng.uniform(0.02, 0.2)))
    if rng.random() < 0.2:
        layers.append(_splashes(rng, scale))
    night = rng.random() < 0.15
    grey = rng.uniform(0.35, 0.9) if night else rng.uniform(0.65, 1.05)
    cast = rng.normal(0, 0.02, 3)
    red, green, blue = np.clip(grey + cast, 0.3, 1.1).tolist()
    return CameraRain(
        layers=tuple(sorted(layers, key=lambda drops: -drops.distance)),
        light=(red, green, blue),
        flicker=float(rng.uniform(0.3, 0.7) if night else rng.uniform(0, 0.3)),
        horizon=float(rng.uniform(0, 0.8)),
        veil=float(rng.uniform(0.05, 0.8)) if rng.random() < 0.4 else 0.0,
    )


def _common(rng: np.random.Generator, kind: str, scale: float, wind: float, fall: float, coverage: float) -> Drops:
    distance = rng.uniform(0, 0.75)
    # A drop looks as large as it is near; the scale belongs to the middle of the scene.
    radius = max(0.45, scale / 2 * float(np.clip(0.6 / (distance + 0.25), 0.55, 1.8)) * rng.uniform(0.8, 1.25))
    streak = kind in ("streaks", "dashes")
    drops = partial(Drops, distance=float(distance), coverage=float(coverage), angle=float(wind + rng.normal(0, 3)))
    if streak:
        return drops(
            radius=radius,
            length=2 * radius * fall * rng.uniform(0.7, 1.3),
            opacity=float(rng.uniform(0.2, 0.9)),
            softness=float(rng.uniform(0.6, 1.4)),
            tumble=float(rng.uniform(1, 5)),
            lens=float(rng.uniform(0, 0.4)),
        )
    if kind == "flakes":
        radius *= rng.uniform(0.8, 1.6)
        return drops(
            radius=radius,
            length=2 * radius * fall,
            opacity=float(rng.uniform(0.3, 0.95)),
            softness=float(rng.uniform(0.4, 1.3)),
            tumble=90.0,
            uneven=float(rng.uniform(0.1, 0.4)),
        )
    radius *= rng.uniform(1, 4)  # the circle of confusion is wider than the drop
    return drops(
        radius=radius,
        length=radius * rng.uniform(0, 1) * min(fall, 1),
        opacity=float(rng.uniform(0.1, 0.6)),
        softness=float(rng.uniform(0.15, 0.7)),
        tumble=10.0,
        rim=float(rng.uniform(0, 0.6)),
        lens=float(rng.uniform(0, 0.6)),
    )


def _near(rng: np.random.Generator, scale: float, wind: float, fall: float) -> Drops:
    """Draw streaks that pass close to the lens: wide, translucent, out of focus."""
    radius = scale * rng.uniform(1, 3)
    return Drops(
        distance=0.0,
        coverage=float(np.exp(rng.uniform(np.log(0.03), np.log(0.25)))),
        length=2 * radius * max(3.0, fall * rng.uniform(0.3, 0.8)),
        radius=radius,
        angle=float(wind + rng.normal(0, 5)),
        opacity=float(rng.uniform(0.05, 0.3)),
        softness=float(rng.uniform(0.3, 1.2)),
        tumble=5.0,
        rim=float(rng.uniform(0, 0.4)),
        lens=float(rng.uniform(0.2, 0.8)),
    )


def _splashes(rng: np.random.Generator, scale: float) -> Drops:
    """Draw the crowns of drops that hit the ground: small, bright, wider than high."""
    radius = scale * rng.uniform(0.4, 0.9)
    return Drops(
        distance=0.05,
        coverage=float(rng.uniform(0.03, 0.2)),
        length=radius * rng.uniform(1, 4),
        radius=radius,
        angle=90.0,
        opacity=float(rng.uniform(0.3, 0.8)),
        softness=float(rng.uniform(0.5, 1.2)),
        tumble=25.0,
        rim=float(rng.uniform(0, 0.5)),
        uneven=float(rng.uniform(0, 0.3)),
        ground=True,
    )


def add_camera_rain(picture: Picture, rain: CameraRain, rng: np.random.Generator, place: Corner = WHOLE) -> Picture:
    """Draw the rain before the picture, which lies at that place of the whole scene."""
    height, width = picture.shape[:2]
    scene = to_float(picture)
    relief, lamps = Field.draw(rng), Field.draw(rng)
    light = (
        np.asarray(rain.light, np.float32) * (1 + rain.flicker * (2 * lamps.over(place, height, width) - 1))[..., None]
    )
    if rain.veil:
        through = np.exp(-rain.veil * _depth(rain, relief, place, height, width))[..., None]
        scene = scene * through + np.asarray(rain.light, np.float32) * (1 - through)
    for drops in rain.layers:
        opacity = drops.opacity * _draw(drops, rain, relief, place, height, width, rng)[..., None]
        drawn = light
        if drops.lens:
            drawn = light * (1 - drops.lens) + drops.lens * to_float(blur(picture, 1 + 2 * drops.radius))
        scene = scene + opacity * (drawn - scene)
    return quantise(scene)


def _depth(rain: CameraRain, relief: Field, place: Corner, height: int, width: int) -> np.ndarray:
    heights = np.clip(np.linspace(*place[:2], height, dtype=np.float32), 0, 1)[:, None]
    return rain.horizon * (1 - heights) + (1 - rain.horizon) * relief.over(place, height, width)


def _draw(
    drops: Drops, rain: CameraRain, relief: Field, place: Corner, height: int, width: int, rng: np.random.Generator
) -> np.ndarray:
    """Draw one layer, (height, width) from 0 to 1: random points, convolved with the shapes of a drop."""
    cell = max(1.0, drops.radius / CELL)
    # Drops that begin outside reach in. The convolution is circular; the margin keeps its other side away.
    margin = int(np.ceil((drops.length / 2 + 2 * drops.radius) / cell))
    rows, columns = (-(-int(np.ceil(side / cell) + 2 * margin) // 8) * 8 for side in (height, width))  # fast for FFT
    spans = [(place[1] - place[0]) * cell / height, (place[3] - place[2]) * cell / width]  # of one cell in the scene
    top, left = place[0] - margin * spans[0], place[2] - margin * spans[1]
    canvas = (top, top + rows * spans[0], left, left + columns * spans[1])
    shown = _depth(rain, relief, canvas, rows, columns) > drops.distance
    if drops.ground:
        heights = np.linspace(*canvas[:2], rows, dtype=np.float32)[:, None]
        shown = rng.random(shown.shape, np.float32) < np.clip(3 * heights - 2, 0, 1)
    radius, length = drops.radius / cell, drops.length / cell
    expected = drops.coverage * rows * columns / (2 * radius * length + np.pi * radius**2)
    spectrum = np.zeros((rows, columns // 2 + 1), np.complex64)
    for _ in range(VARIANTS):
        at = rng.integers(0, rows * columns, rng.poisson(expected / VARIANTS))
        at = at[shown.ravel()[at]]
        size = rng.uniform(0.75, 1.3)
        angle = drops.angle + rng.normal(0, drops.tumble)
        outline = rng.uniform(0, 2 * np.pi, 2)
        if not at.size:
            continue
        points = np.bincount(at, rng.uniform(0.35, 1, at.size), rows * columns).astype(np.float32)
        shape = _shape(drops, rows, columns, radius * size, length * size, angle, outline)
        spectrum += np.fft.rfft2(points.reshape(rows, columns)) * np.fft.rfft2(shape)
    drawn = 1 - np.exp(-np.maximum(np.fft.irfft2(spectrum, (rows, columns)), 0).astype(np.float32) * 1.25)
    part = (margin, margin + height / cell, margin, margin + width / cell)
    visible: np.ndarray = np.clip(resize_part(drawn, part, height, width), 0, 1)
    return visible


def _shape(
    drops: Drops, rows: int, columns: int, radius: float, length: float, angle: float, outline: np.ndarray
) -> np.ndarray:
    """Draw one drop around the origin of a circular grid, brightest 1."""
    y = np.fft.fftfreq(rows, 1 / rows).astype(np.float32)[:, None]
    x = np.fft.fftfreq(columns, 1 / columns).astype(np.float32)[None, :]
    cosine, sine = np.float32(np.cos(np.deg2rad(angle))), np.float32(np.sin(np.deg2rad(angle)))
    along, across = np.abs(y * cosine + x * sine), x * cosine - y * sine
    beyond = np.maximum(along - np.float32(length / 2), 0)
    away = np.sqrt(beyond * beyond + across * across)
    edge = np.float32(radius)
    if drops.uneven:
        around = np.arctan2(across, y * cosine + x * sine)
        bumps = np.cos(3 * around + outline[0]) + np.cos(5 * around + outline[1])
        edge = edge * (1 + drops.uneven / 2 * bumps)
    shape: np.ndarray = np.clip((edge - away) / np.float32(max(drops.softness * radius, 0.7)) + 0.5, 0, 1)
    if drops.rim:
        shape = shape * (1 - drops.rim * np.clip(1 - (away / edge) ** 2, 0, 1))
    if length > 2 * radius:  # a streak begins and ends softly
        shape = shape * np.clip(2.5 - 2.5 * along / np.float32(length / 2 + radius), 0, 1)
    return shape
