"""What drives a live portrait, each kind as a stream of motions in real time: camera, video, template."""

from __future__ import annotations

import logging
from collections.abc import Generator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from threading import Event
from time import monotonic_ns
from typing import Final, Protocol

from streamfx.config import demo_motion_file
from streamfx.driving.face import FaceDriver
from streamfx.driving.template import MotionTemplate
from streamfx.errors import SourceMissing
from streamfx.frames import Motion
from streamfx.models.store import Store
from streamfx.settings.source import SourceKind, SourceSpec
from streamfx.source import Source, SourceStatistics, list_cameras, open_source
from streamfx.source.looped import LoopedSource, PacedSource
from streamfx.telemetry import StageTimer
from streamfx.track.continuity import mix

_SEAM_S: Final = 0.5
"""Over which the end of a template passes into its beginning."""

_STOPPED_NS: Final = 1_000_000_000
"""A template that is so late was stopped with its process, or the machine was suspended."""

_log = logging.getLogger(__name__)


class LiveDriver(Protocol):
    """A driver, open."""

    @property
    def name(self) -> str:
        """Of the camera or file."""
        ...

    @property
    def pictures(self) -> int:
        """Motions given."""
        ...

    @property
    def tracked(self) -> int:
        """Those in whose picture a face was followed."""
        ...

    @property
    def turned(self) -> int:
        """Degrees clockwise by which pictures are turned so that the face stands upright."""
        ...

    @property
    def statistics(self) -> SourceStatistics:
        """Of the camera or file."""
        ...

    def motions(self) -> Generator[Motion]:
        """Motions as they happen, times on the monotonic clock, until `interrupt`."""
        ...

    def calibrate(self) -> None:
        """Take what the driver does now for their neutral."""
        ...

    def interrupt(self) -> None:
        """Let `motions` end soon; from any thread. Closing a camera may take its time."""
        ...

    def close(self) -> None:
        """Release the camera or file; by the thread that took the motions."""
        ...


def open_live(
    spec: str, store: Store, timer: StageTimer, hardware: bool, feeds: Path | None = None
) -> LiveDriver:
    """Open what drives.

    Args:
        spec: `auto`, `demo`, a camera, a feed, a video file or a motion template (SessionSettings.source).
        store, timer: for the tracker.
        hardware: whether an NVIDIA card is to decode a video, where it can.
        feeds: folder of the feeds' sockets; None takes the runtime folder.

    Raises:
        SourceError, MotionUnreadable: it cannot be opened.
    """
    match SourceSpec.parse(spec).kind:
        case SourceKind.DEMO:
            return TemplateLoop(demo_motion_file().resolve())
        case SourceKind.TEMPLATE:
            return TemplateLoop(Path(spec))
        case SourceKind.VIDEO:
            source: Source = PacedSource(LoopedSource(Path(spec), hardware=hardware))
            if hardware:
                _log.info("the driver is decoded by %s", source.statistics.decoder)
        case SourceKind.AUTO:
            source = open_source(_first_camera())
        case _:
            source = open_source(spec, feeds=feeds)
    return FaceFollower(source, store, timer)


def _first_camera() -> str:
    cameras = [camera for camera in list_cameras() if not camera.virtual]
    usable = [camera for camera in cameras if camera.permitted] or cameras
    if not usable:
        raise SourceMissing("No camera was found", "Plug one in, or drive the portrait with a video file")
    return usable[0].spec


class FaceFollower:
    """A camera or feed, or a video as if it were one, tracked in the thread that takes the motions."""

    def __init__(self, source: Source, store: Store, timer: StageTimer) -> None:
        self._source = source
        self._face = FaceDriver(source, store, timer, lookahead=0, depth=0)
        self._name = source.info.name

    @property
    def name(self) -> str:
        return self._name

    @property
    def pictures(self) -> int:
        return self._face.pictures

    @property
    def tracked(self) -> int:
        return self._face.tracked

    @property
    def turned(self) -> int:
        return -90 * self._face.turn % 360

    @property
    def statistics(self) -> SourceStatistics:
        return self._source.statistics

    def motions(self) -> Generator[Motion]:
        with closing(self._face.motions()) as motions:
            yield from motions

    def calibrate(self) -> None:
        self._face.calibrate()

    def interrupt(self) -> None:
        self._source.interrupt()

    def close(self) -> None:
        self._source.close()


class TemplateLoop:
    """A motion template in rounds; its end passes into its beginning."""

    def __init__(self, path: Path) -> None:
        template = MotionTemplate.load(path)
        self.name = path.name
        self.pictures = self.tracked = self.turned = 0
        self.statistics = SourceStatistics()
        self._motions = _seamless(list(template.frames()), round(_SEAM_S * template.fps))
        self._fps = template.fps
        self._ending = Event()

    def motions(self) -> Generator[Motion]:
        start_ns, seq = monotonic_ns(), 0
        while True:
            due_ns = start_ns + round(seq * 1e9 / self._fps)
            late_ns = monotonic_ns() - due_ns
            if late_ns > _STOPPED_NS:  # go on from there, rather than make up for it
                start_ns, due_ns = start_ns + late_ns, due_ns + late_ns
            if self._ending.wait(max(0.0, (due_ns - monotonic_ns()) / 1e9)):
                return
            motion = self._motions[seq % len(self._motions)]
            self.pictures += 1
            self.tracked += not motion.held
            yield replace(motion, captured_ns=due_ns, seq=seq, epoch=0)
            seq += 1

    def calibrate(self) -> None:
        """A template's motions are offsets from its neutral already."""

    def interrupt(self) -> None:
        self._ending.set()

    def close(self) -> None:
        """Nothing is open."""


def _seamless(motions: list[Motion], seam: int) -> list[Motion]:
    """The motions with the last `seam` of them mixed into the first, and left out."""
    if len(motions) < 3 * seam or seam < 1:
        return motions
    end = motions[-seam:]
    begun = [mix(end[i], motions[i], (i + 1) / (seam + 1)) for i in range(seam)]
    return [*begun, *motions[seam:-seam]]
