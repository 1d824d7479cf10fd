"""How the paper's refiner learns: WGAN with clipped weights, and L1 (Geng et al. 2018, section 4.1)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import ClassVar, Final

import torch
from lightning_fabric import Fabric
from torch import Tensor

from streamfx.lab.training.history import CAPACITY, History
from streamfx.lab.training.lessons import FacePair
from streamfx.lab.training.losses import (
    PAPER_ALPHA,
    PAPER_CLIP,
    Reduction,
    clip_weights,
    l1,
    wasserstein_critic,
    wasserstein_generator,
)
from streamfx.lab.training.recipes.base import Loss, Moment, Pace, Recipe, Terms, Turn, View
from streamfx.lab.training.recipes.terms import Window
from streamfx.lab.training.sampling import FaceBatch
from streamfx.nets.critics import PaperCritic
from streamfx.nets.refiner import PaperRefiner
from streamfx.render.rectify import CROP

_PACE: Final = Pace()
"""Of the warm-up alone."""


@dataclass(frozen=True, slots=True)
class RefinePaperConfig:
    """The paper's figures; where it gives none, those of WGAN (Arjovsky et al. 2017, algorithm 1)."""

    alpha: float = PAPER_ALPHA
    """Weight of L1, summed over a picture: with a mean it would be next to nothing."""
    rate: float = 5e-5
    """Of RMSprop, for both networks."""
    critic_steps: int = 5
    """Of the critic, to one of the refiner."""
    clip: float = PAPER_CLIP
    history: int = CAPACITY
    """Made pictures kept for the critic, all processes together."""
    average: float = 0.999
    copy_at_start: bool = False
    """Begin as a network that gives its input back (see nets.refiner): not the paper's, but sooner of use."""
    warm_up: float = 0.0
    """Share of the run, from its start, in which L1 alone teaches, by windows of the face. Not the paper's,
    but a network that cannot copy yet plays no game."""
    window: int = 128
    """px: side of those windows."""


class RefinePaper(Recipe[FacePair]):
    """min_R max_D  alpha |R - x|_1 + D(x, M) - D(R, M), as printed. A step is one of the critic."""

    network: ClassVar[str] = "refine-paper"

    def __init__(self, fabric: Fabric, config: RefinePaperConfig = RefinePaperConfig()) -> None:
        net = PaperRefiner()
        if config.copy_at_start:
            net.copy_at_start()
        super().__init__(fabric, net, PaperCritic(), config.average)
        self.config = config
        self.turns = {
            "net": Turn(fabric, self.net, torch.optim.RMSprop(self.net.parameters(), config.rate)),
            "critic": Turn(fabric, self.critic, torch.optim.RMSprop(self.critic.parameters(), config.rate)),
        }
        held = max(1, config.history // fabric.world_size)
        self._history = History((PaperCritic.INPUTS, CROP, CROP), held)
        fabric.to_device(self._history)

    def step(self, batch: FacePair, now: Moment) -> Mapping[str, Tensor]:
        warming = now.progress < self.config.warm_up
        self.turns["net"].pace(_PACE.rate(now.progress / self.config.warm_up) if warming else 1.0)
        if warming:
            return self._warm_up(batch.now, now)
        with torch.no_grad(), self.fabric.autocast():
            made = self.net(_inputs(batch.now))
        shown = self._history.mixed(_judged(made, batch.now), now.generator)
        judged = self.turns["critic"](partial(self._critic_loss, batch.now, shown))
        clip_weights(self.critic, self.config.clip)
        if (now.step + 1) % self.config.critic_steps:
            return judged.terms
        learned = self.turns["net"](partial(self._net_loss, batch.now))
        self.average.follow(self.net, now.step // self.config.critic_steps)
        return judged.terms | learned.terms

    def _warm_up(self, batch: FaceBatch, now: Moment) -> Mapping[str, Tensor]:
        height, width = batch.truth.shape[-2:]
        window = Window.draw(height, width, self.config.window, now.generator)
        learned = self.turns["net"](partial(self._warm_up_loss, batch, window))
        self.average.follow(self.net, now.step)
        return learned.terms

    def _warm_up_loss(self, batch: FaceBatch, window: Window) -> Loss:
        terms, made = Terms(), self.net(window.of(_inputs(batch)))
        truth, face = window.of(batch.truth), window.of(batch.face)
        terms.add("l1 sum", self.config.alpha, l1(made, truth, face, Reduction.SUM))
        return terms.loss(made)

    def _critic_loss(self, batch: FaceBatch, made: Tensor) -> Loss:
        terms = Terms()
        real = self.critic(_judged(batch.truth, batch))
        terms.add("critic", 1.0, wasserstein_critic(real, self.critic(made)))
        return terms.loss(made)

    def _net_loss(self, batch: FaceBatch) -> Loss:
        terms, made = Terms(), self.net(_inputs(batch))
        terms.add("l1 sum", self.config.alpha, l1(made, batch.truth, batch.face, Reduction.SUM))
        score = self.critic(_judged(made, batch))
        terms.add("adversarial", 1.0, wasserstein_generator(score))
        return terms.loss(made)

    def own_state(self) -> dict[str, Tensor]:
        return dict(self._history.state_dict())

    def restore_own(self, state: Mapping[str, Tensor]) -> None:
        self._history.load_state_dict(dict(state))

    @torch.no_grad()
    def view(self, batch: FacePair) -> View:
        now = batch.now
        inside = now.face
        after = self.average(_inputs(now)) * inside + now.warped * (1 - inside)
        return View(now.photo, now.warped, after.clamp(0, 1), now.truth, inside > 0.5)

    def example(self, batch: FacePair) -> tuple[Tensor, Tensor]:
        return _inputs(batch.now), batch.now.face


def _inputs(batch: FaceBatch) -> Tensor:
    """[B,5,H,W]: the warped face, in the photo's light, and M / 6."""
    return torch.cat([batch.warped, batch.inputs[:, 4:6]], 1)


def _judged(pictures: Tensor, batch: FaceBatch) -> Tensor:
    """[B,5,H,W]: the face alone, and M / 6: what lies outside the mask is discarded."""
    return torch.cat([pictures * batch.face, batch.inputs[:, 4:6]], 1)
