"""What a session publishes, as the daemon sees it: a process that keeps the cadence, and the rings it uses.

The process has the virtual camera and the clock, and nothing else: whatever the daemon does, and whatever its
clients do to it, costs no tick. Another one stands by: should the first die or hang, that one goes on in the
same ring.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Final

from streamfx.errors import CameraUnavailable, WorkerFailed
from streamfx.frames import Rendered
from streamfx.ipc.failure import Failure
from streamfx.limits import shortage
from streamfx.quality import Quality
from streamfx.realtime import Latest
from streamfx.session import process
from streamfx.session.process import ChildProcess
from streamfx.session.supervisor import Supervisor
from streamfx.sink.ring import RingForm, RingReader, SharedRing
from streamfx.worker.protocol import BeginPublishing, Message, Published, Show

_OPENED_S: Final = 30.0
"""For a publisher to start and to open its camera."""
_LOOK_S: Final = 0.005
"""How often previews look for a new picture."""
_NOTHING: Final = Published(Quality.IDLE, 0.0, (), 0, 0, 0, 0, 0, 0, "", "", "", None, "")
_SUMS: Final = ("published", "fresh", "repeated", "idle", "skipped", "refused")


class Publishing:
    """Publishes from `start` to `close`. Any thread may call."""

    def __init__(self, form: RingForm, camera: str, *, cut_out: bool, priority: str) -> None:
        """Make the rings; nothing is published yet.

        Args:
            form: of the pictures.
            camera: as SessionSettings.output.camera; empty for none.
            cut_out: whether to begin with a silhouette without background.
            priority: of the thread that publishes (streamfx/priority.py).

        Raises:
            WorkerFailed: there is no memory for the rings.
        """
        self._form, self._camera, self._cut_out, self._priority = form, camera, cut_out, priority
        with ExitStack() as undo:
            self.worker, self.ring, self._shown = (_ring(form, undo) for _ in range(3))
            undo.pop_all()
        self._previews = _Previews(self._shown.descriptor, self._watch)
        self._report, self._before = _NOTHING, _NOTHING
        self._failure: Failure | None = None
        self._has_opened, self._lock = threading.Event(), threading.Lock()
        self._show = Show()
        self._supervisor = Supervisor(
            "publisher",
            partial(self._start_one, standby=False),
            self._show,
            self._hear,
            self._forget,
            standby=partial(self._start_one, standby=True),
            gives_up=False,
        )

    def start(self) -> None:
        """Publish from now on: at first the idle portrait, if one was given, or a silhouette."""
        self._supervisor.start()

    def wait_for_camera(self) -> None:
        """Wait until it is open; at once where none is asked for.

        Raises:
            CameraUnavailable, UsageError: it cannot be opened.
        """
        if self._camera and not self._has_opened.wait(_OPENED_S):
            raise CameraUnavailable(
                "The virtual camera was not opened in time", "See what streamfx doctor says"
            )
        if self._failure is not None:
            raise self._failure.as_error(WorkerFailed)

    def close(self) -> None:
        """Publish no more, and leave the camera usable. May be called twice, and before `start`."""
        self._has_opened.set()  # nobody need wait for it any more
        self._previews.close()
        self._supervisor.stop()
        for ring in (self.worker, self.ring, self._shown):
            ring.close()

    def show(self, **changes: bool | str) -> None:
        """Change what is shown: fields of `Show`."""
        with self._lock:
            self._show = replace(self._show, **changes)  # type: ignore[arg-type]
            self._supervisor.order(self._show)

    def rest_as(self, path: Path | None, *, cut: bool) -> None:
        """Take another idle portrait.

        Args:
            path: of its file, or of what it was made anew into; None for a silhouette.
            cut: drop the last live picture at once: it showed another portrait.
        """
        with self._lock:
            number = self._show.idle_number + 1
            self._show = replace(self._show, idle=str(path or ""), idle_number=number, cut=cut)
            self._supervisor.order(self._show)

    def preview(self) -> Latest[Rendered]:
        """Subscribe to the published pictures, dressed for previews. Hand it back to `release`."""
        return self._previews.add()

    def release(self, preview: Latest[Rendered]) -> None:
        """End a subscription."""
        self._previews.remove(preview)

    @property
    def previews(self) -> int:
        """Subscriptions that there are."""
        return self._previews.count

    @property
    def restarts(self) -> int:
        """Publishers that had to be replaced."""
        return self._supervisor.restarts

    @property
    def trouble(self) -> str:
        """Why nothing is published; empty while it is."""
        return self._supervisor.trouble

    @property
    def stands_by(self) -> bool:
        """Whether another publisher is ready to take over."""
        return self._supervisor.stands_by

    @property
    def pid(self) -> int:
        """Of the process; 0 while there is none."""
        return self._supervisor.pid

    def report(self) -> Published:
        """What was published so far, as of a fifth of a second ago at most."""
        now, before = self._report, self._before
        return replace(now, **{name: getattr(now, name) + getattr(before, name) for name in _SUMS})

    def _start_one(self, hear: Callable[[Message | None], None], *, standby: bool) -> ChildProcess:
        form = self._form

        def begin(worker: int, previews: int, ring: int) -> BeginPublishing:
            return BeginPublishing(
                form.width, form.height, form.fps, worker, ring, previews, self._camera,
                required=not self._has_opened.is_set(), cut_out=self._cut_out, priority=self._priority,
                standby=standby,
            )  # fmt: skip

        return ChildProcess(process.PUBLISHER, begin, (self.worker, self._shown, self.ring), hear)

    def _hear(self, message: Message) -> None:
        if isinstance(message, Published):
            self._report = message
            self._has_opened.set()
        elif isinstance(message, Failure) and not self._has_opened.is_set():
            self._failure = message
            self._has_opened.set()

    def _forget(self) -> None:
        """Go on counting where the publisher that died had come."""
        self._before, self._report = self.report(), _NOTHING

    def _watch(self, is_watched: bool) -> None:
        self.show(previewed=is_watched)


class _Previews:
    """Who watches, and the thread that reads for them while anybody does."""

    def __init__(self, ring: int, watch: Callable[[bool], None]) -> None:
        self._reader, self._watch = RingReader(ring), watch
        self._watchers: list[Latest[Rendered]] = []
        self._lock, self._closing = threading.Lock(), threading.Event()
        self._thread: threading.Thread | None = None

    @property
    def count(self) -> int:
        return len(self._watchers)

    def add(self) -> Latest[Rendered]:
        preview: Latest[Rendered] = Latest()
        with self._lock:
            if self._closing.is_set():
                preview.close()
                return preview
            self._watchers = [*self._watchers, preview]
            if self._thread is None:
                self._watch(True)
                self._thread = threading.Thread(target=self._run, name="streamfx-previews", daemon=True)
                self._thread.start()
        return preview

    def remove(self, preview: Latest[Rendered]) -> None:
        with self._lock:
            self._watchers = [other for other in self._watchers if other is not preview]
        preview.close()

    def close(self) -> None:
        self._closing.set()
        with self._lock:
            thread = self._thread
        if thread is not None:
            thread.join()
        for preview in self._watchers:
            preview.close()
        self._reader.close()

    def _run(self) -> None:
        self._reader.skip()
        while not self._closing.wait(_LOOK_S):
            picture = self._reader.newest()
            if picture is not None:
                for preview in self._watchers:
                    preview.put(picture)
            with self._lock:
                if not self._watchers:
                    self._watch(False)
                    self._thread = None
                    return


def _ring(form: RingForm, undo: ExitStack) -> SharedRing:
    try:
        ring = SharedRing(form)
    except OSError as error:
        raise WorkerFailed(*shortage("No shared memory can be had", error)) from error
    undo.callback(ring.close)
    return ring
