"""The networks in torch, on the device: half precision on a card, full on the CPU."""

from __future__ import annotations

from typing import Final

import torch
from safetensors.torch import load as load_tensors
from torch import Tensor, nn

from streamfx.errors import ModelCorrupt
from streamfx.models.weights import NetworkName, Weights, shipped_weights
from streamfx.nets import build

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
