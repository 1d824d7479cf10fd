"""One session: its settings, its worker, its publisher, and what they tell of it."""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from time import monotonic_ns
from typing import Final

from streamfx.api.values import (
    CameraStatus,
    Counters,
    Percentiles,
    SessionStatus,
    SourceState,
    SourceStatus,
    State,
    source_note,
)
from streamfx.errors import ResourceBusy, ResourceUnready, SettingRefused
from streamfx.frames import Rendered
from streamfx.ipc.handed import named
from streamfx.ipc.peers import can_hand_over
from streamfx.ipc.ring_server import MOST as MOST_READERS
from streamfx.ipc.ring_server import RingServer
from streamfx.priority import AUTO
from streamfx.quality import Quality
from streamfx.realtime import Latest
from streamfx.session import process
from streamfx.session.handed import HandedFiles, specs_of
from streamfx.session.portraits import Portraits
from streamfx.session.process import ChildProcess
from streamfx.session.publishing import Publishing
from streamfx.session.recording import Recording
from streamfx.session.supervisor import Supervisor
from streamfx.settings.motion import MotionNumbers, packed
from streamfx.settings.session import NOTHING, REMOTE, BackgroundKind, SessionSettings, check
from streamfx.sink.ring import RingForm
from streamfx.worker.protocol import (
    Begin,
    Calibrate,
    Loaded,
    Message,
    PortraitRejected,
    SourceReport,
    WorkerConfig,
)

_LOOK_AT_READERS_S: Final = 0.5
_IDLE_AFTER_NS: Final = 5_000_000_000
"""With nobody looking for that long, a source on demand is closed."""
_KIND: Final = "session"

_log = logging.getLogger(__name__)


class Session:
    """From `start` to `close` a portrait is shown. Any thread may call."""

    def __init__(
        self,
        id: str,
        settings: SessionSettings,
        portraits: Portraits,
        runtime: Path | None = None,
        card: str = "",
        priority: str = AUTO,
        files: HandedFiles | None = None,
        readers: int = MOST_READERS,
    ) -> None:
        """Nothing is published yet.

        Args:
            id: its identifier.
            settings: checked; its portraits exist.
            portraits: where they are.
            runtime: folder of the socket at which the ring is handed over, and of the feeds'; None for none,
                and the feeds of the runtime folder.
            card: socket of the card's process (session/sharing.py); empty for none.
            priority: of the thread that publishes (streamfx/priority.py).
            files: that clients handed over, those in the settings among them; None for none.
            readers: of the ring, connected at once.

        Raises:
            WorkerFailed: there is no memory.
        """
        self.id = id
        self._files = files or HandedFiles()
        self._portraits, self._settings = portraits, settings
        output = settings.output
        self._form, self._card, self._feeds = RingForm(*output.size, output.fps), card, str(runtime or "")
        self._publishing = Publishing(
            self._form,
            "" if output.camera == NOTHING else output.camera,
            cut_out=settings.background.kind is BackgroundKind.REMOVE,
            priority=priority,
        )
        self._runtime, self._most_readers = runtime, readers
        self._ring_server: RingServer | None = None
        self._supervisor = Supervisor(
            "worker", self._start_worker, WorkerConfig(), self._hear, self._forget_worker
        )
        self._lock = threading.RLock()
        self._source = SourceReport("closed")
        self._loaded: dict[str, str] = {}
        self._idles: dict[str, str] = {}
        self._refused: dict[str, str] = {}
        self._looked_ns = -_IDLE_AFTER_NS
        self._recordings: list[Recording] = []
        self._shown = ""
        self._closing = threading.Event()
        self._usher = threading.Thread(target=self._watch_readers, name="streamfx-readers", daemon=True)

    def start(self) -> None:
        """Publish from now on: the idle portrait at once, the driven one as soon as the worker is up.

        Raises:
            CameraUnavailable, UsageError: the camera cannot be opened; what was begun is to be closed.
            SettingRefused: a file in the settings was not handed over.
            WorkerFailed: no socket can be had for the ring.
        """
        self._files.hold(self.id, specs_of(self._settings))
        self._apply()
        self._publishing.start()
        self._supervisor.start()
        self._publishing.wait_for_camera()
        with self._lock:
            if self._runtime is not None and can_hand_over() and not self._closing.is_set():
                self._ring_server = RingServer(
                    self._runtime / f"{self.id}.ring", self.ring, self._most_readers
                )
        self._usher.start()

    def close(self) -> None:
        """End everything and wait until it is ended; the camera is left usable. May be called twice."""
        with self._lock:
            self._closing.set()
        for recording in self._recordings:
            recording.stop()
        if self._ring_server is not None:
            self._ring_server.close()
        self._supervisor.stop()
        if self._usher.ident is not None:
            self._usher.join()
        self._publishing.close()
        with self._lock:
            self._hold_idles({})
        self._files.hold(self.id, ())

    @property
    def settings(self) -> SessionSettings:
        """What it is asked to do."""
        return self._settings

    @property
    def ring(self) -> int:
        """Descriptor of the ring of published pictures, for readers (streamfx/ipc/ring.py)."""
        return self._publishing.ring.descriptor

    def update(self, settings: SessionSettings) -> None:
        """Do this from now on.

        Raises:
            SettingRefused: it makes no sense, or changes output or device.
            ResourceMissing: a portrait does not exist.
        """
        check(settings)
        with self._lock:
            for name in ("output", "device"):
                if getattr(settings, name) != getattr(self._settings, name):
                    remedy = "Delete the session and create another"
                    raise SettingRefused(name, "it is fixed for the session's life", remedy)
            for portrait in settings.portraits:
                self._portraits.get(portrait)
            self._files.hold(self.id, specs_of(settings))
            self._settings = settings
            self._hold_idles(self._idles)
            self._apply()

    def calibrate(self) -> None:
        """Take what the driver does now for their neutral.

        Raises:
            ResourceUnready: nothing drives.
        """
        if self._source.state != SourceState.OPEN or not self._supervisor.tell(Calibrate()):
            raise ResourceUnready(_KIND, self.id, "Nothing drives the portrait now", "Start the camera first")
        _log.info("%s calibrates", self.id)

    def drive(self, motion: MotionNumbers) -> None:
        """Move the portrait by a remote driver's numbers; while the worker is behind they are dropped.

        Raises:
            ResourceUnready: the session's source is another.
        """
        if self._settings.source != REMOTE:
            cause = f"The session is driven by {self._settings.source!r}"
            raise ResourceUnready(_KIND, self.id, cause, f"Set its source to {REMOTE!r} first")
        self._supervisor.drive(packed(motion))

    def preview(self) -> Latest[Rendered]:
        """Subscribe to the published pictures, mirrored as previews are. Hand it back to `release`."""
        return self._publishing.preview()

    def release(self, preview: Latest[Rendered]) -> None:
        """End a subscription."""
        self._publishing.release(preview)

    def record(self, path: Path) -> Recording:
        """Begin to write what is published into a film.

        Raises:
            OutputError: the file cannot be written.
            ResourceBusy: a recording is running already.
        """
        with self._lock:
            self._recordings = [one for one in self._recordings if one.running]
            if self._recordings:
                cause = f"The session records to {named(str(self._recordings[0].path))} already"
                raise ResourceBusy(_KIND, self.id, cause, "Stop that recording first")
            recording = Recording(path, self.ring, self._files.place)
            self._recordings.append(recording)
        return recording

    def status(self) -> SessionStatus:
        """What it is doing."""
        settings, account, source = self._settings, self._publishing.report(), self._source
        latency = Percentiles(*account.latency_ms) if account.latency_ms else None
        readying = tuple(one for one in settings.portraits if one not in self._loaded | self._refused)
        driven = SourceStatus(
            SourceState(source.state), source.name, source.fps, source.dropped, source.tracked,
            source.trouble, source.turned, source.damaged,
            source_note(source.name, source.turned, source.unread),
        )  # fmt: skip
        counters = Counters(
            account.published, account.fresh, account.repeated, account.idle, account.skipped,
            account.refused, self._supervisor.restarts + self._publishing.restarts,
        )  # fmt: skip
        camera = CameraStatus(account.camera, account.device, account.readers, account.trouble)
        return SessionStatus(
            self.id, self._state(driven, settings), Quality(account.quality), account.fps, latency, driven,
            camera, counters, settings.shown(), readying, self._supervisor.pid, self._trouble(driven, camera),
            self._ring_readers(),
        )  # fmt: skip

    def _state(self, source: SourceStatus, settings: SessionSettings) -> State:
        if self._supervisor.is_degraded:
            return State.DEGRADED
        if settings.paused:
            return State.PAUSED
        if settings.hidden:
            return State.HIDDEN
        if self._supervisor.pid == 0 or settings.shown() not in self._loaded | self._refused:
            return State.STARTING if settings.portraits else State.WAITING
        is_driven = source.state is SourceState.OPEN and source.tracked > 0
        return State.LIVE if is_driven or settings.source == REMOTE else State.WAITING

    def _trouble(self, source: SourceStatus, camera: CameraStatus) -> str:
        refused = self._refused.get(self._settings.shown(), "")
        failed = self._publishing.trouble or self._supervisor.trouble
        return failed or refused or source.trouble or camera.trouble

    def _ring_readers(self) -> int:
        return self._ring_server.readers if self._ring_server is not None else 0

    def _start_worker(self, hear: Callable[[Message | None], None]) -> ChildProcess:
        form, networks = self._form, self._config(self._settings).networks()

        def begin(ring: int) -> Begin:
            files = str(self._files.place or "")
            rate, card = form.fps, self._card
            return Begin(form.width, form.height, rate, ring, card, self._feeds, files, networks)

        return ChildProcess(process.WORKER, begin, (self._publishing.worker,), hear)

    def _apply(self) -> None:
        """Make worker and publisher do what the settings say."""
        with self._lock:
            settings = self._settings
            self._publishing.show(
                mirror=settings.mirror,
                badge=settings.badge,
                mirror_preview=settings.mirror_preview,
                resting=settings.hidden or settings.paused,
            )
            self._supervisor.order(self._config(settings))
            if settings.shown() != self._shown:
                self._shown = settings.shown()
                self._rest()

    def _config(self, settings: SessionSettings) -> WorkerConfig:
        wanted = replace(
            settings,
            source=settings.source if self._is_wanted(settings) else NOTHING,
            selected=settings.shown(),
        )
        return WorkerConfig(wanted, tuple(self._portraits.file(one) for one in settings.portraits))

    def _is_wanted(self, settings: SessionSettings) -> bool:
        """Whether the source is to be open: the camera's lamp tells people that they are seen."""
        if settings.paused or settings.source == NOTHING:
            return False
        return not settings.on_demand or monotonic_ns() - self._looked_ns < _IDLE_AFTER_NS

    def _rest(self) -> None:
        """Show the selected portrait's idle, if it is at hand."""
        if not self._shown:
            self._publishing.rest_as(None, cut=True)  # the last one may be deleted now
            return
        size, made = self._settings.output.size, self._idles.get(self._shown)
        cut_out = self._settings.background.kind is BackgroundKind.REMOVE
        path = Path(made) if made else self._portraits.idle(self._shown, size, cut_out=cut_out)
        if os.path.exists(path):
            self._publishing.rest_as(path, cut=True)

    def _forget_worker(self) -> None:
        """What a worker said that is no more."""
        with self._lock:
            self._source, self._loaded, self._refused = SourceReport("closed"), {}, {}

    def _hear(self, message: Message) -> None:
        """A report of the worker."""
        if isinstance(message, SourceReport):
            self._source = message
        elif isinstance(message, PortraitRejected):
            self._refused = {**self._refused, message.id: f"{message.cause}. {message.remedy}".strip()}
        elif isinstance(message, Loaded):
            with self._lock:
                self._refused = {id: why for id, why in self._refused.items() if id != message.id}
                self._loaded = {**self._loaded, message.id: message.idle}
                self._hold_idles({**self._idles, message.id: message.idle})
                if not message.idle or not self._portraits.is_of(message.id, message.sha256):
                    return  # of a photo that was deleted meanwhile, and maybe replaced
                size, made = self._settings.output.size, Path(message.idle)
                self._portraits.keep_idle(message.id, size, made, cut_out=message.cut_out)
                if message.id == self._shown:
                    self._publishing.rest_as(made, cut=False)

    def _hold_idles(self, idles: dict[str, str]) -> None:
        """Files of idle portraits, by their portraits; those that are not needed any more are deleted."""
        wanted = {} if self._closing.is_set() else self._settings.portraits
        now = {id: path for id, path in idles.items() if path and id in wanted}
        gone = {*self._idles.values(), *idles.values()} - {*now.values()}
        self._idles = now
        for path in filter(None, gone):
            with suppress(OSError):
                Path(path).unlink()

    def _is_recording(self) -> bool:
        return any(recording.running for recording in self._recordings)

    def _watch_readers(self) -> None:
        """Know how many programs read the camera; open and close the source on demand."""
        wanted = self._is_wanted(self._settings)
        while not self._closing.wait(_LOOK_AT_READERS_S):
            report = self._publishing.report()
            unknown = report.device and report.readers is None
            if (
                unknown
                or report.readers
                or self._ring_readers()
                or self._publishing.previews
                or self._is_recording()
            ):
                self._looked_ns = monotonic_ns()
            if self._is_wanted(self._settings) != wanted:
                wanted = not wanted
                self._apply()
