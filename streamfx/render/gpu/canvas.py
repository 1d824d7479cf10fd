"""The canvas of cards (see base.Canvas): geometry here, by the CPU; drawing on an easel, wherever it stands.

No torch is needed on this side: where several sessions share a card, their easels stand in another process.
"""

from __future__ import annotations

from functools import partial
from typing import Protocol

from streamfx.frames import U8, Deformation, Rig
from streamfx.models.face_basis import load_face_basis
from streamfx.models.weights import Profile
from streamfx.render.base import CLOSED_GAP, Mode, MouthCrop, Networks, Picture
from streamfx.render.gpu.forms import GROWING, MOUTH, PROCEDURAL, REFINE, STEPS, WARP
from streamfx.render.gpu.geometry import Geometry
from streamfx.render.gpu.layout import Layout, Writer
from streamfx.render.refiner import Past
from streamfx.render.temporal import BlendGuard
from streamfx.telemetry import StageTimer


class Easel(Protocol):
    """Draws one rig's pictures, told by numbers alone."""

    def place(self, step: str, layout: Layout) -> U8:
        """Make room for a step's numbers, laid out so; u8 [layout.size], where they are to be written."""
        ...

    def draw(self, step: str) -> None:
        """Draw a step from the numbers that were written; it may be done only when the picture is asked for.

        Raises:
            DeviceExhausted, DeviceLost: as `picture`.
        """
        ...

    def picture(self) -> Picture:
        """The finished picture, the caller's to keep.

        Raises:
            DeviceExhausted: the card's memory is full; the next frame may find room.
            DeviceLost: the card failed.
        """
        ...

    def time_with(self, timer: StageTimer) -> None:
        """See base.Canvas."""
        ...


class CardCanvas:
    """A rig's picture on a card."""

    def __init__(self, geometry: Geometry, easel: Easel, networks: Networks) -> None:
        """Begin with nothing drawn.

        Args:
            geometry: the rig's.
            easel: draws the rig with these networks.
            networks: which take part.
        """
        self._geometry, self._easel, self._networks = geometry, easel, networks
        self._writers = {step: Writer(GROWING, partial(easel.place, step)) for step in STEPS}
        self._past, self._guard = Past(), BlendGuard()

    @property
    def refines(self) -> bool:
        """See base.Canvas."""
        return self._networks.refine is not None

    def time_with(self, timer: StageTimer) -> None:
        """See base.Canvas: `gpu warp`, `gpu refine`, `gpu mouth`, `gpu finish`; `gpu frame` is their sum."""
        self._easel.time_with(timer)

    def warp(self, deformation: Deformation) -> None:
        """See base.Canvas; raises DeviceExhausted, DeviceLost, as the rest."""
        self._writers[WARP].write(self._geometry.frame(deformation))
        self._easel.draw(WARP)

    def refine(self, deformation: Deformation) -> None:
        """See base.Canvas."""
        if self.refines:
            follows = self._past.holds(deformation)
            self._writers[REFINE].write(self._geometry.face(deformation, follows=follows))
            self._easel.draw(REFINE)

    def draw_mouth(self, deformation: Deformation, *, networks: bool) -> None:
        """See base.Canvas."""
        blends = self._guard.allows(deformation.mouth_gap, deformation)
        if deformation.mouth_gap < CLOSED_GAP:
            return
        step = MOUTH if networks and self._networks.mouth is not None else PROCEDURAL
        whole = step == MOUTH and self._networks.mouth is Profile.PAPER
        crop = MouthCrop.FACE if whole else MouthCrop.MOUTH
        self._writers[step].write(self._geometry.mouth(deformation, crop, blends=blends))
        self._easel.draw(step)

    def picture(self) -> Picture:
        """See base.Canvas."""
        return self._easel.picture()


def geometry_of(rig: Rig, mode: Mode) -> Geometry:
    """What a canvas of a rig tells its easel."""
    return Geometry(rig, load_face_basis().sigma, mode)
