"""What the API tells, as values: of sessions and of devices."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from streamfx.quality import Quality

_UPSIDE_DOWN: Final = 180


class State(StrEnum):
    """Of a session, for a person."""

    STARTING = "starting"
    """The worker is not up yet; the idle portrait is shown."""
    LIVE = "live"
    """The driver moves the portrait."""
    WAITING = "waiting"
    """Nothing drives it: no source is asked for, it is lost, nobody reads (on_demand), or no face is seen."""
    HIDDEN = "hidden"
    PAUSED = "paused"
    DEGRADED = "degraded"
    """The worker failed too often; the idle portrait is shown, and it is tried again later."""


class SourceState(StrEnum):
    """Of what drives."""

    CLOSED = "closed"
    OPENING = "opening"
    OPEN = "open"
    LOST = "lost"
    """It failed or went away; it is tried again."""


@dataclass(frozen=True, slots=True)
class SourceStatus:
    """What drives the portrait."""

    state: SourceState = SourceState.CLOSED
    name: str = ""
    fps: float = 0.0
    """Pictures a second that it gives, measured."""
    dropped: int = 0
    """Pictures overtaken by newer ones before they were tracked."""
    tracked: float = 0.0
    """Share of the latest pictures in which a face was followed, 0 to 1."""
    trouble: str = ""
    """Cause and remedy, one line; empty while all is well."""
    turned: int = 0
    """Degrees clockwise by which its pictures are turned so that the face stands upright."""
    damaged: int = 0
    """Pieces of its stream that could not be decoded and were skipped, since it was opened."""
    note: str = ""
    """What is worth knowing and no trouble (source_note); empty while there is nothing."""

    @property
    def lies(self) -> str:
        """How its pictures come, in words: `upside down` or `sideways`; empty where they are upright."""
        return _lies(self.turned)


def source_note(name: str, turned: int, unread: float) -> str:
    """What is worth knowing of a source, in one line.

    Args:
        name: of the camera or file.
        turned: as in SourceStatus.
        unread: share of a joined file that is another film, which is not read.
    """
    notes = []
    if turned:
        notes.append(f"the pictures of {name} come {_lies(turned)} and are turned by {turned} degrees")
    if unread:
        notes.append(f"the last {unread:.0%} of {name} are another film, joined to it, which is not played")
    return "; ".join(notes)


def _lies(turned: int) -> str:
    if not turned:
        return ""
    return "upside down" if turned == _UPSIDE_DOWN else "sideways"


@dataclass(frozen=True, slots=True)
class CameraStatus:
    """The virtual camera."""

    name: str = ""
    """As call apps list it; empty without one."""
    device: str = ""
    readers: int | None = None
    """Programs that read it now; None where that cannot be told."""
    trouble: str = ""


@dataclass(frozen=True, slots=True)
class Percentiles:
    """Of times, ms."""

    p50: float
    p95: float
    p99: float


@dataclass(frozen=True, slots=True)
class Counters:
    """Since the session began."""

    published: int = 0
    """Pictures given to the camera and the ring."""
    fresh: int = 0
    """Of them, those that the worker rendered anew for their tick."""
    repeated: int = 0
    """Those that repeated the last rendered picture (HELD)."""
    idle: int = 0
    """Those of the idle portrait."""
    skipped: int = 0
    """Ticks that passed without a picture, because the machine was stalled."""
    refused: int = 0
    """Pictures that the camera did not take."""
    restarts: int = 0
    """Workers that had to be replaced."""


@dataclass(frozen=True, slots=True)
class SessionStatus:
    """A session at a moment."""

    id: str
    state: State
    quality: Quality
    """Of the last published picture."""
    fps: float
    """Pictures published a second, over the latest seconds."""
    latency_ms: Percentiles | None
    """From capture to publication, of the latest fresh pictures; None without any."""
    source: SourceStatus
    camera: CameraStatus
    counters: Counters
    portrait: str
    """Identifier of the one that is shown."""
    readying: tuple[str, ...] = ()
    """Portraits of the session that are not loaded yet."""
    worker_pid: int = 0
    """0 while there is none."""
    trouble: str = ""
    """What is wrong and what to do, one line; empty while all is well."""
    ring_readers: int = 0
    """Programs that show its pictures now from the ring (ipc/ring_server.py)."""


class DeviceKind(StrEnum):
    """What a device is for."""

    DRIVING = "driving"
    """A real camera or a feed: what it shows can drive a portrait."""
    VIRTUAL = "virtual"
    """Call apps see the portrait in it."""


class PreviewFormat(StrEnum):
    """As what pictures are sent."""

    JPEG = "jpeg"
    """Each by itself."""
    H264 = "h264"
    """A stream: about a sixth of the bytes; each picture needs those before it, back to a key picture."""


@dataclass(frozen=True, slots=True)
class DeviceInfo:
    """A camera of this machine, real or virtual."""

    kind: DeviceKind
    spec: str
    """What a session's `source` (driving) or `output.camera` (virtual) takes."""
    name: str
    """As call apps and people know it."""
    permitted: bool = True
    """Whether the daemon may open it."""
    trouble: str = ""
    """What is wrong with it and what to do, one line; empty while all is well."""
