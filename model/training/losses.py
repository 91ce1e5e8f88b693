"""The authors' loss, L1 in the picture and in its Fourier transform at three scales, and one that counts in decibels.

Knows nothing of the network but the shape of its output.
"""

from collections.abc import Iterator, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

FREQUENCY_WEIGHT = 0.1


def spectral_l1(output: Tensor, target: Tensor) -> Tensor:
    """Average the absolute difference of real and imaginary parts of the unnormalised fft2 of (N, C, H, W)."""
    return torch.view_as_real(torch.fft.fft2(output.float()) - torch.fft.fft2(target.float())).abs().mean()


def dual_domain_loss(outputs: Sequence[Tensor], target: Tensor) -> Tensor:
    """Sum L1 + 0.1 · spectral L1 over the outputs at full, half and quarter scale.

    target, (N, 3, H, W), is scaled down bilinearly to each output's size, as in the release.
    """
    total = target.new_zeros(())
    for output, scaled in _at_scales(outputs, target):
        total = total + F.l1_loss(output.float(), scaled) + FREQUENCY_WEIGHT * spectral_l1(output, scaled)
    return total


def decibel_loss(outputs: Sequence[Tensor], target: Tensor, floor: float) -> Tensor:
    """Sum over the scales the mean of ln(squared error + floor) of each picture: −PSNR, but for a factor.

    floor: the squared error, of a white of 1, below which a picture counts as restored: 3e-4 is a PSNR of 35 dB.

    A picture that is nearly right counts as much as one that is far off, and an error of brightness more than in L1.
    """
    total = target.new_zeros(())
    for output, scaled in _at_scales(outputs, target):
        squared = (output.float() - scaled).square().mean(dim=(1, 2, 3))
        total = total + (squared + floor).log().mean()
    return total


def _at_scales(outputs: Sequence[Tensor], target: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
    for output in outputs:
        scaled = target
        if output.shape != target.shape:
            scaled = F.interpolate(target, size=output.shape[-2:], mode="bilinear", align_corners=False)
        yield output, scaled
