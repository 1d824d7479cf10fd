"""Picture sheets: unseen people in six expressions, by every method, to be looked at.

The smile is the person's own, with the truth beside it. The five others come from drivers: what their motion
asks for is rendered, the driver's picture is not shown.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import cv2
import numpy as np

from streamfx.frames import F32, U8, Deformation, Motion
from streamfx.lab.evaluation.clips import Clip, Driver
from streamfx.lab.evaluation.grid import grid, save_png
from streamfx.lab.evaluation.methods import Method, Show
from streamfx.lab.evaluation.people import Sitting
from streamfx.lab.evaluation.stage import Stage
from streamfx.models.face_basis import Part, load_face_basis
from streamfx.portrait.deform import deform
from streamfx.render.rectify import CROP, face_affine

DRIVERS: Final = ("lp_d0", "lp_d13", "lp_d10")
"""Of driving/: expressions in a studio, a phone's camera with glasses, speech."""
RUN: Final = 5
"""Motions in a row that lead to an expression: networks that remember get a past."""
TILE_PX: Final = 320
OVERVIEW_PX: Final = 200


@dataclass(frozen=True, slots=True)
class Expression:
    """What a driver does, in the motions that lead there."""

    name: str
    motions: tuple[Motion, ...] = field(repr=False)
    """The last is the one to show."""


def expressions(clips: Iterable[Clip], driver: Driver) -> list[Expression]:
    """The widest open mouth, the highest brows, the tightest blink, typical speech and the farthest turn.

    Args:
        clips: of DRIVERS, in that order: speech is taken from the last.
        driver: makes their motions.
    """
    films = [driver.motions(clip) for clip in clips]
    open_speech = sorted(_gap(motion) for motion in films[-1] if _gap(motion) > 0)
    typical = open_speech[int(0.7 * len(open_speech))]
    wanted: Mapping[str, tuple[Sequence[Sequence[Motion]], Callable[[Motion], float]]] = {
        "open mouth": (films, _gap),
        "brows up": (films, _brows),
        "blink": (films, lambda motion: float(motion.lid_closure.min()) - _gap(motion)),
        "speech": (films[-1:], lambda motion: -abs(_gap(motion) - typical)),
        "head turn": (films, lambda motion: abs(float(motion.rotation[1]))),
    }
    return [_most(name, among, measure) for name, (among, measure) in wanted.items()]


def _most(name: str, films: Sequence[Sequence[Motion]], measure: Callable[[Motion], float]) -> Expression:
    film, at = max(
        ((film, i) for film in films for i in range(RUN - 1, len(film)) if not film[i].held),
        key=lambda one: measure(one[0][one[1]]),
    )
    return Expression(name, tuple(film[at - RUN + 1 : at + 1]))


def _gap(motion: Motion) -> float:
    return float(motion.lip_gaps.mean())


def _brows(motion: Motion) -> float:
    """cm: mean rise of the brows."""
    return -float(motion.expression[load_face_basis().parts == Part.BROW, 1].mean())


def sheets(
    sittings: Iterable[Sitting], shown: Sequence[Expression], methods: Sequence[Method], folder: Path
) -> Iterator[Path]:
    """Write one sheet per person, expressions down and methods across; then everyone by the last method.

    Raises:
        OutputError: the folder cannot be written.
    """
    columns = ["photo", *(method.name for method in methods), "truth"]
    names = ["smile", *(one.name for one in shown)]
    everyone: dict[str, list[U8 | None]] = {}
    for sitting in sittings:
        shows = [Show(sitting.stage.rig, method) for method in methods]
        rows = [_smile(sitting, shows), *(_expression(sitting.stage, one, shows) for one in shown)]
        path = folder / f"{sitting.person}.png"
        save_png(path, grid(rows, names, columns, TILE_PX))
        everyone[sitting.person] = [row[-2] for row in rows]
        yield path
    save_png(folder / "all.png", grid(list(everyone.values()), list(everyone), names, OVERVIEW_PX))
    yield folder / "all.png"


def _smile(sitting: Sitting, shows: Sequence[Show]) -> list[U8 | None]:
    stage = sitting.stage
    there = stage.matched(sitting.face)
    return [*_row(stage, [there], shows), _tile(stage.framed(sitting.smile), there)]


def _expression(stage: Stage, expression: Expression, shows: Sequence[Show]) -> list[U8 | None]:
    return [*_row(stage, [deform(stage.rig, motion) for motion in expression.motions], shows), None]


def _row(stage: Stage, places: Sequence[Deformation], shows: Sequence[Show]) -> list[U8 | None]:
    """The photo, and the last of these places by every method."""
    tiles: list[U8 | None] = [_tile(stage.photo, deform(stage.rig, Motion.rest()))]
    for show in shows:
        show.again()
        picture = [show.picture(place) for place in places][-1]
        tiles.append(_tile(picture, places[-1]))
    return tiles


def _tile(picture: U8, deformation: Deformation) -> U8:
    """u8 [TILE_PX,TILE_PX,3]: the face upright, as in the networks' crop, but finer."""
    affine: F32 = face_affine(deformation) * np.float32(TILE_PX / CROP)
    out = cv2.warpAffine(picture, affine, (TILE_PX, TILE_PX), borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(out, np.uint8)
