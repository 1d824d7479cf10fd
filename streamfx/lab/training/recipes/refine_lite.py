"""How the lite refiner learns: near the truth in value and slope, like it to a critic, steady in time."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import ClassVar, Final

import torch
from lightning_fabric import Fabric
from torch import Tensor

from streamfx.lab.training.diffaugment import Augmentation, Policy
from streamfx.lab.training.lessons import FacePair
from streamfx.lab.training.losses import LazyR1, coarse_l1, gradient_l1, soft_l1, structure
from streamfx.lab.training.perceptual import Perceptual
from streamfx.lab.training.recipes.base import Loss, Moment, Pace, Recipe, Terms, Turn, View
from streamfx.lab.training.recipes.terms import Game, Window, energy_gap, unsteady, worth_a_look
from streamfx.lab.training.sampling import FaceBatch
from streamfx.nets.catalogue import build
from streamfx.nets.critics import PatchCritic

_GENTLE: Final = Policy(brightness=0.1, saturation=0.2, contrast=0.2, cutout=0.0)
"""The critic may see that colours differ, but not learn any one picture by heart."""


_DISTANCES: Final[Mapping[str, Callable[[Tensor, Tensor, Tensor], Tensor]]] = {
    "value": soft_l1,
    "gradient": gradient_l1,
    "coarse": coarse_l1,
    "structure": structure,
}
"""By their weights' names."""


@dataclass(frozen=True, slots=True)
class RefineLiteConfig:
    """Weights of the terms, and rates."""

    value: float = 1.0
    """soft_l1"""
    gradient: float = 1.0
    coarse: float = 2.0
    """coarse_l1: the shading."""
    structure: float = 0.3
    energy: float = 0.04
    """Against blur and against false detail; see terms.energy_gap."""
    energy_aim: float = 0.95
    """Of the truth's energy: what two photos have in common has a little less than either."""
    perceptual: float = 0.05
    adversarial: float = 0.002
    matching: float = 0.05
    """Of the critic's features."""
    temporal: float = 0.5
    previous: float = 0.7
    """Share of batches that see the residual of the picture before."""
    skin_balance: float = 0.5
    """0 draws all people alike, 1 the light, the medium and the dark alike: the few must not be lost."""
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
    see_warp: bool = True
    """False: the photo as it is takes the warped face's place (ablation W-)."""
    see_motion: bool = True
    """False: M is 0 (ablation M-)."""
    with_mouth: bool = False
    """The inner mouth is asked for too: one network for both tasks (ablation, the paper's figure 7)."""


@dataclass(frozen=True, slots=True)
class _Drawn:
    """A batch and the network's picture of it."""

    batch: FaceBatch
    picture: Tensor
    """[B,3,H,W]"""


class RefineLite(Recipe[FacePair]):
    """Distances at several scales, structure, perceptual, hinge critic on windows, temporal."""

    network: ClassVar[str] = "refine-lite"

    def __init__(self, fabric: Fabric, config: RefineLiteConfig = RefineLiteConfig()) -> None:
        """Build the networks.

        Raises:
            ModelMissing, ModelCorrupt: the perceptual term's backbone cannot be had.
        """
        super().__init__(fabric, build(self.network), PatchCritic(), config.average)
        self.config = config
        self._perceptual = fabric.to_device(Perceptual()) if config.perceptual else None
        net_memory = torch.optim.Adam(self.net.parameters(), config.rate, betas=(0.9, 0.99))
        critic_memory = torch.optim.Adam(self.critic.parameters(), config.critic_rate, betas=(0.0, 0.99))
        self.turns = {
            "net": Turn(fabric, self.net, net_memory, config.largest_gradient),
            "critic": Turn(fabric, self.critic, critic_memory),
        }

    def step(self, batch: FacePair, now: Moment) -> Mapping[str, Tensor]:
        for turn in self.turns.values():
            turn.pace(self.config.pace.rate(now.progress))
        playing = now.progress >= self.config.game_begins
        height, width = batch.now.truth.shape[-2:]
        window = Window.draw(height, width, self.config.window, now.generator)
        state = now.generator.get_state()
        learned = self.turns["net"](partial(self._net_loss, batch, window, now, playing))
        self.average.follow(self.net, now.step)
        if not playing:
            return learned.terms
        now.generator.set_state(state)  # the critic judges what the network was judged by
        drawn = _Drawn(batch.now, learned.made)
        judged = self.turns["critic"](partial(self._critic_loss, drawn, window, now))
        return learned.terms | judged.terms

    def _net_loss(self, pair: FacePair, window: Window, now: Moment, playing: bool) -> Loss:
        weights, batch = self.config, pair.now
        previous = self._residual_before(pair)
        picture = self._base(batch) + self.net(self._inputs(batch, previous))
        terms = Terms()
        for name, distance in _DISTANCES.items():
            terms.add(name, getattr(weights, name), distance(picture, batch.truth, batch.face))
        if weights.energy:
            apart = energy_gap(picture, batch.truth, batch.face, weights.energy_aim) * batch.sharp.flatten()
            terms.add("energy", weights.energy, apart.mean())
        if weights.temporal and pair.before is not None:
            before, mask = self._base(pair.before) + previous, batch.face * pair.before.face
            change = unsteady(picture, before, batch.truth, pair.before.truth, mask)
            terms.add("temporal", weights.temporal, change)
        self._look(_Drawn(batch, picture), window, now, terms, playing)
        return terms.loss(picture)

    def _look(self, drawn: _Drawn, window: Window, now: Moment, terms: Terms, playing: bool) -> None:
        """Add the terms that ask how a window of the picture looks."""
        if self._perceptual is not None:
            made, truth = window.of(_laid(drawn)).clamp(0, 1), window.of(drawn.batch.truth)
            apart = self._perceptual(made, truth) * drawn.batch.sharp.flatten()
            terms.add("perceptual", self.config.perceptual, apart.mean())
        if playing:
            adversarial, matching = self._game(drawn, window, now).network_loss()
            terms.add("adversarial", self.config.adversarial, adversarial)
            terms.add("matching", self.config.matching, matching)

    def _critic_loss(self, drawn: _Drawn, window: Window, now: Moment) -> Loss:
        terms = Terms()
        hinge, penalty = self._game(drawn, window, now).critic_loss(self.config.r1, now.step)
        terms.add("critic", 1.0, hinge)
        terms.add("r1", 1.0, penalty)
        return terms.loss(drawn.picture)

    def _game(self, drawn: _Drawn, window: Window, now: Moment) -> Game:
        rows, stake = worth_a_look(drawn.batch.sharp)
        condition = window.of(drawn.batch.inputs[:, 3:])[rows]
        real = torch.cat([window.of(drawn.batch.truth)[rows], condition[:, 1:], condition[:, :1]], 1)
        made = torch.cat([window.of(_laid(drawn))[rows], real[:, 3:]], 1)
        augmentation = Augmentation.draw(real.shape, now.generator, self.config.critic_policy)
        return Game(self.critic, real, made, augmentation, stake)

    def _residual_before(self, pair: FacePair) -> Tensor:
        """What the network gave, without a predecessor of its own, for the moment before; else 0."""
        if pair.before is None:
            return torch.zeros_like(pair.now.truth)
        with torch.no_grad():
            out: Tensor = self.net(self._inputs(pair.before, torch.zeros_like(pair.before.truth)))
        return out

    def _base(self, batch: FaceBatch) -> Tensor:
        warped, hole = batch.inputs[:, :3], batch.inputs[:, 3:4]
        return warped if self.config.see_warp else batch.photo * (1 - hole)

    def _inputs(self, batch: FaceBatch, previous: Tensor) -> Tensor:
        motion = batch.inputs[:, 4:6]
        shown = motion if self.config.see_motion else torch.zeros_like(motion)
        return torch.cat([self._base(batch), batch.inputs[:, 3:4], shown, previous], 1)

    @torch.no_grad()
    def view(self, batch: FacePair) -> View:
        now = batch.now
        base = self._base(now)
        after = base + self.average(self._inputs(now, torch.zeros_like(now.truth)))
        return View(now.photo, now.warped, after.clamp(0, 1), now.truth, now.face > 0.5)

    @torch.no_grad()
    def example(self, batch: FacePair) -> tuple[Tensor, Tensor]:
        """Every other row sees a residual of the moment before, as all but a film's first picture do."""
        previous = torch.zeros_like(batch.now.truth)
        previous[1::2] = self.average(self._inputs(batch.now, previous))[1::2]
        return self._inputs(batch.now, previous), batch.now.face


def _laid(drawn: _Drawn) -> Tensor:
    """The network's picture where it counts, the truth around it."""
    face = drawn.batch.face
    return drawn.picture * face + drawn.batch.truth * (1 - face)
