"""Blocks that several networks share."""

from __future__ import annotations

from typing import Final

from torch import Tensor, nn
from torch.nn import functional

LEAK: Final = 0.2
"""Slope of the leaky ReLU."""


class ResBlock(nn.Module):
    """x + conv(lrelu(conv(lrelu(x)))): [B,C,H,W] to the same."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(channels, channels, 3, padding=1)
        self.second = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        inner = self.first(functional.leaky_relu(x, LEAK))
        out: Tensor = x + self.second(functional.leaky_relu(inner, LEAK))
        return out


def raised(x: Tensor) -> Tensor:
    """[B,C,H,W] to [B,C,2H,2W], nearest neighbour: a convolution after it leaves no checkerboard."""
    return functional.interpolate(x, scale_factor=2.0, mode="nearest")
