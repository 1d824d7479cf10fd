"""A face in a video or camera as Motions: decoded, tracked, measured from its neutral. Pixels end here."""

from __future__ import annotations

from collections import deque
from collections.abc import Generator, Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass
from itertools import islice
from time import perf_counter_ns
from typing import Final

from streamfx.frames import FaceTrack, Motion
from streamfx.models.face_basis import load_face_basis
from streamfx.models.face_model import load_face_model
from streamfx.models.store import Store
from streamfx.realtime import ahead
from streamfx.source import Source
from streamfx.telemetry import StageTimer
from streamfx.track.landmarker import FaceTracker
from streamfx.track.motion import MotionEstimator

LOOKAHEAD: Final = 300
"""Pictures looked through for the driver's neutral before a film's first frame: no drifting start."""


@dataclass(frozen=True, slots=True)
class _Tracked:
    """One picture of the driver after tracking: its face, if one was found, and its place in time."""

    track: FaceTrack | None
    captured_ns: int
    seq: int
    epoch: int


class FaceDriver:
    """source -> face -> motion. Runs ahead of the animation in a thread of its own; pixels end here."""

    def __init__(
        self, source: Source, store: Store, timer: StageTimer, *, lookahead: int = LOOKAHEAD, depth: int = 8
    ) -> None:
        """Prepare the estimation; nothing is read yet.

        Args:
            source: the pictures.
            store: the models.
            timer: takes the times of the stages.
            lookahead: pictures of a file that are looked through ahead, for the neutral of whoever comes.
            depth: pictures tracked ahead in a thread of its own; 0 tracks in the caller's thread.
        """
        task = store.path("face_landmarker")
        self._source, self._timer, self._task = source, timer, task
        self._estimator = MotionEstimator(load_face_model(task).vertices, load_face_basis().rms)
        self._lookahead = 0 if source.info.live else lookahead
        self._depth = depth
        self.pictures = 0
        """Motions given, one per picture."""
        self.tracked = 0
        """Those in whose picture a face was followed."""
        self.turned = 0
        """Those in whose picture it was followed after the picture was turned upright."""
        self.turn = 0
        """Quarter turns counter-clockwise by which the latest of these pictures was turned."""

    def motions(self) -> Generator[Motion]:
        """One Motion per picture of the source. Close it before the source: a thread may be reading."""
        tracked = self._tracks()
        with closing(ahead(tracked, self._depth) if self._depth else tracked) as tracks:
            yield from self._estimated(tracks)

    def calibrate(self) -> None:
        """Take what the driver does now for their neutral."""
        self._estimator.calibrate()

    def _tracks(self) -> Generator[_Tracked]:
        with FaceTracker(self._task) as tracker:
            pictures = iter(self._source)
            while True:
                start_ns = perf_counter_ns()
                frame = next(pictures, None)
                if frame is None:
                    return
                self._timer.add("decode", perf_counter_ns() - start_ns)
                with self._timer.measure("track"):
                    track = tracker.track(frame)
                yield _Tracked(track, frame.captured_ns, frame.seq, frame.epoch)

    def _estimated(self, tracks: Iterator[_Tracked]) -> Iterator[Motion]:
        coming = deque(islice(tracks, self._lookahead))
        self._estimator.prime([one.track for one in coming if one.track is not None])
        for newest in tracks:
            coming.append(newest)
            yield self._motion(coming.popleft(), coming)
        while coming:
            yield self._motion(coming.popleft(), coming)

    def _motion(self, one: _Tracked, coming: Iterable[_Tracked]) -> Motion:
        track = one.track
        self.pictures += 1
        if track is not None:
            self.tracked += 1
            self.turned += track.turn != 0
            self.turn = track.turn
            if self._lookahead and not self._estimator.knows(track.person):
                own = (some.track for some in (one, *coming) if some.track is not None)
                self._estimator.prime([some for some in own if some.person == track.person])
        with self._timer.measure("motion"):
            return self._estimator.update(track, one.captured_ns, one.seq, one.epoch)
