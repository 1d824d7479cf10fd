"""The completion generator (Iizuka et al. 2017, table 1), and its growth to 256 px (Geng et al., 4.2)."""

from __future__ import annotations

from typing import Final, Literal

from torch import Tensor, nn

Side = Literal[128, 256]
"""Pixels on a side: 128 is the first stage of training, 256 is what ships."""


class CompletionNet(nn.Module):
    """The face with its hole filled.

    In [B,4,S,S]: RGB 0..1 whose hole holds the data's mean colour, hole mask. Out RGB 0..1 [B,3,S,S], of use
    inside the hole. S is `side`; other sizes work where 4 (side 128) or 8 (side 256) divides them.
    6.07 M parameters and 8.1 GMAC at 128 px; 6.11 M and 9.3 GMAC at 256.
    """

    INPUTS: Final = 4

    def __init__(self, side: Side = 256) -> None:
        super().__init__()
        self.side: Side = side
        self.enter = _enter_128(self.INPUTS) if side == 128 else _enter_256(self.INPUTS)
        self.middle = _middle()
        self.leave = _leave_128() if side == 128 else _leave_256()

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.leave(self.middle(self.enter(x)))
        return out

    def grown(self) -> CompletionNet:
        """A net for 256 px with this net's middle, copied, between new ends.

        Raises:
            ValueError: this net has grown already.
        """
        if self.side != 128:
            raise ValueError(f"only the net for 128 px grows, this one is for {self.side} px")
        grown = CompletionNet(256)
        grown.middle.load_state_dict(self.middle.state_dict())
        return grown.to(next(self.parameters()).device)


def _conv(inputs: int, outputs: int, kernel: int = 3, stride: int = 1, dilation: int = 1) -> nn.Sequential:
    padding = dilation * (kernel // 2)
    conv = nn.Conv2d(inputs, outputs, kernel, stride, padding, dilation)
    return nn.Sequential(conv, nn.BatchNorm2d(outputs), nn.ReLU())


def _doubled(inputs: int, outputs: int) -> nn.Sequential:
    conv = nn.ConvTranspose2d(inputs, outputs, 4, stride=2, padding=1)
    return nn.Sequential(conv, nn.BatchNorm2d(outputs), nn.ReLU())


def _to_colour(inputs: int) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(inputs, 3, 3, padding=1), nn.Sigmoid())


def _middle() -> nn.Sequential:
    """[B,64,128,128] to the same, by way of 256 channels at 32 px."""
    return nn.Sequential(
        _conv(64, 128, stride=2),
        _conv(128, 128),
        _conv(128, 256, stride=2),
        *(_conv(256, 256) for _ in range(2)),
        *(_conv(256, 256, dilation=dilation) for dilation in (2, 4, 8, 16)),
        *(_conv(256, 256) for _ in range(2)),
        _doubled(256, 128),
        _conv(128, 128),
        _doubled(128, 64),
    )


def _enter_128(inputs: int) -> nn.Sequential:
    return nn.Sequential(_conv(inputs, 64, kernel=5))


def _leave_128() -> nn.Sequential:
    return nn.Sequential(_conv(64, 32), _to_colour(32))


def _enter_256(inputs: int) -> nn.Sequential:
    return nn.Sequential(_conv(inputs, 16, kernel=5), _conv(16, 32), _conv(32, 64, stride=2))


def _leave_256() -> nn.Sequential:
    return nn.Sequential(_doubled(64, 32), _conv(32, 16), _to_colour(16))
