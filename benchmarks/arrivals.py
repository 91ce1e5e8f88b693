"""Two ways to send work: open loop, at instants fixed beforehand, and closed loop, so many at a time.

Open loop has no coordinated omission: a request is due whether or not those before it were answered, and its latency
counts from the instant it was due, even if the client is late to send it. Knows nothing of HTTP.
"""

import asyncio
import random
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from itertools import accumulate
from typing import NamedTuple

Post = Callable[[int], Awaitable[int]]
"""Send request number n and return its status."""

UNANSWERED = 0


class Answer(NamedTuple):
    """One request: its number, its status (UNANSWERED if patience ran out) and seconds since it was due."""

    number: int
    status: int
    seconds: float


def poisson(rate: float, count: int, seed: int = 0) -> list[float]:
    """Return the first `count` instants of a Poisson process of `rate` a second, in seconds from its start."""
    rng = random.Random(seed)
    return list(accumulate(rng.expovariate(rate) for _ in range(count)))


async def open_loop(post: Post, instants: Sequence[float], patience: float) -> list[Answer]:
    """Send a request at each instant, whatever becomes of the others.

    What is unanswered `patience` seconds after the last instant is given up; its seconds are a lower bound.
    """
    start = time.perf_counter()
    end = start + max(instants, default=0.0) + patience

    async def one(number: int, due: float) -> Answer:
        await asyncio.sleep(start + due - time.perf_counter())
        try:
            async with asyncio.timeout(end - time.perf_counter()):
                status = await post(number)
        except TimeoutError:
            status = UNANSWERED
        return Answer(number, status, time.perf_counter() - start - due)

    return await asyncio.gather(*(one(number, due) for number, due in enumerate(instants)))


async def closed_loop(post: Post, count: int, clients: int, patience: float) -> tuple[float, list[Answer]]:
    """Send `count` requests, `clients` at a time; return the seconds until the last answer, and the answers.

    What is unanswered after `patience` seconds in all is given up.
    """
    answers: list[Answer] = []
    numbers = iter(range(count))
    start = time.perf_counter()

    async def client() -> None:
        for number in numbers:
            sent = time.perf_counter()
            try:
                async with asyncio.timeout(start + patience - sent):
                    status = await post(number)
            except TimeoutError:
                status = UNANSWERED
            answers.append(Answer(number, status, time.perf_counter() - sent))

    await asyncio.gather(*(client() for _ in range(clients)))
    return time.perf_counter() - start, answers


def by_status(answers: Sequence[Answer]) -> dict[str, int]:
    """Count the answers of each status."""
    return {str(status): count for status, count in sorted(Counter(answer.status for answer in answers).items())}
