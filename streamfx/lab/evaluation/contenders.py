"""Which networks take part in a comparison: those that are shipped, or files named for the occasion."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from streamfx.errors import UsageError
from streamfx.frames import Rig
from streamfx.lab.evaluation.methods import Method
from streamfx.render.base import MouthPainter, Network, Refiner
from streamfx.render.painter import LiteNetworkPainter, PaperNetworkPainter
from streamfx.render.refiner import LiteNetworkRefiner, PaperNetworkRefiner

REFINERS: Final[dict[str, Callable[[Network], Refiner]]] = {
    "refine-lite": LiteNetworkRefiner,
    "refine-paper": PaperNetworkRefiner,
}
PAINTERS: Final[dict[str, Callable[[Network, Rig], MouthPainter]]] = {
    "mouth-lite": LiteNetworkPainter,
    "mouth-paper": lambda network, _: PaperNetworkPainter(network),
}


@dataclass(frozen=True, slots=True)
class Contender:
    """A network on trial."""

    network: str
    """A key of REFINERS or PAINTERS."""
    label: str
    """Names it in tables."""
    run: Network

    def refiner(self) -> Refiner:
        """A refiner without a past."""
        return REFINERS[self.network](self.run)

    def painter(self, rig: Rig) -> MouthPainter:
        """A painter of one portrait's mouth."""
        return PAINTERS[self.network](self.run, rig)


def contender(text: str) -> Contender:
    """Of `[NETWORK=]FILE.safetensors`; without a network, the file's name must begin with one.

    Raises:
        UsageError: it names no network.
        ModelMissing, ModelCorrupt: there is no such file, or it holds other tensors.
    """
    from streamfx.lab.evaluation.torch_nets import TorchNetwork

    named, mark, file = text.rpartition("=")
    path, known = Path(file), (*REFINERS, *PAINTERS)
    network = named if mark else next((one for one in known if path.stem.startswith(one)), "")
    if network not in known:
        raise UsageError(
            f"{text} does not say which network it is of",
            f"Write NETWORK={file}, with one of {', '.join(known)}",
        )
    return Contender(network, path.stem, TorchNetwork(network, path))


def refining(contenders: Sequence[Contender]) -> list[Method]:
    """A method for each refiner among them."""
    return [Method(one.label, refiner=one.refiner) for one in contenders if one.network in REFINERS]


def complete(contenders: Sequence[Contender]) -> list[Method]:
    """A method for each refiner with the first painter of its profile, refiner and mouth together."""
    painters = {one.network.partition("-")[2]: one for one in contenders if one.network in PAINTERS}
    pairs = [
        (one, painters.get(one.network.partition("-")[2])) for one in contenders if one.network in REFINERS
    ]
    return [
        Method(f"{refiner.label} + {painter.label}", refiner.refiner, painter.painter)
        for refiner, painter in pairs
        if painter is not None
    ]
