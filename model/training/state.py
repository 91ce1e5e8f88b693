"""A run's state on disk: all that a resumed run needs to go on as if it had never stopped.

Knows nothing of recipes or data. One safetensors file, so that resuming runs no pickle.
"""

from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import nn

from model.checkpoints.checkpoint import WeightsError, write_atomically
from model.training.averaging import MovingAverage
from model.training.optimisers import Optimisers


@dataclass
class Counters:
    """Count what a run has done: steps, steps skipped as not finite, seconds spent, best validation PSNR in dB.

    frozen: whether the BatchNorm statistics are fixed by now.
    """

    step: int = 0
    skipped: int = 0
    elapsed_seconds: float = 0.0
    best_psnr: float = 0.0
    frozen: bool = False


def save_state(
    path: Path, network: nn.Module, average: MovingAverage, optimisers: Optimisers, counters: Counters, recipe: str
) -> None:
    """Write the state whole or not at all; recipe is a fingerprint that must match on resuming."""
    tensors = {f"network.{name}": value for name, value in network.state_dict().items()}
    tensors |= {f"average.{name}": value for name, value in average.values.items()}
    tensors |= {f"optimiser.{name}": value for name, value in optimisers.state().items()}
    metadata = {key: repr(value) for key, value in asdict(counters).items()} | {"recipe": recipe}
    write_atomically(path, save({key: value.cpu().contiguous() for key, value in tensors.items()}, metadata))


def load_state(path: Path, network: nn.Module, average: MovingAverage, optimisers: Optimisers, recipe: str) -> Counters:
    """Fill network, average and optimisers from a state; raises WeightsError naming the file and the cause."""
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
    except (OSError, SafetensorError) as error:
        raise WeightsError(f"{path} is not a training state: {error}") from error
    if metadata.get("recipe") != recipe:
        raise WeightsError(f"{path} belongs to another recipe; give the run a folder of its own")

    def part(prefix: str) -> dict[str, torch.Tensor]:
        return {key.removeprefix(prefix): value for key, value in tensors.items() if key.startswith(prefix)}

    network.load_state_dict(part("network."))
    for name, value in part("average.").items():
        average.values[name].copy_(value)
    optimisers.load_state(part("optimiser."))
    return Counters(
        step=int(metadata["step"]),
        skipped=int(metadata["skipped"]),
        elapsed_seconds=float(metadata["elapsed_seconds"]),
        best_psnr=float(metadata["best_psnr"]),
        frozen=metadata["frozen"] == "True",
    )
