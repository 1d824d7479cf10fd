"""Unseen people, neutral to smile: does a refiner bring the warped photo closer to the real smile?

The neutral photo is the portrait, the smile the truth. Vertices lie exactly where the smile's landmarks are
(the ceiling of any motion), or where the product puts them without smoothing. The finished frame and the
truth are compared in the upright 256 px crop, over the face oval without the inner mouth of either
(ALGORITHM i, k).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import product

from streamfx.frames import Deformation
from streamfx.lab.evaluation.likeness import Judge, Likeness
from streamfx.lab.evaluation.methods import COPY, WARP, Method, Show
from streamfx.lab.evaluation.people import Sitting
from streamfx.lab.evaluation.stage import View
from streamfx.lab.evaluation.tables import column, mean


class Placing(StrEnum):
    """Where the vertices lie."""

    EXACT = "exact"
    """Where the truth has them."""
    MOTION = "motion"
    """Where the product puts them, unsmoothed: clamped, relief scaled."""


@dataclass(frozen=True, slots=True)
class RefineRow:
    """One method on one sitter, or a mean."""

    sitter: str = column("SITTER")
    skin: str = column("SKIN")
    placing: str = column("PLACING")
    method: str = column("METHOD")
    psnr: float = column("PSNR dB", ".2f")
    gain: float = column("GAIN", "+.2f")
    ssim: float = column("SSIM", ".4f")
    ssim_gain: float = column("GAIN", "+.4f")
    sharpness: float = column("SHARPNESS", ".2f")
    l1: float = column("L1", ".2f")
    gmsd: float = column("GMSD", ".4f")
    perceptual: float = column("FEATURES", ".3f")
    identity: float = column("IDENTITY", ".3f")


def refine(sittings: Iterable[Sitting], methods: Sequence[Method], judge: Judge) -> Iterator[RefineRow]:
    """Every method on every sitter, in both placings.

    Args:
        sittings: who.
        methods: one of them the warp alone; copying the photo is always compared.
        judge: measures.
    """
    for sitting in sittings:
        stage = sitting.stage
        trial = judge.trial(View.of(stage, sitting.face, sitting.smile))
        copied = trial.likeness(*trial.view.carried(stage))
        for placing in Placing:
            deformation = _placed(sitting, placing)
            found = {COPY: copied}
            for method in methods:
                picture = Show(stage.rig, method).picture(deformation)
                found[method.name] = trial.likeness(picture, deformation.vertices)
            yield from (_row(sitting, placing, name, one, found[WARP]) for name, one in found.items())


def _placed(sitting: Sitting, placing: Placing) -> Deformation:
    stage = sitting.stage
    return stage.matched(sitting.face) if placing is Placing.EXACT else stage.moved(sitting.face)


def _row(sitting: Sitting, placing: Placing, method: str, one: Likeness, warp: Likeness) -> RefineRow:
    return RefineRow(
        sitter=sitting.person,
        skin=sitting.group.value,
        placing=placing.value,
        method=method,
        psnr=one.psnr,
        gain=one.psnr - warp.psnr,
        ssim=one.ssim,
        ssim_gain=one.ssim - warp.ssim,
        sharpness=one.sharpness,
        l1=one.l1,
        gmsd=one.gmsd,
        perceptual=one.perceptual,
        identity=one.identity,
    )


def summary(rows: Sequence[RefineRow]) -> list[RefineRow]:
    """Means per placing and method: of all sitters, then of every skin group."""
    groups = ["all", *sorted({row.skin for row in rows})]
    placings, methods = (dict.fromkeys(getattr(row, name) for row in rows) for name in ("placing", "method"))
    out = []
    for group, placing, method in product(groups, placings, methods):
        alike = [row for row in rows if (row.placing, row.method) == (placing, method)]
        chosen = [row for row in alike if group in ("all", row.skin)]
        out.append(mean(chosen, sitter=f"mean of {len(chosen)}", skin=group))
    return out
