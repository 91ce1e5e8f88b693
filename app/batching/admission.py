"""The door: a request's tiles and pixels are admitted whole, before one pixel is decoded, or refused with the truth.

Knows nothing of HTTP; counts tiles, pixels and seconds.
"""

import asyncio
import math
import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NamedTuple

from app.errors import DeadlineExceeded, Draining, ImageTooLarge, Overloaded
from app.settings import QueueSettings


class Place(NamedTuple):
    """Stand for one picture that was admitted: what counts its tiles not yet done, and its pixels."""

    tiles_left: Callable[[], int]
    pixels: int


class Admission:
    """Decide who comes in.

    tiles_per_second: what all devices manage together just now; 0 while unknown, and then nothing is predicted.
    idle: set while nobody is inside. clock: monotonic seconds.
    jitter: a number in [0, 1) for each refusal, so that the refused don't return as one.
    """

    def __init__(
        self,
        settings: QueueSettings,
        tiles_per_second: Callable[[], float],
        clock: Callable[[], float],
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self._settings = settings
        self._tiles_per_second = tiles_per_second
        self._clock = clock
        self._jitter = jitter
        self._places: list[Place] = []
        self._turn_at = -math.inf
        self.draining = False
        self.idle = asyncio.Event()
        self.idle.set()

    @property
    def tiles(self) -> int:
        """Count the tiles admitted and not yet done."""
        return sum(place.tiles_left() for place in self._places)

    @property
    def pixels(self) -> int:
        """Count the pixels of the pictures admitted."""
        return sum(place.pixels for place in self._places)

    @property
    def requests(self) -> int:
        """Count the requests admitted."""
        return len(self._places)

    def predicted_seconds(self, tiles: int) -> float:
        """Predict when a new job of so many tiles would be finished, in seconds from now.

        Under round robin each other job gets as many turns as the new one needs, if it has that many left:
        (n + Σ min(left, n)) ÷ rate.
        """
        rate = self._tiles_per_second()
        ahead = sum(min(place.tiles_left(), tiles) for place in self._places)
        return (tiles + ahead) / rate if rate else 0.0

    @contextmanager
    def admit(self, tiles_left: Callable[[], int], pixels: int, deadline: float, least: int) -> Iterator[None]:
        """Hold a place for a picture of so many pixels while the block runs.

        tiles_left: counts its tiles not yet done; before the first they are the most it can need. least: the fewest;
            no survey has seen the picture yet, and what it could need is no reason to refuse it as late.
        deadline: point in time on the clock by which its last tile must be done.
        Raises ImageTooLarge if it could never fit, Overloaded (with the time after which it should) if it does not fit
        now or would finish past its deadline, Draining while the service stops, DeadlineExceeded if the deadline has
        passed already or could not be met by an idle service either.
        """
        if self.draining:
            raise Draining("The service is stopping; another try will reach its successor.")
        tiles, limit = tiles_left(), self._settings.tiles
        if tiles > limit:
            raise ImageTooLarge(
                f"The picture needs {tiles} tiles; the whole queue holds {limit}.", limit=limit, observed=tiles
            )
        allowed = deadline - self._clock()
        if allowed <= 0:
            raise DeadlineExceeded("The time allowed ran out before the picture was queued.", queued_seconds=0.0)
        if (excess := self.tiles + tiles - limit) > 0:
            raise self._overloaded(f"The queue is full: {self.tiles} of {limit} tiles.", "tiles", excess, tiles)
        if self.pixels + pixels > self._settings.decoded_pixels and self._places:
            # The room for pixels comes back with whole pictures; half of what waits is the fair guess.
            raise self._overloaded(f"{self.pixels} pixels are being worked on.", "pixels", self.tiles // 2, tiles)
        self.check(least, deadline)
        if (predicted := self.predicted_seconds(least)) > allowed:
            needed, given = _rounded(predicted), _rounded(allowed)
            detail = f"The picture would take about {needed} s with the others, and {given} s are allowed."
            raise self._overloaded(detail, "deadline", (predicted - allowed) * self._tiles_per_second(), tiles)
        if not self._places:
            self._turn_at = -math.inf  # those turned away earlier have come or will not
        place = Place(tiles_left, pixels)
        self._places.append(place)
        self.idle.clear()
        try:
            yield
        finally:
            self._places.remove(place)
            if not self._places:
                self.idle.set()

    def check(self, tiles: int, deadline: float) -> None:
        """Raise DeadlineExceeded if an idle service could not do so many tiles in time either."""
        rate, allowed = self._tiles_per_second(), deadline - self._clock()
        if rate and 0 < allowed < (alone := tiles / rate):
            raise DeadlineExceeded(
                f"The picture takes about {_rounded(alone)} s when nothing else waits, and {_rounded(allowed)} s are "
                "allowed. Another try cannot help; allow more.",
                limit=round(allowed, 3),
                observed=round(alone, 3),
            )

    def _overloaded(self, detail: str, reason: str, excess_tiles: float, tiles: int) -> Overloaded:
        """Say when to come back: when the excess is worked off and those turned away before have had their turn.

        Without the second part everybody refused in a burst would return at once, find one place free and be refused
        again.
        """
        rate = self._tiles_per_second() or 1.0
        now = self._clock()
        longest = self._settings.max_deadline_seconds
        wait = min(max(self._turn_at - now, excess_tiles / rate), longest)
        self._turn_at = min(max(self._turn_at, now) + tiles / rate, now + longest)
        seconds = max(math.ceil(wait + self._jitter() * max(1.0, 0.1 * wait)), 1)
        return Overloaded(f"{detail} Try again in {seconds} s.", retry_after_seconds=seconds, reason=reason)


def _rounded(seconds: float) -> str:
    """Say seconds in two digits, or whole: 0.35, 7.2, 612."""
    return f"{seconds:.2g}" if seconds < 10 else f"{seconds:.0f}"
