"""The precisions a device offers, from the fastest to float32, and whether weights bear one of them.

Knows nothing of tiles' makers or of queues: networks, devices and tensors.
"""

import contextlib
import threading
from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor, nn

from model.inference.onednn import can_fuse, rearranged
from model.inference.reduced import in_float16
from model.inference.tiling import Pixels
from model.network.network import DMSR

PRECISIONS = ("auto", "fp32")

MEAN_ERROR, RARE_ERROR = 0.3, 3
"""What a precision may differ from float32 by: on the mean, and in one value of a thousand, in 8-bit steps."""

MOST_SORTED = 2**23
"""Values of which quantiles are taken; torch refuses twice as many, which 270 tiles of 144 have."""

LEAST_CAPABILITY = {"fp16": (7, 5), "tf32": (8, 0)}
"""From which CUDA capability on a device multiplies in so many digits in hardware."""

PROCESS_WIDE = threading.RLock()
"""cuDNN's flags and the capture of a graph belong to the whole process, not to the thread or the device that asks."""


def ladder(precision: str, device: torch.device) -> tuple[str, ...]:
    """List the precisions to try on a device, the fastest first. The last one is always "fp32", which is exact.

    precision: one of PRECISIONS; raises ValueError otherwise. On CUDA float16 is next to exact (the shipped weights
    differ by 0.03 steps on the mean, and no value is above 40), where bfloat16, at the same speed, fails the gate.
    """
    if precision not in PRECISIONS:
        raise ValueError(f"precision is {precision!r}; it must be one of {', '.join(PRECISIONS)}")
    if precision == "fp32":
        return ("fp32",)
    if device.type == "cuda":
        capability = torch.cuda.get_device_capability(device)
        return (*(name for name, least in LEAST_CAPABILITY.items() if capability >= least), "fp32")
    return ("bf16", "fp32") if can_fuse() and _processor_multiplies_bf16() else ("fp32",)


def trains_in_bf16(precision: str, device: torch.device) -> bool:
    """Tell whether a training on a device runs under bfloat16's autocast, which needs no scaling of the loss."""
    if precision not in PRECISIONS:
        raise ValueError(f"precision is {precision!r}; it must be one of {', '.join(PRECISIONS)}")
    if precision == "fp32":
        return False
    if device.type == "cuda":
        return torch.cuda.get_device_capability(device) >= (8, 0)
    return can_fuse() and _processor_multiplies_bf16()


def _processor_multiplies_bf16() -> bool:
    # Without these instructions bfloat16 is emulated and slower than float32.
    capabilities = torch.cpu.get_capabilities() if hasattr(torch.cpu, "get_capabilities") else {}
    return bool(capabilities.get("amx_bf16") or capabilities.get("avx512_bf16"))


def fastest_form(network: nn.Module, device: torch.device, precision: str) -> nn.Module:
    """Return the form of a network that runs fastest; the one given keeps its float32."""
    if precision == "fp16":
        return in_float16(network)
    if device.type == "cpu" and can_fuse() and isinstance(network, DMSR):
        return rearranged(network, torch.bfloat16 if precision == "bf16" else torch.float32)
    return network


def patterned(side: int, count: int = 1) -> Pixels:
    """Draw tiles, (count, side, side, 3), with what pictures are mostly made of: shading, texture and edges."""
    y, x = np.mgrid[:side, :side]
    light = 110 + 50 * np.sin(x / 23) * np.cos(y / 31) + 6 * np.sin(0.9 * x) * np.sin(0.7 * y)
    light += 30 * (x // 37 % 2) * (y > side // 2)
    tile = np.stack([light, 0.9 * light + 10, 0.8 * light + 25], axis=-1).clip(0, 255).astype(np.uint8)
    return np.stack([np.roll(tile, 11 * index, axis=1) for index in range(count)])


def error(coarse: Tensor, exact: Tensor) -> tuple[float, float]:
    """Return by how many 8-bit steps two restored tiles differ: on the mean, and in one value of a thousand."""
    steps = (coarse.float() - exact.float()).abs().flatten()
    some = steps[:: 1 + len(steps) // MOST_SORTED]
    return float(steps.mean()), float(some.quantile(0.999))


def bearable(coarse: Tensor, exact: Tensor) -> bool:
    """Tell whether restored tiles are as good as those in float32."""
    mean, rare = error(coarse, exact)
    return mean <= MEAN_ERROR and rare <= RARE_ERROR


@contextlib.contextmanager
def in_precision(precision: str, device: torch.device, benchmark: bool = False) -> Iterator[None]:
    """Compute in a precision while the block runs; on CUDA one thread of the process at a time.

    benchmark: let cuDNN try its algorithms on each new shape and keep the fastest, which takes up to seconds a shape.
    """
    if device.type == "cpu":
        yield
        return
    # cuDNN's default for convolutions is TF32, which has ten bits of mantissa: not what the islands of float32 are for.
    with (
        PROCESS_WIDE,
        torch.backends.cudnn.flags(enabled=True, benchmark=benchmark, allow_tf32=precision == "tf32"),
    ):
        yield
