"""`dmsr serve`: the service as a process of its own."""

from typing import Annotated

import typer

from app.cli.failure import fail


def serve(
    host: Annotated[str | None, typer.Option(help="Address to listen on; DMSR_SERVER_HOST by default.")] = None,
    port: Annotated[int | None, typer.Option(help="Port to listen on; DMSR_SERVER_PORT by default.")] = None,
) -> None:
    """Serve POST /derain and POST /dehaze until SIGTERM, then drain and stop."""
    from app.settings import Settings, SettingsError

    try:
        settings = Settings.from_environment()
    except SettingsError as error:
        fail(str(error))
    overrides = {key: value for key, value in (("host", host), ("port", port)) if value is not None}
    settings = settings.model_copy(update={"server": settings.server.model_copy(update=overrides)})

    # After the settings: a misspelt variable should not wait for torch to be imported.
    from app.errors import StartError
    from app.server import serve_forever

    try:
        raise typer.Exit(serve_forever(settings))
    except StartError as error:
        fail(str(error))
