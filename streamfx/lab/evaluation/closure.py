"""What must be exact: closed lips and lids meet, and a still face stays still.

Distances are those of rendered vertices in the output frame, scaled to 110 px between the outer eye corners.
A driver's lips or lids count as closed by the landmarks of that very picture, unfiltered: what the smoothing
leaves open is part of the figure.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt

from streamfx.frames import F32, Deformation, Motion, Rig
from streamfx.geometry import F64, Real
from streamfx.lab.evaluation.clips import Clip, Driver
from streamfx.models.face_basis import load_face_basis
from streamfx.models.face_model import load_face_model
from streamfx.models.store import Store
from streamfx.pipeline import load_portrait
from streamfx.portrait.deform import deform
from streamfx.topology import FACE_VERTICES, INTEROCULAR, LID_LOWER, LID_UPPER, LIP_LOWER, LIP_UPPER
from streamfx.track.closure import LIDS_CLOSED, lid_closure, lid_openings, lip_gaps
from streamfx.track.neutral import Neutral

REFERENCE_PX: Final = 110.0
"""Between the outer eye corners: the distance that all figures are scaled to."""
SIZE: Final = (640, 480)
PORTRAITS: Final = (
    "london_006_neutral.jpg",
    "canada_010f.jpg",
    "lisa1.jpg",
    "astronaut.png",
    "art/mona_lisa.jpg",
)
WITHOUT_FACE: Final = ("no_face_caminandes",)

QUIET_PX: Final = 0.12
"""px a picture: a face whose landmarks, averaged over half a second, move less is still."""
QUIET_WINDOW: Final = 6
"""Pictures averaged on each side to measure that."""
SHUT: Final = 0.98
"""Of the unfiltered closure: from here on an eye is shut."""
FEWEST_STILL: Final = 12
"""Still pictures a driver must offer before its jitter counts."""


Gaps = tuple[F32, F32, F32, F32]
"""f32 [n] px each: lips asked to close, lips seen closed, lids asked to close, lids seen closed."""


@dataclass(frozen=True, slots=True)
class Spread:
    """How a figure is distributed."""

    count: int
    mean: float
    p99: float
    largest: float

    @staticmethod
    def of(values: Real) -> Spread:
        """Of any number of values; zeros where there are none."""
        if not values.size:
            return Spread(0, 0.0, 0.0, 0.0)
        return Spread(
            values.size, float(values.mean()), float(np.percentile(values, 99)), float(values.max())
        )


@dataclass(frozen=True, slots=True)
class ClosureRow:
    """One driver on several portraits. Lengths in px at 110 px between the outer eye corners."""

    clip: str
    lips: Spread
    """Gap of every lip pair that is asked to be closed (Motion.lip_gaps 0)."""
    lips_seen: Spread
    """Gap of every lip pair in every picture in which the driver's lips are closed."""
    lids: Spread
    """Gap of every lid pair of every eye that is asked to be shut (Motion.lid_closure 1)."""
    lids_seen: Spread
    """Gap of every lid pair of every eye that is shut in the driver's picture."""
    still_pictures: int
    jitter: float
    """Standard deviation of the rendered landmarks' second difference while the driver is still, or nan."""
    jitter_in: float
    """The same of the driver's own landmarks."""


@dataclass(frozen=True, slots=True)
class Measured:
    """Everything measured of one driver on all portraits; px at 110 px between the outer eye corners."""

    clip: str
    gaps: Gaps
    still_pictures: int
    jitters: F64
    """f64 [portraits], nan where the driver is hardly still."""
    jitter_in: float

    def row(self) -> ClosureRow:
        """The figures."""
        lips, lips_seen, lids, lids_seen = (Spread.of(gaps) for gaps in self.gaps)
        jitter_out = float(self.jitters.mean())
        return ClosureRow(
            self.clip, lips, lips_seen, lids, lids_seen, self.still_pictures, jitter_out, self.jitter_in
        )


def overall(measured: Sequence[Measured]) -> ClosureRow:
    """All drivers together; jitter is that of the worst."""
    worst = max(measured, key=lambda one: np.nan_to_num(one.jitters.mean(), nan=-1.0))
    still_pictures = sum(one.still_pictures for one in measured)
    gaps = _pooled([one.gaps for one in measured])
    return Measured("all", gaps, still_pictures, worst.jitters, worst.jitter_in).row()


@dataclass(frozen=True, slots=True)
class Expected:
    """What the driver really does in each picture with a face, by its unfiltered landmarks."""

    at: npt.NDArray[np.int64]
    """i64 [N]: which of the clip's pictures these are."""
    closed: npt.NDArray[np.bool_]
    """bool [N]: all lip pairs meet."""
    shut: npt.NDArray[np.bool_]
    """bool [N,2]: right, left eye."""
    points: F32
    """f32 [N,468,2] px at 110 px between the eyes."""


def expected(clip: Clip, driver: Driver, neutral: Neutral) -> Expected:
    """Measure a clip's pictures one by one."""
    looks = [(i, look.track) for i, look in enumerate(clip.looks) if look.track is not None]
    faces = [driver.canonical(track, neutral) for _, track in looks]
    at_rest = lid_openings(neutral.face)
    points = np.array([track.landmarks[:FACE_VERTICES, :2] for _, track in looks])
    return Expected(
        at=np.array([i for i, _ in looks]),
        closed=np.array([not lip_gaps(face, neutral.face).any() for face in faces]),
        shut=np.array([_shut(face, at_rest) for face in faces]),
        points=points * np.float32(REFERENCE_PX / np.median(_eye_distances(points))),
    )


def _shut(face: F64, at_rest: F64) -> npt.NDArray[np.bool_]:
    """bool [2]: by its own opening, and by the closure that is asked of the portrait."""
    openings = lid_openings(face)
    out: npt.NDArray[np.bool_] = (openings <= LIDS_CLOSED) & (lid_closure(openings, at_rest) >= SHUT)
    return out


def _eye_distances(points: Real) -> F64:
    out: F64 = np.linalg.norm(points[:, INTEROCULAR[0]] - points[:, INTEROCULAR[1]], axis=1).astype(
        np.float64
    )
    return out


def still(points: F32) -> npt.NDArray[np.bool_]:
    """bool [N]: pictures about which landmarks f32 [N,468,2] px hold still, slow drift aside."""
    out = np.zeros(len(points), bool)
    n = QUIET_WINDOW
    for i in range(n, len(points) - n):
        moved = points[i + 1 : i + 1 + n].mean(0) - points[i - n : i].mean(0)
        out[i] = np.sqrt(np.square(moved).sum(1).mean()) < QUIET_PX * (n + 1)
    return out


def jitter(points: Real, quiet: npt.NDArray[np.bool_]) -> float:
    """px: standard deviation of the second difference of [N,K,2] where `quiet` bool [N]; nan without such."""
    second = points[2:] - 2 * points[1:-1] + points[:-2]
    steady = quiet[2:] & quiet[1:-1] & quiet[:-2]
    return float(second[steady].std()) if steady.sum() >= FEWEST_STILL else float("nan")


def measure(clip: Clip, driver: Driver, neutral: Neutral, rigs: Sequence[Rig]) -> Measured:
    """Render (geometry only) one driver on all rigs and measure."""
    truth, motions = expected(clip, driver, neutral), driver.motions(clip)
    quiet = still(truth.points)
    asked = [motions[i] for i in truth.at]
    points = [np.array([_scaled(deform(rig, motion), rig) for motion in asked]) for rig in rigs]
    return Measured(
        clip=clip.name,
        gaps=_pooled([_gaps_of(shown, asked, truth) for shown in points]),
        still_pictures=int(quiet.sum()),
        jitters=np.array([jitter(shown, quiet) for shown in points]),
        jitter_in=jitter(truth.points, quiet),
    )


def _gaps_of(shown: F32, asked: Sequence[Motion], truth: Expected) -> Gaps:
    """f32 [n] each: gaps where lips are asked to meet, where they were seen to, and the same of the lids.

    Args:
        shown: f32 [N,468,2] px.
        asked, truth: N each.
    """
    lips = _gaps(shown, LIP_UPPER, LIP_LOWER)
    lids = np.stack([_gaps(shown, LID_UPPER[eye], LID_LOWER[eye]) for eye in (0, 1)], axis=1)
    lips_asked = np.array([motion.lip_gaps == 0 for motion in asked])
    lids_asked = np.array([motion.lid_closure == 1 for motion in asked])
    return lips[lips_asked], lips[truth.closed].ravel(), lids[lids_asked].ravel(), lids[truth.shut].ravel()


def _scaled(deformation: Deformation, rig: Rig) -> F32:
    """f32 [468,2]: the face's vertices, as if the portrait at rest had 110 px between the eyes."""
    at_rest = rig.landmarks[list(INTEROCULAR), :2]
    return deformation.vertices[:FACE_VERTICES] * np.float32(
        REFERENCE_PX / np.linalg.norm(at_rest[0] - at_rest[1])
    )


def _gaps(points: F32, uppers: Sequence[int], lowers: Sequence[int]) -> F32:
    """f32 [N,pairs] px of points f32 [N,468,2]."""
    out: F32 = np.linalg.norm(points[:, list(lowers)] - points[:, list(uppers)], axis=2)
    return out


def _pooled(gaps: Sequence[Gaps]) -> Gaps:
    """Several measurements as one."""
    a, b, c, d = (np.concatenate([np.zeros(0, np.float32), *kind]) for kind in zip(*gaps, strict=True))
    return a, b, c, d


def closure(
    data: Path,
    store: Store,
    track: Callable[[Path, Path], Clip],
    names: Iterable[str] | None = None,
    portraits: Iterable[str] = PORTRAITS,
) -> list[Measured]:
    """Measure every driver with a face.

    Args:
        data: see clips.data_folder.
        store: the models.
        track: clips.track_clip, or one that remembers.
        names: drivers of `data`/driving by stem; None: all.
        portraits: photos of `data`/portraits.

    Raises:
        SourceError, PhotoError, ModelError: a clip, photo or model is missing or unfit.
    """
    task = store.path("face_landmarker")
    driver = Driver(load_face_model(task).vertices, load_face_basis().rms)
    rigs = [load_portrait(data / "portraits" / name, SIZE, store).rig for name in portraits]
    measured = []
    for path in _drivers(data, names):
        clip = track(path, task)
        neutral = driver.neutral(clip)
        if neutral is not None:
            measured.append(measure(clip, driver, neutral, rigs))
    return measured


def _drivers(data: Path, names: Iterable[str] | None) -> list[Path]:
    everything = {path.stem: path for path in sorted((data / "driving").iterdir())}
    chosen = [name for name in everything if name not in WITHOUT_FACE] if names is None else list(names)
    return [everything[name] for name in chosen]
