"""Rendering on any CPU: numba scan conversion, OpenCV resampling, networks by OpenVINO (contract: base)."""

from __future__ import annotations

import cv2
import numpy as np

from streamfx.frames import F32, I32, U8, Deformation, Rig
from streamfx.models.ahead import take_network
from streamfx.models.face_basis import load_face_basis
from streamfx.models.weights import Profile
from streamfx.render.base import (
    Mode,
    MouthCrop,
    MouthPainter,
    MouthView,
    Network,
    Networks,
    Picture,
    Rectified,
    Refiner,
)
from streamfx.render.composite import add_residual, draw_mouth
from streamfx.render.eyes import EyeDrawer
from streamfx.render.kernels import cover, lay_over, lift, rasterise
from streamfx.render.light import Relighter
from streamfx.render.mesh import DrawnMesh
from streamfx.render.mouth import ProceduralMouth
from streamfx.render.network_kernels import blank
from streamfx.render.painter import LiteNetworkPainter, PaperNetworkPainter
from streamfx.render.rectify import (
    CROP,
    displacement_map,
    eyes_mask,
    face_affine,
    face_mask,
    inner_mouth_mask,
    light_map,
    mouth_affine,
    move,
)
from streamfx.render.refiner import LiteNetworkRefiner, PaperNetworkRefiner
from streamfx.render.temporal import MouthBlender
from streamfx.telemetry import StageTimer

_NOWHERE = -4096.0  # source position of pixels that no triangle covers: transparent
_UNMOVED = np.array([[1, 0, 0], [0, 1, 0]], np.float32)


class CpuRenderer:
    """Draws one rig on the CPU."""

    def __init__(
        self,
        rig: Rig,
        mode: Mode = Mode.LAYER,
        *,
        refiner: Refiner | None = None,
        painter: MouthPainter | None = None,
    ) -> None:
        """Prepare buffers.

        Args:
            rig: the portrait.
            mode: what is drawn.
            refiner: the face's network, where it is at hand.
            painter: the mouth's network; None takes the procedural mouth.
        """
        self._rig, self._mode, self._sigma = rig, mode, load_face_basis().sigma
        self._refiner, self._procedural = refiner, ProceduralMouth(rig)
        self._painter = painter or self._procedural
        self._blender = MouthBlender()
        self._picture: U8 = rig.plate
        width, height = rig.size
        self._map = np.empty((height, width, 2), np.float32)
        self._alpha = np.zeros((height, width), np.uint8)
        self._crop_map = np.empty((CROP, CROP, 2), np.float32)
        self._relighter, self._eyes = Relighter(rig), EyeDrawer(rig)
        self._mesh = DrawnMesh(rig, mode)
        self._used = np.unique(np.concatenate([self._mesh.person, self._mesh.face]))

    @property
    def refines(self) -> bool:
        """See base.PortraitRenderer."""
        return self._refiner is not None

    def warp(self, deformation: Deformation) -> U8:
        """See base.PortraitRenderer; the picture so far, u8 [H,W,3]."""
        triangles = np.concatenate([self._mesh.exterior, self._mesh.pose(deformation)])
        draw = self._sheet if self._mode is Mode.SHEET else self._layers
        self._picture = draw(deformation, triangles)
        self._eyes.draw(self._picture, deformation, _UNMOVED)
        return self._picture

    def refine(self, deformation: Deformation) -> None:
        """See base.PortraitRenderer."""
        if self._refiner is not None:
            face = self.rectify(deformation)
            add_residual(self._picture, self._refiner.refine(face, deformation), face)

    def draw_mouth(self, deformation: Deformation, *, networks: bool) -> None:
        """See base.PortraitRenderer."""
        painter = self._painter if networks else self._procedural
        view = self.mouth_view(self._picture, deformation, painter.crop)
        if not view.is_open:
            self._blender.reset()
            return
        mouth = self._blender.blend(painter.paint(view, deformation), view, deformation)
        draw_mouth(self._picture, view, mouth)

    def picture(self) -> Picture:
        """See base.PortraitRenderer. All is drawn over the plate first: networks see no cut edges."""
        if self._mode is not Mode.CUTOUT:
            return Picture(self._picture)
        rgb = np.zeros_like(self._picture)
        lift(self._picture, self._rig.plate, self._alpha, rgb)
        return Picture(rgb, self._alpha.copy())

    def time_with(self, timer: StageTimer) -> None:
        """See base.PortraitRenderer: the caller sees all."""

    def rectify(self, deformation: Deformation) -> Rectified:
        """The face in the refiner's crop, rendered directly from the photo (one resampling)."""
        affine, face = face_affine(deformation), self._mesh.pose(deformation)
        self._crop_map.fill(_NOWHERE)
        corners = move(deformation.vertices, affine)
        rasterise(corners, self._mesh.sources, np.concatenate([self._mesh.person, face]), self._crop_map)
        crop = cv2.remap(
            self._rig.photo, self._crop_map, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT
        )
        self._eyes.draw(crop, deformation, affine)
        inner = inner_mouth_mask(deformation, affine, CROP)
        rgb = np.empty((CROP, CROP, 3), np.float32)
        blank(crop, inner, rgb)
        moved = displacement_map(deformation, affine, self._sigma, face)
        change = self._relighter.change(deformation)
        light = light_map(deformation, affine, change, face)
        eyes = eyes_mask(deformation, affine)
        return Rectified(rgb, inner, eyes, face_mask(deformation, affine), moved, light, affine)

    def mouth_view(self, picture: U8, deformation: Deformation, crop: MouthCrop) -> MouthView:
        """A crop of the picture so far that shows the mouth, its mask and displacement map."""
        size = crop.value
        is_face = crop is MouthCrop.FACE
        affine = face_affine(deformation) if is_face else mouth_affine(deformation, size)
        around = cv2.warpAffine(picture, affine, (size, size), borderMode=cv2.BORDER_REPLICATE)
        mask = inner_mouth_mask(deformation, affine, size)
        moved = displacement_map(deformation, affine, self._sigma, self._mesh.face, size)
        return MouthView(around, mask, moved, deformation.inner_mouth, affine, deformation.mouth_gap)

    def _sheet(self, deformation: Deformation, triangles: I32) -> U8:
        self._map.fill(_NOWHERE)
        rasterise(deformation.vertices, self._mesh.sources, triangles, self._map)
        out: U8 = cv2.remap(
            self._rig.photo, self._map, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
        )
        return out

    def _layers(self, deformation: Deformation, triangles: I32) -> U8:
        picture = self._rig.plate.copy()
        box = self._person_box(deformation.vertices)
        self._map.fill(_NOWHERE)
        rasterise(deformation.vertices, self._mesh.sources, triangles, self._map)
        layer = cv2.remap(
            self._rig.layer, self._map[box], None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT
        )
        lay_over(layer, picture[box])
        if self._mode is Mode.CUTOUT:
            self._alpha.fill(0)
            cover(layer, self._alpha[box])
        return picture

    def _person_box(self, vertices: F32) -> tuple[slice, slice]:
        """Rows and columns of the frame in which the person is seen."""
        used = vertices[self._used]
        low, high = self._rig.stage[:2], self._rig.stage[2:]
        left, top = np.clip(np.floor(used.min(0)).astype(int), low, high - 1)
        right, bottom = np.clip(np.ceil(used.max(0)).astype(int) + 1, (left + 1, top + 1), high)
        return np.s_[top:bottom, left:right]


class CpuDevice:
    """Makes renderers on the CPU. Those that share networks must take turns."""

    def __init__(self) -> None:
        """Nothing is loaded yet."""
        self._loaded: dict[str, Network] = {}

    def renderer(self, rig: Rig, networks: Networks, mode: Mode = Mode.LAYER) -> CpuRenderer:
        """See base.RenderDevice."""
        refiner, painter = self._refiner(networks), self._painter(networks, rig)
        return CpuRenderer(rig, mode, refiner=refiner, painter=painter)

    def _refiner(self, networks: Networks) -> Refiner | None:
        if networks.refine is None:
            return None
        network = self._network(f"refine-{networks.refine}")
        is_lite = networks.refine is Profile.LITE
        return LiteNetworkRefiner(network) if is_lite else PaperNetworkRefiner(network)

    def _painter(self, networks: Networks, rig: Rig) -> MouthPainter:
        if networks.mouth is None:
            return ProceduralMouth(rig)
        network = self._network(f"mouth-{networks.mouth}")
        is_lite = networks.mouth is Profile.LITE
        return LiteNetworkPainter(network, rig) if is_lite else PaperNetworkPainter(network)

    def _network(self, name: str) -> Network:
        if name not in self._loaded:
            self._loaded[name] = take_network(name)
        return self._loaded[name]
