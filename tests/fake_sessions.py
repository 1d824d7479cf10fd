"""Sessions without cameras, workers or pictures of anybody: what control/ and client/ need of the daemon."""

from __future__ import annotations

import hashlib
import io
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from PIL import Image, UnidentifiedImageError

from streamfx.api.values import (
    CameraStatus,
    Counters,
    DeviceInfo,
    DeviceKind,
    Percentiles,
    SessionStatus,
    SourceState,
    SourceStatus,
    State,
)
from streamfx.errors import (
    LimitReached,
    PhotoUnreadable,
    ResourceBusy,
    ResourceExists,
    ResourceMissing,
    ResourceUnready,
    SettingRefused,
)
from streamfx.frames import Rendered
from streamfx.ipc.handed import named
from streamfx.quality import Quality
from streamfx.realtime import Latest
from streamfx.session.handed import HandedFiles, specs_of
from streamfx.settings.motion import MotionNumbers
from streamfx.settings.session import REMOTE, SessionSettings, check

MOST = 4
"""Sessions, and portraits."""


def photo(colour: str = "red", size: tuple[int, int] = (60, 80)) -> bytes:
    """A PNG of one colour."""
    buffer = io.BytesIO()
    Image.new("RGB", size, colour).save(buffer, "PNG")
    return buffer.getvalue()


@dataclass(frozen=True, slots=True)
class FakePortraitInfo:
    id: str
    name: str
    size: tuple[int, int]
    sha256: str
    references: int = 0
    findings: tuple[str, ...] = ("the mouth is open",)
    created_ns: int = 1_700_000_000_123_456_789


class FakePortraits:
    """As session.portraits.Portraits."""

    def __init__(self, used: set[str]) -> None:
        self.kept: dict[str, tuple[FakePortraitInfo, bytes]] = {}
        self.used = used
        self.delay_s = 0.0
        self.adding = threading.Event()
        self._lock = threading.Lock()

    def add(self, photo, *, name="", id="", references=(), given_up=None):
        self.adding.set()
        data = photo if isinstance(photo, bytes) else photo.read_bytes()
        time.sleep(self.delay_s)
        try:
            with Image.open(io.BytesIO(data)) as image:
                size = image.size
        except UnidentifiedImageError as error:
            raise PhotoUnreadable("The photo is not an image", "Use a JPEG or PNG") from error
        with self._lock:
            id = id or f"portrait-{len(self.kept) + 1}"
            if id in self.kept:
                raise ResourceExists("portrait", id, f"There is a portrait {id} already", "Use another id")
            if len(self.kept) >= MOST:
                raise LimitReached("portrait", id, f"There are {MOST} portraits", "Remove one")
            info = FakePortraitInfo(id, name or id, size, hashlib.sha256(data).hexdigest(), len(references))
            self.kept[id] = (info, data)
            return info

    def get(self, id):
        return self._find(id)[0]

    def list(self):
        return [info for info, _ in list(self.kept.values())]

    def rename(self, id, name):
        info, data = self._find(id)
        self.kept[id] = (replace(info, name=name), data)
        return self.kept[id][0]

    def remove(self, id):
        self._find(id)
        if id in self.used:
            raise ResourceBusy("portrait", id, f"A session shows {id}", "Select another there first")
        self.kept.pop(id, None)

    def thumbnail(self, id):
        with Image.open(io.BytesIO(self._find(id)[1])) as image:
            image.thumbnail((256, 256))
            buffer = io.BytesIO()
            image.convert("RGB").save(buffer, "JPEG")
        return buffer.getvalue()

    def _find(self, id):
        found = self.kept.get(id)
        if found is None:
            raise ResourceMissing("portrait", id, f"There is no portrait {id}", "List them")
        return found


class FakeRecording:
    """Writes a few bytes; complete only when it was stopped."""

    def __init__(self, session: FakeSession, path: Path) -> None:
        self._session = session
        self.path = path = Path(named(str(path)))
        self.stopped = threading.Event()
        self.trouble = ""
        path.write_bytes(b"half")

    @property
    def running(self) -> bool:
        return not self.stopped.is_set() and not self.trouble

    def stop(self) -> None:
        if not self.stopped.is_set():
            self.path.write_bytes(b"complete")
            self.stopped.set()
            self._session.recording = None

    def progress(self) -> tuple[int, int]:
        return 7, self.path.stat().st_size


class FakeSession:
    """As session.session.Session. `publish` makes a picture."""

    def __init__(
        self,
        id: str,
        settings: SessionSettings,
        size: tuple[int, int] | None = None,
        files: HandedFiles | None = None,
    ) -> None:
        self.id = id
        self.files = files or HandedFiles()
        self.files.hold(id, specs_of(settings))
        self.settings = settings
        self.size = size or settings.output.size
        self.previews: list[Latest[Rendered]] = []
        self.driven: list[MotionNumbers] = []
        self.recording: FakeRecording | None = None
        self.calibrated = 0
        self.seq = 0
        self.fault: BaseException | None = None
        self.shown: dict[str, object] = {}
        """Of the status, what is to be another than usual."""

    def update(self, settings):
        check(settings)
        if settings.output != self.settings.output:
            raise SettingRefused("output", "it cannot be changed", "begin another session")
        self.files.hold(self.id, specs_of(settings))
        self.settings = settings

    def calibrate(self):
        if self.settings.source == "none":
            raise ResourceUnready("session", self.id, "Nothing drives the session", "Give it a source")
        self.calibrated += 1

    def status(self):
        if self.fault:
            raise self.fault
        status = SessionStatus(
            id=self.id,
            state=State.HIDDEN if self.settings.hidden else State.LIVE,
            quality=Quality.FULL,
            fps=29.97,
            latency_ms=Percentiles(30.5, 41.0, 60.25),
            source=SourceStatus(
                SourceState.OPEN,
                "Webcam",
                30.0,
                3,
                0.5,
                "dim light. Turn on a lamp.",
                180,
                4,
                "It hangs on its head",
            ),
            camera=CameraStatus("streamfx", "/dev/video10", 2, ""),
            counters=Counters(100, 90, 6, 4, 3, 2, 1),
            portrait=self.settings.shown(),
            readying=self.settings.portraits[1:],
            worker_pid=4321,
        )
        return replace(status, **self.shown)

    def preview(self):
        latest: Latest[Rendered] = Latest()
        self.previews.append(latest)
        return latest

    def release(self, preview):
        self.previews.remove(preview)
        preview.close()

    def publish(self) -> None:
        width, height = self.size
        rgb = np.full((height, width, 3), self.seq % 256, np.uint8)
        rgb[::2, ::3] = (255, 0, 0)
        rendered = Rendered(rgb, 1, time.monotonic_ns(), self.seq, Quality.FULL)
        self.seq += 1
        for latest in list(self.previews):
            latest.put(rendered)

    def drive(self, motion):
        if self.settings.source != REMOTE:
            raise ResourceUnready("session", self.id, "Its source is not remote", "Set it to remote")
        self.driven.append(motion)

    def record(self, path):
        if self.recording:
            raise ResourceBusy("session", self.id, "It is being recorded", "End that first")
        self.recording = FakeRecording(self, path)
        return self.recording


class FakeSessions:
    """As session.sessions.Sessions."""

    def __init__(self) -> None:
        self.kept: dict[str, FakeSession] = {}
        self.delay_s = 0.0
        self.made = 0
        self.creating = threading.Event()
        self._lock = threading.Lock()
        self.portraits = FakePortraits(set())
        self.files = HandedFiles()

    def create(self, settings, id=""):
        self.creating.set()
        time.sleep(self.delay_s)
        for portrait in settings.portraits:
            self.portraits.get(portrait)
        with self._lock:
            self.made += 1
            id = id or f"session-{self.made}"
            if id in self.kept:
                raise ResourceExists("session", id, f"There is a session {id} already", "Use another id")
            if len(self.kept) >= MOST:
                raise LimitReached("session", id, f"There are {MOST} sessions", "Delete one")
            self.kept[id] = FakeSession(id, settings, files=self.files)
            return self.kept[id]

    def get(self, id):
        found = self.kept.get(id)
        if found is None:
            raise ResourceMissing("session", id, f"There is no session {id}", "List them")
        return found

    def list(self) -> Sequence[FakeSession]:
        return list(self.kept.values())

    def delete(self, id):
        session = self.get(id)
        del self.kept[id]
        self.files.hold(id, ())
        for latest in list(session.previews):
            latest.close()


def devices() -> list[DeviceInfo]:
    """One of each kind."""
    return [
        DeviceInfo(DeviceKind.DRIVING, "/dev/video0", "Webcam"),
        DeviceInfo(DeviceKind.VIRTUAL, "/dev/video10", "streamfx", permitted=False, trouble="no permission"),
    ]
