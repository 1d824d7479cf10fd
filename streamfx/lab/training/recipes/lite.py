"""What both lite recipes share: near the truth at several scales, like it to a critic, steady in time."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import ClassVar, Final, Generic, Protocol, TypeVar

import torch
from lightning_fabric import Fabric
from torch import Tensor, nn

from streamfx.lab.training.diffaugment import Augmentation, Policy
from streamfx.lab.training.losses import LazyR1
from streamfx.lab.training.perceptual import Perceptual
from streamfx.lab.training.recipes.base import Loss, Moment, Pace, Recipe, Terms, Turn
from streamfx.lab.training.recipes.terms import Game, Window, energy_gap, unsteady, worth_a_look
from streamfx.nets.catalogue import build

Distance = Callable[[Tensor, Tensor, Tensor], Tensor]
"""[] between a picture and the truth [B,3,H,W], within a mask [B,1,H,W]."""

_GENTLE: Final = Policy(brightness=0.1, saturation=0.2, contrast=0.2, cutout=0.0)
"""The critic may see that colours differ, but not learn any one picture by heart."""


class Batch(Protocol):
    """What both recipes' batches have."""

    @property
    def truth(self) -> Tensor:
        """[B,3,H,W]"""

    @property
    def sharp(self) -> Tensor:
        """[B,1,1,1]: 1 where detail is worth learning."""


B = TypeVar("B", bound=Batch)


P = TypeVar("P")
"""The type of a batch with, in some, the one before it in time."""


@dataclass(frozen=True, slots=True)
class LiteConfig:
    """Weights of the terms, and rates."""

    value: float = 1.0
    """soft_l1"""
    gradient: float = 1.0
    coarse: float = 1.0
    """coarse_l1: the shading."""
    structure: float = 0.1
    energy: float = 0.05
    """Against blur and against false detail; see terms.energy_gap."""
    energy_aim: float = 1.0
    """Of the truth's energy."""
    perceptual: float = 0.2
    adversarial: float = 0.01
    matching: float = 0.2
    """Of the critic's features."""
    temporal: float = 0.5
    game_begins: float = 0.2
    """Progress at which the critic comes in: before it, there is nothing but blur to tell by."""
    window: int = 128
    """px: side of the square that critic and perceptual term look at."""
    rate: float = 1e-3
    critic_rate: float = 4e-4
    largest_gradient: float = 1.0
    average: float = 0.999
    """Decay of the weights' moving average."""
    r1: LazyR1 = field(default_factory=LazyR1)
    critic_policy: Policy = _GENTLE
    pace: Pace = field(default_factory=Pace)


@dataclass(frozen=True, slots=True)
class Drawn(Generic[B]):
    """A batch and the network's picture of it."""

    batch: B
    picture: Tensor
    """[B,3,H,W]"""
    mask: Tensor
    """[B,1,H,W]: where it counts."""

    @property
    def laid(self) -> Tensor:
        """The picture where it counts, the truth around it."""
        return self.picture * self.mask + self.batch.truth * (1 - self.mask)


class LiteRecipe(Recipe[P], Generic[P, B]):
    """Distances, Laplacian energy, perceptual term, hinge critic with R1 and feature matching, temporal term.

    Critic and perceptual term look at a window at a time.
    """

    distances: ClassVar[Mapping[str, Distance]]
    """By their weights' names."""

    def __init__(self, fabric: Fabric, critic: nn.Module, config: LiteConfig) -> None:
        """Build the networks.

        Raises:
            ModelMissing, ModelCorrupt: the perceptual term's backbone cannot be had.
        """
        super().__init__(fabric, build(self.network), critic, config.average)
        self._terms = config
        self._perceptual = fabric.to_device(Perceptual()) if config.perceptual else None
        net_memory = torch.optim.Adam(self.net.parameters(), config.rate, betas=(0.9, 0.99))
        critic_memory = torch.optim.Adam(self.critic.parameters(), config.critic_rate, betas=(0.0, 0.99))
        self.turns = {
            "net": Turn(fabric, self.net, net_memory, config.largest_gradient),
            "critic": Turn(fabric, self.critic, critic_memory),
        }

    @abstractmethod
    def drawn(self, pair: P) -> tuple[Drawn[B], Drawn[B] | None]:
        """What the network makes of a batch and of the one before it, if there is one."""

    @abstractmethod
    def again(self, pair: P, picture: Tensor) -> Drawn[B]:
        """The batch with a picture that the network made of it."""

    @abstractmethod
    def condition(self, batch: B) -> Tensor:
        """[B,C,H,W]: what the critic knows besides the picture."""

    def step(self, batch: P, now: Moment) -> Mapping[str, Tensor]:
        for turn in self.turns.values():
            turn.pace(self._terms.pace.rate(now.progress))
        playing = now.progress >= self._terms.game_begins
        state = now.generator.get_state()
        learned = self.turns["net"](partial(self._net_loss, batch, now, playing))
        self.average.follow(self.net, now.step)
        if not playing:
            return learned.terms
        now.generator.set_state(state)  # the critic judges what the network was judged by
        judged = self.turns["critic"](partial(self._critic_loss, self.again(batch, learned.made), now))
        return learned.terms | judged.terms

    def _net_loss(self, pair: P, now: Moment, playing: bool) -> Loss:
        weights, terms = self._terms, Terms()
        drawn, before = self.drawn(pair)
        picture, truth, mask = drawn.picture, drawn.batch.truth, drawn.mask
        for name, distance in self.distances.items():
            terms.add(name, getattr(weights, name), distance(picture, truth, mask))
        if weights.energy:
            apart = energy_gap(picture, truth, mask, weights.energy_aim) * drawn.batch.sharp.flatten()
            terms.add("energy", weights.energy, apart.mean())
        if weights.temporal and before is not None:
            change = unsteady(picture, before.picture, truth, before.batch.truth, mask * before.mask)
            terms.add("temporal", weights.temporal, change)
        self._look(drawn, now, terms, playing)
        return terms.loss(picture)

    def _look(self, drawn: Drawn[B], now: Moment, terms: Terms, playing: bool) -> None:
        """Add the terms that ask how a window of the picture looks."""
        window = self._window(drawn, now)
        if self._perceptual is not None:
            made, truth = window.of(drawn.laid).clamp(0, 1), window.of(drawn.batch.truth)
            apart = self._perceptual(made, truth) * drawn.batch.sharp.flatten()
            terms.add("perceptual", self._terms.perceptual, apart.mean())
        if playing:
            adversarial, matching = self._game(drawn, window, now).network_loss()
            terms.add("adversarial", self._terms.adversarial, adversarial)
            terms.add("matching", self._terms.matching, matching)

    def _critic_loss(self, drawn: Drawn[B], now: Moment) -> Loss:
        terms = Terms()
        game = self._game(drawn, self._window(drawn, now), now)
        hinge, penalty = game.critic_loss(self._terms.r1, now.step)
        terms.add("critic", 1.0, hinge)
        terms.add("r1", 1.0, penalty)
        return terms.loss(drawn.picture)

    def _window(self, drawn: Drawn[B], now: Moment) -> Window:
        height, width = drawn.picture.shape[-2:]
        return Window.draw(height, width, self._terms.window, now.generator)

    def _game(self, drawn: Drawn[B], window: Window, now: Moment) -> Game:
        rows, stake = worth_a_look(drawn.batch.sharp)
        known = window.of(self.condition(drawn.batch))[rows]
        real = torch.cat([window.of(drawn.batch.truth)[rows], known], 1)
        made = torch.cat([window.of(drawn.laid)[rows], known], 1)
        augmentation = Augmentation.draw(real.shape, now.generator, self._terms.critic_policy)
        return Game(self.critic, real, made, augmentation, stake)
