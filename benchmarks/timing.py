"""How seconds are taken and summed up: contenders take turns, medians count."""

import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar

Name = TypeVar("Name")


def interleaved(contenders: Mapping[Name, Callable[[], object]], rounds: int) -> dict[Name, float]:
    """Return each contender's median seconds a call.

    One call each to warm up, then rounds in which everybody has one turn: a machine that slows down meanwhile slows
    them all. A call that returns a float has timed itself, because part of what it does is not its own.
    """
    for call in contenders.values():
        call()
    seconds: dict[Name, list[float]] = {name: [] for name in contenders}
    for _ in range(rounds):
        for name, call in contenders.items():
            start = time.perf_counter()
            own = call()
            seconds[name].append(own if isinstance(own, float) else time.perf_counter() - start)
    return {name: statistics.median(taken) for name, taken in seconds.items()}


TAIL_COUNT = 200
"""With fewer values a 95th percentile is decided by ten of them or less, and a 99th by two or none."""


def percentiles(seconds: Sequence[float]) -> dict[str, float]:
    """Sum up latencies: median, and of 200 or more the 95th and 99th percentile, each a value that occurred."""
    ordered = sorted(seconds)
    return {
        f"p{percent}_seconds": round(ordered[min(len(ordered) * percent // 100, len(ordered) - 1)], 4)
        for percent in ((50, 95, 99) if len(seconds) >= TAIL_COUNT else (50,))
    }
