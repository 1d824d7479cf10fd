"""The canvas of any CPU: renderer, networks and blending, put together (see base.Canvas)."""

from __future__ import annotations

from streamfx.frames import U8, Deformation, Rig
from streamfx.models.face_basis import load_face_basis
from streamfx.render.base import Mode, MouthPainter, Picture, Refiner, Renderer
from streamfx.render.cpu import CpuRenderer
from streamfx.render.mouth import ProceduralMouth
from streamfx.render.temporal import MouthBlender
from streamfx.telemetry import StageTimer


class CpuCanvas:
    """A rig's picture in this computer's memory."""

    def __init__(
        self,
        rig: Rig,
        *,
        mode: Mode = Mode.LAYER,
        refiner: Refiner | None = None,
        painter: MouthPainter | None = None,
    ) -> None:
        """Prepare the renderer.

        Args:
            rig: the portrait.
            mode: what is drawn.
            refiner: the face's network, where it is at hand.
            painter: the mouth's network; None takes the procedural mouth.
        """
        self._renderer: Renderer = CpuRenderer(rig, load_face_basis().sigma, mode)
        self._refiner, self._procedural = refiner, ProceduralMouth(rig)
        self._painter = painter or self._procedural
        self._blender = MouthBlender()
        self._picture: U8 = rig.plate

    @property
    def refines(self) -> bool:
        """See base.Canvas."""
        return self._refiner is not None

    def warp(self, deformation: Deformation) -> None:
        """See base.Canvas."""
        self._picture = self._renderer.warp(deformation)

    def refine(self, deformation: Deformation) -> None:
        """See base.Canvas."""
        if self._refiner is None:
            return
        face = self._renderer.rectify(deformation)
        residual = self._refiner.refine(face, deformation)
        self._renderer.add_residual(self._picture, residual, face)

    def draw_mouth(self, deformation: Deformation, *, networks: bool) -> None:
        """See base.Canvas."""
        painter = self._painter if networks else self._procedural
        view = self._renderer.mouth_view(self._picture, deformation, painter.crop)
        if not view.is_open:
            self._blender.reset()
            return
        mouth = self._blender.blend(painter.paint(view, deformation), view, deformation)
        self._renderer.draw_mouth(self._picture, view, mouth)

    def picture(self) -> Picture:
        """See base.Canvas."""
        return self._renderer.finished(self._picture)

    def time_with(self, timer: StageTimer) -> None:
        """See base.Canvas: the caller sees all."""
