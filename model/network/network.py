"""DMSR itself: three scales down, three scales up, a restored picture at each, as the authors' release builds it.

Where the paper's figure and the release differ, this is the release: its checkpoints are what others have.

Knows nothing of files, tiles or devices: tensors in, tensors out.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from model.network.blocks import FAM, SCM, Stage
from model.network.config import MIN_SIDE, SIDE_MULTIPLE, DMSRConfig
from model.network.convolution import Convolution


class DMSR(nn.Module):
    """Restore a window of a picture (Dual-Domain Multi-Scale Representation Network, arXiv 2503.12014).

    The output depends on the whole window, through the spectrum and the instance norms: the window's size is part of
    what the weights were trained for.
    """

    def __init__(self, config: DMSRConfig) -> None:
        super().__init__()
        self.config = config
        full, half, quarter = config.width, 2 * config.width, 4 * config.width

        self.conv_first = Convolution(3, full, 3, padding=1, activation="gelu")
        self.encoder_full = Stage(full, config.depth)
        self.down_half = Convolution(full, half, 3, stride=2, padding=1, activation="gelu")
        self.embed_half = SCM(half)
        self.join_half = FAM(half)
        self.encoder_half = Stage(half, config.depth)
        self.down_quarter = Convolution(half, quarter, 3, stride=2, padding=1, activation="gelu")
        self.embed_quarter = SCM(quarter)
        self.join_quarter = FAM(quarter)
        self.encoder_quarter = Stage(quarter, config.depth)

        self.decoder_quarter = Stage(quarter, config.depth)
        self.out_quarter = Convolution(quarter, 3, 3, padding=1)
        self.up_half = nn.ConvTranspose2d(quarter, half, 4, stride=2, padding=1)
        self.skip_half = Convolution(2 * half, half, 1, activation="gelu")
        self.decoder_half = Stage(half, config.depth)
        self.out_half = Convolution(half, 3, 3, padding=1)
        self.up_full = nn.ConvTranspose2d(half, full, 4, stride=2, padding=1)
        self.skip_full = Convolution(2 * full, full, 1, activation="gelu")
        self.decoder_full = Stage(full, config.depth)
        self.out_full = Convolution(full, 3, 3, padding=1)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Restore x, (N, 3, H, W) RGB in [0, 1], at full, half and quarter scale, not clamped.

        H and W are multiples of 16, at least 64; ValueError otherwise.
        """
        if any(side < MIN_SIDE or side % SIDE_MULTIPLE for side in x.shape[-2:]):
            raise ValueError(
                f"the input is {x.shape[-2]}×{x.shape[-1]}; "
                f"both sides must be multiples of {SIDE_MULTIPLE}, at least {MIN_SIDE}"
            )
        x_half = x[..., ::2, ::2]  # nearest-neighbour ×0.5, as F.interpolate picks it
        x_quarter = x_half[..., ::2, ::2]

        r_full = self.encoder_full(self.conv_first(x))  # (N, C, H, W)
        r_half = self.down_half(r_full)  # (N, 2C, H/2, W/2)
        r_half = self.encoder_half(self.join_half(r_half, self.embed_half(x_half)))
        r_quarter = self.down_quarter(r_half)  # (N, 4C, H/4, W/4)
        r_quarter = self.encoder_quarter(self.join_quarter(r_quarter, self.embed_quarter(x_quarter)))

        z = self.decoder_quarter(r_quarter)
        quarter = self.out_quarter(z) + x_quarter
        z = F.gelu(self.up_half(z))
        z = self.decoder_half(self.skip_half(torch.cat([z, r_half], dim=1)))
        half = self.out_half(z) + x_half
        z = F.gelu(self.up_full(z))
        z = self.decoder_full(self.skip_full(torch.cat([z, r_full], dim=1)))
        return self.out_full(z) + x, half, quarter
