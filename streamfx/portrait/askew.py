"""A photo of a photo that lies askew: its four straight edges around the face, turned against the frame."""

from __future__ import annotations

from typing import Final

import cv2
import numpy as np

from streamfx.frames import F32, U8, FaceTrack
from streamfx.portrait.checks import Finding
from streamfx.topology import FACE_OVAL

_LOOK: Final = 512  # px of the longer side at which edges are looked for
_LEAST, _MOST = 2.0, 40.0  # degrees of turning
_SQUARE = 12.0  # degrees by which corners may differ from right angles: prints are seen at a slant
_AREA = (0.12, 0.95)  # of the photo
_STRAIGHT = 0.02  # of its length: by which an edge may bend
_CLOSED = 5  # px: gaps in edges that are bridged
_CANNY = ((20, 60), (50, 150))  # grey levels per px, for faint edges and for strong ones


def check_print(photo: U8, face: FaceTrack) -> list[Finding]:
    """Says of a photo u8 [H,W,3] whose face lies in a print how far that is turned."""
    angle = _turned(photo, face.landmarks[list(FACE_OVAL), :2])
    if angle is None:
        return []
    cause = f"the face is in a print that lies askew (by {abs(angle):.0f} degrees), and its edges will show"
    return [Finding(cause, "Straighten the photo, and crop it to the print")]


def _turned(photo: U8, oval: F32) -> float | None:
    """Degrees by which a rectangle around the face is turned; None without one."""
    factor = min(1.0, _LOOK / max(photo.shape[:2]))
    small = cv2.resize(photo, None, fx=factor, fy=factor, interpolation=cv2.INTER_AREA)
    grey = cv2.GaussianBlur(cv2.cvtColor(small, cv2.COLOR_RGB2GRAY), (5, 5), 0)
    for low, high in _CANNY:
        edges = cv2.morphologyEx(cv2.Canny(grey, low, high), cv2.MORPH_CLOSE, np.ones((_CLOSED, _CLOSED)))
        contours, _ = cv2.findContours(edges, cv2.RETR_LIST, cv2.CHAIN_APPROX_NONE)
        for contour in contours:
            angle = _angle(contour, oval * np.float32(factor), grey.size)
            if angle is not None:
                return angle
    return None


def _angle(contour: np.ndarray, oval: F32, whole: int) -> float | None:
    hull = cv2.convexHull(contour)
    area = cv2.contourArea(hull)
    if not _AREA[0] * whole <= area <= _AREA[1] * whole:
        return None
    corners = cv2.approxPolyDP(hull, _STRAIGHT * cv2.arcLength(hull, closed=True), closed=True)[:, 0]
    if len(corners) != 4 or cv2.contourArea(corners) < 0.95 * area:
        return None
    if any(
        cv2.pointPolygonTest(corners.astype(np.float32), (float(x), float(y)), False) < 0 for x, y in oval
    ):
        return None
    sides = np.roll(corners, -1, axis=0) - corners
    turned = np.degrees(np.arctan2(sides[:, 1], sides[:, 0])) % 90
    turned = np.where(turned > 45, turned - 90, turned)
    if np.ptp(turned) > _SQUARE:
        return None
    angle = float(turned.mean())
    return angle if _LEAST <= abs(angle) <= _MOST and (np.abs(turned) >= _LEAST / 2).all() else None
