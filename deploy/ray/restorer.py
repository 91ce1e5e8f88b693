"""The two ends of the wire between the ingress and a device. Knows nothing of pictures, requests or queues."""

import asyncio
import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from operator import attrgetter

import structlog
from ray import serve
from ray.exceptions import RayError, RayTaskError

from app.runners import load_runners
from app.settings import Settings
from app.telemetry.logs import configure_logs
from model.checkpoints.checkpoint import CheckpointInfo
from model.inference.contract import DeviceFault, TileResults
from model.inference.tiling import Pixels

_log = structlog.get_logger()


@serve.deployment(logging_config={"enable_access_log": False})
class Restorer:
    """Keep every task's network on one device of the cluster; raises StartError if that cannot be done."""

    def __init__(self, settings: Settings) -> None:
        configure_logs(settings.log)
        (self._runners,) = load_runners(settings).values()
        self._device = ThreadPoolExecutor(1, "device")  # one batch at a time, and Serve answers meanwhile
        seconds = {task: self._device.submit(r.warm_up).result() for task, r in self._runners.items()}
        facts = attrgetter("task", "tile", "info", "weights", "sha256", "precision", "max_tiles")
        self._facts = {task: (seconds[task], *facts(runner)) for task, runner in self._runners.items()}

    async def describe(self) -> dict[str, tuple]:
        """Tell for each task what a RemoteRunner is made of, in the order of its fields."""
        return self._facts

    async def restore(self, task: str, tiles: Pixels) -> tuple[TileResults, int, int, int]:
        """Restore (n, tile, tile, 3): the results, max_tiles from now on, memory splits, fp32 retries."""
        return await asyncio.get_running_loop().run_in_executor(self._device, self._run, task, tiles)

    def _run(self, task: str, tiles: Pixels) -> tuple[TileResults, int, int, int]:
        runner = self._runners[task]
        splits, retries = runner.memory_splits, runner.fp32_retries
        try:
            results = runner.run(tiles)
        except DeviceFault:
            _log.exception("device lost")
            os._exit(1)  # only a new process gets rid of it: Serve starts one, and another restorer takes the batch
        return results, runner.max_tiles, runner.memory_splits - splits, runner.fp32_retries - retries


@dataclass
class RemoteRunner:
    """Stand in for a TileRunner: whichever restorer is free runs its batch."""

    restorers: serve.handle.DeploymentHandle
    device: str
    seconds: dict[int, float]  # of the warm-up behind each restorer, by batch size
    task: str
    tile: int
    info: CheckpointInfo
    weights: str
    sha256: str
    precision: str
    max_tiles: int
    memory_splits: int = 0  # of its own batches, wherever they ran; and so the next
    fp32_retries: int = 0
    threads, memory_bytes, overlaps_host = 0, (0, 0), False  # it computes elsewhere; others keep restorers busy
    batch_tiles = property(attrgetter("max_tiles"))

    def warm_up(self) -> dict[int, float]:
        """Return `seconds`."""
        return self.seconds

    def run(self, tiles: Pixels, threads: int = 1, tries: int = 3) -> TileResults:
        """Restore uint8 (n, tile, tile, 3); raises DeviceFault, or what else the network raises."""
        try:
            answer = self.restorers.restore.remote(self.task, tiles).result()
        except serve.exceptions.DeploymentUnavailableError as error:  # Serve has given the restorers up
            raise DeviceFault(str(error)) from error
        except RayError as error:
            if isinstance(error, RayTaskError) or tries == 1:
                raise  # the network's own failure, or a batch that takes every restorer down with it
            _log.warning("restorer lost", device=self.device, cause=type(error).__name__)
            return self.run(tiles, threads, tries - 1)
        results, self.max_tiles, splits, retries = answer
        self.memory_splits += splits
        self.fp32_retries += retries
        return results
