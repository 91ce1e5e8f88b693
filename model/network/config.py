"""The network's dimensions, stored in every checkpoint.

Knows nothing of torch: two integers and the rules they obey.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class DMSRConfig:
    """Give the sizes of one DMSR network; the paper's are (48, 16).

    width: channels at full scale (the release's `base_channel`), a multiple of 4 because the shallow
        module begins at a quarter of its output width.
    depth: blocks in each stage (the release's `num_res`): depth − 1 plain ones, then one dual-domain block.
    """

    width: int = 48
    depth: int = 16

    def __post_init__(self) -> None:
        if self.width < 4 or self.width % 4:
            raise ValueError(f"width is {self.width}; it must be a positive multiple of 4")
        if self.depth < 1:
            raise ValueError(f"depth is {self.depth}; a stage needs at least its dual-domain block")


MIN_SIDE = 64
"""Smallest side of an input in pixels: at 1/16 scale the attention pads by 3 through reflection."""

SIDE_MULTIPLE = 16
"""Sides of an input are multiples of this: two halvings in the encoder, two more in the pooled branch."""
