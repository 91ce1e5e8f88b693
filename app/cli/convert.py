"""`dmsr convert`: the authors' checkpoints into ours and back, and ours into ONNX."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from app.cli.failure import fail


class Layout(StrEnum):
    """Whose parameter names a file has, or a whole network for other runtimes."""

    ours = "ours"
    authors = "authors"
    onnx = "onnx"


def convert(
    source: Annotated[Path, typer.Argument(help="A .pth of the authors' layout, or a .safetensors of ours.")],
    target: Annotated[Path, typer.Argument(help="The file to write; .onnx is for ONNX Runtime and the like.")],
    to: Annotated[Layout | None, typer.Option(help="The layout to write, if the suffix does not tell.")] = None,
    task: Annotated[str, typer.Option(help="What the weights do: derain or dehaze (for --to ours).")] = "derain",
    tile: Annotated[int, typer.Option(help="Side of the tiles they are for, in pixels (for --to ours).")] = 128,
    overlap: Annotated[int, typer.Option(help="Pixels neighbouring tiles share (for --to ours).")] = 16,
    training: Annotated[str, typer.Option(help="How they were trained, in a sentence (for --to ours).")] = "",
) -> None:
    """Convert weights between the authors' layout (.pth) and ours (.safetensors), or ours into an ONNX file."""
    import torch

    from model.checkpoints.checkpoint import CheckpointInfo, WeightsError, load_checkpoint, save_checkpoint
    from model.checkpoints.conversion import ConversionError, from_authors, read_authors_file, to_authors
    from model.inference.onnx_export import OPSET, ExportError, export_onnx

    if to is None:
        to = Layout.onnx if target.suffix == ".onnx" else Layout.ours
    try:
        if to is Layout.onnx:
            network, info = load_checkpoint(source)
            export_onnx(network, info, target)
            typer.echo(f"{target}: ONNX, opset {OPSET}, {info.task}, tiles of {info.tile}×{info.tile}")
        elif to is Layout.authors:
            network, info = load_checkpoint(source)
            torch.save({"epoch": 0, "state_dict": to_authors(network.state_dict())}, target)
            typer.echo(f"{target}: authors' layout, width {info.config.width}, depth {info.config.depth}")
        else:
            state_dict, config = from_authors(read_authors_file(source))
            history = {"summary": training} if training else {}
            sha256 = save_checkpoint(target, state_dict, CheckpointInfo(config, task, tile, overlap, training=history))
            typer.echo(f"{target}: {task}, width {config.width}, depth {config.depth}, sha256 {sha256}")
    except (ConversionError, ExportError, WeightsError, ValueError, OSError) as error:
        fail(str(error))
