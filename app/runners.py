"""The networks of the service: which weights, on which devices.

Knows nothing of HTTP or queues.
"""

from pathlib import Path

import structlog
import torch

from app.errors import StartError
from app.settings import Settings
from model.checkpoints.catalog import Catalog
from model.checkpoints.checkpoint import TASKS, WeightsError
from model.inference.devices import cuda_hindrance, description, driver_version, resolve_device
from model.inference.runner import TileRunner

_log = structlog.get_logger()


def load_runners(settings: Settings) -> dict[str, dict[str, TileRunner]]:
    """Load every task's weights onto every device: device name → task → runner. Raises StartError."""
    try:
        devices = [resolve_device(name.strip()) for name in settings.devices.split(",")]
    except ValueError as error:
        raise StartError(f"DMSR_DEVICES={settings.devices}: {error}") from error
    if settings.devices == "auto" and devices[0].type == "cpu" and driver_version():
        _log.warning(
            "the GPU is not used", cause=cuda_hindrance(), remedy="DMSR_DEVICES=cuda does not start without it"
        )
    runners: dict[str, dict[str, TileRunner]] = {}
    for device in devices:
        _log.info("device", torch=torch.__version__, **description(device))
        tasks = runners.setdefault(str(device), {})
        for task in TASKS:
            if getattr(settings.weights, task) == "off":
                continue
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
