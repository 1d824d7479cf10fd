"""Which device draws portraits: opened, and compared with the CPU before anything of it is shown."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Final

import numpy as np

from streamfx.errors import DeviceLost
from streamfx.frames import U8, Motion, Rig
from streamfx.models.face_basis import load_face_basis
from streamfx.pipeline import Animator
from streamfx.render.base import Device, Mode, Networks, PortraitRenderer, RenderDevice
from streamfx.render.cpu import CpuDevice
from streamfx.render.gpu import require_torch

_REHEARSALS: Final = 5
"""Pictures after which a card has recorded all steps."""
_OFF: Final = 2.0
"""Grey levels, on average over a picture: more than half precision explains."""


def open_device(device: Device = Device.CPU, tell: Callable[[str], None] = lambda _: None) -> RenderDevice:
    """Where portraits are drawn.

    Args:
        device: what draws.
        tell: gets lines for a person: that TensorRT engines are built, and why one is not taken.

    Raises:
        DeviceUnavailable: there is no such device, or what drives it is not installed.
    """
    if device is Device.CPU:
        return CpuDevice()
    require_torch()
    from streamfx.render.gpu.gpu_device import GpuDevice  # torch: an extra, and seconds to import

    return GpuDevice(check_renderer, tell=tell)


def check_renderer(renderer: PortraitRenderer, rig: Rig, networks: Networks, mode: Mode) -> None:
    """Show a renderer before it goes live what the CPU draws: a wrong driver shows here, not in a call.

    Raises:
        DeviceLost: it draws something else.
    """
    reference = CpuDevice().renderer(rig, networks, mode)
    for motion in rehearsal(_REHEARSALS):  # often enough for a card to record all steps now
        there, here = (Animator(rig, renderer=one).animate(motion) for one in (renderer, reference))
        off = max(_apart(there.rgb, here.rgb), _apart(there.alpha, here.alpha))
        if off > _OFF:
            cause = f"The card draws wrong pictures: {off:.1f} grey levels off"
            raise DeviceLost(cause, "Update its driver, or render on the CPU")


def _apart(some: U8 | None, others: U8 | None) -> float:
    """Mean difference of two pictures' values; 0 where neither has any."""
    if some is None or others is None:
        return 0.0 if some is others else 255.0
    return float(np.abs(some.astype(np.int16) - others).mean())


def rehearsal(times: int = 2) -> tuple[Motion, ...]:
    """Motions in which everything that draws has part: after them nothing is left to be compiled or loaded.

    Twice, for the mouth is blended with the one before; at rest in the end: nothing is left of them.
    """
    speaking = replace(
        Motion.rest(),
        expression=load_face_basis().smile,
        rotation=np.array([0.05, 0.12, -0.05], np.float32),
        lip_gaps=np.full(9, 0.8, np.float32),
        presence=1.0,
        held=False,
    )
    return (*[speaking] * times, Motion.rest())
