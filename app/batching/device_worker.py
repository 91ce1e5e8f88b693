"""One device's lanes: threads that take a batch, cut it, run it, stitch it, settle its tiles, and take the next.

Knows nothing of HTTP or files. This is the only place that decides how many threads a batch has, and the only code of
the service that catches every exception: it does so to settle futures.
"""

import asyncio
import math
import os
import sys
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import numpy as np

from app.batching.throughput import BatchTime
from app.batching.tile_queue import Tile, TileQueue
from app.errors import RestorationFailed
from app.telemetry.metrics import Metrics
from model.inference.contract import DeviceFault, NonFiniteTiles, Runner
from model.inference.tiling import Pixels

NICENESS = 10
"""Of threads that compute on the processor. They get a tenth of a core while another thread has something to do."""

LATE_SECONDS = 300
"""A task that was served last so long before another says nothing of how fast the device is now."""


class Batch(NamedTuple):
    """Hold what a lane has taken: tiles of one task, and how many threads compute them."""

    task: str
    tiles: list[Tile]
    threads: int


class Outcome(NamedTuple):
    """Hold what became of a tile: its pixels, whether they were left as they were, the error if the network failed."""

    pixels: Pixels
    kept: bool = False
    error: Exception | None = None


class DeviceWorker:
    """Keep one device busy while tiles wait.

    A processor has one lane for each thread, and a batch there is one tile. Threads that share a tile wait for each
    other at the end of every layer, hundreds of times a tile, so under load each tile gets one thread. A tile alone
    gets all of them. Together the tiles never have more threads than there are, because OpenMP's threads spin while
    they wait for one that does not run.

    While one job has all lanes, the first tile of any other job may take the express lane: one thread more, ahead of
    the others. Otherwise a small picture beside a huge one would wait for half a tile. Among many jobs a thread more
    gains nothing.

    A GPU has two lanes: while one's batch computes, the other stitches its last one, cuts the next and has it copied to
    the device. The device computes batches in the order in which they come.

    name: the device's. runners: one for each task. clock: monotonic seconds, the one that deadlines are on.
    """

    def __init__(
        self, name: str, runners: Mapping[str, Runner], queue: TileQueue, metrics: Metrics, clock: Callable[[], float]
    ) -> None:
        self.name = name
        self.runners = runners
        self.batch_times = {task: BatchTime() for task in runners}
        self._served_at = dict.fromkeys(runners, -math.inf)  # by task: when its last batch ended
        self._queue, self._metrics, self._clock = queue, metrics, clock
        self._threads = max((runner.threads for runner in runners.values()), default=0)
        most_tiles = max((runner.max_tiles for runner in runners.values()), default=1)
        overlaps_host = any(runner.overlaps_host for runner in runners.values())
        self._lanes = min(self._threads, most_tiles) if self._threads else 1 + overlaps_host
        self._has_express = self._threads > 0 and self._lanes < most_tiles  # its number follows the lanes'
        self._under_way: dict[int, Batch] = {}  # by lane; without the express lane's
        self._idle: dict[int, threading.Condition] = {}  # by lane: what wakes it
        self._crowd = 0  # tiles that ran or waited when a batch ended last
        self._free_at = -math.inf  # when the device's last batch ended, if it is not this processor
        self._stopped = False
        self._lane_threads = ThreadPoolExecutor(self._lanes + self._has_express, f"lane-{name}")
        self._warming = ThreadPoolExecutor(1, f"device-{name}", lower_priority if self._threads else None)

    async def warm_up(self) -> None:
        """Make every network ready and learn the device's speed from that."""
        for task, runner in self.runners.items():
            measured = await asyncio.get_running_loop().run_in_executor(self._warming, runner.warm_up)
            for tiles, seconds in measured.items():
                self.batch_times[task].observe(tiles, seconds)

    async def run(self) -> None:
        """Serve until cancelled; raises a DeviceFault when the device is lost."""
        loop, lanes = asyncio.get_running_loop(), range(self._lanes + self._has_express)
        try:
            await asyncio.gather(*(loop.run_in_executor(self._lane_threads, self._serve, lane) for lane in lanes))
        finally:
            with self._queue.lock:
                self._stopped = True
                for turn in self._idle.values():
                    turn.notify()
            self._lane_threads.shutdown(wait=False)
            self._warming.shutdown(wait=False)

    def wake(self) -> None:
        """Wake the first idle lane, which wakes the next if there is more to do; for whoever holds the queue's lock."""
        if self._idle and len(self._queue):
            self._idle.pop(min(self._idle)).notify()

    def tiles_per_second(self) -> float:
        """Return the device's throughput at full batches, of the slowest task served of late.

        Before any is, it is what the warm-up found, which other work may have slowed down; 0 before that.
        """
        newest = max(self._served_at.values(), default=0.0)
        tasks = [task for task, at in self._served_at.items() if at >= newest - LATE_SECONDS]
        rates = [self.batch_times[task].tiles_per_second(self.runners[task].batch_tiles) for task in tasks]
        return min((rate for rate in rates if rate), default=0.0)

    def _serve(self, lane: int) -> None:
        """Be a lane until the worker stops. Runs in a thread of its own."""
        if self._threads and lane < self._lanes:
            lower_priority()
        while batch := self._next(lane):
            tiles = np.stack([job.cut(index) for job, index in batch.tiles])
            start = self._clock()
            outcomes = run_tiles(self.runners[batch.task], tiles, batch.threads)
            with self._queue.lock:
                end = self._clock()
                if not self._threads:  # a batch that was handed over while another computed began when that one ended
                    start, self._free_at = max(start, self._free_at), end
                self._crowd = len(self._under_way) + len(self._queue)
                self._under_way.pop(lane, None)
            self._settle(batch, outcomes, end - start)

    def _next(self, lane: int) -> Batch | None:
        """Wait for a lane's next batch; None when the worker has stopped."""
        express = lane == self._lanes
        with self._queue.lock:
            while not self._stopped:
                limits = {task: runner.batch_tiles for task, runner in self.runners.items()}
                threads = self._share(lane)
                if threads and (tiles := self._queue.take(limits, self._clock(), first=express)):
                    batch = Batch(tiles[0].job.task, tiles, threads)
                    if not express:
                        self._under_way[lane] = batch
                    self.wake()
                    return batch
                turn = self._idle[lane] = threading.Condition(self._queue.lock)
                turn.wait()
        return None

    def _share(self, lane: int) -> int:
        """Return how many threads a lane's next batch may have; 0 while it must wait."""
        if not self._threads:
            return 1
        if lane == self._lanes:
            jobs = {tile.job for batch in self._under_way.values() for tile in batch.tiles}
            return int(len(self._under_way) == self._lanes and len(jobs) == 1)
        free = self._threads - sum(batch.threads for batch in self._under_way.values())
        # Count also those that were there when the last batch ended. Otherwise two callers alternate: each finds the
        # other gone and takes all threads, and together they have half the throughput.
        here = max(len(self._under_way) + len(self._queue), self._crowd)
        # A thread that has led an OpenMP team keeps it. Lane n leads no more than threads / (n + 1), so that all teams
        # together stay a few times as many as the threads.
        return min(free, max(1, self._threads // max(here, lane + 1)))

    def _settle(self, batch: Batch, outcomes: list[Outcome], seconds: float) -> None:
        """Give each job its tiles. The event loop hears only that a job is over, because its future lives there."""
        # On a processor a batch has as much of the device's time as it has of its threads.
        device_seconds = seconds * batch.threads / max(self._threads, 1)
        self.batch_times[batch.task].observe(len(outcomes), device_seconds)
        self._served_at[batch.task] = self._clock()
        self._metrics.batch_tiles.labels(batch.task).observe(len(outcomes))
        self._metrics.batch_duration.labels(batch.task).observe(seconds)
        for (job, index), (pixels, kept, error) in zip(batch.tiles, outcomes, strict=True):
            failure: RestorationFailed | None = None
            if error:
                failure = RestorationFailed("The network gave no usable result for this picture.")
                failure.__cause__ = error
                result, over = "failed", True
            elif job.finished.done():
                result, over = "cancelled", False
            else:
                over = job.add(index, pixels, device_seconds / len(outcomes), kept)
                result = "kept" if kept else "done"
            self._metrics.tiles.labels(batch.task, result).inc()
            if over:
                job.finished.get_loop().call_soon_threadsafe(job.end, failure)


def lower_priority() -> None:
    """Let other threads go before the calling one and those it starts, where Linux can do that."""
    if sys.platform == "linux":
        os.nice(NICENESS)  # Linux applies it to the calling thread alone


def run_tiles(runner: Runner, tiles: Pixels, threads: int) -> list[Outcome]:
    """Restore tiles, each with its outcome, whatever happens; raises only a DeviceFault."""
    try:
        done, kept, lost = runner.run(tiles, threads)
    except DeviceFault:
        raise
    except Exception as error:  # noqa: BLE001 - the guilty tile's request gets it
        if len(tiles) == 1:
            return [Outcome(tiles[0], error=error)]
    else:
        errors = {index: NonFiniteTiles([index]) for index in lost}
        return [Outcome(tile, index in kept, errors.get(index)) for index, tile in enumerate(done)]
    return [outcome for tile in tiles for outcome in run_tiles(runner, tile[None], threads)]  # finds out whose it was
