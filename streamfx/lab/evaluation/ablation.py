"""Ablation: what the warped face (W) and the displacement map (M) each contribute, and one network or two.

The paper's fig. 6 trains four refiners: with the warped face or the photo at rest as their input (W+, W-),
with the displacement map or zeros (M+, M-). Its fig. 7 trains one network for face and mouth alike. All are
compared inside the 256 px crop, since a network that sees no warp has no warped frame to be added to.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Annotated

import numpy as np

from streamfx.errors import UsageError
from streamfx.frames import F32, U8, Deformation
from streamfx.lab.evaluation.contenders import Contender, contenders
from streamfx.lab.evaluation.grid import grid
from streamfx.lab.evaluation.likeness import sharpness
from streamfx.lab.evaluation.methods import WARP, Method, Show
from streamfx.lab.evaluation.metrics import Mask, gmsd, mean_difference, psnr, ssim
from streamfx.lab.evaluation.openings import Opening
from streamfx.lab.evaluation.people import Sitting
from streamfx.lab.evaluation.perceptual import LandmarkFeatures
from streamfx.lab.evaluation.stage import View
from streamfx.lab.evaluation.tables import Column, mean
from streamfx.models.weights import NetworkName
from streamfx.render.base import Rectified
from streamfx.render.cpu import CpuRenderer
from streamfx.render.mouth import ProceduralMouth
from streamfx.render.network_kernels import with_light
from streamfx.render.rectify import CROP
from streamfx.render.refiner import LiteNetworkRefiner


class Variant(StrEnum):
    """How a refiner was trained."""

    W_M = "W+M+"
    W = "W+M-"
    M = "W-M+"
    NEITHER = "W-M-"
    ONE = "one"
    """As W+M+, but with the true mouth to paint as well."""

    @property
    def sees_warp(self) -> bool:
        """Whether its input is the warped face, not the photo at rest."""
        return "W-" not in self

    @property
    def sees_motion(self) -> bool:
        """Whether its input has the displacement map, not zeros."""
        return "M-" not in self


@dataclass(frozen=True, slots=True)
class Trained:
    """A refiner and how it was trained."""

    variant: Variant
    contender: Contender


@dataclass(frozen=True, slots=True)
class AblationRow:
    """One variant on one sitter, or a mean: the face without the mouth, then the mouth alone."""

    sitter: Annotated[str, Column("SITTER")]
    variant: Annotated[str, Column("INPUT")]
    gain: Annotated[float, Column("dPSNR", "+.2f")]
    """Over the warp."""
    psnr: Annotated[float, Column("PSNR dB", ".2f")]
    ssim: Annotated[float, Column("SSIM", ".4f")]
    sharpness: Annotated[float, Column("SHARPNESS", ".2f")]
    l1: Annotated[float, Column("L1", ".2f")]
    gmsd: Annotated[float, Column("GMSD", ".4f")]
    perceptual: Annotated[float, Column("FEATURES", ".2f")]
    mouth_psnr: Annotated[float, Column("MOUTH PSNR", ".2f")]
    mouth_ssim: Annotated[float, Column("MOUTH SSIM", ".3f")]
    mouth_sharpness: Annotated[float, Column("MOUTH SHARPNESS", ".2f")]


@dataclass(frozen=True, slots=True)
class Compared:
    """One sitter's smile by every variant, in the crop."""

    person: str
    photo: U8 = field(repr=False)
    """u8 [256,256,3]: put where the true head is."""
    pictures: dict[str, U8] = field(repr=False)
    """u8 [256,256,3] by name: the warp, then every variant."""
    truth: U8 = field(repr=False)
    face: Mask = field(repr=False)
    mouth: Mask = field(repr=False)


def compare(
    sittings: Iterable[Sitting], trained: Sequence[Trained], painter: Contender | None
) -> Iterator[Compared]:
    """Every variant on every sitter.

    Args:
        sittings: who.
        trained: refiners.
        painter: the second network: paints the mouth of all but ONE; None: the procedural mouth does.
    """
    mouth = Method("mouth", painter=painter.painter if painter else ProceduralMouth)
    for sitting in sittings:
        yield _compared(sitting, trained, mouth)


def _compared(sitting: Sitting, trained: Sequence[Trained], mouth: Method) -> Compared:
    stage = sitting.stage
    view, there = View.of(stage, sitting.face, sitting.smile), stage.matched(sitting.face)
    photo = view.crop(view.carried(stage)[0])
    face = CpuRenderer(stage.rig).rectify(there)
    opening = Opening.of(stage, sitting.face).in_face(view.affine)
    painted = view.crop(Show(stage.rig, mouth).picture(there))
    others = face.face * (1 - face.inner_mouth)
    pictures = {WARP: _within(others, _u8(face.rgb), painted)}
    for one in trained:
        if one.variant is Variant.ONE:
            pictures[one.variant] = _within(face.face, _painted(one, face, there), painted)
            continue
        pictures[one.variant] = _within(others, _refined(one, face, photo, there), painted)
    return Compared(sitting.person, photo, pictures, view.truth, view.mask(there.vertices), opening)


def _refined(one: Trained, face: Rectified, photo: U8, there: Deformation) -> U8:
    """u8 [256,256,3]: what a variant makes of its input."""
    seen = face
    if not one.variant.sees_warp:
        blanked = photo * ((1 - face.inner_mouth) / 255)[..., None]
        seen = replace(seen, rgb=blanked.astype(np.float32), light=np.ones_like(face.light))
    if not one.variant.sees_motion:
        seen = replace(seen, displacement=np.zeros_like(face.displacement))
    return _u8(seen.rgb + one.contender.refiner().refine(seen, there).rgb)


def _painted(one: Trained, face: Rectified, there: Deformation) -> U8:
    """u8 [256,256,3]: face and mouth by one network; the product would mask its answer at the lips."""
    answers: list[F32] = []

    def network(x: F32) -> F32:
        answers.append(one.contender.network(x))
        return answers[-1]

    LiteNetworkRefiner(network).refine(face, there)
    residual = np.empty_like(face.rgb)
    with_light(answers[-1], 1.0, face.rgb, face.light, np.zeros_like(face.light), residual)
    return _u8(face.rgb + residual)


def _within(mask: F32, picture: U8, around: U8) -> U8:
    """One picture where the mask, f32 [256,256] 0..1, says so; another around."""
    share = mask[..., None]
    return np.rint(picture * share + around * (1 - share)).astype(np.uint8)


def trained_as(text: str, network: str) -> Trained:
    """Of `VARIANT=FILE.safetensors`, weights of `network`.

    Raises:
        UsageError: there is no such variant, or not of this network; ModelError: the file does not fit.
    """
    named, _, file = text.partition("=")
    if named not in list(Variant) or not file:
        raise UsageError(f"{text} names no variant", f"Write VARIANT=FILE, with one of {', '.join(Variant)}")
    if named == Variant.ONE and network != NetworkName.REFINE_LITE:
        raise UsageError(f"{network} paints no mouth", f"{NetworkName.REFINE_LITE} can be trained to")
    return Trained(Variant(named), contenders([f"{network}={file}"])[0])


def _u8(rgb: F32) -> U8:
    return np.asarray(np.clip(rgb * 255 + 0.5, 0, 255), np.uint8)


def table(compared: Sequence[Compared], features: LandmarkFeatures) -> list[AblationRow]:
    """A row per sitter and variant, then the means."""
    rows = [_row(one, name, features) for one in compared for name in one.pictures]
    names = dict.fromkeys(row.variant for row in rows)
    groups = [[row for row in rows if row.variant == name] for name in names]
    return rows + [mean(group, sitter=f"mean of {len(group)}") for group in groups]


def sheet(compared: Sequence[Compared]) -> U8:
    """u8 [h,w,3]: sitters down; photo, warp, variants and truth across."""
    tiles = [[one.photo, *one.pictures.values(), one.truth] for one in compared]
    columns = ["photo", *compared[0].pictures, "truth"]
    return grid(tiles, [one.person for one in compared], columns, CROP)


def _row(one: Compared, name: str, features: LandmarkFeatures) -> AblationRow:
    shown, truth, face, mouth = one.pictures[name], one.truth, one.face, one.mouth
    found = psnr(shown, truth, face)
    return AblationRow(
        sitter=one.person,
        variant=name,
        gain=found - psnr(one.pictures[WARP], truth, face),
        psnr=found,
        ssim=ssim(shown, truth, face),
        sharpness=sharpness(shown, truth, face),
        l1=mean_difference(shown, truth, face),
        gmsd=gmsd(shown, truth, face),
        perceptual=features.distance(shown, truth, face),
        mouth_psnr=psnr(shown, truth, mouth) if mouth.any() else math.nan,
        mouth_ssim=ssim(shown, truth, mouth) if mouth.any() else math.nan,
        mouth_sharpness=sharpness(shown, truth, mouth) if mouth.any() else math.nan,
    )
