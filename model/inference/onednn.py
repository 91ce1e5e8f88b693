"""The network rearranged for a processor that only runs it: the same function in fewer passes over memory.

A tile's features fit into no cache of a core, and most of a tile's time is spent on reading and writing them. So
activations and residuals are part of the convolution before them, what is convolved apart is convolved at once, and the
Fourier transform is a product with constant matrices, for which there are units that do little else.
Microseconds in comments are of one core with AMX, bfloat16, 16 channels of 128×128.

All of it is one call that Python takes no part in: a thread that has to ask for the interpreter's lock after each of
500 operators stands still whenever another thread computes in Python. A tile takes 46 ms instead of 55, and beside a
thread that only computes in Python 54 ms instead of seconds.

Knows nothing of tiles; the modules it replaces say what is computed.
"""

import copy
import functools
import math
import threading
import warnings
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from model.network.blocks import SCM
from model.network.convolution import Convolution
from model.network.frequency import FDSM, FourierUnit
from model.network.spatial import SPGA


def can_fuse(dtype: torch.dtype = torch.float32) -> bool:
    """Tell whether the network can be rearranged for a precision here.

    This build of PyTorch needs oneDNN and a way to reach it. For bfloat16 the processor needs AVX-512 as well: without
    it oneDNN does not even reorder the weights.
    """
    if not (torch.backends.mkldnn.is_available() and hasattr(torch.ops.mkldnn, "_convolution_pointwise")):
        return False
    return dtype == torch.float32 or torch.ops.mkldnn._is_mkldnn_bf16_supported()


def fused(network: nn.Module, dtype: torch.dtype) -> nn.Module:
    """Copy a network, in eval mode and on the CPU, to run in float32 or bfloat16 without gradients and autocast."""
    return Traced(_rearranged(copy.deepcopy(network), dtype).eval())


def _rearranged(module: nn.Module, dtype: torch.dtype) -> nn.Module:
    """Return what is to stand in a module's place."""
    if dtype != torch.float32 and (isinstance(module, SCM) or getattr(module, "in_channels", 0) == 3):
        return InFloat32(_rearranged(module, torch.float32), dtype)
    if faster := _FASTER.get(type(module)):
        return faster(module, dtype)
    if isinstance(module, nn.ConvTranspose2d):
        return module.to(dtype)
    for name, child in module.named_children():
        setattr(module, name, _rearranged(child, dtype))
    return module


class Traced(nn.Module):
    """Run a network, one picture at a time, as the operators it called the first time it had one of that size."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network
        self._traces: dict[torch.Size, Callable[[Tensor], tuple[Tensor, ...]]] = {}
        self._tracing = threading.Lock()

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        """Do as the network does."""
        if len(x) > 1:
            return tuple(map(torch.cat, zip(*map(self, x.split(1)), strict=True)))
        if x.shape not in self._traces:
            with self._tracing:
                if x.shape not in self._traces:
                    self._traces[x.shape] = self._trace(x)
        return self._traces[x.shape](x)

    def _trace(self, x: Tensor) -> Callable[[Tensor], tuple[Tensor, ...]]:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # sizes become constants, which is what is wanted
            return torch.jit.trace(self.network, x, check_trace=False)


class PackedConvolution(nn.Module):
    """Convolve, activate and add in one pass (346 → 235), with the weights in the order the processor reads them."""

    def __init__(
        self,
        weight: Tensor,
        bias: Tensor | None,
        *,
        stride: tuple[int, ...] = (1, 1),
        padding: tuple[int, ...] = (0, 0),
        groups: int = 1,
        activation: str = "none",
    ) -> None:
        super().__init__()
        self.dtype = weight.dtype
        self.stride, self.padding, self.groups = list(stride), list(padding), groups
        self.activation = activation
        pack = torch.ops.mkldnn._reorder_convolution_weight
        self.register_buffer("weight", pack(weight.detach(), self.padding, self.stride, [1, 1], groups))
        self.register_buffer("bias", None if bias is None else bias.detach())

    @classmethod
    def of(cls, conv: Convolution, dtype: torch.dtype) -> "PackedConvolution":
        """Take the place of a convolution."""
        form = {"stride": conv.stride, "padding": conv.padding, "groups": conv.groups, "activation": conv.activation}
        return cls(conv.weight.to(dtype), conv.bias, **form)

    def forward(self, x: Tensor, plus: Tensor | None = None) -> Tensor:
        """Do as Convolution does, in the precision of the weights."""
        x = x.to(self.dtype)
        convolve, convolve_and_add = _scripted()
        if plus is None:
            form = self.stride, self.padding, self.groups, self.activation
            return convolve(x, self.weight, self.bias, *form)
        bias = None if self.bias is None else self.bias.to(x.dtype)
        return convolve_and_add(x, plus, self.weight, bias, self.stride, self.padding, self.groups)


class InFloat32(nn.Module):
    """Compute in float32 what sees the picture itself, and hand it on as dtype.

    A grey value has no exact 255th in bfloat16, and of a hazy picture, whose values lie close together, the instance
    norm makes much of the error: two fifths of that of all the network.
    """

    def __init__(self, module: nn.Module, dtype: torch.dtype) -> None:
        super().__init__()
        self.module = module
        self.dtype = dtype

    def forward(self, x: Tensor) -> Tensor:
        return self.module(x.float()).to(self.dtype)


class FusedSPGA(nn.Module):
    """Weigh pixels as SPGA does."""

    def __init__(self, spga: SPGA, dtype: torch.dtype) -> None:
        super().__init__()
        self.value, self.guide_in, self.guide_depthwise, self.guide_out = (
            PackedConvolution.of(conv, dtype)
            for conv in (spga.value, spga.guide_in, spga.guide_depthwise, spga.guide_out)
        )
        channels = spga.value.out_channels
        # The place's one channel as often as the guide has some: to multiply it into each took 374, this and a
        # product of equals 80.
        weight, bias = spga.place.weight.to(dtype), spga.place.bias
        self.place = PackedConvolution(weight.expand(channels, -1, -1, -1), bias.expand(channels).clone())
        weight = spga.pixel.weight.to(dtype)
        self.pixel = PackedConvolution(weight[:, :1], spga.pixel.bias, groups=channels)
        self.pixel_guide = PackedConvolution(weight[:, 1:], None, groups=channels)

    def forward(self, x: Tensor) -> Tensor:
        value = F.relu(self.value(x))
        wide = value.float()  # in which means and maxima take a third of the time
        seen = torch.stack([wide.mean(1), wide.amax(1)], dim=-1).permute(0, 3, 1, 2).to(x.dtype)
        guide = self.guide_out(self.guide_depthwise(self.guide_in(value))) * self.place(_reflected(seen))
        return torch.sigmoid(self.pixel_guide(_reflected(guide), self.pixel(_reflected(x)))) + value


class FusedFDSM(nn.Module):
    """Mix scales as FDSM does."""

    def __init__(self, fdsm: FDSM, dtype: torch.dtype) -> None:
        super().__init__()
        # A 3×3 kernel is a 5×5 one with zeros around it: 682 apart, 261 together.
        weight = torch.cat([F.pad(fdsm.small.weight, (1, 1, 1, 1)), fdsm.large.weight])
        bias = torch.cat([fdsm.small.bias, fdsm.large.bias])
        self.mix = PackedConvolution(
            _rounded(weight, dtype), bias, padding=(2, 2), groups=len(weight), activation="gelu"
        )
        # In float32 a product with a matrix is slower than the transform.
        self.in_matrices = dtype == torch.bfloat16
        self.fourier = MatrixFourierUnit(fdsm.fourier) if self.in_matrices else fdsm.fourier
        self.norm = fdsm.norm

    def forward(self, x: Tensor) -> Tensor:
        mixed, norm = self.mix(x), self.norm
        waves, level = self.fourier(mixed) if self.in_matrices else (self.fourier(mixed), 0)
        total = waves.contiguous(memory_format=torch.channels_last) + mixed
        return F.relu(F.batch_norm(total, norm.running_mean - level, norm.running_var, norm.weight, norm.bias))


class MatrixFourierUnit(nn.Module):
    """Mix channels in the Fourier domain as FourierUnit does, by products with matrices (1759 → 1311).

    One picture at a time. The batch norm is part of the convolution. Between two products the axes change places; the
    channel stays last. What becomes of the mean, one number a channel, is computed apart, in float32: of a number so
    large eight bits are not enough, and what they lack all pixels lack.
    """

    def __init__(self, unit: FourierUnit) -> None:
        super().__init__()
        norm = unit.norm
        scale = norm.weight / torch.sqrt(norm.running_var + norm.eps)
        weight, bias = unit.conv.weight[:, :, 0, 0] * scale[:, None], norm.bias - norm.running_mean * scale
        # From [re₀, im₀, re₁, …] to [re₀, re₁, …, im₀, im₁, …].
        order = torch.arange(len(weight)).view(-1, 2).T.flatten()
        self.register_buffer("weight", weight[order][:, order].detach().contiguous())
        self.register_buffer("bias", bias[order].detach())

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return the result less its mean, (1, C, H, W), and its mean, (C,)."""
        _, c, h, w = map(int, x.shape)
        half = w // 2 + 1
        down, across, up, back = fourier_matrices(h, w, x.dtype)
        y = (down @ x.permute(0, 2, 3, 1).reshape(h, w * c)).view(h, 2, w, c)
        mean, root = y[0, 0].float().sum(0) / (down[0, 0].float() * h * w), (h * w) ** 0.5
        level = F.relu(F.linear(mean * root, self.weight[:c, :c], self.bias[:c])) / root
        y = (across @ y.permute(1, 2, 0, 3).reshape(2 * w, h * c)).view(half, 2, h, c)
        y = F.linear(y.transpose(1, 2).reshape(-1, 2 * c), self.weight.to(x.dtype), self.bias.to(x.dtype))
        y = F.relu(y).view(half, h, 2, c)
        y[0, 0, 0] = 0
        y = (up @ y.permute(1, 2, 0, 3).reshape(2 * h, half * c)).view(h, 2, half, c)
        y = (back @ y.permute(1, 2, 0, 3).reshape(2 * half, h * c)).view(1, w, h, c)
        return y.permute(0, 3, 2, 1), level


@functools.cache
def fourier_matrices(height: int, width: int, dtype: torch.dtype) -> tuple[Tensor, Tensor, Tensor, Tensor]:
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
    return down.to(dtype), across.to(dtype), up.to(dtype), back.to(dtype)


@functools.cache
def _scripted() -> tuple[Callable[..., Tensor], Callable[..., Tensor]]:
    """Compile the calls that a trace cannot hold by itself, because it knows no lists of optional numbers."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        return torch.jit.script(_convolve), torch.jit.script(_convolve_and_add)


def _convolve(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    stride: list[int],
    padding: list[int],
    groups: int,
    activation: str,
) -> Tensor:
    none: list[int | float | complex | None] = []
    return torch.ops.mkldnn._convolution_pointwise(
        x, weight, bias, padding, stride, [1, 1], groups, activation, none, "none"
    )


def _convolve_and_add(
    x: Tensor,
    plus: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    stride: list[int],
    padding: list[int],
    groups: int,
) -> Tensor:
    none: list[int | float | complex | None] = []
    return torch.ops.mkldnn._convolution_pointwise(
        x, plus, weight, bias, padding, stride, [1, 1], groups, "add", 1.0, None, none, None
    )


def _rounded(weight: Tensor, dtype: torch.dtype) -> Tensor:
    """Round kernels without changing what they make of an even area: the smallest number of each makes up for the rest.

    Nearly all of the brightness that deraining in bfloat16 lost, 0.02 steps of 255, was lost where scales are mixed.
    """
    flat = weight.detach().flatten(2)
    smallest = flat.abs().argmin(2, keepdim=True)
    others = flat.to(dtype).float().scatter(2, smallest, 0)
    return others.scatter(2, smallest, flat.sum(2, True) - others.sum(2, True)).to(dtype).view_as(weight)


def _reflected(x: Tensor) -> Tensor:
    return F.pad(x, (3, 3, 3, 3), "reflect")


_FASTER: dict[type[nn.Module], Callable[..., nn.Module]] = {
    Convolution: PackedConvolution.of,
    SPGA: FusedSPGA,
    FDSM: FusedFDSM,
}
