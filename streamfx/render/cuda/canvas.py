"""The canvas on a card (see base.Canvas). The way through a frame:

    geometry (CPU) -> warped photo -> face crop -> residual -> mouth -> picture (u8, back to the CPU)

Each arrow after the first is a step on the card; nothing comes back before the finished picture.
"""

from __future__ import annotations

from functools import partial

import torch

from streamfx.frames import U8, Deformation, Rig
from streamfx.models.face_basis import load_face_basis
from streamfx.render.base import CLOSED_GAP, Mode, MouthCrop
from streamfx.render.cuda.clock import Clock
from streamfx.render.cuda.device import device_errors
from streamfx.render.cuda.drawing import Eyeballs, FaceCrop, WarpedPhoto
from streamfx.render.cuda.geometry import GROWING, Geometry
from streamfx.render.cuda.mouths import MouthDrawing, ProceduralTensorPainter, TensorPainter
from streamfx.render.cuda.refining import TensorRefiner
from streamfx.render.cuda.steps import Arrays, Numbers, Program, Step
from streamfx.render.refiner import Past
from streamfx.render.temporal import BlendGuard
from streamfx.telemetry import StageTimer


class TensorCanvas:
    """A rig's picture on a device."""

    def __init__(
        self,
        rig: Rig,
        device: torch.device,
        *,
        mode: Mode = Mode.LAYER,
        refiner: TensorRefiner | None = None,
        painter: TensorPainter | None = None,
        recorded: bool = True,
    ) -> None:
        """Bring the rig's textures to the device.

        Args:
            rig: the portrait.
            device: where its pictures are made.
            mode: what moves with the head.
            refiner: the face's network, where it is at hand; it remembers, so each canvas has its own.
            painter: the mouth's network; None takes the procedural mouth.
            recorded: whether steps are played back as CUDA graphs (Program).
        """
        self._device = device
        self._procedural = ProceduralTensorPainter()
        self._painter = painter or self._procedural
        self._geometry = Geometry(rig, load_face_basis().sigma, mode)
        eyes = Eyeballs(rig, device)
        self._warped = WarpedPhoto(rig, mode, eyes, device)
        self._face = FaceCrop(rig, self._geometry.outside, eyes, device)
        self._drawings = {crop: MouthDrawing(crop, device) for crop in MouthCrop}
        width, height = rig.size
        self._picture = torch.zeros(3, height, width, device=device)
        self._shown = torch.zeros(height, width, 3, dtype=torch.uint8, device=device)
        self._here = torch.zeros(height, width, 3, dtype=torch.uint8, pin_memory=device.type == "cuda")
        self._past, self._guard = Past(), BlendGuard()
        step = partial(Step, device=device, growing=GROWING, recorded=recorded)
        self._warp = step(partial(self._warped.draw, self._picture))
        self._refine = step(partial(self._add_residual, refiner)) if refiner else None
        self._mouths = {one: step(partial(self._paint, one)) for one in {self._painter, self._procedural}}
        self._finish = Program(self._round, device, recorded=recorded)
        self._clock = Clock(device)

    @property
    def refines(self) -> bool:
        """See base.Canvas."""
        return self._refine is not None

    def time_with(self, timer: StageTimer) -> None:
        """See base.Canvas: `gpu warp`, `gpu refine`, `gpu mouth`, `gpu finish`; `gpu frame` is their sum."""
        self._clock = Clock(self._device, timer)

    def warp(self, deformation: Deformation) -> None:
        """See base.Canvas; raises DeviceExhausted, DeviceLost, as the rest."""
        with device_errors():
            self._run("warp", self._warp, self._geometry.frame(deformation))

    def refine(self, deformation: Deformation) -> None:
        """See base.Canvas."""
        if self._refine is not None:
            with device_errors():
                follows = self._past.holds(deformation)
                self._run("refine", self._refine, self._geometry.face(deformation, follows=follows))

    def draw_mouth(self, deformation: Deformation, *, networks: bool) -> None:
        """See base.Canvas."""
        painter = self._painter if networks else self._procedural
        blends = self._guard.allows(deformation.mouth_gap, deformation)
        if deformation.mouth_gap >= CLOSED_GAP:
            with device_errors():
                arrays = self._geometry.mouth(deformation, painter.crop, blends=blends)
                self._run("mouth", self._mouths[painter], arrays)

    def picture(self) -> U8:
        """See base.Canvas."""
        with torch.no_grad(), device_errors():
            with self._clock.measure("finish"):
                self._finish()
                self._here.copy_(self._shown, non_blocking=True)
            if self._device.type == "cuda":
                torch.cuda.current_stream(self._device).synchronize()
            self._clock.note()
        shown: U8 = self._here.numpy().copy()
        return shown

    def _run(self, name: str, step: Step, arrays: Arrays) -> None:
        with self._clock.measure(name):
            step(arrays)

    def _add_residual(self, refiner: TensorRefiner, numbers: Numbers) -> None:
        self._face.draw(numbers)
        self._face.add(self._picture, refiner.residual(self._face, numbers), numbers)

    def _paint(self, painter: TensorPainter, numbers: Numbers) -> None:
        self._drawings[painter.crop].draw(self._picture, painter, numbers)

    def _round(self) -> None:
        self._shown.copy_((self._picture + 0.5).clamp(0, 255).permute(1, 2, 0))
