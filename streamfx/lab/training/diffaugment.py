"""Differentiable augmentation of what a critic sees (Zhao et al. 2020): little data then lasts longer.

One drawn transform is laid on real and made pictures alike, and on their conditions, so that the critic can
learn nothing about the augmentation, and pictures stay where their displacement map says.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional


@dataclass(frozen=True, slots=True)
class Policy:
    """How strongly to augment; 0 leaves a part out. The defaults are the source's, for colours 0..1."""

    brightness: float = 0.25
    """Added to all colours, at most."""
    saturation: float = 1.0
    """Distance to grey is multiplied by 1 -+ this."""
    contrast: float = 0.5
    """Distance to the picture's mean is multiplied by 1 -+ this."""
    translation: float = 0.125
    """Of the side, at most; what comes in is 0."""
    cutout: float = 0.5
    """Side of a square set to 0, of the picture's side."""


@dataclass(frozen=True, slots=True)
class Augmentation:
    """One transform per picture of a batch of B."""

    brightness: Tensor
    """[B,1,1,1]: added."""
    saturation: Tensor
    """[B,1,1,1]: factor."""
    contrast: Tensor
    """[B,1,1,1]: factor."""
    shifts: tuple[tuple[int, int], ...]
    """px (x, y) per picture: to the right and down."""
    kept: Tensor
    """[B,1,H,W]: 0 in the square that is cut out, else 1."""

    @classmethod
    def draw(
        cls, shape: torch.Size, generator: torch.Generator, policy: Policy | None = None
    ) -> Augmentation:
        """Draw for pictures of a shape [B,C,H,W].

        Args:
            shape: of the batch.
            generator: of the CPU; the same state draws the same.
            policy: by default the source's.
        """
        policy = policy or Policy()
        batch, _, height, width = shape

        def around(centre: float, reach: float) -> Tensor:
            return centre + reach * (2.0 * torch.rand(batch, 1, 1, 1, generator=generator) - 1.0)

        return cls(
            brightness=around(0.0, policy.brightness),
            saturation=around(1.0, policy.saturation),
            contrast=around(1.0, policy.contrast),
            shifts=_shifts(batch, (width, height), policy.translation, generator),
            kept=_kept(batch, (height, width), policy.cutout, generator),
        )

    def __call__(self, x: Tensor) -> Tensor:
        """[B,C,H,W] to the same: the colours (channels 0..2) and the condition, moved and cut alike."""
        colours = self._coloured(x[:, :3])
        moved = self._moved(torch.cat([colours, x[:, 3:]], 1))
        return moved * self.kept.to(x)

    def _coloured(self, rgb: Tensor) -> Tensor:
        rgb = rgb + self.brightness.to(rgb)
        grey = rgb.mean(1, keepdim=True)
        rgb = grey + self.saturation.to(rgb) * (rgb - grey)
        mean = rgb.mean((1, 2, 3), keepdim=True)
        return mean + self.contrast.to(rgb) * (rgb - mean)

    def _moved(self, x: Tensor) -> Tensor:
        height, width = x.shape[-2:]
        pad = max((abs(step) for shift in self.shifts for step in shift), default=0)
        padded = functional.pad(x, (pad, pad, pad, pad))
        windows = [
            one[:, pad - down : pad - down + height, pad - right : pad - right + width]
            for one, (right, down) in zip(padded, self.shifts, strict=True)
        ]
        return torch.stack(windows)


def _shifts(
    batch: int, size: tuple[int, int], reach: float, generator: torch.Generator
) -> tuple[tuple[int, int], ...]:
    columns = [_integers(-round(side * reach), round(side * reach), batch, generator) for side in size]
    return tuple(zip(*columns, strict=True))


def _kept(batch: int, size: tuple[int, int], share: float, generator: torch.Generator) -> Tensor:
    """Squares whose centres lie anywhere in the picture, so that some are cut by its border."""
    kept = torch.ones(batch, 1, *size)
    tall, wide = (round(side * share) for side in size)
    rows, columns = (_integers(0, side - 1, batch, generator) for side in size)
    for one, y, x in zip(kept, rows, columns, strict=True):
        top, left = y - tall // 2, x - wide // 2
        one[:, max(top, 0) : max(top + tall, 0), max(left, 0) : max(left + wide, 0)] = 0.0
    return kept


def _integers(low: int, high: int, number: int, generator: torch.Generator) -> list[int]:
    """Numbers from low to high, both included."""
    return [int(n) for n in torch.randint(low, high + 1, (number,), generator=generator)]
