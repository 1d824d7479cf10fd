"""The studio of any CPU: networks run by OpenVINO, canvases in this computer's memory (see base.Studio)."""

from __future__ import annotations

from streamfx.frames import Rig
from streamfx.models.ahead import take_network
from streamfx.models.weights import Profile
from streamfx.render.base import Mode, MouthPainter, Network, Networks, Refiner
from streamfx.render.canvas import CpuCanvas
from streamfx.render.mouth import ProceduralMouth
from streamfx.render.painter import LiteNetworkPainter, PaperNetworkPainter
from streamfx.render.refiner import LiteNetworkRefiner, PaperNetworkRefiner


class CpuStudio:
    """Makes canvases on the CPU. Those that share networks must take turns."""

    def __init__(self) -> None:
        """Nothing is loaded yet."""
        self._loaded: dict[str, Network] = {}

    def canvas(self, rig: Rig, networks: Networks, mode: Mode = Mode.LAYER) -> CpuCanvas:
        """See base.Studio."""
        refiner, painter = self._refiner(networks), self._painter(networks, rig)
        return CpuCanvas(rig, mode=mode, refiner=refiner, painter=painter)

    def _refiner(self, networks: Networks) -> Refiner | None:
        if networks.refine is None:
            return None
        network = self._network(f"refine-{networks.refine}")
        is_lite = networks.refine is Profile.LITE
        return LiteNetworkRefiner(network) if is_lite else PaperNetworkRefiner(network)

    def _painter(self, networks: Networks, rig: Rig) -> MouthPainter:
        if networks.mouth is None:
            return ProceduralMouth(rig)
        network = self._network(f"mouth-{networks.mouth}")
        is_lite = networks.mouth is Profile.LITE
        return LiteNetworkPainter(network, rig) if is_lite else PaperNetworkPainter(network)

    def _network(self, name: str) -> Network:
        if name not in self._loaded:
            self._loaded[name] = take_network(name)
        return self._loaded[name]
