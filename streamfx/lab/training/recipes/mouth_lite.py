"""How the lite mouth learns: near the true mouth, like it to a critic, steady in time."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import ClassVar, Final

import torch
from lightning_fabric import Fabric
from torch import Tensor

from streamfx.lab.training.diffaugment import Augmentation, Policy
from streamfx.lab.training.lessons import MouthPair
from streamfx.lab.training.losses import LazyR1, coarse_l1, gradient_l1, soft_l1, structure
from streamfx.lab.training.perceptual import Perceptual
from streamfx.lab.training.recipes.base import Loss, Moment, Pace, Recipe, Terms, Turn, View
from streamfx.lab.training.recipes.terms import Game, energy_gap, unsteady, worth_a_look
from streamfx.lab.training.sampling import MouthBatch
from streamfx.nets.catalogue import build
from streamfx.nets.critics import MouthCritic

_GENTLE: Final = Policy(brightness=0.1, saturation=0.2, contrast=0.2, cutout=0.0)
"""The critic may see that colours differ, but not learn any one picture by heart."""


_CELLS: Final = (4, 12)
"""px: sides of the cells over which coarse_l1 compares means."""


@dataclass(frozen=True, slots=True)
class MouthLiteConfig:
    """Weights of the terms, all inside the mouth, and rates."""

    value: float = 1.0
    """soft_l1"""
    gradient: float = 1.0
    coarse: float = 1.0
    """coarse_l1"""
    structure: float = 0.1
    energy: float = 0.05
    """Against blur and against false detail; see terms.energy_gap."""
    perceptual: float = 0.2
    adversarial: float = 0.01
    matching: float = 0.2
    temporal: float = 0.5
    pairs: float = 0.5
    """Share of batches with the picture before, which the temporal term needs."""
    game_begins: float = 0.2
    rate: float = 1e-3
    critic_rate: float = 4e-4
    largest_gradient: float = 1.0
    average: float = 0.999
    r1: LazyR1 = field(default_factory=LazyR1)
    critic_policy: Policy = _GENTLE
    pace: Pace = field(default_factory=Pace)


@dataclass(frozen=True, slots=True)
class _Drawn:
    """A batch and the network's picture of it, laid into its surroundings."""

    batch: MouthBatch
    picture: Tensor
    """[B,3,96,96]"""


class MouthLite(Recipe[MouthPair]):
    """L1, gradient L1, perceptual, hinge critic of the whole crop with R1 and feature matching, temporal."""

    network: ClassVar[str] = "mouth-lite"

    def __init__(self, fabric: Fabric, config: MouthLiteConfig = MouthLiteConfig()) -> None:
        """Build the networks.

        Raises:
            ModelMissing, ModelCorrupt: the perceptual term's backbone cannot be had.
        """
        super().__init__(fabric, build(self.network), MouthCritic(), config.average)
        self.config = config
        self._perceptual = fabric.to_device(Perceptual()) if config.perceptual else None
        net_memory = torch.optim.Adam(self.net.parameters(), config.rate, betas=(0.9, 0.99))
        critic_memory = torch.optim.Adam(self.critic.parameters(), config.critic_rate, betas=(0.0, 0.99))
        self.turns = {
            "net": Turn(fabric, self.net, net_memory, config.largest_gradient),
            "critic": Turn(fabric, self.critic, critic_memory),
        }

    def step(self, batch: MouthPair, now: Moment) -> Mapping[str, Tensor]:
        for turn in self.turns.values():
            turn.pace(self.config.pace.rate(now.progress))
        playing = now.progress >= self.config.game_begins
        state = now.generator.get_state()
        learned = self.turns["net"](partial(self._net_loss, batch, now, playing))
        self.average.follow(self.net, now.step)
        if not playing:
            return learned.terms
        now.generator.set_state(state)  # the critic judges what the network was judged by
        judged = self.turns["critic"](partial(self._critic_loss, _Drawn(batch.now, learned.made), now))
        return learned.terms | judged.terms

    def _net_loss(self, pair: MouthPair, now: Moment, playing: bool) -> Loss:
        weights, batch = self.config, pair.now
        picture = _laid(self.net(batch.inputs), batch)
        terms = Terms()
        terms.add("value", weights.value, soft_l1(picture, batch.truth, batch.mask))
        terms.add("gradient", weights.gradient, gradient_l1(picture, batch.truth, batch.mask))
        terms.add("coarse", weights.coarse, coarse_l1(picture, batch.truth, batch.mask, _CELLS))
        terms.add("structure", weights.structure, structure(picture, batch.truth, batch.mask))
        if weights.energy:
            apart = energy_gap(picture, batch.truth, batch.mask) * batch.sharp.flatten()
            terms.add("energy", weights.energy, apart.mean())
        if weights.temporal and pair.before is not None:
            before, mask = _laid(self.net(pair.before.inputs), pair.before), batch.mask * pair.before.mask
            change = unsteady(picture, before, batch.truth, pair.before.truth, mask)
            terms.add("temporal", weights.temporal, change)
        if self._perceptual is not None:
            apart = self._perceptual(picture.clamp(0, 1), batch.truth) * batch.sharp.flatten()
            terms.add("perceptual", weights.perceptual, apart.mean())
        if playing:
            adversarial, matching = self._game(_Drawn(batch, picture), now).network_loss()
            terms.add("adversarial", weights.adversarial, adversarial)
            terms.add("matching", weights.matching, matching)
        return terms.loss(picture)

    def _critic_loss(self, drawn: _Drawn, now: Moment) -> Loss:
        terms = Terms()
        hinge, penalty = self._game(drawn, now).critic_loss(self.config.r1, now.step)
        terms.add("critic", 1.0, hinge)
        terms.add("r1", 1.0, penalty)
        return terms.loss(drawn.picture)

    def _game(self, drawn: _Drawn, now: Moment) -> Game:
        batch = drawn.batch
        rows, stake = worth_a_look(batch.sharp)
        condition = torch.cat([batch.mask, batch.inputs[:, 8:10]], 1)[rows]
        real = torch.cat([batch.truth[rows], condition], 1)
        made = torch.cat([drawn.picture[rows], condition], 1)
        augmentation = Augmentation.draw(real.shape, now.generator, self.config.critic_policy)
        return Game(self.critic, real, made, augmentation, stake)

    @torch.no_grad()
    def view(self, batch: MouthPair) -> View:
        now = batch.now
        drawn, around = now.inputs[:, 4:7], now.inputs[:, :3]
        after = _laid(self.average(now.inputs), now)
        return View(around, around + drawn, after.clamp(0, 1), now.truth, now.mask > 0.5)

    def example(self, batch: MouthPair) -> tuple[Tensor, Tensor]:
        return batch.now.inputs, batch.now.mask


def _laid(mouth: Tensor, batch: MouthBatch) -> Tensor:
    """The mouth between the lips, which are the truth's."""
    return mouth * batch.mask + batch.truth * (1 - batch.mask)
