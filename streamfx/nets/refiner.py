"""The paper's refinement generator (Geng et al. 2018, section 4.1, figure 4).

The text gives kernels, the quarter resolution, four blocks and the skip connections; the channel counts are
inferred from the 32768 numbers that its critic ends with (ALGORITHM d).
"""

from __future__ import annotations

from typing import Final

import torch
from torch import Tensor, nn
from torch.nn import functional

from streamfx.nets.blocks import LEAK, ResBlock, raised


class PaperRefiner(nn.Module):
    """The warped face, drawn anew.

    In [B,5,256,256]: warped face RGB 0..1 with the inner mouth blanked, M / 6. Out RGB 0..1 [B,3,256,256], of
    use inside the face mask. Sides other than 256 work where 4 divides them. 1.43 M parameters, 10.2 GMAC.
    """

    INPUTS: Final = 5
    BLOCKS: Final = 4

    def __init__(self) -> None:
        super().__init__()
        self.at_full = nn.Conv2d(self.INPUTS, 32, 7, padding=3)
        self.at_half = nn.Conv2d(32, 64, 5, stride=2, padding=2)
        self.at_quarter = nn.Conv2d(64, 128, 3, stride=2, padding=1)
        self.middle = nn.Sequential(*(ResBlock(128) for _ in range(self.BLOCKS)))
        self.to_half = nn.Conv2d(128, 64, 3, padding=1)
        self.to_full = nn.Conv2d(64 + 64, 32, 3, padding=1)
        self.to_colour = nn.Conv2d(32 + 32, 3, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        full = functional.leaky_relu(self.at_full(x), LEAK)
        half = functional.leaky_relu(self.at_half(full), LEAK)
        # The blocks activate what enters them, so nothing is activated twice.
        quarter = functional.leaky_relu(self.middle(self.at_quarter(half)), LEAK)
        to_half = functional.leaky_relu(self.to_half(raised(quarter)), LEAK)
        to_full = functional.leaky_relu(self.to_full(raised(torch.cat([to_half, half], 1))), LEAK)
        return torch.sigmoid(self.to_colour(torch.cat([to_full, full], 1)))
