"""One device's life: take a batch, cut it, run it, stitch it, settle every tile, go on; in threads of the device's own.

Knows nothing of HTTP or files. The only code of the service that catches every exception, and only to settle futures.
"""

import asyncio
import os
import sys
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple, Protocol

import numpy as np

from app.batching.throughput import BatchTime, SharedTime
from app.batching.tile_queue import Tile, TileQueue
from app.errors import RestorationFailed
from app.telemetry.metrics import Metrics
from model.inference.runner import DeviceFault, NonFiniteTiles

NICENESS = 10
"""Of threads that compute on the processor: a tenth of a core, while another of this process has something to do."""


class Runner(Protocol):
    """Run batches of one task's tiles, as model.inference.runner.TileRunner does.

    max_tiles: tiles the device takes at a time, in at_once batches from as many threads.
    has_express: it takes one batch more, at once.
    overlaps_host: it works beside the processor, so that the next batch should be ready before one ends.
    """

    max_tiles: int
    at_once: int
    has_express: bool
    overlaps_host: bool

    def run(self, tiles: np.ndarray, express: bool = False) -> np.ndarray:
        """Restore uint8 (n, tile, tile, 3)."""
        ...

    def warm_up(self) -> dict[int, float]:
        """Choose max_tiles and return the seconds that each number of tiles tried took, at_once batches together."""
        ...


class Outcome(NamedTuple):
    """Hold what became of a batch: its tiles, and the error of each that failed.

    seconds: from its start to its end. share_seconds: its part of them, if the device worked on others as well.
    """

    restored: np.ndarray
    errors: dict[int, Exception]
    seconds: float
    share_seconds: float


class DeviceWorker:
    """Keep one device busy while tiles wait: as many batches under way as it works on at once, each in its own lane.

    A lane is a thread that takes its next batch itself: while there is work, the event loop has no part in it but to
    hear that a job is over. No lane waits for another: where threads of a processor are the lanes, none stands idle
    until the slowest is done. While all of them serve one job, the first tile of any other may take the express lane:
    a small picture beside a huge one would otherwise wait for half a tile of it, and be done hardly sooner than two
    tiles take. Among many jobs there is nothing to gain from more tiles at once.

    name: the device's. runners: one for each task. work: held by whoever touches the queue, notified when tiles arrive.
    clock: monotonic seconds, the one that deadlines are on.
    """

    def __init__(
        self,
        name: str,
        runners: Mapping[str, Runner],
        queue: TileQueue,
        work: threading.Condition,
        metrics: Metrics,
        clock: Callable[[], float],
    ) -> None:
        self.name = name
        self.runners = runners
        self.batch_times = {task: BatchTime() for task in runners}
        self._queue = queue
        self._work = work
        self._metrics = metrics
        self._clock = clock
        self._at_once = max((runner.at_once for runner in runners.values()), default=1)
        # One batch more where the device works beside the processor: one is cut or stitched while the other runs. On a
        # CPU that would only take time from the network.
        self._overlaps_host = any(runner.overlaps_host for runner in runners.values())
        self._has_express = any(runner.has_express for runner in runners.values())
        self._lanes = self._at_once + self._overlaps_host
        self._under_way: list[list[Tile]] = []  # one batch for each lane that is busy, but for the express lane
        self._stopped = False
        self._time = SharedTime(clock)
        manners = None if self._overlaps_host else lower_priority
        self._threads = ThreadPoolExecutor(self._lanes, f"lane-{name}", initializer=manners)
        self._express_thread = ThreadPoolExecutor(1, f"express-{name}")
        # All that a device beside the processor is told comes from one thread.
        self._device = ThreadPoolExecutor(1, f"device-{name}", initializer=manners)

    async def warm_up(self) -> None:
        """Make every network ready in a thread of the device's, and learn the device's speed from that."""
        for task, runner in self.runners.items():
            seconds = await asyncio.get_running_loop().run_in_executor(self._device, runner.warm_up)
            for tiles, taken in seconds.items():
                self.batch_times[task].observe(-(-tiles // self._at_once), taken / self._at_once)

    async def run(self) -> None:
        """Serve until cancelled; raises a DeviceFault when the device is lost."""
        loop = asyncio.get_running_loop()
        lanes = [loop.run_in_executor(self._threads, self._serve, loop, False) for _ in range(self._lanes)]
        if self._has_express:
            lanes.append(loop.run_in_executor(self._express_thread, self._serve, loop, True))
        try:
            await asyncio.gather(*lanes)
        finally:
            with self._work:
                self._stopped = True
                self._work.notify_all()
            for threads in (self._threads, self._express_thread, self._device):
                threads.shutdown(wait=False)

    def _serve(self, loop: asyncio.AbstractEventLoop, express: bool) -> None:
        """Be a lane until the worker stops. Runs in a thread of its own."""
        while batch := self._next(loop, express):
            tiles, task = cut_batch(batch), batch[0].job.task
            if self._overlaps_host:
                outcome = self._device.submit(self._run_batch, task, tiles).result()
            else:
                outcome = self._run_batch(task, tiles, express)
            stitch_batch(batch, outcome)
            if not express:
                with self._work:
                    self._under_way.remove(batch)
            self._settle(batch, outcome, loop)

    def _next(self, loop: asyncio.AbstractEventLoop, express: bool) -> list[Tile]:
        """Wait for the next batch of a lane; [] when the worker has stopped."""
        with self._work:
            while not self._stopped:
                for job in self._queue.expire(now := self._clock()):
                    self._metrics.tiles.labels(job.task, "expired").inc(job.tiles_waiting)
                    loop.call_soon_threadsafe(job.expire, now)
                limits = {task: self._limit(task) for task in self.runners}
                if express:
                    batch = self._queue.take_first(limits) if self._one_job_has_all_lanes() else []
                elif batch := self._queue.take(limits):
                    self._under_way.append(batch)
                    if self._has_express and self._one_job_has_all_lanes():
                        self._work.notify_all()  # nothing is left to the others but the express lane
                if batch:
                    return batch
                self._work.wait()
        return []

    def _one_job_has_all_lanes(self) -> bool:
        jobs = {tile.job for batch in self._under_way for tile in batch}
        return len(self._under_way) == self._lanes and len(jobs) == 1

    def tiles_per_second(self) -> float:
        """Return the device's rate at full batches, of the slowest task seen; 0 before the first batch."""
        rates = [fit.tiles_per_second(self._limit(task)) for task, fit in self.batch_times.items()]
        return min((rate for rate in rates if rate), default=0.0)

    def _limit(self, task: str) -> int:
        """Return how many tiles one batch may have."""
        return -(-self.runners[task].max_tiles // self._at_once)

    def _run_batch(self, task: str, tiles: np.ndarray, express: bool = False) -> Outcome:
        """Run one batch, whatever happens."""
        runner, start, given = self.runners[task], self._clock(), self._time.note(1)
        try:
            restored, errors = runner.run(tiles, express), {}
        except NonFiniteTiles as error:
            restored, errors = error.restored, dict.fromkeys(error.indices, error)
        except DeviceFault:
            raise
        except Exception:  # noqa: BLE001 - whose tile it was is found by running them singly
            restored, errors = self._run_singly(runner, tiles, express)
        return Outcome(restored, errors, self._clock() - start, self._time.note(-1) - given)

    def _run_singly(self, runner: Runner, tiles: np.ndarray, express: bool) -> tuple[np.ndarray, dict[int, Exception]]:
        restored, errors = np.zeros_like(tiles), {}
        for index in range(len(tiles)):
            try:
                restored[index] = runner.run(tiles[index : index + 1], express)[0]
            except DeviceFault:
                raise
            except Exception as error:  # noqa: BLE001 - the guilty tile's request gets it
                errors[index] = error
        return restored, errors

    def _settle(self, batch: list[Tile], outcome: Outcome, loop: asyncio.AbstractEventLoop) -> None:
        """Account a batch to its jobs; only the end of one is told to the event loop, in whose thread its future is."""
        task = batch[0].job.task
        self.batch_times[task].observe(len(batch), outcome.share_seconds)
        self._metrics.batch_tiles.labels(task).observe(len(batch))
        self._metrics.batch_duration.labels(task).observe(outcome.seconds)
        for index, (job, _) in enumerate(batch):
            if error := outcome.errors.get(index):
                self._metrics.tiles.labels(task, "failed").inc()
                with self._work:
                    self._queue.discard(job)
                failure = RestorationFailed("The network gave no usable result for this picture.")
                failure.__cause__ = error
                loop.call_soon_threadsafe(job.fail, failure)
            elif job.settled:
                self._metrics.tiles.labels(task, "cancelled").inc()
            else:
                self._metrics.tiles.labels(task, "done").inc()
                if job.count_done(outcome.share_seconds / len(batch)):
                    loop.call_soon_threadsafe(job.finish)


def lower_priority() -> None:
    """Let the other threads of the process go before the calling one and those it starts, where Linux can do that."""
    if sys.platform == "linux":
        os.nice(NICENESS)  # there of the thread alone


def cut_batch(batch: list[Tile]) -> np.ndarray:
    """Cut the tiles of a batch, uint8 (n, tile, tile, 3)."""
    return np.stack([job.cut(index) for job, index in batch])


def stitch_batch(batch: list[Tile], outcome: Outcome) -> None:
    """Stitch the restored tiles into their pictures, but for those that failed and those nobody waits for."""
    for position, (job, index) in enumerate(batch):
        if position not in outcome.errors and not job.settled:
            job.add(index, outcome.restored[position])
