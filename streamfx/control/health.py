"""The services that every gRPC tool knows: health (grpc.health.v1) and reflection.

They are bound like our own: what cannot be read is refused with a status, and a watcher that takes nothing
holds nobody up. (The library's own health service implements no List and can be stopped from stopping.)
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import Any, Final, cast

from google.protobuf.descriptor import ServiceDescriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass
from grpc_health.v1 import health_pb2
from grpc_reflection.v1alpha import reflection, reflection_pb2

from streamfx.errors import ResourceMissing

HEALTH: Final = cast(ServiceDescriptor, health_pb2.DESCRIPTOR.services_by_name["Health"])
REFLECTION: Final = cast(ServiceDescriptor, reflection_pb2.DESCRIPTOR.services_by_name["ServerReflection"])

_LIST_RESPONSE: Final = GetMessageClass(HEALTH.methods_by_name["List"].output_type)
_Answer = health_pb2.HealthCheckResponse


class HealthService:
    """Tells whether the server serves: all its services do, until it stops."""

    def __init__(self, names: Sequence[str]) -> None:
        self._names = ("", *names)
        self._stopping = asyncio.Event()

    def stop(self) -> None:
        """From now on it does not serve."""
        self._stopping.set()

    async def check(self, request: health_pb2.HealthCheckRequest) -> health_pb2.HealthCheckResponse:
        """How one service is, or (empty name) the server."""
        if request.service not in self._names:
            name = request.service
            raise ResourceMissing("service", name, f"There is no service {name[:80]}", "See reflection")
        return _Answer(status=self._status())

    async def list(self, _request: Message) -> Message:
        """How all services are."""
        statuses = {name: _Answer(status=self._status()) for name in self._names}
        return _LIST_RESPONSE(statuses=statuses)

    async def watch(
        self, request: health_pb2.HealthCheckRequest
    ) -> AsyncIterator[health_pb2.HealthCheckResponse]:
        """How one service is, now and when it stops; that is the stream's end."""
        known = request.service in self._names
        told = self._status()  # before it is sent: it may stop meanwhile
        yield _Answer(status=told if known else _Answer.SERVICE_UNKNOWN)
        await self._stopping.wait()
        if known and told != self._status():
            yield _Answer(status=self._status())

    def _status(self) -> int:
        return int(_Answer.NOT_SERVING if self._stopping.is_set() else _Answer.SERVING)


class ReflectionService:
    """Describes the services to tools that have none of our code."""

    def __init__(self, names: Sequence[str]) -> None:
        every = (*names, HEALTH.full_name, REFLECTION.full_name)
        self._library = reflection.aio.ReflectionServicer(every)

    def server_reflection_info(
        self, requests: AsyncIterator[reflection_pb2.ServerReflectionRequest]
    ) -> AsyncIterator[reflection_pb2.ServerReflectionResponse]:
        """The library's answers."""
        servicer: Any = self._library  # its types say that the call were awaited first
        answers: AsyncIterator[reflection_pb2.ServerReflectionResponse]
        answers = servicer.ServerReflectionInfo(requests, None)
        return answers
