"""A GPU that draws: networks in torch or TensorRT, targets in its memory (see base.RenderDevice)."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from functools import partial

import torch

from streamfx.frames import U8, Rig
from streamfx.models.weights import NetworkName
from streamfx.render.base import Mode, Networks, Picture, PortraitRenderer
from streamfx.render.gpu.device import Clock, cuda_device, device_errors, wait
from streamfx.render.gpu.engines import ensure_engines, fastest_network
from streamfx.render.gpu.layout import PROCEDURAL, STEPS, Layout
from streamfx.render.gpu.networks import Batch, TensorNetwork
from streamfx.render.gpu.renderer import GpuRenderer, geometry_of
from streamfx.render.gpu.target import TensorTarget, render_batch
from streamfx.telemetry import StageTimer

Check = Callable[[PortraitRenderer, Rig, Networks, Mode], None]
"""Raises DeviceLost if a renderer of a rig, with networks, draws something else than it should."""


Load = Callable[[str, torch.device], TensorNetwork]
"""Gives a network by its name, on a device."""


class GpuDevice:
    """Makes renderers on one card, for one process; its targets take turns at the networks."""

    def __init__(
        self,
        check: Check,
        device: torch.device | None = None,
        *,
        recorded: bool = True,
        load: Load | None = None,
        tell: Callable[[str], None] = lambda _: None,
    ) -> None:
        """Look at the card; nothing is loaded yet.

        Args:
            check: is shown each renderer before it is given out.
            device: None takes the card; tests give the CPU, on which all but CUDA graphs runs, too.
            recorded: whether a frame's steps are played back as CUDA graphs (steps.Program).
            load: gives a network by its name, on a device; None takes an engine, which is built if there is
                none as yet and TensorRT is installed; else torch.
            tell: gets lines for a person: that engines are built, and why one is not taken.

        Raises:
            DeviceUnavailable: it cannot be used.
        """
        self.device = device or cuda_device()
        self._recorded, self._load, self._check, self._tell = recorded, load, check, tell
        self.networks: dict[NetworkName, Batch] = {}
        """Those that were loaded: what `render_batch` asks."""

    def renderer(self, rig: Rig, networks: Networks, mode: Mode = Mode.LAYER) -> GpuRenderer:
        """See base.RenderDevice.

        Raises:
            DeviceLost: it draws something else than it should.
        """
        geometry = geometry_of(rig, mode)
        alone = _Alone(self.target(rig, geometry.outside, networks, mode), self.networks)
        made = GpuRenderer(geometry, alone, networks)
        self._check(made, rig, networks, mode)
        return made

    def target(self, rig: Rig, outside: int, networks: Networks, mode: Mode) -> TensorTarget:
        """For one rig's pictures, unchecked; its networks are loaded (TensorTarget has the arguments).

        Raises:
            ModelError: a network is not shipped, or damaged.
            DeviceError: the device has no room for it.
        """
        with device_errors():
            for name, network in self._loaded([one for one in networks.names if one not in self.networks]):
                self.networks[name] = Batch(network, self.device, recorded=self._recorded)
            return TensorTarget(rig, outside, networks, self.device, mode=mode, recorded=self._recorded)

    def _loaded(self, names: Sequence[NetworkName]) -> Iterator[tuple[NetworkName, TensorNetwork]]:
        if self._load is None and names:
            ensure_engines(names, self.device, self._tell)
        load = self._load or partial(fastest_network, tell=self._tell)
        for name in names:
            yield name, load(name, self.device)

    def draw(self, frames: Sequence[tuple[TensorTarget, Collection[str]]]) -> None:
        """Draw frames of several targets together, and wait until their pictures are there.

        Args:
            frames: targets of this device, with the names of the steps that each frame takes.

        Raises:
            DeviceExhausted, DeviceLost: none of the frames is finished.
        """
        with device_errors():
            for step in STEPS:
                render_batch(step, [target for target, steps in frames if step in steps], self.networks)
            for target, _ in frames:
                target.finish()
            wait(self.device)


class _Alone:
    """An target that is drawn alone, at once: see renderer.RenderTarget."""

    def __init__(self, target: TensorTarget, networks: dict[NetworkName, Batch]) -> None:
        self._target, self._networks = target, networks
        self._clock = Clock(target.device)

    def place(self, step: str, layout: Layout) -> U8:
        with device_errors():
            return self._target.place(step, layout)

    def draw(self, step: str) -> None:
        with device_errors(), self._clock.measure("mouth" if step == PROCEDURAL else step):
            render_batch(step, [self._target], self._networks)

    def picture(self) -> Picture:
        device = self._target.device
        with device_errors():
            with self._clock.measure("finish"):
                self._target.finish()
            wait(device)
            self._clock.note()
        return self._target.shown.copy()

    def time_with(self, timer: StageTimer) -> None:
        self._clock = Clock(self._target.device, timer)
