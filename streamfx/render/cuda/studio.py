"""The studio of a card: networks in torch, canvases in its memory (see base.Studio)."""

from __future__ import annotations

from collections.abc import Callable

import torch

from streamfx.frames import Rig
from streamfx.models.weights import Profile
from streamfx.render.base import Canvas, Mode, Networks
from streamfx.render.cuda.canvas import TensorCanvas
from streamfx.render.cuda.device import cuda_device, device_errors
from streamfx.render.cuda.engines import built_network
from streamfx.render.cuda.mouths import LiteTensorPainter, PaperTensorPainter, TensorPainter
from streamfx.render.cuda.networks import shipped_network
from streamfx.render.cuda.refining import LiteTensorRefiner, PaperTensorRefiner, TensorNetwork, TensorRefiner

Check = Callable[[Canvas, Rig, Networks, Mode], None]
"""Raises DeviceLost if a canvas of a rig, with networks, draws something else than it should."""


class CudaStudio:
    """Makes canvases on one card."""

    def __init__(
        self,
        check: Check,
        device: torch.device | None = None,
        *,
        recorded: bool = True,
        load: Callable[[str, torch.device], TensorNetwork] | None = None,
    ) -> None:
        """Look at the card; nothing is loaded yet.

        Args:
            check: is shown each canvas before it is given out.
            device: None takes the card; tests give the CPU, on which all but CUDA graphs runs, too.
            recorded: whether a frame's steps are played back as CUDA graphs (steps.Program).
            load: gives a network by its name, on a device; None takes an engine that was built, else torch.

        Raises:
            DeviceUnavailable: it cannot be used.
        """
        self.device = device or cuda_device()
        self._recorded, self._load = recorded, load or _fastest
        self._check, self._loaded = check, dict[str, TensorNetwork]()

    def canvas(self, rig: Rig, networks: Networks, mode: Mode = Mode.LAYER) -> TensorCanvas:
        """See base.Studio.

        Raises:
            DeviceLost: it draws something else than it should.
        """
        with device_errors():
            refiner, painter = self._refiner(networks), self._painter(networks)
            made = TensorCanvas(
                rig, self.device, mode=mode, refiner=refiner, painter=painter, recorded=self._recorded
            )
        self._check(made, rig, networks, mode)
        return made

    def _refiner(self, networks: Networks) -> TensorRefiner | None:
        if networks.refine is None:
            return None
        network = self._network(f"refine-{networks.refine}")
        is_lite = networks.refine is Profile.LITE
        return (
            LiteTensorRefiner(network, self.device) if is_lite else PaperTensorRefiner(network, self.device)
        )

    def _painter(self, networks: Networks) -> TensorPainter | None:
        if networks.mouth is None:
            return None
        network = self._network(f"mouth-{networks.mouth}")
        is_lite = networks.mouth is Profile.LITE
        return LiteTensorPainter(network) if is_lite else PaperTensorPainter(network, self.device)

    def _network(self, name: str) -> TensorNetwork:
        if name not in self._loaded:
            self._loaded[name] = self._load(name, self.device)
        return self._loaded[name]


def _fastest(name: str, device: torch.device) -> TensorNetwork:
    """A shipped network as an engine, where one was built for this card; else in torch."""
    engine = built_network(name, device) if device.type == "cuda" else None
    return engine or shipped_network(name, device)
