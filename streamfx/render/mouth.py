"""The procedural mouth: teeth on skull and jaw, tongue, throat, shaded by the opening (algorithm.md#mouth).

It stands in until the completion network is loaded, and wherever that one is refused. It sees a Rig and a
Deformation: no pixel of the driver can be in it.
"""

from __future__ import annotations

from typing import Final

import cv2
import numpy as np

from streamfx.frames import F32, U8, Deformation, Rig
from streamfx.render.base import MouthCrop, MouthView
from streamfx.render.mouth_kernels import paint_mouth, paint_own

_TONGUE_SHARE = 0.66  # of the jaw's drop that the tongue follows
_TEETH_DEPTH = 0.5  # cm behind the lips: parallax under head rotation
_SHADE_CM = 0.20  # reach of the lips' shadow into the mouth
_DARKEST, _BRIGHT_GAP = 0.85, 1.0  # light inside a barely opened mouth; cm of gap from which it is 1
_COVERED, _FREE_GAP = 0.55, 0.8  # light on lower teeth behind the upper; cm of gap from which they stand free
_UPPER_LIGHT = 1.06  # the upper teeth stand foremost
_LIP_SHADOW = 0.48  # light at the mouth's edge; 1 well inside
_SHADOW_FROM, _SHADOW_REACH = 0.40, 0.48  # of the blurred mask, over which that light rises


class ProceduralMouth:
    """Paints the rig's mouth textures where skull and jaw put them."""

    crop: Final = MouthCrop.MOUTH

    def __init__(self, rig: Rig) -> None:
        self._rig = rig
        self._density = rig.mouth.upper.shape[1] / rig.mouth.width

    def paint(self, view: MouthView, deformation: Deformation) -> U8:
        """u8 [n,n,3], black outside the mask. About 0.2 ms at 96 px."""
        size = view.mask.shape[0]
        out = np.zeros((size, size, 3), np.uint8)
        mouth = self._rig.mouth
        shade, dim = self.light(view)
        paint_mouth(
            out,
            view.mask,
            shade,
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

    def light(self, view: MouthView) -> tuple[F32, F32]:
        """f32 [n,n]: the light that the lips leave; f32 [3]: on tongue, lower and upper teeth; 1 is full."""
        return _shade(view.mask, view.mask.shape[0] / self._rig.mouth.width), _light(view.gap)

    def own(self, view: MouthView, deformation: Deformation) -> U8:
        """u8 [n,n]: 255 where `paint` shows teeth of the person that a photo showed; 0 outside the mask."""
        out = np.zeros(view.mask.shape, np.uint8)
        skull, jaw = (self._to_texture(view, deformation, drop) for drop in (0.0, deformation.jaw_drop))
        paint_own(out, view.mask, self._rig.mouth.own, skull, jaw)
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
        inverse: F32 = cv2.invertAffineTransform(texture_to_crop.astype(np.float64)).astype(np.float32)
        return inverse


def _compose(outer: F32, inner: F32) -> F32:
    """The map `inner`, then `outer`, both [2,3]."""
    linear = outer[:, :2] @ inner[:, :2]
    return np.column_stack([linear, outer[:, :2] @ inner[:, 2] + outer[:, 2]]).astype(np.float32)


def _light(gap: float) -> F32:
    """f32 [3]: light on tongue, lower and upper teeth in a mouth that is open by `gap` cm."""
    light = _DARKEST + (1 - _DARKEST) * float(np.clip(gap / _BRIGHT_GAP, 0, 1))
    free = _COVERED + (1 - _COVERED) * float(np.clip(gap / _FREE_GAP, 0, 1))
    return np.array([light, light * free, _UPPER_LIGHT * light], np.float32)


def _shade(mask: F32, density: float) -> F32:
    """f32 [n,n] 0..1: the light that the lips leave; `density` is px per cm of the mask."""
    inside = cv2.GaussianBlur(mask, (0, 0), _SHADE_CM * density)
    rise = np.clip((inside - _SHADOW_FROM) / _SHADOW_REACH, 0, 1)
    shade: F32 = (_LIP_SHADOW + (1 - _LIP_SHADOW) * rise).astype(np.float32)
    return shade
