"""Two layers from one photo: the person, and the background without them (algorithm.md#layers)."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from streamfx.frames import F32, U8
from streamfx.portrait.fill import to_u8
from streamfx.portrait.plate import behind
from streamfx.portrait.surroundings import Person

_MASK_LOW, _MASK_RANGE = 0.3, 0.4  # the segmentation's score at which opacity begins, and its rise to 1
_SOLID = 0.5  # opacity that surely is the face
_TRACE = 0.05  # opacity that still hangs together
_EMPTY = 0.02  # opacity below which a pixel is background


@dataclass(frozen=True, slots=True)
class Layers:
    """See frames.Rig: photo, layer and plate, all at texture size here."""

    photo: U8
    layer: U8
    plate: U8


def person_alpha(mask: F32, face: F32, softness: float) -> F32:
    """The person's opacity from a segmentation: only what hangs together with the face, and all of the face.

    Args:
        mask: f32 [H,W] 0..1: segmentation, 0 beyond the photo.
        face: f32 [H,W] 0..1: the face's own area.
        softness: px.
    """
    alpha = np.clip((mask - _MASK_LOW) / _MASK_RANGE, 0, 1)
    alpha = np.maximum(alpha, face).astype(np.float32)
    _, labels = cv2.connectedComponents((alpha > _TRACE).astype(np.uint8))
    inside = labels[face > _SOLID]
    kept = np.bincount(inside[inside > 0]).argmax() if (inside > 0).any() else 0
    alpha = alpha * (labels == kept)
    soft: F32 = np.maximum(cv2.GaussianBlur(alpha, (0, 0), softness), face).astype(np.float32)
    return soft


def split_layers(
    framed: F32,
    known: F32,
    person: Person,
    around: F32 | None,
    frame: tuple[slice, slice],
    face_height: float,
) -> Layers:
    """Extend the photo over the whole texture, remove the person from the plate, and lift the person off it.

    The layer is premultiplied and solved so that layer + (1 - alpha) * plate is the photo again: at rest
    nothing changes, and soft hair keeps its own colour when it moves over another part of the background.

    Args:
        framed: f32 [H,W,3] 0..255: the photo at texture size; 0 beyond its borders.
        known: f32 [H,W]: 1 where the photo has pixels.
        person: on the texture, beyond the photo too.
        around: f32 [H,W,3] 0..255: what is shown beyond the photo; None continues its background.
        frame: rows and columns of the texture that lie in the frame: nobody is continued there.
        face_height: px.
    """
    opacity = person.opacity[..., None]
    plate = behind(framed, known, person.opacity > _EMPTY, face_height)
    shown = known[..., None]
    if around is not None:
        plate = np.where(shown > 0, plate, around)
    photo = framed * shown + plate * (1 - shown)
    whole = np.where(shown > 0, framed, plate + opacity * (person.rgb - plate))
    layer = np.clip(whole - (1 - opacity) * plate, 0, 255 * opacity)
    whole[frame] = photo[frame]
    return Layers(to_u8(whole), np.dstack([to_u8(layer), to_u8(255 * opacity)]), to_u8(plate))
