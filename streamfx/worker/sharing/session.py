"""One portrait at the card: its connection, its target, and the memory that it shares with its worker."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Final

from streamfx.errors import StreamfxError
from streamfx.frames import U8, Rig
from streamfx.ipc.memory import is_sealed, mapped
from streamfx.models.weights import Profile
from streamfx.portrait.cache import read_rig
from streamfx.render.base import Mode, MouthCrop, Networks
from streamfx.render.gpu.layout import GROWING, STEPS, WARP, Layout, forms, picture_bytes
from streamfx.render.gpu.target import TensorTarget
from streamfx.render.mesh import DrawnMesh
from streamfx.worker.sharing.wire import DONE, DRAW, FAILED, OPEN, PLACE, Json, Wire, close_all

MakeEasel = Callable[[Rig, int, Networks, Mode], TensorTarget]
"""render.gpu.gpu_device.GpuDevice.target."""

_LARGEST: Final = 64 << 20
"""Bytes of a step's numbers."""


class Guest:
    """From the connection's beginning to its end."""

    def __init__(self, wire: Wire, make_target: MakeEasel) -> None:
        """Nothing was asked yet."""
        self.wire, self._make_target = wire, make_target
        self.target: TensorTarget | None = None
        self.asked: tuple[str, ...] = ()
        """Steps of the frame that it waits for, in their order; empty while it waits for none."""
        self._expected: dict[str, Layout] = {}
        self._shared: dict[str, U8] = {}
        self._own: dict[str, U8] = {}
        self._picture: U8 | None = None

    def hear(self) -> bool:
        """Take its next request; False when it is gone.

        Raises:
            OSError, ValueError, KeyError, TypeError, IndexError, RuntimeError: it asks what makes no sense.
            DeviceError, ModelError: what it asks for cannot be had.
        """
        received = self.wire.receive()
        if received is None:
            return False
        message, descriptors = received
        try:
            kind = message.get("kind")
            if kind == OPEN:
                self._open(message, *descriptors)
            elif kind == PLACE:
                self._place(message, *descriptors)
            elif kind == DRAW:
                self._ask(message)
                return True
            else:
                raise ValueError(f"no request: {kind}")
        finally:
            close_all(descriptors)
        self.answer()
        return True

    def answer(self, error: StreamfxError | None = None) -> None:
        """Answer its request.

        Raises:
            OSError: it does not listen.
        """
        self.asked = ()
        if error is None:
            self.wire.send({"kind": DONE})
            return
        told = {"error": type(error).__name__, "cause": error.cause, "remedy": error.remedy}
        self.wire.send({"kind": FAILED, **told})

    def bring(self) -> None:
        """Copy the numbers of the frame that it waits for to where they are sent up from."""
        for step in self.asked:
            self._own[step][:] = self._shared[step]

    def give(self) -> None:
        """Copy the finished picture to where its worker reads it."""
        if self.target is not None and self._picture is not None:
            self._picture[:] = self.target.sent

    def _open(self, message: Json, rig_file: int, picture: int) -> None:
        if self.target is not None:
            raise ValueError("a second rig")
        with os.fdopen(os.dup(rig_file), "rb") as file:
            file.seek(0)
            rig = read_rig(file)
        mode = Mode(message["mode"])
        networks = Networks(_profile(message["refine"]), _profile(message["mouth"]))
        self._picture = _memory(picture, picture_bytes(rig.size, mode))
        mesh = DrawnMesh(rig, mode)
        crop = MouthCrop.FACE if networks.mouth is Profile.PAPER else MouthCrop.MOUTH
        target = self._make_target(rig, len(mesh.person), networks, mode)
        self._expected = {step: form for step, form in forms(mesh, crop).items() if step in target.steps}
        self.target = target

    def _place(self, message: Json, block: int) -> None:
        step = str(message["step"])
        wanted = {str(name): (str(kind), tuple(map(int, shape))) for name, kind, shape in message["places"]}
        layout = Layout.placed(wanted)
        if self.target is None or not layout.resembles(self._expected[step], GROWING):
            raise ValueError(f"numbers of another form than those of {step}")
        if layout.size > _LARGEST:
            raise ValueError(f"{step} with {layout.size} bytes of numbers")
        shared = _memory(block, layout.size)
        self._own[step] = self.target.place(step, layout)
        self._shared[step] = shared

    def _ask(self, message: Json) -> None:
        steps = set(message["steps"])
        if self.asked or WARP not in steps or not steps <= self._own.keys():
            raise ValueError(f"a frame of {sorted(map(str, steps))}")
        self.asked = tuple(step for step in STEPS if step in steps)


def _profile(value: str | None) -> Profile | None:
    return None if value is None else Profile(value)


def _memory(descriptor: int, size: int) -> U8:
    """Memory of a worker, which cannot shrink under us.

    Raises:
        ValueError: it could, or is too small.
    """
    if not is_sealed(descriptor):
        raise ValueError("memory that may shrink")
    return mapped(descriptor, size, writable=True)
