"""What a frame's steps are told by this computer's processor: geometry and outlines, no picture of the face.

Outlines (lips, lids, the face's oval) are a few polygons, and light is one figure per vertex: the CPU has
them in microseconds, by the same functions as render/cpu.py, so both renderers agree on them to the bit.
"""

from __future__ import annotations

from functools import partial
from typing import Any, Final, Protocol

import cv2
import numpy as np
import numpy.typing as npt

from streamfx.frames import F32, U8, Deformation, Rig
from streamfx.models.face_basis import load_face_basis
from streamfx.models.weights import Profile
from streamfx.render.base import CLOSED_GAP, Mode, MouthCrop, MouthView, Networks, Picture
from streamfx.render.composite import lip_opening
from streamfx.render.eyes import EyeDrawer, Sight
from streamfx.render.gpu.layout import (
    EYES,
    GROWING,
    MOUTH,
    PROCEDURAL,
    REFINE,
    STEPS,
    WARP,
    Arrays,
    Layout,
    Writer,
)
from streamfx.render.gpu.tiles import Tiles
from streamfx.render.light import Relighter
from streamfx.render.mesh import DrawnMesh
from streamfx.render.mouth import ProceduralMouth
from streamfx.render.rectify import (
    CROP,
    eyes_mask,
    face_affine,
    face_mask,
    inner_mouth_mask,
    mouth_affine,
    move,
    sigmas_moved,
)
from streamfx.render.refiner import Past
from streamfx.render.temporal import BlendGuard
from streamfx.telemetry import StageTimer

UNMOVED: Final = np.array([[1, 0, 0], [0, 1, 0]], np.float32)


class Geometry:
    """One rig's."""

    def __init__(self, rig: Rig, sigma: F32, mode: Mode) -> None:
        """Prepare the mesh.

        Args:
            rig: whose.
            sigma: f32 [468,2] px at 256: unit of the displacement map (FaceBasis.sigma).
            mode: what is drawn.
        """
        self._size, self._sigma = rig.size, sigma
        self._mesh, self._eyes, self._relighter = DrawnMesh(rig, mode), EyeDrawer(rig), Relighter(rig)
        self._procedural = ProceduralMouth(rig)
        self._frame_tiles, self._crop_tiles = Tiles(rig.size), Tiles((CROP, CROP))
        self._mouth_tiles = {crop: Tiles((crop.value, crop.value)) for crop in MouthCrop}

    @property
    def outside(self) -> int:
        """Triangles before those of the face in the face crop."""
        return len(self._mesh.person)

    def frame(self, deformation: Deformation) -> Arrays:
        """For the warp."""
        triangles = np.concatenate([self._mesh.exterior, self._mesh.pose(deformation)])
        rows, places = self._frame_tiles.of(deformation.vertices, triangles)
        width, height = self._size
        return {
            "corners": deformation.vertices,
            "sources": self._mesh.sources,
            "triangles": triangles,
            "tile_rows": rows,
            "tile_places": places,
            **self._seen_eyes((height, width), deformation, UNMOVED),
        }

    def face(self, deformation: Deformation, *, follows: bool) -> Arrays:
        """For the refiner's crop.

        Args:
            deformation: where everything goes.
            follows: whether the network's last answer still holds.
        """
        affine = face_affine(deformation)
        corners = move(deformation.vertices, affine)
        triangles = np.concatenate([self._mesh.person, self._mesh.pose(deformation)])
        rows, places = self._crop_tiles.of(corners, triangles)
        carried = np.zeros((len(corners), 5), np.float32)
        moved = sigmas_moved(deformation, self._sigma)
        carried[:, :2] = self._mesh.sources
        carried[: len(moved), 2:4] = moved
        carried[: len(moved), 4] = self._relighter.change(deformation)
        return {
            "corners": corners,
            "carried": carried,
            "triangles": triangles,
            "tile_rows": rows,
            "tile_places": places,
            "from_frame": affine,
            "inner_mouth": _levels(inner_mouth_mask(deformation, affine, CROP)),
            "eyes": _levels(eyes_mask(deformation, affine)),
            "face": _levels(face_mask(deformation, affine)),
            "follows": np.array([follows], np.float32),
            **self._seen_eyes((CROP, CROP), deformation, affine),
        }

    def mouth(self, deformation: Deformation, crop: MouthCrop, *, blends: bool) -> Arrays:
        """For the mouth's painter.

        Args:
            deformation: where everything goes; the mouth is open.
            crop: the square in which it is painted.
            blends: whether it may hold some of the last mouth.
        """
        size = crop.value
        is_face = crop is MouthCrop.FACE
        affine = face_affine(deformation) if is_face else mouth_affine(deformation, size)
        mask = inner_mouth_mask(deformation, affine, size)
        moved = sigmas_moved(deformation, self._sigma)
        corners = move(deformation.vertices[: len(moved)], affine)
        rows, places = self._mouth_tiles[crop].of(corners, self._mesh.face)
        left, top, opening = self._lips(deformation)
        return {
            "corners": corners,
            "moved": moved,
            "triangles": self._mesh.face,
            "tile_rows": rows,
            "tile_places": places,
            "from_frame": affine,
            "to_frame": _inverse(affine),
            "mask": mask,
            "lips_mask": opening,
            "lips_corner": np.array([left, top], np.int32),
            "blends": np.array([blends], np.float32),
            **({} if is_face else self._drawn(deformation, affine, mask)),
        }

    def _drawn(self, deformation: Deformation, affine: F32, mask: F32) -> Arrays:
        """The procedural mouth, and which of its teeth are the person's own."""
        gap, nothing = deformation.mouth_gap, np.empty((0, 0, 3), np.uint8)
        view = MouthView(nothing, mask, mask, deformation.inner_mouth, affine, gap)
        return {
            "drawn": self._procedural.paint(view, deformation),
            "own": self._procedural.own(view, deformation),
        }

    def _lips(self, deformation: Deformation) -> tuple[int, int, F32]:
        width, height = self._size
        found = lip_opening(deformation.inner_mouth, deformation.mouth_gap, (height, width))
        return found or (0, 0, np.zeros((1, 1), np.float32))

    def _seen_eyes(self, shape: tuple[int, int], deformation: Deformation, transform: F32) -> Arrays:
        arrays: dict[str, npt.NDArray[Any]] = {}
        for eye, sight in zip(EYES, self._eyes.sights(shape, deformation, transform), strict=True):
            seen = sight or Sight(0, 0, np.zeros((1, 1), np.float32), UNMOVED, np.zeros(2, np.float32))
            arrays |= {
                f"{eye}_mask": seen.mask,
                f"{eye}_corner": np.array([seen.left, seen.top], np.int32),
                f"{eye}_place": seen.place,
                f"{eye}_gaze": seen.gaze,
            }
        return arrays


def _levels(mask: F32) -> U8:
    """A mask of 0..1 as 0..255: a quarter of the bytes."""
    return np.asarray(cv2.convertScaleAbs(mask, alpha=255), np.uint8)


def _inverse(affine: F32) -> F32:
    return np.asarray(cv2.invertAffineTransform(affine.astype(np.float64)), np.float32)


class RenderTarget(Protocol):
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
        """See base.PortraitRenderer."""
        ...


class GpuRenderer:
    """A rig's picture on a card."""

    def __init__(self, geometry: Geometry, target: RenderTarget, networks: Networks) -> None:
        """Begin with nothing drawn.

        Args:
            geometry: the rig's.
            target: draws the rig with these networks.
            networks: which take part.
        """
        self._geometry, self._target, self._networks = geometry, target, networks
        self._writers = {step: Writer(GROWING, partial(target.place, step)) for step in STEPS}
        self._past, self._guard = Past(), BlendGuard()

    @property
    def refines(self) -> bool:
        """See base.PortraitRenderer."""
        return self._networks.refine is not None

    def time_with(self, timer: StageTimer) -> None:
        """`gpu warp`, `gpu refine`, `gpu mouth`, `gpu finish`; `gpu frame` is their sum."""
        self._target.time_with(timer)

    def warp(self, deformation: Deformation) -> None:
        """See base.PortraitRenderer; raises DeviceExhausted, DeviceLost, as the rest."""
        self._writers[WARP].write(self._geometry.frame(deformation))
        self._target.draw(WARP)

    def refine(self, deformation: Deformation) -> None:
        """See base.PortraitRenderer."""
        if self.refines:
            follows = self._past.holds(deformation)
            self._writers[REFINE].write(self._geometry.face(deformation, follows=follows))
            self._target.draw(REFINE)

    def draw_mouth(self, deformation: Deformation, *, networks: bool) -> None:
        """See base.PortraitRenderer."""
        blends = self._guard.allows(deformation.mouth_gap, deformation)
        if deformation.mouth_gap < CLOSED_GAP:
            return
        step = MOUTH if networks and self._networks.mouth is not None else PROCEDURAL
        whole = step == MOUTH and self._networks.mouth is Profile.PAPER
        crop = MouthCrop.FACE if whole else MouthCrop.MOUTH
        self._writers[step].write(self._geometry.mouth(deformation, crop, blends=blends))
        self._target.draw(step)

    def picture(self) -> Picture:
        """See base.PortraitRenderer."""
        return self._target.picture()


def geometry_of(rig: Rig, mode: Mode) -> Geometry:
    """What a renderer of a rig tells its target."""
    return Geometry(rig, load_face_basis().sigma, mode)
