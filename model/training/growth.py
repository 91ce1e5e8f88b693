"""A network that begins from another's weights, which may be shallower.

Knows nothing of files or data.
"""

import re

import torch

from model.network.network import DMSR

_STAGE_KEY = re.compile(r"((?:encoder|decoder)_\w+)\.(\d+)\.(.+)")


@torch.no_grad()
def begin_from(network: DMSR, weights: DMSR) -> None:
    """Copy the weights into a network of the same width and of the same or a greater depth.

    Residual blocks that the weights lack begin as the identity: their last convolution is zero. So the deeper network
    computes what the weights do, and training goes on from there. Raises ValueError for other sizes.
    """
    ours, theirs = network.config, weights.config
    if ours.width != theirs.width or ours.depth < theirs.depth:
        raise ValueError(
            f"weights of width {theirs.width} and depth {theirs.depth} cannot begin a network of width {ours.width} "
            f"and depth {ours.depth}; the width must be the same, the depth no less"
        )
    state, given = network.state_dict(), weights.state_dict()
    for key, value in state.items():
        match = _STAGE_KEY.fullmatch(key)
        if match is None:
            value.copy_(given[key])
            continue
        stage, block, rest = match[1], int(match[2]), match[3]
        if block == ours.depth - 1:
            block = theirs.depth - 1  # the dual-domain block is the last of either
        elif block >= theirs.depth - 1:
            if rest.startswith("conv_out."):
                value.zero_()
            continue
        value.copy_(given[f"{stage}.{block}.{rest}"])
