"""A convolution together with what follows it, so that a faster one can stand in its place.

Knows nothing of the blocks it stands in.
"""

from typing import Literal

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
        y = super().forward(x)
        if self.activation == "gelu":
            y = F.gelu(y)
        return y if plus is None else y + plus
