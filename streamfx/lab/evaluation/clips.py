"""Clips for evaluation: the shared data, a clip's tracks, chosen pictures, and motions from them.

A clip is a video, or a folder of pictures that ../index.csv lists with their times.
"""

from __future__ import annotations

import csv
import os
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import numpy as np

from streamfx.driving.face import LOOKAHEAD
from streamfx.errors import SourceMissing, SourceUnreadable
from streamfx.frames import F32, U8, FaceTrack, Frame, Motion
from streamfx.geometry import F64, fit_pose, vertex_weights
from streamfx.portrait.photo import load_photo
from streamfx.source import open_source
from streamfx.topology import FACE_VERTICES
from streamfx.track.landmarker import FaceTracker
from streamfx.track.motion import MotionEstimator
from streamfx.track.neutral import Neutral, neutral_of_clip

VARIABLE: Final = "STREAMFX_SHARED"
"""Names the folder that holds `data/`; without it, `shared` beside the checkout is tried."""


def data_folder(named: Path | None = None) -> Path:
    """The data folder, with `driving/` and `portraits/` inside.

    Raises:
        SourceMissing: it is not there.
    """
    beside = Path(__file__).parents[4] / "shared"
    folder = named or Path(os.environ.get(VARIABLE) or beside) / "data"
    if not os.path.isdir(folder / "driving"):
        raise SourceMissing(
            f"There is no evaluation data in {folder}",
            f"Name its folder with --data, or the one above in {VARIABLE}",
        )
    return folder


@dataclass(frozen=True, slots=True)
class Look:
    """One picture of a clip: when, and the face found in it."""

    captured_ns: int
    seq: int
    epoch: int
    track: FaceTrack | None = field(repr=False)


@dataclass(frozen=True, slots=True)
class Clip:
    """A tracked clip. Its pictures are decoded again when they are needed."""

    path: Path
    looks: tuple[Look, ...] = field(repr=False)
    rest: int | None = None
    """Running number of the picture marked as rest, where one is."""

    @property
    def name(self) -> str:
        return self.path.stem

    def tracks(self) -> list[FaceTrack]:
        """The faces found, in order."""
        return [look.track for look in self.looks if look.track is not None]


def track_clip(path: Path, task: Path) -> Clip:
    """Track a clip as the product does.

    Raises:
        SourceMissing, SourceUnreadable: the clip cannot be read; ModelError: the landmarker fails.
    """
    with _opened(path) as frames, FaceTracker(task) as tracker:
        looks = [Look(f.captured_ns, f.seq, f.epoch, tracker.track(f)) for f in frames]
    return Clip(path, tuple(looks), _marked_rest(path) if path.is_dir() else None)


def pictures(path: Path, wanted: Collection[int]) -> dict[int, U8]:
    """The pictures u8 [H,W,3] of a clip with the given running numbers.

    Raises:
        SourceUnreadable: the clip ends before.
    """
    found: dict[int, U8] = {}
    with _opened(path) as frames:
        for frame in frames:
            if frame.seq in wanted:
                found[frame.seq] = frame.rgb
            if len(found) == len(wanted):
                return found
    raise SourceUnreadable(
        f"{path.name} lacks {len(wanted) - len(found)} of its pictures", "Fetch the data again"
    )


@contextmanager
def _opened(path: Path) -> Iterator[Iterator[Frame]]:
    """The frames of a video or of a folder's pictures."""
    if path.is_dir():
        yield _folder_frames(path)
        return
    with open_source(path) as source:
        yield source


def _folder_frames(folder: Path) -> Iterator[Frame]:
    for seq, row in enumerate(_listed(folder)):
        rgb = load_photo(folder.parent / row["file"]).rgb
        yield Frame(rgb, round(float(row["t"]) * 1e9), seq)


def _marked_rest(folder: Path) -> int | None:
    return next((seq for seq, row in enumerate(_listed(folder)) if row["is_rest"] == "1"), None)


def _listed(folder: Path) -> list[dict[str, str]]:
    """The rows of ../index.csv with this folder's pictures.

    Raises:
        SourceMissing: there is no index, or it lists none of them.
    """
    index = folder.parent / "index.csv"
    try:
        with index.open(newline="", encoding="utf-8") as file:
            rows = [row for row in csv.DictReader(file) if row["file"].startswith(f"{folder.name}/")]
    except OSError as error:
        raise SourceMissing(f"{index} cannot be read ({error.strerror})", "Fetch the data again") from error
    if not rows:
        raise SourceMissing(f"{index} lists no picture of {folder.name}", "Fetch the data again")
    return rows


@dataclass(frozen=True, slots=True)
class Driver:
    """What turns a clip's tracks into motions: the canonical face f32 [468,3] cm and its rms f32 [468] cm."""

    vertices: F32 = field(repr=False)
    rms: F32 = field(repr=False)

    def neutral(self, clip: Clip) -> Neutral | None:
        """The neutral that the pipeline finds for the clip; None where no face was found."""
        weights = vertex_weights(self.rms)
        return neutral_of_clip(_looked_ahead(clip), self.vertices.astype(np.float64), weights)

    def motions(self, clip: Clip, rest: FaceTrack | None = None) -> list[Motion]:
        """One motion per picture, as the pipeline makes them.

        Args:
            clip: the driver.
            rest: the track of a known rest frame, which then is the neutral; None: found automatically.
        """
        estimator = self._primed(_looked_ahead(clip) if rest is None else [rest])
        return [estimator.update(at.track, at.captured_ns, at.seq, at.epoch) for at in clip.looks]

    def unfiltered(self, look: Look, rest: FaceTrack) -> Motion:
        """The motion of one picture alone, so without any smoothing."""
        return self._primed([rest]).update(look.track, look.captured_ns, look.seq, look.epoch)

    def canonical(self, track: FaceTrack, neutral: Neutral) -> F64:
        """f64 [478,3] cm: the landmarks in the person's own canonical space, unfiltered."""
        pose = fit_pose(neutral.face[:FACE_VERTICES], track.landmarks, vertex_weights(self.rms))
        return pose.to_canonical(track.landmarks)

    def _primed(self, tracks: Sequence[FaceTrack]) -> MotionEstimator:
        estimator = MotionEstimator(self.vertices, self.rms)
        estimator.prime(tracks)
        return estimator


def _looked_ahead(clip: Clip) -> list[FaceTrack]:
    return [look.track for look in clip.looks[:LOOKAHEAD] if look.track is not None]
