"""A device without hardware: what it does with each batch is a function, and when, an event."""

import asyncio
import threading
from collections.abc import Callable, Iterable

import numpy as np

from app.batching.device_worker import DeviceWorker
from app.batching.engine import BatchingEngine
from app.batching.job import TileJob
from app.batching.tile_queue import TileQueue
from app.telemetry.metrics import Metrics
from model.inference.contract import TileResults
from model.inference.tiling import TilePlan

TILE = 64


class Clock:
    """Monotonic seconds that pass when told to."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


class FakeRunner:
    """Run `behaviour` on each batch, in a thread of the device's; after `hold`, one batch for each release."""

    def __init__(
        self,
        behaviour: Callable[[np.ndarray], np.ndarray] = lambda tiles: tiles,
        max_tiles: int = 4,
        overlaps_host: bool = False,
        threads: int = 0,
    ) -> None:
        self.behaviour = behaviour
        self.max_tiles = max_tiles
        self.overlaps_host = overlaps_host
        self.threads = threads
        self.batches: list[int] = []
        self.threads_of: list[int] = []  # of each batch
        self.beside: list[int] = []  # how many others ran when each batch began
        self._ended = 0
        self._lock = threading.Lock()
        self.running = threading.Semaphore(0)
        self.gate: threading.Semaphore | None = None

    @property
    def batch_tiles(self) -> int:
        return 1 if self.threads else self.max_tiles

    def run(self, tiles: np.ndarray, threads: int) -> TileResults:
        with self._lock:
            self.beside.append(len(self.batches) - self._ended)
            self.batches.append(len(tiles))
            self.threads_of.append(threads)
        self.running.release()
        try:
            if self.gate is not None:
                assert self.gate.acquire(timeout=30), "the test never let this batch go"
            done = self.behaviour(tiles)
            return done if isinstance(done, TileResults) else TileResults(done)
        finally:
            with self._lock:
                self._ended += 1

    def warm_up(self) -> dict[int, float]:
        return {1: 1.0, 2: 1.5}

    def hold(self) -> None:
        """Stop before every batch until `let_go`."""
        self.gate = threading.Semaphore(0)

    def let_go(self, batches: int = 1) -> None:
        assert self.gate is not None
        self.gate.release(batches)

    async def started(self) -> None:
        """Wait until one more batch has reached the device."""
        await asyncio.to_thread(self.running.acquire)


class FakeEngine:
    """Join real queue, workers and engine around fake runners."""

    def __init__(self, *runners: FakeRunner, clock: Callable[[], float] | None = None) -> None:
        self.clock = clock or Clock()
        self.metrics = Metrics()
        self.queue = TileQueue()
        self.workers = [
            DeviceWorker(f"fake:{i}", {"derain": r, "dehaze": r}, self.queue, self.metrics, self.clock)
            for i, r in enumerate(runners)
        ]
        self.engine = BatchingEngine(self.workers, self.queue, self.metrics, self.clock)

    async def __aenter__(self) -> "FakeEngine":
        self.engine.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.engine.stop()

    async def idle_lanes(self, count: int) -> None:
        """Wait until so many lanes wait for work. A lane that arriving work wakes counts once it has looked in vain."""
        await asyncio.sleep(0)  # tasks made just now bring theirs
        await until(lambda: sum(len(worker._idle) for worker in self.workers) == count)

    async def rest(self) -> None:
        """Wait until every lane of every device waits for work."""
        await until(lambda: all(len(w._idle) == w._lanes + w._has_express for w in self.workers))

    def tiles(self, result: str, task: str = "derain") -> float:
        return self.metrics.registry.get_sample_value("dmsr_tiles_total", {"task": task, "result": result}) or 0


def job(tiles: int, value: int = 7, task: str = "derain", deadline: float = float("inf")) -> TileJob:
    """Make a job of so many tiles in a row, all pixels of one value."""
    image = np.full((TILE, TILE * tiles, 3), value, np.uint8)
    return TileJob(task, image, TilePlan(TILE, TILE * tiles, TILE, 0), deadline)


async def until(condition: Callable[[], bool]) -> None:
    """Wait for what threads do."""
    async with asyncio.timeout(30):
        while not condition():  # noqa: ASYNC110 - threads set no asyncio.Event
            await asyncio.sleep(0.001)


def values(tiles: np.ndarray) -> Iterable[int]:
    """Return the value of each tile of a batch."""
    return tiles[:, 0, 0, 0].tolist()


def run(scenario):
    """Run an async test and insist that it leaves no task behind."""

    async def wrapped():
        async with asyncio.timeout(60):
            await scenario()
        left = asyncio.all_tasks() - {asyncio.current_task()}
        assert not left

    asyncio.run(wrapped())
