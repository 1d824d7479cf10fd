"""What drives the portrait: a video, a webcam or a template, as motions at an even rate."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path
from typing import Final, Protocol

from streamfx.driving.face import FaceDriver
from streamfx.driving.template import MotionTemplate, naming
from streamfx.driving.template_format import MAGIC
from streamfx.errors import SourceFaceless, StreamfxError, UsageError
from streamfx.files import DRIVER, TEMPLATE, check_readable, open_regular
from streamfx.frames import Motion
from streamfx.models.store import Store
from streamfx.settings.source import SourceKind, SourceSpec
from streamfx.source import SoundReader, Source, SourceStatistics, open_source
from streamfx.telemetry import StageTimer
from streamfx.track.continuity import mix

Rate = Callable[[float], float]
"""The rate of the motions for the driver's own."""

FPS: Final = (1.0, 120.0)
"""A film takes its driver's rate within these; files with broken headers claim wilder ones."""


class Kind(StrEnum):
    """What kind of driver it is."""

    VIDEO = "video"
    CAMERA = "camera"
    """Or a feed, another program as a camera."""
    TEMPLATE = "template"


@dataclass(frozen=True, slots=True)
class Account:
    """What a driver gave, so far."""

    pictures: int
    """Pictures of the source, or frames of the template."""
    tracked: int
    """Those in which a face was followed."""
    turned: int
    """Those whose picture was turned for it: faces stood on their heads or lay sideways."""
    statistics: SourceStatistics | None
    """Of the source; a template has none."""

    @property
    def share(self) -> float:
        """Of the pictures in which a face was followed, 0 to 1."""
        return self.tracked / max(1, self.pictures)


class Driver(Protocol):
    """A driver, open."""

    kind: Kind
    name: str
    fps: float
    """Of the motions that it yields, constant."""

    @property
    def expected(self) -> int | None:
        """How many motions will come, as far as is known so far."""
        ...

    def motions(self) -> Generator[Motion]:
        """Motions at even times. Close it before the driver."""
        ...

    def account(self) -> Account:
        """What was driven so far."""
        ...

    def sound(self) -> SoundReader | None:
        """What is heard while it drives, to be closed; None if nothing is.

        Raises:
            SourceError: there is sound, but it cannot be read.
        """
        ...


def kind_of(spec: str) -> Kind:
    """What a DRIVER on the command line is, by its form, its suffix or its first bytes; it need not exist.

    Raises:
        UsageError: it begins as a feed and names none.
    """
    source = SourceSpec.parse(spec)
    if source.is_camera:
        return Kind.CAMERA
    if source.kind is SourceKind.TEMPLATE:
        return Kind.TEMPLATE
    with suppress(StreamfxError, OSError), open_regular(Path(spec), TEMPLATE) as file:
        if file.read(len(MAGIC)) == MAGIC:
            return Kind.TEMPLATE
    return Kind.VIDEO


def check_driving_file(spec: str) -> None:
    """Find before the models are fetched that a video or template cannot be read; a camera is not touched."""
    kind = kind_of(spec)
    if kind is not Kind.CAMERA:
        check_readable(Path(spec), TEMPLATE if kind is Kind.TEMPLATE else DRIVER)


def check_length(spec: str, duration_s: float | None) -> None:
    """A camera never ends: raises UsageError unless the length is given."""
    if kind_of(spec) is Kind.CAMERA and duration_s is None:
        raise UsageError(f"The camera {spec} has no end", "Say how long with --duration SECONDS")


def require_face(driver: Driver) -> None:
    """Refuse what was a driver of nothing. Raises SourceFaceless if no picture so far showed a face."""
    account = driver.account()
    if account.tracked:
        return
    cause = f"No face was found in any of the {account.pictures} pictures of {driver.name}"
    remedy = "Use a video of one face, well lit and turned to the camera, or ask for it with --allow-no-face"
    raise SourceFaceless(cause, remedy)


@contextmanager
def open_driver(
    spec: str,
    store: Store,
    timer: StageTimer,
    *,
    fps: float | None = None,
    duration_s: float | None = None,
    hardware: bool = False,
    shown: Rate = float,
) -> Iterator[Driver]:
    """The driver named on the command line.

    Args:
        spec: a video file, a motion template, a camera (`0`, `camera:0`, `/dev/video0`) or `feed:NAME`.
        store, timer: for the tracker.
        fps: of the motions; by default the driver's own.
        duration_s: where to end.
        hardware: whether an NVIDIA card is to decode a video, where it can.
        shown: the rate that can be shown, for one that is wanted.

    Raises:
        SourceError, MotionUnreadable: it cannot be opened.
    """

    def rate(own: float) -> float:
        return shown(fps or own)

    if kind_of(spec) is Kind.TEMPLATE:
        yield TemplateDriver(Path(spec), rate, duration_s)
        return
    with open_source(spec, hardware=hardware) as source:
        yield SourceDriver(source, store, timer, rate, duration_s)


class SourceDriver:
    """A video or a camera, tracked."""

    def __init__(
        self, source: Source, store: Store, timer: StageTimer, rate: Rate, duration_s: float | None
    ) -> None:
        info = source.info
        self.kind = Kind.CAMERA if info.live else Kind.VIDEO
        self.name = info.name
        self.fps = rate(min(max(info.fps, FPS[0]), FPS[1]))
        self._length_s = info.duration_s or (info.frames or 0) / info.fps
        self._source, self._duration_s = source, duration_s
        self._face = FaceDriver(source, store, timer)

    @property
    def expected(self) -> int | None:
        """From the length that the file tells, less the holes and more the joined films found so far."""
        length_s = self._length_s and self._length_s + self._source.statistics.longer_s
        return _expected(length_s, self._duration_s, self.fps)

    def motions(self) -> Generator[Motion]:
        """Motions at even times, whatever the source's own."""
        with closing(self._face.motions()) as motions:
            yield from retime(until(motions, self._duration_s), self.fps)

    def account(self) -> Account:
        """Of the pictures that became motions; the source's own counters include what was looked ahead."""
        return Account(self._face.pictures, self._face.tracked, self._face.turned, self._source.statistics)

    def sound(self) -> SoundReader | None:
        """That of a video; from cameras none is taken."""
        return self._source.sound()


class TemplateDriver:
    """A motion template: numbers already, nothing is tracked."""

    kind = Kind.TEMPLATE

    def __init__(self, path: Path, rate: Rate, duration_s: float | None) -> None:
        recorded = MotionTemplate.load(path)
        self.name = path.name
        self.fps = rate(recorded.fps)
        self._template = recorded.resample(self.fps)
        with naming(path):
            self._template.frames()  # of another basis: told now, before the photo is solved
        self._duration_s = duration_s
        self.expected = _expected(len(self._template) / self.fps, duration_s, self.fps)
        self._pictures = self._tracked = 0

    def motions(self) -> Generator[Motion]:
        """The recorded motions at even times."""
        for motion in until(self._template.frames(), self._duration_s):
            self._pictures += 1
            self._tracked += not motion.held
            yield motion

    def account(self) -> Account:
        """Of the frames given, at the film's rate: in which a face was followed when they were recorded."""
        return Account(self._pictures, self._tracked, 0, None)

    def sound(self) -> None:
        """A template has none."""


def until(motions: Iterable[Motion], seconds: float | None) -> Iterator[Motion]:
    """The motions of the first `seconds`, all if None."""
    start_ns: int | None = None
    for motion in motions:
        start_ns = motion.captured_ns if start_ns is None else start_ns
        if seconds is not None and motion.captured_ns - start_ns >= seconds * 1e9:
            return
        yield motion


def _expected(length_s: float, duration_s: float | None, fps: float) -> int | None:
    known = [length for length in (length_s, duration_s) if length is not None and length > 0]
    return max(1, round(min(known) * fps)) if known else None


_LONGEST_STEP_NS = 250_000_000  # over a longer gap, or into another epoch, nothing is interpolated


def retime(motions: Iterable[Motion], fps: float) -> Iterator[Motion]:
    """Motions at even times, `fps` a second from the first one's, interpolated between neighbours.

    So a driver of varying or other rate makes a film that neither stutters nor drifts from its sound. The
    last motion is held to the end of its own picture's time, as a player would.
    """
    step = 1e9 / fps
    last: Motion | None = None
    start, seq, gap = 0, 0, round(step)
    for motion in motions:
        if last is None:
            last, start = motion, motion.captured_ns
            continue
        while (now := start + round(seq * step)) < motion.captured_ns:
            yield _between(last, motion, now, seq)
            seq += 1
        gap = motion.captured_ns - last.captured_ns
        last = motion
    if last is None:
        return
    end = last.captured_ns + min(gap, _LONGEST_STEP_NS) - step / 100  # times are rounded: no frame of nothing
    while (now := start + round(seq * step)) < end:
        yield replace(last, captured_ns=now, seq=seq)
        seq += 1


def _between(last: Motion, following: Motion, now: int, seq: int) -> Motion:
    """The motion at `now`, mixed from its neighbours; lost or not as the nearer one is."""
    span = following.captured_ns - last.captured_ns
    if span > _LONGEST_STEP_NS or last.epoch != following.epoch:
        return replace(last, captured_ns=now, seq=seq)
    share = (now - last.captured_ns) / span
    nearer = last if share < 0.5 else following
    return replace(mix(last, following, share), captured_ns=now, seq=seq, held=nearer.held)
