"""The queue and its devices as one thing: give it a job, wait until its last tile is back.

Knows nothing of HTTP or files.
"""

import asyncio
from collections.abc import Callable

from app.batching.device_worker import DeviceWorker
from app.batching.job import TileJob
from app.batching.tile_queue import TileQueue
from app.errors import DeviceLost, DmsrError
from app.telemetry.metrics import Metrics


class BatchingEngine:
    """Run jobs on the devices of this process; every job it takes is settled, whatever happens.

    workers must share `queue`. clock: monotonic seconds, the one that deadlines are on. jobs: those not yet settled,
    waiting or on a device. lost: set when a device is.
    """

    def __init__(
        self, workers: list[DeviceWorker], queue: TileQueue, metrics: Metrics, clock: Callable[[], float]
    ) -> None:
        self.workers = workers
        self.queue = queue
        self.jobs: set[TileJob] = set()
        self.lost = asyncio.Event()
        self._metrics = metrics
        self._clock = clock
        self._tasks: list[asyncio.Task[None]] = []

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
        self.jobs.add(job)
        with self.queue.lock:
            self.queue.put(job)
            for worker in self.workers:
                worker.wake()
        left = "cancelled"  # what becomes of tiles that still wait in the end
        try:
            # This wait cancels nothing, so a job that finishes at the very moment of its deadline is done.
            await asyncio.wait([job.finished], timeout=job.deadline - job.queued_at)
            if not job.finished.done():
                left = "expired"
                raise job.expired(self._clock())
            job.finished.result()
        finally:
            with self.queue.lock:
                self._metrics.tiles.labels(job.task, left).inc(self.queue.discard(job))
            self.jobs.discard(job)
            job.finished.cancel()

    def tiles_per_second(self) -> float:
        """Return what all devices manage together; 0 while unknown."""
        return sum(worker.tiles_per_second() for worker in self.workers)

    def abandon(self, error: DmsrError) -> int:
        """Fail every job that is left and return how many there were."""
        for job in self.jobs:
            job.end(error)
        return len(self.jobs)

    async def stop(self) -> None:
        """Stop the workers; call it when no job is left."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _keep(self, worker: DeviceWorker) -> None:
        try:
            await worker.run()
        except Exception:
            # A lost device or a bug in the worker: either way nobody would answer the jobs any more.
            self.lost.set()
            self.abandon(DeviceLost("The device failed; the service is restarting."))
            raise
