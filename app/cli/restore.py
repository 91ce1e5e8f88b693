"""`dmsr restore`: pictures and folders of pictures, without the service."""

import os
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from app.cli.failure import fail
from app.cli.restorer import load_restorer, parse_scale
from app.cli.targets import READ, STREAM, WRITTEN, Plan, TargetError, identity, listed, plan, shown

if TYPE_CHECKING:
    from rich.console import Console

    from model.inference.restorer import Restorer
    from model.inference.scales import Scale


class Task(StrEnum):
    """What is taken out."""

    derain = "derain"
    dehaze = "dehaze"


class Tiling(StrEnum):
    """How a picture is cut."""

    blend = "blend"
    reference = "reference"


class Precision(StrEnum):
    """What the network computes in."""

    auto = "auto"
    fp32 = "fp32"


class Format(StrEnum):
    """What a result is written as."""

    png = "png"
    jpeg = "jpeg"
    jpg = "jpg"
    webp = "webp"
    tiff = "tiff"
    tif = "tif"


class Metadata(StrEnum):
    """What becomes of the EXIF."""

    keep = "keep"
    stripped = "strip"  # a str has a method of the name strip


class Damaged(StrEnum):
    """What becomes of a picture of which a part is missing."""

    refuse = "refuse"
    accept = "accept"


@dataclass(frozen=True)
class Writing:
    """Say how pictures are restored and results written."""

    format: str | None = None
    quality: int | None = None
    metadata: Literal["keep", "strip"] = "keep"
    damaged: Literal["refuse", "accept"] = "refuse"
    overwrite: bool = False
    scale: "Scale" = "auto"
    strength: float = 1.0
    made: set[tuple[int, int] | Path] = field(default_factory=set)


@dataclass
class Tally:
    """Count what became of the pictures."""

    restored: int = 0
    failed: list[tuple[Path, str]] = field(default_factory=list)
    notes: list[tuple[Path, str]] = field(default_factory=list)
    pixels: int = 0
    seconds: float = 0.0


def restore(
    paths: Annotated[list[Path], typer.Argument(help="Pictures, or folders of them; - is stdin.", metavar="PATH...")],
    out: Annotated[
        Path,
        typer.Option(
            "--out",
            "--output",
            "-o",
            help="A file for one picture, a folder for more; a name without suffix is a folder; - is stdout.",
        ),
    ],
    task: Annotated[Task, typer.Option(help="What to take out: rain or haze.")] = Task.derain,
    format: Annotated[Format | None, typer.Option(help="Format of the results; default: as the names say.")] = None,
    quality: Annotated[int | None, typer.Option(min=1, max=100, help="Quality of JPEG and WebP; default: 92.")] = None,
    metadata: Annotated[Metadata, typer.Option(help="keep the EXIF without position, or strip it.")] = Metadata.keep,
    damaged: Annotated[
        Damaged, typer.Option(help="refuse or accept pictures of which a part is missing.")
    ] = Damaged.refuse,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace files, originals too.")] = False,
    resume: Annotated[bool, typer.Option("--resume", help="Leave out pictures whose result is there.")] = False,
    tiling: Annotated[Tiling, typer.Option(help="blend: no seams; reference: the authors' protocol.")] = Tiling.blend,
    precision: Annotated[Precision, typer.Option(help="auto: the device's fast one.")] = Precision.auto,
    weights: Annotated[Path | None, typer.Option(help="Weights file; default: the manifest's choice.")] = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:N.")] = "auto",
    scale: Annotated[
        str, typer.Option(help="auto, or at which part of its size a picture is restored: 0.0625 to 1.")
    ] = "auto",
    strength: Annotated[float, typer.Option(help="How much of the difference is applied: 0 to 1.5.")] = 1.0,
) -> None:
    """Restore pictures; the suffix of --out is the format.

    In a folder each picture keeps its name and format; what is only read (AVIF, BMP, GIF, HEIC, JPEG XL) becomes PNG;
    stdout is PNG. Nothing is overwritten but by --overwrite.
    """
    from rich.console import Console

    console = Console(stderr=True, highlight=False, markup=False, emoji=False, soft_wrap=True)
    name = {"jpg": "jpeg", "tif": "tiff"}.get(format, format.value) if format else None
    try:
        todo = plan(paths, out, name, overwrite=overwrite, resume=resume)
    except TargetError as error:
        fail(str(error))
    if not todo.pairs and not todo.done and not todo.doubtful:
        among = f" ({len(todo.passed_over)} files are none: {listed(todo.passed_over)})" if todo.passed_over else ""
        fail(f"there are no pictures in {listed(paths)}{among}; read are {', '.join(READ)}")
    if out == STREAM and sys.stdout.isatty():
        fail("stdout is a terminal; send it into a file or give --out a name")
    tally = Tally()
    tally.failed += [
        (
            source,
            f"{shown(target)} is there and has another time than its result would; move it away, or --overwrite it",
        )
        for source, target in todo.doubtful
    ]
    at = parse_scale(scale, strength, tiling)
    exif: Literal["keep", "strip"] = "keep" if metadata is Metadata.keep else "strip"
    incomplete: Literal["refuse", "accept"] = "refuse" if damaged is Damaged.refuse else "accept"
    writing = Writing(name, quality, exif, incomplete, overwrite, at, strength)
    try:
        if todo.pairs:
            _restore_all(
                load_restorer(task.value, weights, device, tiling, precision), todo.pairs, writing, tally, console
            )
    finally:  # also when it is interrupted
        _summarise(todo, tally, console)
    if tally.failed:
        raise typer.Exit(1)


def _restore_all(
    restorer: "Restorer", pairs: list[tuple[Path, Path]], writing: Writing, tally: Tally, console: "Console"
) -> None:
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    from app.errors import DmsrError

    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[said]}"), TimeRemainingColumn())
    # The bytes are known before a picture is opened, and tell the time left better than a count of pictures does.
    sizes = [source.stat().st_size if source.is_file() else 0 for source, _ in pairs]
    start = time.perf_counter()
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        pictures = progress.add_task("pictures", total=sum(sizes) or None, said=f"0/{len(pairs)}")
        tiles = progress.add_task("tiles", total=None, said="")

        def report(done: int, total: int) -> None:
            progress.update(tiles, completed=done, total=total, said=f"{done}/{total}")

        for number, ((source, target), size) in enumerate(zip(pairs, sizes, strict=True), 1):
            begun = time.perf_counter()
            try:
                pixels, notes = _restore_one(restorer, source, target, writing, report)
            except DmsrError as error:
                tally.failed.append((source, error.detail))
            except MemoryError:
                tally.failed.append((source, "the memory of this machine does not suffice for it"))
            except (OSError, ArithmeticError, RuntimeError, ValueError) as error:
                tally.failed.append((source, getattr(error, "strerror", None) or str(error)))
            else:
                tally.restored += 1
                tally.pixels += pixels
                tally.notes += [(source, note) for note in notes]
                tally.seconds += time.perf_counter() - begun
            rate = 60 * number / (time.perf_counter() - start)
            progress.update(pictures, advance=size, said=f"{number}/{len(pairs)}, {rate:.1f} a minute")


def _restore_one(
    restorer: "Restorer", source: Path, target: Path, writing: Writing, report: Callable[[int, int], None]
) -> tuple[int, tuple[str, ...]]:
    """Restore one file and return its number of pixels and what is to be said of it.

    Raises DmsrError, OSError or NonFiniteTiles.
    """
    from app.imaging.decode import decode
    from app.imaging.encode import check_format, encode
    from app.imaging.picture import ImageLimits
    from app.imaging.probe import probe
    from model.checkpoints.checkpoint import write_atomically
    from model.inference.contract import kept_warning

    format = writing.format or ("png" if target == STREAM else WRITTEN[target.suffix.lower()])
    data = sys.stdin.buffer.read() if source == STREAM else source.read_bytes()
    # A person's own files on their own machine: no limit but memory.
    header = probe(data, ImageLimits(max_pixels=2**40, max_side=2**31))
    check_format(header, format)
    picture = decode(data, header, writing.damaged)
    outcome = restorer.outcome(picture.rgb, report, scale=writing.scale, strength=writing.strength)
    notes = picture.warnings + kept_warning(outcome.kept, outcome.tiles)
    result = encode(picture, outcome.image, format, writing.quality, writing.metadata)
    if target == STREAM:
        sys.stdout.buffer.write(result)
        sys.stdout.buffer.flush()
        return header.pixels, notes
    # It was free when the targets were planned. On a disk that does not know capitals, two targets may be one.
    if os.path.lexists(target) and (not writing.overwrite or identity(target) in writing.made):
        raise FileExistsError(17, f"{shown(target)} has come into being meanwhile")
    if source == STREAM:
        write_atomically(target, result)
    else:
        status = source.stat()
        # Nobody may read a result who may not read its source.
        write_atomically(target, result, status.st_mode & 0o666, (status.st_atime_ns, status.st_mtime_ns))
    writing.made.add(identity(target))
    return header.pixels, notes


def _summarise(todo: Plan, tally: Tally, console: "Console") -> None:
    """Say what was done: nothing after one picture into a pipe, one line after one into a file."""
    for source, reason in tally.failed:
        console.print(f"{shown(source)}: {shown(reason)}", style="red")
    for source, note in tally.notes:
        console.print(f"{shown(source)}: {shown(note)}", style="yellow")
    if todo.passed_over:
        console.print(
            f"passed over {len(todo.passed_over)}, by name no pictures: {listed(todo.passed_over)}", style="dim"
        )
    megapixels = tally.pixels / 1e6
    took = f"{megapixels:.2f} megapixels in {tally.seconds:.1f} s"
    if len(todo.pairs) == 1 and not todo.done and not todo.doubtful:
        (source, target) = todo.pairs[0]
        if tally.restored and STREAM not in (source, target):
            console.print(f"{shown(source)} → {shown(target)}: {took}")
        return
    counts = [f"restored {tally.restored}"]
    counts += [f"skipped {len(todo.done)}"] if todo.done else []
    counts += [f"failed {len(tally.failed)}"] if tally.failed else []
    counts += (
        [f"not reached {left}"]
        if (left := len(todo.pairs) + len(todo.doubtful) - tally.restored - len(tally.failed))
        else []
    )
    rate = f"; {took}, {tally.seconds / megapixels:.1f} s a megapixel" if megapixels >= 0.1 else ""
    console.print(", ".join(counts) + rate)
