"""The queue and its devices as one thing: give it a job, wait until its last tile is back.

Knows nothing of HTTP or files.
"""

import asyncio
from collections.abc import Callable
from typing import Protocol

from app.batching.device_worker import DeviceWorker
from app.batching.job import TileJob
from app.batching.tile_queue import TileQueue
from app.errors import DeadlineExceeded, DeviceLost, DmsrError, Draining
from app.telemetry.metrics import Metrics

LONGEST_WAIT_SECONDS = 10**6
"""How long a job without a deadline may take: event loops count in integers, which have no infinity."""


class TileEngine(Protocol):
    """Run jobs; the queue in this process is one engine, a cluster another."""

    async def run(self, job: TileJob) -> None:
        """Return when every tile of the job is stitched; raises a DmsrError otherwise."""
        ...


class BatchingEngine:
    """Run jobs on the devices of this process; every job it takes is settled, whatever happens.

    workers must share `queue`. clock: monotonic seconds, the one that deadlines are on.
    """

    def __init__(
        self, workers: list[DeviceWorker], queue: TileQueue, metrics: Metrics, clock: Callable[[], float]
    ) -> None:
        self.workers = workers
        self.queue = queue
        self.lost: asyncio.Event = asyncio.Event()
        self._metrics = metrics
        self._clock = clock
        self._jobs: set[TileJob] = set()
        self._tasks: list[asyncio.Task[None]] = []

    @property
    def jobs(self) -> list[TileJob]:
        """List the jobs not yet settled, waiting or on a device."""
        return list(self._jobs)

    async def warm_up(self) -> None:
        """Make every device ready; whatever goes wrong here, the device counts as lost."""
        try:
            await asyncio.gather(*(worker.warm_up() for worker in self.workers))
        except Exception:
            self.lost.set()
            raise

    def start(self) -> None:
        """Set the devices to work."""
        self._tasks = [asyncio.create_task(self._keep(worker), name=f"device-{worker.name}") for worker in self.workers]

    async def run(self, job: TileJob) -> None:
        """Return when every tile of the job is stitched.

        Raises DeadlineExceeded at its deadline, RestorationFailed if the network fails on it, DeviceLost if the device
        does. Whoever stops waiting takes the job's tiles out of the queue with them.
        """
        if self.lost.is_set():
            raise DeviceLost("The device failed; the service is restarting.")
        job.queued_at = self._clock()
        self._jobs.add(job)
        with self.queue.lock:
            self.queue.put(job)
            for worker in self.workers:
                worker.wake()
        try:
            # This wait cancels nothing, so a job that finishes at the very moment of its deadline is done.
            await asyncio.wait([job.finished], timeout=min(max(job.deadline - job.queued_at, 0), LONGEST_WAIT_SECONDS))
            job.expire(self._clock())
            job.finished.result()
        except DeadlineExceeded:
            self._drop(job, "expired")
            raise
        finally:
            self._drop(job, "cancelled")
            job.finished.cancel()

    def tiles_per_second(self) -> float:
        """Return what all devices manage together; 0 while unknown."""
        return sum(worker.tiles_per_second() for worker in self.workers)

    def abandon(self) -> int:
        """Fail every job that is left and return how many there were: the time to drain is over."""
        return self._fail_all(Draining("The service stopped before the picture was done."))

    async def stop(self) -> None:
        """Stop the workers; call it when no job is left."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _keep(self, worker: DeviceWorker) -> None:
        try:
            await worker.run()
        except asyncio.CancelledError:
            raise
        except BaseException:
            # A lost device or a bug in the worker: either way nobody would answer the jobs any more.
            self.lost.set()
            self._fail_all(DeviceLost("The device failed; the service is restarting."))
            raise

    def _fail_all(self, error: DmsrError) -> int:
        for job in (left := self.jobs):
            job.end(error)
        return len(left)

    def _drop(self, job: TileJob, reason: str) -> None:
        with self.queue.lock:
            dropped = self.queue.discard(job)
        if dropped:
            self._metrics.tiles.labels(job.task, reason).inc(dropped)
        self._jobs.discard(job)
