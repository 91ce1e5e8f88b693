"""The spatial domain of DMSR: attention over pixels (SPGA) at three pooled scales (MPSRM).

Knows nothing of the Fourier domain or of the encoder and decoder around it.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from model.network.convolution import Convolution, depthwise


def resize(x: Tensor, size: torch.Size) -> Tensor:
    """Resample bilinearly to `size` (H, W) with aligned corners, as the release does; the same size is a no-op."""
    if x.shape[-2:] == size:
        return x
    return F.interpolate(x, size=size, mode="bilinear", align_corners=True)


class SPGA(nn.Module):
    """Weigh every pixel by guidance from its place (mean and maximum over channels) and its channel.

    (N, C, H, W) → same; H and W at least 4, because the 7×7 windows pad by reflection.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.value = Convolution(channels, channels, 1, activation="gelu")
        self.place = nn.Conv2d(2, 1, 7, padding=3, padding_mode="reflect")
        self.guide_in = Convolution(channels, channels, 1, bias=False)
        self.guide_depthwise = Convolution(
            channels, channels, 3, padding=1, groups=channels, bias=False, activation="gelu"
        )
        self.guide_out = Convolution(channels, channels, 1, bias=False)
        # Channel k of this grouped convolution sees the pair (x_k, place · guide_k).
        self.pixel = nn.Conv2d(2 * channels, channels, 7, groups=channels)

    def forward(self, x: Tensor) -> Tensor:
        value = F.relu(self.value(x))
        place = self.place(torch.cat([value.mean(1, keepdim=True), value.amax(1, keepdim=True)], dim=1))
        guide = self.guide_out(self.guide_depthwise(self.guide_in(value)))
        # The release adds the attention to the value where one would expect a product.
        return torch.sigmoid(self._pixel_attention(x, place * guide)) + value

    def _pixel_attention(self, x: Tensor, guide: Tensor) -> Tensor:
        """Run `pixel` as two depthwise convolutions: with two inputs a group, a CPU takes 7 to 10 times as long."""
        weight = self.pixel.weight
        seen = depthwise(F.pad(x, (3, 3, 3, 3), "reflect"), weight[:, :1], self.pixel.bias)
        return seen + depthwise(F.pad(guide, (3, 3, 3, 3), "reflect"), weight[:, 1:], None)


class MPSRM(nn.Module):
    """Refine progressively from the coarsest pooled scale to the finest (Multi-Scale Progressive Spatial Refinement).

    (N, C, H, W) → same; H and W multiples of 4, at least 16.
    """

    POOLS = (4, 2, 1)

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.convs = nn.ModuleList(Convolution(channels, channels, 3, padding=1, bias=False) for _ in self.POOLS)
        self.attentions = nn.ModuleList(SPGA(channels) for _ in self.POOLS)
        self.merge = Convolution(channels, channels, 3, padding=1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        total, coarser = x, None
        for pool, conv, attention in zip(self.POOLS, self.convs, self.attentions, strict=True):
            scale = F.avg_pool2d(x, pool) if pool > 1 else x
            if coarser is not None:
                scale = scale + resize(coarser, scale.shape[-2:])
            coarser = attention(conv(scale))
            total = total + resize(coarser, x.shape[-2:])
        return self.merge(F.gelu(total))
