"""Reference photos: other pictures of the portrait's person, whose smile lends the mouth its own teeth.

The portrait's own shape is the model that a reference's head pose is fitted with: it is the same skull, so
both photos agree on where the teeth are. That it is the same person is for the user to see to.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from streamfx.frames import F32, U8, FaceTrack
from streamfx.geometry import Pose, Real, fit_pose, yaw_pitch_roll
from streamfx.portrait.checks import Finding, face_height
from streamfx.portrait.deform import jaw_drop
from streamfx.portrait.photo import Photo
from streamfx.portrait.teeth.flat_mouth import TeethPlane, lay_flat
from streamfx.portrait.teeth.mouth import mouth_centre
from streamfx.portrait.teeth.opened import shown_opening
from streamfx.portrait.teeth.own import OwnTeeth, find_teeth
from streamfx.portrait.tones import Tones, carried, tones_of
from streamfx.topology import FACE_VERTICES

_TURNED = 25.0  # degrees from which the teeth on the far side are hidden
_SMALL = 150  # px of face height: less shows teeth softly
_NO_TEETH = "A photo of a smile with the teeth in plain sight helps"


@dataclass(frozen=True, slots=True)
class Reference:
    """Another photo of the person."""

    photo: Photo
    teeth: OwnTeeth | None
    """In the portrait's light; None where it shows none."""
    findings: tuple[Finding, ...]
    """What about the photo makes it less useful."""


@dataclass(frozen=True, slots=True)
class Sitter:
    """The person as the portrait photo shows them: what references are brought into agreement with."""

    shape: F32 = field(repr=False)
    """f32 [468,3] cm, canonical: with the mouth closed."""
    plane: TeethPlane
    tones: Tones
    weights: Real = field(repr=False)
    """[468]: how much each vertex counts in a pose fit."""

    @staticmethod
    def of(rgb: U8, face: FaceTrack, pose: Pose, weights: Real) -> Sitter:
        """The sitter of a photo u8 [H,W,3], whose head has that pose in it."""
        shape = pose.to_canonical(face.landmarks).astype("f4")[:FACE_VERTICES]
        shape -= shown_opening(shape, face)
        plane = TeethPlane(mouth_centre(shape), pose.rotation)
        return Sitter(shape, plane, tones_of(rgb, face.landmarks, pose.scale), weights)

    def reference(self, photo: Photo, face: FaceTrack) -> Reference:
        """What another photo of the same person, in which `face` was found, tells of the teeth."""
        pose = fit_pose(self.shape, face.landmarks, self.weights)
        drop = jaw_drop(self.shape, pose.to_canonical(face.landmarks)[:FACE_VERTICES] - self.shape)
        tones = tones_of(photo.rgb, face.landmarks, pose.scale)
        teeth = find_teeth(lay_flat(photo.rgb, face.landmarks, pose, self.plane, drop), tones)
        findings = tuple(_findings(photo.name, face, pose, teeth))
        return Reference(photo, None if teeth is None else self._lit(teeth, tones), findings)

    def _lit(self, teeth: OwnTeeth, tones: Tones) -> OwnTeeth:
        """Teeth of another photo in this one's light."""
        upper, lower = teeth.upper.copy(), teeth.lower.copy()
        for layer in (upper, lower):
            layer[..., :3] = carried(layer[..., :3], tones, self.tones).clip(0, layer[..., 3:])
        return replace(teeth, upper=upper, lower=lower)


def _findings(name: str, face: FaceTrack, pose: Pose, teeth: OwnTeeth | None) -> list[Finding]:
    findings = []
    yaw, pitch, _ = yaw_pitch_roll(pose.rotation)
    for axis, angle in (("sideways", yaw), ("up or down", pitch)):
        if abs(angle) > _TURNED:
            cause = f"the face in the reference {name} is turned {abs(angle):.0f} degrees {axis}"
            findings.append(
                Finding(f"{cause}: teeth on its far side are hidden", "A frontal smile shows more")
            )
    if face_height(face) < _SMALL:
        cause = f"the face in the reference {name} is only {face_height(face):.0f} px tall"
        findings.append(Finding(f"{cause}: its teeth are soft", "Use a closer or larger photo"))
    if teeth is None:
        findings.append(Finding(f"the reference {name} shows no teeth: it changes nothing", _NO_TEETH))
    return findings
