"""What the control surface needs of the daemon: the shapes of session/, without importing it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Protocol

from streamfx.api.status import SessionStatus
from streamfx.frames import Rendered
from streamfx.realtime import Latest
from streamfx.session.handed import HandedFiles
from streamfx.settings.motion import MotionNumbers
from streamfx.settings.session import SessionSettings


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


Devices = Callable[[], list[DeviceInfo]]
"""Lists them without opening any. Called in a thread of the pool."""


class PortraitInfo(Protocol):
    """As session.portraits.PortraitInfo."""

    @property
    def id(self) -> str: ...
    @property
    def name(self) -> str: ...
    @property
    def size(self) -> tuple[int, int]: ...
    @property
    def sha256(self) -> str: ...
    @property
    def references(self) -> int: ...
    @property
    def findings(self) -> tuple[str, ...]: ...
    @property
    def created_ns(self) -> int: ...


class Portraits(Protocol):
    """As session.portraits.Portraits. Thread-safe."""

    def add(
        self,
        photo: bytes | Path,
        *,
        name: str = "",
        id: str = "",
        references: Sequence[bytes | Path] = (),
        given_up: threading.Event | None = None,
    ) -> PortraitInfo: ...
    def get(self, id: str) -> PortraitInfo: ...
    def list(self) -> Sequence[PortraitInfo]: ...
    def rename(self, id: str, name: str) -> PortraitInfo: ...
    def remove(self, id: str) -> None: ...
    def thumbnail(self, id: str) -> bytes: ...


class Recording(Protocol):
    """As session.session.Recording."""

    @property
    def running(self) -> bool: ...
    @property
    def trouble(self) -> str: ...
    def stop(self) -> None: ...
    def progress(self) -> tuple[int, int]: ...


class Session(Protocol):
    """As session.session.Session. Thread-safe."""

    @property
    def id(self) -> str: ...
    @property
    def settings(self) -> SessionSettings: ...
    def update(self, settings: SessionSettings) -> None: ...
    def calibrate(self) -> None: ...
    def status(self) -> SessionStatus: ...
    def preview(self) -> Latest[Rendered]: ...
    def release(self, preview: Latest[Rendered]) -> None: ...
    def drive(self, motion: MotionNumbers) -> None: ...
    def record(self, path: Path) -> Recording: ...


class Sessions(Protocol):
    """As session.sessions.Sessions. Thread-safe."""

    @property
    def portraits(self) -> Portraits: ...
    @property
    def files(self) -> HandedFiles: ...
    def create(self, settings: SessionSettings, id: str = "") -> Session: ...
    def get(self, id: str) -> Session: ...
    def list(self) -> Sequence[Session]: ...
    def delete(self, id: str) -> None: ...
