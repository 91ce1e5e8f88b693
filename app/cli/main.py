"""The `dmsr` command: one verb a file; heavy imports stand inside the verbs, so that `dmsr --version` is quick."""

from typing import Annotated

import typer

from app.cli.convert import convert
from app.cli.degrade import degrade
from app.cli.doctor import doctor
from app.cli.evaluate import evaluate
from app.cli.restore import restore
from app.cli.serve import serve
from app.cli.train import train
from model import __version__

app = typer.Typer(
    name="dmsr",
    help="Remove rain and haze from photos with the DMSR network.",
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
    pretty_exceptions_enable=False,
)
for verb in (serve, restore, doctor, evaluate, train, degrade, convert):
    app.command()(verb)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"dmsr {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    _version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and stop.")
    ] = False,
) -> None:
    pass


def run() -> None:
    """Enter here from the console script."""
    app()
