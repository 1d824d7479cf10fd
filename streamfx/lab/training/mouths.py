"""Open mouths to learn from: what the procedural mouth makes of them, beside the true ones.

The network is taught to make the procedural mouth true, with drawn teeth and with the person's own, which
come from reference photos that are made worse first, so that none can be copied pixel by pixel.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Final

import cv2
import numpy as np

from streamfx.frames import F32, U8, Deformation, Rig
from streamfx.geometry import Pose
from streamfx.lab.actions import Actions
from streamfx.lab.training.crops import I8, quantised
from streamfx.lab.training.people import Listed, Seen, Sitter, Studio, sitters
from streamfx.models.face_basis import FaceBasis
from streamfx.portrait.deform import deform
from streamfx.portrait.photo import Photo
from streamfx.portrait.teeth.mouth import mouth_layer
from streamfx.portrait.teeth.reference import Reference
from streamfx.portrait.teeth.reference import Sitter as Referee
from streamfx.render.base import MouthCrop, MouthView
from streamfx.render.cpu import CpuRenderer
from streamfx.render.mouth import ProceduralMouth
from streamfx.topology import FACE_VERTICES, LIP_LOWER, LIP_UPPER


class Tier(StrEnum):
    """What the network has to go by."""

    DRAWN = "drawn"
    """Drawn teeth: nothing of the person's is known."""
    OWN = "own"
    """The person's own, from a reference photo made worse, or from the portrait photo itself."""
    WIDE = "wide"
    """Opened as the data do not show, wider or without a smile: the procedural mouth itself is the truth."""


WORSE: Final = 3
"""Versions of each reference photo."""
_WIDE: Final = 8
_JAW_DEGREES: Final = (1.0, 16.0)
_EXPRESSIVE: Final = 0.6
"""Of the basis' standard deviations: strength of random expressions."""
_SMILING: Final = 0.3
"""Share of a smile from which the data themselves tell what teeth look like."""
_MOST_TURN, _MOST_SCALE, _MOST_GAIN, _MOST_GAMMA = 6.0, 0.12, 0.25, 0.2
_QUALITY: Final = (40, 90)


@dataclass(frozen=True, slots=True)
class Row:
    """One mouth to learn from; fields as in MouthCrops."""

    around: U8 = field(repr=False)
    truth: U8 = field(repr=False)
    mask: U8 = field(repr=False)
    moved: I8 = field(repr=False)
    drawn: U8 = field(repr=False)
    own: U8 = field(repr=False)
    follows: bool
    sharp: bool
    tier: Tier
    subject: str
    split: str


def build_mouths(listed: Sequence[Listed], studio: Studio, seed: int = 0) -> Iterator[Row]:
    """All open mouths of an index, person by person.

    Raises:
        PhotoUnreadable: a picture of the index is missing or damaged.
    """
    random = np.random.default_rng(seed)
    actions = Actions((studio.geometry.vertices.astype(np.float64), studio.geometry.triangles))
    jaw = np.asarray(actions.jaw_open(1.0), np.float32)
    for rest, seen in sitters(listed, studio):
        yield from _Lessons(studio, rest, seen, random).rows(jaw)


class _Lessons:
    """All rows of one person."""

    def __init__(self, studio: Studio, rest: Seen, seen: Sequence[Seen], random: np.random.Generator) -> None:
        self._studio, self._random = studio, random
        self._rest, self._others = rest, [one for one in seen if one is not rest]
        self._sitter = studio.portrait(rest)

    def rows(self, jaw: F32) -> Iterator[Row]:
        """What is seen of the person's mouth; then what is made up, of people who are learned from."""
        yield from self._video() if self._rest.listed.video else self._photos()
        if self._rest.listed.split == "train" and not self._rest.listed.video:
            yield from self._wide(jaw)

    def _photos(self) -> Iterator[Row]:
        for other in self._others:
            yield from _Stage(self._sitter.rig, self._studio.basis).seen(self._sitter, other, Tier.DRAWN)
            for rig in self._with_references([other] * WORSE):
                yield from _Stage(rig, self._studio.basis).seen(self._sitter, other, Tier.OWN)
            itself = self._studio.portrait(other)
            yield from _Stage(itself.rig, self._studio.basis).seen(itself, other, Tier.OWN)

    def _video(self) -> Iterator[Row]:
        """Drawn teeth all along, then the person's own, from the pictures that show them best."""
        stage = _Stage(self._sitter.rig, self._studio.basis)
        yield from self._all_along(stage, Tier.DRAWN)
        widest = sorted(self._others, key=lambda one: -_gap(one))[:1]
        for rig in self._with_references(widest):
            yield from self._all_along(_Stage(rig, self._studio.basis), Tier.OWN)

    def _all_along(self, stage: _Stage, tier: Tier) -> Iterator[Row]:
        follows = False
        for other in self._others:
            open_mouth = list(stage.seen(self._sitter, other, tier))
            yield from (replace(row, follows=follows) for row in open_mouth)
            follows = bool(open_mouth)

    def _wide(self, jaw: F32) -> Iterator[Row]:
        stage = _Stage(self._sitter.rig, self._studio.basis)
        still = self._sitter.motion(self._rest.face)
        for _ in range(_WIDE):
            expression = self._speaking(jaw)
            shape = self._sitter.rig.shape[:FACE_VERTICES] + expression
            gaps = np.maximum(shape[list(LIP_LOWER), 1] - shape[list(LIP_UPPER), 1], 0)
            deformation = deform(self._sitter.rig, replace(still, expression=expression, lip_gaps=gaps))
            yield from stage.drawn(deformation, self._rest, Tier.WIDE)

    def _speaking(self, jaw: F32) -> F32:
        """f32 [468,3] cm: a random expression without a smile, the jaw dropped."""
        basis = self._studio.basis
        while True:
            chance = (_EXPRESSIVE * basis.std * self._random.standard_normal(len(basis.std))).astype("f4")
            expression = basis.expand(chance) + np.float32(self._random.uniform(*_JAW_DEGREES)) * jaw
            if basis.smile_of(expression) < _SMILING:
                return np.asarray(expression, np.float32)

    def _with_references(self, pictures: Sequence[Seen]) -> Iterator[Rig]:
        """The portrait's rig with the teeth of each picture in turn, made worse; none where it shows none."""
        for picture in pictures:
            reference = self._reference(picture)
            if reference is not None and reference.teeth is not None:
                rig, placement = self._sitter.rig, self._sitter.placement
                pose = Pose(rig.scale, rig.rotation.astype(np.float64), rig.translation.astype(np.float64))
                pad, (width, height) = placement.pad, placement.size
                photo = np.ascontiguousarray(rig.photo[pad : pad + height, pad : pad + width])
                mouth = mouth_layer(photo, rig.landmarks, rig.closed, pose, [reference.teeth])
                yield replace(rig, mouth=mouth)

    def _reference(self, picture: Seen) -> Reference | None:
        rest, geometry = self._rest, self._studio.geometry
        referee = Referee.of(rest.rgb, rest.face, geometry.pose(rest.face.landmarks), geometry.weights)
        worse = _worsened(picture.rgb, self._random)
        faces = self._studio.analyser.faces(worse)
        name = picture.listed.path.name
        return referee.reference(Photo(worse, name, name), faces[0]) if faces else None


class _Stage:
    """One rig with its renderer and procedural mouth."""

    def __init__(self, rig: Rig, basis: FaceBasis) -> None:
        self._renderer = CpuRenderer(rig)
        self._painter = ProceduralMouth(rig)

    def seen(self, sitter: Sitter, other: Seen, tier: Tier) -> Iterator[Row]:
        """The person's mouth as `other` shows it; nothing where it is closed."""
        deformation = sitter.matched(other.face)
        view = self._view(deformation)
        if view.is_open:
            size = view.mask.shape
            truth = cv2.warpAffine(
                sitter.framed(other.rgb), view.from_frame, size, borderMode=cv2.BORDER_REPLICATE
            )
            yield self._made(view, deformation, truth, other, tier)

    def drawn(self, deformation: Deformation, other: Seen, tier: Tier) -> Iterator[Row]:
        """The procedural mouth as its own truth."""
        view = self._view(deformation)
        if view.is_open:
            inside = (view.mask > 0)[..., None]
            truth = np.where(inside, self._painter.paint(view, deformation), view.rgb)
            yield self._made(view, deformation, truth, other, tier)

    def _view(self, deformation: Deformation) -> MouthView:
        return self._renderer.mouth_view(self._renderer.warp(deformation), deformation, MouthCrop.MOUTH)

    def _made(self, view: MouthView, deformation: Deformation, truth: U8, other: Seen, tier: Tier) -> Row:
        return Row(
            around=view.rgb,
            truth=truth,
            mask=np.rint(view.mask * 255).astype(np.uint8),
            moved=quantised(view.displacement),
            drawn=self._painter.paint(view, deformation),
            own=self._painter.own(view, deformation),
            follows=False,
            sharp=other.sharp,
            tier=tier,
            subject=other.listed.subject,
            split=other.listed.split,
        )


def _gap(seen: Seen) -> float:
    """px between the lips, on average."""
    marks = seen.face.landmarks
    return float((marks[list(LIP_LOWER), 1] - marks[list(LIP_UPPER), 1]).mean())


def _worsened(rgb: U8, random: np.random.Generator) -> U8:
    """Another photo of the same face: turned, scaled, in other light, recompressed."""
    height, width = rgb.shape[:2]
    turn, zoom = random.uniform(-_MOST_TURN, _MOST_TURN), 1 + random.uniform(-_MOST_SCALE, _MOST_SCALE)
    matrix = cv2.getRotationMatrix2D((width / 2, height / 2), turn, zoom)
    moved = cv2.warpAffine(rgb, matrix, (width, height), borderMode=cv2.BORDER_REPLICATE) / 255.0
    gain = 1 + random.uniform(-_MOST_GAIN, _MOST_GAIN) + random.uniform(-0.05, 0.05, 3)
    lit = np.clip(moved * gain, 0, 1) ** np.exp(random.uniform(-_MOST_GAMMA, _MOST_GAMMA))
    quality = int(random.integers(*_QUALITY))
    _, code = cv2.imencode(".jpg", np.rint(lit * 255).astype(np.uint8), [cv2.IMWRITE_JPEG_QUALITY, quality])
    back = cv2.imdecode(code, cv2.IMREAD_UNCHANGED)
    assert back is not None, "what OpenCV wrote it reads"  # noqa: S101
    return np.asarray(back, np.uint8)
