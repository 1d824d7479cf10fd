"""The client for ordinary programs. Safe to be used by several threads."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, Final, TypeVar

import grpc
from google.protobuf.message import Message

from streamfx.api.values import DeviceInfo, PreviewFormat, SessionStatus
from streamfx.client import calls
from streamfx.client.address import OPTIONS, PATIENCE_S, Endpoint, endpoint
from streamfx.client.calls import Call, Portrait, Preview, Progress, Session
from streamfx.client.errors import from_call, was_turned_away
from streamfx.client.files import OwnFiles
from streamfx.settings.motion import MotionNumbers
from streamfx.settings.session import SessionSettings

T = TypeVar("T")

TIMEOUT_S: Final = 10.0
PHOTO_TIMEOUT_S: Final = 120.0
"""Making a photo ready takes seconds, and others may wait before it."""


class Client:
    """A connection to a daemon. Use it as a context manager, or `close` it.

    Every method raises the daemon's errors (streamfx.errors), and those of streamfx.client.errors.
    """

    def __init__(self, found: Endpoint, timeout_s: float = TIMEOUT_S) -> None:
        """Use `connect`."""
        self._endpoint = found
        self._timeout_s = timeout_s
        self._channel = (
            grpc.secure_channel(found.target, found.credentials, OPTIONS)
            if found.credentials
            else grpc.insecure_channel(found.target, OPTIONS)
        )

    @classmethod
    def connect(
        cls,
        address: str | Path | None = None,
        *,
        token: str = "",
        authority: Path | None = None,
        certificate: Path | None = None,
        key: Path | None = None,
        timeout_s: float = TIMEOUT_S,
    ) -> Client:
        """A client of the daemon at an address; the connection is made at the first call.

        Args:
            address: path of a UNIX socket, or HOST:PORT (by TLS); None for the daemon of this user.
            token: for HOST:PORT.
            authority: PEM file of who signed the daemon's certificate; None trusts the system's authorities.
            certificate, key: PEM files of the client, where the daemon asks for them.
            timeout_s: for each call but the lasting ones.

        Raises:
            UsageError: these do not go together, or a file cannot be read.
        """
        return cls(endpoint(address, token, authority, certificate, key), timeout_s)

    def close(self) -> None:
        """End the connection and every stream on it."""
        self._channel.close()

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # -- portraits -------------------------------------------------------------------------------------------

    def create_portrait(
        self,
        photo: bytes | str | Path,
        *,
        name: str = "",
        id: str = "",
        references: Sequence[bytes | str | Path] = (),
    ) -> Portrait:
        """Add a photo: its bytes, or a file of yours. By TCP a `str` is a path on the daemon's machine."""
        with self._own_files() as files:
            sent = [files.photo(one) for one in (photo, *references)]
        return self._unary(calls.create_portrait(sent[0], name, id, sent[1:]), PHOTO_TIMEOUT_S)

    def get_portrait(self, id: str) -> Portrait:
        """One portrait."""
        return self._unary(calls.get_portrait(id))

    def list_portraits(self) -> list[Portrait]:
        """All portraits, in the order in which they were added."""
        return list(calls.pages(lambda token: self._unary(calls.list_portraits(token))))

    def rename_portrait(self, id: str, name: str) -> Portrait:
        """Give a portrait another display name."""
        return self._unary(calls.rename_portrait(id, name))

    def delete_portrait(self, id: str) -> None:
        """Forget a portrait."""
        return self._unary(calls.delete_portrait(id))

    def thumbnail(self, id: str) -> bytes:
        """A small JPEG of a portrait."""
        return self._unary(calls.thumbnail(id))

    # -- sessions --------------------------------------------------------------------------------------------

    def create_session(self, settings: SessionSettings, id: str = "") -> Session:
        """Begin a session. Files in the settings are yours, from `~` or relative to where you are: they are
        opened here and handed over. By TCP they are the daemon's, below its roots."""
        with self._own_files() as files:
            return self._unary(calls.create_session(files.settings(settings), id))

    def get_session(self, id: str) -> Session:
        """One session."""
        return self._unary(calls.get_session(id))

    def list_sessions(self) -> list[Session]:
        """All sessions."""
        return list(calls.pages(lambda token: self._unary(calls.list_sessions(token))))

    def update_session(self, id: str, settings: SessionSettings, fields: Sequence[str]) -> Session:
        """Change settings named as `mirror`, `gains`, `gains.head` or `*` to what they are in `settings`.

        Files are handed over as by `create_session`; with `*` only those that the session does not have yet.
        """
        before = self.get_session(id).settings if not fields or "*" in fields else None
        with self._own_files() as files:
            return self._unary(calls.update_session(id, files.settings(settings, fields, before), fields))

    def update(self, id: str, **changes: Any) -> Session:  # noqa: ANN401 - each of its field's type
        """Change what is named, by fields of SessionSettings: `update(id, source="remote", mirror=True)`.

        Raises:
            TypeError: there is no such field.
        """
        return self.update_session(id, replace(SessionSettings(), **changes), list(changes))

    def delete_session(self, id: str) -> None:
        """End a session."""
        return self._unary(calls.delete_session(id))

    def select_portrait(self, id: str, target: str | int) -> Session:
        """Show another portrait: by identifier, by place (from 1), or `next` or `previous`."""
        return self._unary(calls.select_portrait(id, target))

    def calibrate(self, id: str) -> None:
        """Take what the driver does now for neutral."""
        return self._unary(calls.calibrate(id))

    def hide(self, id: str, hidden: bool = True) -> Session:
        """Show the idle portrait whatever the driver does, or no longer."""
        return self._unary(calls.hide(id, hidden))

    def pause(self, id: str, paused: bool = True) -> Session:
        """Close the source, or open it again."""
        return self._unary(calls.pause(id, paused))

    def list_devices(self) -> list[DeviceInfo]:
        """The cameras of the daemon's machine."""
        return self._unary(calls.list_devices())

    # -- streams: closing the generator ends the call --------------------------------------------------------

    def watch(self, id: str, interval_s: float = 1.0) -> Generator[SessionStatus]:
        """Its status, at once and then at an interval of 0.1 to 60 s."""
        return self._stream(calls.watch(id, interval_s))

    def preview(
        self,
        id: str,
        *,
        max_fps: float = 15.0,
        max_side: int = 640,
        quality: int = 80,
        format: PreviewFormat = PreviewFormat.JPEG,
    ) -> Generator[Preview]:
        """A session's pictures; what is not taken in time is dropped."""
        return self._stream(calls.preview(id, max_fps, max_side, quality, format))

    def record(self, id: str, path: str | Path, duration_s: float = 0.0) -> Generator[Progress]:
        """Record into a new MP4 of yours, for a time or until the generator is closed. By TCP it lies on the
        daemon's machine, below its roots."""
        with self._own_files() as files:
            yield from self._stream(calls.record(id, files.new_file(path), duration_s))

    def drive(self, id: str, motions: Iterable[MotionNumbers]) -> int:
        """Drive a session whose source is `remote`, in the iterable's pace; the number of motions taken."""
        call = calls.drive(id)
        stub = self._channel.stream_unary(call.path, _serialised, call.response.FromString)
        requests = (calls.drive_request(id, motion) for motion in motions)
        return call.read(self._raising(lambda: stub(requests, metadata=self._endpoint.metadata)))

    def _own_files(self) -> OwnFiles:
        return OwnFiles(self._endpoint.is_local, self._endpoint.files)

    def _unary(self, call: Call[T], timeout_s: float | None = None) -> T:
        stub = self._channel.unary_unary(call.path, _serialised, call.response.FromString)
        limit = timeout_s or self._timeout_s

        def send() -> Any:  # noqa: ANN401 - protobuf's
            return stub(call.request, timeout=limit, metadata=self._endpoint.metadata)

        try:
            return call.read(send())
        except grpc.RpcError as error:
            if not (self._endpoint.is_local and was_turned_away(error)):
                raise from_call(error, self._endpoint.target) from error
        with suppress(grpc.FutureTimeoutError):
            grpc.channel_ready_future(self._channel).result(PATIENCE_S)
        return call.read(self._raising(send))

    def _stream(self, call: Call[T]) -> Generator[T]:
        stub = self._channel.unary_stream(call.path, _serialised, call.response.FromString)
        answers = stub(call.request, metadata=self._endpoint.metadata)
        try:
            for answer in answers:
                yield call.read(answer)
        except grpc.RpcError as error:
            raise from_call(error, self._endpoint.target) from error
        finally:
            answers.cancel()

    def _raising(self, send: Callable[[], T]) -> T:
        try:
            return send()
        except grpc.RpcError as error:
            raise from_call(error, self._endpoint.target) from error


def _serialised(message: Message) -> bytes:
    return message.SerializeToString()
