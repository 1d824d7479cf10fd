"""Which networks take part in a comparison: those that are shipped, or files named for the occasion."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from streamfx.errors import UsageError
from streamfx.frames import Rig
from streamfx.lab.evaluation.methods import Method
from streamfx.models.network import Network as ShippedNetwork
from streamfx.models.weights import NetworkName, Profile, shipped_weights
from streamfx.render.base import MouthPainter, Network, Refiner
from streamfx.render.painter import LiteNetworkPainter, PaperNetworkPainter
from streamfx.render.refiner import LiteNetworkRefiner, PaperNetworkRefiner

REFINERS: Final[dict[NetworkName, Callable[[Network], Refiner]]] = {
    NetworkName.REFINE_LITE: LiteNetworkRefiner,
    NetworkName.REFINE_PAPER: PaperNetworkRefiner,
}
PAINTERS: Final[dict[NetworkName, Callable[[Network, Rig], MouthPainter]]] = {
    NetworkName.MOUTH_LITE: LiteNetworkPainter,
    NetworkName.MOUTH_PAPER: lambda network, _: PaperNetworkPainter(network),
}


@dataclass(frozen=True, slots=True)
class Contender:
    """A network on trial."""

    name: NetworkName
    label: str
    """Names it in tables."""
    network: Network

    @property
    def profile(self) -> Profile:
        """Lite or paper."""
        return Profile(self.name.value.rpartition("-")[2])

    def refiner(self) -> Refiner:
        """A refiner without a past."""
        return REFINERS[self.name](self.network)

    def painter(self, rig: Rig) -> MouthPainter:
        """A painter of one portrait's mouth."""
        return PAINTERS[self.name](self.network, rig)


def contenders(named: Sequence[str]) -> list[Contender]:
    """Those of `[NETWORK=]FILE.safetensors`, run by torch; where none is named, all that ship, by OpenVINO.

    Raises:
        UsageError: a file does not say which network it is of.
        ModelError: a file is missing or damaged, or holds other tensors.
    """
    return [_on_trial(text) for text in named] if named else _shipped()


def _shipped() -> list[Contender]:
    weights = shipped_weights()
    return [Contender(name, name.value, ShippedNetwork(name)) for name in NetworkName if weights.has(name)]


def _on_trial(text: str) -> Contender:
    from streamfx.lab.evaluation.torch_nets import TorchNetwork

    named, mark, file = text.rpartition("=")
    path = Path(file)
    said = named if mark else path.stem
    name = next((one for one in NetworkName if said.startswith(one.value)), None)
    if name is None:
        raise UsageError(
            f"{text} does not say which network it is of",
            f"Write NETWORK={file}, with one of {', '.join(NetworkName)}",
        )
    return Contender(name, path.stem, TorchNetwork(name.value, path))


def refining(all_of_them: Sequence[Contender]) -> list[Method]:
    """A method for each refiner among them."""
    return [Method(one.label, refiner=one.refiner) for one in all_of_them if one.name in REFINERS]


def painting(all_of_them: Sequence[Contender]) -> list[tuple[Contender, Method]]:
    """A method for each mouth painter among them."""
    painters = [one for one in all_of_them if one.name in PAINTERS]
    return [(one, Method(one.label, painter=one.painter)) for one in painters]


def complete(all_of_them: Sequence[Contender]) -> list[Method]:
    """A method for each refiner with each painter of its profile."""
    return [
        Method(f"{refiner.label} + {painter.label}", refiner.refiner, painter.painter)
        for refiner in all_of_them
        for painter in all_of_them
        if refiner.name in REFINERS and painter.name in PAINTERS and refiner.profile is painter.profile
    ]
