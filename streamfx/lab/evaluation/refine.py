"""Unseen people, neutral to smile: does a refiner bring the warped photo closer to the real smile?

The neutral photo is the portrait, the smile the truth. Vertices lie exactly where the smile's landmarks are
(the ceiling of any motion), or where the product puts them without smoothing. What the network gives, or the
finished frame, is compared with the truth in the upright 256 px crop, over the face oval without the inner
mouth of either (algorithm.md#evaluation).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Annotated, Final

from streamfx.frames import Deformation
from streamfx.lab.evaluation.likeness import Gain, Judge, Likeness
from streamfx.lab.evaluation.methods import COPY, WARP, Method, Placing, Show
from streamfx.lab.evaluation.people import Sitting
from streamfx.lab.evaluation.stage import View
from streamfx.lab.evaluation.tables import Column, mean

PLACINGS: Final = (Placing.CROP, Placing.EXACT, Placing.MOTION)


@dataclass(frozen=True, slots=True)
class RefineRow:
    """One method on one sitter, or a mean."""

    sitter: Annotated[str, Column("SITTER")]
    skin: Annotated[str, Column("SKIN")]
    placing: Annotated[str, Column("PLACING")]
    method: Annotated[str, Column("METHOD")]
    gain: Gain
    """Over the warp."""
    likeness: Likeness


def refine(sittings: Iterable[Sitting], methods: Sequence[Method], judge: Judge) -> Iterator[RefineRow]:
    """Every method on every sitter, in all PLACINGS.

    Args:
        sittings: who.
        methods: one of them the warp alone; copying the photo is always compared.
        judge: measures.
    """
    for sitting in sittings:
        stage = sitting.stage
        trial = judge.trial(View.of(stage, sitting.face, sitting.smile))
        copied = trial.likeness(*trial.view.carried(stage))
        for placing in PLACINGS:
            deformation = _placed(sitting, placing)
            found = {COPY: copied}
            for method in methods:
                show = Show(stage.rig, method)
                if placing is Placing.CROP:
                    one = trial.crop_likeness(show.crop(deformation), deformation.vertices)
                else:
                    one = trial.likeness(show.picture(deformation), deformation.vertices)
                found[method.name] = one
            yield from (_row(sitting, placing, name, one, found[WARP]) for name, one in found.items())


def _placed(sitting: Sitting, placing: Placing) -> Deformation:
    stage = sitting.stage
    return stage.moved(sitting.face) if placing is Placing.MOTION else stage.matched(sitting.face)


def _row(sitting: Sitting, placing: Placing, method: str, one: Likeness, warp: Likeness) -> RefineRow:
    return RefineRow(sitting.person, sitting.group.value, placing.value, method, Gain.over(warp, one), one)


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
