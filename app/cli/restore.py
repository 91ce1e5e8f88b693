"""`dmsr restore`: pictures and folders of pictures, without the service."""

import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from app.cli.failure import fail
from app.cli.restorer import load_restorer

if TYPE_CHECKING:
    from rich.console import Console

    from model.inference.restorer import Restorer

WRITTEN = (".png", ".jpg", ".jpeg", ".webp", ".tif", ".tiff")
READ = (*WRITTEN, ".bmp", ".avif")
STREAM = Path("-")


class Tiling(StrEnum):
    """How a picture is cut."""

    blend = "blend"
    reference = "reference"


class Precision(StrEnum):
    """What the network computes in."""

    auto = "auto"
    fp32 = "fp32"


@dataclass
class Tally:
    """Count what became of the pictures."""

    restored: int = 0
    skipped: int = 0
    failed: list[tuple[Path, str]] = field(default_factory=list)
    pixels: int = 0
    seconds: float = 0.0


def restore(
    paths: Annotated[list[Path], typer.Argument(help="Pictures, or folders of them; - is stdin.", metavar="PATH...")],
    out: Annotated[Path, typer.Option("--out", "-o", help="A file for one picture, a folder for more; - is stdout.")],
    task: Annotated[str, typer.Option(help="derain or dehaze.")] = "derain",
    resume: Annotated[bool, typer.Option("--resume", help="Leave out pictures whose result is there.")] = False,
    tiling: Annotated[Tiling, typer.Option(help="blend: no seams; reference: the authors' protocol.")] = Tiling.blend,
    precision: Annotated[Precision, typer.Option(help="auto: the device's fast one.")] = Precision.auto,
    weights: Annotated[Path | None, typer.Option(help="Weights file; default: the manifest's choice.")] = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:N.")] = "auto",
) -> None:
    """Restore pictures; the suffix of --out is the format.

    In a folder each picture keeps its format, BMP and AVIF become PNG; stdout is PNG.
    """
    from rich.console import Console

    console = Console(stderr=True, highlight=False, soft_wrap=True)
    pairs = list(_pairs(paths, out))
    if not pairs:
        fail(f"there are no pictures in {', '.join(map(str, paths))}; read are {', '.join(READ)}")
    tally = Tally()
    if resume:
        due = [(source, target) for source, target in pairs if not target.is_file()]
        tally.skipped, pairs = len(pairs) - len(due), due
    if pairs:
        _restore_all(load_restorer(task, weights, device, tiling, precision), pairs, tally, console)
    _summarise(tally, console)
    if tally.failed:
        raise typer.Exit(1)


def _pairs(paths: list[Path], out: Path) -> Iterator[tuple[Path, Path]]:
    """Match each picture with where its result goes; a folder keeps its tree."""
    if STREAM in (*paths, out) and len(paths) > 1:
        fail("- stands for one picture; give one PATH with it")
    if len(paths) == 1 and not paths[0].is_dir() and not out.is_dir() and (out.suffix or STREAM in (paths[0], out)):
        yield paths[0], out
        return
    for path in paths:
        files = sorted(path.rglob("*")) if path.is_dir() else [path]
        for file in files:
            if file is path or (file.suffix.lower() in READ and file.is_file()):
                target = out / (file.name if file is path else file.relative_to(path))
                yield file, target if target.suffix.lower() in WRITTEN else target.with_suffix(".png")


def _restore_all(restorer: "Restorer", pairs: list[tuple[Path, Path]], tally: Tally, console: "Console") -> None:
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    from app.errors import DmsrError

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True) as progress:
        pictures = progress.add_task("pictures", total=len(pairs))
        tiles = progress.add_task("tiles", total=None)
        for source, target in pairs:
            start = time.perf_counter()
            try:
                tally.pixels += _restore_one(
                    restorer, source, target, lambda done, total: progress.update(tiles, completed=done, total=total)
                )
            except DmsrError as error:
                tally.failed.append((source, error.detail))
            except (OSError, ArithmeticError) as error:
                tally.failed.append((source, str(error)))
            else:
                tally.restored += 1
                tally.seconds += time.perf_counter() - start
            progress.advance(pictures)


def _restore_one(restorer: "Restorer", source: Path, target: Path, report: Callable[[int, int], None]) -> int:
    """Restore one file and return its number of pixels; raises DmsrError, OSError or NonFiniteTiles."""
    from app.errors import NotAcceptable
    from app.imaging.decode import decode
    from app.imaging.encode import OUT_FORMATS, check_format, encode
    from app.imaging.picture import ImageLimits
    from app.imaging.probe import probe
    from model.checkpoints.checkpoint import write_atomically

    suffix = ".png" if target == STREAM else target.suffix.lower()
    format = next((name for name, out in OUT_FORMATS.items() if suffix in out.suffixes), None)
    if format is None:
        raise NotAcceptable(f"{suffix or 'no suffix'} cannot be written; --out takes {', '.join(WRITTEN)}")
    data = sys.stdin.buffer.read() if source == STREAM else source.read_bytes()
    # A person's own files on their own machine: no limit but memory.
    header = probe(data, ImageLimits(max_pixels=2**40, max_side=2**31))
    check_format(header, format)
    picture = decode(data, header)
    result = encode(picture, restorer.restore(picture.rgb, report), format)
    if target == STREAM:
        sys.stdout.buffer.write(result)
    else:
        write_atomically(target, result)
    return header.pixels


def _summarise(tally: Tally, console: "Console") -> None:
    from rich.table import Table

    for source, reason in tally.failed:
        console.print(f"[red]{source}[/red]: {reason}")
    table = Table("restored", "skipped", "failed", "megapixels", "seconds", "seconds a megapixel")
    megapixels = tally.pixels / 1e6
    table.add_row(
        str(tally.restored),
        str(tally.skipped),
        str(len(tally.failed)),
        f"{megapixels:.2f}",
        f"{tally.seconds:.1f}",
        f"{tally.seconds / megapixels:.1f}" if megapixels else "–",
    )
    console.print(table)
