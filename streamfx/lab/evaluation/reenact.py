"""Self-reenactment: a clip's rest picture as the photo, its other pictures as driver and truth.

The rest picture is the one so marked, or the one nearest to the neutral that the pipeline finds. Its own
track is the neutral (MotionEstimator.prime with that track alone). Output and truth are both brought to the
frame as the photo is, turned upright by the truth's head pose into the 256 px crop, and compared over the
face oval without the inner mouth of either (algorithm.md#evaluation).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Final

import numpy as np

from streamfx.errors import PhotoUnsuitable, SourceMissing
from streamfx.frames import F32, U8, Deformation, FaceTrack, Motion
from streamfx.lab.evaluation.clips import Clip, Driver, Look, pictures
from streamfx.lab.evaluation.likeness import Gain, Judge, Likeness, Trial
from streamfx.lab.evaluation.methods import COPY, WARP, WARP_ONLY, Method, Placing, Show
from streamfx.lab.evaluation.stage import Stage, Studio, View, vertex_distance
from streamfx.lab.evaluation.tables import Column, mean
from streamfx.lab.evaluation.temporal import temporal_error
from streamfx.models.face_basis import Part, load_face_basis
from streamfx.models.store import Store
from streamfx.portrait.deform import deform
from streamfx.topology import FACE_VERTICES, INTEROCULAR

CLIPS: Final = (
    "lp_d0",
    "lp_d3",
    "lp_d10",
    "lp_d13",
    "lp_d18",
    "lp_d19",
    "lp_d6",
    "lp_d12",
    "lp_d14",
    "lp_d20",
)
"""Of driving/: the first seven are those that the warp was tuned on."""
JUDGED: Final = 9
"""Pictures compared per clip, evenly spread over its tracked pictures."""
RUN: Final = 5
"""Pictures in a row that end with each of these: networks that remember get a past, films show flicker."""


@dataclass(frozen=True, slots=True)
class Figures:
    """What is measured beside likeness; nan where it was not."""

    aim: Annotated[float, Column("AIM %", ".2f")]
    """Mean distance of wanted to true landmarks, in percent of that between the outer eye corners."""
    akd: Annotated[float, Column("AKD %", ".2f")]
    """The same of the landmarks found in the output to the wanted ones."""
    mouth_akd: Annotated[float, Column("MOUTH", ".2f")]
    """AKD of the mouth's landmarks alone."""
    temporal: Annotated[float, Column("TEMPORAL", ".2f")]
    """Temporal error over that of the real clip."""


@dataclass(frozen=True, slots=True)
class ReenactRow:
    """One method on one picture, or a mean."""

    clip: Annotated[str, Column("CLIP")]
    placing: Annotated[str, Column("PLACING")]
    method: Annotated[str, Column("METHOD")]
    gain: Gain
    """Over the warp of the same placing."""
    likeness: Likeness
    figures: Figures


@dataclass(frozen=True, slots=True)
class Footage:
    """A clip and the portrait made of its rest picture."""

    clip: Clip
    stage: Stage
    motions: dict[int, Motion] = field(repr=False)
    """By running number, as the product smooths them."""
    runs: tuple[tuple[Look, ...], ...] = field(repr=False)
    """Pictures in a row; the last of each is judged."""
    pictures: dict[int, U8] = field(repr=False)
    """By running number, those of the runs."""

    def view(self, look: Look) -> View:
        """The true picture."""
        return View.of(self.stage, tracked(look), self.pictures[look.seq])

    def placed(self, look: Look, placing: Placing) -> Deformation:
        """Where everything goes."""
        if placing is Placing.SHOWN:
            return deform(self.stage.rig, self.motions[look.seq])
        face = tracked(look)
        return self.stage.matched(face) if placing is Placing.EXACT else self.stage.moved(face)


def open_footage(clip: Clip, driver: Driver, studio: Studio, runs: Sequence[Sequence[Look]]) -> Footage:
    """Make the clip's rest picture a portrait.

    Raises:
        PhotoUnsuitable: no face in the clip.
    """
    rest = rest_look(clip, driver)
    found = pictures(clip.path, {rest.seq} | {look.seq for run in runs for look in run})
    stage = studio.stage(found[rest.seq], f"{clip.name}:{rest.seq}", rest.track)
    motions = {motion.seq: motion for motion in driver.motions(clip, rest.track)}
    return Footage(clip, stage, motions, tuple(map(tuple, runs)), found)


def rest_look(clip: Clip, driver: Driver) -> Look:
    """The picture marked as rest; else the tracked one nearest to the clip's neutral, head and expression.

    Raises:
        PhotoUnsuitable: no face in the clip.
    """
    neutral = driver.neutral(clip)
    seen = [look for look in clip.looks if look.track is not None]
    if neutral is None or not seen:
        raise PhotoUnsuitable(f"no face was found in {clip.path.name}", "choose another clip")
    wanted = neutral.pose.to_image(neutral.face)
    marked = [look for look in seen if look.seq == clip.rest]
    return min(marked or seen, key=lambda look: float(np.square(tracked(look).landmarks - wanted).sum()))


def tracked(look: Look) -> FaceTrack:
    """The face of a picture that has one."""
    assert look.track is not None, "asked only of tracked pictures"  # noqa: S101
    return look.track


def chosen_looks(clip: Clip, count: int = JUDGED) -> list[Look]:
    """`count` tracked pictures, evenly spread, each in the middle of its stretch."""
    seen = [look for look in clip.looks if look.track is not None]
    at = (np.arange(count) + 0.5) * len(seen) / count
    return [seen[i] for i in np.unique(at.astype(int))]


def run_up(clip: Clip, last: Look, length: int = RUN) -> list[Look]:
    """At most `length` tracked pictures in a row that end with `last`."""
    run: list[Look] = []
    for look in reversed(clip.looks[: last.seq + 1]):
        if look.track is None or len(run) == length:
            break
        run.append(look)
    return run[::-1]


def reenact(
    clips: Iterable[Clip], driver: Driver, studio: Studio, methods: Sequence[Method], judge: Judge
) -> Iterator[ReenactRow]:
    """Every method on every clip, one row each: means over the clip's judged pictures.

    Args:
        clips: tracked.
        driver: makes their motions.
        studio: makes portraits, and finds landmarks in what is shown.
        methods: networks; the warp alone and the copied photo are always compared.
        judge: measures.

    Raises:
        PhotoUnsuitable: a clip without a face.
    """
    for clip in clips:
        footage = open_footage(clip, driver, studio, [run_up(clip, look) for look in chosen_looks(clip)])
        shows = [Show(footage.stage.rig, method) for method in (WARP_ONLY, *methods)]
        rounds = (_Round(footage, run, studio, judge) for run in footage.runs)
        yield from means([row for one in rounds for row in one.rows(*shows)])


class _Round:
    """All methods on one run of a clip."""

    def __init__(self, footage: Footage, run: Sequence[Look], studio: Studio, judge: Judge) -> None:
        self._footage, self._run, self._studio = footage, run, studio
        self._views = [footage.view(look) for look in run]
        self._trial: Trial = judge.trial(self._views[-1])
        self._mask = self._views[-1].mask(self._views[-1].landmarks)
        self._real = self._unrest([view.truth for view in self._views])
        self._eyes = float(np.linalg.norm(np.diff(self._views[-1].landmarks[list(INTEROCULAR), :2], axis=0)))

    def rows(self, warp: Show, *networks: Show) -> Iterator[ReenactRow]:
        """One per placing and method; unsmoothed motion is of interest for the warp alone."""
        picture, landmarks = self._trial.view.carried(self._footage.stage)
        copied = self._trial.likeness(picture, landmarks)
        placings = (Placing.SHOWN, Placing.MOTION, Placing.EXACT)
        found = {(placing, WARP): self._shown(placing, warp) for placing in placings}
        found |= {
            (placing, show.method.name): self._shown(placing, show)
            for placing in (Placing.SHOWN, Placing.EXACT)
            for show in networks
        }
        aim = Figures(self._off(landmarks, self._trial.view.landmarks), math.nan, math.nan, math.nan)
        yield self._row(Placing.SHOWN, COPY, copied, aim, found[Placing.SHOWN, WARP][0])
        for (placing, name), (likeness, figures) in found.items():
            yield self._row(placing, name, likeness, figures, found[placing, WARP][0])

    def _row(
        self, placing: Placing, method: str, likeness: Likeness, figures: Figures, warp: Likeness
    ) -> ReenactRow:
        name = self._footage.clip.name
        return ReenactRow(name, placing.value, method, Gain.over(warp, likeness), likeness, figures)

    def _shown(self, placing: Placing, show: Show) -> tuple[Likeness, Figures]:
        """The run by one method, and the figures of its last picture."""
        looks = self._run if show.remembers or placing is Placing.SHOWN else self._run[-1:]
        places = [self._footage.placed(look, placing) for look in looks]
        show.again()
        shown = [show.picture(place) for place in places]
        wanted = places[-1].vertices
        likeness = self._trial.likeness(shown[-1], wanted, whose=placing is Placing.SHOWN)
        aim = self._off(wanted, self._trial.view.landmarks)
        if placing is not Placing.SHOWN:
            return likeness, Figures(aim, math.nan, math.nan, math.nan)
        unrest = self._unrest([view.crop(one) for view, one in zip(self._views, shown, strict=True)])
        found = self._studio.retrack(shown[-1])
        if found is None:
            return likeness, Figures(aim, math.nan, math.nan, unrest / self._real)
        akd, mouth = self._off(wanted, found), self._off(wanted, found, _mouth_vertices())
        return likeness, Figures(aim, akd, mouth, unrest / self._real)

    def _off(self, a: F32, b: F32, vertices: Sequence[int] = range(FACE_VERTICES)) -> float:
        return vertex_distance(a, b, vertices) / self._eyes * 100

    def _unrest(self, crops: Sequence[U8]) -> float:
        """Grey levels: mean temporal error of a run; nan of a single picture."""
        errors = [temporal_error(a, b, self._mask) for a, b in pairwise(crops)]
        return float(np.mean(errors)) if errors else math.nan


def _mouth_vertices() -> list[int]:
    return np.flatnonzero(load_face_basis().parts == Part.MOUTH).tolist()


def means(rows: Sequence[ReenactRow], **named: object) -> list[ReenactRow]:
    """The mean of every placing and method, in order of appearance."""
    groups: dict[tuple[str, str], list[ReenactRow]] = {}
    for row in rows:
        groups.setdefault((row.placing, row.method), []).append(row)
    return [mean(group, **named) for group in groups.values()]


def summary(rows: Sequence[ReenactRow]) -> list[ReenactRow]:
    """Means over all clips; then, for every network, the clip on which it gains least over the warp."""
    average = means(rows, clip="all")
    worst = []
    for one in average:
        if one.method in (COPY, WARP):
            continue
        of_it = [row for row in rows if (row.placing, row.method) == (one.placing, one.method)]
        least = min(of_it, key=lambda row: row.gain.psnr_gain)
        worst.append(replace(least, clip=f"worst: {least.clip}"))
    return average + worst


def all_clips(data: Path) -> list[Path]:
    """The clips that show one person whose film is whole: CLIPS of driving/, and all of eval_sequences/.

    Raises:
        SourceMissing: there are no sequences.
    """
    sequences = sorted(path.parent for path in (data / "eval_sequences").glob("*/0000.jpg"))
    if not sequences:
        raise SourceMissing(f"There are no sequences in {data / 'eval_sequences'}", "Fetch the data again")
    return [*(data / "driving" / f"{name}.mp4" for name in CLIPS), *sequences]


def tracked_clips(paths: Iterable[Path], store: Store, track: Callable[[Path, Path], Clip]) -> Iterator[Clip]:
    """The clips, tracked one by one by clips.track_clip, or by one that remembers."""
    task = store.path("face_landmarker")
    return (track(path, task) for path in paths)
