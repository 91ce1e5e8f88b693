"""The network rearranged for a processor that only runs it: the same function in fewer passes over memory.

A tile's features fit into no cache of a core, so most of a tile's time goes into reading and writing them. Therefore:

* Activations and residuals are part of the convolution before them.
* Two convolutions of the same input are one.
* The Fourier transform is a product with constant matrices: processors have units for products (reduced.py).

The whole network is one call that needs no interpreter. A thread that asks for the interpreter's lock after each of 500
operators stands still whenever another thread computes in Python. As one call a tile takes 46 ms instead of 55, and
beside a thread that only computes in Python it takes 54 ms instead of seconds.

The operators are private to PyTorch. So `can_fuse` tries each of them against the plain module before any is used.
Microseconds in comments are of one core with AMX, in bfloat16, at 16 channels of 128×128.

Knows nothing of tiles. The modules it replaces say what is computed.
"""

import copy
import functools
import logging
import threading
import warnings
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from model.inference.reduced import InFloat32, MatrixFourierUnit, one_kernel, sees_the_picture, statistics, with_bias
from model.network.convolution import Convolution
from model.network.frequency import FDSM
from model.network.spatial import SPGA

TOLERANCES = {torch.float32: 1e-5, torch.bfloat16: 0.03}
"""What a convolution of values around 1 may differ by from the plain one in float32."""

_log = logging.getLogger(__name__)


@functools.cache
def can_fuse(dtype: torch.dtype = torch.float32) -> bool:
    """Tell whether the network can be rearranged for float32 or bfloat16 here.

    PyTorch must be built with oneDNN. For bfloat16 the processor needs AVX-512, without which oneDNN does not even
    reorder the weights. Where that is so, each private operator is tried once; if one is missing or its result differs,
    a warning says so, and the plain network is the remedy.
    """
    if not torch.backends.mkldnn.is_available():
        return False
    try:
        if dtype == torch.bfloat16 and not torch.ops.mkldnn._is_mkldnn_bf16_supported():
            return False
        difference = trial(dtype)
    except (AttributeError, RuntimeError) as error:
        _log.warning("oneDNN's operators cannot be used in torch %s: %s", torch.__version__, error)
        return False
    if not difference <= TOLERANCES[dtype]:  # also if it is not a number
        _log.warning("oneDNN's operators are wrong by %s in torch %s, %s", difference, torch.__version__, dtype)
        return False
    return True


@torch.inference_mode()
def trial(dtype: torch.dtype) -> float:
    """Return by how much packed convolutions, with and without activation and residual, differ from plain ones.

    Raises AttributeError or RuntimeError for an operator that PyTorch does not have or take.
    """
    differences = []
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        x = torch.rand(1, 16, 12, 12).to(memory_format=torch.channels_last)
        plain = Convolution(16, 16, 3, padding=1)
        depthwise = Convolution(16, 16, 5, padding=2, groups=16, activation="gelu")
    for conv, plus in ((plain, None), (plain, x), (depthwise, None)):
        packed = PackedConvolution.of(conv, dtype)
        given = plus if plus is None else plus.to(dtype, copy=True)  # the operator adds in place
        differences.append((packed(x.to(dtype), given).float() - conv(x, plus)).abs().amax())
    return float(torch.stack(differences).amax())  # unlike max() this passes on what is not a number


def rearranged(network: nn.Module, dtype: torch.dtype) -> nn.Module:
    """Copy a network, in eval mode and on the CPU, to run in float32 or bfloat16 without gradients and autocast."""
    return Traced(_rearranged(copy.deepcopy(network), dtype).eval())


def _rearranged(module: nn.Module, dtype: torch.dtype) -> nn.Module:
    """Return what is to stand in a module's place."""
    if dtype != torch.float32 and sees_the_picture(module):
        return InFloat32(_rearranged(module, torch.float32), dtype)
    if faster := _FASTER.get(type(module)):
        return faster(module, dtype)
    if isinstance(module, nn.ConvTranspose2d):
        return module.to(dtype)
    for name, child in module.named_children():
        setattr(module, name, _rearranged(child, dtype))
    return module


class Traced(nn.Module):
    """Run a network, one picture at a time, as one call: the operators that the first picture of each size needed."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network
        self._traces: dict[torch.Size, Callable[[Tensor], tuple[Tensor, ...]]] = {}
        self._tracing = threading.Lock()

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        """Do as the network does."""
        if len(x) > 1:
            each = [self(x[index : index + 1]) for index in range(len(x))]
            return tuple(torch.cat(parts) for parts in zip(*each, strict=True))
        if x.shape not in self._traces:
            with self._tracing:
                if x.shape not in self._traces:
                    self._traces[x.shape] = compiled(self.network, x)
        return self._traces[x.shape](x)


def compiled(function: Callable[..., Any], example: Tensor | None = None) -> Callable[..., Any]:
    """Compile a function to a call that needs no interpreter: traced with an example, or as its source says.

    This is the only use of torch.jit, which PyTorch deprecates. Two replacements are known. torch.export with
    AOTInductor keeps the operators of this module; not tried, because torch.compile, which generates the same code,
    took 281 s and gained 4%. OpenVINO takes the plain network: a tile of 144 at w16d4 on two cores took 44.3 ms in
    bfloat16 and 60.5 in float32, where this takes 28.7 and 47.9. Returning the function as it is works too, at the
    price that the module's docstring names.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # sizes become constants, which is wanted; and the deprecation
        if example is None:
            return torch.jit.script(function)
        return torch.jit.trace(function, example, check_trace=False)


class PackedConvolution(nn.Module):
    """Convolve, activate and add in one pass (346 → 235), with the weights in the order the processor reads them."""

    weight: Tensor
    bias: Tensor | None

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
        padding = tuple(map(int, conv.padding))
        return cls(
            conv.weight.to(dtype),
            conv.bias,
            stride=conv.stride,
            padding=padding,
            groups=conv.groups,
            activation=conv.activation,
        )

    def forward(self, x: Tensor, plus: Tensor | None = None) -> Tensor:
        """Do as Convolution does, in the precision of the weights."""
        x = x.to(self.dtype)
        convolve, convolve_and_add = _convolutions()
        if plus is None:
            form = self.stride, self.padding, self.groups, self.activation
            return convolve(x, self.weight, self.bias, *form)
        bias = None if self.bias is None else self.bias.to(x.dtype)
        return convolve_and_add(x, plus, self.weight, bias, self.stride, self.padding, self.groups)


class FusedSPGA(nn.Module):
    """Weigh pixels as SPGA does."""

    def __init__(self, spga: SPGA, dtype: torch.dtype) -> None:
        super().__init__()
        self.value, self.guide_in, self.guide_depthwise, self.guide_out = (
            PackedConvolution.of(conv, dtype)
            for conv in (spga.value, spga.guide_in, spga.guide_depthwise, spga.guide_out)
        )
        channels = spga.value.out_channels
        # Repeat the attention channel to the guide's width: broadcasting took 374 µs, this takes 80.
        weight, bias = spga.place.weight.to(dtype), with_bias(spga.place)
        self.place = PackedConvolution(weight.expand(channels, -1, -1, -1), bias.expand(channels).clone())
        weight = spga.pixel.weight.to(dtype)
        self.pixel = PackedConvolution(weight[:, :1], spga.pixel.bias, groups=channels)
        self.pixel_guide = PackedConvolution(weight[:, 1:], None, groups=channels)

    def forward(self, x: Tensor) -> Tensor:
        value = F.relu(self.value(x))
        wide = value.float()  # means and maxima take a third of the time in float32
        seen = torch.stack([wide.mean(1), wide.amax(1)], dim=-1).permute(0, 3, 1, 2).to(x.dtype)
        guide = self.guide_out(self.guide_depthwise(self.guide_in(value))) * self.place(_reflected(seen))
        return torch.sigmoid(self.pixel_guide(_reflected(guide), self.pixel(_reflected(x)))) + value


class FusedFDSM(nn.Module):
    """Mix scales as FDSM does."""

    def __init__(self, fdsm: FDSM, dtype: torch.dtype) -> None:
        super().__init__()
        # Two convolutions took 682 µs, one takes 261.
        weight, bias = one_kernel(fdsm)
        self.mix = PackedConvolution(
            _rounded(weight, dtype), bias, padding=(2, 2), groups=len(weight), activation="gelu"
        )
        # In float32 a product with a matrix is slower than the transform.
        self.in_matrices = dtype == torch.bfloat16
        self.fourier = MatrixFourierUnit(fdsm.fourier) if self.in_matrices else fdsm.fourier
        self.norm = fdsm.norm

    def forward(self, x: Tensor) -> Tensor:
        mixed, norm = self.mix(x), self.norm
        waves, level = self.fourier(mixed) if self.in_matrices else (self.fourier(mixed), (0,))
        total = waves.contiguous(memory_format=torch.channels_last) + mixed
        mean, variance = statistics(norm)
        return F.relu(F.batch_norm(total, mean - level[0], variance, norm.weight, norm.bias))


@functools.cache
def _convolutions() -> tuple[Callable[..., Tensor], Callable[..., Tensor]]:
    """Compile the calls that a trace cannot hold by itself, because it knows no lists of optional numbers."""
    return compiled(_convolve), compiled(_convolve_and_add)


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
    """Round kernels so that the sum of each stays: its smallest number makes up for the others' rounding.

    Deraining in bfloat16 lost 0.02 steps of 255 of brightness, nearly all of it where scales are mixed.
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
