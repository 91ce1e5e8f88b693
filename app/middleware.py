"""What every request passes, as pure ASGI: its id, its line in the log, and the limit on its body.

Never Starlette's BaseHTTPMiddleware: behind it a route does not see the caller hang up.
"""

import re
import time
import uuid
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

import structlog

from app.errors import BodyTooLarge
from app.settings import LimitsSettings

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
ASGIApp = Callable[[Scope, Receive, Send], Awaitable[None]]

_WELL_FORMED = re.compile(r"[A-Za-z0-9._-]{1,64}")
_QUIET = ("/livez", "/readyz", "/metrics")

_log = structlog.get_logger()


class RequestLog:
    """Give each request an id and one line in the log when it is answered."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        offered = dict(scope["headers"]).get(b"x-request-id", b"").decode("latin-1")
        request_id = offered if _WELL_FORMED.fullmatch(offered) else uuid.uuid4().hex
        state = scope.setdefault("state", {})
        state["request_id"] = request_id
        started = time.perf_counter()
        status = 0

        async def send_with_id(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [*message.get("headers", []), (b"x-request-id", request_id.encode())]
            await send(message)

        structlog.contextvars.clear_contextvars()
        structlog.contextvars.bind_contextvars(request_id=request_id)
        try:
            await self.app(scope, receive, send_with_id)
        finally:
            passage = state.get("passage")
            details = (
                {}
                if passage is None
                else {
                    "size": f"{passage.width}x{passage.height}",
                    "tiles": passage.tiles,
                    "stages": {name: round(seconds, 4) for name, seconds in passage.seconds.items()},
                }
            )
            if failure := state.get("failure"):
                details["problem"] = failure.slug
            write = _log.debug if scope["path"] in _QUIET else _log.info
            write(
                "request",
                method=scope["method"],
                path=scope["path"],
                status=status,
                seconds=round(time.perf_counter() - started, 4),
                **details,
            )


class BodyLimit:
    """Refuse a body above the limit, by its Content-Length or while it arrives."""

    def __init__(self, app: ASGIApp, limits: LimitsSettings) -> None:
        self.app = app
        self.limits = limits

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        declared = dict(scope["headers"]).get(b"content-length", b"")
        received = 0

        async def bounded() -> Message:
            nonlocal received
            if declared.isdigit():
                self._check(int(declared))
            message = await receive()
            received += len(message.get("body", b""))
            self._check(received)
            return message

        await self.app(scope, bounded, send)

    def _check(self, size: int) -> None:
        limit = self.limits.body_bytes
        if size > limit:
            raise BodyTooLarge(
                f"The body has {size} bytes or more; at most {limit} are taken.", limit=limit, observed=size
            )
