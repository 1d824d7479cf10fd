"""Whether a photo can be animated. Every finding names the figure measured (algorithm.md#checks)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from streamfx.errors import PhotoUnsuitable
from streamfx.frames import FaceTrack
from streamfx.geometry import Pose, yaw_pitch_roll
from streamfx.topology import FACE_OVAL

_SMALLEST, _SMALL = 80, 120  # px of face height: refused below, warned below
_TURNED, _TURNED_TOO_FAR = 20.0, 38.0  # degrees of yaw or pitch
_CUT_OFF = 0.12  # of the face's height that may lie beyond the photo's edge
_LEAST_SIDE = 64  # px of a photo's shorter side: no face that is large enough fits into less
_ENLARGED = 2.0  # frame px per photo px, from which on it is told
_SECOND_FACE = 0.6  # of the first one's height: from here on the photo has no clear subject


@dataclass(frozen=True, slots=True)
class Finding:
    """Something about the photo that will show in the result."""

    cause: str
    remedy: str

    def __str__(self) -> str:
        return f"{self.cause}. {self.remedy}."


def check_size(size: tuple[int, int], name: str) -> None:
    """Raises PhotoUnsuitable for a photo (width, height) in which no face has room."""
    if min(size) < _LEAST_SIDE:
        width, height = size
        raise PhotoUnsuitable(
            f"{name} has only {width} x {height} pixels, and a face needs {_SMALLEST} in height alone",
            "Use a larger photo",
        )


def choose_face(faces: Sequence[FaceTrack], name: str) -> FaceTrack:
    """The photo's one face.

    Raises:
        PhotoUnsuitable: no face, or two of similar size.
    """
    if not faces:
        raise PhotoUnsuitable(
            f"No face was found in {name}", "Use a photo with one face turned to the camera"
        )
    by_height = sorted(faces, key=face_height, reverse=True)
    if len(by_height) > 1:
        first, second = face_height(by_height[0]), face_height(by_height[1])
        if second > _SECOND_FACE * first:
            raise PhotoUnsuitable(
                f"{name} shows {len(faces)} faces of similar size ({first:.0f} and {second:.0f} px tall)",
                "Crop the photo to one person",
            )
    return by_height[0]


def bystanders(faces: Sequence[FaceTrack]) -> list[Finding]:
    """What is to be said of faces beside the chosen one."""
    if len(faces) < 2:
        return []
    cause = f"{len(faces)} faces were found; the largest is animated"
    return [Finding(cause, "Crop the photo if another is meant")]


def face_height(face: FaceTrack) -> float:
    """px of the face oval's height."""
    oval = face.landmarks[list(FACE_OVAL)]
    return float(oval[:, 1].max() - oval[:, 1].min())


def check_face(face: FaceTrack, pose: Pose, size: tuple[int, int], name: str) -> list[Finding]:
    """Findings about a face in a photo of `size` (width, height) px.

    Raises:
        PhotoUnsuitable: too small, turned too far, or cut off at the photo's edge.
    """
    findings: list[Finding] = []
    height = face_height(face)
    better = "Use a closer or larger photo"
    if height < _SMALLEST:
        raise PhotoUnsuitable(
            f"The face in {name} is {height:.0f} px tall, at least {_SMALLEST} are needed", better
        )
    if height < _SMALL:
        findings.append(Finding(f"the face is only {height:.0f} px tall and will look soft", better))
    findings += _turned(pose, name)
    findings += _cropped(face, size, height, name)
    return findings


def check_enlargement(scale: float, size: tuple[int, int]) -> list[Finding]:
    """Findings about a photo of which each px becomes `scale` px of a frame of `size` (width, height)."""
    if scale <= _ENLARGED:
        return []
    width, height = size
    cause = f"the photo is enlarged {scale:.1f} times for {width}x{height} and will look soft"
    return [Finding(cause, "Use a larger photo, or a smaller size")]


def _turned(pose: Pose, name: str) -> list[Finding]:
    yaw, pitch, _ = yaw_pitch_roll(pose.rotation)
    findings = []
    for axis, angle in (("sideways", yaw), ("up or down", pitch)):
        what = f"{abs(angle):.0f} degrees {axis}"
        if abs(angle) > _TURNED_TOO_FAR:
            raise PhotoUnsuitable(
                f"The face in {name} is turned {what}, at most {_TURNED:.0f} animate well",
                "Use a photo that looks at the camera",
            )
        if abs(angle) > _TURNED:
            findings.append(
                Finding(
                    f"the face is turned {what}: its far side will smear", "A frontal photo animates better"
                )
            )
    return findings


def _cropped(face: FaceTrack, size: tuple[int, int], height: float, name: str) -> list[Finding]:
    oval = face.landmarks[list(FACE_OVAL), :2]
    outside = float(np.max([-oval.min(0), oval.max(0) - (np.array(size) - 1)]))
    if outside > _CUT_OFF * height:
        raise PhotoUnsuitable(
            f"The face in {name} is cut off at the photo's edge ({outside:.0f} px are missing)",
            "Use a photo that shows the whole head",
        )
    if outside > 0:
        return [
            Finding(
                "chin, forehead or a cheek touches the photo's edge", "A photo with some room works better"
            )
        ]
    return []
