"""Faces to learn refining from: what the warp makes of one picture, beside another that shows the truth.

Every row comes out of the product's own code: portrait, motion, deformation and the renderer's `rectify`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Final

import cv2
import numpy as np

from streamfx.frames import F32, U8, Deformation, FaceTrack, Motion
from streamfx.geometry import Real
from streamfx.lab.training.crops import I8, quantised, quantised_light
from streamfx.lab.training.people import Listed, Seen, Sitter, Studio, sitters
from streamfx.models.face_basis import FaceBasis
from streamfx.portrait.deform import deform
from streamfx.render.base import Rectified
from streamfx.render.cpu import CpuRenderer
from streamfx.render.kernels import rasterise
from streamfx.render.rectify import CROP, displacement_map, face_affine, move
from streamfx.topology import EYES, FACE_VERTICES, INNER_MOUTH


class Tier(StrEnum):
    """How a row was made."""

    MATCHED = "matched"
    """Rest to expression of one person, vertices where the true picture has them."""
    SHOWN = "shown"
    """The same as the product would show it: clamped, relief scaled, a little beside the truth."""
    BACK = "back"
    """Expression to rest."""
    SAME = "same"
    """A picture to itself."""
    CYCLE = "cycle"
    """A picture moved by a random expression of the basis and back."""
    RATIO = "ratio"
    """Another person's wrinkles on this one's smile (expression ratio image)."""


_CYCLES: Final = 2
_RATIOS: Final = 2
_EXPRESSIVE: Final = 0.8
"""Of the basis' standard deviations: strength of random expressions."""
_FLOOR: Final = 4.0
"""Grey levels added before ratios are taken."""
_FINE, _BROAD = 1.5, 24.0
"""px: ratios are smoothed by the one and freed of light by the other."""
_LEAST_RATIO, _MOST_RATIO = 0.55, 1.6


@dataclass(frozen=True, slots=True)
class Row:
    """One face to learn from; fields as in FaceCrops."""

    photo: U8 = field(repr=False)
    warped: U8 = field(repr=False)
    truth: U8 = field(repr=False)
    mask: U8 = field(repr=False)
    face: U8 = field(repr=False)
    moved: I8 = field(repr=False)
    light: I8 = field(repr=False)
    follows: bool
    sharp: bool
    tier: Tier
    subject: str
    split: str


@dataclass(frozen=True, slots=True)
class Wrinkles:
    """How one person's smile changes the light on the skin, to be laid on others."""

    motion: Motion = field(repr=False)
    log_ratio: F32 = field(repr=False)
    """f32 [256,256]: of luma, without the broad light."""
    vertices: F32 = field(repr=False)
    """f32 [468,2] px of the crop."""


def build_faces(listed: Sequence[Listed], studio: Studio, seed: int = 0) -> Iterator[Row]:
    """All rows of an index, person by person; wrinkles pass from each to those that follow.

    Raises:
        PhotoUnreadable: a picture of the index is missing or damaged.
    """
    random = np.random.default_rng(seed)
    wrinkles: list[Wrinkles] = []
    for rest, seen in sitters(listed, studio):
        yield from _Lessons(studio, rest, seen, random).rows(wrinkles)


class _Lessons:
    """All rows of one person."""

    def __init__(self, studio: Studio, rest: Seen, seen: Sequence[Seen], random: np.random.Generator) -> None:
        self._studio, self._random = studio, random
        self._rest, self._others = rest, [one for one in seen if one is not rest]
        self._sitter = studio.portrait(rest)
        self._stage = _Stage(self._sitter, studio.basis)

    def rows(self, wrinkles: list[Wrinkles]) -> Iterator[Row]:
        """What is seen of the person; then what is made up. Adds the person's own wrinkles to the list."""
        if self._rest.listed.video:
            yield from self._video()
            return
        borrowed = self._pick(wrinkles)
        yield self._stage.row(self._rest, self._sitter.matched(self._rest.face), Tier.SAME)
        for other in self._others:
            yield from self._pair(other)
        if self._rest.listed.split == "train":
            wrinkles += [self._wrinkles(other) for other in self._others]
            yield from (self._stage.cycle(self._expression()) for _ in range(_CYCLES))
            yield from (self._stage.ratio(one) for one in borrowed)

    def _video(self) -> Iterator[Row]:
        """Every picture of a video but the one at rest, in order."""
        for index, other in enumerate(self._others):
            row = self._stage.row(other, self._sitter.matched(other.face), Tier.MATCHED)
            yield replace(row, follows=index > 0)

    def _pair(self, other: Seen) -> Iterator[Row]:
        """Rest and one expression, in both directions."""
        yield self._stage.row(other, self._sitter.matched(other.face), Tier.MATCHED)
        yield self._stage.row(other, self._sitter.moved(other.face), Tier.SHOWN)
        expressive = self._studio.portrait(other)
        stage = _Stage(expressive, self._studio.basis)
        yield stage.row(self._rest, expressive.matched(self._rest.face), Tier.BACK)
        yield stage.row(other, expressive.matched(other.face), Tier.SAME)

    def _pick(self, wrinkles: Sequence[Wrinkles]) -> list[Wrinkles]:
        chosen = self._random.permutation(len(wrinkles))[:_RATIOS]
        return [wrinkles[i] for i in chosen]

    def _wrinkles(self, other: Seen) -> Wrinkles:
        return self._stage.wrinkles(other.face, self._sitter.framed(other.rgb))

    def _expression(self) -> F32:
        """f32 [468,3] cm: a random expression of the basis."""
        basis = self._studio.basis
        return basis.expand(
            (_EXPRESSIVE * basis.std * self._random.standard_normal(len(basis.std))).astype("f4")
        )


class _Stage:
    """One portrait with its renderer."""

    def __init__(self, sitter: Sitter, basis: FaceBasis) -> None:
        self._sitter, self._basis = sitter, basis
        self._renderer = CpuRenderer(sitter.rig)
        pad, (width, height) = sitter.rig.pad, sitter.rig.size
        self._photo: U8 = sitter.rig.photo[pad : pad + height, pad : pad + width]

    def row(self, other: Seen, deformation: Deformation, tier: Tier) -> Row:
        """The portrait as `other`, whose picture is the truth."""
        seen = self._renderer.rectify(deformation)
        truth = _crop(self._sitter.framed(other.rgb), seen.from_frame)
        return self._made(seen, deformation, truth, tier, other.listed.split)

    def cycle(self, expression: F32) -> Row:
        """There by the renderer, back by the mesh: what warps destroy, beside what was there."""
        there = deform(self._sitter.rig, replace(_still(self._sitter), expression=expression))
        home = deform(self._sitter.rig, _still(self._sitter))
        shown, rest = self._renderer.rectify(there), self._renderer.rectify(home)
        affine = rest.from_frame
        source = np.zeros((CROP, CROP, 2), np.float32)
        faces = self._sitter.rig.triangles[-self._sitter.rig.face_triangles :]
        rasterise(_face(home, affine), _face(there, shown.from_frame), faces, source)
        back = cv2.remap(_u8(shown.rgb), source, None, cv2.INTER_LINEAR)
        opening = cv2.remap(shown.inner_mouth, source, None, cv2.INTER_LINEAR)
        hidden = np.maximum(rest.inner_mouth, opening)
        warped = np.where(rest.face[..., None] > 0, back * (1 - hidden)[..., None], _u8(rest.rgb))
        undone = replace(home, expression=(home.expression - there.expression).astype(np.float32))
        moved = displacement_map(undone, affine, self._basis.sigma, faces)
        bare = (warped / 255).astype(np.float32)
        seen = Rectified(bare, hidden, rest.eyes, rest.face, moved, rest.light, affine)
        return self._made(seen, home, _crop(self._photo, affine), Tier.CYCLE, "train")

    def ratio(self, wrinkles: Wrinkles) -> Row:
        """The portrait with another's smile, and that smile's light on its skin as the truth."""
        deformation = deform(self._sitter.rig, wrinkles.motion)
        seen = self._renderer.rectify(deformation)
        source = np.full((CROP, CROP, 2), -1.0, np.float32)
        faces = self._sitter.rig.triangles[-self._sitter.rig.face_triangles :]
        rasterise(_face(deformation, seen.from_frame), wrinkles.vertices, faces, source)
        log_ratio = cv2.remap(wrinkles.log_ratio, source, None, cv2.INTER_LINEAR)
        lit = np.clip(np.exp(log_ratio), _LEAST_RATIO, _MOST_RATIO)[..., None]
        truth = (np.clip((255 * seen.rgb + _FLOOR) * lit - _FLOOR, 0, 255) + 0.5).astype(np.uint8)
        return self._made(seen, deformation, truth, Tier.RATIO, "train")

    def wrinkles(self, face: FaceTrack, truth: U8) -> Wrinkles:
        """The expression ratio image of one true picture (Liu et al. 2001; algorithm.md#evaluation)."""
        deformation = self._sitter.matched(face)
        seen = self._renderer.rectify(deformation)
        shown, true = (
            cv2.GaussianBlur(cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY).astype(np.float32), (0, 0), _FINE)
            for picture in (_u8(seen.rgb), _crop(truth, seen.from_frame))
        )
        skin = _skin(deformation, seen)
        log_ratio = np.log((true + _FLOOR) / (shown + _FLOOR)) * (skin > 0)
        weight = np.maximum(cv2.GaussianBlur(skin, (0, 0), _BROAD), 1e-3)
        broad = cv2.GaussianBlur(log_ratio * skin, (0, 0), _BROAD) / weight
        soft = cv2.GaussianBlur(skin, (0, 0), 3.0) * skin
        fine = ((log_ratio - broad) * soft).astype(np.float32)
        return Wrinkles(self._sitter.motion(face), fine, _face(deformation, seen.from_frame))

    def _made(self, seen: Rectified, deformation: Deformation, truth: U8, tier: Tier, split: str) -> Row:
        rest = deform(self._sitter.rig, _still(self._sitter))
        return Row(
            photo=_crop(self._photo, face_affine(rest)),
            warped=_u8(seen.rgb),
            truth=truth,
            mask=np.rint(seen.inner_mouth * 255).astype(np.uint8),
            face=np.rint(seen.face * 255).astype(np.uint8),
            moved=quantised(seen.displacement),
            light=quantised_light(seen.light),
            follows=False,
            sharp=self._sitter.seen.sharp,
            tier=tier,
            subject=self._sitter.seen.listed.subject,
            split=split,
        )


def _still(sitter: Sitter) -> Motion:
    """The motion that leaves the portrait as it is, mouth included."""
    return sitter.motion(sitter.seen.face)


def _skin(deformation: Deformation, seen: Rectified) -> F32:
    """f32 [256,256] 0 or 1: the face without eyes and mouth."""
    holes = np.zeros((CROP, CROP), np.uint8)
    for outline in (*EYES, INNER_MOUTH):
        points = move(deformation.vertices[list(outline)], seen.from_frame)
        cv2.fillPoly(holes, [np.rint(points).astype(np.int32)], 1)
    oval = cv2.erode(seen.face, np.ones((9, 9), np.uint8))
    skin: F32 = (oval * (1 - cv2.dilate(holes, np.ones((11, 11), np.uint8)))).astype(np.float32)
    return skin


def _face(deformation: Deformation, affine: F32) -> F32:
    return move(deformation.vertices[:FACE_VERTICES], affine)


def _crop(picture: U8, affine: F32) -> U8:
    out: U8 = cv2.warpAffine(picture, affine, (CROP, CROP), borderMode=cv2.BORDER_REPLICATE)
    return out


def _u8(rgb: Real) -> U8:
    return np.asarray(np.rint(rgb * 255), np.uint8)
