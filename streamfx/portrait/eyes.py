"""The photo's eyes, taken apart: white without iris, iris without lids (algorithm.md#eyes)."""

from __future__ import annotations

import cv2
import numpy as np

from streamfx.frames import F32, U8, EyeLayer, Mask
from streamfx.portrait.fill import push_pull, to_u8
from streamfx.portrait.masks import polygon
from streamfx.topology import EYES, IRIS

_FINER = 2.0  # texture px per frame px
_NARROWEST = 24.0  # px of eye width below which textures are finer still
_HALF_WIDTH, _HALF_HEIGHT = 0.80, 0.65  # of a texture around the corners' midpoint, in eye widths
_LASHES = 0.035  # eye widths eroded from the lid line: lashes belong to the skin
_RIM = 0.06  # of the iris radius: softness of its edge
_BEYOND_IRIS = 1.10  # iris radii from which on the white is clean
_IRIS_RADIUS = (0.15, 0.28)  # eye widths that anatomy allows: 11.7 mm across, in an eye of about 30 mm
_LEAST_WHITE = 12  # px: fewer do not tell the white's colour
_BRIGHTEST = 85  # percentile from which on a narrow eye's pixels pass for white
_RINGS, _ALL_RINGS = 12, 14  # of the iris's radial profile: within the radius, and with its rim
_LEAST_RING = 4  # px seen of a ring: fewer do not tell its colour


def eye_layer(photo: U8, landmarks: F32, pad: int, eye: int) -> EyeLayer:
    """Take one eye apart.

    Args:
        photo: u8 [H+2pad, W+2pad, 3].
        landmarks: f32 [478,3] px of the frame.
        pad: px of texture beyond the frame.
        eye: 0 right, 1 left (the subject's).
    """
    outline = landmarks[list(EYES[eye]), :2]
    width = float(np.linalg.norm(outline[0] - outline[8]))
    centre = (outline[0] + outline[8]) / 2
    half = np.array([_HALF_WIDTH * width, _HALF_HEIGHT * width])
    finer = _FINER * max(1.0, _NARROWEST / width)
    size = np.maximum(np.ceil(2 * half * finer), 8).astype(int)
    to_rest = np.array([[1 / finer, 0, centre[0] - half[0]], [0, 1 / finer, centre[1] - half[1]]], np.float32)
    texture = _cut(photo, to_rest, pad, (int(size[0]), int(size[1])))

    def place(points: F32) -> F32:
        return (points - to_rest[:, 2]) * np.float32(finer)

    visible = _visible(place(outline), texture.shape[:2], width * finer)
    iris_centre, radius = _iris(place(landmarks[list(IRIS[eye]), :2]), width * finer)
    distance = _distance(texture.shape[:2], iris_centre)
    disc = np.clip((radius - distance) / (_RIM * radius) + 0.5, 0, 1).astype(np.float32)
    sclera = _sclera(texture, visible, distance > _BEYOND_IRIS * radius)
    iris = _complete_iris(texture, visible, distance, radius, disc, sclera)
    alpha = to_u8(255 * disc)
    return EyeLayer(to_u8(sclera), np.dstack([to_u8(iris), alpha]), to_rest)


def _cut(photo: U8, to_rest: F32, pad: int, size: tuple[int, int]) -> F32:
    matrix = to_rest.copy()
    matrix[:, 2] += pad
    flags = cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP
    cut = cv2.warpAffine(photo, matrix, size, flags=flags, borderMode=cv2.BORDER_REPLICATE)
    texture: F32 = cut.astype(np.float32)
    return texture


def _visible(outline: F32, shape: tuple[int, ...], width: float) -> F32:
    """f32 [h,w] 0..1: what the lids leave of the eyeball, without the lashes."""
    mask = polygon(outline, shape)
    reach = 2 * max(1, round(_LASHES * width)) + 1
    eroded = cv2.erode(mask, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (reach, reach)))
    opening: F32 = eroded.astype(np.float32) / 255
    return opening


def _iris(points: F32, width: float) -> tuple[F32, float]:
    """Centre and radius of the iris, px; the radius is held to what anatomy allows."""
    centre = points[0]
    radius = float(np.linalg.norm(points[1:] - centre, axis=1).mean())
    return centre, float(np.clip(radius, _IRIS_RADIUS[0] * width, _IRIS_RADIUS[1] * width))


def _distance(shape: tuple[int, ...], centre: F32) -> F32:
    y, x = np.mgrid[: shape[0], : shape[1]].astype(np.float32)
    distance: F32 = np.hypot(x - centre[0], y - centre[1]).astype(np.float32)
    return distance


def _sclera(texture: F32, visible: F32, away: Mask) -> F32:
    """f32 [h,w,3]: the white, continued under the iris and the lids. `away`: where the iris is not."""
    known = visible * away
    if known.sum() < _LEAST_WHITE:  # a narrow eye shows no white: take its brightest pixels
        bright = texture.mean(2)
        inside = visible > 0.5
        limit = np.percentile(bright[inside], _BRIGHTEST) if inside.any() else 0.0
        known = (inside & (bright >= limit)).astype(np.float32)
    return push_pull(texture, known.astype(np.float32))


def _complete_iris(texture: F32, visible: F32, distance: F32, radius: float, disc: F32, sclera: F32) -> F32:
    """Premultiplied iris: exact where the photo shows it, its radial mean where a lid hides it."""
    seen = texture - (1 - disc[..., None]) * sclera
    rings = np.minimum((distance / radius * _RINGS).astype(int), _ALL_RINGS - 1)
    shown = visible > 0.9
    profile = np.zeros((_ALL_RINGS, 3), np.float32)
    for ring in range(_ALL_RINGS):
        here = shown & (rings == ring)
        enough = here.sum() >= _LEAST_RING
        profile[ring] = np.median(texture[here], axis=0) if enough else profile[max(ring - 1, 0)]
    hidden = cv2.GaussianBlur(profile[rings], (0, 0), max(0.8, radius / 14)) * disc[..., None]
    share = cv2.GaussianBlur(visible, (0, 0), 1.0)[..., None] * (visible[..., None] > 0)
    mixed: F32 = np.clip(share * seen + (1 - share) * hidden, 0, 255 * disc[..., None]).astype(np.float32)
    return mixed
