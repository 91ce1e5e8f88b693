"""A convolution together with what follows it, so that a faster one can stand in its place.

Knows nothing of the blocks it stands in.
"""

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class Convolution(nn.Conv2d):
    """Convolve as nn.Conv2d does, pass the result through GELU if wanted, and add a residual if there is one."""

    def __init__(
        self,
        channels_in: int,
        channels_out: int,
        side: int,
        *,
        stride: int = 1,
        padding: int = 0,
        groups: int = 1,
        bias: bool = True,
        activation: Literal["none", "gelu"] = "none",
    ) -> None:
        super().__init__(channels_in, channels_out, side, stride, padding, groups=groups, bias=bias)
        self.activation = activation

    def forward(self, x: Tensor, plus: Tensor | None = None) -> Tensor:
        """Return (N, C', H', W') for x, (N, C, H, W); plus, the residual, has the shape of the result."""
        y = depthwise(x, self.weight, self.bias, int(self.padding[0])) if self.groups > 1 else super().forward(x)
        if self.activation == "gelu":
            y = F.gelu(y)
        return y if plus is None else y + plus


def depthwise(x: Tensor, weight: Tensor, bias: Tensor | None, padding: int = 0) -> Tensor:
    """Convolve each channel of x, (N, C, H, W), with its own kernel; weight is (C, 1, k, k).

    A processor that trains under autocast does it in float32 and returns bfloat16: oneDNN's backward of a 7×7 kernel
    takes 42.7 ms in bfloat16 and 8.6 in float32 (8×16×64×64, one core), which is a sixth of a whole step.
    """
    if not (x.device.type == "cpu" and torch.is_autocast_enabled("cpu") and torch.is_grad_enabled()):
        return F.conv2d(x, weight, bias, padding=padding, groups=len(weight))
    with torch.autocast("cpu", enabled=False):
        y = F.conv2d(x.float(), weight, bias, padding=padding, groups=len(weight))
    return y.to(torch.get_autocast_dtype("cpu"))
