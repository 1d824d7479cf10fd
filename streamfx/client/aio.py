"""The client for asyncio: as `sync.Client`, each method awaited, each stream an async generator."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterable, Awaitable, Callable, Sequence
from contextlib import aclosing, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import grpc
from google.protobuf.message import Message
from grpc import aio

from streamfx.api.values import DeviceInfo, PreviewFormat, SessionStatus
from streamfx.client import calls
from streamfx.client.address import OPTIONS, PATIENCE_S, Endpoint, endpoint
from streamfx.client.calls import Call, Page, Portrait, Preview, Progress, Session
from streamfx.client.errors import from_call, was_turned_away
from streamfx.client.files import OwnFiles
from streamfx.client.sync import PHOTO_TIMEOUT_S, TIMEOUT_S
from streamfx.settings.motion import MotionNumbers
from streamfx.settings.session import SessionSettings

T = TypeVar("T")


class AsyncClient:
    """A connection to a daemon, for the event loop in which it is made. Use it as a context manager.

    Every method raises the daemon's errors (streamfx.errors), and those of streamfx.client.errors.
    """

    def __init__(self, found: Endpoint, timeout_s: float = TIMEOUT_S) -> None:
        """Use `connect`."""
        self._endpoint = found
        self._timeout_s = timeout_s
        self._channel = (
            aio.secure_channel(found.target, found.credentials, OPTIONS)
            if found.credentials
            else aio.insecure_channel(found.target, OPTIONS)
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
    ) -> AsyncClient:
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

    async def close(self) -> None:
        """End the connection and every stream on it."""
        await self._channel.close()

    async def __aenter__(self) -> AsyncClient:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    # -- portraits -------------------------------------------------------------------------------------------

    async def create_portrait(
        self,
        photo: bytes | str | Path,
        *,
        name: str = "",
        id: str = "",
        references: Sequence[bytes | str | Path] = (),
    ) -> Portrait:
        """Add a photo: its bytes, or a file of yours. By TCP a `str` is a path on the daemon's machine."""
        with self._own_files() as files:
            sent = [await asyncio.to_thread(files.photo, one) for one in (photo, *references)]
        return await self._unary(calls.create_portrait(sent[0], name, id, sent[1:]), PHOTO_TIMEOUT_S)

    async def get_portrait(self, id: str) -> Portrait:
        """One portrait."""
        return await self._unary(calls.get_portrait(id))

    async def list_portraits(self) -> list[Portrait]:
        """All portraits, in the order in which they were added."""
        return await self._all(calls.list_portraits)

    async def rename_portrait(self, id: str, name: str) -> Portrait:
        """Give a portrait another display name."""
        return await self._unary(calls.rename_portrait(id, name))

    async def delete_portrait(self, id: str) -> None:
        """Forget a portrait."""
        return await self._unary(calls.delete_portrait(id))

    async def thumbnail(self, id: str) -> bytes:
        """A small JPEG of a portrait."""
        return await self._unary(calls.thumbnail(id))

    # -- sessions --------------------------------------------------------------------------------------------

    async def create_session(self, settings: SessionSettings, id: str = "") -> Session:
        """Begin a session. Files in the settings are yours, from `~` or relative to where you are: they are
        opened here and handed over. By TCP they are the daemon's, below its roots."""
        with self._own_files() as files:
            handed = await asyncio.to_thread(files.settings, settings)
            return await self._unary(calls.create_session(handed, id))

    async def get_session(self, id: str) -> Session:
        """One session."""
        return await self._unary(calls.get_session(id))

    async def list_sessions(self) -> list[Session]:
        """All sessions."""
        return await self._all(calls.list_sessions)

    async def update_session(self, id: str, settings: SessionSettings, fields: Sequence[str]) -> Session:
        """Change settings named as `mirror`, `gains`, `gains.head` or `*` to what they are in `settings`.

        Files are handed over as by `create_session`; with `*` only those that the session does not have yet.
        """
        before = (await self.get_session(id)).settings if not fields or "*" in fields else None
        with self._own_files() as files:
            handed = await asyncio.to_thread(files.settings, settings, fields, before)
            return await self._unary(calls.update_session(id, handed, fields))

    async def update(self, id: str, **changes: Any) -> Session:  # noqa: ANN401 - each of its field's type
        """Change what is named, by fields of SessionSettings: `update(id, source="remote", mirror=True)`.

        Raises:
            TypeError: there is no such field.
        """
        return await self.update_session(id, replace(SessionSettings(), **changes), list(changes))

    async def delete_session(self, id: str) -> None:
        """End a session."""
        return await self._unary(calls.delete_session(id))

    async def select_portrait(self, id: str, target: str | int) -> Session:
        """Show another portrait: by identifier, by place (from 1), or `next` or `previous`."""
        return await self._unary(calls.select_portrait(id, target))

    async def calibrate(self, id: str) -> None:
        """Take what the driver does now for neutral."""
        return await self._unary(calls.calibrate(id))

    async def hide(self, id: str, hidden: bool = True) -> Session:
        """Show the idle portrait whatever the driver does, or no longer."""
        return await self._unary(calls.hide(id, hidden))

    async def pause(self, id: str, paused: bool = True) -> Session:
        """Close the source, or open it again."""
        return await self._unary(calls.pause(id, paused))

    async def list_devices(self) -> list[DeviceInfo]:
        """The cameras of the daemon's machine."""
        return await self._unary(calls.list_devices())

    # -- streams: closing the generator ends the call --------------------------------------------------------

    def watch(self, id: str, interval_s: float = 1.0) -> AsyncGenerator[SessionStatus]:
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
    ) -> AsyncGenerator[Preview]:
        """A session's pictures; what is not taken in time is dropped."""
        return self._stream(calls.preview(id, max_fps, max_side, quality, format))

    async def record(self, id: str, path: str | Path, duration_s: float = 0.0) -> AsyncGenerator[Progress]:
        """Record into a new MP4 of yours, for a time or until the generator is closed. By TCP it lies on the
        daemon's machine, below its roots."""
        with self._own_files() as files:
            film = await asyncio.to_thread(files.new_file, path)
            async with aclosing(self._stream(calls.record(id, film, duration_s))) as steps:
                async for step in steps:
                    yield step

    async def drive(self, id: str, motions: AsyncIterable[MotionNumbers]) -> int:
        """Drive a session whose source is `remote`, in the iterable's pace; the number of motions taken."""
        call = calls.drive(id)
        stub = self._channel.stream_unary(call.path, _serialised, call.response.FromString)

        async def requests() -> AsyncGenerator[Any]:
            async for motion in motions:
                yield calls.drive_request(id, motion)

        return call.read(await self._raising(stub(requests(), metadata=self._endpoint.metadata)))

    def _own_files(self) -> OwnFiles:
        return OwnFiles(self._endpoint.is_local, self._endpoint.files)

    async def _unary(self, call: Call[T], timeout_s: float | None = None) -> T:
        stub = self._channel.unary_unary(call.path, _serialised, call.response.FromString)
        limit = timeout_s or self._timeout_s

        def sent() -> Awaitable[Any]:
            return stub(call.request, timeout=limit, metadata=self._endpoint.metadata)

        try:
            return call.read(await sent())
        except grpc.RpcError as error:
            if not (self._endpoint.is_local and was_turned_away(error)):
                raise from_call(error, self._endpoint.target) from error
        with suppress(TimeoutError):
            async with asyncio.timeout(PATIENCE_S):
                await self._channel.channel_ready()
        return call.read(await self._raising(sent()))

    async def _all(self, fetch: Callable[[str], Call[Page[T]]]) -> list[T]:
        page = await self._unary(fetch(""))
        items = list(page.items)
        while page.next:
            page = await self._unary(fetch(page.next))
            items += page.items
        return items

    async def _stream(self, call: Call[T]) -> AsyncGenerator[T]:
        stub = self._channel.unary_stream(call.path, _serialised, call.response.FromString)
        answers = stub(call.request, metadata=self._endpoint.metadata)
        try:
            async for answer in answers:
                yield call.read(answer)
        except grpc.RpcError as error:
            raise from_call(error, self._endpoint.target) from error
        finally:
            answers.cancel()

    async def _raising(self, sent: Awaitable[T]) -> T:
        try:
            return await sent
        except grpc.RpcError as error:
            raise from_call(error, self._endpoint.target) from error


def _serialised(message: Message) -> bytes:
    return message.SerializeToString()
