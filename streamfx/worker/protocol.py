"""What the daemon tells its worker and its publisher, and what it hears back, as values.

They travel as JSON (channel.py).
"""

from __future__ import annotations

import struct
from dataclasses import asdict, dataclass, field
from typing import Any, ClassVar, Final

from streamfx.errors import SettingRefused
from streamfx.ipc.failure import Failure
from streamfx.settings.session import NOTHING, SessionSettings, changed, flat

PACKET: Final = struct.Struct("<IB")
"""Before each packet of a preview's encoder: its bytes; 1 if it is a key picture."""
PUBLISHING, STANDBY = "publishing", "standby"
"""Phases of a publisher: it publishes, or it is ready to."""
IDLE: Final = "idle"
"""Folder, in the daemon's own, in which idle portraits are handed over."""
Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Begin:
    """The first order: what stays as it is for the worker's life."""

    KIND: ClassVar[str] = "begin"
    width: int
    height: int
    fps: float
    ring: int
    """Descriptor of the ring's memory, inherited."""
    card: str = ""
    """Socket of the process that draws on the card for all (worker/sharing/wire.py); empty: this one does."""
    feeds: str = ""
    """Folder of the feeds' sockets (source/feed.py), and of idle portraits that are handed over; the daemon's
    own; empty: the runtime folder."""
    files: str = ""
    """Socket of the files that clients handed over (streamfx/ipc/handed.py); empty: there are none."""
    networks: tuple[str, ...] = ()
    """Those that the first orders will need: compiled while the worker imports the rest."""


@dataclass(frozen=True, slots=True)
class PortraitFile:
    """A portrait to keep loaded."""

    id: str
    photo: str
    """Path of the photo."""
    references: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class WorkerConfig:
    """Everything that the worker is to do, whole: it compares it with the last one."""

    KIND: ClassVar[str] = "config"
    settings: SessionSettings = field(default_factory=lambda: SessionSettings(source=NOTHING))
    """The session's; its source is NOTHING while none is to be open."""
    portraits: tuple[PortraitFile, ...] = ()

    def networks(self) -> tuple[str, ...]:
        """The networks that OpenVINO runs for it (models.weights.NetworkName)."""
        if self.settings.device != "cpu":
            return ()
        places = {"refine": self.settings.refine, "mouth": self.settings.mouth}
        return tuple(f"{place}-{one}" for place, one in places.items() if one not in ("off", "procedural"))


@dataclass(frozen=True, slots=True)
class BeginPublishing:
    """The first order to a publisher: what stays as it is for its life."""

    KIND: ClassVar[str] = "begin publishing"
    width: int
    height: int
    fps: float
    worker: int
    """Descriptor of the ring that the worker writes, inherited."""
    ring: int
    """Of the ring that is published."""
    previews: int
    """Of the ring for previews."""
    camera: str
    """As SessionSettings.output.camera; empty for none."""
    required: bool
    """Whether to give up where the camera cannot be opened; else it is tried every second."""
    cut_out: bool
    """Whether to begin with a silhouette without background."""
    priority: str
    """Of the threads that publish (streamfx/priority.py)."""
    standby: bool = False
    """Whether to stand ready, and to open the camera and publish only when told to take over."""


@dataclass(frozen=True, slots=True)
class TakeOver:
    """The publisher before is gone: the one on standby publishes from now on."""

    KIND: ClassVar[str] = "take over"


@dataclass(frozen=True, slots=True)
class Show:
    """What a publisher is to show, whole."""

    KIND: ClassVar[str] = "show"
    mirror: bool = False
    badge: str = ""
    mirror_preview: bool = False
    resting: bool = False
    """The idle portrait, whatever drives."""
    previewed: bool = False
    """Whether the ring for previews is to be written, too."""
    idle: str = ""
    """Path of the idle portrait; empty for the silhouette."""
    idle_number: int = 0
    """Of the idle portrait: another number is another one, or the same made anew."""
    cut: bool = False
    """Whether it came with a change of portraits: what was live before is dropped at once."""


@dataclass(frozen=True, slots=True)
class Calibrate:
    """Take what the driver does now for their neutral."""

    KIND: ClassVar[str] = "calibrate"


@dataclass(frozen=True, slots=True)
class MotionMessage:
    """One motion of a remote driver; its numbers are the payload (driving/remote.py)."""

    KIND: ClassVar[str] = "drive"


@dataclass(frozen=True, slots=True)
class Stop:
    """Release everything and leave."""

    KIND: ClassVar[str] = "stop"


@dataclass(frozen=True, slots=True)
class Phase:
    """What the worker is about to do, and how long it may show no progress meanwhile."""

    KIND: ClassVar[str] = "phase"
    name: str
    patience_s: float


@dataclass(frozen=True, slots=True)
class Loaded:
    """A portrait can be shown."""

    KIND: ClassVar[str] = "loaded"
    id: str
    idle: str
    """Path of its idle portrait, the daemon's to delete; empty where it could not be written."""
    cut_out: bool = False
    """Whether that has alpha in place of a background."""
    sha256: str = ""
    """Of the photo's bytes."""


@dataclass(frozen=True, slots=True)
class PortraitRejected:
    """A portrait cannot be shown."""

    KIND: ClassVar[str] = "refused"
    id: str
    cause: str
    remedy: str


@dataclass(frozen=True, slots=True)
class SourceReport:
    """What drives, at the moment."""

    KIND: ClassVar[str] = "source"
    state: str
    """closed, opening, open or lost"""
    name: str = ""
    fps: float = 0.0
    dropped: int = 0
    tracked: float = 0.0
    trouble: str = ""
    turned: int = 0
    """Degrees clockwise by which its pictures are turned so that the face stands upright."""
    damaged: int = 0
    """Pieces of its stream that could not be decoded and were skipped."""
    unread: float = 0.0
    """Share of a joined file that is another film; known once it was played to its end."""


@dataclass(frozen=True, slots=True)
class Published:
    """What a publisher has shown so far, told several times a second."""

    KIND: ClassVar[str] = "published"
    quality: str
    """Of the last picture."""
    fps: float
    """Pictures a second over the latest ones."""
    latency_ms: tuple[float, ...]
    """From capture to publication of the latest fresh pictures: 50th, 95th and 99th percentile; or none."""
    published: int
    fresh: int
    repeated: int
    idle: int
    skipped: int
    refused: int
    trouble: str
    """Of the camera; empty while it takes pictures."""
    camera: str
    """Its name, as call apps list it; empty without one."""
    device: str
    readers: int | None
    """Programs that have the camera open; None where that cannot be told."""
    priority: str
    """Of the thread that publishes, as it was granted."""


Message = (
    Begin | WorkerConfig | Calibrate | MotionMessage | Stop | Phase | Loaded | PortraitRejected | SourceReport
    | Failure | BeginPublishing | TakeOver | Show | Published
)  # fmt: skip

_KINDS: Final[dict[str, type]] = {
    kind.KIND: kind
    for kind in (
        Begin, WorkerConfig, Calibrate, MotionMessage, Stop, Phase, Loaded, PortraitRejected, SourceReport,
        Failure, BeginPublishing, TakeOver, Show, Published,
    )
}  # fmt: skip


def to_json(message: Message) -> Json:
    """The message as what JSON can hold."""
    if isinstance(message, WorkerConfig):
        portraits = [asdict(one) for one in message.portraits]
        return {"kind": message.KIND, "settings": flat(message.settings), "portraits": portraits}
    return {"kind": message.KIND, **asdict(message)}


def from_json(data: Json) -> Message:
    """The message in a parsed JSON object.

    Raises:
        ValueError: it is none.
    """
    try:
        values = dict(data)
        kind = _KINDS[values.pop("kind")]
        if kind is WorkerConfig:
            values["settings"] = changed(SessionSettings(), values["settings"])
            values["portraits"] = tuple(
                PortraitFile(one["id"], one["photo"], tuple(one["references"])) for one in values["portraits"]
            )
        if kind is Published:
            values["latency_ms"] = tuple(values["latency_ms"])
        message: Message = kind(**values)
    except (KeyError, TypeError, SettingRefused) as error:
        raise ValueError(f"no message of streamfx: {error}") from error
    return message


@dataclass(frozen=True, slots=True)
class Task:
    """A photo to look at (worker/prepare.py)."""

    photo: str
    references: tuple[str, ...]
    width: int
    height: int
    thumbnail: str
    """Path of the JPEG to be written."""
    idle: str
    """Path of the idle portrait to be written; empty for none."""
    urgent: bool = False
    """Whether others do not go first."""


@dataclass(frozen=True, slots=True)
class Card:
    """A graphics card (worker/card.py)."""

    name: str
    free_mib: int
    total_mib: int


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of it."""

    width: int
    height: int
    """px of the photo, upright."""
    sha256: str
    findings: tuple[str, ...]
