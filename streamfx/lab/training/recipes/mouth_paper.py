"""How the paper's mouth learns: completion, then its critic, then both; at 128 px, then at 256.

Iizuka et al. 2017, algorithm 1 (phases and losses); Geng et al. 2018, section 4.2 (growth).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import Enum, auto
from functools import partial
from typing import Any, ClassVar, Final

import torch
from lightning_fabric import Fabric
from torch import Tensor
from torch.nn import functional

from streamfx.errors import ModelCorrupt
from streamfx.lab.training.checkpoints import Tensors
from streamfx.lab.training.lessons import CompletionBatch
from streamfx.lab.training.losses import (
    COMPLETION_ALPHA,
    cross_entropy_critic,
    cross_entropy_generator,
    masked_mse,
)
from streamfx.lab.training.recipes.base import Average, Loss, Moment, Recipe, Terms, Turn, View
from streamfx.nets.completion import CompletionNet
from streamfx.nets.critics import GlobalLocalCritic
from streamfx.render.painter import DATA_MEAN

_GROWN: Final = "grown"
"""Name of the one number that the state holds besides the networks."""


class Phase(Enum):
    """Who learns."""

    COMPLETION = auto()
    """The net alone, by squared error (T_C)."""
    CRITIC = auto()
    """The critic alone (T_D)."""
    JOINT = auto()
    """Both."""


@dataclass(frozen=True, slots=True)
class MouthPaperConfig:
    """Shares of the run, weights and rates."""

    at_128: float = 0.6
    """Of the run; what remains is at 256 px."""
    completion: float = 0.18
    """Of the run at each size: the net alone."""
    critic: float = 0.02
    """Of the run at each size: the critic alone."""
    alpha: float = COMPLETION_ALPHA
    rate: float = 2e-4
    """Of Adam, which does in fewer steps what the paper's Adadelta does."""
    kept_rate: float = 0.25
    """Share of the rate for the middle of a net that has grown."""
    average: float = 0.999


class MouthPaper(Recipe[CompletionBatch]):
    """Squared error in the hole, and a game against a critic of face and mouth."""

    network: ClassVar[str] = "mouth-paper"

    def __init__(self, fabric: Fabric, config: MouthPaperConfig = MouthPaperConfig()) -> None:
        self._small = CompletionNet(128)
        super().__init__(fabric, self._small, GlobalLocalCritic(128), config.average)
        self.config, self._grown = config, False
        self.turns = self._turns(self._small, config.rate)

    @property
    def complete(self) -> bool:
        return self._grown

    def begin_from(self, weights: Tensors) -> None:
        self._grow()
        super().begin_from(weights)

    def phase(self, progress: float) -> Phase:
        """Who learns at a progress 0..1 of the run; a net that began at 256 px has no first part."""
        split = self.config.at_128
        if self._grown and progress < split:
            return Phase.JOINT
        part = (progress - split) / (1 - split) if self._grown else progress / split
        if part < self.config.completion:
            return Phase.COMPLETION
        return Phase.CRITIC if part < self.config.completion + self.config.critic else Phase.JOINT

    def step(self, batch: CompletionBatch, now: Moment) -> Mapping[str, Tensor]:
        if not self._grown and now.progress >= self.config.at_128:
            self._grow()
        phase, sized = self.phase(now.progress), self._sized(batch)
        terms: dict[str, Tensor] = {}
        if phase is Phase.CRITIC:
            with torch.no_grad(), self.fabric.autocast():
                made = self.net(_holed(sized))
        else:
            learned = self.turns["net"](partial(self._net_loss, sized, phase))
            self.average.follow(self.net, now.step)
            made, terms = learned.made, learned.terms
        if phase is not Phase.COMPLETION:
            terms |= self.turns["critic"](partial(self._critic_loss, sized, made)).terms
        return terms

    def _net_loss(self, batch: CompletionBatch, phase: Phase) -> Loss:
        terms, made = Terms(), self.net(_holed(batch))
        terms.add("mse", 1.0, masked_mse(made, batch.picture, batch.hole))
        if phase is Phase.JOINT:
            score = self._score(_completed(made, batch), batch.hole)
            terms.add("adversarial", self.config.alpha, cross_entropy_generator(score))
        return terms.loss(made)

    def _critic_loss(self, batch: CompletionBatch, made: Tensor) -> Loss:
        terms = Terms()
        real = self._score(batch.picture, batch.hole)
        terms.add("critic", 1.0, cross_entropy_critic(real, self._score(_completed(made, batch), batch.hole)))
        return terms.loss(made)

    def _score(self, pictures: Tensor, hole: Tensor) -> Tensor:
        out: Tensor = self.critic(pictures, around(pictures, hole))
        return out

    def _sized(self, batch: CompletionBatch) -> CompletionBatch:
        if self._grown:
            return batch
        return CompletionBatch(functional.avg_pool2d(batch.picture, 2), functional.avg_pool2d(batch.hole, 2))

    def _grow(self) -> None:
        """From 128 to 256 px: new ends, a new critic, and optimisers for them."""
        grown = self._small.grown()
        self._grown, self.net, self.critic = True, grown, GlobalLocalCritic(256)
        self.average = Average(grown, self.config.average)
        self.fabric.to_device(self.average)
        self.turns = self._turns(grown, self.config.kept_rate * self.config.rate)

    def _turns(self, net: CompletionNet, middle_rate: float) -> dict[str, Turn]:
        ends = [*net.enter.parameters(), *net.leave.parameters()]
        groups: list[dict[str, Any]] = [
            {"params": list(net.middle.parameters()), "lr": middle_rate},
            {"params": ends},
        ]
        return {
            "net": Turn(self.fabric, net, torch.optim.Adam(groups, self.config.rate)),
            "critic": Turn(
                self.fabric, self.critic, torch.optim.Adam(self.critic.parameters(), self.config.rate)
            ),
        }

    def state(self) -> dict[str, Tensor]:
        return super().state() | {_GROWN: torch.tensor(self._grown)}

    def restore(self, state: Tensors) -> None:
        if _GROWN not in state:
            raise ModelCorrupt("The checkpoint is of another recipe", "Start anew in another folder")
        if bool(state[_GROWN]) and not self._grown:
            self._grow()
        super().restore(state)

    @torch.no_grad()
    def view(self, batch: CompletionBatch) -> View:
        sized = self._sized(batch)
        inputs = _holed(sized)
        after = _completed(self.average(inputs), sized)
        return View(sized.picture, inputs[:, :3], after.clamp(0, 1), sized.picture, sized.hole > 0.5)

    def example(self, batch: CompletionBatch) -> tuple[Tensor, Tensor]:
        return _holed(batch), batch.hole


def around(pictures: Tensor, hole: Tensor) -> Tensor:
    """[B,3,S/2,S/2]: the patches of pictures [B,3,S,S] round the middles of the holes [B,1,S,S]."""
    side = pictures.shape[-1] // 2
    patches = [
        one[:, top : top + side, left : left + side]
        for one, (top, left) in zip(pictures, _corners(hole, side), strict=True)
    ]
    return torch.stack(patches)


def _corners(hole: Tensor, side: int) -> Iterator[tuple[int, int]]:
    """Top and left of the patch round each hole; an empty hole's lies in the middle of the picture."""
    last = hole.shape[-1] - side
    for one in hole[:, 0]:
        places = torch.nonzero(one > 0.5).float()
        centre = places.mean(0) if len(places) else torch.full((2,), hole.shape[-1] / 2)
        top, left = (min(max(round(float(at) - side / 2), 0), last) for at in centre)
        yield top, left


def _holed(batch: CompletionBatch) -> Tensor:
    """[B,4,S,S]: the picture, its hole filled with the data's mean colour; the hole."""
    mean = batch.picture.new_tensor(DATA_MEAN).view(1, 3, 1, 1)
    return torch.cat([batch.picture * (1 - batch.hole) + mean * batch.hole, batch.hole], 1)


def _completed(made: Tensor, batch: CompletionBatch) -> Tensor:
    return batch.picture * (1 - batch.hole) + made * batch.hole
