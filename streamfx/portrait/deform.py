"""Motion + Rig -> Deformation: the driver's offsets, carried over to the photo (algorithm.md#retargeting)."""

from __future__ import annotations

from math import exp, tanh
from typing import Final

import numpy as np

from streamfx.frames import F32, I32, Deformation, Motion, Rig
from streamfx.geometry import F64, Real, rotation_matrix, rotation_vector
from streamfx.models.face_basis import share_of
from streamfx.portrait.teeth.opened import CHIN_POINTS, LIPS_MIDDLE
from streamfx.settings.session import Gains
from streamfx.topology import (
    EYES,
    FACE_OVAL,
    FACE_VERTICES,
    INNER_MOUTH,
    LID_LOWER,
    LID_UPPER,
    LIP_LOWER,
    LIP_UPPER,
)

RELIEF: Final = 0.85
"""Share of the depth relief that takes part in head rotation. The full relief folds the far cheek sooner; .7
loses 0.1 dB of self-reenactment; painter's order and the culling of folds hide the rest."""

_PITCH, _YAW, _ROLL = (float(np.radians(a)) for a in (20, 25, 25))
_LEAST_TURN = 0.35  # of these limits: left for turning farther the way the photo is turned already
_REST_ROLL_SHARE = 0.5  # of the photo's roll that counts as turned: a tilted head hides nothing
_REACH = (0.30, 0.30, 0.21, 0.21)  # of the width in which it is seen: how far the head may travel
_LEAST_REACH = 0.07  # of that width, however near the head is to its edge
_KEPT = 0.8  # of the way to where the face would leave the frame, or the neck its shape
_LEAN = (1.5, 1.5, 1.2, 0.6)  # times the neck's length, to where the photo ends: how far it follows
_HAIR = 0.25  # of the face's height around the oval
_SCALE_RANGE = (0.85, 1.18)
_AT_EDGE = 0.08  # of the face's size: how near to a border that cuts the face its vertices lie along it
_EYE_MARGIN = 0.3  # of that: at least so far within it eyes and mouth stay
_BODY_SHARE = 0.5  # of the head's translation that the torso follows
_KNEE = 0.6  # of a limit up to which the head follows exactly
_UPPER_LID_SHARE = 0.75  # of an eye's closing that the upper lid does
_LIPS_APART = 0.3  # cm of gap below which the lips' offsets in x and z fade away
_JAW_SHARE = 0.92  # of the chin's drop that the lower incisors follow
_BARED = 0.22  # cm: the most that a lowered lip shows of the lower teeth
_CHIN_POINTS = list(CHIN_POINTS)
_LOWER_LIP = LIPS_MIDDLE[1]
_UPPERS, _LOWERS = list(LIP_UPPER), list(LIP_LOWER)
_OVAL, _MOUTH = list(FACE_OVAL), list(INNER_MOUTH)
_DRAWN = [*EYES[0], *EYES[1], *_MOUTH]


FAITHFUL: Final = Gains()


def deform(rig: Rig, motion: Motion, gains: Gains = FAITHFUL) -> Deformation:
    """Where every vertex goes.

    At rest (zero motion, mouth of the photo closed) every vertex stays exactly where it is.
    """
    rotation, translation, scale = _head_pose(rig, motion, gains.head)
    expression = _expression(rig, motion, gains.expression)
    projection = scale * rotation[:2]
    turned = projection - rig.scale * rig.rotation[:2]
    moved = translation[:2] - rig.translation[:2]

    rigid = rig.solid @ turned.T + moved
    face = rigid[:FACE_VERTICES] + expression @ projection.T
    residual = face[_OVAL] - rigid[_OVAL]
    displacement = rig.head_weight[:, None] * rigid
    displacement += rig.body_weight[:, None] * (np.float32(_BODY_SHARE) * moved)
    displacement[FACE_VERTICES:] += rig.oval_weight @ residual
    displacement[:FACE_VERTICES] = face
    vertices = (rig.vertices + displacement).astype(np.float32)

    shape = rig.shape[:FACE_VERTICES] + expression
    gaps = shape[_LOWERS, 1] - shape[_UPPERS, 1]
    return Deformation(
        vertices=vertices,
        depth=((rig.solid[:FACE_VERTICES] + expression) @ (scale * rotation[2])).astype(np.float32),
        expression=expression,
        rotation=rotation,
        translation=translation,
        scale=scale,
        inner_mouth=vertices[_MOUTH],
        mouth_gap=0.0 if rig.mouth_hidden else float(gaps.mean()),
        jaw_drop=jaw_drop(rig.closed, expression + rig.opening),
        lids=(vertices[list(EYES[0])], vertices[list(EYES[1])]),
        lid_closure=motion.lid_closure,
        gaze=motion.gaze * np.float32(gains.gaze),
        held=motion.held,
        presence=motion.presence,
        captured_ns=motion.captured_ns,
        seq=motion.seq,
        epoch=motion.epoch,
    )


def jaw_drop(shape: F32, expression: Real) -> float:
    """cm that the lower teeth sank: with the chin, and never so little that the lip would bare the gum.

    Args:
        shape: f32 [>=468,3] cm: the portrait's face, its mouth closed.
        expression: [468,3] cm: how its vertices moved.
    """
    chin = _JAW_SHARE * float(expression[_CHIN_POINTS, 1].mean())
    at_rest = float(shape[list(LIPS_MIDDLE), 1].mean())
    lip = float(shape[_LOWER_LIP, 1] + expression[_LOWER_LIP, 1]) - at_rest
    return max(0.0, chin, lip - _BARED)


def _soft(x: float, limit: float) -> float:
    """x up to most of the limit, then bending smoothly, never beyond it."""
    knee = _KNEE * limit
    if abs(x) <= knee:
        return x
    rest = limit - knee
    return float(np.copysign(knee + rest * tanh((abs(x) - knee) / rest), x))


def _head_pose(rig: Rig, motion: Motion, gain: float) -> tuple[F32, F32, float]:
    """R_t, t_t, s_t: the head's motion, clamped to what one photo can show, added to the photo's pose."""
    pitch, yaw, roll = (gain * float(angle) for angle in motion.rotation)
    rest_pitch, rest_yaw, rest_roll = map(float, rotation_vector(rig.rotation))
    turn = np.array(
        [
            _soft_beside(pitch, rest_pitch, _PITCH),
            _soft_beside(yaw, rest_yaw, _YAW),
            _soft_beside(roll, _REST_ROLL_SHARE * rest_roll, _ROLL),
        ]
    )
    rotation = (rotation_matrix(turn) @ rig.rotation).astype(np.float32)
    scale = rig.scale * float(np.clip(exp(gain * float(np.log(max(motion.scale, 1e-3)))), *_SCALE_RANGE))
    shift = _shift(rig, motion, gain)
    shift[:2] += _kept_beyond(rig, scale * rotation[:2] - rig.scale * rig.rotation[:2], shift[:2])
    return rotation, (rig.translation + shift).astype(np.float32), scale


def _kept_beyond(rig: Rig, turned: F32, shift: F64) -> F64:
    """f64 [2] px: moves the head back where a border that cuts the face would show what the photo lacks.

    Never so far that eyes or mouth, which are drawn over the photo, leave it.

    Args:
        rig: the portrait.
        turned: f32 [2,3]: how the projection changes.
        shift: f64 [2] px: how far the head travels.
    """
    rest = rig.landmarks[:FACE_VERTICES, :2]
    near = _AT_EDGE * float(np.ptp(rest, axis=0).max())
    back = np.zeros(2)
    for axis in (0, 1):
        moves = rig.solid[:FACE_VERTICES] @ turned[axis] + shift[axis]
        for edge, inwards in ((rig.stage[axis], 1), (rig.stage[axis + 2], -1)):
            inside = inwards * (rest[:, axis] - edge)
            if inside.min() < 0:
                needed = float((inwards * moves)[np.abs(inside) < near].max(initial=0))
                room = float((inside + inwards * moves)[_DRAWN].min()) - _EYE_MARGIN * near
                back[axis] -= inwards * max(0.0, min(needed, room))
    return back


def _shift(rig: Rig, motion: Motion, gain: float) -> F64:
    """f64 [3] px that the head travels, kept within the frame."""
    across, down = (gain * rig.scale * float(cm) for cm in motion.translation[:2])
    left, right, above, below = rig.room.tolist()
    return np.array(
        [_soft(across, right if across > 0 else left), _soft(down, below if down > 0 else above), 0.0]
    )


def head_room(landmarks: F32, stage: I32, cut: Real) -> F32:
    """f32 [4]: px that the head may travel left, right, up and down.

    So far that hair and chin stay in sight, and the neck keeps its shape where the photo cuts the person.

    Args:
        landmarks: f32 [478,3] px of the frame.
        stage: i32 [4] left, top, right, bottom px of the frame: where the person is seen.
        cut: [N,2] px of the frame: where borders of the photo cut the person below the chin.
    """
    width = float(stage[2] - stage[0])
    oval = landmarks[_OVAL, :2]
    (left, top), (right, bottom) = oval.min(0), oval.max(0)
    hair = _HAIR * (bottom - top)
    sight = np.array([left - stage[0], stage[2] - right, top - stage[1], stage[3] - bottom])
    room = np.clip(sight - (hair, hair, hair, 0), _LEAST_REACH * width, np.array(_REACH) * width)
    beneath = cut[(cut[:, 0] > left) & (cut[:, 0] < right), 1]
    neck = max(float(beneath.min() - bottom), 0.0) if beneath.size else np.inf
    shown = _KEPT * np.minimum(sight, neck * np.array(_LEAN))
    return np.asarray(np.maximum(np.minimum(room, shown), 1.0), np.float32)


def _soft_beside(angle: float, rest: float, limit: float) -> float:
    """Soft clamp that leaves less room on the side to which the photo is turned already."""
    room = limit - abs(rest) if angle * rest > 0 else limit
    return _soft(angle, max(room, _LEAST_TURN * limit))


def _expression(rig: Rig, motion: Motion, gain: float) -> F32:
    """E': the driver's expression, lips and lids closed as far as the driver's (algorithm.md#closure).

    A mouth that the photo shows open is closed first: what the driver does is counted from a closed one.
    """
    expression = _without_shown_smile(rig, motion.expression * np.float32(gain)) - rig.opening
    shape = rig.solid[:FACE_VERTICES] + expression
    if not rig.mouth_hidden:
        expression = expression + rig.lip_spread @ _lip_corrections(shape, motion.lip_gaps)
    return (expression + rig.lid_spread @ _lid_corrections(rig, shape, motion.lid_closure)).astype(np.float32)


def _without_shown_smile(rig: Rig, expression: F32) -> F32:
    """A smile that the photo shows already is not added once more: the driver's is taken off up to that size.

    At rest the photo stays as it is (algorithm.md#retargeting would take its smile off even then).
    """
    if not rig.smile.any():
        return expression
    share = np.clip(share_of(rig.smile, expression), 0, 1)
    return (expression - share * rig.smile).astype(np.float32)


def _lip_corrections(shape: F32, gaps: F32) -> F32:
    """f32 [18,3] cm: what moves each lip pair to the wanted gap, half each side.

    The gap in y is set exactly; the offsets in x and z vanish with it, so that closed lips meet in any view.
    """
    between = shape[_LOWERS] - shape[_UPPERS]
    wanted = between * np.clip(gaps / _LIPS_APART, 0, 1)[:, None]
    wanted[:, 1] = gaps
    half = (wanted - between) / 2
    return np.concatenate([-half, half]).astype(np.float32)


def _lid_corrections(rig: Rig, shape: F32, closure: F32) -> F32:
    """f32 [28,3] cm: what sets the lids, which ride on the eye corners, to the driver's closure."""
    rows = []
    for eye, (upper, lower) in enumerate(zip(LID_UPPER, LID_LOWER, strict=True)):
        up, low = list(upper), list(lower)
        corners = [EYES[eye][0], EYES[eye][8]]
        ride = (shape[corners] - rig.solid[corners]).mean(0)
        rest_up, rest_low = rig.solid[up] + ride, rig.solid[low] + ride
        gap = rest_low - rest_up
        shut = gap * closure[eye]
        rows.append(rest_up + _UPPER_LID_SHARE * shut - shape[up])
        rows.append(rest_low - (1 - _UPPER_LID_SHARE) * shut - shape[low])
    return np.concatenate(rows).astype(np.float32)
