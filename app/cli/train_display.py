"""What `dmsr train` shows while it works: a live line on a terminal, a plain one every half minute elsewhere."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from math import isfinite, isnan, nan
from types import FrameType
from typing import Self

from rich.console import Console
from rich.live import Live
from rich.text import Text

from model.training.progress import Progress

PLAIN_SECONDS = 30


class TrainDisplay:
    """Show step, time left, loss, learning rate and the last validation."""

    def __init__(self, console: Console | None = None) -> None:
        self._console = console or Console()
        self._live = Live(console=self._console, auto_refresh=False) if self._console.is_terminal else None
        self._loss = nan
        self._scores = "none yet"
        self._next_seconds = 0.0

    def __enter__(self) -> Self:
        if self._live is not None:
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._live is not None:
            self._live.stop()

    def show(self, progress: Progress) -> None:
        """Take in one step; the loss shown is a running mean, for one batch says little."""
        if isfinite(progress.loss):
            self._loss = progress.loss if isnan(self._loss) else 0.98 * self._loss + 0.02 * progress.loss
        if progress.reports is not None:
            self._scores = ", ".join(
                f"{name} {report.mean.psnr_y:.2f} (input {report.mean.input_psnr_y:.2f})"
                for name, report in progress.reports.items()
            )
        seconds = progress.counters.elapsed_seconds
        if self._live is not None:
            self._live.update(Text(self._line(progress)), refresh=True)
        elif progress.reports is not None or seconds >= self._next_seconds:
            self._console.print(self._line(progress), soft_wrap=True, highlight=False)
            self._next_seconds = seconds + PLAIN_SECONDS

    def _line(self, progress: Progress) -> str:
        counters, fraction = progress.counters, progress.fraction
        left = counters.elapsed_seconds * (1 - fraction) / fraction / 60 if fraction else nan
        return (
            f"step {counters.step} ({fraction:.1%}, {counters.elapsed_seconds / 60:.1f} min, {left:.0f} left)"
            f"  loss {self._loss:.4f}  rate {progress.rate:.1e}  crop {progress.phase.crop}×{progress.phase.batch}"
            f"  skipped {counters.skipped}  validation {self._scores}"
        )


@contextmanager
def stop_on_signals() -> Iterator[threading.Event]:
    """Turn SIGINT and SIGTERM into an event that the trainer asks for after each step."""
    stopped = threading.Event()

    def stop(_number: int, _frame: FrameType | None) -> None:
        stopped.set()

    before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stopped
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
