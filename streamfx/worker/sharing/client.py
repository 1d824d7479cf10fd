"""The worker's side: a device whose targets stand in the GPU's process (render.base.RenderDevice)."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from typing import Final
from weakref import finalize

from streamfx.errors import (
    DeviceExhausted,
    DeviceLost,
    DeviceUnavailable,
    ModelCorrupt,
    ModelMissing,
    ModelUnusable,
    StreamfxError,
)
from streamfx.frames import U8, Rig
from streamfx.ipc.memory import mapped, seal, shared_memory
from streamfx.portrait.cache import write_rig
from streamfx.render.base import Mode, Networks, Picture, PortraitRenderer
from streamfx.render.gpu.layout import WARP, Layout, picture_bytes, picture_in
from streamfx.render.gpu.renderer import GpuRenderer, geometry_of
from streamfx.telemetry import StageTimer
from streamfx.worker.sharing.wire import DONE, DRAW, OPEN, OPENING_S, PLACE, Json, Wire, address

_CONNECT_S: Final = 5.0
_DRAW_S: Final = 20.0
_KNOWN: Final = {
    kind.__name__: kind
    for kind in (
        DeviceExhausted,
        DeviceLost,
        DeviceUnavailable,
        ModelCorrupt,
        ModelMissing,
        ModelUnusable,
    )
}
_GONE: Final = "The process that draws on the card is gone"

Check = Callable[[PortraitRenderer, Rig, Networks, Mode], None]
"""As render.gpu.gpu_device.Check."""


class SharedGpu:
    """Makes renderers whose pictures the card's process draws."""

    def __init__(self, name: str, check: Check) -> None:
        """Nothing is asked yet.

        Args:
            name: of the card's socket (wire.address).
            check: is shown each renderer before it is given out.
        """
        self._name, self._check = name, check

    def renderer(self, rig: Rig, networks: Networks, mode: Mode = Mode.LAYER) -> GpuRenderer:
        """See base.RenderDevice.

        Raises:
            DeviceUnavailable, DeviceExhausted: there is no card, or no room on it.
            DeviceLost: its process is gone, or draws something else than it should.
        """
        made = GpuRenderer(geometry_of(rig, mode), _SharedTarget(self._name, rig, networks, mode), networks)
        self._check(made, rig, networks, mode)
        return made


class _SharedTarget:
    """See renderer.RenderTarget. One request at a time."""

    def __init__(self, name: str, rig: Rig, networks: Networks, mode: Mode) -> None:
        """Connect, and hand the rig over."""
        self._wire = _connected(name)
        finalize(self, self._wire.close)  # the card's process hears it, and forgets the rig
        size = picture_bytes(rig.size, mode)
        picture = shared_memory(size)
        try:
            seal(picture)
            self._picture = picture_in(mapped(picture, size, writable=False), rig.size, mode)
            drawn = _written(rig)
            try:
                wanted = {"mode": mode, "refine": networks.refine, "mouth": networks.mouth}
                self._ask({"kind": OPEN, **wanted}, OPENING_S, (drawn, picture))
            finally:
                os.close(drawn)
        finally:
            os.close(picture)
        self._steps: list[str] = []

    def place(self, step: str, layout: Layout) -> U8:
        block = shared_memory(layout.size)
        try:
            seal(block)
            places = [[name, place.kind, place.shape] for name, place in layout.places.items()]
            self._ask({"kind": PLACE, "step": step, "places": places}, _DRAW_S, (block,))
            return mapped(block, layout.size, writable=True)
        finally:
            os.close(block)

    def draw(self, step: str) -> None:
        if step == WARP:  # a new frame, whatever became of the last
            self._steps = []
        self._steps.append(step)

    def picture(self) -> Picture:
        self._ask({"kind": DRAW, "steps": self._steps}, _DRAW_S)
        return self._picture.copy()

    def time_with(self, timer: StageTimer) -> None:
        """The caller's clock sees all."""

    def _ask(self, message: Json, patience_s: float, descriptors: tuple[int, ...] = ()) -> None:
        try:
            self._wire.socket.settimeout(patience_s)
            self._wire.send(message, descriptors)
            received = self._wire.receive()
        except (OSError, ValueError) as error:
            raise DeviceLost(f"{_GONE}, or hangs: {error}", "It is started again") from error
        if received is None:
            raise DeviceLost(_GONE, "It is started again")
        answer = received[0]
        if answer.get("kind") != DONE:
            raise _told(answer)


def _connected(name: str) -> Wire:
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    wire = Wire(connection)
    try:
        connection.settimeout(_CONNECT_S)
        connection.connect(address(name))
        if not wire.is_ours():
            raise PermissionError("another user listens in its place")
    except OSError as error:
        wire.close()
        raise DeviceLost(f"{_GONE}: {error}", "It is started again") from error
    return wire


def _written(rig: Rig) -> int:
    """A descriptor of memory that holds a rig."""
    descriptor = shared_memory(0)
    with os.fdopen(os.dup(descriptor), "wb") as file:
        write_rig(rig, file)
    seal(descriptor)
    return descriptor


def _told(answer: Json) -> StreamfxError:
    """The error that the card's process met."""
    kind = _KNOWN.get(str(answer.get("error", "")), DeviceLost)
    return kind(str(answer.get("cause", _GONE)), str(answer.get("remedy", "")))
