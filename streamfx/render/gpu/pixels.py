"""Pixels on a device: sampling, blurring, drawing through windows. Pictures are f32 [C,H,W]."""

from __future__ import annotations

from typing import Final, Literal

import torch
from torch import Tensor
from torch.nn import functional

Border = Literal["zeros", "border"]
"""What lies beyond a texture: nothing, or its border."""

_JUMP: Final = 230.0
"""Levels of alpha, summed over four neighbours, that make a hard edge (as kernels.lay_over)."""


def grid(height: int, width: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """x f32 [1,width], y f32 [height,1] of a picture's pixels."""
    x = torch.arange(width, dtype=torch.float32, device=device)[None]
    return x, torch.arange(height, dtype=torch.float32, device=device)[:, None]


def through(place: Tensor, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """Points through a [2,3] map; x and y spread over each other."""
    return (
        place[0, 0] * x + place[0, 1] * y + place[0, 2],
        place[1, 0] * x + place[1, 1] * y + place[1, 2],
    )


def sample(texture: Tensor, x: Tensor, y: Tensor, border: Border) -> Tensor:
    """A texture [C,h,w] between its pixels, at x, y f32 [H,W] px: f32 [C,H,W]."""
    return sample_each(texture[None], x[None], y[None], border)[0]


def sample_each(textures: Tensor, x: Tensor, y: Tensor, border: Border) -> Tensor:
    """`sample` of several at once: [B,C,h,w] at [B,H,W] px."""
    height, width = textures.shape[-2:]
    places = torch.stack([x * (2 / (width - 1)) - 1, y * (2 / (height - 1)) - 1], -1)
    return functional.grid_sample(textures, places, padding_mode=border, align_corners=True)


def gaussian(sigma: float, reach: int, device: torch.device) -> Tensor:
    """f32 [2 reach + 1], sum 1."""
    at = torch.arange(-reach, reach + 1, dtype=torch.float32, device=device)
    weights = torch.exp(-0.5 * (at / sigma) ** 2)
    return weights / weights.sum()


def blurred(planes: Tensor, kernel: Tensor) -> Tensor:
    """[C,h,w] blurred by the same kernel along both sides; mirrored at the border."""
    reach = len(kernel) // 2
    wide = functional.pad(planes[:, None], (reach, reach, reach, reach), mode="reflect")
    return functional.conv2d(functional.conv2d(wide, kernel[None, None, None]), kernel[None, None, :, None])[
        :, 0
    ]


def softened(layer: Tensor) -> Tensor:
    """A layer f32 [4,H,W] 0..255, premultiplied: hard edges of alpha averaged with their neighbours."""
    around = torch.zeros_like(layer)
    middle = layer[:, 1:-1, 1:-1]
    around[:, 1:-1, 1:-1] = (
        layer[:, :-2, 1:-1] + layer[:, 2:, 1:-1] + layer[:, 1:-1, :-2] + layer[:, 1:-1, 2:] - 4 * middle
    )
    hard = (around[3:].abs() > _JUMP).to(layer.dtype)
    return layer + hard * around / 8


def lay_over(layer: Tensor, ground: Tensor) -> Tensor:
    """layer + (1 - alpha) ground (with `softened`, that is kernels.lay_over).

    Args:
        layer: f32 [4,H,W] 0..255, premultiplied.
        ground: f32 [3,H,W] 0..255.
    """
    return (layer[:3] + ground * (1 - layer[3:] / 255)).clamp(0, 255)


def lift(picture: Tensor, plate: Tensor, alpha: Tensor) -> Tensor:
    """picture - (1 - alpha) plate, no colour above its alpha (kernels.lift).

    Args:
        picture, plate: f32 [3,H,W] 0..255.
        alpha: f32 [1,H,W] 0..255.
    """
    return torch.minimum((picture - plate * (1 - alpha / 255)).clamp(min=0), alpha)


class Window:
    """A part of fixed size of a picture, at a place that may change and reach beyond the border."""

    def __init__(self, corner: Tensor, mask: Tensor, picture: Tensor) -> None:
        """Find its pixels.

        Args:
            corner: i32 [2]: left and top px.
            mask: f32 [h,w] 0..1: 0 where nothing is drawn.
            picture: f32 [C,H,W] that is drawn into.
        """
        height, width = picture.shape[1:]
        columns, rows = grid(mask.shape[0], mask.shape[1], picture.device)
        self.x, self.y = columns + corner[0], rows + corner[1]
        """f32 [1,w], [h,1] px of the picture."""
        inside = (self.x >= 0) & (self.x < width) & (self.y >= 0) & (self.y < height)
        index = self.y.clamp(0, height - 1) * width + self.x.clamp(0, width - 1)
        self._mask, self._index = (mask * inside).flatten(), index.long().flatten()
        self._picture = picture.view(picture.shape[0], -1)

    def blend(self, values: Tensor) -> None:
        """picture += mask * (values - picture); values f32 [C,h,w]."""
        change = self._mask * (values.flatten(1) - self._picture[:, self._index])
        self._picture.index_add_(1, self._index, change)


def to_device(picture: object, device: torch.device) -> Tensor:
    """A picture u8 [H,W,C] as f32 [C,H,W] there, 0..255."""
    there = torch.as_tensor(picture, device=device)
    return there.permute(2, 0, 1).to(torch.float32).contiguous()
