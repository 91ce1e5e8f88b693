"""A recipe's pictures in one file of at most so many megabytes, to train where the data folder is not.

All validation pictures go in, and of the training pictures as many as there is room for, in the proportion of their
sources' shares. No training picture is one that any of the recipe's sources leaves out, so that what is held out stays
so. `unpacked` gives the recipe and the folder that a training from the pack takes.
"""

import argparse
import io
import json
import sys
import tarfile
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from model.data.datasets import DatasetError, list_pictures
from model.data.sources import PAIRED, SourceSpec
from model.training.recipe import Recipe

CONTENTS = "contents.json"
Sample = tuple[Path, ...]
"""The files of one sample: a photo, or input and target of a pair."""


def samples(kind: str, folder: Path, take: str, exclude: Sequence[str] = ()) -> list[Sample]:
    """List what a source reads of a folder, as model.data.datasets does."""
    if kind != "pairs":
        return [(path,) for path in list_pictures(folder, take) if path.stem not in exclude]
    targets = {path.stem: path for path in list_pictures(folder / "target")}
    return [(path, targets[path.stem]) for path in list_pictures(folder / "input", take)]


def wanted(recipe: Recipe, data: Path) -> dict[str, tuple[float, list[Sample]]]:
    """Return each training folder's share and the samples that every source which names it would take."""
    found: dict[str, tuple[float, list[Sample]]] = {}
    for spec in recipe.sources:
        kind = spec.kind if spec.kind in PAIRED else "clean"
        folders = [(path, kind, spec.take, spec.exclude) for path in spec.path]
        folders += [(path, "pairs", spec.layers_take, ()) for path in spec.layers]
        for path, its_kind, take, exclude in folders:
            here = samples(its_kind, data / path, take, exclude)
            share, there = found.get(path, (0.0, here))
            found[path] = share + spec.share / len(folders), [sample for sample in there if sample in here]
    return found


def spread(items: Sequence[Sample]) -> Iterator[Sample]:
    """Go through a list so that every beginning of the way is spread evenly over it."""
    taken: set[int] = set()
    parts = 1
    while len(taken) < len(items):
        for part in range(parts):
            if (index := part * len(items) // parts) not in taken:
                taken.add(index)
                yield items[index]
        parts *= 2


def choose(folders: dict[str, tuple[float, list[Sample]]], room: int) -> dict[str, list[Sample]]:
    """Fill the room, in bytes, folder by folder; the next sample always goes to the one furthest below its share."""
    ways = {path: spread(there) for path, (_, there) in folders.items()}
    chosen: dict[str, list[Sample]] = {path: [] for path in folders}
    sizes = dict.fromkeys(folders, 0)
    while ways:
        path = min(ways, key=lambda each: sizes[each] / max(folders[each][0], 1e-9))
        sample = next(ways[path], None)
        size = sum(file.stat().st_size for file in sample or ())
        if sample is None or size > room:
            del ways[path]
            continue
        room -= size
        sizes[path] += size
        chosen[path].append(sample)
    return chosen


def write_pack(recipe_path: Path, data: Path, target: Path, megabytes: float) -> dict[str, int]:
    """Write a pack and return how many samples each folder gave; raises DatasetError if the room is too small."""
    recipe = Recipe.load(recipe_path)
    files: dict[str, Path] = {}
    for index, spec in enumerate(recipe.validations):
        if spec.path:
            kind = spec.kind if spec.kind in PAIRED else "clean"
            for sample in samples(kind, data / spec.path, spec.take):
                files |= {f"validation/{index}/{file.relative_to(data / spec.path)}": file for file in sample}
    room = int(megabytes * 1e6) - sum(_stored(file.stat().st_size) for file in files.values()) - 100_000
    folders = wanted(recipe, data)
    most_files = sum(len(there) * len(there[0]) for _, there in folders.values() if there)
    chosen = choose(folders, room - most_files * _stored(0))
    if empty := [path for path, those in chosen.items() if not those]:
        raise DatasetError(f"{megabytes:g} MB have no room for training pictures of {', '.join(empty)}")
    files |= {
        f"train/{file.relative_to(data)}": file for those in chosen.values() for sample in those for file in sample
    }
    contents = {"recipe": recipe_path.read_text(encoding="utf-8")}
    with tarfile.open(target, "w") as pack:
        data_of_contents = json.dumps(contents).encode()
        header = tarfile.TarInfo(CONTENTS)
        header.size = len(data_of_contents)
        pack.addfile(header, io.BytesIO(data_of_contents))
        for name, file in sorted(files.items()):
            pack.add(file, name)
    return {path: len(those) for path, those in chosen.items()}


def _stored(size: int) -> int:
    """Return what a file of so many bytes takes in a tar file: a header, and blocks of 512."""
    return 512 + -(-size // 512) * 512


def unpacked(pack: Path, folder: Path) -> Recipe:
    """Unpack into a folder and return the recipe as it reads from there."""
    with tarfile.open(pack) as archive:
        archive.extractall(folder, filter="data")
    table = folder / "recipe.toml"
    table.write_text(json.loads((folder / CONTENTS).read_text(encoding="utf-8"))["recipe"], encoding="utf-8")
    recipe = Recipe.load(table)

    def here(spec: SourceSpec) -> SourceSpec:
        paths, layers = (tuple(f"train/{path}" for path in each) for each in (spec.path, spec.layers))
        return replace(spec, path=paths, layers=layers, take="all", layers_take="all")

    validations = tuple(
        replace(spec, path=f"validation/{index}", take="all") if spec.path else spec
        for index, spec in enumerate(recipe.validations)
    )
    return replace(recipe, sources=tuple(map(here, recipe.sources)), validations=validations)


def main() -> None:
    """Write a pack and say what is in it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument("recipe", type=Path)
    parser.add_argument("--data", type=Path, required=True, help="the folder that the recipe's paths start from")
    parser.add_argument("--to", type=Path, default=Path("pack.tar"))
    parser.add_argument("--megabytes", type=float, default=50)
    options = parser.parse_args()
    try:
        counts = write_pack(options.recipe, options.data, options.to, options.megabytes)
    except DatasetError as error:
        sys.exit(str(error))
    size = options.to.stat().st_size / 1e6
    print(json.dumps({"file": str(options.to), "megabytes": round(size, 2), "samples": counts}, indent=2))  # noqa: T201


if __name__ == "__main__":
    main()
