"""A picture in a circle on a plain ground, as avatars are: the corners are filled with what lies beside them.

Left as it is, the person would move before a circle that stays, or that moves with them.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import cv2
import numpy as np

from streamfx.frames import F32, U8, Mask
from streamfx.portrait.checks import Finding
from streamfx.portrait.fill import push_pull, to_u8
from streamfx.portrait.photo import Photo

_LOOK = 512  # px of the longer side at which a circle is looked for
_UNIFORM = 10  # grey levels by which the ground may differ from its colour
_CORNER = 0.02  # of the picture's side: in each corner so much is ground
_ROUND = 0.03  # by which width and height of a circle may differ
_LEAST = 0.5  # of the picture's shorter side: its diameter
_OUTSIDE, _INSIDE = 0.97, 0.35  # of a ring right outside that is ground at least, and right inside at most
_RING = 0.03  # of the radius: how wide these rings are, and how far from the edge
_SOFT = 0.012  # of the radius: the circle's own soft edge, cut off
_BAND, _FADED = 0.12, 0.25  # of the radius: what is mirrored at the edge, to and fro, and where it has faded


@dataclass(frozen=True, slots=True)
class _Circle:
    """In px."""

    x: float
    y: float
    radius: float

    def distance(self, shape: tuple[int, ...]) -> F32:
        """f32 [H,W]: of each pixel from the centre, in radii."""
        y, x = np.ogrid[: shape[0], : shape[1]]
        return np.asarray(np.hypot(x - self.x, y - self.y) / self.radius, np.float32)


def without_corners(photo: Photo) -> Photo:
    """The photo with the ground around its circle filled, if there is one, and with a finding."""
    factor = min(1.0, _LOOK / max(photo.size))
    small = cv2.resize(photo.rgb, None, fx=factor, fy=factor, interpolation=cv2.INTER_AREA)
    found = _circle(small)
    if found is None:
        return photo
    centre = (np.array([found.x, found.y]) + 0.5) / factor - 0.5
    circle = _Circle(float(centre[0]), float(centre[1]), found.radius / factor)
    low = np.maximum(np.floor(centre - circle.radius).astype(int), 0)
    high = np.ceil(centre + circle.radius).astype(int) + 1
    square = photo.rgb[low[1] : high[1], low[0] : high[0]]
    filled = _filled(square, _Circle(circle.x - float(low[0]), circle.y - float(low[1]), circle.radius))
    cause = f"the picture is a circle ({2 * circle.radius:.0f} px) on a plain ground: its corners were filled"
    told = Finding(cause, "Use the whole photo, from which the circle was cut")
    return replace(photo, rgb=filled, findings=(*photo.findings, told))


def _circle(rgb: U8) -> _Circle | None:
    """The circle in u8 [H,W,3], beyond which all is of one colour."""
    ground = _ground(rgb)
    if ground is None:
        return None
    rows, columns = np.flatnonzero(~ground.all(1)), np.flatnonzero(~ground.all(0))
    if not len(rows):
        return None
    height, width = rows[-1] + 1 - rows[0], columns[-1] + 1 - columns[0]
    if abs(height - width) > _ROUND * width or width < _LEAST * min(ground.shape):
        return None
    middle = (columns[0] + columns[-1]) / 2, (rows[0] + rows[-1]) / 2
    circle = _Circle(float(middle[0]), float(middle[1]), (height + width) / 4)
    distance = circle.distance(ground.shape)
    outside = distance > 1 + _RING
    ring = (distance < 1 - _RING) & (distance > 1 - 2 * _RING)
    if ground[outside].mean() < _OUTSIDE or ground[ring].mean() > _INSIDE:
        return None
    return circle


def _ground(rgb: U8) -> Mask | None:
    """bool [H,W]: what has the colour of all four corners; None where they differ."""
    side = max(2, round(_CORNER * min(rgb.shape[:2])))
    ends = (slice(None, side), slice(-side, None))
    corners = np.concatenate([rgb[rows, columns].reshape(-1, 3) for rows in ends for columns in ends])
    colour = np.median(corners, axis=0)
    if np.abs(corners - colour).max() > _UNIFORM:
        return None
    return np.asarray(np.abs(rgb.astype(np.float32) - colour).max(2) <= _UNIFORM, np.bool_)


def _filled(rgb: U8, circle: _Circle) -> U8:
    """u8 [H,W,3]: near the circle mirrored at its edge, farther away smooth."""
    height, width = rgb.shape[:2]
    distance = circle.distance(rgb.shape) / np.float32(1 - _SOFT)
    beyond = np.maximum(distance - 1, 0)
    turn = beyond % (2 * _BAND)
    back = (1 - np.minimum(turn, 2 * _BAND - turn)) / np.maximum(distance, 1)
    y, x = np.mgrid[:height, :width].astype(np.float32)
    mirrored = cv2.remap(
        rgb,
        np.where(beyond > 0, circle.x + (x - circle.x) * back, x).astype(np.float32),
        np.where(beyond > 0, circle.y + (y - circle.y) * back, y).astype(np.float32),
        cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_REPLICATE,
    )
    factor = min(1.0, _LOOK / max(width, height))
    small = cv2.resize(mirrored, None, fx=factor, fy=factor, interpolation=cv2.INTER_AREA).astype(np.float32)
    inside = cv2.resize((beyond <= 0).astype(np.float32), small.shape[1::-1], interpolation=cv2.INTER_AREA)
    smooth = cv2.resize(push_pull(small, (inside >= 1).astype(np.float32)), (width, height))
    fade = np.clip(1 - beyond / _FADED, 0, 1)[..., None]
    return to_u8(smooth + fade * (mirrored - smooth))
