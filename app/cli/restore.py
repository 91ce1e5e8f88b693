"""`dmsr restore`: pictures and folders of pictures, without the service."""

from collections.abc import Iterator
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from app.cli.failure import fail

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

    from model.restorer import Restorer

WRITTEN = (".png", ".jpg", ".jpeg", ".webp", ".tif", ".tiff")
READ = (*WRITTEN, ".bmp", ".avif")


class Tiling(StrEnum):
    """How a picture is cut."""

    blend = "blend"
    reference = "reference"


class Precision(StrEnum):
    """What the network computes in."""

    auto = "auto"
    fp32 = "fp32"


def restore(
    paths: Annotated[list[Path], typer.Argument(help="Pictures, or folders of them.", metavar="PATH...")],
    out: Annotated[Path, typer.Option("--out", "-o", help="A file for one picture, a folder for more.")],
    task: Annotated[str, typer.Option(help="derain or dehaze.")] = "derain",
    tiling: Annotated[Tiling, typer.Option(help="blend: no seams; reference: the authors' protocol.")] = Tiling.blend,
    precision: Annotated[Precision, typer.Option(help="auto: the device's fast one.")] = Precision.auto,
    weights: Annotated[Path | None, typer.Option(help="Weights file; default: the manifest's choice.")] = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:N.")] = "auto",
) -> None:
    """Restore pictures; the suffix of --out is the format; in a folder each keeps its own, BMP and AVIF become PNG."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    console = Console(stderr=True)
    pairs = list(_pairs(paths, out))
    if not pairs:
        fail(f"there are no pictures in {', '.join(map(str, paths))}; read are {', '.join(READ)}")
    restorer = _load(task, weights, device, tiling, precision)
    failures: list[tuple[Path, str]] = []
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True) as progress:
        pictures = progress.add_task("pictures", total=len(pairs))
        tiles = progress.add_task("tiles", total=None)
        for source, target in pairs:
            if reason := _restore_one(restorer, source, target, progress, tiles):
                failures.append((source, reason))
            progress.advance(pictures)
    for source, reason in failures:
        console.print(f"[red]{source}[/red]: {reason}", highlight=False, soft_wrap=True)
    console.print(f"{len(pairs) - len(failures)} of {len(pairs)} pictures restored", highlight=False)
    if failures:
        raise typer.Exit(1)


def _pairs(paths: list[Path], out: Path) -> Iterator[tuple[Path, Path]]:
    """Match each picture with where its result goes; a folder keeps its tree."""
    if len(paths) == 1 and not paths[0].is_dir() and not out.is_dir() and out.suffix:
        yield paths[0], out
        return
    for path in paths:
        files = sorted(path.rglob("*")) if path.is_dir() else [path]
        for file in files:
            if file is path or (file.suffix.lower() in READ and file.is_file()):
                target = out / (file.name if file is path else file.relative_to(path))
                yield file, target if target.suffix.lower() in WRITTEN else target.with_suffix(".png")


def _load(task: str, weights: Path | None, device: str, tiling: str, precision: str) -> "Restorer":
    from model.catalog import Catalog
    from model.checkpoint import WeightsError
    from model.restorer import Restorer
    from model.runner import resolve_device

    try:
        sha256 = None
        if weights is None:
            catalog = Catalog.load()
            entry = catalog.default(task, resolve_device(device).type)
            if entry is None:
                fail(f"there are no weights for {task!r}; --weights names a file")
            weights, sha256 = catalog.path(entry), entry.sha256
        return Restorer.load(weights, device, tiling, precision, sha256)
    except (WeightsError, ValueError) as error:
        fail(str(error))


def _restore_one(restorer: "Restorer", source: Path, target: Path, progress: "Progress", tiles: "TaskID") -> str | None:
    """Restore one file and return the reason if that failed."""
    from app.errors import DmsrError
    from app.imaging.decode import decode
    from app.imaging.encode import OUT_FORMATS, check_format, encode
    from app.imaging.picture import ImageLimits
    from app.imaging.probe import probe
    from model.checkpoint import write_atomically

    suffix = target.suffix.lower()
    format = next((name for name, out in OUT_FORMATS.items() if suffix in out.suffixes), None)
    if format is None:
        return f"{suffix or 'no suffix'} cannot be written; --out takes {', '.join(WRITTEN)}"
    try:
        data = source.read_bytes()
        # A person's own files on their own machine: no limit but memory.
        header = probe(data, ImageLimits(max_pixels=2**40, max_side=2**31))
        check_format(header, format)
        picture = decode(data, header)
        restored = restorer.restore(
            picture.rgb, lambda done, total: progress.update(tiles, completed=done, total=total)
        )
        write_atomically(target, encode(picture, restored, format))
    except DmsrError as error:
        return error.detail
    except (OSError, ArithmeticError) as error:
        return str(error)
    return None
