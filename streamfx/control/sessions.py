"""SessionService: what a live session can be asked."""

from __future__ import annotations

import threading
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from typing import Final

from streamfx.api.conversions import merged, settings_message, status_message
from streamfx.api.v1 import session_pb2
from streamfx.api.v1 import session_service_pb2 as api
from streamfx.control import requests
from streamfx.control.blocking import Blocking
from streamfx.control.requests import Files
from streamfx.control.streams import Streams
from streamfx.errors import SettingRefused
from streamfx.session.handed import as_named
from streamfx.session.recording import Recording
from streamfx.session.session import Session
from streamfx.session.sessions import Sessions
from streamfx.settings.session import SessionSettings

Change = Callable[[SessionSettings], SessionSettings]

RECORDING: Final = ".mp4"


class SessionService:
    """The methods, as binding.handler calls them."""

    def __init__(self, sessions: Sessions, streams: Streams, files: Files, work: Blocking) -> None:
        self._sessions = sessions
        self._streams = streams
        self._files = files
        self._work = work
        self._locks: dict[str, threading.Lock] = {}

    async def create_session(self, request: api.CreateSessionRequest) -> api.CreateSessionResponse:
        """Begin one."""
        id = requests.identifier("id", request.id) if request.id else ""
        asked = merged(SessionSettings(), request.settings, ())

        def create() -> session_pb2.Session:  # in one piece: it is undone wherever its caller leaves
            return _message(self._sessions.create(requests.confined(asked, self._files), id))

        made = await self._work.do(create, undo=lambda made: self._sessions.delete(made.id))
        return api.CreateSessionResponse(session=made)

    async def get_session(self, request: api.GetSessionRequest) -> api.GetSessionResponse:
        """One of them."""
        id = requests.identifier("session_id", request.session_id)
        return api.GetSessionResponse(session=await self._work.do(lambda: _message(self._sessions.get(id))))

    async def list_sessions(self, request: api.ListSessionsRequest) -> api.ListSessionsResponse:
        """A page of them."""
        sessions = await self._work.do(self._sessions.list)
        shown, more = requests.page(sessions, request.page_size, request.page_token)
        messages = await self._work.do(lambda: [_message(session) for session in shown])
        return api.ListSessionsResponse(sessions=messages, next_page_token=more)

    async def update_session(self, request: api.UpdateSessionRequest) -> api.UpdateSessionResponse:
        """Change what the mask names."""
        mask = list(request.update_mask.paths)

        def change(settings: SessionSettings) -> SessionSettings:
            return merged(settings, request.settings, mask)

        return api.UpdateSessionResponse(session=await self._change(request.session_id, change))

    async def delete_session(self, request: api.DeleteSessionRequest) -> api.DeleteSessionResponse:
        """End it."""
        id = requests.identifier("session_id", request.session_id)
        await self._work.do(lambda: self._sessions.delete(id))
        self._locks.pop(id, None)
        return api.DeleteSessionResponse()

    async def select_portrait(self, request: api.SelectPortraitRequest) -> api.SelectPortraitResponse:
        """Show another portrait."""

        def change(settings: SessionSettings) -> SessionSettings:
            return replace(settings, selected=_selected(settings, request))

        return api.SelectPortraitResponse(session=await self._change(request.session_id, change))

    async def calibrate_session(self, request: api.CalibrateSessionRequest) -> api.CalibrateSessionResponse:
        """Take neutral anew."""
        id = requests.identifier("session_id", request.session_id)
        await self._work.do(lambda: self._sessions.get(id).calibrate())
        return api.CalibrateSessionResponse()

    async def hide_session(self, request: api.HideSessionRequest) -> api.HideSessionResponse:
        """Hide, or show again."""
        hidden = request.hidden
        session = await self._change(request.session_id, lambda settings: replace(settings, hidden=hidden))
        return api.HideSessionResponse(session=session)

    async def pause_session(self, request: api.PauseSessionRequest) -> api.PauseSessionResponse:
        """Pause, or resume."""
        paused = request.paused
        session = await self._change(request.session_id, lambda settings: replace(settings, paused=paused))
        return api.PauseSessionResponse(session=session)

    def watch_session(self, request: api.WatchSessionRequest) -> AsyncIterator[api.WatchSessionResponse]:
        """Its status, again and again."""
        id = requests.identifier("session_id", request.session_id)
        return self._streams.watch(id, request.interval_ms)

    def watch_preview(self, request: api.WatchPreviewRequest) -> AsyncIterator[api.WatchPreviewResponse]:
        """Its pictures."""
        return self._streams.preview(requests.identifier("session_id", request.session_id), request)

    async def drive_session(self, stream: AsyncIterator[api.DriveSessionRequest]) -> api.DriveSessionResponse:
        """Give it the motions of a stream."""
        return await self._streams.drive(stream)

    def record_session(self, request: api.RecordSessionRequest) -> AsyncIterator[api.RecordSessionResponse]:
        """Record what it shows."""
        id = requests.identifier("session_id", request.session_id)

        def start() -> Recording:
            path = requests.new_file("path", request.path, RECORDING, self._files)
            return self._sessions.get(id).record(path)

        return self._streams.record(start, request.duration_s)

    async def _change(self, id: str, change: Change) -> session_pb2.Session:
        """Change settings; of two callers at once, each keeps what it changed."""
        requests.identifier("session_id", id)
        return await self._work.do(lambda: self._changed(id, change))

    def _changed(self, id: str, change: Change) -> session_pb2.Session:
        session = self._sessions.get(id)
        with self._locks.setdefault(id, threading.Lock()):
            before = session.settings
            after = change(before)
            session.update(_confined_anew(before, after, self._files))
        return _message(session)


def _confined_anew(before: SessionSettings, after: SessionSettings, files: Files) -> SessionSettings:
    """Settings checked; what the session has already may lie anywhere, and is named as clients see it."""
    seen = as_named(before)
    same_source = after.source in (before.source, seen.source)
    held = replace(after, source="none") if same_source else after
    same_background = after.background in (before.background, seen.background)
    held = replace(held, background=SessionSettings().background) if same_background else held
    checked = requests.confined(held, files)
    source = before.source if same_source else checked.source
    background = before.background if same_background else checked.background
    return replace(checked, source=source, background=background)


def _selected(settings: SessionSettings, request: api.SelectPortraitRequest) -> str:
    ring = settings.portraits
    target = request.WhichOneof("target")
    if target == "portrait_id":
        id = requests.identifier("portrait_id", request.portrait_id)
        if id not in ring:
            raise SettingRefused("portrait_id", f"{id} is not among the session's portraits", "add it first")
        return id
    if not ring:
        raise SettingRefused("session_id", "the session has no portraits", "add one to its portraits first")
    if target == "index":
        if not 1 <= request.index <= len(ring):
            remedy = f"it must be from 1 to {len(ring)}"
            raise SettingRefused("index", f"it is {request.index}", remedy)
        return ring[request.index - 1]
    steps = {api.STEP_NEXT: 1, api.STEP_PREVIOUS: -1}
    if request.step not in steps:
        raise SettingRefused("step", "no portrait is named", "give portrait_id, index or step")
    return ring[(ring.index(settings.shown()) + steps[request.step]) % len(ring)]


def _message(session: Session) -> session_pb2.Session:
    status, settings = status_message(session.status()), settings_message(as_named(session.settings))
    return session_pb2.Session(id=session.id, settings=settings, status=status)
