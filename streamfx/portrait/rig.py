"""Solving a photo once: everything that later makes a frame cheap (algorithm.md#mesh)."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np

from streamfx.frames import F32, I32, U8, FaceTrack, Mask, MouthLayer, Rig
from streamfx.geometry import F64, Pose, fit_pose, vertex_weights
from streamfx.portrait.appearance import mouth_is_covered
from streamfx.portrait.deform import RELIEF, head_room, jaw_drop
from streamfx.portrait.eyes import eye_layer
from streamfx.portrait.framing import Placement, frame_portrait, framed
from streamfx.portrait.layers import Layers, person_alpha, split_layers
from streamfx.portrait.masks import polygon
from streamfx.portrait.mesh import Mesh, build_mesh
from streamfx.portrait.photo import Photo
from streamfx.portrait.skin import solve_skin, spread_lids, spread_lips
from streamfx.portrait.surroundings import area, backdrop, continued, cut_line, is_filled, is_plain
from streamfx.portrait.teeth.mouth import mouth_layer, without_mouth
from streamfx.portrait.teeth.opened import mean_gap, shown_opening, smile_score
from streamfx.portrait.teeth.reference import Reference
from streamfx.portrait.tones import is_grey
from streamfx.settings.framing import AS_IT_FITS, Framing
from streamfx.topology import FACE_OVAL, FACE_VERTICES

VERSION = 21
"""Raise it when a change here makes cached rigs stale."""

_SOFTNESS = 1.5  # px of the person's outline in a frame 480 px high
_EAR_DEPTH_MARGIN = 1.5  # cm beyond the oval's deepest point
_OPEN_MOUTH = 0.06  # cm of mean lip gap: the photo shows the inside of the mouth
_CURVED_LIPS, _SURE_SMILE = 0.4, 0.8  # scores
_DEPTH_SLOPE = 0.5  # cm of depth per cm of distance from the oval


@dataclass(frozen=True, slots=True)
class FaceGeometry:
    """The canonical face (models.FaceModel) and how far expressions move each vertex."""

    vertices: F32
    """f32 [468,3] cm"""
    triangles: I32
    """i32 [898,3]"""
    rms: F32
    """f32 [468] cm"""
    smile: F32
    """f32 [468,3] cm: the mean smile, at blendshape score 1."""
    smile_at_rest: float
    """Mean score of neutral photos."""

    @property
    def weights(self) -> F64:
        """f64 [468]: how much each vertex counts in a pose fit."""
        return vertex_weights(self.rms)

    def pose(self, landmarks: F32) -> Pose:
        """The head pose of landmarks f32 [478,3]."""
        return fit_pose(self.vertices, landmarks, self.weights)

    def shown_smile(self, face: FaceTrack) -> F32:
        """f32 [468,3] cm: the smile that a photo's face shows, by its blendshape scores.

        Lips that curve by nature score up to 0.5: only what is beyond them is sure to be a smile.
        """
        score = smile_score(face)
        sure = np.clip((score - _CURVED_LIPS) / (_SURE_SMILE - _CURVED_LIPS), 0, 1)
        amount = sure * sure * (3 - 2 * sure) * (score - self.smile_at_rest) / (1 - self.smile_at_rest)
        return np.asarray(amount * self.smile, np.float32)


def rig_digest(
    photo: str, size: tuple[int, int], references: Sequence[str] = (), framing: Framing = AS_IT_FITS
) -> str:
    """Name of the rig in the cache: changes with the photos' bytes, the frame, its framing and this code.

    Args:
        photo, references: the sha256 of their bytes.
        size: (width, height) px of the frame.
        framing: of the frame.
    """
    frame = f"{size[0]}x{size[1]} {framing.kind} {framing.zoom!r} {framing.x!r} {framing.y!r}"
    text = " ".join([photo, frame, f"rig{VERSION}", *references])
    return hashlib.sha256(text.encode()).hexdigest()


def solve_rig(
    photo: Photo,
    face: FaceTrack,
    person: F32,
    geometry: FaceGeometry,
    size: tuple[int, int],
    references: Sequence[Reference] = (),
    framing: Framing = AS_IT_FITS,
) -> Rig:
    """Solve everything about one photo.

    Args:
        photo: the upright photo.
        face: its face.
        person: f32 [H,W] 0..1: person mask of the photo.
        geometry: the canonical face.
        size: (width, height) px of the output frame, both even.
        references: other photos of the person.
        framing: how much of the photo the frame shows.

    Raises:
        RigUnsolvable: the mesh cannot be joined.
    """
    oval = face.landmarks[list(FACE_OVAL), :2]
    placement = frame_portrait(photo.size, oval, person, size, framing)
    landmarks, pad = placement.points(face.landmarks), placement.pad
    pose = geometry.pose(landmarks)
    shape = pose.to_canonical(landmarks).astype(np.float32)
    hidden = mouth_is_covered(photo.rgb, face.landmarks, geometry.pose(face.landmarks))
    opening = shown_opening(shape, face) * np.float32(not hidden)
    textures = _textures(photo.rgb, person, landmarks, placement)
    layers = textures.layers
    opened = mean_gap(shape) > _OPEN_MOUTH and not hidden
    whole, alone = _covers(layers, landmarks, pad) if opened else (layers.photo, layers.layer)
    mesh = build_mesh(landmarks[:FACE_VERTICES, :2], geometry.triangles, size, pad)
    skin = solve_skin(mesh, textures.person, landmarks, pad, textures.cut)
    return Rig(
        size=size,
        pad=pad,
        photo=whole,
        layer=alone,
        plate=np.ascontiguousarray(layers.plate[pad : pad + size[1], pad : pad + size[0]]),
        landmarks=landmarks,
        shape=shape,
        rotation=pose.rotation.astype(np.float32),
        translation=pose.translation.astype(np.float32),
        scale=float(pose.scale),
        vertices=mesh.vertices,
        triangles=mesh.triangles,
        visible=_visible(mesh, layers.layer[..., 3], pad),
        face_triangles=mesh.face_triangles,
        solid=_solid(mesh, shape, pose),
        head_weight=skin.head,
        body_weight=skin.body,
        stage=textures.stage,
        room=_room(landmarks, textures, pad),
        oval_weight=skin.oval,
        lip_spread=spread_lips(geometry.triangles),
        smile=geometry.shown_smile(face),
        opening=opening,
        lid_spread=spread_lids(geometry.triangles),
        eyes=(eye_layer(layers.photo, landmarks, pad, 0), eye_layer(layers.photo, landmarks, pad, 1)),
        mouth=_mouth(layers.photo, landmarks, shape, opening, pose, pad, references),
        mouth_hidden=hidden,
        grey=is_grey(photo.rgb),
        turned=photo.turned,
        digest=rig_digest(photo.sha256, size, [one.photo.sha256 for one in references], framing),
    )


def _covers(layers: Layers, landmarks: F32, pad: int) -> tuple[U8, U8]:
    """Photo and person without the inside of the open mouth, over which the lips are to close."""
    return without_mouth(layers.photo, landmarks, pad), without_mouth(layers.layer, landmarks, pad)


def _room(landmarks: F32, textures: _Textures, pad: int) -> F32:
    """How far the head may travel: f32 [4] px, by what the photo cuts off."""
    cut = np.argwhere(textures.cut)[:, ::-1].astype(np.float32) - pad
    return head_room(landmarks, textures.stage, cut)


def _mouth(
    texture: U8,
    landmarks: F32,
    shape: F32,
    opening: F32,
    pose: Pose,
    pad: int,
    references: Sequence[Reference],
) -> MouthLayer:
    """The mouth's layer; landmarks and pose are of the frame, which lies `pad` px inside the texture."""
    closed = shape[:FACE_VERTICES] - opening
    shift = np.array([pad, pad, 0], np.float32)
    moved = replace(pose, translation=pose.translation + shift)
    own = [one.teeth for one in references if one.teeth is not None]
    return mouth_layer(texture, landmarks + shift, closed, moved, own, jaw_drop(closed, opening))


@dataclass(frozen=True, slots=True)
class _Textures:
    """The photo at texture size."""

    layers: Layers
    person: F32
    """f32 [Hc,Wc] 0..1: the person's opacity, beyond the photo too."""
    cut: Mask
    """bool [Hc,Wc]: where borders of the photo cut the torso, which stays where it is there."""
    stage: I32
    """See frames.Rig."""


def _textures(photo: U8, person: F32, landmarks: F32, placement: Placement) -> _Textures:
    """Frame photo and mask, and take person and background apart; landmarks in px of the frame."""
    shape, pad, (width, height) = photo.shape[:2], placement.pad, placement.size
    known = (framed(np.ones(shape, np.float32), placement) > 0.5).astype(np.float32)
    face_area = _face_area(landmarks, known.shape, pad)
    mask = framed(person, placement, beyond=True)  # soft towards the background, not towards the photo's end
    opacity = person_alpha(mask, face_area, _SOFTNESS * height / 480) * known
    picture = framed(photo, placement)
    around, stage = None, np.array([0, 0, width, height], np.int32)
    if not (is_filled(known, pad) or is_plain(picture, known, opacity, placement)):
        around, stage = backdrop(photo, placement), area(known, pad)
    oval = landmarks[list(FACE_OVAL), :2]
    whole = continued(picture, opacity, known, oval + pad)
    frame = np.s_[pad : pad + height, pad : pad + width]
    layers = split_layers(picture, known, whole, around, frame, float(np.ptp(oval[:, 1])))
    cut = cut_line(opacity, known)
    chin = round(float(oval[:, 1].max())) + pad
    cut[: min(chin, int(np.flatnonzero(known.any(1))[-1]) - 1)] = False
    return _Textures(layers, whole.opacity, cut, stage)


def _face_area(landmarks: F32, shape: tuple[int, ...], pad: int) -> F32:
    """f32 [H,W] 0..1: the face oval at texture size, soft at its edge and a little inside."""
    hull = cv2.convexHull(landmarks[list(FACE_OVAL), :2] + pad)[:, 0]
    inner = cv2.erode(polygon(hull.astype(np.float32), shape), np.ones((3, 3), np.uint8))
    area: F32 = (cv2.GaussianBlur(inner, (0, 0), 1.0) / 255).astype(np.float32)
    return area


def _solid(mesh: Mesh, shape: F32, pose: Pose) -> F32:
    """f32 [V,3] cm: depth for every vertex, its relief scaled by RELIEF about the oval's mean depth."""
    oval = shape[list(FACE_OVAL)]
    exterior = mesh.vertices[FACE_VERTICES:]
    oval_px = mesh.vertices[list(FACE_OVAL)]
    distance = np.linalg.norm(exterior[:, None] - oval_px[None], axis=2)
    nearest = distance.argmin(1)
    depth = oval[nearest, 2] + _DEPTH_SLOPE * distance.min(1) / pose.scale
    depth = np.minimum(depth, oval[:, 2].max() + _EAR_DEPTH_MARGIN)
    solid = np.concatenate([shape[:FACE_VERTICES], _at_depth(exterior, depth, pose)])
    centre = oval[:, 2].mean()
    solid[:, 2] = centre + RELIEF * (solid[:, 2] - centre)
    return solid.astype(np.float32)


def _at_depth(points: F32, depth: F32, pose: Pose) -> F32:
    """Canonical points f32 [N,3] that project onto picture points [N,2] and have the canonical depth [N]."""
    a = pose.scale * pose.rotation[:2, :2]
    rest = points - pose.translation[:2] - depth[:, None] * (pose.scale * pose.rotation[:2, 2])
    flat = np.linalg.solve(a, rest.T).T
    return np.column_stack([flat, depth]).astype(np.float32)


def _visible(mesh: Mesh, alpha: U8, pad: int) -> I32:
    """Exterior triangles over any of the person, by the largest alpha in their bounding boxes."""
    corners = mesh.vertices[mesh.triangles[: len(mesh.triangles) - mesh.face_triangles]] + pad
    low = np.maximum(np.floor(corners.min(1)).astype(int), 0)
    high = np.ceil(corners.max(1)).astype(int) + 1
    hit = [
        i
        for i, ((x0, y0), (x1, y1)) in enumerate(zip(low, high, strict=True))
        if alpha[y0:y1, x0:x1].max(initial=0)
    ]
    return np.array(hit, np.int32)
