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

_LIVELY: Final = 4.0
"""Inputs are small numbers, most of all M / 6: brought to the size that fresh weights expect."""


_AJAR: Final = 0.25
"""The gate never shuts: shut everywhere, which early training likes, nothing could be learned any more."""


class _Hourglass(nn.Module):
    """Features of three grids, added on the way back: [B,inputs,H,W] to [B,widths[0],H,W]; 4 divides H, W.

    The coarsest grid sees the whole crop: where the light comes from is told by all of it.
    """

    def __init__(self, inputs: int, widths: tuple[int, int, int], blocks: tuple[int, int]) -> None:
        super().__init__()
        fine, middle, coarse = widths
        self.enter = nn.Conv2d(inputs, fine, 3, padding=1)
        self.fine = ResBlock(fine)
        self.down = nn.Conv2d(fine, middle, 3, stride=2, padding=1)
        self.middle = nn.Sequential(*(ResBlock(middle) for _ in range(blocks[0])))
        self.down_again = nn.Conv2d(middle, coarse, 3, stride=2, padding=1)
        self.coarse = nn.Sequential(*(ResBlock(coarse) for _ in range(blocks[1])))
        self.up = nn.Conv2d(coarse, middle, 3, padding=1)
        self.join = ResBlock(middle)
        self.up_again = nn.Conv2d(middle, fine, 3, padding=1)
        self.leave = ResBlock(fine)

    def forward(self, x: Tensor) -> Tensor:
        fine = self.fine(self.enter(x))
        middle = self.middle(functional.leaky_relu(self.down(fine), LEAK))
        coarse = self.coarse(functional.leaky_relu(self.down_again(middle), LEAK))
        middle = self.join(middle + raised(self.up(coarse)))
        out: Tensor = functional.leaky_relu(self.leave(fine + raised(self.up_again(middle))), LEAK)
        return out


class LiteRefiner(nn.Module):
    """The warped face's residual.

    In [B,9,256,256]: warped face RGB 0..1 with the inner mouth blanked, inner-mouth mask, M / 6, previous
    residual (0 where there is none). Out [B,3,256,256], -1..1: tanh(r) * gate, to be added.

    The colours are unshuffled by 4; mask, M and the previous residual, which are smooth, are averaged.
    """

    FACTOR: Final = 4
    INPUTS: Final = 9

    def __init__(self, widths: tuple[int, int, int] = (32, 56, 96), blocks: tuple[int, int] = (2, 2)) -> None:
        super().__init__()
        self.body = _Hourglass(3 * self.FACTOR**2 + self.INPUTS - 3, widths, blocks)
        self.head = nn.Conv2d(widths[0], 4 * self.FACTOR**2, 3, padding=1)
        _start_at_nothing(self.head)

    def forward(self, x: Tensor) -> Tensor:
        colours = functional.pixel_unshuffle(_LIVELY * (x[:, :3] - 0.5), self.FACTOR)
        smooth = functional.avg_pool2d(_LIVELY * x[:, 3:], self.FACTOR)
        out = self.head(self.body(torch.cat([colours, smooth], 1)))
        residual, gate = _colours_and_gate(out, self.FACTOR)
        return functional.pixel_shuffle(
            torch.tanh(residual) * (_AJAR + (1 - _AJAR) * torch.sigmoid(gate)), self.FACTOR
        )


class LiteMouth(nn.Module):
    """The inside of the mouth: the procedural mouth, made to look like one.

    In [B,10,96,96]: surroundings RGB 0..1 with the mouth blanked, mouth mask, procedural mouth RGB inside the
    mask, map of the person's own teeth, M / 6. Out RGB 0..1 [B,3,96,96], of use inside the mask.
    """

    FACTOR: Final = 2
    INPUTS: Final = 10

    def __init__(self, widths: tuple[int, int, int] = (32, 64, 96), blocks: tuple[int, int] = (2, 2)) -> None:
        super().__init__()
        self.body = _Hourglass(self.INPUTS * self.FACTOR**2, widths, blocks)
        self.head = nn.Conv2d(widths[0], 4 * self.FACTOR**2, 3, padding=1)
        _start_at_nothing(self.head)

    def forward(self, x: Tensor) -> Tensor:
        seen = functional.pixel_unshuffle(x, self.FACTOR)
        drawn = seen[:, 4 * self.FACTOR**2 : 7 * self.FACTOR**2]
        colours, gate = _colours_and_gate(self.head(self.body(_LIVELY * seen)), self.FACTOR)
        invented, gate = 0.5 + 0.5 * torch.tanh(colours), torch.sigmoid(gate - 4.0)
        return functional.pixel_shuffle(drawn + gate * (invented - drawn), self.FACTOR)


def _colours_and_gate(out: Tensor, factor: int) -> tuple[Tensor, Tensor]:
    """Three colours and their gate, still shuffled: [B,4f^2,h,w] to twice [B,3f^2,h,w].

    Gating before the shuffle gives the same numbers, and takes OpenVINO a quarter less time.
    """
    colours, gate = out[:, : 3 * factor**2], out[:, 3 * factor**2 :]
    return colours, gate.repeat(1, 3, 1, 1)


def _start_at_nothing(head: nn.Conv2d) -> None:
    nn.init.zeros_(head.weight)
    nn.init.zeros_(head.bias)  # type: ignore[arg-type]
