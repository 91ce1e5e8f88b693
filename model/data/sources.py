"""From a recipe's words to pictures in memory: training sources and validation pairs.

Knows nothing of the network. The kinds of source:

* `pairs`: a folder in one of the layouts of layouts.py; `side_by_side`: one picture a pair, and nothing else
* `rain`, `downpour`, `camera_rain`, `haze`, `scene_haze`: clean photos degraded anew for every sample
* `layers`: clean photos under rain lifted from pairs (input − target), which is rain as the benchmarks draw it
* `clean`: photos left as they are, input and target alike, so that nothing is taken from a clear picture
"""

import functools
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from model.data.camera import sample_camera
from model.data.camera_rain import KINDS as DROP_KINDS
from model.data.camera_rain import add_camera_rain, sample_camera_rain
from model.data.datasets import DatasetError, Pair, load_clean, load_side_by_side
from model.data.drawings import draw_markings
from model.data.fields import WHOLE, Corner
from model.data.haze import add_haze, add_scene_haze, sample_haze, sample_scene_haze
from model.data.layouts import load_pairs
from model.data.mixture import Degrade, Mixture, Source, random_box
from model.data.picture import Picture, picture_rng, starken
from model.data.rain import add_rain, sample_downpour, sample_rain
from model.data.scenes import SCENES, draw_scenes

VALIDATION_SEED = 20_231_123

PAIRED = {"pairs": load_pairs, "side_by_side": load_side_by_side}
KINDS = (*PAIRED, "layers", "rain", "downpour", "camera_rain", "haze", "scene_haze", "clean")


def _check_kind(kind: str) -> None:
    if kind not in KINDS:
        raise ValueError(f"kind is {kind!r}; it must be one of {', '.join(KINDS)}")


def _check_names(key: str, names: Sequence[str], known: Collection[str]) -> None:
    if unknown := set(names) - set(known):
        raise ValueError(f"{key} has {min(unknown)!r}; it may name {', '.join(known)}")


@dataclass(frozen=True)
class SourceSpec:
    """Name one source of training pictures; the module names the kinds.

    path: one folder or several. drawn: how many scenes drawn by code stand beside their photos. scenes: of which kinds
    of scenes.SCENES, in turn; none takes all.
    share: how often the source is drawn from, beside the others' shares. take: which of its files, as
    datasets.list_pictures has it. exclude: names without suffix. layers, layers_take: pairs to lift rain from.
    heavy: the chance of dense rain. drops: of camera_rain.KINDS, drawn at even odds; none leaves camera_rain its own.
    markings: the chance of bright bars painted into the scene. stark: of a contrast raised far. shrink: the chance that
    clean photos are shown smaller, as far as a whole scene in one crop, before they are degraded.
    zoom: the range of the factor by which samples are resized, as [0.5, 3]. zoomed: the chance that a sample is.
    grey: the chance that a sample has no colour. camera: the chance that both its pictures go through a camera's chain.
    picks: how many crops are drawn for a sample; that with the most upright detail is taken.
    """

    kind: str
    path: tuple[str, ...] = ()
    share: float = field(kw_only=True)
    drawn: int = 0
    scenes: tuple[str, ...] = ()
    take: str = "all"
    exclude: tuple[str, ...] = ()
    layers: tuple[str, ...] = ()
    layers_take: str = "all"
    heavy: float = 0.35
    drops: tuple[str, ...] = ()
    markings: float = 0.0
    stark: float = 0.0
    shrink: float = 0.0
    zoom: tuple[float, float] = (1.0, 1.0)
    zoomed: float = 1.0
    grey: float = 0.0
    camera: float = 0.0
    picks: int = 1

    def __post_init__(self) -> None:
        _check_kind(self.kind)
        if not (len(self.zoom) == 2 and 0 < self.zoom[0] <= self.zoom[1]):
            raise ValueError(f"zoom is {list(self.zoom)}; it must be [smallest, largest] factor, both above zero")
        if self.drawn and self.kind in PAIRED:
            raise ValueError(f"drawn is {self.drawn}; scenes are drawn clean, and {self.kind} wants pairs")
        if not (self.path or self.drawn):
            raise ValueError(f"a source of kind {self.kind} needs a path, or a number of scenes as `drawn`")
        if self.scenes and not self.drawn:
            raise ValueError(f"scenes is {list(self.scenes)} and drawn is 0; say how many of them to draw")
        _check_names("scenes", self.scenes, SCENES)
        _check_names("drops", self.drops, DROP_KINDS)
        if self.picks < 1:
            raise ValueError(f"picks is {self.picks}; it must be 1 or more")
        for key in ("heavy", "markings", "stark", "shrink", "zoomed", "grey", "camera"):
            if not 0 <= getattr(self, key) <= 1:
                raise ValueError(f"{key} is {getattr(self, key)}; it is a chance, from 0 to 1")


@dataclass(frozen=True)
class ValidationSpec:
    """Name one set of pictures to score on; clean photos are degraded once, each by the seed and its own name.

    The same seed gives what `dmsr degrade` makes of the same photo. drawn: how many scenes drawn by code to take
    instead of the photos of a path, and scenes: their kinds, as a source has them; training draws others.
    """

    name: str
    kind: str
    path: str = ""
    drawn: int = 0
    scenes: tuple[str, ...] = ()
    take: str = "all"
    heavy: float = 0.35
    markings: float = 0.0
    seed: int = VALIDATION_SEED

    def __post_init__(self) -> None:
        _check_kind(self.kind)
        if self.kind == "layers":
            raise ValueError("kind is 'layers', which lifts other rain each time; a validation needs pairs or one seed")
        _check_names("scenes", self.scenes, SCENES)


def build_mixture(specs: Sequence[SourceSpec], data: Path, *, side: int, seed: int) -> Mixture:
    """Load every source from the data folder; raises DatasetError.

    side: of the largest crop that will be drawn, in pixels. Smaller pictures are left out; a source that has no other
        is an error.
    """

    # Several sources share the same photos; each folder is decoded once, and each scene drawn once.
    @functools.cache
    def photos(path: str, take: str, exclude: tuple[str, ...]) -> list[Pair]:
        return load_clean(data / path, take, exclude)

    @functools.cache
    def scenes(count: int, kinds: tuple[str, ...]) -> list[Pair]:
        return _scenes(count, seed, kinds)

    return Mixture([_source(spec, data, side, photos, scenes) for spec in specs], seed)


def build_validation(spec: ValidationSpec, data: Path) -> list[Pair]:
    """Load one validation set; the same spec gives the same pictures."""
    if spec.kind in PAIRED:
        return PAIRED[spec.kind](data / spec.path, spec.take)
    degrade = degradation(spec.kind, spec.heavy, spec.markings)
    pairs = _scenes(spec.drawn, VALIDATION_SEED, spec.scenes) if spec.drawn else load_clean(data / spec.path, spec.take)
    return [Pair(pair.name, *degrade(pair.clean, picture_rng(spec.seed, pair.name), WHOLE)) for pair in pairs]


def _scenes(count: int, seed: int, kinds: Sequence[str]) -> list[Pair]:
    return [Pair(f"scene {index}", scene, scene) for index, scene in enumerate(draw_scenes(count, seed, kinds))]


def _source(
    spec: SourceSpec,
    data: Path,
    side: int,
    load_photos: Callable[[str, str, tuple[str, ...]], list[Pair]],
    load_scenes: Callable[[int, tuple[str, ...]], list[Pair]],
) -> Source:
    name = f"{spec.kind} {', '.join(spec.path + (('drawn scenes',) if spec.drawn else ()))}"
    degrade = None
    if spec.kind in PAIRED:
        pairs = [pair for path in spec.path for pair in PAIRED[spec.kind](data / path, spec.take)]
    else:
        pairs = [pair for path in spec.path for pair in load_photos(path, spec.take, spec.exclude)]
        pairs += load_scenes(spec.drawn, spec.scenes) if spec.drawn else []
        if spec.kind == "layers":
            degrade = lift_rain([pair for path in spec.layers for pair in load_pairs(data / path, spec.layers_take)])
        else:
            degrade = degradation(spec.kind, spec.heavy, spec.markings, spec.drops, spec.stark)
    large = [pair for pair in pairs if min(pair.clean.shape[:2]) >= side]
    if not large:
        raise DatasetError(f"{name}: none of {len(pairs)} pictures has {side} × {side} pixels, the largest crop")
    left_out = tuple(pair.name for pair in pairs if min(pair.clean.shape[:2]) < side)
    options = (spec.shrink, spec.zoom, spec.zoomed, spec.grey, spec.camera, spec.picks)
    return Source(name, spec.share, large, degrade, *options, left_out=left_out)


def degradation(
    kind: str, heavy: float, markings: float = 0.0, drops: Sequence[str] = (), stark: float = 0.0
) -> Degrade:
    """Return what a kind that is drawn anew does to a clean picture; the options are those of SourceSpec."""

    def camera_rain(clean: Picture, rng: np.random.Generator, place: Corner) -> tuple[Picture, Picture]:
        common = str(rng.choice(drops)) if drops else None
        rainy = add_camera_rain(clean, sample_camera_rain(rng, kind=common), rng, place)
        rainy, clean = sample_camera(rng).take((rainy, clean), rng)
        return rainy, clean

    kinds: dict[str, Degrade] = {
        "rain": lambda clean, rng, _: (add_rain(clean, sample_rain(rng, heavy), rng), clean),
        "downpour": lambda clean, rng, _: (add_rain(clean, sample_downpour(rng), rng), clean),
        "camera_rain": camera_rain,
        "haze": lambda clean, rng, place: (add_haze(clean, sample_haze(rng), rng, place), clean),
        "scene_haze": lambda clean, rng, place: (add_scene_haze(clean, sample_scene_haze(rng), rng, place), clean),
        "clean": lambda clean, _rng, _place: (clean, clean),
    }

    def degrade(clean: Picture, rng: np.random.Generator, place: Corner) -> tuple[Picture, Picture]:
        if markings and rng.random() < markings:
            clean = draw_markings(clean, rng)
        if stark and rng.random() < stark:
            clean = starken(clean, rng)
        return kinds[kind](clean, rng, place)

    return degrade


def lift_rain(rainy: Sequence[Pair]) -> Degrade:
    """Make a degradation that adds rain lifted from other pairs, at random places, mirrored at random."""

    def degrade(clean: Picture, rng: np.random.Generator, _: Corner) -> tuple[Picture, Picture]:
        pair = rainy[int(rng.integers(len(rainy)))]
        missing = [max(0, need - has) for need, has in zip(clean.shape[:2], pair.clean.shape[:2], strict=True)]
        shape = clean.shape[0] - missing[0], clean.shape[1] - missing[1]
        box, _ = random_box(pair.clean, shape, rng)
        # Streaks are grey; where the photo below is near white they are cut short in all channels but the darkest.
        layer = (pair.degraded[box].astype(np.int16) - pair.clean[box]).max(axis=2, keepdims=True)
        # A sample that is shrunk afterwards may be larger than the rain: the rain goes on mirrored.
        layer = np.pad(layer, ((0, missing[0]), (0, missing[1]), (0, 0)), "symmetric")
        if rng.random() < 0.5:
            layer = layer[:, ::-1]
        strength = rng.uniform(0.6, 1.2)
        return (clean + np.maximum(layer, 0) * strength).clip(0, 255).round().astype(np.uint8), clean

    return degrade
