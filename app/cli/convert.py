"""`dmsr convert`: the authors' checkpoints into ours and back."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from app.cli.failure import fail


class Layout(StrEnum):
    """Whose parameter names a file has."""

    ours = "ours"
    authors = "authors"


def convert(
    source: Annotated[Path, typer.Argument(help="A .pth of the authors' layout, or a .safetensors of ours.")],
    target: Annotated[Path, typer.Argument(help="The file to write.")],
    to: Annotated[Layout, typer.Option(help="The layout to write.")] = Layout.ours,
    task: Annotated[str, typer.Option(help="What the weights do: derain or dehaze (for --to ours).")] = "derain",
    tile: Annotated[int, typer.Option(help="Side of the tiles they are for, in pixels (for --to ours).")] = 128,
    overlap: Annotated[int, typer.Option(help="Pixels neighbouring tiles share (for --to ours).")] = 16,
    training: Annotated[str, typer.Option(help="How they were trained, in a sentence (for --to ours).")] = "",
) -> None:
    """Convert weights between the authors' layout (.pth) and ours (.safetensors)."""
    import torch

    from model.checkpoints.checkpoint import CheckpointInfo, WeightsError, load_checkpoint, save_checkpoint
    from model.checkpoints.conversion import ConversionError, from_authors, read_authors_file, to_authors

    try:
        if to is Layout.authors:
            network, info = load_checkpoint(source)
            torch.save({"epoch": 0, "state_dict": to_authors(network.state_dict())}, target)
            typer.echo(f"{target}: authors' layout, width {info.config.width}, depth {info.config.depth}")
        else:
            state_dict, config = from_authors(read_authors_file(source))
            history = {"summary": training} if training else {}
            sha256 = save_checkpoint(target, state_dict, CheckpointInfo(config, task, tile, overlap, training=history))
            typer.echo(f"{target}: {task}, width {config.width}, depth {config.depth}, sha256 {sha256}")
    except (ConversionError, WeightsError, ValueError, OSError) as error:
        fail(str(error))
