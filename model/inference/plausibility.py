"""Which restored tiles are plainly wrong: noise that no picture holds.

Knows nothing of networks or devices: tiles before and after, as tensors.

Weights can explode on a tile unlike all they were trained on: it comes back as black and white noise, or saturated.
Rain and haze leave most of a picture's edges where they are, and what is restored has them in the same places. So the
rule looks at gradients: how much of the result's is not the input's, made stronger or weaker.

Measured on 162 good tiles of every set and 108 of networks whose weights were disturbed. Good ones have at most 150
(8-bit steps, squared) unexplained where the correlation is under 0.3, which only dense rain on plain ground has; half
removed, on houses, up to 435 at a correlation of 0.7 and more. Disturbed ones have 250 to 20,000 and a correlation of
at most 0.2, but for the mildest, whose tiles are poor and no noise.
"""

import torch
from torch import Tensor

LEAST_CORRELATION = 0.3
MOST_UNEXPLAINED = 300 / 255**2


def plausible(before: Tensor, after: Tensor) -> Tensor:
    """Tell for each of n tiles, (n, 3, H, W) of values in [0, 1], whether the result may be one: bool (n,).

    Only green is looked at, and every second row.
    """
    ours, theirs = _gradient(after), _gradient(before)
    energy, shared, given = ((one * other).mean(1) for one, other in ((ours, ours), (ours, theirs), (theirs, theirs)))
    given = given.clamp_min(1e-12)
    unexplained = energy - shared.square() / given
    correlated = shared >= LEAST_CORRELATION * (energy * given).sqrt()
    return correlated | (unexplained <= MOST_UNEXPLAINED)


def _gradient(tiles: Tensor) -> Tensor:
    """Return differences to the right and down in green, (n, 2 · places)."""
    green = tiles[:, 1]
    here = green[:, :-1:2, :-1]
    return torch.stack([green[:, :-1:2, 1:] - here, green[:, 1::2, :-1] - here], 1).flatten(1)
