"""Services on the wire, read from their descriptors: bytes in, our method, bytes or a status out.

A message that may bring a photo is received only once there is room for it: till then its sender keeps it.

This is the one place where errors become statuses. What nobody foresaw is caught here too: it goes to the log
whole and to the client without particulars, and the daemon's camera goes on.
"""

from __future__ import annotations

import asyncio
import logging
import re
from collections import Counter
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AbstractContextManager, aclosing, asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import Any, Final

import grpc
from google.protobuf.descriptor import MethodDescriptor, ServiceDescriptor
from google.protobuf.message import DecodeError, Message
from google.protobuf.message_factory import GetMessageClass
from google.rpc.status_pb2 import Status
from grpc import aio

from streamfx.api import status_codes
from streamfx.control.options import Limits
from streamfx.errors import LimitReached, StreamfxError, UsageError
from streamfx.limits import is_shortage, shortage

Context = aio.ServicerContext[bytes, bytes]

_SMALL: Final = 64 * 1024
"""Bytes of a message that brings no photo."""
_WITH_PHOTOS: Final = frozenset({"CreatePortrait"})
_BACKSTOP: Final = 16
"""Times the calls that are allowed: those between are told why they are refused, more are cut off unheard."""
_BY_NUMBER: Final = {status_codes.number(code): code for code in grpc.StatusCode}

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Method:
    """One method of a service, as the wire needs it."""

    path: str
    """/package.Service/Method"""
    python: str
    """Name of the method that does it: snake_case."""
    request: type[Message]
    response: type[Message]
    streams: tuple[bool, bool]
    """Whether requests and responses are streams."""
    most_bytes: int
    """Of a request."""


def methods_of(service: ServiceDescriptor, limits: Limits = Limits()) -> list[Method]:  # noqa: B008 - frozen
    """The methods of a service, in the order of its proto."""
    return [_method(one, limits) for one in service.methods]


class Calls:
    """Those that are under way at one address."""

    def __init__(self, limits: Limits, refused: Counter[str]) -> None:
        """None yet; `refused` counts those that fail, by the status that they get."""
        self._most, self.refused = limits.calls, refused
        self._running = self.made = 0
        """`made`: all so far."""
        self.most_at_all = limits.calls * _BACKSTOP
        """Which the transport takes at the same time."""

    @contextmanager
    def one(self) -> Iterator[None]:
        """One more during the block.

        Raises:
            LimitReached: there are too many.
        """
        self.made += 1
        if self._running >= self._most:
            cause = f"The daemon has {self._running} calls under way"
            raise LimitReached("daemon", "streamfx", cause, "Call again when some of them have ended")
        self._running += 1
        try:
            yield
        finally:
            self._running -= 1


def handler(
    service: object, descriptor: ServiceDescriptor, limits: Limits, calls: Calls
) -> grpc.GenericRpcHandler:
    """What a gRPC server needs to serve the methods of an object.

    A unary method takes a message and returns one. One that streams responses is an async generator; one that
    takes a stream is given an async iterator. They raise our errors and know nothing of gRPC. A service that
    takes photos has a context manager `room`, in which its message is received and its method called.
    """
    handlers = {
        one.path.rpartition("/")[2]: _Bound(one, service, limits.stall_s, calls).handler()
        for one in methods_of(descriptor, limits)
    }
    return grpc.method_handlers_generic_handler(descriptor.full_name, handlers)


def _method(one: MethodDescriptor, limits: Limits) -> Method:
    return Method(
        path=f"/{one.containing_service.full_name}/{one.name}",
        python=re.sub(r"(?<!^)(?=[A-Z])", "_", one.name).lower(),
        request=GetMessageClass(one.input_type),
        response=GetMessageClass(one.output_type),
        streams=(one.client_streaming, one.server_streaming),
        most_bytes=limits.message_bytes if one.name in _WITH_PHOTOS else _SMALL,
    )


class _Bound:
    """A method and who does it."""

    def __init__(self, method: Method, service: object, stall_s: float, calls: Calls) -> None:
        self._method, self._service, self._calls = method, service, calls
        self._function: Callable[..., Any] = getattr(service, method.python)
        self._stall_s = stall_s

    def handler(self) -> grpc.RpcMethodHandler[Any, Any]:
        """Without (de)serialisers: bytes come and go; a message that cannot be read is ours to refuse."""
        make: dict[tuple[bool, bool], tuple[Callable[..., Any], Callable[..., Any]]] = {
            (False, False): (grpc.unary_unary_rpc_method_handler, self._unary),
            (False, True): (grpc.unary_stream_rpc_method_handler, self._responses),
            (True, False): (grpc.stream_unary_rpc_method_handler, self._requests),
            (True, True): (grpc.stream_stream_rpc_method_handler, self._both),
        }
        wrap, behaviour = make[self._method.streams]
        if self._method.path.rpartition("/")[2] in _WITH_PHOTOS:  # on the wire a unary call is the same
            wrap, behaviour = grpc.stream_unary_rpc_method_handler, self._late
        made: grpc.RpcMethodHandler[Any, Any] = wrap(behaviour)
        return made

    async def _unary(self, data: bytes, context: Context) -> bytes:
        async with self._translated(context):
            return await self._answer(self._function(self._decoded(data)))
        raise AssertionError  # the context manager aborts or the answer is returned

    async def _late(self, stream: AsyncIterator[bytes], context: Context) -> bytes:
        """As unary, but nothing is received before there is room."""
        room: Callable[[], AbstractContextManager[None]] = self._service.room  # type: ignore[attr-defined]
        async with self._translated(context):
            with room():
                # In one expression: no name here keeps the bytes while the photo is looked at.
                return await self._answer(self._function(self._decoded(await self._in_time(stream))))
        raise AssertionError

    async def _in_time(self, stream: AsyncIterator[bytes]) -> bytes:
        try:
            async with asyncio.timeout(self._stall_s):
                return await anext(aiter(stream))
        except TimeoutError as error:
            cause = f"The photo did not come in within {self._stall_s:g} s"
            raise LimitReached("stream", self._method.path, cause, "Call again, and send faster") from error
        except StopAsyncIteration as error:
            raise UsageError("No message came", "Send one") from error

    async def _requests(self, stream: AsyncIterator[bytes], context: Context) -> bytes:
        async with self._translated(context):
            return await self._answer(self._function(self._decoded_all(stream)))
        raise AssertionError

    async def _responses(self, data: bytes, context: Context) -> None:
        async with self._translated(context):
            await self._write_all(self._function(self._decoded(data)), context)

    async def _both(self, stream: AsyncIterator[bytes], context: Context) -> None:
        async with self._translated(context):
            await self._write_all(self._function(self._decoded_all(stream)), context)

    async def _write_all(self, generator: AsyncGenerator[Message], context: Context) -> None:
        # Written here, not yielded: a cancelled call closes the generator at once.
        async with aclosing(generator) as messages:
            async for message in messages:
                write = asyncio.ensure_future(context.write(message.SerializeToString()))
                if not await self._taken(write):
                    break
            else:
                return
        # What the watcher held of the session is given back; a status can only follow what is being written.
        await write
        cause = f"Nothing of the stream was taken for {self._stall_s:g} s"
        raise LimitReached("stream", self._method.path, cause, "Call again, and read faster")

    async def _taken(self, write: asyncio.Future[None]) -> bool:
        """Wait until the transport has taken a message; a slow reader holds it back. False: not in time."""
        try:
            done, _ = await asyncio.wait({write}, timeout=self._stall_s)
        except asyncio.CancelledError:
            write.cancel()
            raise
        for one in done:
            try:
                one.result()
            except aio.InternalError as error:  # the caller hung up, and that is told before the cancelling
                raise asyncio.CancelledError from error
        return bool(done)

    async def _answer(self, message: Awaitable[Message]) -> bytes:
        return (await message).SerializeToString()

    async def _decoded_all(self, stream: AsyncIterator[bytes]) -> AsyncIterator[Message]:
        async for data in stream:
            yield self._decoded(data)

    def _decoded(self, data: bytes) -> Message:
        if len(data) > self._method.most_bytes:
            limit = self._method.most_bytes
            raise UsageError(f"The message has {len(data)} bytes, more than {limit}", "Send less")
        try:
            return self._method.request.FromString(data)
        except DecodeError as error:
            name = self._method.request.DESCRIPTOR.full_name
            raise UsageError(f"The message is no {name}", "Use the protos of this version") from error

    @asynccontextmanager
    async def _translated(self, context: Context) -> AsyncIterator[None]:
        """Errors of the block as statuses."""
        try:
            with self._calls.one():
                yield
        except StreamfxError as error:
            status = status_codes.status_of(error)
            _log.debug("%s refused: %s", self._method.path, error)
        except Exception as error:  # noqa: BLE001 - the daemon outlives any call
            _log.exception("%s failed", self._method.path)
            status = _short(error) if is_shortage(error) else status_codes.unforeseen()
        else:
            return
        self._calls.refused[_BY_NUMBER[status.code].name] += 1
        await _abort(context, status)


def _short(error: Exception) -> Status:
    """What is said where the system gave too little of something, wherever that was."""
    cause, remedy = shortage("The call could not be carried out", error)
    return status_codes.status_of(LimitReached("daemon", "streamfx", cause, remedy))


async def _abort(context: Context, status: Status) -> None:
    trailers = ((status_codes.DETAILS_KEY, status.SerializeToString()),)
    await context.abort(_BY_NUMBER[status.code], status.message, trailers)
