"""The network as an ONNX file, for runtimes that know no PyTorch: one tile size, any number of tiles.

Knows nothing of tiling; what calls the file cuts and blends (model/inference/tiling.py does it in numpy).

ONNX has no Fourier transform that every runtime computes, so the transform is a product with constant matrices, as on
the CPU (reduced.py). All else is exported as it stands.
"""

import copy
import logging
import warnings
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from model.checkpoints.checkpoint import CheckpointInfo
from model.inference.reduced import fourier_matrices
from model.network.frequency import FourierUnit
from model.network.network import DMSR

OPSET = 20
"""The first opset with GELU as one operator."""


class ExportError(RuntimeError):
    """The packages that write ONNX are missing; the message says which and how to get them."""


class FourierByMatrices(nn.Module):
    """Mix channels in the Fourier domain as FourierUnit does, by products with matrices: (N, C, H, W) → same."""

    down: Tensor
    across: Tensor
    up: Tensor
    back: Tensor

    def __init__(self, unit: FourierUnit, height: int, width: int) -> None:
        super().__init__()
        self.conv, self.norm = unit.conv, unit.norm
        for name, matrix in zip(
            ("down", "across", "up", "back"), fourier_matrices(height, width, torch.float32), strict=True
        ):
            self.register_buffer(name, matrix)

    def forward(self, x: Tensor) -> Tensor:
        """Do as FourierUnit does, for the height and width it was built for."""
        c, h, w = x.shape[1:]
        half = w // 2 + 1
        y = torch.matmul(self.down, x).reshape(-1, c, h, 2 * w)  # [row frequency][part, column]
        y = torch.matmul(y, self.across.T).reshape(-1, c, h, half, 2)
        y = y.permute(0, 1, 4, 2, 3).reshape(-1, 2 * c, h, half)  # channels [re₀, im₀, re₁, …]
        y = F.relu(self.norm(self.conv(y))).reshape(-1, c, 2, h, half)
        y = torch.matmul(self.up, y.permute(0, 1, 3, 2, 4).reshape(-1, c, 2 * h, half))
        return torch.matmul(y.reshape(-1, c, h, 2 * half), self.back.T)


class Tiles(nn.Module):
    """Restore tiles in [0, 1], (N, 3, tile, tile), and clamp the result: what the file computes."""

    def __init__(self, network: DMSR, tile: int) -> None:
        super().__init__()
        self.network = _without_transforms(copy.deepcopy(network).eval(), tile)

    def forward(self, tiles: Tensor) -> Tensor:
        """Return the restored tiles at full scale."""
        restored: Tensor = self.network(tiles)[0]
        return restored.clamp(0, 1)


def export_onnx(network: DMSR, info: CheckpointInfo, path: Path) -> None:
    """Write an ONNX file of opset 20: input `tiles`, output `restored`, float32 (N, 3, tile, tile) in [0, 1].

    Task, tile, overlap, licence and the rest of the weights' metadata go along as the file's properties. Raises
    ExportError.
    """
    try:
        import onnx
        import onnxscript  # noqa: F401 - what torch.onnx writes with
    except ImportError as error:
        raise ExportError(f"{error.name} is missing; install it with: pip install 'dmsr-service[onnx]'") from error
    # The exporter warns that torchvision's operators are missing, of which there are none here.
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        program = torch.onnx.export(
            Tiles(network, info.tile),
            (torch.zeros(2, 3, info.tile, info.tile),),
            input_names=["tiles"],
            output_names=["restored"],
            dynamic_shapes={"tiles": {0: torch.export.Dim("count", min=1)}},
            opset_version=OPSET,
            dynamo=True,
            verbose=False,
        )
    assert program is not None
    model = program.model_proto
    onnx.helper.set_model_props(model, info.to_metadata())
    onnx.checker.check_model(model)
    path.write_bytes(model.SerializeToString())


def _without_transforms(network: DMSR, tile: int) -> DMSR:
    """Replace each Fourier unit by matrices for the size its stage works at."""
    for name, module in list(network.named_modules()):
        if isinstance(module, FourierUnit):
            side = tile // {"full": 1, "half": 2, "quarter": 4}[name.split(".")[0].rpartition("_")[2]]
            parent, _, child = name.rpartition(".")
            setattr(network.get_submodule(parent), child, FourierByMatrices(module, side, side))
    return network
