"""The paper's refinement generator (Geng et al. 2018, section 4.1, figure 4).

The text gives kernels, the quarter resolution, four blocks and the skip connections; the channel counts are
inferred from the 32768 numbers that its critic ends with (algorithm.md#refining).
"""

from __future__ import annotations

from typing import Final

import torch
from torch import Tensor, nn
from torch.nn import functional

from streamfx.nets.blocks import LEAK, ResBlock, raised

_COLOURS: Final = 3
_BLACK: Final = 0.004
"""A grey level: no sigmoid gives 0."""


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

    @torch.no_grad()
    def copy_at_start(self) -> None:
        """Begin as a network that gives its colours back: what the warp shows need not be learned first.

        The filters at full resolution become ramps that begin at different levels of one colour each, and the
        last layer adds them up to the colour's logit. What comes from the coarser grids begins at nothing.
        """
        ramps = self.at_full.out_channels // _COLOURS
        starts, shares, offset = _ramps_of_logit(ramps)
        slopes = shares.abs().sqrt()  # in both layers: behind a small weight, a large one makes learning jump
        self.at_full.weight[: ramps * _COLOURS] = 0
        self.to_colour.weight.zero_()
        self.to_colour.bias.fill_(offset)  # type: ignore[union-attr]
        middle, last = self.at_full.kernel_size[0] // 2, self.to_colour.kernel_size[0] // 2
        skipped = self.to_colour.in_channels - self.at_full.out_channels
        for colour in range(_COLOURS):
            of_colour = slice(colour * ramps, (colour + 1) * ramps)
            self.at_full.weight[of_colour, colour, middle, middle] = slopes
            self.at_full.bias[of_colour] = -slopes * starts  # type: ignore[index]
            from_full = slice(skipped + colour * ramps, skipped + (colour + 1) * ramps)
            self.to_colour.weight[colour, from_full, last, last] = shares / slopes

    def forward(self, x: Tensor) -> Tensor:
        full = functional.leaky_relu(self.at_full(x), LEAK)
        half = functional.leaky_relu(self.at_half(full), LEAK)
        # The blocks activate what enters them, so nothing is activated twice.
        quarter = functional.leaky_relu(self.middle(self.at_quarter(half)), LEAK)
        to_half = functional.leaky_relu(self.to_half(raised(quarter)), LEAK)
        to_full = functional.leaky_relu(self.to_full(raised(torch.cat([to_half, half], 1))), LEAK)
        return torch.sigmoid(self.to_colour(torch.cat([to_full, full], 1)))


def _ramps_of_logit(count: int) -> tuple[Tensor, Tensor, float]:
    """Where `count` leaky ramps begin, their shares, and an offset, so that their sum is the logit of 0..1.

    They begin closer together near black and white, where the logit bends most. Least squares, weighted by
    the sigmoid's slope, with which errors show.
    """
    levels = torch.linspace(_BLACK, 1 - _BLACK, 512, dtype=torch.float64)
    starts = 0.5 - 0.5 * torch.cos(torch.pi * torch.arange(count, dtype=torch.float64) / count)
    ramps = functional.leaky_relu(levels[:, None] - starts, LEAK)
    terms = torch.cat([ramps, torch.ones_like(levels)[:, None]], 1)
    steepness = (levels * (1 - levels))[:, None]
    found = torch.linalg.lstsq(steepness * terms, steepness * torch.logit(levels)[:, None]).solution[:, 0]
    return starts.float(), found[:-1].float(), float(found[-1])
