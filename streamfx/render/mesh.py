"""A rig's mesh as it is drawn: which triangles, in which order, and what of the photo they show."""

from __future__ import annotations

import numpy as np

from streamfx.frames import F32, I32, Deformation, Rig
from streamfx.render.base import Mode
from streamfx.topology import EYE_CORNERS, LID_LOWER, LID_UPPER

_LASH = 0.05  # eye widths from the lid line to where there is only skin


class DrawnMesh:
    """One rig's mesh; `pose` it before it is drawn."""

    def __init__(self, rig: Rig, mode: Mode) -> None:
        """Prepare the mesh at rest.

        Args:
            rig: whose.
            mode: what is drawn.
        """
        self.sources = rig.vertices + np.float32(rig.pad)
        """f32 [V,2] px of photo and layer: what each vertex shows."""
        split = len(rig.triangles) - rig.face_triangles
        outside = rig.triangles[:split]
        self.person = outside[rig.visible]
        """i32 [K,3]: triangles outside the face that hold any of the person."""
        self.exterior = outside if mode is Mode.SHEET else self.person
        """i32 [K',3]: those that the frame shows."""
        self.face = rig.triangles[split:]
        """i32 [898,3]"""
        self._lids = _lid_vertices()
        self._lid_rest, self._lid_lash = self.sources[self._lids], _lashes(rig, self._lids)
        self._posed: Deformation | None = None
        self._order = self.face

    def pose(self, deformation: Deformation) -> I32:
        """Bring `sources` up to date; i32 [898,3]: the face's triangles, far to near.

        As eyes close, the lids' edges show skin from a lash's width further out: the landmarks lie a little
        inside the opening, and shut lids would meet in a line of eye white.
        """
        if deformation is self._posed:  # the frame is drawn, then the face's crop
            return self._order
        shut = np.clip(deformation.lid_closure, 0, 1).repeat(len(self._lids) // 2)
        self.sources[self._lids] = self._lid_rest + shut[:, None] * self._lid_lash
        self._posed = deformation
        self._order = self.face[np.argsort(-deformation.depth[self.face].sum(1))]
        return self._order


def _lid_vertices() -> I32:
    """i32 [28]: right upper, right lower, left upper, left lower lids."""
    return np.array([*LID_UPPER[0], *LID_LOWER[0], *LID_UPPER[1], *LID_LOWER[1]], np.int32)


def _lashes(rig: Rig, lids: I32) -> F32:
    """f32 [28,2] px: from each lid vertex away from its partner, a lash's width."""
    upper_lower = rig.vertices[lids].reshape(2, 2, -1, 2)
    apart = upper_lower - upper_lower[:, ::-1]
    away = apart / np.maximum(np.linalg.norm(apart, axis=-1, keepdims=True), 1e-3)
    widths = [np.linalg.norm(rig.vertices[a] - rig.vertices[b]) for a, b in EYE_CORNERS]
    offsets = away * (_LASH * np.array(widths))[:, None, None, None]
    return np.asarray(offsets.reshape(-1, 2), np.float32)
