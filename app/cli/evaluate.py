"""`dmsr evaluate`: pairs in, PSNR and SSIM out, as MATLAB computes them."""

import json as jsonlib
from dataclasses import asdict
from functools import partial
from math import isnan
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from app.cli.failure import fail
from app.cli.restorer import load_restorer, parse_scale

if TYPE_CHECKING:
    from rich.console import Console

    from model.evaluation.enlarged import Enlarged
    from model.evaluation.protocol import Report, Score
    from model.evaluation.stability import Stability
    from model.inference.restorer import Restorer


def evaluate(
    pairs: Annotated[
        Path, typer.Argument(help="A folder of pairs in any of the usual layouts; with --suite, the data folder.")
    ],
    task: Annotated[str, typer.Option(help="derain or dehaze: whose default weights are scored.")] = "derain",
    weights: Annotated[Path | None, typer.Option(help="A .safetensors file instead of the default one.")] = None,
    tiling: Annotated[
        str, typer.Option(help="blend (the weights' own) or reference (the authors' protocol).")
    ] = "blend",
    take: Annotated[
        str, typer.Option(help="all, K/N for the K-th of every N pictures, or -K/N for the others.")
    ] = "all",
    suite: Annotated[
        bool, typer.Option("--suite", help="Judge by some 300 pictures of every kind made of the data folder's photos.")
    ] = False,
    json: Annotated[Path | None, typer.Option(help="Also write the scores to this file.")] = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:N.")] = "auto",
    precision: Annotated[str, typer.Option(help="auto or fp32.")] = "auto",
    scale: Annotated[
        str, typer.Option(help="auto, or at which part of its size a picture is restored: 0.0625 to 1.")
    ] = "auto",
    strength: Annotated[float, typer.Option(help="How much of the difference is applied: 0 to 1.5.")] = 1.0,
    enlarge: Annotated[
        str, typer.Option(help="Factors such as 1,2,4: a table of the pairs enlarged by each, inputs as JPEG 95.")
    ] = "",
) -> None:
    """Score weights on pairs: PSNR and SSIM on Y and PSNR on RGB, the input's beside the output's.

    Pairs lie in two folders (input and target, rainy and norain, hazy and gt), are named rain-1 and norain-1, or stand
    side by side in one picture. The layout that was found is told.

    The tile step tells by how many of 255 levels brightness steps grew more between tiles than inside them, where the
    picture is flat.
    """
    from rich.console import Console
    from rich.progress import track

    from model.data.datasets import DatasetError
    from model.data.layouts import find_layout
    from model.evaluation.enlarged import measure_enlarged
    from model.evaluation.metrics import SSIM_SIDE
    from model.evaluation.protocol import evaluate as score
    from model.inference.contract import NonFiniteTiles

    errors = Console(stderr=True)
    at = parse_scale(scale, strength, tiling)
    factors = _factors(enlarge)
    if suite and (take, enlarge, scale, strength) != ("all", "", "auto", 1.0):
        fail("--suite has pictures of its own at full size; leave out --take, --enlarge, --scale and --strength")
    restorer = load_restorer(task, weights, device, tiling, precision)
    if suite:
        _judge(restorer, pairs, json, errors)
        return
    restore = partial(restorer.restore, scale=at, strength=strength)
    try:
        layout = find_layout(pairs)
        loaded = layout.load(take, min_side=SSIM_SIDE)
        errors.print(f"{pairs}: {layout}", markup=False, highlight=False, soft_wrap=True)
        if factors:
            outcome = partial(restorer.outcome, scale=at, strength=strength)
            rows = [measure_enlarged(outcome, loaded, factor) for factor in track(factors, "Scoring", console=errors)]
        else:
            tracked = track(loaded, "Scoring", console=errors, disable=not errors.is_terminal)
            report = score(restore, tracked, restorer.plan)
    except (DatasetError, ValueError) as error:
        fail(str(error))
    except NonFiniteTiles as error:
        fail(str(error), code=1)
    if factors:
        _print_enlarged(rows)
    else:
        _print(report)
    if json is not None:
        figures = [asdict(row) for row in rows] if factors else report.to_table()
        json.write_text(jsonlib.dumps(figures, indent=2, allow_nan=False) + "\n", encoding="utf-8")


def _factors(text: str) -> list[float]:
    try:
        factors = [float(factor) for factor in text.split(",") if factor]
    except ValueError:
        factors = [0.0]
    if not all(1 <= factor <= 16 for factor in factors):
        fail(f"--enlarge {text}: it takes numbers from 1 to 16 with commas between, such as 1,2,4")
    return factors


def _print_enlarged(rows: "list[Enlarged]") -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table("enlarged", "PSNR-Y", "input", "gain", "least gain", "scales", "seconds")
    for column in table.columns:
        column.justify = "right"
    for row in rows:
        decibels = (f"{row.psnr_y:.2f}", f"{row.input_psnr_y:.2f}", f"{row.gain:+.2f}", f"{row.least_gain:+.2f}")
        scales = ", ".join(f"{count}× {scale}" for scale, count in row.scales.items())
        table.add_row(f"×{row.factor:g}", *decibels, scales, f"{row.seconds:.0f}")
    Console().print(table)


def _judge(restorer: "Restorer", data: Path, json: Path | None, errors: "Console") -> None:
    from rich.progress import track

    from model.data.datasets import DatasetError
    from model.data.suite import build_suite
    from model.evaluation.stability import CEILINGS, Stability, by_group, judge
    from model.inference.contract import NonFiniteTiles

    task = restorer.runner.info.task
    try:
        suite = track(build_suite(data, task), "Judging", console=errors, disable=not errors.is_terminal)
        verdicts = judge(partial(restorer.outcome, scale=1.0), suite, restorer.plan, CEILINGS[task])
    except (DatasetError, ValueError) as error:
        fail(str(error))
    except NonFiniteTiles as error:
        fail(str(error), code=1)
    groups = by_group(verdicts) | {"all": Stability.of(verdicts)}
    _print_groups(groups)
    if json is not None:
        table = {name: group.to_table() for name, group in groups.items()}
        json.write_text(jsonlib.dumps(table, indent=2, allow_nan=False) + "\n", encoding="utf-8")


def _print_groups(groups: "dict[str, Stability]") -> None:
    from rich.console import Console
    from rich.table import Table

    headings = ("pictures", "before", "after", "gain", "worst", "worse", "worst tile", "tiles worse", "exploded")
    table = Table("group", *headings, "left alone")
    for column in table.columns[1:]:
        column.justify = "right"
    for name, group in groups.items():
        decibels = [f"{value:.2f}" for value in (group.before, group.after, group.gain, group.worst_gain)]
        counts = (str(group.tiles_worse), str(group.tiles_exploded), str(group.tiles_kept))
        if name == "all":
            table.add_section()
        table.add_row(
            name, str(group.pictures), *decibels, str(group.pictures_worse), f"{group.worst_tile:.2f}", *counts
        )
    Console().print(table)
    if exploded := groups["all"].exploded_in:
        typer.echo(f"exploded, or left alone by the runner because they had: {', '.join(exploded)}")


def _print(report: "Report") -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table("picture", "PSNR-Y", "input", "SSIM-Y", "input", "PSNR-RGB", "input", "tile step")
    for column in table.columns[1:]:
        column.justify = "right"

    def add(name: str, score: "Score") -> None:
        decibels = [score.psnr_y, score.input_psnr_y, score.psnr_rgb, score.input_psnr_rgb]
        psnr_y, input_psnr_y, psnr_rgb, input_psnr_rgb = (f"{value:.2f}" for value in decibels)
        similarity = (f"{score.ssim_y:.4f}", f"{score.input_ssim_y:.4f}")
        step = "–" if isnan(score.tile_step) else f"{score.tile_step:+.2f}"  # no smooth place, nothing to see
        table.add_row(name, psnr_y, input_psnr_y, *similarity, psnr_rgb, input_psnr_rgb, step)

    for name, score in report.images.items():
        add(name, score)
    table.add_section()
    add(f"mean of {len(report.images)}", report.mean)
    Console().print(table)
    if report.worse:
        typer.echo(f"worse than their input: {', '.join(report.worse)}")
