"""The lite profile: two small residual networks for real time on a plain CPU (algorithm.md#refining).

Both change a picture that is right already, the warped face and the procedural mouth, and start by changing
nothing: their last layer is zero. Work is done on cells of four by four (face) or two by two (mouth) pixels,
packed by pixel unshuffling, so that detail survives while convolutions stay cheap.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar, Final

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


class OnCells(nn.Module, ABC):
    """A network that works on cells of FACTOR x FACTOR px, each of whose pixels is a channel of its own.

    Training sees pictures; what ships runs `on_cells`, since the renderer writes and reads cells at no cost
    while OpenVINO takes longer to shuffle pixels than for half of the convolutions.
    """

    FACTOR: ClassVar[int]
    CELL: ClassVar[int]
    """Channels of a packed cell."""

    def pack(self, x: Tensor) -> Tensor:
        """[B,C,H,W] pictures to [B,CELL,H/FACTOR,W/FACTOR] cells."""
        return functional.pixel_unshuffle(x, self.FACTOR)

    @abstractmethod
    def on_cells(self, cells: Tensor) -> Tensor:
        """The network proper: packed cells to those of the answer, [B,C' FACTOR^2,H/FACTOR,W/FACTOR]."""

    def unpack(self, cells: Tensor) -> Tensor:
        """The answer's cells to [B,C',H,W] pictures."""
        return functional.pixel_shuffle(cells, self.FACTOR)

    def forward(self, x: Tensor) -> Tensor:
        """Pictures to pictures."""
        return self.unpack(self.on_cells(self.pack(x)))


class LiteRefiner(OnCells):
    """The warped face's residual.

    In [B,9,256,256]: warped face RGB 0..1 with the inner mouth blanked, inner-mouth mask, M / 6, previous
    residual (0 where there is none). Out [B,3,256,256], -1..1: tanh(r) * gate, to be added.

    A cell holds the 48 colours of its pixels (red first, row by row), and the means of mask, M and previous
    residual, which are smooth. Of the whole crop's 64 x 64 cells only the middle 60 x 48 are looked at, in
    which the face lies; around them nothing is added. Smaller pictures are looked at whole.
    """

    FACTOR = 4
    INPUTS: Final = 9
    CELL = 54
    CELLS: Final = 64
    DOWN: Final = 2
    ACROSS: Final = 8
    """Cells left out on either side of the whole crop."""
    _middle: Tensor

    def __init__(self, widths: tuple[int, int, int] = (32, 56, 96), blocks: tuple[int, int] = (2, 2)) -> None:
        super().__init__()
        self.body = _Hourglass(self.CELL, widths, blocks)
        self.head = nn.Conv2d(widths[0], 4 * self.FACTOR**2, 3, padding=1)
        _start_at_nothing(self.head)
        colours = 3 * self.FACTOR**2
        middle = torch.tensor([0.5] * colours + [0.0] * (self.CELL - colours))[None, :, None, None]
        self.register_buffer("_middle", middle, persistent=False)

    def pack(self, x: Tensor) -> Tensor:
        """See OnCells."""
        colours = functional.pixel_unshuffle(x[:, :3], self.FACTOR)
        cells = torch.cat([colours, functional.avg_pool2d(x[:, 3:], self.FACTOR)], 1)
        if cells.shape[-1] < self.CELLS:
            return cells
        return cells[:, :, self.DOWN : self.CELLS - self.DOWN, self.ACROSS : self.CELLS - self.ACROSS]

    def unpack(self, cells: Tensor) -> Tensor:
        """See OnCells; nothing is added around the middle."""
        if cells.shape[-1] == self.CELLS - 2 * self.ACROSS:
            cells = functional.pad(cells, (self.ACROSS, self.ACROSS, self.DOWN, self.DOWN))
        return super().unpack(cells)

    def on_cells(self, cells: Tensor) -> Tensor:
        """See OnCells."""
        answer = self.head(self.body(_LIVELY * (cells - self._middle)))
        residual, gate = _colours_and_gate(answer, self.FACTOR)
        return torch.tanh(residual) * (_AJAR + (1 - _AJAR) * torch.sigmoid(gate))


class LiteMouth(OnCells):
    """The inside of the mouth: the procedural mouth, made to look like one.

    In [B,10,96,96]: surroundings RGB 0..1 with the mouth blanked, mouth mask, procedural mouth RGB inside the
    mask, map of the person's own teeth, M / 6. Out RGB 0..1 [B,3,96,96], of use inside the mask.
    """

    FACTOR = 2
    INPUTS: Final = 10
    CELL = 40

    def __init__(self, widths: tuple[int, int, int] = (32, 64, 96), blocks: tuple[int, int] = (2, 2)) -> None:
        super().__init__()
        self.body = _Hourglass(self.CELL, widths, blocks)
        self.head = nn.Conv2d(widths[0], 4 * self.FACTOR**2, 3, padding=1)
        _start_at_nothing(self.head)

    def on_cells(self, cells: Tensor) -> Tensor:
        """See OnCells."""
        drawn = cells[:, 4 * self.FACTOR**2 : 7 * self.FACTOR**2]
        colours, gate = _colours_and_gate(self.head(self.body(_LIVELY * cells)), self.FACTOR)
        invented, gate = 0.5 + 0.5 * torch.tanh(colours), torch.sigmoid(gate - 4.0)
        return drawn + gate * (invented - drawn)


def _colours_and_gate(out: Tensor, factor: int) -> tuple[Tensor, Tensor]:
    """Three colours and their gate: [B,4f^2,h,w] to twice [B,3f^2,h,w]."""
    colours, gate = out[:, : 3 * factor**2], out[:, 3 * factor**2 :]
    return colours, gate.repeat(1, 3, 1, 1)


def _start_at_nothing(head: nn.Conv2d) -> None:
    nn.init.zeros_(head.weight)
    nn.init.zeros_(head.bias)  # type: ignore[arg-type]
