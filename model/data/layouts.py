"""Where a folder of pairs keeps its degraded and its clean pictures: the layouts in which the public sets come.

Knows nothing of the network or of recipes. Names of folders count whatever their capitals. A degraded picture's clean
one has its name; or `norain-1` for `rain-1` (Rain100); or `0001` for `0001_0.8_0.2`, `0001_hazy` or `0001_1` (RESIDE,
O-HAZE, Rain1400). A folder without such folders and names is taken for pictures side by side, if they are.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from model.data.datasets import DatasetError, Pair, list_pictures, load_all, load_halves, pictures_in, taken
from model.data.picture import read_picture

DEGRADED = ("input", "rainy", "rain", "hazy", "haze", "rainy_image", "degraded")
CLEAN = ("target", "norain", "gt", "ground_truth", "groundtruth", "clear", "clean")

_LEAST_LIKENESS = 0.6
"""Correlation of two halves that show one place: 0.78 at least in Rain800, and 0.2 in half of all photos."""


@dataclass(frozen=True)
class Layout:
    """Say where pairs lie, in words, and list them: degraded file → clean file, None where there is none.

    A picture of both side by side is a file with itself as clean one.
    """

    words: str
    files: Mapping[Path, Path | None]

    def __str__(self) -> str:
        """Name the layout."""
        return self.words

    def load(self, take: str = "all", min_side: int = 1) -> list[Pair]:
        """Read the pairs that `take` selects, by the degraded files' names; a smaller side in pixels is an error.

        Raises DatasetError naming every file that cannot be used.
        """

        def load(path: Path) -> Pair:
            clean = self.files[path]
            if clean is None:
                raise ValueError("has no target")
            pair = _side_by_side(path) if clean == path else Pair(path.stem, read_picture(path), read_picture(clean))
            if min(pair.clean.shape[:2]) < min_side:
                raise ValueError(f"has a side under {min_side} pixels")
            return pair

        chosen = taken(list(self.files), take)
        if not chosen:
            raise DatasetError(f"take {take} leaves none of {len(self.files)} pictures")
        return load_all(chosen, load)


def load_pairs(folder: Path, take: str = "all", min_side: int = 1) -> list[Pair]:
    """Read a folder of pairs in whatever layout it has; see Layout.load."""
    return find_layout(folder).load(take, min_side)


def find_layout(folder: Path) -> Layout:
    """Find out how a folder keeps its pairs; raises DatasetError naming what it holds instead."""
    folder = Path(folder)
    degraded, clean = _folder_of(folder, DEGRADED), _folder_of(folder, CLEAN)
    if degraded and clean:
        return _matched(f"{degraded.name}/ and {clean.name}/", list_pictures(degraded), list_pictures(clean))
    loose = pictures_in(folder)
    dry = [path for path in loose if path.stem.lower().startswith("norain")]
    if degraded and dry:
        return _matched(f"{degraded.name}/ and norain… beside it", list_pictures(degraded), dry)
    wet = [path for path in loose if path.stem.lower().startswith("rain")]
    if dry and wet:
        return _matched("rain… and norain… in one folder", wet, dry)
    if degraded or clean or not loose:
        found = f"{(degraded or clean).name}/ alone" if degraded or clean else "none of these"  # type: ignore[union-attr]
        raise DatasetError(
            f"{folder} holds {found}: pairs lie in two folders, one of {', '.join(DEGRADED)} and one of"
            f" {', '.join(CLEAN)}, or are named rain-1 and norain-1, or stand side by side in one picture"
        )
    return Layout("side by side, clean left and degraded right", {path: path for path in loose})


def _folder_of(folder: Path, names: Sequence[str]) -> Path | None:
    known = sorted(path for path in folder.glob("*/") if path.is_dir() and path.name.lower() in names)
    if len(known) > 1:
        raise DatasetError(f"{folder} holds {' and '.join(f'{path.name}/' for path in known)}: only one can be meant")
    return known[0] if known else None


def _matched(where: str, degraded: Sequence[Path], clean: Sequence[Path]) -> Layout:
    by_name = {path.stem.lower(): path for path in clean}
    # The clean pictures of O-HAZE end in a word of their own, such as 01_outdoor_GT.
    for name, path in tuple(by_name.items()):
        rest, _, word = name.rpartition("_")
        if word in CLEAN:
            by_name.setdefault(rest, path)
    files: dict[Path, Path | None] = {}
    rules: dict[str, None] = {}  # in the order in which they were first met
    for path in degraded:
        rule, name = next(((rule, name) for rule, name in _names(path.stem.lower()) if name in by_name), ("", ""))
        files[path] = by_name.get(name)
        if rule:
            rules[rule] = None
    return Layout(f"{where}, {' or '.join(rules) or 'no names that match'}", files)


def _names(degraded: str) -> Iterator[tuple[str, str]]:
    """Yield what the clean picture may be called, with the rule in words, the likeliest first."""
    yield "matched by name", degraded
    yield "rain-1 with norain-1", f"no{degraded}"
    shorter = degraded
    while "_" in shorter:
        shorter = shorter.rpartition("_")[0]
        yield "name_… with name", shorter


def _side_by_side(path: Path) -> Pair:
    pair = load_halves(path)
    degraded, clean = (half.mean(axis=2).ravel() for half in (pair.degraded, pair.clean))
    with np.errstate(invalid="ignore"):  # a half of one colour has no correlation
        likeness = np.corrcoef(degraded, clean)[0, 1]
    if not likeness >= _LEAST_LIKENESS:
        raise ValueError("is not a clean and a degraded picture side by side, and there is no folder of clean ones")
    return pair
