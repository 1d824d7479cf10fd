"""The methods that last: watching, driving and recording a session.

A stream never queues. Its generator is closed as soon as its call ends, however that happens, and gives back
what it holds: its seat, its preview, its recording (whose file is completed).
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import closing, contextmanager
from typing import Final

from streamfx.api.conversions import enum_name, enum_value, motion_value, status_message
from streamfx.api.v1 import session_pb2, session_service_pb2
from streamfx.api.values import PreviewFormat
from streamfx.control.blocking import Blocking
from streamfx.control.options import Limits
from streamfx.control.preview import H264Pictures, JpegPictures, Picture, Pictures
from streamfx.control.requests import identifier, within
from streamfx.errors import LimitReached, ResourceBusy, ResourceUnready, SettingRefused, WorkerFailed
from streamfx.frames import Rendered
from streamfx.realtime import Closed, Latest, Stalled
from streamfx.session.recording import Recording
from streamfx.session.session import Session
from streamfx.settings.motion import check_motion

INTERVALS_MS: Final = (100, 60_000)
RATES: Final = (0.1, 60.0)
SIDES: Final = (16, 1920)
QUALITIES: Final = (1, 95)
DURATIONS_S: Final = (0.1, 86_400.0)
PROGRESS_S: Final = 0.5
_ENCODE_S: Final = 10.0
"""Longest for one picture; the first waits for its encoder to start."""
_LOOKS: Final = 4
"""How often in a picture's time a watcher looks for a new one."""
_PRESENCE_S: Final = 1.0
"""How often a watcher without pictures looks whether the session is still there."""


class Closing:
    """Set when the server stops: every stream ends then, and says so."""

    def __init__(self) -> None:
        self._set = asyncio.Event()

    def set(self) -> None:
        """End the streams."""
        self._set.set()

    async def sleep(self, seconds: float) -> None:
        """Wait.

        Raises:
            ResourceUnready: the server stops.
        """
        try:
            async with asyncio.timeout(seconds):
                await self._set.wait()
        except TimeoutError:
            return
        raise ResourceUnready("daemon", "streamfx", "The daemon is stopping", "Call again when it is back")


class SlotLimiter:
    """How many there are of something per session, at most `most`."""

    def __init__(self, what: str, most: int) -> None:
        self._what = what
        self._most = most
        self._taken: Counter[str] = Counter()

    @contextmanager
    def seat(self, id: str) -> Iterator[None]:
        """Have one during the block.

        Raises:
            LimitReached: there is none left. ResourceBusy: there is but one, and it is taken.
        """
        if self._taken[id] >= self._most:
            cause = f"Session {id} has {self._taken[id]} {self._what} already"
            kind = LimitReached if self._most > 1 else ResourceBusy
            raise kind("session", id, cause, "End one of them first")
        self._taken[id] += 1
        try:
            yield
        finally:
            self._taken[id] -= 1
            self._taken += Counter()  # drops what is zero

    def taken(self) -> int:
        """In all sessions."""
        return self._taken.total()


class Streams:
    """What lasts, of all sessions. `find` gives a session or raises ResourceMissing."""

    def __init__(
        self, find: Callable[[str], Session], limits: Limits, work: Blocking, closing: Closing
    ) -> None:
        self._find = find
        self._work = work
        self._closing = closing
        self._encoding = Blocking(1, "streamfx-preview")  # previews may use one core at most
        self.watchers = SlotLimiter("watchers", limits.watchers)
        self.drivers = SlotLimiter("driver", 1)

    def close(self) -> None:
        """Wait for pictures under way."""
        self._encoding.close()

    async def watch(
        self, id: str, interval_ms: int
    ) -> AsyncIterator[session_service_pb2.WatchSessionResponse]:
        """Its status, at once and then at the interval."""
        interval_s = within("interval_ms", interval_ms, INTERVALS_MS, 1000) / 1000
        with self.watchers.seat(id):
            while True:
                status = await self._work.do(lambda: self._find(id).status())
                yield session_service_pb2.WatchSessionResponse(status=status_message(status))
                await self._closing.sleep(interval_s)

    async def preview(
        self, id: str, request: session_service_pb2.WatchPreviewRequest
    ) -> AsyncIterator[session_service_pb2.WatchPreviewResponse]:
        """Its pictures, the newest each time the watcher is ready for one."""
        pause_s = 1 / within("max_fps", request.max_fps, RATES, 15.0)
        side = int(within("max_side", request.max_side, SIDES, 640))
        pictures, encoding = self._pictures(request, side, pause_s)
        with self.watchers.seat(id), closing(pictures):
            session = await self._work.do(lambda: self._find(id))
            latest = await self._work.do(session.preview, undo=session.release)
            try:
                while (rendered := await self._next(id, latest, pause_s / _LOOKS)) is not None:
                    due = time.monotonic() + pause_s
                    picture = await _in_time(encoding.do(lambda: pictures.encode(rendered)))
                    yield _preview_message(rendered, picture, latest.statistics().dropped)
                    await self._closing.sleep(max(0.001, due - time.monotonic()))
            finally:
                session.release(latest)

    def _pictures(
        self, request: session_service_pb2.WatchPreviewRequest, side: int, pause_s: float
    ) -> tuple[Pictures, Blocking]:
        """What makes the pictures of a preview, and the threads in which it does."""
        quality = int(within("quality", request.quality, QUALITIES, 80))
        formats = session_service_pb2.PreviewFormat.DESCRIPTOR
        asked = enum_value(formats, request.format, PreviewFormat)
        if asked is None and request.format:
            raise SettingRefused("format", f"it is {request.format}", "use JPEG or H264")
        if asked is PreviewFormat.H264:
            return H264Pictures(side, 1 / pause_s), self._work  # another process does the work
        return JpegPictures(side, quality), self._encoding

    async def drive(
        self, requests: AsyncIterator[session_service_pb2.DriveSessionRequest]
    ) -> session_service_pb2.DriveSessionResponse:
        """Give a session the motions of a stream; a motion that makes no sense ends it."""
        request = await anext(requests, None)
        if request is None:
            raise SettingRefused("session_id", "no message came", "send motions")
        id = identifier("session_id", request.session_id)
        session = await self._work.do(lambda: self._find(id))
        motions = 0
        with self.drivers.seat(id):
            while request is not None:
                if request.session_id not in ("", id):
                    raise SettingRefused("session_id", "it is another than at first", "leave it out")
                motion = motion_value(request.motion)
                check_motion(motion)
                await self._work.do(lambda: session.drive(motion))  # noqa: B023 - awaited in its round
                motions += 1
                request = await anext(requests, None)
        return session_service_pb2.DriveSessionResponse(motions=motions)

    async def record(
        self, start: Callable[[], Recording], duration_s: float
    ) -> AsyncIterator[session_service_pb2.RecordSessionResponse]:
        """Progress of a recording, and at last its completion."""
        limit_s = within("duration_s", duration_s, DURATIONS_S, DURATIONS_S[1])
        recording = await self._work.do(start, undo=lambda made: made.stop())
        began = time.monotonic()
        try:
            while recording.running and (left := began + limit_s - time.monotonic()) > 0:
                yield _progress(recording, time.monotonic() - began)
                await self._closing.sleep(min(PROGRESS_S, left))
        finally:
            # First of all without waiting, since nothing may be awaited when the loop is going down.
            stopping = self._work.begin(recording.stop)
        await stopping
        yield _progress(recording, time.monotonic() - began, finished=True)

    async def _next(self, id: str, latest: Latest[Rendered], pause_s: float) -> Rendered | None:
        """The newest picture, waited for; None when the session is over."""
        asked = time.monotonic()
        while True:
            try:
                return latest.take(0)
            except Closed:
                return None
            except Stalled:
                await self._closing.sleep(min(pause_s, 0.05))
            if time.monotonic() - asked > _PRESENCE_S:
                asked = time.monotonic()
                await self._work.do(lambda: self._find(id))


async def _in_time(picture: Awaitable[Picture]) -> Picture:
    """A picture from its encoder, which must not hang."""
    try:
        async with asyncio.timeout(_ENCODE_S):
            return await picture
    except TimeoutError as error:
        raise WorkerFailed(f"The preview's encoder gave nothing for {_ENCODE_S:g} s", "Ask again") from error


def _preview_message(
    rendered: Rendered, picture: Picture, dropped: int
) -> session_service_pb2.WatchPreviewResponse:
    return session_service_pb2.WatchPreviewResponse(
        jpeg=picture.jpeg,
        h264=picture.h264,
        key=picture.key,
        width=picture.size[0],
        height=picture.size[1],
        seq=rendered.seq,
        quality=enum_name(session_pb2.Quality.DESCRIPTOR, rendered.quality),
        captured_ns=rendered.captured_ns,
        rendered_ns=rendered.rendered_ns,
        dropped=dropped,
    )


def _progress(
    recording: Recording, elapsed_s: float, *, finished: bool = False
) -> session_service_pb2.RecordSessionResponse:
    frames, size = recording.progress()
    return session_service_pb2.RecordSessionResponse(
        frames=frames, size_bytes=size, elapsed_s=elapsed_s, finished=finished, trouble=recording.trouble
    )
