"""Bound what a body may take while it arrives: bytes, seconds, and its share of the service's memory.

Knows nothing of what is in it.
"""

import asyncio

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.errors import BodyTimeout, BodyTooLarge, BuffersFull, MalformedRequest
from app.settings import LimitsSettings


class BodyLimit:
    """Let no body be larger, slower or, with all others, heavier than the limits.

    A body is refused by its Content-Length before its first byte is asked for, or as soon as too much of it is here.
    Its bytes count as held until it is answered.
    """

    def __init__(self, app: ASGIApp, limits: LimitsSettings) -> None:
        self.app = app
        self.limits = limits
        self._held_bytes = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        loop, limits = asyncio.get_running_loop(), self.limits
        declared = _declared_bytes(scope)
        # A proxy that believes the other one sees another request behind this one (RFC 9112, section 6.1).
        ambiguous = {b"content-length", b"transfer-encoding"} <= {name for name, _ in scope["headers"]}
        complete, refused = declared == 0, False
        received, deadline = 0, 0.0

        async def take() -> Message:
            nonlocal received, complete, deadline
            if ambiguous:
                raise MalformedRequest("The request has Content-Length and Transfer-Encoding; send one of them.")
            if declared is not None:
                self._check_size(declared)
            deadline = deadline or loop.time() + limits.body_seconds
            try:
                async with asyncio.timeout_at(deadline):
                    message = await receive()
            except TimeoutError:
                raise BodyTimeout(
                    f"Only {received} bytes arrived in {limits.body_seconds:g} s.", limit=limits.body_seconds
                ) from None
            size = len(message.get("body", b""))
            received += size
            self._held_bytes += size
            self._check_size(received)
            self._check_room()
            complete = not message.get("more_body", False)
            return message

        async def bounded() -> Message:
            nonlocal refused
            if complete:
                return await receive()  # nothing is left to come but the caller hanging up
            try:
                return await take()
            except (BodyTooLarge, BodyTimeout, BuffersFull, MalformedRequest):
                refused = True
                raise

        async def closing(message: Message) -> None:
            """Hang up on a body nobody will read, unless it is known to end soon."""
            nonlocal received
            if message["type"] == "http.response.start":
                # Whoever answers has done with the body, and reading the answer may take long.
                self._held_bytes -= received
                received = 0
            unending = refused or declared is None or declared > limits.body_bytes
            if message["type"] == "http.response.start" and not complete and unending:
                message = {**message, "headers": [*message.get("headers", []), (b"connection", b"close")]}
            await send(message)

        try:
            await self.app(scope, bounded, closing)
        finally:
            self._held_bytes -= received

    def _check_size(self, size: int) -> None:
        limit = self.limits.body_bytes
        if size > limit:
            raise BodyTooLarge(
                f"The body has {size} bytes or more; at most {limit} are taken.", limit=limit, observed=size
            )

    def _check_room(self) -> None:
        if self._held_bytes > self.limits.buffered_bytes:
            raise BuffersFull("The uploads of all callers together fill the memory set aside for them.")


def _declared_bytes(scope: Scope) -> int | None:
    """Return the Content-Length; None for a chunked body, which ends where it ends; 0 for none."""
    headers = dict(scope["headers"])
    if b"transfer-encoding" in headers:
        return None
    length = headers.get(b"content-length", b"0")
    return int(length) if length.isdigit() else None
