"""The lite profile: two small residual networks for real time on a plain CPU (ALGORITHM d, e).

Both change a picture that is right already, the warped face and the procedural mouth, and start by changing
nothing: their last layer is zero. Work is done on a grid four (face) or two (mouth) times coarser than the
picture, reached by pixel unshuffling, so that detail survives while convolutions stay cheap.
"""

from __future__ import annotations

from typing import Final

import torch
from torch import Tensor, nn
from torch.nn import functional

from streamfx.nets.blocks import LEAK, ResBlock, raised


class _Hourglass(nn.Module):
    """Features at full and at half the grid: [B,inputs,H,W] to [B,width,H,W]."""

    def __init__(self, inputs: int, width: int, deep: int, blocks: int) -> None:
        super().__init__()
        self.enter = nn.Conv2d(inputs, width, 3, padding=1)
        self.fine = ResBlock(width)
        self.down = nn.Conv2d(width, deep, 3, stride=2, padding=1)
        self.coarse = nn.Sequential(*(ResBlock(deep) for _ in range(blocks)))
        self.up = nn.Conv2d(deep, width, 3, padding=1)
        self.leave = ResBlock(width)

    def forward(self, x: Tensor) -> Tensor:
        fine = self.fine(self.enter(x))
        coarse = self.coarse(functional.leaky_relu(self.down(fine), LEAK))
        return functional.leaky_relu(self.leave(fine + raised(self.up(coarse))), LEAK)


class LiteRefiner(nn.Module):
    """The warped face's residual.

    In [B,9,256,256]: warped face RGB 0..1 with the inner mouth blanked, inner-mouth mask, M / 6, previous
    residual (0 where there is none). Out [B,3,256,256], -1..1: tanh(r) * sigmoid(gate), to be added.

    The colours are unshuffled by 4; mask, M and the previous residual, which are smooth, are averaged.
    """

    FACTOR: Final = 4
    INPUTS: Final = 9

    def __init__(self, width: int = 32, deep: int = 56, blocks: int = 3) -> None:
        super().__init__()
        self.body = _Hourglass(3 * self.FACTOR**2 + self.INPUTS - 3, width, deep, blocks)
        self.head = nn.Conv2d(width, 4 * self.FACTOR**2, 3, padding=1)
        _start_at_nothing(self.head)

    def forward(self, x: Tensor) -> Tensor:
        colours = functional.pixel_unshuffle(x[:, :3] - 0.5, self.FACTOR)
        smooth = functional.avg_pool2d(x[:, 3:], self.FACTOR)
        out = functional.pixel_shuffle(self.head(self.body(torch.cat([colours, smooth], 1))), self.FACTOR)
        return torch.tanh(out[:, :3]) * torch.sigmoid(out[:, 3:])


class LiteMouth(nn.Module):
    """The inside of the mouth: the procedural mouth, made to look like one.

    In [B,10,96,96]: surroundings RGB 0..1 with the mouth blanked, mouth mask, procedural mouth RGB inside the
    mask, map of the person's own teeth, M / 6. Out RGB 0..1 [B,3,96,96], of use inside the mask.
    """

    FACTOR: Final = 2
    INPUTS: Final = 10

    def __init__(self, width: int = 32, deep: int = 64, blocks: int = 3) -> None:
        super().__init__()
        self.body = _Hourglass(self.INPUTS * self.FACTOR**2, width, deep, blocks)
        self.head = nn.Conv2d(width, 4 * self.FACTOR**2, 3, padding=1)
        _start_at_nothing(self.head)

    def forward(self, x: Tensor) -> Tensor:
        drawn = x[:, 4:7]
        features = self.body(functional.pixel_unshuffle(x, self.FACTOR))
        out = functional.pixel_shuffle(self.head(features), self.FACTOR)
        invented, gate = 0.5 + 0.5 * torch.tanh(out[:, :3]), torch.sigmoid(out[:, 3:] - 4.0)
        return drawn + gate * (invented - drawn)


def _start_at_nothing(head: nn.Conv2d) -> None:
    nn.init.zeros_(head.weight)
    nn.init.zeros_(head.bias)  # type: ignore[arg-type]
