"""Pictures on disk as pairs, and the mixture of sources that training samples are drawn from.

Knows nothing of the network: uint8 RGB arrays out. Everything is decoded once and stays in memory.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from model.data.degradation import Picture

SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff"})

SEAM = 8
"""Columns at the middle of a side-by-side JPEG whose 8×8 blocks mix both halves."""

Corner = tuple[float, float, float, float]
"""Where a crop lies in its picture: top, bottom, left, right as parts of its sides."""

Degrade = Callable[[Picture, np.random.Generator, Corner], tuple[Picture, Picture]]
"""Turn a clean crop into (degraded, clean); the clean one may have changed, too."""


class DatasetError(ValueError):
    """Pictures that are missing, unreadable or do not match; the message names every one of them."""


@dataclass(frozen=True)
class Pair:
    """Hold one picture twice: degraded and clean, uint8 (H, W, 3) of one shape."""

    name: str
    degraded: Picture
    clean: Picture

    def __post_init__(self) -> None:
        if self.degraded.shape != self.clean.shape:
            raise ValueError(f"input is {self.degraded.shape[:2]}, target is {self.clean.shape[:2]}")


@dataclass(frozen=True)
class Source:
    """Offer pairs to the mixture, drawn with a chance proportional to share; degrade makes them on the fly.

    shrink: the chance that a sample shows more of its picture than a crop of it, made smaller; up to all of it.
    """

    name: str
    share: float
    pairs: Sequence[Pair]
    degrade: Degrade | None = None
    shrink: float = 0.0


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
        pair = source.pairs[rng.integers(len(source.pairs))]
        shape = (size, size)
        if source.shrink and rng.random() < source.shrink:
            part = min(1.0, rng.uniform(0, 2))  # of the way from a crop to the picture; half are all of it
            shape = tuple(round(size * (side / size) ** part) for side in pair.clean.shape[:2])
        box, place = random_box(pair.clean, shape, rng)
        degraded, clean = _squeeze(pair.degraded[box], size), _squeeze(pair.clean[box], size)
        if source.degrade is not None:
            degraded, clean = source.degrade(clean, rng, place)
        step = -1 if rng.random() < 0.5 else 1
        return degraded[:, ::step], clean[:, ::step]

    def batch(self, step: int, count: int, size: int) -> tuple[Picture, Picture]:
        """Draw a batch: two uint8 arrays (count, size, size, 3)."""
        degraded, clean = zip(*(self.sample(step, index, size) for index in range(count)), strict=True)
        return np.stack(degraded), np.stack(clean)


def random_box(
    picture: Picture, shape: tuple[int, int], rng: np.random.Generator
) -> tuple[tuple[slice, slice], Corner]:
    """Choose a crop of (height, width) pixels of a picture at least that large, and tell where it lies."""
    (height, width), (rows, columns) = picture.shape[:2], shape
    top, left = int(rng.integers(height - rows + 1)), int(rng.integers(width - columns + 1))
    place = (top / height, (top + rows) / height, left / width, (left + columns) / width)
    return (slice(top, top + rows), slice(left, left + columns)), place


def _squeeze(picture: Picture, size: int) -> Picture:
    """Interpolate, unlike tiling.shrink: pieces are often less than twice a crop, where shares are uneven."""
    if picture.shape[:2] == (size, size):
        return picture
    return np.asarray(Image.fromarray(picture).resize((size, size), Image.Resampling.BILINEAR))


def read_picture(path: Path) -> Picture:
    """Decode a file as RGB, uint8 (H, W, 3)."""
    with Image.open(path) as image:
        return np.asarray(image.convert("RGB"))


def write_picture(path: Path, picture: Picture) -> None:
    """Encode RGB, uint8 (H, W, 3), as a file whose suffix is the format."""
    Image.fromarray(picture).save(path)


def list_pictures(folder: Path, take: str = "all") -> list[Path]:
    """List a folder's pictures by name; take "2/5" selects the second of every five, "-2/5" all but those.

    Raises DatasetError if none is left, ValueError for another form of take.
    """
    paths = sorted(path for path in Path(folder).glob("*") if path.suffix.lower() in SUFFIXES)
    if take != "all":
        place, _, count = take.removeprefix("-").partition("/")
        if not (place.isdecimal() and count.isdecimal() and 1 <= int(place) <= int(count)):
            raise ValueError(f"take is {take!r}; it must be all, K/N or -K/N with 1 ≤ K ≤ N")
        chosen = [index % int(count) == int(place) - 1 for index in range(len(paths))]
        paths = [path for path, inside in zip(paths, chosen, strict=True) if inside != take.startswith("-")]
    if not paths:
        raise DatasetError(f"{folder} holds no pictures")
    return paths


def load_pairs(folder: Path, take: str = "all", min_side: int = 1) -> list[Pair]:
    """Read `input/` and `target/`, matched by file name without suffix; min_side in pixels, for those who crop."""
    targets = {path.stem: path for path in list_pictures(Path(folder) / "target")}

    def load(path: Path) -> Pair:
        if path.stem not in targets:
            raise ValueError("has no target")
        return Pair(path.stem, read_picture(path), read_picture(targets[path.stem]))

    return _load_all(list_pictures(Path(folder) / "input", take), load, min_side)


def load_side_by_side(folder: Path, take: str = "all", min_side: int = 1) -> list[Pair]:
    """Read pictures whose left half is clean and whose right half is degraded (Rain800), without the seam."""

    def load(path: Path) -> Pair:
        both = read_picture(path)
        half = both.shape[1] // 2
        return Pair(path.stem, both[:, half + SEAM : 2 * half - SEAM], both[:, SEAM : half - SEAM])

    return _load_all(list_pictures(folder, take), load, min_side)


def load_clean(folder: Path, take: str = "all", min_side: int = 1, exclude: Iterable[str] = ()) -> list[Pair]:
    """Read clean photos as pairs of a picture and itself, but for those whose name without suffix is in exclude."""
    unwanted = frozenset(exclude)

    def load(path: Path) -> Pair:
        picture = read_picture(path)
        return Pair(path.stem, picture, picture)

    return _load_all([path for path in list_pictures(folder, take) if path.stem not in unwanted], load, min_side)


def _load_all(paths: list[Path], load: Callable[[Path], Pair], min_side: int) -> list[Pair]:
    pairs, failures = [], []
    for path in paths:
        try:
            pair = load(path)
            if min(pair.clean.shape[:2]) < min_side:
                raise ValueError(f"has a side under {min_side} pixels")
            pairs.append(pair)
        except (OSError, ValueError, Image.DecompressionBombError) as error:
            failures.append(f"{path}: {error}")
    if failures:
        raise DatasetError(f"{len(failures)} of {len(paths)} pictures cannot be used:\n" + "\n".join(failures))
    return pairs
