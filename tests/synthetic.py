"""A portrait without a person: the canonical face as landmarks over a painted texture. Needs no model file.

`tests/golden/face.npz` holds MediaPipe's canonical face (Apache-2.0): vertices f32 [468,3] cm, triangles u16.
"""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from pathlib import Path

import cv2
import numpy as np

from streamfx.frames import FaceTrack, Motion, Rig
from streamfx.geometry import Pose, rotation_matrix
from streamfx.models.face_basis import load_face_basis
from streamfx.portrait.photo import Photo
from streamfx.portrait.rig import FaceGeometry, solve_rig
from streamfx.portrait.skin import spread_lips
from streamfx.topology import EYES, FACE_OVAL, INNER_MOUTH, IRIS, LIP_LOWER, LIP_UPPER

GOLDEN = Path(__file__).parent / "golden"
FRAME = (640, 480)
OUTER_LIPS = (61, 185, 40, 39, 37, 0, 267, 269, 270, 409, 291, 375, 321, 405, 314, 17, 84, 181, 91, 146)
SKIN = (205, 160, 130)


@cache
def geometry() -> FaceGeometry:
    """The canonical face and the shipped expression spread."""
    with np.load(GOLDEN / "face.npz", allow_pickle=False) as arrays:
        vertices, triangles = arrays["vertices"], arrays["triangles"].astype(np.int32)
    basis = load_face_basis()
    return FaceGeometry(vertices, triangles, basis.rms, basis.smile, basis.smile_at_rest)


@cache
def face_at_rest(lips: float = 0.0) -> np.ndarray:
    """f32 [468,3] cm: the canonical face with lips `lips` cm apart (its own: half a centimetre)."""
    face = geometry().vertices
    upper, lower = face[list(LIP_UPPER)], face[list(LIP_LOWER)]
    apart = np.array([0, lips, 0]) * np.sin(np.linspace(0.1, 0.9, 9) * np.pi)[:, None]
    half = (lower - upper - apart) / 2
    moved = face + spread_lips(geometry().triangles) @ np.concatenate([half, -half])
    return moved.astype(np.float32)


def landmarks(
    size: tuple[int, int] = FRAME,
    *,
    height: float = 0.5,
    turned: tuple[float, float, float] = (0, 0, 0),
    lips: float = 0.0,
) -> np.ndarray:
    """f32 [478,3] px: the canonical face in the middle of a picture, `height` of its shorter side tall."""
    face = face_at_rest(lips)
    scale = height * min(size) / np.ptp(face[:, 1])
    pose = Pose(scale, rotation_matrix(np.radians(turned)), np.array([size[0] / 2, size[1] / 2, 0.0]))
    irises = np.concatenate([_iris(face, eye) for eye in (0, 1)])
    return pose.to_image(np.concatenate([face, irises])).astype(np.float32)


def _iris(face: np.ndarray, eye: int) -> np.ndarray:
    outline = face[list(EYES[eye])]
    centre, radius = outline.mean(0), 0.19 * np.linalg.norm(outline[0] - outline[8])
    rim = [(radius, 0, 0), (0, -radius, 0), (-radius, 0, 0), (0, radius, 0)]
    return np.array([centre, *(centre + r for r in rim)])


def track(points: np.ndarray) -> FaceTrack:
    return FaceTrack(points, np.zeros(52, np.float32), 1.0, 0)


def paint(size: tuple[int, int], points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The photo u8 [H,W,3] and its person mask f32 [H,W]."""
    width, height = size
    y, x = np.mgrid[:height, :width].astype(np.float32)
    waves = np.sin(x / 5)[..., None] * [9, 4, -5] + np.cos(y / 7 + x / 31)[..., None] * [-3, 7, 6]
    picture = 120 + 40 * (x / width)[..., None] + waves
    oval = points[list(FACE_OVAL), :2]
    centre, face_height = oval.mean(0), float(np.ptp(oval[:, 1]))
    person = np.zeros((height, width), np.uint8)
    for down, wide, tall in ((1.35, 1.9, 1.4), (0.7, 0.5, 0.9)):  # shoulders, neck
        middle = (float(centre[0]), float(centre[1] + down * face_height))
        cv2.ellipse(person, (middle, (wide * face_height, tall * face_height), 0.0), 255, -1, cv2.LINE_AA)
    cv2.ellipse(
        person,
        (tuple(map(float, centre)), (0.95 * face_height, 1.2 * face_height), 0.0),
        255,
        -1,
        cv2.LINE_AA,
    )
    alpha = (person / 255.0)[..., None]
    clothes = np.where((y > centre[1] + 0.5 * face_height)[..., None], [60, 70, 110], [70, 45, 30])
    picture = picture * (1 - alpha) + (clothes + 6 * np.sin(x / 3 + y / 4)[..., None]) * alpha
    skin = np.array(SKIN) + 10 * np.sin(x / 4)[..., None] * np.cos(y / 5)[..., None]
    picture = _filled(picture, oval, skin)
    picture = _filled(picture, points[list(OUTER_LIPS), :2], (170, 80, 85))
    for eye in (0, 1):
        picture = _filled(picture, points[list(EYES[eye]), :2], (235, 232, 228))
        picture = _disc(picture, points, eye)
    return np.clip(picture + 0.5, 0, 255).astype(np.uint8), person.astype(np.float32) / 255


def _filled(picture: np.ndarray, outline: np.ndarray, colour: object) -> np.ndarray:
    mask = np.zeros(picture.shape[:2], np.uint8)
    cv2.fillPoly(mask, [np.rint(outline * 16).astype(np.int32)], 255, cv2.LINE_AA, 4)
    share = (mask / 255.0)[..., None]
    return picture * (1 - share) + np.asarray(colour) * share


def _disc(picture: np.ndarray, points: np.ndarray, eye: int) -> np.ndarray:
    centre, rim = points[IRIS[eye][0], :2], points[IRIS[eye][1], :2]
    radius = float(np.linalg.norm(rim - centre))
    angles = np.linspace(0, 2 * np.pi, 48, endpoint=False)
    circle = centre + radius * np.column_stack([np.cos(angles), np.sin(angles)])
    inside = _filled(np.zeros_like(picture), points[list(EYES[eye]), :2], (1, 1, 1))
    return picture + (_filled(picture, circle, (70, 45, 25)) - picture) * inside


def portrait(size: tuple[int, int] = FRAME, **shape: object) -> tuple[Photo, FaceTrack, np.ndarray]:
    """A photo, its face and its person mask; `shape` as in `landmarks`."""
    points = landmarks(size, **shape)  # type: ignore[arg-type]
    rgb, person = paint(size, points)
    return Photo(rgb, f"painted {size} {shape}", "painted.png"), track(points), person


@cache
def rig(
    size: tuple[int, int] = FRAME,
    height: float = 0.5,
    turned: tuple[float, float, float] = (0, 0, 0),
    lips: float = 0.0,
    frame: tuple[int, int] = FRAME,
) -> Rig:
    """The solved portrait."""
    return solve_rig(*portrait(size, height=height, turned=turned, lips=lips), geometry(), frame)


def photo_of(solved: Rig) -> np.ndarray:
    """u8 [H,W,3]: the photo as the frame shows it."""
    pad, (width, height) = solved.pad, solved.size
    return solved.photo[pad : pad + height, pad : pad + width]


def own_gaps(solved: Rig) -> np.ndarray:
    """f32 [9] cm: the lip gaps that leave the photo's mouth as it is."""
    gaps = solved.shape[list(LIP_LOWER), 1] - solved.shape[list(LIP_UPPER), 1]
    return np.maximum(gaps, 0).astype(np.float32)


def rest(solved: Rig) -> Motion:
    """The motion that leaves the photo as it is, mouth included."""
    opened = {"expression": solved.opening, "lip_gaps": own_gaps(solved)}
    return replace(Motion.rest(), **opened, held=False, presence=1.0)


def motion(
    *,
    turn: tuple[float, float, float] = (0, 0, 0),
    shift: tuple[float, float] = (0, 0),
    scale: float = 1.0,
    jaw: float = 0.0,
    smile: float = 0.0,
    blink: tuple[float, float] = (0, 0),
    gaze: tuple[float, float] = (0, 0),
) -> Motion:
    """A driver's motion: pitch, yaw, roll in degrees, the rest in cm, closures and eye widths."""
    return replace(
        Motion.rest(),
        expression=_expression(jaw, smile),
        rotation=np.radians(turn).astype(np.float32),
        translation=np.array([*shift, 0], np.float32),
        scale=scale,
        lip_gaps=(jaw * np.sin(np.linspace(0.1, 0.9, 9) * np.pi)).astype(np.float32),
        lid_closure=np.array(blink, np.float32),
        gaze=np.array(gaze, np.float32),
        held=False,
        presence=1.0,
    )


def _expression(jaw: float, smile: float) -> np.ndarray:
    """f32 [468,3] cm: the lower face sinks by `jaw`; the corners of the mouth go out and up by `smile`."""
    face = geometry().vertices
    lip_line = face[list(INNER_MOUTH), 1].mean()
    out = np.zeros_like(face)
    out[:, 1] += jaw / (1 + np.exp(-(face[:, 1] - lip_line) / 0.15)) * (face[:, 1] > lip_line - 0.5)
    for corner in (61, 291):
        near = np.exp(-((face - face[corner]) ** 2).sum(1) / 4)
        out += smile * near[:, None] * [np.sign(face[corner, 0]), -0.6, 0.1]
    return out.astype(np.float32)
