"""Each call of the API as a value: where it goes, what is sent, and what the answer is for a caller.

Both clients send these; so there is one place where values become messages and back.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Generic, Literal, TypeVar

from google.protobuf.message import Message

from streamfx.api.conversions import (
    enum_name,
    enum_value,
    merged,
    motion_message,
    settings_message,
    status_value,
)
from streamfx.api.v1 import device_pb2, portrait_pb2, session_pb2
from streamfx.api.v1 import device_service_pb2 as devices_api
from streamfx.api.v1 import portrait_service_pb2 as portraits_api
from streamfx.api.v1 import session_service_pb2 as api
from streamfx.api.values import DeviceInfo, DeviceKind, PreviewFormat, SessionStatus
from streamfx.quality import Quality
from streamfx.settings.motion import MotionNumbers
from streamfx.settings.session import SessionSettings

T = TypeVar("T")

_FAR: Final = 2**31 - 1
"""The largest number that a message takes."""
_PAGE: Final = 200


@dataclass(frozen=True, slots=True)
class Portrait:
    """A photo that can be animated."""

    id: str
    name: str
    size: tuple[int, int]
    """(width, height) px of the photo."""
    sha256: str
    references: int
    """Further photos, of the person's teeth."""
    findings: tuple[str, ...]
    """What about the photo will show, one line each."""
    created_ns: int
    """Wall clock, ns since 1970."""


@dataclass(frozen=True, slots=True)
class Session:
    """A session at a moment."""

    id: str
    settings: SessionSettings
    status: SessionStatus


@dataclass(frozen=True, slots=True)
class Preview:
    """A published picture of the portrait."""

    jpeg: bytes
    size: tuple[int, int]
    """(width, height) px."""
    seq: int
    quality: Quality
    captured_ns: int
    """The daemon's monotonic clock."""
    rendered_ns: int
    """The daemon's monotonic clock."""
    dropped: int
    """Pictures that this call did not get so far, because newer ones overtook them."""
    h264: bytes = field(default=b"", repr=False)
    """The picture, in place of `jpeg`, where that was asked for: Annex B, decoded after those before it."""
    key: bool = True
    """Whether it needs no picture before it."""


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a recording is."""

    frames: int
    size: int
    """bytes"""
    elapsed_s: float
    finished: bool
    """Whether the file is complete."""
    trouble: str


@dataclass(frozen=True, slots=True)
class Call(Generic[T]):
    """A request and what its answer means."""

    path: str
    request: Message
    response: type[Any]
    read: Callable[[Any], T]


@dataclass(frozen=True, slots=True)
class Page(Generic[T]):
    """Part of a list."""

    items: list[T]
    next: str
    """Token of the next page; empty after the last."""


def _call(service: str, request: Message, response: type[Any], read: Callable[[Any], T]) -> Call[T]:
    name = type(request).__name__.removesuffix("Request")
    return Call(f"/streamfx.v1.{service}/{name}", request, response, read)


# -- portraits -----------------------------------------------------------------------------------------------


def create_portrait(
    photo: bytes | str, name: str, id: str, references: Sequence[bytes | str]
) -> Call[Portrait]:
    """A photo's bytes, or its path on the daemon's machine."""
    request = portraits_api.CreatePortraitRequest(
        photo=_photo(photo), display_name=name, id=id, references=[_photo(one) for one in references]
    )
    return _call("PortraitService", request, portraits_api.CreatePortraitResponse, _its_portrait)


def get_portrait(id: str) -> Call[Portrait]:
    """One portrait."""
    request = portraits_api.GetPortraitRequest(portrait_id=id)
    return _call("PortraitService", request, portraits_api.GetPortraitResponse, _its_portrait)


def list_portraits(token: str) -> Call[Page[Portrait]]:
    """A page of portraits."""

    def read(answer: portraits_api.ListPortraitsResponse) -> Page[Portrait]:
        return Page([_portrait(one) for one in answer.portraits], answer.next_page_token)

    request = portraits_api.ListPortraitsRequest(page_size=_PAGE, page_token=token)
    return _call("PortraitService", request, portraits_api.ListPortraitsResponse, read)


def rename_portrait(id: str, name: str) -> Call[Portrait]:
    """A portrait's display name."""
    request = portraits_api.UpdatePortraitRequest(portrait=portrait_pb2.Portrait(id=id, display_name=name))
    request.update_mask.paths.append("display_name")
    return _call("PortraitService", request, portraits_api.UpdatePortraitResponse, _its_portrait)


def delete_portrait(id: str) -> Call[None]:
    """Forget a portrait."""
    request = portraits_api.DeletePortraitRequest(portrait_id=id)
    return _call("PortraitService", request, portraits_api.DeletePortraitResponse, _nothing)


def thumbnail(id: str) -> Call[bytes]:
    """A small JPEG."""

    def read(answer: portraits_api.GetPortraitThumbnailResponse) -> bytes:
        return answer.jpeg

    request = portraits_api.GetPortraitThumbnailRequest(portrait_id=id)
    return _call("PortraitService", request, portraits_api.GetPortraitThumbnailResponse, read)


# -- sessions ------------------------------------------------------------------------------------------------


def create_session(settings: SessionSettings, id: str) -> Call[Session]:
    """A new session."""
    request = api.CreateSessionRequest(settings=settings_message(settings), id=id)
    return _call("SessionService", request, api.CreateSessionResponse, _its_session)


def get_session(id: str) -> Call[Session]:
    """One session."""
    request = api.GetSessionRequest(session_id=id)
    return _call("SessionService", request, api.GetSessionResponse, _its_session)


def list_sessions(token: str) -> Call[Page[Session]]:
    """A page of sessions."""

    def read(answer: api.ListSessionsResponse) -> Page[Session]:
        return Page([_session(one) for one in answer.sessions], answer.next_page_token)

    request = api.ListSessionsRequest(page_size=_PAGE, page_token=token)
    return _call("SessionService", request, api.ListSessionsResponse, read)


def update_session(id: str, settings: SessionSettings, fields: Sequence[str]) -> Call[Session]:
    """Take the named settings, as `gains.head`, `gains` or `*`."""
    request = api.UpdateSessionRequest(session_id=id, settings=settings_message(settings))
    request.update_mask.paths.extend(fields or ["*"])
    return _call("SessionService", request, api.UpdateSessionResponse, _its_session)


def delete_session(id: str) -> Call[None]:
    """End a session."""
    request = api.DeleteSessionRequest(session_id=id)
    return _call("SessionService", request, api.DeleteSessionResponse, _nothing)


def select_portrait(id: str, target: str | int | Literal["next", "previous"]) -> Call[Session]:
    """By place (from 1), by a step, or by identifier."""
    request = api.SelectPortraitRequest(session_id=id)
    if isinstance(target, int):
        request.index = min(max(target, -_FAR), _FAR)  # the daemon says how many there are
    elif target in ("next", "previous"):
        request.step = api.STEP_NEXT if target == "next" else api.STEP_PREVIOUS
    else:
        request.portrait_id = target
    return _call("SessionService", request, api.SelectPortraitResponse, _its_session)


def calibrate(id: str) -> Call[None]:
    """Take neutral anew."""
    request = api.CalibrateSessionRequest(session_id=id)
    return _call("SessionService", request, api.CalibrateSessionResponse, _nothing)


def hide(id: str, hidden: bool) -> Call[Session]:
    """Hide, or show again."""
    request = api.HideSessionRequest(session_id=id, hidden=hidden)
    return _call("SessionService", request, api.HideSessionResponse, _its_session)


def pause(id: str, paused: bool) -> Call[Session]:
    """Pause, or resume."""
    request = api.PauseSessionRequest(session_id=id, paused=paused)
    return _call("SessionService", request, api.PauseSessionResponse, _its_session)


# -- streams -------------------------------------------------------------------------------------------------


def watch(id: str, interval_s: float) -> Call[SessionStatus]:
    """Its status, again and again."""

    def read(answer: api.WatchSessionResponse) -> SessionStatus:
        return status_value(id, answer.status)

    request = api.WatchSessionRequest(session_id=id, interval_ms=round(interval_s * 1000))
    return _call("SessionService", request, api.WatchSessionResponse, read)


def preview(id: str, max_fps: float, max_side: int, quality: int, format: PreviewFormat) -> Call[Preview]:
    """Its pictures."""
    request = api.WatchPreviewRequest(
        session_id=id, max_fps=max_fps, max_side=max_side, quality=quality,
        format=enum_name(api.PreviewFormat.DESCRIPTOR, format),
    )  # fmt: skip
    return _call("SessionService", request, api.WatchPreviewResponse, _preview)


def record(id: str, path: str, duration_s: float) -> Call[Progress]:
    """A recording's progress."""

    def read(answer: api.RecordSessionResponse) -> Progress:
        return Progress(answer.frames, answer.size_bytes, answer.elapsed_s, answer.finished, answer.trouble)

    request = api.RecordSessionRequest(session_id=id, path=path, duration_s=duration_s)
    return _call("SessionService", request, api.RecordSessionResponse, read)


def drive(id: str) -> Call[int]:
    """Motions; its requests are made by `drive_request`."""

    def read(answer: api.DriveSessionResponse) -> int:
        return answer.motions

    return _call("SessionService", drive_request(id, MotionNumbers()), api.DriveSessionResponse, read)


def drive_request(id: str, motion: MotionNumbers) -> Message:
    """One motion on its way."""
    return api.DriveSessionRequest(session_id=id, motion=motion_message(motion))


# -- devices -------------------------------------------------------------------------------------------------


def list_devices() -> Call[list[DeviceInfo]]:
    """The cameras of the daemon's machine."""

    def read(answer: devices_api.ListDevicesResponse) -> list[DeviceInfo]:
        return [_device(one) for one in answer.devices]

    return _call("DeviceService", devices_api.ListDevicesRequest(), devices_api.ListDevicesResponse, read)


# -- reading -------------------------------------------------------------------------------------------------


def _nothing(_answer: object) -> None:
    return None


def _photo(photo: bytes | str) -> portrait_pb2.Photo:
    return portrait_pb2.Photo(content=photo) if isinstance(photo, bytes) else portrait_pb2.Photo(path=photo)


def _its_portrait(
    answer: portraits_api.CreatePortraitResponse
    | portraits_api.GetPortraitResponse
    | portraits_api.UpdatePortraitResponse,
) -> Portrait:
    return _portrait(answer.portrait)


def _portrait(message: portrait_pb2.Portrait) -> Portrait:
    return Portrait(
        id=message.id,
        name=message.display_name,
        size=(message.width, message.height),
        sha256=message.sha256,
        references=message.reference_count,
        findings=tuple(message.findings),
        created_ns=message.create_time.ToNanoseconds(),
    )


def _its_session(
    answer: api.CreateSessionResponse
    | api.GetSessionResponse
    | api.UpdateSessionResponse
    | api.SelectPortraitResponse
    | api.HideSessionResponse
    | api.PauseSessionResponse,
) -> Session:
    return _session(answer.session)


def _session(message: session_pb2.Session) -> Session:
    settings = merged(SessionSettings(), message.settings, ())
    return Session(message.id, settings, status_value(message.id, message.status))


def _preview(message: api.WatchPreviewResponse) -> Preview:
    return Preview(
        jpeg=message.jpeg,
        size=(message.width, message.height),
        seq=message.seq,
        quality=enum_value(session_pb2.Quality.DESCRIPTOR, message.quality, Quality) or Quality.IDLE,
        captured_ns=message.captured_ns,
        rendered_ns=message.rendered_ns,
        dropped=message.dropped,
        h264=message.h264,
        key=message.key,
    )


def _device(message: device_pb2.Device) -> DeviceInfo:
    kind = enum_value(device_pb2.DeviceKind.DESCRIPTOR, message.kind, DeviceKind) or DeviceKind.DRIVING
    return DeviceInfo(kind, message.spec, message.display_name, message.permitted, message.trouble)


def pages(fetch: Callable[[str], Page[T]]) -> Iterator[T]:
    """All items of a list, page by page."""
    token = ""
    while True:
        page = fetch(token)
        yield from page.items
        if not (token := page.next):
            return
