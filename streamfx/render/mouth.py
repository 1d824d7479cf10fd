"""The procedural mouth: teeth on skull and jaw, tongue, throat, shaded by the opening (ALGORITHM l).

It stands in until the completion network is loaded, and wherever that one is refused. It sees a Rig and a
Deformation: no pixel of the driver can be in it.
"""

from __future__ import annotations

import cv2
import numpy as np

from streamfx.frames import F32, Deformation, Rig, U8
from streamfx.render.base import MouthView

_TONGUE_SHARE = 0.66  # of the jaw's drop that the tongue follows
_TEETH_DEPTH = 0.5  # cm behind the lips: parallax under head rotation
_SHADE_CM = 0.20  # reach of the lips' shadow into the mouth
_DARKEST = 0.85  # light inside a barely opened mouth; 1 when open by 1 cm


class ProceduralMouth:
    """Paints the rig's mouth textures where skull and jaw put them."""

    def __init__(self, rig: Rig) -> None:
        self._rig = rig
        self._density = rig.mouth.upper.shape[1] / rig.mouth.width

    def paint(self, view: MouthView, deformation: Deformation) -> U8:
        """u8 [n,n,3], black outside the mask. About 0.2 ms at 96 px."""
        from streamfx.render.kernels import paint_mouth

        size = view.mask.shape[0]
        out = np.zeros((size, size, 3), np.uint8)
        mouth = self._rig.mouth
        light = _DARKEST + (1 - _DARKEST) * float(np.clip(view.gap / 1.0, 0, 1))
        covered = 0.55 + 0.45 * float(np.clip(view.gap / 0.8, 0, 1))  # the upper teeth stand before the lower
        dim = np.array([light, light * covered, 1.06 * light], np.float32)
        paint_mouth(
            out,
            view.mask,
            _shade(view.mask, size / mouth.width),
            mouth.cavity,
            mouth.tongue,
            mouth.lower,
            mouth.upper,
            self._to_texture(view, deformation, 0.0),
            self._to_texture(view, deformation, deformation.jaw_drop),
            self._to_texture(view, deformation, _TONGUE_SHARE * deformation.jaw_drop),
            dim,
        )
        return out

    def _to_texture(self, view: MouthView, deformation: Deformation, drop: float) -> F32:
        """f32 [2,3]: crop px -> texture px for a plane in the head, `drop` cm below its place at rest."""
        mouth, rig = self._rig.mouth, self._rig
        origin = mouth.centre + np.array([0.0, drop, _TEETH_DEPTH], np.float32)
        # At rest the textures lie where the photo's mouth is, whatever the photo's own pose.
        at_rest = rig.scale * rig.rotation[:2] @ np.array([0.0, 0.0, _TEETH_DEPTH], np.float32)
        place = deformation.scale * deformation.rotation[:2]
        centre = place @ origin + deformation.translation[:2] - at_rest * (deformation.scale / rig.scale)
        texture_to_frame = np.column_stack([place[:, :2] / self._density, centre])
        half = (np.array(mouth.upper.shape[1::-1]) - 1) / 2
        texture_to_frame[:, 2] -= texture_to_frame[:, :2] @ half
        texture_to_crop = _compose(view.from_frame, texture_to_frame)
        return cv2.invertAffineTransform(texture_to_crop.astype(np.float64)).astype(np.float32)


def _compose(outer: F32, inner: F32) -> F32:
    """The map `inner`, then `outer`, both [2,3]."""
    linear = outer[:, :2] @ inner[:, :2]
    return np.column_stack([linear, outer[:, :2] @ inner[:, 2] + outer[:, 2]]).astype(np.float32)


def _shade(mask: F32, density: float) -> F32:
    """f32 [n,n]: lips throw shadow: 0.48 at the edge, 1 well inside."""
    inside = cv2.GaussianBlur(mask, (0, 0), _SHADE_CM * density)
    return (0.48 + 0.52 * np.clip((inside - 0.40) / 0.48, 0, 1)).astype(np.float32)
