"""Bound what refused uploads may take of the processor: whoever sends bad files in a loop waits, not the others.

Knows nothing of what is in a body.
"""

import asyncio
from collections.abc import Awaitable, Callable

from starlette.types import ASGIApp, Message, Receive, Scope, Send

# Of the body and what is in it. What was refused for its key, its rate or its address cost nothing.
REFUSED = frozenset((400, 413, 415, 422))

REQUEST_SECONDS, BYTE_SECONDS = 0.01, 25e-9
"""What a refused upload counts: about what a slow core needs to receive it, search it and say no."""

FREE_SECONDS = 0.5
"""So much may be refused at once: fifty small files or four of 5 MB."""

LONGEST_SECONDS = 1.5
"""From a body's last byte to an answer that waited: deadlines count from there, and those of two seconds are kept."""


class RefusalPace:
    """Answer refused uploads no faster than they may cost; all others are never delayed.

    cores: how much of the processor refused uploads may take, in cores; 0.1 is a tenth of one.
    clock: seconds, monotonic; sleep: waits for so many of them.
    """

    def __init__(
        self,
        app: ASGIApp,
        cores: float,
        clock: Callable[[], float] | None = None,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self.app = app
        self._cores, self._sleep = cores, sleep
        self._clock = clock or (lambda: asyncio.get_running_loop().time())
        self._paid_until = float("-inf")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        received, arrived = 0, 0.0

        async def counting() -> Message:
            nonlocal received, arrived
            message = await receive()
            if message["type"] == "http.request":
                received, arrived = received + len(message.get("body", b"")), self._clock()
            return message

        async def pacing(message: Message) -> None:
            if received and message["type"] == "http.response.start" and message["status"] in REFUSED:
                await self._sleep(self._delay(received, arrived))
            await send(message)

        await self.app(scope, counting, pacing)

    def _delay(self, size: int, arrived: float) -> float:
        """Charge a refused upload of so many bytes, and return how long those before it make its answer wait."""
        now = self._clock()
        begin = max(self._paid_until, now - FREE_SECONDS / self._cores)
        paid_until = begin + (REQUEST_SECONDS + BYTE_SECONDS * size) / self._cores
        self._paid_until = min(paid_until, now + LONGEST_SECONDS)
        return max(min(begin, arrived + LONGEST_SECONDS) - now, 0.0)
