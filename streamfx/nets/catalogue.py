"""The networks that ship, by name."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final

from torch import Tensor, nn

from streamfx.errors import UsageError
from streamfx.nets.completion import CompletionNet
from streamfx.nets.lite import LiteMouth, LiteRefiner, OnCells
from streamfx.nets.refiner import PaperRefiner

NETWORKS: Final[Mapping[str, Callable[[], nn.Module]]] = MappingProxyType(
    {
        "refine-lite": LiteRefiner,
        "refine-paper": PaperRefiner,
        "mouth-lite": LiteMouth,
        "mouth-paper": CompletionNet,
    }
)
"""How each is made as it is before training."""


def build(name: str) -> nn.Module:
    """A network as it is before training: one [B,C,H,W] tensor in, one out.

    Raises:
        UsageError: no network has this name.
    """
    if name not in NETWORKS:
        raise UsageError(f"There is no network named {name!r}", f"Choose from: {', '.join(NETWORKS)}")
    return NETWORKS[name]()


class AsRun(nn.Module):
    """A network as it ships and as the renderer runs it: on packed cells, where it works on cells."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, x: Tensor) -> Tensor:
        """[B,C,h,w] in, [B,C',h,w] out: cells or, of a network that knows none, pictures."""
        out: Tensor = self.network.on_cells(x) if isinstance(self.network, OnCells) else self.network(x)
        return out

    def pack(self, x: Tensor) -> Tensor:
        """What `forward` takes, of [B,C,H,W] pictures."""
        return self.network.pack(x) if isinstance(self.network, OnCells) else x

    def unpack(self, x: Tensor) -> Tensor:
        """[B,C',H,W] pictures, of what `forward` gives."""
        return self.network.unpack(x) if isinstance(self.network, OnCells) else x
