"""Whole frames: networks by torch, recorded or not, compiled by inductor, as TensorRT's engines; the CPU."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice
from time import perf_counter
from typing import Final

import torch

from streamfx.errors import DeviceExhausted, ModelError, ModelMissing
from streamfx.frames import Rig
from streamfx.lab.card.common import motions, rig_of, warm_up
from streamfx.models.engines import BUILD
from streamfx.models.weights import Profile
from streamfx.pipeline import Animator
from streamfx.render.base import Networks, PortraitRenderer, RenderDevice
from streamfx.render.cpu import CpuDevice
from streamfx.render.gpu.engines import built_network
from streamfx.render.gpu.gpu_device import GpuDevice
from streamfx.render.gpu.networks import TensorNetwork, shipped_network, untrained_network
from streamfx.rendering import check_renderer
from streamfx.telemetry import StageTimer

Load = Callable[[str, torch.device], TensorNetwork]
"""A network by its name, on a device."""
_REHEARSALS: Final = 5
"""Pictures after which a card has recorded all steps."""
_LOOKED_THROUGH: Final = 300
"""Motions of the demo, for one with an open mouth."""


@dataclass(frozen=True, slots=True)
class Way:
    """One way to draw a frame."""

    name: str
    studio: RenderDevice
    profile: Profile


def ways(device: torch.device | None) -> Iterator[Way]:
    """What is compared. The paper's networks do not ship: untrained ones take as long."""
    loads = (
        ("torch, graphs", shipped_network, untrained_network, True),
        ("torch, eager", shipped_network, untrained_network, False),
        ("inductor, graphs", compiled(shipped_network), compiled(untrained_network), True),
        ("TensorRT, graphs", engine, engine, True),
    )
    for name, lite, paper, recorded in loads:
        studio = GpuDevice(check_renderer, device, recorded=recorded, load=lite)
        yield Way(f"lite, {name}", studio, Profile.LITE)
        unchecked = GpuDevice(_rehearse, device, recorded=recorded, load=paper)
        yield Way(f"paper (untrained), {name}", unchecked, Profile.PAPER)
    yield Way("lite, cpu", CpuDevice(), Profile.LITE)


def compiled(load: Load) -> Load:
    """Networks as torch's compiler makes them; it records no graphs of its own inside of ours."""

    def load_compiled(name: str, device: torch.device) -> TensorNetwork:
        options: dict[str, str | int | bool | Callable[..., object]] = {
            "triton.cudagraphs": False,
            "max_autotune": device.type == "cuda",
        }
        made: TensorNetwork = torch.compile(load(name, device), dynamic=False, options=options)
        return made

    return load_compiled


def engine(name: str, device: torch.device) -> TensorNetwork:
    """The engine that was built.

    Raises:
        ModelMissing: none was, or it could not run here.
    """
    if name.endswith(Profile.PAPER):
        raise ModelMissing(f"{name} does not ship: no engine is built of it")
    found = built_network(name, device) if device.type == "cuda" else None
    if found is None:
        raise ModelMissing(f"There is no engine of {name} for {device}", BUILD)
    return found


def _rehearse(renderer: PortraitRenderer, rig: Rig, *_others: object) -> None:
    """No check: untrained networks have no CPU's picture to be like. But all is compiled and recorded."""
    animator = Animator(rig, renderer=renderer)
    shouting = max(islice(motions(), _LOOKED_THROUGH), key=lambda one: float(one.lip_gaps.sum()))
    for _ in range(_REHEARSALS):
        animator.animate(shouting)


def tell_frames(way: Way, size: tuple[int, int], frames: int) -> None:
    """Draw so many frames and print their times, or why it cannot be had."""
    what = f"{size[0]}x{size[1]} {way.name}"
    try:
        print(f"{what}: {_measured(way, size, frames)}", flush=True)
    except (
        RuntimeError,
        ModelError,
        DeviceExhausted,
    ) as error:  # torch's compiler: no C++ compiler, no triton ...
        print(f"{what}: not to be had: {_reason(error)}", flush=True)


def _measured(way: Way, size: tuple[int, int], frames: int) -> str:
    rig = rig_of(size)
    timer, taken, unmeasured = StageTimer(), StageTimer(), warm_up(frames)
    animator = Animator(
        rig, renderer=way.studio.renderer(rig, Networks(way.profile, way.profile)), timer=timer
    )
    for number, motion in enumerate(islice(motions(), frames)):
        if number == unmeasured:
            timer.clear()
        start = perf_counter()
        animator.animate(motion)
        if number >= unmeasured:
            taken.add("frame", round((perf_counter() - start) * 1e9))
    (whole,) = taken.times()
    stages = ", ".join(f"{time.stage} {time.median_ms:.2f}" for time in timer.times())
    return (
        f"frame p50 / p95 / p99 {whole.median_ms:.2f} / {whole.p95_ms:.2f} / {whole.p99_ms:.2f} ms; {stages}"
    )


def _reason(error: Exception) -> str:
    """The first line that says something: torch begins with the name of its backend and its class."""
    lines = [line.strip() for line in str(error).splitlines()]
    return next((line for line in lines if line and not line.endswith("raised:")), type(error).__name__)
