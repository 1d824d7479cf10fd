"""Parts of losses that several recipes share and that are more than a distance between two pictures."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor
from torch.nn import functional

from streamfx.lab.training.diffaugment import Augmentation
from streamfx.lab.training.losses import LazyR1, feature_matching, hinge_critic, hinge_generator, l1
from streamfx.nets.critics import Verdict

_LAPLACIAN: Final = ((0.0, 1.0, 0.0), (1.0, -4.0, 1.0), (0.0, 1.0, 0.0))
_TOLERATED: Final = 0.05
_DARK: Final = 1e-4
"""Energy per picture under which none is missed."""


@dataclass(frozen=True, slots=True)
class Window:
    """A random square of the crop: what critics see at a time, for they are dear."""

    top: int
    left: int
    side: int

    @staticmethod
    def draw(height: int, width: int, side: int, generator: torch.Generator) -> Window:
        """One that lies inside a picture of height x width; the whole of it where that is smaller."""
        side = min(side, height, width)
        top, left = (
            int(torch.randint(free - side + 1, (1,), generator=generator)) for free in (height, width)
        )
        return Window(top, left, side)

    def of(self, pictures: Tensor) -> Tensor:
        """[B,C,side,side]"""
        return pictures[..., self.top : self.top + self.side, self.left : self.left + self.side]


@dataclass(frozen=True, slots=True)
class Game:
    """One round between a network and a patch critic: the same places, augmented alike."""

    critic: Callable[[Tensor], Verdict]
    real: Tensor
    """[K,3+conditions,h,w]: the truth, and what the critic knows besides."""
    made: Tensor
    """The same with the network's picture."""
    augmentation: Augmentation
    stake: Tensor
    """[]: 0 where nothing in the batch is worth a critic's look, else 1."""

    def network_loss(self) -> tuple[Tensor, Tensor]:
        """The network's side: hinge, and the distance of the critic's features (Wang et al. 2018)."""
        made = self.critic(self.augmentation(self.made))
        with torch.no_grad():
            real = self.critic(self.augmentation(self.real))
        return self.stake * hinge_generator(made.logits), self.stake * feature_matching(
            real.features, made.features
        )

    def critic_loss(self, r1: LazyR1, step: int) -> tuple[Tensor, Tensor]:
        """The critic's side: hinge, and the R1 penalty where it is due (else 0)."""
        real, made = self.augmentation(self.real), self.augmentation(self.made.detach())
        hinge = hinge_critic(self.critic(real).logits, self.critic(made).logits)
        if not r1.due(step):
            return self.stake * hinge, hinge.new_zeros(())
        return self.stake * hinge, self.stake * r1.penalty(lambda x: self.critic(x).logits, real)


def worth_a_look(sharp: Tensor) -> tuple[Tensor, Tensor]:
    """The rows [K] of a batch whose detail is true, and 1; all of them and 0 where there is none."""
    rows = torch.nonzero(sharp.flatten() > 0)[:, 0]
    if len(rows):
        return rows, sharp.new_ones(())
    return torch.arange(len(sharp), device=sharp.device), sharp.new_zeros(())


def energy_gap(made: Tensor, truth: Tensor, mask: Tensor, aim: float = 1.0) -> Tensor:
    """[B]: how far the logarithm of the ratio of Laplacian energies is from that of `aim`, past a tolerance.

    Less energy than the truth has is blur, more is noise.
    """
    kernel = torch.tensor(_LAPLACIAN, device=made.device).view(1, 1, 3, 3)

    def energy(pictures: Tensor) -> Tensor:
        luma = pictures.float().mean(1, keepdim=True)
        return (functional.conv2d(luma, kernel, padding=1).square() * mask).sum((1, 2, 3)) + _DARK

    return functional.relu(torch.log(aim * energy(truth) / energy(made)).abs() - _TOLERATED)


def unsteady(now: Tensor, before: Tensor, truth: Tensor, truth_before: Tensor, mask: Tensor) -> Tensor:
    """L1 between what changes from one picture to the next, and what truly changes."""
    return l1(now - before, truth - truth_before, mask)
