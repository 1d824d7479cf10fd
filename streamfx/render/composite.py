"""Putting refined face and mouth into the picture; and the one place where a Rendered is made."""

from __future__ import annotations

from time import monotonic_ns

import cv2
import numpy as np

from streamfx.frames import F32, U8, Deformation, Rendered
from streamfx.quality import Quality
from streamfx.render.base import CLOSED_GAP, MouthView, Picture, Rectified, Residual
from streamfx.render.kernels import coverage, draw_patch
from streamfx.render.network_kernels import weigh
from streamfx.render.rectify import CROP, box_of, move

_FEATHER_INSET = cv2.getStructuringElement(cv2.MORPH_RECT, (11, 11))  # of half the 256 crop
_FEATHER_BLUR, _FEATHER_REACH = 2.0, (11, 11)  # px of the same: no farther out than the inset leads in
_LINE_BLUR = 0.6  # px: softness of the lip line
_LINE_MARGIN = 2  # px around it that this softness may reach


def add_residual(picture: U8, residual: Residual, face: Rectified) -> None:
    """picture += up(residual * feathered face mask), in place, on its box (algorithm.md#compositing)."""
    feather, corners = _feather(face.face)
    to_frame = cv2.invertAffineTransform(face.from_frame.astype(np.float64)).astype(np.float32)
    box = box_of(move(corners, to_frame), picture.shape, 1)
    if box is None:
        return
    left, top, width, height = box
    place = face.from_frame.copy()
    place[:, 2] = move(np.array([[left, top]], np.float32), face.from_frame)[0]
    weighed = np.empty_like(residual.rgb)
    weigh(residual.rgb, feather, 255.0, weighed)
    shown = cv2.warpAffine(weighed, place, (width, height), flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP)
    region = picture[top : top + height, left : left + width]
    cv2.add(region, shown, dst=region, dtype=cv2.CV_8U)


def _feather(face: F32) -> tuple[F32, F32]:
    """The face's share f32 [256,256], 0 before the mask ends; and the corners f32 [4,2] px of its box.

    Made at half the size: nobody sees the difference, and it costs a seventh.
    """
    mask = cv2.convertScaleAbs(face, alpha=255)
    half = cv2.resize(mask, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)
    soft = cv2.GaussianBlur(cv2.erode(half, _FEATHER_INSET), _FEATHER_REACH, _FEATHER_BLUR)
    feather = cv2.resize(soft.astype(np.float32) / 255, (CROP, CROP), interpolation=cv2.INTER_LINEAR)
    x, y, width, height = cv2.boundingRect(soft)
    corners = 2 * np.array([(x + i * width, y + j * height) for i in (0, 1) for j in (0, 1)], np.float32)
    return np.asarray(feather, np.float32), corners


def draw_mouth(picture: U8, view: MouthView, mouth: U8) -> None:
    """Put the mouth between the lips, in place; nothing while they count as closed."""
    found = lip_opening(view.lips, view.gap, picture.shape)
    if found is not None:
        left, top, opening = found
        draw_patch(picture, left, top, opening, mouth, view.from_frame)


def lip_opening(lips: F32, gap: float, shape: tuple[int, ...]) -> tuple[int, int, F32] | None:
    """Where a mouth shows in a picture: left, top px, and f32 [h,w] 0..1; None where it does not.

    Args:
        lips: f32 [20,2] px: the inner lip line.
        gap: cm: mean gap of the lips.
        shape: (height, width, ...) of the picture.
    """
    box = box_of(lips, shape, _LINE_MARGIN) if gap >= CLOSED_GAP else None
    if box is None:
        return None
    left, top, width, height = box
    mask = np.empty((height, width), np.float32)
    coverage(lips, left, top, mask)
    opened = np.float32(np.clip(gap / CLOSED_GAP - 1, 0, 1))  # no pop at the threshold
    return left, top, cv2.GaussianBlur(mask, (0, 0), _LINE_BLUR) * opened


def finish(picture: Picture, deformation: Deformation, refined: bool, grey: bool = False) -> Rendered:
    """The only constructor of Rendered: what leaves here was drawn from a Rig, never from a Frame.

    Args:
        picture: finished.
        deformation: what it shows.
        refined: whether the network for the face took part.
        grey: the photo has no colours, and those that networks gave it are taken out.
    """
    if deformation.held:
        quality = Quality.HELD if deformation.presence > 0 else Quality.IDLE
    else:
        quality = Quality.FULL if refined else Quality.WARP_ONLY
    captured_ns, seq = deformation.captured_ns, deformation.seq
    rgb = _without_colour(picture.rgb) if grey else picture.rgb
    return Rendered(rgb, captured_ns, monotonic_ns(), seq, quality, picture.alpha)


def _without_colour(rgb: U8) -> U8:
    out: U8 = cv2.cvtColor(cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)
    return out
