"""The boxes from which encoder and decoder are built: residual blocks, a stage of them, SCM and FAM.

Knows nothing of scales or skip connections; network.py joins them.
"""

import torch
from torch import Tensor, nn

from model.network.convolution import Convolution
from model.network.frequency import FDSM
from model.network.spatial import MPSRM


class ResidualBlock(nn.Module):
    """Add a 3×3, depthwise 3×3, 3×3 path to its input: (N, C, H, W) → same."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv_in = Convolution(channels, channels, 3, padding=1, activation="gelu")
        self.depthwise = Convolution(channels, channels, 3, padding=1, groups=channels, activation="gelu")
        self.conv_out = Convolution(channels, channels, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv_out(self.depthwise(self.conv_in(x)), plus=x)


class DualDomainBlock(nn.Module):
    """Refine in the spatial and the frequency domain side by side and merge: (N, C, H, W) → same."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv_in = Convolution(channels, channels, 3, padding=1, activation="gelu")
        self.depthwise = Convolution(channels, channels, 3, padding=1, groups=channels, activation="gelu")
        self.spatial = MPSRM(channels)
        self.frequency = FDSM(channels)
        self.conv_out = Convolution(2 * channels, channels, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        hidden = self.depthwise(self.conv_in(x))
        return self.conv_out(torch.cat([self.spatial(hidden), self.frequency(hidden)], dim=1), plus=x)


class Stage(nn.Sequential):
    """Chain depth − 1 residual blocks and one dual-domain block: (N, C, H, W) → same."""

    def __init__(self, channels: int, depth: int) -> None:
        super().__init__(*(ResidualBlock(channels) for _ in range(depth - 1)), DualDomainBlock(channels))


class SCM(nn.Module):
    """Embed a shrunken picture (Shallow Convolutional Module): (N, 3, H, W) → (N, C, H, W).

    Its instance norm makes the features depend on the whole window.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv1 = Convolution(3, channels // 4, 3, padding=1, activation="gelu")
        self.conv2 = Convolution(channels // 4, channels // 2, 1, activation="gelu")
        self.conv3 = Convolution(channels // 2, channels // 2, 3, padding=1, activation="gelu")
        self.conv4 = Convolution(channels // 2, channels, 1)
        self.norm = nn.InstanceNorm2d(channels, affine=True)

    def forward(self, x: Tensor) -> Tensor:
        return self.norm(self.conv4(self.conv3(self.conv2(self.conv1(x)))))


class FAM(nn.Module):
    """Join encoder features with an embedding of the same scale (Feature Attention Module; a plain merge here)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.merge = Convolution(2 * channels, channels, 3, padding=1)

    def forward(self, features: Tensor, embedding: Tensor) -> Tensor:
        return self.merge(torch.cat([features, embedding], dim=1))
