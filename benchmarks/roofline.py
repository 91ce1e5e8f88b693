"""What a tile costs at least, and what the machine gives at most.

Knows nothing of runners: networks, devices and numbers.
"""

import time
from collections.abc import Callable

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import FlopCounterMode

from model.network.config import DMSRConfig
from model.network.network import DMSR

DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16, "tf32": torch.float32}


class TrafficCounter(TorchDispatchMode):
    """Add up the bytes every operator reads and writes: the memory traffic if nothing is fused and no cache helps."""

    bytes = 0

    def __torch_dispatch__(
        self, func: torch._ops.OpOverload, types: object, args: tuple = (), kwargs: dict | None = None
    ) -> object:
        result = func(*args, **(kwargs or {}))
        if not func.is_view:
            touched = tree_leaves((args, kwargs, result))
            self.bytes += sum(leaf.nbytes for leaf in touched if isinstance(leaf, Tensor))
        return result


def cost(config: DMSRConfig, tile: int) -> tuple[int, int]:
    """Return FLOPs and bytes of one float32 tile through a network; nothing is computed.

    A multiplication and an addition are two FLOPs. Only matrix products and convolutions count; the Fourier
    transforms would add about a hundredth.
    """
    with torch.device("meta"):
        network, tiles = DMSR(config).eval(), torch.empty(1, 3, tile, tile)
    with torch.no_grad(), FlopCounterMode(display=False) as flops, TrafficCounter() as traffic:
        network(tiles)
    return flops.get_total_flops(), traffic.bytes


def peaks(device: torch.device, precision: str) -> tuple[float, float]:
    """Measure FLOPs and bytes a second at best; on a shared machine before and after what is set against them."""
    return matmul_peak(device, precision), copy_peak(device)


def matmul_peak(device: torch.device, precision: str) -> float:
    """Measure the FLOPs a second of a large square matrix product, the best of five."""
    side = 8192 if device.type == "cuda" else 2048
    a, b = (torch.randn(side, side, device=device, dtype=DTYPES[precision]) for _ in range(2))
    return 2 * side**3 / _best_seconds(lambda: a @ b, device)


def copy_peak(device: torch.device) -> float:
    """Measure the bytes a second, read and written, of copying an array no cache holds; the best of five."""
    source = torch.zeros(2**28 if device.type == "cuda" else 2**26, device=device)
    target = torch.empty_like(source)
    return 2 * source.nbytes / _best_seconds(lambda: target.copy_(source), device)


def _best_seconds(call: Callable[[], object], device: torch.device) -> float:
    taken = []
    for _ in range(6):  # the first one warms up
        start = time.perf_counter()
        call()
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        taken.append(time.perf_counter() - start)
    return min(taken[1:])
