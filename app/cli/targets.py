"""Where each result goes: all of it is known, and found free, before a picture is read or a file written.

Knows names and nothing of what is in the files.
"""

import os
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

STREAM = Path("-")

# By suffix, the format a result has; the tests hold it against app.imaging, whose import takes a second.
WRITTEN = {
    ".png": "png",
    ".jpg": "jpeg",
    ".jpeg": "jpeg",
    ".jpe": "jpeg",
    ".jfif": "jpeg",
    ".webp": "webp",
    ".tif": "tiff",
    ".tiff": "tiff",
}
READ = (*WRITTEN, ".avif", ".bmp", ".dib", ".gif", ".heic", ".heif", ".hif", ".jxl", ".mpo")
_SUFFIXES = {"png": ".png", "jpeg": ".jpg", "webp": ".webp", "tiff": ".tif"}
_NAMED = 3
_CLOCK_STEP_SECONDS = 2


class TargetError(ValueError):
    """Results that cannot go where they should; the message names the files and the remedy."""


@dataclass(frozen=True)
class Plan:
    """List what will be done: (source, target) pairs, results that are there already, files passed over.

    doubtful: pairs whose target is there, but has another time than a result of that source has.
    """

    pairs: list[tuple[Path, Path]] = field(default_factory=list)
    done: list[Path] = field(default_factory=list)
    doubtful: list[tuple[Path, Path]] = field(default_factory=list)
    passed_over: list[Path] = field(default_factory=list)


def plan(paths: list[Path], out: Path, format: str | None, *, overwrite: bool = False, resume: bool = False) -> Plan:
    """Match each picture with its target; raises TargetError before anything can be lost.

    format: that of every result; None keeps each picture's own, and makes PNG of those that are only read.
    """
    if STREAM in (*paths, out) and len(paths) > 1:
        raise TargetError("- stands for one picture; give one PATH with it")
    missing = [path for path in paths if path != STREAM and not os.path.lexists(path)]
    if len(missing) == len(paths):
        raise TargetError(f"there is no {_names(missing, 'or')}")
    passed_over: list[Path] = []
    if len(paths) == 1 and not paths[0].is_dir() and _is_one_file(paths[0], out, format):
        _check_suffix(out, format)
        pairs = [(paths[0], out)]
    else:
        if os.path.lexists(out) and not out.is_dir():
            what = "a file" if out.exists() else "a link to nothing"
            raise TargetError(f"{shown(out)} is {what}; the results need a folder")
        if not out.exists() and out.suffix.lower() in WRITTEN:
            raise TargetError(f"{shown(out)} names one picture; the results of several need a folder")
        pairs = _distinct([(source, out / name) for source, name in _find(paths, out, passed_over)], format)
        _check_folders({target.parent for _, target in pairs}, out)
    pairs = _without_replaced_links(_without_clashes(pairs), passed_over)
    there = _check_free(pairs, overwrite, resume) if out != STREAM else set()
    plan = Plan([pair for pair in pairs if pair[1] not in there], passed_over=passed_over)
    for source, target in pairs:
        if target in there and _is_result(source, target):
            plan.done.append(target)
        elif target in there:
            plan.doubtful.append((source, target))
    return plan


def check_targets(pairs: list[tuple[Path, Path]], overwrite: bool) -> None:
    """Raise TargetError for two sources of one target, and for a target that is there or an original."""
    _without_clashes(pairs)
    _check_free(pairs, overwrite, resume=False, remedy="--overwrite replaces such files")


def shown(path: Path | str) -> str:
    """Return a name as it may be printed: what would move the cursor, hide or reverse text is escaped."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in str(path))


def listed(paths: Iterable[Path]) -> str:
    """Name a few files, and how many more there are."""
    return _names(list(paths), "and")


def _is_one_file(source: Path, out: Path, format: str | None) -> bool:
    if STREAM in (source, out):
        return not out.is_dir() or source == STREAM
    return not out.is_dir() and bool(out.suffix)


def _check_suffix(out: Path, format: str | None) -> None:
    """Refuse a file name that says another format than will be written."""
    if out == STREAM:
        return
    if out.is_dir():
        raise TargetError(f"{shown(out)} is a folder; a picture from stdin needs a file's name")
    named = WRITTEN.get(out.suffix.lower())
    if format is None and named is None:
        what = f"{shown(out.suffix)} cannot be written" if out.suffix else f"{shown(out)} has no suffix to say a format"
        raise TargetError(f"{what}; --out takes {', '.join(WRITTEN)}, or a folder that is there")
    if format is not None and named not in (None, format):
        raise TargetError(f"{shown(out)} says {named} and --format says {format}; change one of them")


def _find(paths: list[Path], out: Path, passed_over: list[Path]) -> Iterator[tuple[Path, Path]]:
    """Yield each picture with its name below the output folder; a folder keeps its tree.

    What lies in the output folder, if that is inside an input folder, are results. A link that leads out of its folder
    is passed over: whoever made the folder need not be who names it here.
    """
    results = os.path.realpath(out)

    def unreadable(error: OSError) -> None:
        passed_over.append(Path(error.filename))

    for path in paths:
        if not path.is_dir():
            yield path, Path(path.name)
            continue
        root = os.path.realpath(path)
        nested = _inside(results, root)
        for folder, folders, names in os.walk(path, onerror=unreadable):
            if nested:
                folders[:] = [name for name in folders if os.path.realpath(os.path.join(folder, name)) != results]
            links = [name for name in folders if os.path.islink(os.path.join(folder, name))]
            passed_over += [Path(folder, name) for name in links]
            folders.sort()
            for name in sorted(names):
                file = Path(folder, name)
                # macOS keeps a file's further data beside it on foreign disks, under its name after "._".
                foreign = file.is_symlink() and not _inside(os.path.realpath(file), root)
                if file.suffix.lower() in READ and not name.startswith("._") and file.is_file() and not foreign:
                    yield file, file.relative_to(path)
                else:
                    passed_over.append(file)


def _check_folders(folders: set[Path], out: Path) -> None:
    """Refuse to write through a link below the output folder, which itself may be one."""
    for folder in folders:
        for step in (folder, *folder.parents):
            if step == out:
                break
            if step.is_symlink():
                raise TargetError(f"{shown(step)} is a link; results are not written through links below --out")


def _inside(inner: str, outer: str) -> bool:
    return inner != outer and os.path.commonpath((inner, outer)) == outer


def _distinct(pairs: list[tuple[Path, Path]], format: str | None) -> list[tuple[Path, Path]]:
    """Give each target the suffix of its format; where two would then be one, the changed ones keep the old suffix.

    photo.png and photo.bmp become photo.png and photo.bmp.png.
    """
    wanted = [(source, target, _with_suffix(target, format)) for source, target in pairs]
    # Some disks do not tell capitals apart.
    count = Counter(_key(final).casefold() for _, _, final in set(wanted))

    def apart(target: Path, final: Path) -> Path:
        alone = count[_key(final).casefold()] == 1
        return final if alone or final == target else target.with_name(target.name + final.suffix)

    return [(source, apart(target, final)) for source, target, final in wanted]


def _with_suffix(target: Path, format: str | None) -> Path:
    own = WRITTEN.get(target.suffix.lower())
    if own and format in (None, own):
        return target
    suffix = _SUFFIXES[format or "png"]
    return target.with_suffix(suffix) if target.suffix.lower() in READ else target.with_name(target.name + suffix)


def _key(target: Path) -> str:
    """Return one text for all ways to write the place of a file that may not be there yet."""
    return os.path.normcase(os.path.join(os.path.realpath(target.parent), target.name))


def _without_clashes(pairs: list[tuple[Path, Path]]) -> list[tuple[Path, Path]]:
    """Return the pairs without repetitions, by whatever links and names; raise TargetError for two of one target."""
    kept: dict[str, tuple[Path, Path]] = {}
    for source, target in pairs:
        other, _ = kept.setdefault(_key(target), (source, target))
        if identity(other) != identity(source):
            raise TargetError(
                f"{shown(other)} and {shown(source)} would both become {shown(target)}; "
                "restore them into folders of their own"
            )
    return list(kept.values())


def _without_replaced_links(pairs: list[tuple[Path, Path]], passed_over: list[Path]) -> list[tuple[Path, Path]]:
    """Leave out links to pictures that are replaced by their results: else those would be restored once more."""
    replaced = {_key(target) for _, target in pairs}
    links = [source for source, _ in pairs if source.is_symlink() and os.path.realpath(source) in replaced]
    passed_over += links
    return [pair for pair in pairs if pair[0] not in links]


def _is_result(source: Path, target: Path) -> bool:
    """Tell whether a file has the time that a result of a source has; some disks count in steps of two seconds."""
    if not source.exists():
        return True
    return abs(source.stat().st_mtime - target.stat().st_mtime) <= _CLOCK_STEP_SECONDS


def _check_free(
    pairs: list[tuple[Path, Path]],
    overwrite: bool,
    resume: bool,
    remedy: str = "--resume leaves such results, --overwrite replaces them",
) -> set[Path]:
    """Return the targets that --resume leaves as they are; raise TargetError for any other that is there."""
    originals = {identity(source) for source, _ in pairs}
    there = [(source, target) for source, target in pairs if os.path.lexists(target)]
    for source, target in there:
        if target.is_dir():
            raise TargetError(f"{shown(target)} is a folder; the result of {shown(source)} cannot take its place")
        original = identity(target) in originals
        if original and not overwrite:
            raise TargetError(
                f"{shown(target)} is an original; choose another --out, or let --overwrite replace it by its result"
            )
        if original and identity(source) != identity(target):
            raise TargetError(f"the result of {shown(source)} would replace {shown(target)}, another original")
    if there and not overwrite and not resume:
        are = "is" if len(there) == 1 else "are"
        raise TargetError(f"{listed(target for _, target in there)} {are} there already; {remedy}")
    if resume and not overwrite and (dangling := [target for _, target in there if not target.exists()]):
        raise TargetError(f"{listed(dangling)}: a link to nothing, which is no result; remove it")
    return {target for _, target in there} if resume and not overwrite else set()


def identity(path: Path) -> tuple[int, int] | Path:
    """Return what is the same for all names of one file; the name itself where there is no file."""
    try:
        status = path.stat()
    except OSError:
        return path
    return status.st_dev, status.st_ino


def _names(paths: list[Path], conjunction: str) -> str:
    named = [shown(path) for path in paths[:_NAMED]]
    if len(paths) > _NAMED:
        return f"{', '.join(named)} and {len(paths) - _NAMED} more"
    return f" {conjunction} ".join([", ".join(named[:-1]), named[-1]] if named[1:] else named)
