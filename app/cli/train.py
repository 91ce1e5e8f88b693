"""`dmsr train`: a recipe and a data folder in, weights out; stopped at any time, and resumed."""

from pathlib import Path
from typing import Annotated

import typer

from app.cli.failure import fail


def train(
    recipe: Annotated[Path, typer.Argument(help="A recipe in TOML; model/training/recipes holds ours.")],
    data: Annotated[Path, typer.Option(help="The folder that the recipe's paths start from.")],
    run: Annotated[Path, typer.Option(help="The run's folder; one that holds a state is resumed.")],
    init: Annotated[
        Path | None,
        typer.Option(help="Weights to begin from instead of random ones, of the same width; they may be shallower."),
    ] = None,
    minutes: Annotated[float | None, typer.Option(help="End by wall time instead of the recipe's steps.")] = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:N.")] = "auto",
    precision: Annotated[str, typer.Option(help="auto (bfloat16 where the device has it) or fp32.")] = "auto",
    save_minutes: Annotated[float, typer.Option(help="Minutes between two saves of the state.")] = 5,
    validate_minutes: Annotated[float, typer.Option(help="Minutes between two validations.")] = 15,
    workers: Annotated[
        int | None,
        typer.Option(min=0, help="Processes that draw batches; default: none on a CPU, one a CPU beside a GPU."),
    ] = None,
) -> None:
    """Train weights by a recipe; Ctrl-C and SIGTERM save first, and the same command goes on from there."""
    from app.cli.train_display import TrainDisplay, stop_on_signals
    from model.checkpoints.checkpoint import WeightsError
    from model.data.datasets import DatasetError
    from model.data.sources import build_mixture, build_validation
    from model.training.recipe import Recipe, RecipeError
    from model.training.trainer import Trainer

    try:
        plan = Recipe.load(recipe)
        mixture = build_mixture(plan.sources, data, side=plan.largest_side, seed=plan.seed)
        trainer = Trainer(
            plan,
            mixture,
            {spec.name: build_validation(spec, data) for spec in plan.validations},
            run,
            device=device,
            precision=precision,
            init=init,
            minutes=minutes,
            save_minutes=save_minutes,
            validate_minutes=validate_minutes,
            workers=workers,
        )
    except (RecipeError, DatasetError, WeightsError, ValueError) as error:
        fail(str(error))
    for source in mixture.sources:
        if source.left_out:
            count, side = len(source.left_out), plan.largest_side
            total = len(source.pairs) + count
            typer.echo(f"{source.name}: {count} of {total} pictures left out, smaller than {side} × {side}")
    if trainer.counters.step:
        typer.echo(f"{run}: going on from step {trainer.counters.step}")
    with stop_on_signals() as stopped, TrainDisplay() as display:
        try:
            trainer.run(display.show, stopped.is_set)
        except FloatingPointError as error:
            fail(str(error), code=1)
    if stopped.is_set():
        typer.echo(f"{run}: stopped and saved at step {trainer.counters.step}; the same command goes on from there")
