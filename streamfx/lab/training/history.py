"""Made pictures of the past, shown to the critic again so that it does not forget them.

Shrivastava et al. 2017 (SimGAN), section 2.3.
"""

from __future__ import annotations

from typing import Final

import torch
from torch import Tensor, nn

CAPACITY: Final = 512
"""Pictures held; the paper's figure."""


class History(nn.Module):
    """A store of made pictures with their conditions, [C,H,W] each, held as f16.

    It is a module for its buffers: they move between devices and are saved like a network's weights.
    """

    held: Tensor
    count: Tensor

    def __init__(self, shape: tuple[int, int, int], capacity: int = CAPACITY) -> None:
        super().__init__()
        self.register_buffer("held", torch.zeros(capacity, *shape, dtype=torch.float16))
        self.register_buffer("count", torch.zeros((), dtype=torch.int64))

    def mixed(self, fresh: Tensor, generator: torch.Generator) -> Tensor:
        """A batch for the critic: half of it fresh, half from the store; then half of the fresh ones go in.

        While the store holds less than half a batch, all are fresh. A batch of one is never mixed.

        Args:
            fresh: f32 [B,C,H,W]; no gradient is kept.
            generator: of the CPU; the same state gives the same choice.

        Returns:
            f32 [B,C,H,W], the fresh ones first.
        """
        fresh = fresh.detach()
        half = len(fresh) // 2
        batch = fresh
        if int(self.count) >= half:
            places = torch.randperm(int(self.count), generator=generator)[:half]
            past = self.held[places.to(self.held.device)].to(fresh)
            batch = torch.cat([fresh[: len(fresh) - half], past])
        kept = torch.randperm(len(fresh), generator=generator)[:half]
        self._keep(fresh[kept.to(fresh.device)], generator)
        return batch

    def _keep(self, pictures: Tensor, generator: torch.Generator) -> None:
        """Put pictures into free places, and those left over in the places of old ones."""
        count = int(self.count)
        free = torch.arange(count, min(count + len(pictures), len(self.held)))
        old = torch.randperm(count, generator=generator)[: len(pictures) - len(free)]
        places = torch.cat([free, old]).to(self.held.device)
        self.held[places] = pictures[: len(places)].to(self.held)
        self.count += len(free)
