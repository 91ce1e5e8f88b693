"""The process: one event loop, the signals, and the order in which everything ends.

Knows nothing of what the application does; it starts it, drains it and stops it.
"""

import asyncio
import contextlib
import os
import signal
import sys
import threading
from collections.abc import Iterator

import structlog
import uvicorn

from app.errors import StartError
from app.main import CODEC_THREADS, Service, create_app
from app.settings import Settings
from app.telemetry.logs import configure_logs

# How long an idle thread may take to notice that the service has stopped.
_LEAVE_SECONDS = 0.5

_log = structlog.get_logger()


class _Server(uvicorn.Server):
    """uvicorn, but for its signal handlers: they close the listener before anyone learns that we drain."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def serve_forever(settings: Settings) -> int:
    """Serve until SIGTERM or SIGINT, drain, and return the exit code; a second signal ends at once.

    Raises StartError if there is nothing to serve with.
    """
    configure_logs(settings.log)
    code = asyncio.run(_serve(settings))
    _leave_threads(code)
    return code


def _leave_threads(code: int) -> None:
    """End the process here if a thread still writes an answer that nobody waits for: the interpreter would wait."""
    working = [thread for thread in threading.enumerate() if thread.name.startswith(CODEC_THREADS)]
    for thread in working:
        thread.join(_LEAVE_SECONDS / len(working))
    if any(thread.is_alive() for thread in working):
        _log.warning("ending beside work that nobody waits for")
        sys.stderr.flush()
        os._exit(code)


async def _serve(settings: Settings) -> int:
    app = create_app(settings)
    service: Service = app.state.service
    config = uvicorn.Config(
        app,
        host=settings.server.host,
        port=settings.server.port,
        log_config=None,
        access_log=False,
        http="h11",  # what uvicorn would rather take, httptools, reads heads without end
        server_header=False,
        timeout_graceful_shutdown=1,  # everything has been answered when the drain ends; some do not read it
    )
    server = _Server(config)
    stopping = asyncio.Event()

    def on_signal() -> None:
        if stopping.is_set():
            _log.warning("second signal: ending at once")
            os._exit(1)
        stopping.set()

    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, on_signal)

    async def end() -> None:
        waits = [asyncio.create_task(event.wait()) for event in (stopping, service.engine.lost)]
        await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        for wait in waits:
            wait.cancel()
        await service.drain()
        server.should_exit = True

    ending = asyncio.create_task(end())
    try:
        await server.serve()
    except SystemExit as error:  # uvicorn's way to say that it could not bind
        raise StartError(f"cannot listen on {settings.server.host}:{settings.server.port}") from error
    ending.cancel()
    if service.engine.lost.is_set():
        _log.error("a device is lost; the supervisor should start a new process")
        return 1
    _log.info("stopped")
    return 0
