"""Making an idle portrait from a rig: pictures of eyes that shut, and where a breath moves everything to."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

import cv2
import numpy as np

from streamfx.frames import F32, U8, IdlePortrait, Motion, Rig
from streamfx.pipeline import Animator
from streamfx.portrait.deform import deform
from streamfx.render.kernels import rasterise
from streamfx.sink.idle import STEP
from streamfx.topology import EYES

_LEVELS: Final = (0.25, 0.5, 0.75, 1.0)
"""Lid closures of the pictures of a blink."""
_BREATH: Final = replace(
    Motion.rest(),
    translation=np.array([0, -0.16, 0], np.float32),
    rotation=np.array([0.012, 0, 0], np.float32),
    scale=1.006,
)
_SWAY: Final = replace(
    Motion.rest(),
    translation=np.array([0.10, 0, 0], np.float32),
    rotation=np.array([0, 0.03, 0.008], np.float32),
)
_SOFT: Final = 2.0
"""Values of the flow by which its edge is softened: the background beside the person gives way a little."""
_EYE_MARGIN: Final = 0.9
"""Of an eye's width, around both eyes: as far as lids move the skin."""


def idle_portrait(rig: Rig, animator: Animator) -> IdlePortrait:
    """What `sink.idle.IdlePlayer` needs to let this portrait live without a renderer.

    Args:
        rig: the portrait, with its background.
        animator: of the same rig.
    """
    rest = animator.animate(Motion.rest(), networks=False)
    left, top, right, bottom = _eyes_box(rig)
    shutting = [_closed(animator, level)[top:bottom, left:right] for level in _LEVELS]
    blink: U8 = np.ascontiguousarray(np.stack(shutting))
    if rest.alpha is not None:  # one alpha holds for all
        blink = np.minimum(blink, rest.alpha[top:bottom, left:right, None])
    breath, sway = _flow(rig, _BREATH), _flow(rig, _SWAY)
    return IdlePortrait(rest.rgb, breath, sway, blink, (left, top), rest.alpha)


def _closed(animator: Animator, level: float) -> U8:
    lids = np.full(2, level, np.float32)
    return animator.animate(replace(Motion.rest(), lid_closure=lids), networks=False).rgb


def _eyes_box(rig: Rig) -> tuple[int, int, int, int]:
    """left, top, right, bottom px: both eyes and the skin around, inside the frame."""
    outlines = [rig.vertices[list(eye)] for eye in EYES]
    margin = _EYE_MARGIN * max(float(np.ptp(outline[:, 0])) for outline in outlines)
    points = np.concatenate(outlines)
    limits = np.array(rig.size)
    low = np.clip(np.floor(points.min(0) - margin), 0, limits - 1).astype(int)
    high = np.clip(np.ceil(points.max(0) + margin), low + 1, limits).astype(int)
    return int(low[0]), int(low[1]), int(high[0]), int(high[1])


def _flow(rig: Rig, motion: Motion) -> F32:
    """f32 [h,w,2] px: where the frame's points go, one value per STEP px; 0 off the person."""
    rest, moved = deform(rig, Motion.rest()).vertices, deform(rig, motion).vertices
    width, height = rig.size
    flow = np.zeros((-(-height // STEP), -(-width // STEP), 2), np.float32)
    split = len(rig.triangles) - rig.face_triangles
    person = np.concatenate([rig.triangles[:split][rig.visible], rig.triangles[split:]])
    rasterise(rest / np.float32(STEP), moved - rest, person, flow)
    return np.asarray(cv2.GaussianBlur(flow, (0, 0), _SOFT), np.float32)
