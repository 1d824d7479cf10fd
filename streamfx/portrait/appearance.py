"""What a photo shows of its face, measured: light, sharpness, eyes, mouth. Findings name the figure.

The limits were set on 853 photos of the training and test sets and on 78 of them made worse: six of them are
backlit, four have shut eyes, none is blurred, none has sunglasses or a covered mouth.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

import cv2
import numpy as np

from streamfx.errors import PhotoUnsuitable
from streamfx.frames import F32, U8, FaceTrack, Mask
from streamfx.geometry import Pose, Real
from streamfx.portrait.checks import Finding
from streamfx.portrait.masks import grown, polygon
from streamfx.portrait.teeth.opened import mean_gap, smile_score
from streamfx.portrait.tones import colourfulness, is_grey
from streamfx.topology import EYE_CORNERS, EYES, FACE_OVAL, LID_LOWER, LID_UPPER

_SIDE, _ACROSS_CM, _DOWN = 192, 20.0, 0.45  # px and cm of the crop's side; where the head's middle lies in it
_SHARP_PX = 256  # px of face height at which sharpness is measured
_SPAN = 9  # px of the blur that sharpness is measured with

_DARK, _BRIGHTEST = (
    70,
    90,
)  # grey level of the face's brightest tenth; percentile (853 photos: 99 % from 85 on)
_UNSHARP = 0.35  # 853 photos: .36 and more; blurred by 1.5 % of the face's height, or moved by 5 %: up to .34
_SHUT = 0.11  # opening over width of both eyes; 853 photos: all but four open ones from .117 on
_WINK = 0.05
_LENS_LIGHT, _LENS_RANGE = (
    0.36,
    0.35,
)  # around the eyes against the skin; sunglasses .27 and .17, eyes .44, .27
_WIDE_CM = 1.2  # of mean lip gap
_WIDEST_CM = (
    2.0  # of 39 mouths up to 1.8 all but two (grimaces) closed without a smear, of five from 2.1 on none
)
_LAUGH = 0.6  # smile score
_LIPS_SHUT_CM = 0.2  # covered mouths are found with closed lips
_HIDDEN: Final = ((0.09, 13.0), (0.16, 6.0))
"""Darkness of the line between lips, and difference of lips from skin in Lab, below which both are hidden.

The second pair are fingers, between which lines are, too."""
_HIDDEN_BLURRED: Final = ((0.09, 3.0),)
"""The same of a blurred face, whose lips have lost their line."""
_ORBITS = (
    (46, 53, 52, 65, 55, 193, 245, 128, 121, 120, 119, 118, 117, 111, 35),
    (276, 283, 282, 295, 285, 417, 465, 357, 350, 349, 348, 347, 346, 340, 265),
)  # fmt: skip
_PLAIN_SKIN = (50, 280, 151, 9, 107, 336)
_OUTER_LIPS: Final = (
    61, 185, 40, 39, 37, 0, 267, 269, 270, 409, 291, 375, 321, 405, 314, 17, 84, 181, 91, 146,
)  # fmt: skip


def check_appearance(photo: U8, face: FaceTrack, pose: Pose, name: str) -> list[Finding]:
    """Findings about what of the face is to be seen.

    Args:
        photo: u8 [H,W,3].
        face: its face.
        pose: of the head.
        name: the photo's.

    Raises:
        PhotoUnsuitable: the mouth is open too wide to be closed.
    """
    shape = pose.to_canonical(face.landmarks).astype(np.float32)
    crop = _Crop.of(photo, face.landmarks, pose)
    covered = crop.hides_the_mouth(shape)
    findings = [*_light(crop), *_blur(crop), *_eyes(crop, shape)]
    if covered:
        cause = (
            "the mouth is covered (by a mask, a hand or a thing): it will not open, and no teeth are drawn"
        )
        findings.append(Finding(cause, "Use a photo that shows the mouth"))
    else:
        findings += _mouth(shape, face, name)
    if is_grey(photo):
        cause = (
            f"the photo is grey (colours differ by {colourfulness(photo):.0f} of 255): so will the mouth be"
        )
        findings.append(Finding(cause, "Use a photo in colour, if grey is not meant"))
    return findings


def mouth_is_covered(photo: U8, landmarks: F32, pose: Pose) -> bool:
    """Whether something hides the mouth of a face f32 [478,3] px in a photo u8 [H,W,3]."""
    shape = pose.to_canonical(landmarks).astype(np.float32)
    return _Crop.of(photo, landmarks, pose).hides_the_mouth(shape)


@dataclass(frozen=True, slots=True)
class _Crop:
    """The face upright, at a fixed scale."""

    grey: F32 = field(repr=False)
    """f32 [192,192] 0..255"""
    lab: F32 = field(repr=False)
    """f32 [192,192,3], as OpenCV stores it in 8 bits."""
    points: F32 = field(repr=False)
    """f32 [478,2] px of it."""
    sharpness: float
    """0..1, of the photo's face."""

    @staticmethod
    def of(photo: U8, landmarks: F32, pose: Pose) -> _Crop:
        axis = pose.rotation[:2, 0] / np.linalg.norm(pose.rotation[:2, 0])
        scale = _SIDE / (_ACROSS_CM * pose.scale)
        turn = scale * np.array([[axis[0], axis[1]], [-axis[1], axis[0]]])
        place = np.column_stack([turn, np.array([_SIDE / 2, _SIDE * _DOWN]) - turn @ pose.translation[:2]])
        low, high = _around(landmarks, photo.shape, 0.6)
        near = photo[low[1] : high[1], low[0] : high[0]]
        if scale < 0.8:  # bilinear sampling would alias
            near = cv2.GaussianBlur(near, (0, 0), 0.45 / scale)
        place[:, 2] += turn @ low
        cut = cv2.warpAffine(near, place, (_SIDE, _SIDE), borderMode=cv2.BORDER_REPLICATE)
        points = (landmarks[:, :2] - low) @ turn.T + place[:, 2]
        lab = cv2.cvtColor(cut, cv2.COLOR_RGB2LAB).astype(np.float32)
        grey = cv2.cvtColor(cut, cv2.COLOR_RGB2GRAY).astype(np.float32)
        return _Crop(grey, lab, points.astype(np.float32), _sharpness(photo, landmarks))

    def area(self, outline: tuple[int, ...]) -> Mask:
        """bool [192,192]: the hull of some points."""
        hull = cv2.convexHull(np.ascontiguousarray(self.points[list(outline)]))[:, 0]
        return np.asarray(polygon(hull, self.grey.shape) > 127, np.bool_)

    def face(self) -> Mask:
        """bool [192,192]: the face, a little inside its outline."""
        inner = cv2.erode(self.area(FACE_OVAL).astype(np.uint8), np.ones((9, 9), np.uint8))
        return np.asarray(inner > 0, np.bool_)

    def skin_light(self) -> float:
        """Grey level of the skin of cheeks and forehead."""
        x, y = np.clip(np.rint(self.points[list(_PLAIN_SKIN)]).astype(int), 3, _SIDE - 4).T
        patches = [self.lab[b - 3 : b + 4, a - 3 : a + 4, 0].ravel() for a, b in zip(x, y, strict=True)]
        return max(float(np.median(np.concatenate(patches))), 1.0)

    def hides_the_mouth(self, shape: F32) -> bool:
        """Whether neither lips nor the line between them are where the landmarks guess them."""
        if mean_gap(shape) > _LIPS_SHUT_CM:
            return False
        line, contrast = self._line(), self._lip_contrast()
        limits = _HIDDEN if self.sharpness >= _UNSHARP else _HIDDEN_BLURRED
        return any(line < darkest and contrast < most for darkest, most in limits)

    def _line(self) -> float:
        """How much darker the line between the lips is than what is above and below it, 0..1."""
        row = int(np.clip(round(float(self.points[[13, 14], 1].mean())), 8, _SIDE - 9))
        left, right = self.points[61, 0], self.points[291, 0]
        columns = np.rint(np.linspace(0.8 * left + 0.2 * right, 0.2 * left + 0.8 * right, 24)).astype(int)
        profile = self.grey[row - 8 : row + 9, np.clip(columns, 0, _SIDE - 1)].mean(1)
        usual = float(np.median(profile))
        return (usual - float(profile[5:12].min())) / max(usual, 1.0)

    def _lip_contrast(self) -> float:
        """Distance of the lips' mean colour from that of the skin around them."""
        lips = self.area(_OUTER_LIPS)
        mask = lips.astype(np.float32)
        around = grown(mask, 0.5, 7.5) & ~grown(mask, 0.5, 2.5) & self.area(FACE_OVAL)
        if not lips.any() or not around.any():
            return float("inf")
        return float(np.linalg.norm(self.lab[lips].mean(0) - self.lab[around].mean(0)))


def _around(landmarks: F32, shape: tuple[int, ...], margin: float) -> tuple[Real, Real]:
    """(x, y) of the corners of a box about the face, inside the picture."""
    low, high = landmarks[:, :2].min(0), landmarks[:, :2].max(0)
    reach = margin * float((high - low).max())
    limit = np.array([shape[1], shape[0]])
    corner = np.clip(np.floor(low - reach).astype(int), 0, limit - 1)
    return corner, np.clip(np.ceil(high + reach).astype(int), corner + 1, limit)


def _light(crop: _Crop) -> list[Finding]:
    brightest = float(np.percentile(crop.grey[crop.face()], _BRIGHTEST))
    if brightest >= _DARK:
        return []
    cause = f"the face is too dark: its brightest tenth reaches {brightest:.0f} of 255, and so it will show"
    return [Finding(cause, "Use a photo with light on the face, or brighten it first")]


def _blur(crop: _Crop) -> list[Finding]:
    sharp = crop.sharpness
    if sharp >= _UNSHARP:
        return []
    cause = f"the face is blurred (sharpness {sharp:.2f}, {_UNSHARP} and more look sharp) and will stay so"
    return [Finding(cause, "Use a sharper photo")]


def _sharpness(photo: U8, landmarks: F32) -> float:
    """0..1: by how much detail a blur takes away (Crete et al., "The blur effect", 2007).

    Of four directions the least counts: a hand that shook blurs along one.
    """
    low, high = _around(landmarks[list(FACE_OVAL)], photo.shape, 0.0)
    face = cv2.cvtColor(photo[low[1] : high[1], low[0] : high[0]], cv2.COLOR_RGB2GRAY)
    factor = min(1.0, _SHARP_PX / face.shape[0])
    width, height = (max(_SPAN, round(side * factor)) for side in face.shape[::-1])
    grey = cv2.resize(face, (width, height), interpolation=cv2.INTER_AREA).astype(np.float32)
    diagonal = cv2.getRotationMatrix2D((width / 2, height / 2), 45, 1.0)
    askew = cv2.warpAffine(grey, diagonal, (width, height), flags=cv2.INTER_CUBIC)
    inner = askew[height // 5 : -height // 5, width // 5 : -width // 5]
    return min(_lost_detail(image, axis) for image in (grey, inner) for axis in (0, 1))


def _lost_detail(grey: F32, axis: int) -> float:
    """0..1: share of the differences between neighbours that a blur along an axis takes away."""
    blurred = cv2.blur(grey, (1, _SPAN) if axis == 0 else (_SPAN, 1))
    before, after = (np.abs(np.diff(image, axis=axis)) for image in (grey, blurred))
    return float(np.maximum(before - after, 0).sum() / max(float(before.sum()), 1e-6))


def _eyes(crop: _Crop, shape: F32) -> list[Finding]:
    lens = _sunglasses(crop)
    if lens is not None:
        cause = (
            f"sunglasses hide the eyes (there is {_percent(lens)} of the skin's light): no blink will show"
        )
        return [Finding(cause, "Use a photo without sunglasses")]
    openings = [_opening(shape, eye) for eye in (0, 1)]
    widest, narrowest = max(openings), min(openings)
    if widest < _SHUT:
        cause = f"the eyes are shut (open by {_percent(widest)} of their width; 25 % is usual) and stay so"
        return [Finding(cause, "Use a photo with open eyes")]
    if narrowest < _WINK:
        cause = f"one eye is shut (open by {_percent(narrowest)} of its width; 25 % is usual) and stays so"
        return [Finding(cause, "Use a photo with open eyes")]
    return []


def _sunglasses(crop: _Crop) -> float | None:
    """The light around the eyes over that of the skin, if it is that of dark glasses."""
    skin, face = crop.skin_light(), max(float(np.median(crop.grey[crop.face()])), 1.0)
    lens = max(float(np.median(crop.grey[crop.area(orbit)])) for orbit in _ORBITS) / skin
    spread = 0.0
    for outline in EYES:
        eye = grown(crop.area(outline).astype(np.float32), 0.5, 1.5)
        spread = max(spread, float(np.ptp(np.percentile(crop.grey[eye], (5, 95)))) / face)
    return lens if lens < _LENS_LIGHT and spread < _LENS_RANGE else None


def _opening(shape: F32, eye: int) -> float:
    """Lid gap over eye width, by the five middle lid pairs."""
    upper, lower = list(LID_UPPER[eye][1:6]), list(LID_LOWER[eye][1:6])
    outer, inner = EYE_CORNERS[eye]
    width = float(np.linalg.norm(shape[outer, :2] - shape[inner, :2]))
    return float(np.mean(shape[lower, 1] - shape[upper, 1])) / max(width, 1e-6)


def _percent(share: float) -> str:
    return f"{100 * max(share, 0.0):.0f} %"


def _mouth(shape: F32, face: FaceTrack, name: str) -> list[Finding]:
    gap, smile = mean_gap(shape), smile_score(face)
    better = "Use a photo with the mouth closed"
    if gap > _WIDEST_CM:
        raise PhotoUnsuitable(
            f"The mouth in {name} is open by {gap:.1f} cm, and can be closed from up to {_WIDEST_CM}", better
        )
    if gap <= _WIDE_CM:
        return []
    if smile > _LAUGH:
        return [Finding(f"the photo laughs (lips {gap:.1f} cm apart): at rest it will go on smiling", better)]
    return [Finding(f"the mouth is wide open ({gap:.1f} cm): closed, it will look a little drawn", better)]
