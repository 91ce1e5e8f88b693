"""Where the parts are built and joined, and where the process lives: load → warm up → serve → drain → stop."""

import asyncio
import contextlib
import os
import signal
import time
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from importlib.metadata import version
from pathlib import Path

import structlog
import uvicorn
from fastapi import FastAPI

from app.api import health, models, openapi, problems, progress, restore
from app.batching.admission import Admission
from app.batching.device_worker import DeviceWorker
from app.batching.engine import BatchingEngine
from app.batching.tile_queue import TileQueue
from app.imaging.picture import ImageLimits
from app.middleware import stack
from app.middleware.api_keys import KeysError
from app.pipeline import Pipeline
from app.settings import Settings
from app.telemetry.logs import configure_logs
from app.telemetry.metrics import Metrics
from model.catalog import Catalog
from model.checkpoint import TASKS, WeightsError
from model.runner import TileRunner, resolve_device

_log = structlog.get_logger()


class StartError(RuntimeError):
    """The service cannot start; the message names the cause and the remedy."""


class Service:
    """Join the parts of one service and know in which phase of its life it is.

    Raises StartError if the weights or the devices cannot be used.
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.metrics = Metrics(TASKS)
        clock = time.monotonic
        runners = load_runners(settings)
        queue, work = TileQueue(), asyncio.Event()
        workers = [DeviceWorker(name, tasks, queue, work, self.metrics, clock) for name, tasks in runners.items()]
        self.runners = [runner for worker in workers for runner in worker.runners.values()]
        self.engine = BatchingEngine(workers, queue, work, self.metrics, clock)
        self.admission = Admission(settings.queue, self.engine.tiles_per_second, clock)
        self.codecs = ThreadPoolExecutor(settings.server.codec_threads or os.cpu_count() or 1, "codec")
        first_device = next(iter(runners.values()))
        self.pipeline = Pipeline(
            ImageLimits(settings.limits.pixels, settings.limits.side),
            self.admission,
            self.engine,
            {task: (runner.tile, runner.info.overlap) for task, runner in first_device.items()},
            self.codecs,
            clock,
        )
        self.warm = False
        self._watch()

    def readiness(self) -> str:
        """Return "ready", or why not: "warming", "draining" or "device lost"."""
        if self.engine.lost.is_set():
            return "device lost"
        if self.admission.draining:
            return "draining"
        return "ready" if self.warm else "warming"

    def _watch(self) -> None:
        """Let the metrics ask for the state of every part at each scrape."""
        metrics, queue, admission, engine = self.metrics, self.settings.queue, self.admission, self.engine

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
        metrics.watch_runners(self.runners)

    async def warm_up(self) -> None:
        """Run every network once, each device in its own thread, then take work."""
        loop = asyncio.get_running_loop()
        for worker in self.engine.workers:
            for task, runner in worker.runners.items():
                start = time.perf_counter()
                await loop.run_in_executor(self.codecs, runner.warm_up)
                _log.info(
                    "warm",
                    task=task,
                    device=worker.name,
                    precision=runner.precision,
                    max_tiles=runner.max_tiles,
                    seconds=round(time.perf_counter() - start, 2),
                )
        self.engine.start()
        self.warm = True
        _log.info("ready")

    async def drain(self) -> None:
        """Refuse new work, let what is in flight finish, and fail what has not when the time is over."""
        self.admission.draining = True
        _log.info("draining", requests=self.admission.requests, tiles=self.admission.tiles)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self.settings.server.drain_seconds):
                await self.admission.idle.wait()
        left = self.engine.abandon()
        _log.info("drained", abandoned_requests=left)


def create_app(settings: Settings) -> FastAPI:
    """Build the service: load the weights, join the parts, add the routes. Raises StartError."""
    service = Service(settings)

    @contextlib.asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        warming = asyncio.create_task(service.warm_up())
        yield
        warming.cancel()
        await service.engine.stop()
        service.codecs.shutdown(wait=False, cancel_futures=True)

    app = FastAPI(
        title="DMSR",
        version=version("dmsr-service"),
        description="Removes rain and haze from photos.",
        lifespan=lifespan,
        docs_url=None,  # the page would load its parts from a CDN
        redoc_url=None,
        redirect_slashes=False,
    )
    app.state.service = service
    running = progress.Running()
    signatures = {runner.task: models.signature(runner) for runner in service.runners}
    app.include_router(restore.router(service.pipeline, running, service.readiness, signatures, settings.queue))
    app.include_router(progress.router(running))
    app.include_router(models.router(service.runners))
    app.include_router(health.router(service.readiness, service.metrics))
    problems.install(app)
    openapi.install(app, keys=settings.auth.keys_file is not None)
    try:
        stack.install(app, settings, service.metrics)
    except KeysError as error:
        raise StartError(str(error)) from error
    return app


def load_runners(settings: Settings) -> dict[str, dict[str, TileRunner]]:
    """Load every task's weights onto every device: device name → task → runner. Raises StartError."""
    try:
        devices = [resolve_device(name.strip()) for name in settings.devices.split(",")]
    except ValueError as error:
        raise StartError(f"DMSR_DEVICES={settings.devices}: {error}") from error
    runners: dict[str, dict[str, TileRunner]] = {}
    for device in devices:
        tasks = runners.setdefault(str(device), {})
        for task in TASKS:
            path, sha256 = find_weights(settings, task, device.type)
            if path is None:
                _log.warning("no weights", task=task, remedy=f"set DMSR_WEIGHTS_{task.upper()}")
                continue
            try:
                runner = TileRunner.load(
                    path, str(device), settings.runner.precision, sha256, settings.runner.max_tiles
                )
            except WeightsError as error:
                raise StartError(str(error)) from error
            if runner.info.task != task:
                raise StartError(f"{path} holds weights for {runner.info.task}, not for {task}")
            tasks[task] = runner
    if not any(runners.values()):
        raise StartError("there are no weights; set DMSR_WEIGHTS_DERAIN or DMSR_WEIGHTS_DEHAZE to a .safetensors file")
    return runners


def find_weights(settings: Settings, task: str, device_type: str) -> tuple[Path | None, str | None]:
    """Return the weights file for a task and the sha256 it must have: the setting's, else the manifest's choice."""
    chosen: Path | None = getattr(settings.weights, task)
    if chosen is not None:
        return chosen, None
    try:
        catalog = Catalog.load()
    except WeightsError as error:
        raise StartError(str(error)) from error
    entry = catalog.default(task, device_type)
    return (catalog.path(entry), entry.sha256) if entry else (None, None)


class _Server(uvicorn.Server):
    """uvicorn, but for its signal handlers: they close the listener before anyone learns that we drain."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def serve_forever(settings: Settings) -> int:
    """Serve until SIGTERM or SIGINT, drain, and return the exit code; a second signal ends at once.

    Raises StartError if there is nothing to serve with.
    """
    configure_logs(settings.log)
    return asyncio.run(_serve(settings))


async def _serve(settings: Settings) -> int:
    app = create_app(settings)
    service: Service = app.state.service
    config = uvicorn.Config(
        app,
        host=settings.server.host,
        port=settings.server.port,
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=5,
    )
    server = _Server(config)
    stopping = asyncio.Event()

    def on_signal() -> None:
        if stopping.is_set():
            _log.warning("second signal: ending at once")
            os._exit(1)
        stopping.set()

    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, on_signal)

    async def end() -> None:
        waits = [asyncio.create_task(event.wait()) for event in (stopping, service.engine.lost)]
        await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        for wait in waits:
            wait.cancel()
        await service.drain()
        server.should_exit = True

    ending = asyncio.create_task(end())
    try:
        await server.serve()
    except SystemExit as error:  # uvicorn's way to say that it could not bind
        raise StartError(f"cannot listen on {settings.server.host}:{settings.server.port}") from error
    ending.cancel()
    if service.engine.lost.is_set():
        _log.error("a device is lost; the supervisor should start a new process")
        return 1
    _log.info("stopped")
    return 0
