"""What a network needs that runs in fewer digits than it was trained in, and the whole of it in float16, for CUDA.

* What sees the picture itself stays in float32: grey values lie close together, and the instance norm enlarges their
  rounding.
* The Fourier transform is a product with constant matrices, which devices have units for. The mean of each channel goes
  its own way, because it is by far the largest number and its rounding shifts every pixel.

Knows nothing of tiles or devices. The modules it replaces say what is computed.
"""

import copy
import functools
import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from model.network.blocks import SCM
from model.network.convolution import Convolution
from model.network.frequency import FDSM, FourierUnit


def in_float16(network: nn.Module) -> nn.Module:
    """Copy a network, in eval mode, to run in float16 without gradients and autocast; the picture stays float32.

    Autocast would cast every input and every weight anew for each tile.
    """
    return _in_float16(copy.deepcopy(network)).eval()


def _in_float16(module: nn.Module) -> nn.Module:
    """Return what is to stand in a module's place."""
    if sees_the_picture(module):
        return InFloat32(module, torch.float16)
    if isinstance(module, FDSM):
        return FDSMInFloat16(module)
    if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
        return module.half()
    for name, child in module.named_children():
        setattr(module, name, _in_float16(child))
    return module


def sees_the_picture(module: nn.Module) -> bool:
    """Tell whether a module is one of those whose input is the picture."""
    return isinstance(module, SCM) or getattr(module, "in_channels", 0) == 3


class InFloat32(nn.Module):
    """Run a module that sees the picture itself in float32, and hand its result on as dtype.

    bfloat16 rounds grey values. The values of a hazy picture lie close together, so the instance norm enlarges this
    error: it made two fifths of the error of the whole network.
    """

    def __init__(self, module: nn.Module, dtype: torch.dtype) -> None:
        super().__init__()
        self.module = module
        self.dtype = dtype

    def forward(self, x: Tensor) -> Tensor:
        return self.module(x.float()).to(self.dtype)


class FDSMInFloat16(nn.Module):
    """Mix scales as FDSM does, any number of pictures at a time: float16 (N, C, H, W) → same."""

    scale: Tensor
    shift: Tensor

    def __init__(self, fdsm: FDSM) -> None:
        super().__init__()
        weight, bias = one_kernel(fdsm)
        self.mix = Convolution(len(weight), len(weight), 5, padding=2, groups=len(weight), activation="gelu")
        self.mix.load_state_dict({"weight": weight, "bias": bias}, assign=True)  # on the device where they are
        self.mix.half()
        self.fourier = MatrixFourierUnit(fdsm.fourier)
        mean, variance = statistics(fdsm.norm)
        scale = fdsm.norm.weight / torch.sqrt(variance + fdsm.norm.eps)
        self.register_buffer("scale", scale.detach())
        self.register_buffer("shift", (fdsm.norm.bias - mean * scale).detach())

    def forward(self, x: Tensor) -> Tensor:
        mixed = self.mix(x)
        waves, level = self.fourier(mixed)
        # A channel's mean and the norm are one affine function, in float32.
        shift = torch.addcmul(self.shift, level, self.scale)[:, :, None, None]
        return F.relu((waves + mixed) * self.scale[:, None, None] + shift).to(x.dtype)


class MatrixFourierUnit(nn.Module):
    """Mix channels in the Fourier domain as FourierUnit does, by products with matrices (on a core 1759 → 1311).

    The batch norm is part of the convolution. Between two products the axes change places; the channel stays last. The
    mean of each channel goes its own way in float32.
    """

    weight: Tensor
    bias: Tensor

    def __init__(self, unit: FourierUnit) -> None:
        super().__init__()
        norm = unit.norm
        mean, variance = statistics(norm)
        scale = norm.weight / torch.sqrt(variance + norm.eps)
        weight, bias = unit.conv.weight[:, :, 0, 0] * scale[:, None], norm.bias - mean * scale
        # From [re₀, im₀, re₁, …] to [re₀, re₁, …, im₀, im₁, …].
        order = torch.arange(len(weight)).view(-1, 2).T.flatten()
        self.register_buffer("weight", weight[order][:, order].detach().contiguous())
        self.register_buffer("bias", bias[order].detach())

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return the result less its mean, (N, C, H, W), and its mean, float32 (N, C)."""
        n, c, h, w = map(int, x.shape)
        half = w // 2 + 1
        down, across, up, back = fourier_matrices(h, w, x.dtype, x.device)
        y = _product(down, x.permute(0, 2, 3, 1).reshape(n, h, w * c)).view(n, h, 2, w, c)
        mean, root = y[:, 0, 0].float().sum(1) / (down[0, 0].float() * h * w), (h * w) ** 0.5
        level = F.relu(F.linear(mean * root, self.weight[:c, :c], self.bias[:c])) / root
        y = _product(across, y.permute(0, 2, 3, 1, 4).reshape(n, 2 * w, h * c)).view(n, half, 2, h, c)
        y = F.linear(y.transpose(2, 3).reshape(-1, 2 * c), self.weight.to(x.dtype), self.bias.to(x.dtype))
        y = F.relu(y).view(n, half, h, 2, c)
        y[:, 0, 0, 0] = 0
        y = _product(up, y.permute(0, 2, 3, 1, 4).reshape(n, 2 * h, half * c)).view(n, h, 2, half, c)
        y = _product(back, y.permute(0, 2, 3, 1, 4).reshape(n, 2 * half, h * c)).view(n, w, h, c)
        return y.permute(0, 3, 2, 1), level


def _product(matrix: Tensor, x: Tensor) -> Tensor:
    """Apply a matrix to each of n others; a processor, which has one, is spared the batch."""
    return (matrix @ x[0])[None] if len(x) == 1 else torch.bmm(matrix.expand(len(x), -1, -1), x)


@functools.cache
def fourier_matrices(
    height: int, width: int, dtype: torch.dtype, device: torch.device | str = "cpu"
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return rfft2 and irfft2, norm "ortho", as four real matrices, to be applied from the left.

    down: (2H, H), columns of a picture to [frequency, part]. across: (2W', 2W), [part, column] to [frequency, part],
    W' = W // 2 + 1. up: (2H, 2H), [frequency, part] to [row, part]. back: (W, 2W'), [part, frequency] to columns.
    """
    rows, columns = (torch.arange(side, dtype=torch.float64) for side in (height, width))
    half = columns[: width // 2 + 1]
    angle = 2 * math.pi * torch.outer(rows, rows) / height
    cos, sin = angle.cos() / height**0.5, angle.sin() / height**0.5
    down = torch.stack([cos, -sin], dim=1).reshape(2 * height, height)
    up = torch.stack([torch.stack([cos, -sin], 2), torch.stack([sin, cos], 2)], 1).reshape(2 * height, 2 * height)
    angle = 2 * math.pi * torch.outer(half, columns) / width
    cos, sin = angle.cos() / width**0.5, angle.sin() / width**0.5
    across = torch.stack([torch.cat([cos, sin], 1), torch.cat([-sin, cos], 1)], 1).reshape(2 * len(half), 2 * width)
    # A real signal's spectrum holds every frequency twice, but the first and, of an even width, the last.
    twice = torch.where((half == 0) | (2 * half == width), 1.0, 2.0)[:, None]
    back = torch.cat([(twice * cos).T, (-twice * sin).T], dim=1)
    down, across, up, back = (matrix.to(dtype).to(device) for matrix in (down, across, up, back))
    return down, across, up, back


def one_kernel(fdsm: FDSM) -> tuple[Tensor, Tensor]:
    """Return weight and bias of both local scales as one depthwise 5×5: a 3×3 kernel is one with zeros around it."""
    weight = torch.cat([F.pad(fdsm.small.weight, (1, 1, 1, 1)), fdsm.large.weight]).detach()
    return weight, torch.cat([with_bias(fdsm.small), with_bias(fdsm.large)]).detach()


def with_bias(conv: nn.Conv2d) -> Tensor:
    """Return the bias of a convolution that must have one."""
    assert conv.bias is not None
    return conv.bias


def statistics(norm: nn.BatchNorm2d) -> tuple[Tensor, Tensor]:
    """Return running mean and variance of a norm that must have them."""
    assert norm.running_mean is not None
    assert norm.running_var is not None
    return norm.running_mean, norm.running_var
