"""Where the parts are built and joined; a service's life is load → warm up → serve → drain → stop.

Knows nothing of processes and signals; server.py does.
"""

import asyncio
import contextlib
import os
import time
from collections.abc import AsyncIterator, Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import structlog
from fastapi import FastAPI

from app.api import health, models, openapi, page, problems, progress, reference, restore
from app.batching.admission import Admission
from app.batching.device_worker import DeviceWorker
from app.batching.engine import BatchingEngine
from app.batching.tile_queue import TileQueue
from app.codecs.pool import Codecs
from app.errors import Draining, StartError
from app.imaging.picture import ImageLimits
from app.middleware import stack
from app.middleware.api_keys import KeysError
from app.pipeline import Pipeline
from app.runners import load_runners
from app.settings import Settings
from app.telemetry.metrics import Metrics
from model import __version__
from model.checkpoints.checkpoint import TASKS
from model.inference.contract import Runner
from model.inference.scales import most_tiles_within

_log = structlog.get_logger()


class Service:
    """Join the parts of one service and know in which phase of its life it is.

    runners: device name → task → runner. Raises StartError if the limits cannot be used.
    """

    def __init__(self, settings: Settings, runners: Mapping[str, Mapping[str, Runner]]) -> None:
        self.settings = settings
        self.metrics = Metrics(TASKS)
        clock = time.monotonic
        queue = TileQueue()
        workers = [DeviceWorker(name, tasks, queue, self.metrics, clock) for name, tasks in runners.items()]
        self.runners = [runner for worker in workers for runner in worker.runners.values()]
        self.engine = BatchingEngine(workers, queue, self.metrics, clock)
        self.admission = Admission(settings.queue, self.engine.tiles_per_second, clock)
        codecs = settings.server.codec_threads or os.cpu_count() or 1
        self.codecs = Codecs(codecs, self.metrics, clock)
        self.threads = ThreadPoolExecutor(codecs, "codec")
        infos = {task: runner.info for task, runner in next(iter(runners.values())).items()}
        tiles = {task: (info.tile, info.overlap, info.overview) for task, info in infos.items()}
        check_queue(settings, tiles)
        self.pipeline = Pipeline(
            ImageLimits(settings.limits.pixels, settings.limits.side, tuple(settings.limits.formats.split(","))),
            self.admission,
            self.engine,
            tiles,
            self.codecs,
            self.threads,
            clock,
        )
        self.warm = False
        self._watch()

    def readiness(self) -> str:
        """Return "ready", or why not: "warming", "draining", "device lost" or "codecs stuck"."""
        if self.engine.lost.is_set():
            return "device lost"
        if self.admission.draining:
            return "draining"
        if not self.warm:
            return "warming"
        return "codecs stuck" if self.codecs.stuck else "ready"

    def _watch(self) -> None:
        """Let the metrics ask for the state of every part at each scrape."""
        metrics, queue, admission, engine = self.metrics, self.settings.queue, self.admission, self.engine
        codecs = self.codecs

        def tiles(task: str) -> int:
            return sum(job.tiles_left for job in engine.jobs if job.task == task)

        def jobs(task: str) -> int:
            return sum(job.task == task for job in engine.jobs)

        def delay_seconds() -> float:
            rate = engine.tiles_per_second()
            return admission.tiles / rate if rate else 0.0

        for task in TASKS:
            metrics.queue_tiles.labels(task).set_function(partial(tiles, task))
            metrics.queue_jobs.labels(task).set_function(partial(jobs, task))
        metrics.admitted_tiles.set_function(lambda: admission.tiles)
        metrics.admitted_tiles_limit.set(queue.tiles)
        metrics.decoded_bytes.set_function(lambda: 3 * admission.pixels)
        metrics.decoded_bytes_limit.set(3 * queue.decoded_pixels)
        metrics.predicted_delay.set_function(delay_seconds)
        metrics.deadline.set(queue.deadline_seconds)
        metrics.capacity.set_function(engine.tiles_per_second)
        metrics.ready.set_function(lambda: self.readiness() == "ready")
        metrics.draining.set_function(lambda: admission.draining)
        metrics.codec_processes.labels("busy").set_function(lambda: codecs.busy)
        metrics.codec_processes.labels("idle").set_function(lambda: codecs.alive - codecs.busy)
        metrics.watch_runners(self.runners)

    async def warm_up(self) -> None:
        """Start the codecs and run every network once, each device in its own thread; then take work."""
        start = time.perf_counter()
        await asyncio.gather(self.codecs.start(), self.engine.warm_up())
        for worker in self.engine.workers:
            for task, runner in worker.runners.items():
                _log.info("warm", task=task, device=worker.name, precision=runner.precision, max_tiles=runner.max_tiles)
        self.engine.start()
        self.warm = True
        _log.info("ready", seconds=round(time.perf_counter() - start, 2))

    async def drain(self) -> None:
        """Refuse new work, let what is in flight finish, and fail what has not when the time is over."""
        self.admission.draining = True
        _log.info("draining", requests=self.admission.requests, tiles=self.admission.tiles)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self.settings.server.drain_seconds):
                await self.admission.idle.wait()
        left = self.engine.abandon(Draining("The service stopped before the picture was done."))
        self.codecs.abandon()
        _log.info("drained", abandoned_requests=left)


def create_app(
    settings: Settings, load: Callable[[Settings], Mapping[str, Mapping[str, Runner]]] = load_runners
) -> FastAPI:
    """Build the service: load the weights, join the parts, add the routes. Raises StartError.

    load: gives the runners; another than this machine's may give what runs like them elsewhere.
    """
    service = Service(settings, load(settings))

    @contextlib.asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        warming = asyncio.create_task(service.warm_up())
        yield
        warming.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await warming
        await service.codecs.stop()
        await service.engine.stop()
        service.threads.shutdown(wait=False, cancel_futures=True)

    app = FastAPI(
        title="DMSR",
        version=__version__,
        description="Removes rain and haze from photos.",
        lifespan=lifespan,
        docs_url=None,  # FastAPI's page would load its parts from a CDN; ours is api/reference.py
        redoc_url=None,
        generate_unique_id_function=lambda route: route.name,  # operation ids: derain, dehaze, models, …
        redirect_slashes=False,
    )
    app.state.service = service
    running = progress.Running()
    signatures = {runner.task: models.signature(runner) for runner in service.runners}
    app.include_router(restore.router(service.pipeline, running, service.readiness, signatures, settings.queue))
    app.include_router(progress.router(running))
    app.include_router(models.router(service.runners))
    app.include_router(page.router(settings.limits))
    app.include_router(reference.router(lambda: app.openapi()))
    app.include_router(health.router(service.readiness, service.metrics))
    problems.install(app)
    openapi.install(app, keys=settings.auth.keys_file is not None)
    try:
        stack.install(app, settings, service.metrics)
    except KeysError as error:
        raise StartError(str(error)) from error
    return app


def check_queue(settings: Settings, tiles: Mapping[str, tuple[int, int, bool]]) -> None:
    """Raise StartError if a picture that the limits allow could never be admitted."""
    for task, laid in tiles.items():
        most = most_tiles_within(settings.limits.pixels, settings.limits.side, laid)
        if most > settings.queue.tiles:
            raise StartError(
                f"a picture of DMSR_LIMITS_PIXELS={settings.limits.pixels} can need {most} tiles to {task}, "
                f"but DMSR_QUEUE_TILES={settings.queue.tiles}; raise the one or lower the other"
            )
