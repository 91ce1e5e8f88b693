"""How a verb stops: one line on stderr that says what was wrong, and an exit code."""

from typing import NoReturn

import typer


def fail(message: str, code: int = 2) -> NoReturn:
    """End the command with a message; 2 for arguments and files that cannot be used, 1 for work that failed."""
    typer.secho(f"dmsr: {message}", err=True, fg=typer.colors.RED)
    raise typer.Exit(code)
