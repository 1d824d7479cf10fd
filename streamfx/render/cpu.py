"""The renderer for any CPU: numba scan conversion, OpenCV resampling (see base.Renderer for the contract)."""

from __future__ import annotations

import cv2
import numpy as np

from streamfx.frames import F32, I32, U8, Deformation, Rig
from streamfx.render.base import Mode, MouthCrop, MouthView, Picture, Rectified, Residual
from streamfx.render.composite import add_residual, draw_mouth
from streamfx.render.eyes import EyeDrawer
from streamfx.render.kernels import cover, lay_over, lift, rasterise
from streamfx.render.light import Relighter
from streamfx.render.mesh import DrawnMesh
from streamfx.render.network_kernels import blank
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

_NOWHERE = -4096.0  # source position of pixels that no triangle covers: transparent
_UNMOVED = np.array([[1, 0, 0], [0, 1, 0]], np.float32)


class CpuRenderer:
    """Draws one rig on the CPU."""

    def __init__(self, rig: Rig, sigma: F32, mode: Mode = Mode.LAYER) -> None:
        """Prepare buffers.

        Args:
            rig: what to draw.
            sigma: f32 [468,2] px at 256: unit of the displacement map (FaceBasis.sigma).
            mode: what is drawn.
        """
        self._rig, self._mode, self._sigma = rig, mode, sigma
        width, height = rig.size
        self._map = np.empty((height, width, 2), np.float32)
        self._alpha = np.zeros((height, width), np.uint8)
        self._crop_map = np.empty((CROP, CROP, 2), np.float32)
        self._relighter, self._eyes = Relighter(rig), EyeDrawer(rig)
        self._mesh = DrawnMesh(rig, mode)
        self._used = np.unique(np.concatenate([self._mesh.person, self._mesh.face]))

    def warp(self, deformation: Deformation) -> U8:
        """See base.Renderer."""
        triangles = np.concatenate([self._mesh.exterior, self._mesh.pose(deformation)])
        picture = (
            self._sheet(deformation, triangles)
            if self._mode is Mode.SHEET
            else self._layers(deformation, triangles)
        )
        self._eyes.draw(picture, deformation, _UNMOVED)
        return picture

    def rectify(self, deformation: Deformation) -> Rectified:
        """See base.Renderer."""
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
        """See base.Renderer."""
        size = crop.value
        is_face = crop is MouthCrop.FACE
        affine = face_affine(deformation) if is_face else mouth_affine(deformation, size)
        around = cv2.warpAffine(picture, affine, (size, size), borderMode=cv2.BORDER_REPLICATE)
        mask = inner_mouth_mask(deformation, affine, size)
        moved = displacement_map(deformation, affine, self._sigma, self._mesh.face, size)
        return MouthView(around, mask, moved, deformation.inner_mouth, affine, deformation.mouth_gap)

    def add_residual(self, picture: U8, residual: Residual, face: Rectified) -> None:
        """See base.Renderer."""
        add_residual(picture, residual, face)

    def draw_mouth(self, picture: U8, view: MouthView, mouth: U8) -> None:
        """See base.Renderer."""
        draw_mouth(picture, view, mouth)

    def finished(self, picture: U8) -> Picture:
        """See base.Renderer. All is drawn over the plate first: networks see no cut edges."""
        if self._mode is not Mode.CUTOUT:
            return Picture(picture)
        rgb = np.zeros_like(picture)
        lift(picture, self._rig.plate, self._alpha, rgb)
        return Picture(rgb, self._alpha.copy())

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
