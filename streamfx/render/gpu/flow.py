"""Optical flow of mouths on tensors: pyramidal Lucas-Kanade, both ways at once (ALGORITHM f)."""

from __future__ import annotations

from typing import Final

import torch
from torch import Tensor
from torch.nn import functional

from streamfx.render.gpu.pixels import grid, sample_each

_LEVELS: Final = 3
_ROUNDS: Final = 3
_WINDOW: Final = 7
"""px: side of the square whose motion is one."""
_SMOOTH: Final = 3
"""px: side of the square over which each round's flow is averaged. Without it rounds add noise: 0.17 px off
instead of 0.01 after three, on textures shifted by (2, -1) px."""
_LEAST: Final = 4.0
"""Added to the structure tensor's diagonal: where nothing has an edge, nothing moves."""
_FARTHEST: Final = 2.0
"""px of a level that one round may add."""


def flows(now: Tensor, last: Tensor) -> tuple[Tensor, Tensor]:
    """Where each pixel of `now` was in `last`, and each of `last` is in `now`.

    Args:
        now, last: f32 [n,n] grey levels 0..255; 4 divides n.

    Returns:
        f32 [2,n,n] px each: x, y to be added.

    Source: Lucas & Kanade 1981; Bouguet 2000 for the pyramid.
    """
    start, end = torch.stack([now, last])[:, None], torch.stack([last, now])[:, None]
    pyramid = [(start, end)]
    for _ in range(_LEVELS - 1):
        start, end = (functional.avg_pool2d(picture, 2) for picture in (start, end))
        pyramid.append((start, end))
    moved = torch.zeros(2, 2, *start.shape[-2:], device=now.device)
    for level, (start, end) in enumerate(reversed(pyramid)):
        if level:
            moved = 2 * functional.interpolate(moved, scale_factor=2, mode="bilinear")
        moved = _refined(moved, start, end)
    return moved[0], moved[1]


def _refined(moved: Tensor, start: Tensor, end: Tensor) -> Tensor:
    """A few rounds on one level: [B,2,n,n] px, [B,1,n,n] grey levels."""
    right, down = _slopes(start)
    xx, xy, yy = _means(torch.cat([right * right, right * down, down * down], 1), _WINDOW).unbind(1)
    xx, yy = xx + _LEAST, yy + _LEAST
    scale = 1 / (xx * yy - xy * xy)
    columns, rows = grid(start.shape[-2], start.shape[-1], start.device)
    for _ in range(_ROUNDS):
        there = sample_each(end, columns + moved[:, 0], rows + moved[:, 1], "border")
        off = start - there
        u, v = _means(torch.cat([right * off, down * off], 1), _WINDOW).unbind(1)
        step = torch.stack([yy * u - xy * v, xx * v - xy * u], 1) * scale[:, None]
        moved = _means(moved + step.clamp(-_FARTHEST, _FARTHEST), _SMOOTH)
    return moved


def _slopes(picture: Tensor) -> tuple[Tensor, Tensor]:
    """Central differences [B,1,n,n] along x and y."""
    wide = functional.pad(picture, (1, 1, 1, 1), mode="replicate")
    right = (wide[..., 1:-1, 2:] - wide[..., 1:-1, :-2]) / 2
    return right, (wide[..., 2:, 1:-1] - wide[..., :-2, 1:-1]) / 2


def _means(planes: Tensor, side: int) -> Tensor:
    """Means over the square about each pixel."""
    return functional.avg_pool2d(planes, side, stride=1, padding=side // 2, count_include_pad=False)
