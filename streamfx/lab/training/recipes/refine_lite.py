"""How the lite refiner learns: see lite.py; all terms look at the face without the inner mouth."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import ClassVar

import torch
from lightning_fabric import Fabric
from torch import Tensor

from streamfx.lab.training.lessons import FacePair
from streamfx.lab.training.losses import coarse_l1, gradient_l1, soft_l1, structure
from streamfx.lab.training.recipes.base import View
from streamfx.lab.training.recipes.lite import Distance, Drawn, LiteConfig, LiteRecipe
from streamfx.lab.training.sampling import FaceBatch
from streamfx.nets.critics import PatchCritic


@dataclass(frozen=True, slots=True)
class RefineLiteConfig(LiteConfig):
    """As LiteConfig, with other weights."""

    coarse: float = 2.0
    structure: float = 0.3
    energy: float = 0.04
    energy_aim: float = 0.95
    """What two photos have in common has a little less energy than either."""
    perceptual: float = 0.05
    adversarial: float = 0.002
    matching: float = 0.05
    previous: float = 0.7
    """Share of batches that see the residual of the picture before."""
    skin_balance: float = 0.5
    """0 draws all people alike, 1 the light, the medium and the dark alike: the few must not be lost."""
    see_warp: bool = True
    """False: the photo as it is takes the warped face's place (ablation W-)."""
    see_motion: bool = True
    """False: M is 0 (ablation M-)."""
    with_mouth: bool = False
    """The inner mouth is asked for too: one network for both tasks (ablation, the paper's figure 7)."""


class RefineLite(LiteRecipe[FacePair, FaceBatch]):
    """See LiteRecipe."""

    network: ClassVar[str] = "refine-lite"
    distances: ClassVar[Mapping[str, Distance]] = MappingProxyType(
        {"value": soft_l1, "gradient": gradient_l1, "coarse": coarse_l1, "structure": structure}
    )

    def __init__(self, fabric: Fabric, config: RefineLiteConfig = RefineLiteConfig()) -> None:
        """See LiteRecipe."""
        super().__init__(fabric, PatchCritic(), config)
        self.config = config

    def drawn(self, pair: FacePair) -> tuple[Drawn[FaceBatch], Drawn[FaceBatch] | None]:
        previous = self._residual_before(pair)
        now = self.again(pair, self._base(pair.now) + self.net(self._inputs(pair.now, previous)))
        if pair.before is None:
            return now, None
        return now, Drawn(pair.before, self._base(pair.before) + previous, pair.before.face)

    def again(self, pair: FacePair, picture: Tensor) -> Drawn[FaceBatch]:
        return Drawn(pair.now, picture, pair.now.face)

    def condition(self, batch: FaceBatch) -> Tensor:
        return torch.cat([batch.inputs[:, 4:6], batch.inputs[:, 3:4]], 1)

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
