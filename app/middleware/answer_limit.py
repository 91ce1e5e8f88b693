"""Bound what answers take while they wait to be read: their bytes, all callers together.

Knows nothing of what is in them. Time is the server's to bound, which knows when a reader stands still.
"""

from collections.abc import Callable
from dataclasses import dataclass

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.settings import LimitsSettings
from app.telemetry.metrics import Metrics

# The server's extension of a scope: a function that ends the connection at once, and what waits in it with it.
ABORT = "dmsr.abort"
# What a connection may have on its way beside what the kernel holds of it.
PIECE_BYTES = 1 << 16


@dataclass(eq=False)
class _Answer:
    """Count the bytes of an answer that have not been taken."""

    left: int
    abort: Callable[[], None]


class AnswerLimit:
    """Send answers piece by piece, and count them as held until they have been taken.

    When all callers together leave too much untaken, the answer of which nothing has been taken for the longest time
    is given up: so those that read are served, however many do not.
    """

    def __init__(self, app: ASGIApp, limits: LimitsSettings, metrics: Metrics) -> None:
        self.app = app
        metrics.answer_bytes.set_function(lambda: self.held_bytes)
        metrics.answer_bytes_limit.set(limits.answer_bytes)
        self._given_up = metrics.answers_given_up
        self._limit = limits.answer_bytes
        # The one that has stood still longest is first.
        self._answers: dict[_Answer, None] = {}

    @property
    def held_bytes(self) -> int:
        """Count the bytes of all answers that have not been taken."""
        return sum(answer.left for answer in self._answers)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        abort = scope.get("extensions", {}).get(ABORT, lambda: None)

        async def in_pieces(message: Message) -> None:
            body = memoryview(message.get("body", b"")) if message["type"] == "http.response.body" else memoryview(b"")
            if len(body) <= PIECE_BYTES:
                await send(message)
                return
            answer = _Answer(len(body), abort)
            self._answers[answer] = None
            self._give_up()
            try:
                for at in range(0, len(body), PIECE_BYTES):
                    more = at + PIECE_BYTES < len(body) or message.get("more_body", False)
                    await send({**message, "body": bytes(body[at : at + PIECE_BYTES]), "more_body": more})
                    answer.left = len(body) - at - PIECE_BYTES
                    if answer in self._answers:
                        self._answers[answer] = self._answers.pop(answer)  # it moves: the last in line
            finally:
                self._answers.pop(answer, None)

        await self.app(scope, receive, in_pieces)

    def _give_up(self) -> None:
        """Give up answers until there is room; the newest one stays, whatever its size."""
        excess = self.held_bytes - self._limit
        for answer in list(self._answers)[:-1]:
            if excess <= 0:
                return
            excess -= answer.left
            del self._answers[answer]
            self._given_up.inc()
            answer.abort()
