"""The networks in torch, on the device: half precision on a card, full on the CPU."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final

import torch
from safetensors.torch import load as load_tensors
from torch import Tensor, nn

from streamfx.errors import ModelCorrupt
from streamfx.models.engines import LARGEST_BATCH
from streamfx.models.weights import NetworkName, Weights, shipped_weights
from streamfx.nets import build
from streamfx.render.gpu.steps import Program

_FILTER_SIDES: Final = 4


class TorchNetwork:
    """A network, ready: f32 [B,C,H,W] pictures in, f32 [B,C',H,W] pictures out."""

    def __init__(self, network: nn.Module, device: torch.device) -> None:
        """Bring it to the device, for good."""
        self._type = torch.float16 if device.type == "cuda" else torch.float32
        self._network = network.eval().requires_grad_(requires_grad=False).to(device, self._type)
        for filters in self._network.parameters():  # laid out as cards like them best
            if filters.dim() == _FILTER_SIDES:
                filters.data = filters.data.contiguous(memory_format=torch.channels_last)

    def __call__(self, pictures: Tensor) -> Tensor:
        """Run it."""
        seen = pictures.to(self._type).contiguous(memory_format=torch.channels_last)
        answer: Tensor = self._network(seen)
        return answer.to(torch.float32)


def shipped_network(name: str, device: torch.device, weights: Weights | None = None) -> TorchNetwork:
    """A network that ships, verified.

    Args:
        name: which.
        device: where it runs.
        weights: where from; None takes what ships with streamfx.

    Raises:
        ModelMissing: it does not ship, or its file is not there.
        ModelCorrupt: the file is not what the manifest names, or does not fit the network.
    """
    weights = weights or shipped_weights()
    row = weights.find(NetworkName(name))
    network = build(row.name)
    try:
        network.load_state_dict(load_tensors(weights.read(row.safetensors)))
    except (RuntimeError, ValueError) as error:
        cause = f"The weights of {name} do not fit the network"
        raise ModelCorrupt(cause, "Install streamfx again") from error
    return TorchNetwork(network, device)


def untrained_network(name: str, device: torch.device) -> TorchNetwork:
    """A network as it is before training, always the same: as fast as a trained one."""
    torch.manual_seed(0)
    return TorchNetwork(build(name), device)


TensorNetwork = Callable[[Tensor], Tensor]
"""f32 [B,C,H,W] pictures in, f32 [B,C',H,W] pictures out; B up to MOST."""

MOST: Final = LARGEST_BATCH
"""Pictures of one run, which engines are built for; more take another."""


@dataclass(frozen=True, slots=True)
class Ask:
    """What a target asks of a network, and where the answer goes; the same tensors for its life."""

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
