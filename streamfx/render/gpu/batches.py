"""A network at work for several easels at once, which costs a card little more than for one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final

import torch
from torch import Tensor

from streamfx.models.engines import LARGEST_BATCH
from streamfx.models.weights import NetworkName
from streamfx.render.gpu.steps import Program

TensorNetwork = Callable[[Tensor], Tensor]
"""f32 [B,C,H,W] pictures in, f32 [B,C',H,W] pictures out; B up to MOST."""

MOST: Final = LARGEST_BATCH
"""Pictures of one run, which engines are built for; more take another."""


@dataclass(frozen=True, slots=True)
class Ask:
    """What an easel asks of a network, and where the answer goes; the same tensors for its life."""

    network: NetworkName
    seen: Tensor
    """f32 [C,H,W]"""
    answer: Tensor
    """f32 [3,H,W]"""


class Batch:
    """One network, run for as many as ask."""

    def __init__(self, network: TensorNetwork, device: torch.device, *, recorded: bool = True) -> None:
        """Nothing runs yet; `recorded`: see Program."""
        self._network, self._device, self._recorded = network, device, recorded
        self._runs: dict[int, _Run] = {}

    def __call__(self, asks: Sequence[Ask]) -> None:
        """Answer all of these.

        The number of pictures is rounded up to a power of two: few sizes, each recorded once. What fills the
        rest up is of no account, since pictures of one run do not see one another.
        """
        for start in range(0, len(asks), MOST):
            some = asks[start : start + MOST]
            size = 1 << (len(some) - 1).bit_length()
            if size not in self._runs:
                self._runs[size] = _Run(self._network, some[0], size, self._device, recorded=self._recorded)
            self._runs[size](some)


class _Run:
    """A batch of one size."""

    def __init__(
        self, network: TensorNetwork, like: Ask, size: int, device: torch.device, *, recorded: bool
    ) -> None:
        self._seen = torch.zeros(size, *like.seen.shape, device=device)
        self._answer = torch.zeros(size, *like.answer.shape, device=device)
        self._program = Program(partial(self._ask, network), device, recorded=recorded)

    def _ask(self, network: TensorNetwork) -> None:
        self._answer.copy_(network(self._seen))

    def __call__(self, asks: Sequence[Ask]) -> None:
        for place, ask in enumerate(asks):
            self._seen[place].copy_(ask.seen)
        self._program()
        for place, ask in enumerate(asks):
            ask.answer.copy_(self._answer[place])
