"""Mouths that speak: are they as steady as the real clip's, and does nothing show through closed lips?

Optical flow cannot follow lips that part or close by a centimetre from one picture to the next: what then
shows, hides or is torn counts as temporal error, the more the brighter it stands out. A clip whose speaker
keeps the teeth in the dark has little of that, a mouth with teeth in the same motion much, however steady.
Two measures allow for it. RATIO is over the clip as it is. OVER RIGID is over a mouth in the same motion
that cannot flicker: drawn teeth that skull and jaw carry, in light that never changes.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Annotated, Final

import numpy as np

from streamfx.frames import F32, U8, Deformation, Rig
from streamfx.lab.evaluation.clips import Clip, Driver, Look
from streamfx.lab.evaluation.methods import Method, Placing, Show
from streamfx.lab.evaluation.metrics import luma
from streamfx.lab.evaluation.openings import Opening
from streamfx.lab.evaluation.reenact import Footage, open_footage, run_up, tracked
from streamfx.lab.evaluation.stage import Studio
from streamfx.lab.evaluation.tables import Column
from streamfx.lab.evaluation.temporal import flicker, temporal_error
from streamfx.render.base import CLOSED_GAP, MouthView
from streamfx.render.mouth import ProceduralMouth

FILMS: Final = (
    "driving/lp_d10.mp4",
    "driving/lp_d20.mp4",
    "eval_sequences/vr_1",
    "eval_sequences/vr_4",
    "eval_sequences/franck",
)
"""Clips with speech."""
LONGEST: Final = 90
"""Pictures in a row that are looked at, from the middle of the clip."""
_RIGID_LIGHT: Final = 0.75
"""On the rigid mouth: what the procedural mouth has in the mean of FILMS, its lips' shadow included."""


@dataclass(frozen=True, slots=True)
class SpeechRow:
    """One method on one clip."""

    clip: Annotated[str, Column("CLIP")]
    method: Annotated[str, Column("METHOD")]
    open: Annotated[int, Column("OPEN")]
    """Pairs of neighbouring pictures with the mouth open in both."""
    temporal: Annotated[float, Column("TEMPORAL", ".2f")]
    """Temporal error inside the mouth, grey levels."""
    real: Annotated[float, Column("REAL", ".2f")]
    """The same of the clip itself."""
    ratio: Annotated[float, Column("RATIO", ".2f")]
    """Of the two."""
    rigid: Annotated[float, Column("RIGID", ".2f")]
    """The same of a mouth of the portrait that cannot flicker."""
    over_rigid: Annotated[float, Column("OVER RIGID", ".2f")]
    """Temporal error over that."""
    contrast: Annotated[float, Column("PER CONTRAST", ".2f")]
    """The same, each error first divided by its own mouth's contrast: sharp teeth beside a soft clip's show
    every motion more."""
    flicker: Annotated[float, Column("FLICKER", ".2f")]
    """RMS of the second difference of the mouth's mean luma, over the real clip's."""
    closed: Annotated[int, Column("CLOSED")]
    """Pictures with closed lips."""
    leak: Annotated[int, Column("LEAK")]
    """Pixels of them that differ from the same face without a mouth, all pictures together."""


@dataclass(frozen=True, slots=True)
class Box:
    """A mouth in one picture."""

    crop: U8
    opening: Opening

    @property
    def is_open(self) -> bool:
        """Whether there is a mouth to look at."""
        return self.opening.gap >= CLOSED_GAP and bool(self.opening.mask.any())

    def level(self) -> float:
        """Mean luma inside; nan while it is closed."""
        return float(luma(self.crop)[self.opening.near()].mean()) if self.is_open else math.nan


class RigidMouth(ProceduralMouth):
    """Teeth, tongue and throat in light that is the same everywhere and always."""

    def light(self, view: MouthView) -> tuple[F32, F32]:
        """Constant."""
        return np.full(view.mask.shape, _RIGID_LIGHT, np.float32), np.ones(3, np.float32)


RIGID: Final = Method("rigid", painter=RigidMouth)


@dataclass(frozen=True, slots=True)
class _Film:
    """What a method shows in a clip."""

    boxes: list[Box]
    closed: int
    leak: int


def speech_looks(clip: Clip) -> list[Look]:
    """At most LONGEST pictures in a row with a face, about the middle of the clip."""
    last = min(len(clip.looks), len(clip.looks) // 2 + LONGEST // 2) - 1
    return run_up(clip, clip.looks[last], LONGEST)


def speech(
    clips: Iterable[Clip], driver: Driver, studio: Studio, methods: Sequence[Method]
) -> Iterator[SpeechRow]:
    """Every method on every clip.

    Raises:
        PhotoUnsuitable: a clip without a face.
    """
    for clip in clips:
        looks = speech_looks(clip)
        footage = open_footage(clip, driver, studio, [looks])
        real = [_real(footage, look) for look in looks]
        places = [footage.placed(look, Placing.SHOWN) for look in looks]
        yield from rows(clip.name, methods, footage.stage.rig, places, real)


def _real(footage: Footage, look: Look) -> Box:
    opening = Opening.of(footage.stage, tracked(look))
    return Box(opening.crop(footage.stage.framed(footage.pictures[look.seq])), opening)


def rows(
    clip: str, methods: Sequence[Method], rig: Rig, places: Sequence[Deformation], real: Sequence[Box]
) -> Iterator[SpeechRow]:
    """Every method in one motion.

    Args:
        clip: its name.
        methods: compared.
        rig: the portrait.
        places: the motion, picture by picture.
        real: the true mouth of each.
    """
    rigid = _film(Show(rig, RIGID), places).boxes
    for method in methods:
        film = _film(Show(rig, method), places)
        yield _row(clip, method.name, film, rigid, real)


def _film(show: Show, places: Sequence[Deformation]) -> _Film:
    boxes, closed, leak = [], 0, 0
    for place in places:
        face, picture = show.layers(place)
        opening = Opening.shown(place)
        boxes.append(Box(opening.crop(picture), opening))
        if opening.gap < CLOSED_GAP:
            closed += 1
            leak += int((face != picture).any(2).sum())
    return _Film(boxes, closed, leak)


def _row(clip: str, method: str, film: _Film, rigid: Sequence[Box], real: Sequence[Box]) -> SpeechRow:
    boxes = film.boxes
    both = [
        i
        for i in range(1, len(boxes))
        if all(one.is_open for one in (*boxes[i - 1 : i + 1], *real[i - 1 : i + 1]))
    ]
    shown, true, still = (_unrest(mouths, both) for mouths in (boxes, real, rigid))
    return SpeechRow(
        clip=clip,
        method=method,
        open=len(both),
        temporal=shown,
        real=true,
        ratio=shown / true,
        rigid=still,
        over_rigid=shown / still,
        contrast=(shown / _contrast(boxes, both)) / (true / _contrast(real, both)),
        flicker=_flicker(boxes) / _flicker(real),
        closed=film.closed,
        leak=film.leak,
    )


def _unrest(boxes: Sequence[Box], at: Sequence[int]) -> float:
    """Grey levels: mean temporal error between each of these pictures and the one before it."""
    errors = [temporal_error(boxes[i - 1].crop, boxes[i].crop, boxes[i].opening.near()) for i in at]
    return float(np.mean(errors)) if errors else math.nan


def _contrast(boxes: Sequence[Box], at: Sequence[int]) -> float:
    """Grey levels: mean over pictures of the luma's standard deviation in the mouth."""
    found = [float(luma(boxes[i].crop)[boxes[i].opening.near()].std()) for i in at]
    return float(np.mean(found)) if found else math.nan


def _flicker(boxes: Sequence[Box]) -> float:
    return flicker(np.array([box.level() for box in boxes]))
