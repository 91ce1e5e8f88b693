"""The mixture of sources that training samples are drawn from, each at a scale of its own.

Knows nothing of files or of the network: pairs in memory in, crops out.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from model.data.camera import sample_camera
from model.data.datasets import DatasetError, Pair
from model.data.fields import Corner
from model.data.picture import Picture, resize, without_colour

Degrade = Callable[[Picture, np.random.Generator, Corner], tuple[Picture, Picture]]
"""Turn a clean crop into (degraded, clean); the clean one may have changed, too."""

KERNELS = ("bicubic", "bicubic", "bilinear", "lanczos")
"""Nobody knows how a picture of the net was resized; most programs do it bicubically."""


@dataclass(frozen=True)
class Source:
    """Offer pairs to the mixture, drawn with a chance proportional to share; degrade makes them on the fly.

    shrink: the chance that a sample shows more of its picture than a crop of it, made smaller; up to all of it.
    zoom: the range of the factor by which other samples are resized, log-uniform. zoomed: the chance that they are.
    grey: the chance that both pictures lose their colour. camera: the chance that both go through one more camera.
    picks: a sample is that of so many crops with the most upright detail, which is most like rain.
    left_out: names of pictures that are smaller than a crop.
    """

    name: str
    share: float
    pairs: Sequence[Pair]
    degrade: Degrade | None = None
    shrink: float = 0.0
    zoom: tuple[float, float] = (1.0, 1.0)
    zoomed: float = 1.0
    grey: float = 0.0
    camera: float = 0.0
    picks: int = 1
    left_out: tuple[str, ...] = ()

    def draw(self, size: int, rng: np.random.Generator) -> tuple[Picture, Picture]:
        """Draw one (degraded, clean) crop of size × size."""
        crops = [self._draw(size, rng) for _ in range(self.picks)]
        return max(crops, key=lambda crop: upright_detail(crop[1]))

    def _draw(self, size: int, rng: np.random.Generator) -> tuple[Picture, Picture]:
        """Draw one of the crops to choose from.

        Both pictures of a pair are resized alike. What is degraded on the fly is resized before or after, at even odds:
        a camera's picture of rain is sharp at its own scale, and the net enlarges and shrinks it afterwards.
        """
        pair = self.pairs[int(rng.integers(len(self.pairs)))]
        sides = pair.clean.shape[:2]
        shape, after = (size, size), False
        if self.shrink and rng.random() < self.shrink:
            part = min(1.0, rng.uniform(0, 2))  # of the way from a crop to the picture; half are all of it
            shape = tuple(round(size * (side / size) ** part) for side in sides)
        elif self.zoom != (1.0, 1.0) and rng.random() < self.zoomed:
            factor = np.exp(rng.uniform(*np.log(self.zoom)))
            shape = (min(round(size / factor), *sides),) * 2
            after = rng.random() < 0.5
        box, place = random_box(pair.clean, shape, rng)
        kernel = KERNELS[rng.integers(len(KERNELS))]
        degraded, clean = pair.degraded[box], pair.clean[box]
        if self.degrade is None:
            degraded, clean = (resize(picture, size, size, kernel) for picture in (degraded, clean))
        elif after:
            degraded, clean = self.degrade(clean, rng, place)
            degraded, clean = (resize(picture, size, size, kernel) for picture in (degraded, clean))
        else:
            degraded, clean = self.degrade(resize(clean, size, size, kernel), rng, place)
        if self.camera and rng.random() < self.camera:
            degraded, clean = sample_camera(rng).take((degraded, clean), rng)
        if self.grey and rng.random() < self.grey:
            degraded, clean = without_colour(degraded), without_colour(clean)
        return degraded, clean


class Mixture:
    """Draw training samples. Each depends on (seed, step, index) alone, so a resumed run needs no saved generator."""

    def __init__(self, sources: Sequence[Source], seed: int) -> None:
        if not sources:
            raise DatasetError("there is no source of training pictures")
        self.sources = sources
        self.seed = seed
        shares = np.array([source.share for source in sources], float)
        self._chances = shares / shares.sum()

    def sample(self, step: int, index: int, size: int) -> tuple[Picture, Picture]:
        """Draw one (degraded, clean) crop of size × size, mirrored left to right at random.

        Never turned: rain falls, and its direction is what tells a streak from a railing; skies and far haze are above.
        """
        rng = np.random.default_rng((self.seed, step, index))
        source = self.sources[rng.choice(len(self.sources), p=self._chances)]
        degraded, clean = source.draw(size, rng)
        step = -1 if rng.random() < 0.5 else 1
        return degraded[:, ::step], clean[:, ::step]

    def batch(self, step: int, count: int, size: int) -> tuple[Picture, Picture]:
        """Draw a batch: two uint8 arrays (count, size, size, 3)."""
        degraded, clean = zip(*(self.sample(step, index, size) for index in range(count)), strict=True)
        return np.stack(degraded), np.stack(clean)


def upright_detail(picture: Picture) -> float:
    """Return by how much steps across a picture exceed those down, both squared, in green."""
    green = picture[..., 1].astype(np.float32)
    return float((np.diff(green, axis=1) ** 2).mean() - (np.diff(green, axis=0) ** 2).mean())


def random_box(
    picture: Picture, shape: tuple[int, int], rng: np.random.Generator
) -> tuple[tuple[slice, slice], Corner]:
    """Choose a crop of (height, width) pixels of a picture at least that large, and tell where it lies."""
    (height, width), (rows, columns) = picture.shape[:2], shape
    top, left = int(rng.integers(height - rows + 1)), int(rng.integers(width - columns + 1))
    place = (top / height, (top + rows) / height, left / width, (left + columns) / width)
    return (slice(top, top + rows), slice(left, left + columns)), place
