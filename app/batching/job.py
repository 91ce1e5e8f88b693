"""One picture's tiles on their way through a device, from the first cut to the last stitch.

Knows nothing of HTTP or files: an array and a plan in, an array out.
"""

import asyncio
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from app.errors import DeadlineExceeded
from model.inference.tiling import Pixels, Stitcher, TilePlan, cut


class TileJob:
    """Carry a picture through the queue tile by tile.

    It begins and ends in the event loop's thread, where its future lives; `cut` and `add` run in any thread. Tiles are
    cut when a batch is formed and stitched when it returns, so a waiting job holds its picture once and nothing more.

    deadline: point in time on the engine's clock, in seconds, after which no tile of it may start.
    queued_at: when it was queued, on the engine's clock.
    tiles_kept: those of tiles_done that came out as noise and were left as they were.
    seconds: time spent so far in cut, device (the tiles' shares of the device's time) and stitch.
    finished: done when the last tile is stitched; carries the error that ended the job otherwise, or is cancelled.
    """

    def __init__(self, task: str, image: Pixels, plan: TilePlan, deadline: float = float("inf")) -> None:
        self.task = task
        self.deadline = deadline
        self.finished: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        # Nobody may be left to read the error of a job whose caller has gone.
        self.finished.add_done_callback(lambda future: future.cancelled() or future.exception())
        self.tiles_total = len(plan)
        self.tiles_taken = 0
        self.tiles_done = 0
        self.tiles_kept = 0
        self.queued_at = 0.0
        self.seconds = {"cut": 0.0, "device": 0.0, "stitch": 0.0}
        self._image = image
        self._plan = plan
        self._stitcher: Stitcher | None = None
        self._stitching, self._counting = threading.Lock(), threading.Lock()

    @property
    def tiles_left(self) -> int:
        """Count the tiles not yet done."""
        return self.tiles_total - self.tiles_done

    def cut(self, index: int) -> Pixels:
        """Cut tile `index`, uint8 (tile, tile, 3)."""
        with self._timed("cut"):
            return cut(self._image, self._plan, index)

    def add(self, index: int, tile: Pixels, device_seconds: float, kept: bool = False) -> bool:
        """Stitch in a restored tile, which took so much of the device's time, and tell whether it was the last."""
        with self._stitching, self._timed("stitch"):
            self._stitcher = self._stitcher or Stitcher(self._plan)
            self._stitcher.add(index, tile)
        with self._counting:
            self.tiles_done += 1
            self.tiles_kept += kept
            self.seconds["device"] += device_seconds
            return self.tiles_left == 0

    def end(self, error: BaseException | None = None) -> None:
        """End the job, well or with an error, unless it is over already."""
        if self.finished.done():
            return
        if error is None:
            self.finished.set_result(None)
        else:
            self.finished.set_exception(error)

    def expired(self, now: float) -> DeadlineExceeded:
        """Return the error of a deadline that has passed, which says how long the job waited and was worked on."""
        waited = max(now - self.queued_at - sum(self.seconds.values()), 0.0)
        return DeadlineExceeded(
            f"{self.tiles_done} of {self.tiles_total} tiles were done when the time allowed ran out.",
            queued_seconds=round(waited, 3),
            computed_seconds=round(self.seconds["device"], 3),
        )

    def stitch(self) -> Pixels:
        """Return the restored picture, uint8 (H, W, 3); only once, after `finished`."""
        assert self._stitcher is not None, "the job has not finished"
        stitcher, self._stitcher = self._stitcher, None  # twice the picture's own size, and the job lives on
        return stitcher.image()

    @contextmanager
    def _timed(self, station: str) -> Iterator[None]:
        start = time.perf_counter()
        try:
            yield
        finally:
            spent = time.perf_counter() - start
            with self._counting:
                self.seconds[station] += spent
