"""The networks that ship, by name."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final

from torch import nn

from streamfx.errors import UsageError
from streamfx.nets.completion import CompletionNet
from streamfx.nets.lite import LiteMouth, LiteRefiner
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
