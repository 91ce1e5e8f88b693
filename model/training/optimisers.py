"""The optimisers a recipe can name, behind one face: Adam for all, or Muon for matrices and Adam for the rest.

Knows nothing of schedules, files or losses.
"""

from collections.abc import Iterable, Iterator
from typing import Any, cast

import torch
from torch import Tensor, nn

from model.training.recipe import Optimiser

NEWTON_SCHULZ = (3.4445, -4.7750, 2.0315)
"""Coefficients of the quintic that Muon iterates (Jordan 2024): five steps bring singular values near 1."""

NEWTON_SCHULZ_STEPS = 5
FEWEST_CHANNELS = 4
"""A convolution that reads or writes a picture, with 3 channels on one side, is no matrix worth orthogonalising."""


class Muon(torch.optim.Optimizer):
    """Orthogonalise momentum, as torch.optim.Muon with Nesterov and "match_rms_adamw" does; on processors in float32.

    torch's computes in bfloat16. A processor without such instructions emulates it: 0.65 s of a step of 2.0, where
    float32 takes 0.05. The state is the same as of torch's. Matrices of one shape are updated together, because one by
    one a GPU would wait for the launches.

    found_inf: 1.0 on the device where nothing may move, as for torch's fused optimisers; the host need not know.
    """

    found_inf: Tensor | None = None

    def __init__(self, matrices: Iterable[nn.Parameter], momentum: float, weight_decay: float) -> None:
        """Take matrices over; momentum and the decoupled weight decay are at least 0 and below 1."""
        super().__init__(matrices, {"lr": 0.0, "momentum": momentum, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]  # no closure is ever taken
        """Update each matrix that has a gradient."""
        for group in self.param_groups:
            shapes: dict[torch.Size, list[Tensor]] = {}
            for matrix in group["params"]:
                if matrix.grad is not None:
                    shapes.setdefault(matrix.shape, []).append(matrix)
            for matrices in shapes.values():
                self._update(matrices, group["lr"], group["momentum"], group["weight_decay"])

    def _update(self, matrices: list[Tensor], rate: float, momentum: float, weight_decay: float) -> None:
        gradients = torch.stack([matrix.grad for matrix in matrices if matrix.grad is not None])
        averages = [self.state[matrix].setdefault("momentum_buffer", torch.zeros_like(matrix)) for matrix in matrices]
        average = torch.stack(averages).lerp(gradients, 1 - momentum)
        update = gradients.lerp(average, momentum)
        update = orthogonal(update.bfloat16() if update.is_cuda else update).float()
        now = torch.stack(matrices)
        then = now * (1 - rate * weight_decay) - update * (rate * 0.2 * max(now.shape[1:]) ** 0.5)
        if self.found_inf is not None:
            stays = self.found_inf.bool()
            average, then = torch.where(stays, torch.stack(averages), average), torch.where(stays, now, then)
        torch._foreach_copy_(averages, list(average))
        torch._foreach_copy_(matrices, list(then))


class Optimisers:
    """Update a network's parameters as a recipe's [optimiser] says.

    Muon (Jordan 2024; scaled to Adam's size as by Liu et al., arXiv 2502.16982) orthogonalises the update of each dense
    convolution's weight, seen as a matrix (out, in·k·k): 92% of the parameters. Adam updates biases, norms, depthwise
    kernels and the convolutions at the picture's own channels.
    """

    def __init__(self, network: nn.Module, recipe: Optimiser) -> None:
        self._recipe = recipe
        self._names = {parameter: name for name, parameter in network.named_parameters()}
        dense = list(_dense(network))
        rest = set(self._names) - set(dense)
        groups: list[dict[str, Any]] = [{"params": [p for p in self._names if p in rest], "weight_decay": 0.0}]
        self._matrices: dict[nn.Parameter, nn.Parameter] = {}
        self._muon: Muon | None = None
        if recipe.kind == "muon":
            # A matrix is a parameter of its own that shares its memory with the weight.
            self._matrices = {weight: nn.Parameter(_as_matrix(weight.detach(), weight)) for weight in dense}
            self._muon = Muon(self._matrices.values(), recipe.momentum, recipe.weight_decay)
        else:
            groups.append({"params": dense, "weight_decay": recipe.weight_decay})
        self._adam = torch.optim.AdamW(groups, betas=(0.9, recipe.adam_beta2), fused=True)

    def zero_grad(self) -> None:
        """Forget all gradients."""
        for parameter in self._names:
            parameter.grad = None

    def step(self, rate: float, finite: Tensor | None = None) -> None:
        """Update every parameter from its gradient at a rate, Muon's; Adam's is the recipe's multiple of it.

        finite: a bool on the device; where it is false nothing moves, and the host need not know.
        """
        found_inf = None if finite is None else (~finite).float()
        self._take(self._adam, rate * self._recipe.adam_rate_ratio, found_inf)
        if self._muon is not None:
            for weight, matrix in self._matrices.items():
                matrix.grad = None if weight.grad is None else _as_matrix(weight.grad, weight)
            self._take(self._muon, rate, found_inf)

    def _take(self, optimiser: torch.optim.Optimizer, rate: float, found_inf: Tensor | None) -> None:
        for group in optimiser.param_groups:
            group["lr"] = rate
        if found_inf is not None:
            # The protocol of torch.amp.GradScaler with fused optimisers.
            optimiser.grad_scale, optimiser.found_inf = None, found_inf  # type: ignore[attr-defined]
        optimiser.step()

    def state(self) -> dict[str, Tensor]:
        """Return all that the next steps depend on, as tensors by parameter's name and moment."""
        return {
            f"{kind}.{name}.{key}": value
            for kind, name, optimiser, parameter in self._owners()
            for key, value in optimiser.state.get(parameter, {}).items()
        }

    def load_state(self, tensors: dict[str, Tensor]) -> None:
        """Take over what `state` gave, onto the parameters' devices; a parameter without moments begins anew."""
        moments: dict[str, dict[str, Tensor]] = {}
        for key, value in tensors.items():
            owner, _, moment = key.rpartition(".")
            moments.setdefault(owner, {})[moment] = value
        for kind, name, optimiser, parameter in self._owners():
            if mine := moments.get(f"{kind}.{name}"):
                optimiser.state[parameter] = {
                    # A fused step counter must lie on the parameter's device, moments as the parameter does.
                    key: value.to(parameter.device, copy=True)
                    if value.ndim == 0
                    else torch.empty_like(parameter).copy_(value)
                    for key, value in mine.items()
                }

    def _owners(self) -> Iterator[tuple[str, str, torch.optim.Optimizer, Tensor]]:
        for parameter, name in self._names.items():
            if self._muon is not None and parameter in self._matrices:
                yield "muon", name, self._muon, self._matrices[parameter]
            else:
                yield "adam", name, self._adam, parameter


def orthogonal(matrices: Tensor) -> Tensor:
    """Return matrices, (…, rows, columns), of about the same singular vectors, whose singular values lie near 1."""
    a, b, c = NEWTON_SCHULZ
    tall = matrices.shape[-2] > matrices.shape[-1]
    x = matrices.mT if tall else matrices
    x = x / x.norm(dim=(-2, -1), keepdim=True).clamp_min(1e-7)
    add_product = torch.addmm if x.ndim == 2 else torch.baddbmm
    for _ in range(NEWTON_SCHULZ_STEPS):
        gram = x @ x.mT
        x = add_product(x, add_product(gram, gram, gram, beta=b, alpha=c), x, beta=a)
    return x.mT if tall else x


def _dense(network: nn.Module) -> Iterator[nn.Parameter]:
    for module in network.modules():
        if (
            isinstance(module, nn.Conv2d | nn.ConvTranspose2d)
            and module.groups == 1
            and min(module.in_channels, module.out_channels) >= FEWEST_CHANNELS
        ):
            yield cast(nn.Parameter, module.weight)


def _as_matrix(values: Tensor, weight: nn.Parameter) -> Tensor:
    """Give a weight's values or gradient, (out, in, k, k), as a matrix (out, k·k·in) in the weight's order of columns.

    The order of columns means nothing to Muon; in the order of memory, the matrix of the values is a view of them.
    """
    channels_last = weight.is_contiguous(memory_format=torch.channels_last)
    return (values.permute(0, 2, 3, 1) if channels_last else values).flatten(1)
