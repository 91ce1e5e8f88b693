"""The frequency domain of DMSR: a convolution over Fourier coefficients inside the scale mixer (FDSM).

Knows nothing of the spatial branch beside it.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from model.network.convolution import Convolution


class FourierUnit(nn.Module):
    """Mix channels in the Fourier domain: every output pixel sees the whole input window.

    (N, C, H, W) → same. The transform itself runs in float32: bf16 has no FFT kernels and too few digits for the sum
    over the window.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = Convolution(2 * channels, 2 * channels, 1, bias=False)
        self.norm = nn.BatchNorm2d(2 * channels)

    def forward(self, x: Tensor) -> Tensor:
        n, c, h, w = x.shape
        spectrum = torch.fft.rfft2(x.float(), norm="ortho")
        # Channels alternate real and imaginary parts: [re₀, im₀, re₁, im₁, …].
        parts = torch.stack([spectrum.real, spectrum.imag], dim=2).reshape(n, 2 * c, h, w // 2 + 1)
        parts = F.relu(self.norm(self.conv(parts.to(x.dtype))))
        parts = parts.float().reshape(n, c, 2, h, w // 2 + 1)
        return torch.fft.irfft2(torch.complex(parts[:, :, 0], parts[:, :, 1]), s=(h, w), norm="ortho").to(x.dtype)


class FDSM(nn.Module):
    """Mix two local scales, then all of the window through its spectrum (Frequency Domain Scale Mixer).

    (N, C, H, W) → same; C even.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        half = channels // 2
        self.small = Convolution(half, half, 3, padding=1, groups=half, activation="gelu")
        self.large = Convolution(half, half, 5, padding=2, groups=half, activation="gelu")
        self.fourier = FourierUnit(channels)
        self.norm = nn.BatchNorm2d(channels)

    def forward(self, x: Tensor) -> Tensor:
        small, large = x.chunk(2, dim=1)
        mixed = torch.cat([self.small(small), self.large(large)], dim=1)
        return F.relu(self.norm(self.fourier(mixed) + mixed))
