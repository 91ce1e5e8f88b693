"""From a recipe's words to pictures in memory: training sources and validation pairs.

Knows nothing of the network. The kinds of source:

* `pairs`: a folder with input/ and target/; `side_by_side`: one JPEG a pair
* `rain`, `haze`: clean photos degraded anew for every sample
* `layers`: clean photos under rain lifted from pairs (input − target), which is rain as the benchmarks draw it
* `clean`: photos left as they are, input and target alike, so that nothing is taken from a clear picture
"""

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from model.data.datasets import (
    Corner,
    Degrade,
    Mixture,
    Pair,
    Source,
    load_clean,
    load_pairs,
    load_side_by_side,
    random_box,
)
from model.data.degradation import Picture, add_haze, add_rain, draw_markings, sample_haze, sample_rain

VALIDATION_SEED = 20_231_123


@dataclass(frozen=True)
class SourceSpec:
    """Name one source of training pictures; the module names the kinds.

    path: one folder or several. share: how often it is drawn, beside the others' shares. take: which of its files, as
    datasets.list_pictures has it. exclude: names without suffix. layers, layers_take: pairs to lift rain from.
    heavy: the chance of dense rain. markings: the chance of bright bars painted into the scene. shrink: the chance that
    clean photos are shown smaller, as far as a whole scene in one crop, before they are degraded.
    """

    kind: str
    path: tuple[str, ...]
    share: float
    take: str = "all"
    exclude: tuple[str, ...] = ()
    layers: tuple[str, ...] = ()
    layers_take: str = "all"
    heavy: float = 0.35
    markings: float = 0.0
    shrink: float = 0.0


@dataclass(frozen=True)
class ValidationSpec:
    """Name one set of pictures to score on while training; clean photos are degraded once, with a fixed seed."""

    name: str
    kind: str
    path: str
    take: str = "all"
    heavy: float = 0.35
    markings: float = 0.0


def build_mixture(specs: Sequence[SourceSpec], data: Path, *, side: int, seed: int) -> Mixture:
    """Load every source from the data folder; raises DatasetError, ValueError for an unknown kind.

    side: of the largest crop that will be drawn, in pixels.
    """
    # Several sources share the same photos; each folder is decoded once.
    photos = functools.cache(lambda path, take, exclude: load_clean(data / path, take, side, exclude))
    return Mixture([_source(spec, data, side, photos) for spec in specs], seed)


def build_validation(spec: ValidationSpec, data: Path) -> list[Pair]:
    """Load one validation set; the same spec gives the same pictures."""
    if spec.kind == "pairs":
        return load_pairs(data / spec.path, spec.take)
    degrade = _degrade(spec.kind, spec.heavy, spec.markings)
    pairs = load_clean(data / spec.path, spec.take)
    rng = np.random.default_rng(VALIDATION_SEED)
    return [Pair(pair.name, *degrade(pair.clean, rng, (0, 1, 0, 1))) for pair in pairs]


def _source(spec: SourceSpec, data: Path, side: int, load_photos: Callable[..., list[Pair]]) -> Source:
    name = f"{spec.kind} {', '.join(spec.path)}"
    if spec.kind in ("pairs", "side_by_side"):
        load = load_pairs if spec.kind == "pairs" else load_side_by_side
        return Source(name, spec.share, [pair for path in spec.path for pair in load(data / path, spec.take, side)])
    photos = [pair for path in spec.path for pair in load_photos(path, spec.take, spec.exclude)]
    if spec.kind == "layers":
        rainy = [pair for path in spec.layers for pair in load_pairs(data / path, spec.layers_take, side)]
        return Source(name, spec.share, photos, lift_rain(rainy))
    return Source(name, spec.share, photos, _degrade(spec.kind, spec.heavy, spec.markings), spec.shrink)


def _degrade(kind: str, heavy: float, markings: float) -> Degrade:
    def degrade(clean: Picture, rng: np.random.Generator, place: Corner) -> tuple[Picture, Picture]:
        if rng.random() < markings:
            clean = draw_markings(clean, rng)
        if kind == "rain":
            return add_rain(clean, sample_rain(rng, heavy), rng), clean
        if kind == "haze":
            return add_haze(clean, sample_haze(rng), rng, place[:2], place[2:]), clean
        return clean, clean

    if kind not in ("rain", "haze", "clean"):
        raise ValueError(f"kind is {kind!r}; it must be pairs, side_by_side, rain, haze, layers or clean")
    return degrade


def lift_rain(rainy: Sequence[Pair]) -> Degrade:
    """Make a degradation that adds rain lifted from other pairs, at random places, mirrored at random."""

    def degrade(clean: Picture, rng: np.random.Generator, _: Corner) -> tuple[Picture, Picture]:
        pair = rainy[rng.integers(len(rainy))]
        box, _ = random_box(pair.clean, clean.shape[:2], rng)
        # Streaks are grey; where the photo below is near white they are cut short in all channels but the darkest.
        layer = (pair.degraded[box].astype(np.int16) - pair.clean[box]).max(axis=2, keepdims=True)
        if rng.random() < 0.5:
            layer = layer[:, ::-1]
        strength = rng.uniform(0.6, 1.2)
        return (clean + np.maximum(layer, 0) * strength).clip(0, 255).round().astype(np.uint8), clean

    return degrade
