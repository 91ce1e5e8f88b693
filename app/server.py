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
from typing import Any

import h11
import structlog
import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from app.errors import StartError
from app.main import Service, create_app
from app.middleware.answer_limit import ABORT
from app.settings import Settings
from app.telemetry.logs import configure_logs

# Of what arrives, so much is parsed at once. Chunks of 48 bytes have an eighth more around them.
_PARSED_BYTES, _SPARE_BYTES, _MOST_WIRE_BYTES_A_BYTE = 1 << 14, 1 << 15, 1.125
# How long an idle thread may take to notice that the service has stopped.
_LEAVE_SECONDS = 0.5

_log = structlog.get_logger()


class _Connection(H11Protocol):
    """uvicorn's, but it does not wait for ever: not for the head of a request, and not for a reader of an answer.

    Nor does it take bodies in tiny chunks: each chunk costs tens of microseconds, and a quarter of a megabyte, which is
    read at once, has room for forty thousand of one byte. Gives each request a way to end its connection at once, as
    an extension of its scope.
    """

    def __init__(self, *arguments: Any, head_seconds: float, answer_seconds: float, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self._head_seconds, self._answer_seconds = head_seconds, answer_seconds
        self._head_timer: asyncio.TimerHandle | None = None
        self._answer_timer: asyncio.TimerHandle | None = None
        self._inner, self.app = self.app, self._with_abort
        self._counted: Any = None
        self._wire_bytes = self._body_bytes = 0

    async def _with_abort(self, scope: Any, receive: Any, send: Any) -> None:
        async def counting() -> Any:
            message = await receive()
            self._body_bytes += len(message.get("body", b""))
            return message

        extensions = {**scope.get("extensions", {}), ABORT: self._abort}
        await self._inner({**scope, "extensions": extensions}, counting, send)

    def _abort(self) -> None:
        self.transport.abort()

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        self._expect_head()

    def data_received(self, data: bytes) -> None:
        for at in range(0, len(data), _PARSED_BYTES):
            super().data_received(data[at : at + _PARSED_BYTES])
            if self._tiny_chunks(min(_PARSED_BYTES, len(data) - at)):
                self._abort()
                return
        if self.conn.their_state is not h11.IDLE:
            self._head_timer = _stop(self._head_timer)
        elif self._head_timer is None:
            self._expect_head()

    def _tiny_chunks(self, new_bytes: int) -> bool:
        """Tell whether the body under way comes with far more bytes around its chunks than in them."""
        if self.cycle is not self._counted:
            self._counted, self._wire_bytes, self._body_bytes = self.cycle, 0, 0
        elif self.cycle is not None and not self.cycle.response_complete:
            self._wire_bytes += new_bytes
            arrived = self._body_bytes + len(self.cycle.body)
            return self._wire_bytes > _SPARE_BYTES + _MOST_WIRE_BYTES_A_BYTE * arrived
        return False

    def pause_writing(self) -> None:
        super().pause_writing()
        self._answer_timer = self.loop.call_later(self._answer_seconds, self._abort)

    def resume_writing(self) -> None:
        super().resume_writing()
        self._answer_timer = _stop(self._answer_timer)

    def connection_lost(self, exc: Exception | None) -> None:
        self._head_timer, self._answer_timer = _stop(self._head_timer), _stop(self._answer_timer)
        super().connection_lost(exc)

    def _expect_head(self) -> None:
        self._head_timer = self.loop.call_later(self._head_seconds, self._abort)


def _stop(timer: asyncio.TimerHandle | None) -> asyncio.TimerHandle | None:
    """Stop a timer, if there is one, and return what there is afterwards."""
    if timer:
        timer.cancel()
    return None


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
    """End the process here if a thread still does what nobody waits for: the interpreter would wait for it.

    That is an answer that is being written, a batch of a request given up, or a warm-up, which takes a minute on a slow
    machine.
    """
    working = [
        thread for thread in threading.enumerate() if thread is not threading.main_thread() and not thread.daemon
    ]
    for thread in working:
        thread.join(_LEAVE_SECONDS / len(working))
    if any(thread.is_alive() for thread in working):
        _log.warning("ending beside work that nobody waits for")
        sys.stderr.flush()
        os._exit(code)


def _connections(settings: Settings) -> type[H11Protocol]:
    """Return the class of connections with the times of the settings: uvicorn makes them of a class."""

    class Connection(_Connection):
        def __init__(self, *arguments: Any, **named: Any) -> None:
            times = {
                "head_seconds": settings.server.head_seconds,
                "answer_seconds": settings.limits.answer_seconds,
            }
            super().__init__(*arguments, **named, **times)

    return Connection


async def _serve(settings: Settings) -> int:
    app = create_app(settings)
    service: Service = app.state.service
    config = uvicorn.Config(
        app,
        host=settings.server.host,
        port=settings.server.port,
        log_config=None,
        access_log=False,
        # h11's, because what uvicorn would rather take, httptools, reads heads without end.
        http=_connections(settings),
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
