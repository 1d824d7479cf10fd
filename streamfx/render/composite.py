"""Putting eyes, refined face and mouth into the picture; and the one place where a Rendered is made."""

from __future__ import annotations

from time import monotonic_ns

import cv2
import numpy as np

from streamfx.frames import F32, U8, Deformation, Quality, Rendered, Rig
from streamfx.render.base import CLOSED_GAP, MouthView, Rectified, Residual
from streamfx.render.kernels import add_patch, coverage, draw_eye, draw_patch
from streamfx.render.rectify import CROP, move
from streamfx.topology import EYES

_TALLER = 1.35  # an eye opened wider than in the photo is stretched by the root of its opening, at most this
_FEATHER_INSET = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (11, 11))  # of half the 256 crop
_FEATHER_BLUR, _FEATHER_REACH = 2.0, (11, 11)  # px of the same: no farther out than the inset leads in
_LINE_BLUR = 0.6  # px: softness of lid and lip lines
_LINE_MARGIN = 2  # px around these lines that their softness may reach
_LEAST_LENGTH = 1e-3  # px: eyes turned to a line are no reason to divide by 0


def draw_eyes(picture: U8, rig: Rig, deformation: Deformation, transform: F32) -> None:
    """Draw both eyeballs through their lids, in place.

    Args:
        picture: u8 [h,w,3].
        rig, deformation: whose eyes, and where.
        transform: f32 [2,3]: frame px -> picture px.
    """
    for eye in (0, 1):
        lids = move(deformation.lids[eye], transform)
        box = _box(lids, picture.shape, _LINE_MARGIN)
        if box is None:
            continue
        left, top, width, height = box
        mask = np.empty((height, width), np.float32)
        coverage(lids, left, top, mask)
        opening = cv2.GaussianBlur(mask, (0, 0), _LINE_BLUR)
        place, gaze = _eye_place(rig, deformation, eye, lids)
        draw_eye(picture, left, top, opening, rig.eyes[eye].sclera, rig.eyes[eye].iris, place, gaze)


def _eye_place(rig: Rig, deformation: Deformation, eye: int, lids: F32) -> tuple[F32, F32]:
    """f32 [2,3] picture px -> eye texture px, and the gaze in texture px.

    The corners fix the x axis; y turns with it and scales with the head, so that no lid squashes the iris.
    """
    to_rest = rig.eyes[eye].to_rest
    rest = rig.landmarks[list(EYES[eye]), :2]
    turn, width = _axes(lids)
    back, rest_width = _axes(rest)
    picture_scale = width / max(_axes(deformation.lids[eye])[1], _LEAST_LENGTH)
    taller = float(np.sqrt(np.clip(_opening(lids) / max(_opening(rest), 1e-3), 1.0, _TALLER**2)))
    tall = picture_scale * taller * deformation.scale / rig.scale
    narrower = rest_width / max(width, _LEAST_LENGTH)
    linear = back @ np.diag([narrower, 1 / tall]) @ turn.T  # picture -> frame at rest
    centre, rest_centre = (lids[0] + lids[8]) / 2, (rest[0] + rest[8]) / 2
    finer = 1.0 / to_rest[0, 0]
    matrix = finer * np.column_stack([linear, rest_centre - linear @ centre - to_rest[:, 2]])
    gaze = deformation.gaze * np.float32(rest_width * finer)
    return matrix.astype(np.float32), gaze.astype(np.float32)


def _axes(lids: F32) -> tuple[F32, float]:
    """f32 [2,2]: columns along the eye's corners and across; and the distance of the corners, px."""
    axis = lids[8] - lids[0]
    width = float(np.linalg.norm(axis))
    along = axis / max(width, _LEAST_LENGTH)
    return np.column_stack([along, [-along[1], along[0]]]), width


def _opening(lids: F32) -> float:
    """Mean opening over the width, from the outline's 16 points."""
    width = float(np.linalg.norm(lids[8] - lids[0]))
    gaps = np.linalg.norm(lids[2:7] - lids[14:9:-1], axis=1)
    return float(gaps.mean()) / max(width, _LEAST_LENGTH)


def add_residual(picture: U8, residual: Residual, face: Rectified) -> None:
    """picture += up(residual) * feathered face mask, in place, on the face's box only (ALGORITHM g)."""
    feather, corners = _feather(face.face)
    to_frame = cv2.invertAffineTransform(face.from_frame.astype(np.float64)).astype(np.float32)
    box = _box(move(corners, to_frame), picture.shape, 1)
    if box is None:
        return
    left, top, width, height = box
    place = face.from_frame.copy()
    place[:, 2] = move(np.array([[left, top]], np.float32), face.from_frame)[0]
    add_patch(picture[top : top + height, left : left + width], residual.rgb, feather, place)


def _feather(face: F32) -> tuple[F32, F32]:
    """The face's share f32 [256,256,1], 0 before the mask ends; and the corners f32 [4,2] px of its box.

    Made at half the size: nobody sees the difference, and it costs a seventh.
    """
    half = cv2.resize((255 * face).astype(np.uint8), None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)
    soft = cv2.GaussianBlur(cv2.erode(half, _FEATHER_INSET), _FEATHER_REACH, _FEATHER_BLUR)
    feather = cv2.resize(soft.astype(np.float32) / 255, (CROP, CROP), interpolation=cv2.INTER_LINEAR)
    x, y, width, height = cv2.boundingRect(soft)
    corners = 2 * np.array([(x + i * width, y + j * height) for i in (0, 1) for j in (0, 1)], np.float32)
    return feather[..., None], corners


def draw_mouth(picture: U8, view: MouthView, mouth: U8) -> None:
    """Put the mouth between the lips, in place; nothing while they count as closed."""
    box = _box(view.lips, picture.shape, _LINE_MARGIN) if view.is_open else None
    if box is None:
        return
    left, top, width, height = box
    mask = np.empty((height, width), np.float32)
    coverage(view.lips, left, top, mask)
    opened = np.float32(np.clip(view.gap / CLOSED_GAP - 1, 0, 1))  # no pop at the threshold
    opening = cv2.GaussianBlur(mask, (0, 0), _LINE_BLUR) * opened
    draw_patch(picture, left, top, opening, mouth, view.from_frame)


def _box(points: F32, shape: tuple[int, ...], margin: int) -> tuple[int, int, int, int] | None:
    """(left, top, width, height) of points' box inside a picture, or None when it is empty."""
    low = np.maximum(np.floor(points.min(0)).astype(int) - margin, 0)
    high = np.minimum(np.ceil(points.max(0)).astype(int) + margin + 1, (shape[1], shape[0]))
    width, height = (high - low).tolist()
    if width <= 0 or height <= 0:
        return None
    return int(low[0]), int(low[1]), int(width), int(height)


def finish(picture: U8, deformation: Deformation, refined: bool) -> Rendered:
    """The only constructor of Rendered: what leaves here was drawn from a Rig, never from a Frame."""
    if deformation.held:
        quality = Quality.HELD if deformation.presence > 0 else Quality.IDLE
    else:
        quality = Quality.FULL if refined else Quality.WARP_ONLY
    return Rendered(picture, deformation.captured_ns, monotonic_ns(), deformation.seq, quality)
