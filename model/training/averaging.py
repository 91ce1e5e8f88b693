"""What is validated and shipped: a moving average of the weights, with BatchNorm statistics estimated for it anew.

Knows nothing of files or schedules.
"""

from collections.abc import Iterable

import torch
from torch import Tensor, nn


class MovingAverage:
    """Follow a network's parameters by an exponential moving average, in float32."""

    def __init__(self, network: nn.Module) -> None:
        self.values = {name: value.detach().clone() for name, value in network.named_parameters()}

    @torch.no_grad()
    def update(self, network: nn.Module, decay: float) -> None:
        """Move 1 − decay of the way to the network."""
        torch._foreach_lerp_(list(self.values.values()), [p.detach() for p in network.parameters()], 1 - decay)

    @torch.no_grad()
    def copy_to(self, network: nn.Module) -> None:
        """Write the averages into the network's parameters."""
        for name, value in network.named_parameters():
            value.copy_(self.values[name])


@torch.no_grad()
def estimate_statistics(network: nn.Module, batches: Iterable[Tensor]) -> None:
    """Replace all BatchNorm statistics by their plain mean over batches of (N, 3, H, W), then set eval mode.

    The statistics gathered while training belong to weights that are gone: worth 0.4 dB early in a run.
    """
    norms = [module for module in network.modules() if isinstance(module, nn.BatchNorm2d)]
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # cumulative average
    network.train()
    for batch in batches:
        network(batch)
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum
    network.eval()
