"""How the lite mouth learns: see lite.py; all terms look inside the mouth, in its whole crop."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from types import MappingProxyType
from typing import ClassVar, Final

import torch
from lightning_fabric import Fabric
from torch import Tensor

from streamfx.lab.training.lessons import MouthPair
from streamfx.lab.training.losses import coarse_l1, gradient_l1, soft_l1, structure
from streamfx.lab.training.recipes.base import View
from streamfx.lab.training.recipes.lite import Distance, Drawn, LiteConfig, LiteRecipe
from streamfx.lab.training.sampling import MouthBatch
from streamfx.nets.critics import MouthCritic

_CELLS: Final = (4, 12)
"""px: sides of the cells over which coarse_l1 compares means."""


@dataclass(frozen=True, slots=True)
class MouthLiteConfig(LiteConfig):
    """As LiteConfig."""

    pairs: float = 0.5
    """Share of batches with the picture before, which the temporal term needs."""


class MouthLite(LiteRecipe[MouthPair, MouthBatch]):
    """See LiteRecipe."""

    network: ClassVar[str] = "mouth-lite"
    distances: ClassVar[Mapping[str, Distance]] = MappingProxyType(
        {
            "value": soft_l1,
            "gradient": gradient_l1,
            "coarse": partial(coarse_l1, cells=_CELLS),
            "structure": structure,
        }
    )

    def __init__(self, fabric: Fabric, config: MouthLiteConfig = MouthLiteConfig()) -> None:
        """See LiteRecipe."""
        super().__init__(fabric, MouthCritic(), config)
        self.config = config

    def drawn(self, pair: MouthPair) -> tuple[Drawn[MouthBatch], Drawn[MouthBatch] | None]:
        return self._drawn(pair.now), None if pair.before is None else self._drawn(pair.before)

    def again(self, pair: MouthPair, picture: Tensor) -> Drawn[MouthBatch]:
        return Drawn(pair.now, picture, pair.now.mask)

    def condition(self, batch: MouthBatch) -> Tensor:
        return torch.cat([batch.mask, batch.inputs[:, 8:10]], 1)

    def _drawn(self, batch: MouthBatch) -> Drawn[MouthBatch]:
        """The mouth between the lips, which are the truth's."""
        alone = Drawn(batch, self.net(batch.inputs), batch.mask)
        return Drawn(batch, alone.laid, batch.mask)

    @torch.no_grad()
    def view(self, batch: MouthPair) -> View:
        now = batch.now
        drawn, around = now.inputs[:, 4:7], now.inputs[:, :3]
        after = Drawn(now, self.average(now.inputs), now.mask).laid
        return View(around, around + drawn, after.clamp(0, 1), now.truth, now.mask > 0.5)

    def example(self, batch: MouthPair) -> tuple[Tensor, Tensor]:
        return batch.now.inputs, batch.now.mask
