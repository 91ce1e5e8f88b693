"""`dmsr serve`: the service as a process of its own."""

import os
import socket
from typing import Annotated

import typer

from app.cli.failure import fail


def serve(
    host: Annotated[str | None, typer.Option(help="Address to listen on; DMSR_SERVER_HOST by default.")] = None,
    port: Annotated[
        int | None, typer.Option(min=0, max=65535, help="Port to listen on; DMSR_SERVER_PORT by default.")
    ] = None,
    device: Annotated[
        str | None, typer.Option(help="auto, cpu, or CUDA devices such as cuda:0,cuda:1; DMSR_DEVICES by default.")
    ] = None,
) -> None:
    """Serve POST /derain and POST /dehaze until SIGTERM, then drain and stop."""
    from app.settings import Settings, SettingsError

    try:
        settings = Settings.from_environment()
    except SettingsError as error:
        fail(str(error))
    overrides = {key: value for key, value in (("host", host), ("port", port)) if value is not None}
    settings = settings.model_copy(
        update={"server": settings.server.model_copy(update=overrides), "devices": device or settings.devices}
    )
    _check_port(settings.server.host, settings.server.port)

    # After the settings: a misspelt variable should not wait for torch to be imported.
    from app.errors import StartError
    from app.server import serve_forever

    try:
        raise typer.Exit(serve_forever(settings))
    except StartError as error:
        fail(str(error))


def _check_port(host: str, port: int) -> None:
    """End the command if nobody could listen there: loading the weights first would make the mistake slow."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind, protocol) as trial:
            trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as the server will
            trial.bind(address)
    except OSError as error:
        # The resolver's failures have words and no number; bind's, a number and words that name the address again.
        reason = error.strerror if isinstance(error, socket.gaierror) else os.strerror(error.errno or 0)
        fail(f"cannot listen on {host}:{port}: {(reason or str(error)).lower()}; --host and --port choose another")
