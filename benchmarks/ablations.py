"""What each part of the runner is worth on a device: the same network, each time without one of them.

Knows nothing of plain networks or services.
"""

import copy
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor, nn

from benchmarks import networks
from benchmarks.timing import interleaved
from model.inference.precision import fastest_form
from model.inference.reduced import FDSMInFloat16, MatrixFourierUnit
from model.inference.runner import TileRunner
from model.network.frequency import FourierUnit
from tests.pictures import drawn


class LibraryFourierUnit(nn.Module):
    """Give what MatrixFourierUnit gives, by the device's own transform in float32."""

    def __init__(self, unit: FourierUnit) -> None:
        super().__init__()
        self.unit = unit
        unit.conv.half()

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return self.unit(x), x.new_zeros(x.shape[:2], dtype=torch.float32)


def with_library_transform(half: nn.Module, network: nn.Module) -> None:
    """Put the transforms of the network it was made from back into a float16 form."""
    units = [copy.deepcopy(module) for module in network.modules() if isinstance(module, FourierUnit)]
    mixers = [module for module in half.modules() if isinstance(module, FDSMInFloat16)]
    for mixer, unit in zip(mixers, units, strict=True):
        assert isinstance(mixer.fourier, MatrixFourierUnit)
        mixer.fourier = LibraryFourierUnit(unit)


def variants(name: str, batch: int) -> dict[str, Callable[[], TileRunner]]:
    """List runners by what they lack, each to be made when its turn comes; "whole" lacks nothing."""

    def made(
        rung: str = "", graphs: bool = True, tuned: bool = True, library: bool = False
    ) -> Callable[[], TileRunner]:
        def make() -> TileRunner:
            runner = TileRunner(*networks.build(name), max_tiles=batch)
            if rung:
                runner._rungs = [rung, "fp32"] if rung != "fp32" else ["fp32"]
                runner.precision, runner._settled = rung, True
                runner._fast = fastest_form(runner._network, runner.device, rung)
            if library:
                with_library_transform(runner._fast, runner._network)
            if runner.device.type != "cuda":
                return runner
            with runner._on_device():
                runner._settle_precision()
                runner._tuning = tuned
                runner._graphs = runner._graphed(shared=False)
                if not graphs or not runner._capture([batch]):
                    runner._graphs = None
                runner.run(np.zeros((batch, runner.tile, runner.tile, 3), np.uint8))
                runner._tuning = False
            return runner

        return make

    ladder = TileRunner(*networks.build(name))._rungs
    found = {"whole": made()} | {f"in {rung}": made(rung) for rung in ladder[1:]}
    if torch.cuda.is_available():
        found |= {"without graphs": made(graphs=False), "without cudnn.benchmark": made(tuned=False)}
        if ladder[0] == "fp16":
            found["with the library's Fourier transform"] = made(library=True)
    return found


def measure(name: str, batch: int, rounds: int) -> dict[str, float]:
    """Return the seconds a tile of each variant, in turns, at one batch size."""
    runners = {lacking: make() for lacking, make in variants(name, batch).items()}
    side = next(iter(runners.values())).tile
    tiles = np.stack([drawn(side, side, seed) for seed in range(batch)])
    taken = interleaved({key: lambda runner=runner: runner.run(tiles) for key, runner in runners.items()}, rounds)
    return {key: round(seconds / batch, 6) for key, seconds in taken.items()}
