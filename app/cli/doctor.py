"""`dmsr doctor`: what this machine would do, said before anybody waits for it."""

import os
import resource
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from app.cli.failure import fail
from app.cli.restorer import load_restorer

if TYPE_CHECKING:
    from model.checkpoints.catalog import Catalog


def doctor(
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:N.")] = "auto",
    weights: Annotated[Path | None, typer.Option(help="Weights file; default: the manifest's choice.")] = None,
) -> None:
    """Print device, precision, weights, memory, measured tiles per second, and what a 1080p picture will take."""
    import numpy as np
    import torch
    from rich.console import Console
    from rich.table import Table

    from model.checkpoints.catalog import Catalog
    from model.checkpoints.checkpoint import WeightsError, file_sha256, read_info
    from model.inference.cpu_threads import prepare
    from model.inference.devices import resolve_device

    try:
        where = resolve_device(device)
        chosen = [(read_info(weights).task, weights)] if weights else _default_weights(Catalog.load(), where.type)
    except (WeightsError, ValueError) as error:
        fail(str(error))
    if not chosen:
        fail("there are no weights; --weights names a file")
    console = Console(soft_wrap=True)
    table = Table(show_header=False)
    on_gpu = where.type == "cuda"
    table.add_row("torch", torch.__version__)
    table.add_row("device", torch.cuda.get_device_name(where) if on_gpu else f"{where}, {prepare()} threads")
    free, total = torch.cuda.mem_get_info(where) if on_gpu else _host_memory()
    table.add_row("memory", f"{free / 2**30:.1f} of {total / 2**30:.1f} GiB free")
    for task, path in chosen:
        restorer = load_restorer(task, path, device)
        runner = restorer.runner
        runner.warm_up()
        batch = np.full((runner.max_tiles, runner.tile, runner.tile, 3), 127, np.uint8)
        start = time.perf_counter()
        runner.run(batch)
        rate = runner.max_tiles / (time.perf_counter() - start)
        tiles = len(restorer.plan(1080, 1920))
        table.add_section()
        table.add_row(task, f"{path.name}, sha256 {file_sha256(path)[:12]}, {runner.precision}")
        table.add_row("tiles", f"{runner.tile} px, overlap {runner.info.overlap}, {runner.max_tiles} at a time")
        table.add_row("speed", f"{rate:.1f} tiles a second; a 1080p picture ({tiles} tiles) takes {tiles / rate:.1f} s")
    peak = (
        torch.cuda.max_memory_reserved(where) if on_gpu else resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    )
    table.add_section()
    table.add_row("taken", f"{peak / 2**30:.1f} GiB at the most, by this process")
    console.print(table)


def _host_memory() -> tuple[int, int]:
    page = os.sysconf("SC_PAGE_SIZE")
    return os.sysconf("SC_AVPHYS_PAGES") * page, os.sysconf("SC_PHYS_PAGES") * page


def _default_weights(catalog: "Catalog", device_type: str) -> list[tuple[str, Path]]:
    from model.checkpoints.checkpoint import TASKS

    entries = [catalog.default(task, device_type) for task in TASKS]
    return [(entry.task, catalog.path(entry)) for entry in entries if entry]
