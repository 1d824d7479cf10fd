"""Which networks take part in a comparison: those that are shipped, or files named for the occasion."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from streamfx.errors import UsageError
from streamfx.frames import F32, Deformation
from streamfx.lab.evaluation.methods import Method
from streamfx.render.base import Network, Rectified, Refiner, Residual
from streamfx.render.rectify import LARGEST_DISPLACEMENT

NETWORKS: Final = ("refine-lite", "refine-paper", "mouth-lite", "mouth-paper")


@dataclass(frozen=True, slots=True)
class Weights:
    """Weights on trial."""

    network: str
    """One of NETWORKS."""
    path: Path
    label: str
    """Names them in tables."""


def parse_weights(text: str) -> Weights:
    """`[NETWORK=]FILE.safetensors`; without a network, the file's name must begin with one.

    Raises:
        UsageError: it names no network.
    """
    named, mark, file = text.rpartition("=")
    path = Path(file)
    network = named if mark else next((one for one in NETWORKS if path.stem.startswith(one)), "")
    if network not in NETWORKS:
        raise UsageError(
            f"{text} does not say which network it is of", f"Write NETWORK={file}, of {', '.join(NETWORKS)}"
        )
    return Weights(network, path, path.stem)


def refiners(weights: Sequence[Weights]) -> list[Method]:
    """A method for each refiner among the weights."""
    return [_refining(one) for one in weights if one.network.startswith("refine")]


def _refining(weights: Weights) -> Method:
    from streamfx.lab.evaluation.torch_nets import TorchNetwork

    network = TorchNetwork(weights.network, weights.path)
    return Method(weights.label, refiner=lambda: _Lite(network))


class _Lite(Refiner):
    def __init__(self, network: Network) -> None:
        self._network = network

    def refine(self, face: Rectified, deformation: Deformation) -> Residual:
        import numpy as np

        x: F32 = np.concatenate(
            [
                face.rgb,
                face.inner_mouth[..., None],
                face.displacement / LARGEST_DISPLACEMENT,
                np.zeros_like(face.rgb),
            ],
            axis=2,
        )
        return Residual(self._network(x))
