"""Pictures on disk as pairs of a degraded and a clean one.

Knows nothing of the network: uint8 RGB arrays out. Everything is decoded once and stays in memory.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from model.data.picture import Picture, read_picture

SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff"})

SEAM = 8
"""Columns at the middle of a side-by-side JPEG whose 8×8 blocks mix both halves."""


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


def list_pictures(folder: Path, take: str = "all") -> list[Path]:
    """List a folder's pictures by name; take "2/5" selects the second of every five, "-2/5" all but those.

    Raises DatasetError if none is left, ValueError for another form of take.
    """
    paths = taken(pictures_in(folder), take)
    if not paths:
        raise DatasetError(f"{folder} holds no pictures")
    return paths


def pictures_in(folder: Path) -> list[Path]:
    """List a folder's pictures by name; there may be none."""
    return sorted(path for path in Path(folder).glob("*") if path.suffix.lower() in SUFFIXES)


def taken(paths: list[Path], take: str) -> list[Path]:
    """Select as `list_pictures` does; raises ValueError for another form of take."""
    if take == "all":
        return paths
    place, _, count = take.removeprefix("-").partition("/")
    if not (place.isdecimal() and count.isdecimal() and 1 <= int(place) <= int(count)):
        raise ValueError(f"take is {take!r}; it must be all, K/N or -K/N with 1 ≤ K ≤ N")
    chosen = [index % int(count) == int(place) - 1 for index in range(len(paths))]
    return [path for path, inside in zip(paths, chosen, strict=True) if inside != take.startswith("-")]


def load_side_by_side(folder: Path, take: str = "all") -> list[Pair]:
    """Read pictures whose left half is clean and whose right half is degraded (Rain800), without the seam."""
    return load_all(list_pictures(folder, take), load_halves)


def load_halves(path: Path) -> Pair:
    """Read one picture whose left half is clean and whose right half is degraded, without the seam."""
    both = read_picture(path)
    half = both.shape[1] // 2
    if half <= 2 * SEAM:
        raise ValueError("is too narrow to hold two pictures")
    return Pair(path.stem, both[:, half + SEAM : 2 * half - SEAM], both[:, SEAM : half - SEAM])


def load_clean(folder: Path, take: str = "all", exclude: Iterable[str] = ()) -> list[Pair]:
    """Read clean photos as pairs of a picture and itself, but for those whose name without suffix is in exclude."""
    unwanted = frozenset(exclude)

    def load(path: Path) -> Pair:
        picture = read_picture(path)
        return Pair(path.stem, picture, picture)

    return load_all([path for path in list_pictures(folder, take) if path.stem not in unwanted], load)


def load_all(paths: list[Path], load: Callable[[Path], Pair]) -> list[Pair]:
    """Read pictures; raises DatasetError naming every one that cannot be used, with the reason."""
    pairs, failures = [], []
    for path in paths:
        try:
            pairs.append(load(path))
        except (OSError, ValueError, Image.DecompressionBombError) as error:
            failures.append(f"{path}: {error}")
    if failures:
        raise DatasetError(f"{len(failures)} of {len(paths)} pictures cannot be used:\n" + "\n".join(failures))
    return pairs
