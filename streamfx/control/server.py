"""The control server: its services on a UNIX socket and, if asked for, on TLS; in a thread of its own."""

from __future__ import annotations

import asyncio
import logging
import secrets
import threading
from collections import Counter
from collections.abc import Sequence
from contextlib import AsyncExitStack, suppress
from pathlib import Path
from typing import Final

import grpc
from grpc import aio

from streamfx.api.address import SocketPlace, default_socket, has_sockets
from streamfx.api.v1 import device_service_pb2, portrait_service_pb2, session_service_pb2
from streamfx.control.auth import Credential, Guard, Permission
from streamfx.control.blocking import Blocking
from streamfx.control.devices import Devices, DeviceService
from streamfx.control.health import HEALTH, REFLECTION, HealthService, ReflectionService
from streamfx.control.options import ControlOptions, resolve
from streamfx.control.portraits import PortraitService
from streamfx.control.requests import Files
from streamfx.control.rpc_adapter import Calls, handler
from streamfx.control.sessions import SessionService
from streamfx.control.streams import Closing, Streams
from streamfx.control.tokens import read_token
from streamfx.errors import StreamfxError, UsageError
from streamfx.ipc.memory import give_back
from streamfx.session.sessions import Sessions

SERVICES: Final = (
    portrait_service_pb2.DESCRIPTOR.services_by_name["PortraitService"],
    session_service_pb2.DESCRIPTOR.services_by_name["SessionService"],
    device_service_pb2.DESCRIPTOR.services_by_name["DeviceService"],
)
_NAMES: Final = tuple(service.full_name for service in SERVICES)
_ALL: Final = (*SERVICES, HEALTH, REFLECTION)
_START_S: Final = 20.0
_AHEAD: Final = 256 * 1024
"""Bytes of a message that may come before it is asked for. Left alone, gRPC takes whole photos of all calls
that wait: a hundred at a time took 200 to 700 MB for a moment."""
_TOKEN_BYTES: Final = 32
_KEEPALIVE: Final = (
    ("grpc.keepalive_time_ms", 10_000),
    ("grpc.keepalive_timeout_ms", 5_000),
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.http2.max_pings_without_data", 0),
    ("grpc.http2.min_ping_interval_without_data_ms", 5_000),
)
"""A peer that died is noticed within 15 s, and clients that do the same are not punished."""
_HELLO_MS: Final = (2_000, 10_000)
"""For which a connection may not say what it is: of this machine, and from afar. It takes another's place."""
_IDLE_MS: Final = (20_000, 300_000)
"""For which it may make no call: where there are few places, and many. Clients connect anew, unnoticed."""
_FEW: Final = 64
_TIDY_S: Final = 5.0
"""After calls, memory is given back so soon."""

_log = logging.getLogger(__name__)


class ControlServer:
    """Serves the daemon's sessions to clients. `start` and `stop` are for other threads than its own."""

    def __init__(self, sessions: Sessions, devices: Devices, options: ControlOptions) -> None:
        self._sessions = sessions
        self._devices = devices
        self._options = options
        self._thread = threading.Thread(target=self._run, name="streamfx-control", daemon=True)
        self._ready = threading.Event()
        self._failure: StreamfxError | OSError | RuntimeError | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stopping: asyncio.Event | None = None
        self._asked_to_stop = threading.Event()
        self._grace_s = 0.0
        self.socket = options.socket or default_socket()
        """Path of the UNIX socket."""
        self.refused: Counter[str] = Counter()
        """Calls that failed, or were not allowed, by the status that they got."""
        self.ports: tuple[int, ...] = ()
        """TCP ports listened at, once started."""

    def start(self) -> None:
        """Listen, and return.

        Raises:
            UsageError: the options are unsafe or cannot work.
            ResourceBusy: another daemon listens there.
        """
        self._options.check()
        self._thread.start()
        self._ready.wait(_START_S)
        if self._failure is not None:
            self._thread.join()
            raise self._failure

    def stop(self, grace_s: float = 1.0) -> None:
        """Say that it is over, let calls end for `grace_s`, complete recordings, and free the socket."""
        self._asked_to_stop.set()
        if self._loop is not None and self._stopping is not None:
            self._grace_s = grace_s
            with suppress(RuntimeError):  # the loop is closed: it ended by itself
                self._loop.call_soon_threadsafe(self._stopping.set)
        if self._thread.ident is not None:
            self._thread.join()

    def __enter__(self) -> ControlServer:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _run(self) -> None:
        try:
            asyncio.run(self._serve())
        except (StreamfxError, OSError, RuntimeError) as error:
            if self._ready.is_set():
                _log.exception("the control server broke off")
            self._failure = error
        finally:
            self._ready.set()

    async def _serve(self) -> None:
        self._stopping, self._loop = asyncio.Event(), asyncio.get_running_loop()
        if self._asked_to_stop.is_set():  # before there was a loop that could be told
            return
        async with AsyncExitStack() as closing:
            place = SocketPlace(self.socket)
            closing.callback(place.release)
            services = _Services(self._sessions, self._devices, self._options, self.refused)
            closing.callback(services.close)
            servers = [_listen_locally(services, place)]
            if self._options.listen:
                servers.append(services.server(self._guard(), is_local=False))
                self.ports = _listen_by_tls(servers[1], self._options)
            for server in servers:
                await server.start()
            place.opened()
            self._sessions.files.listen()
            self._ready.set()
            await services.tidy_until(self._stopping)
            services.say_goodbye()
            await asyncio.gather(*(server.stop(self._grace_s) for server in servers))

    def _guard(self) -> Guard:
        """Of TLS: tokens where there are any, else the client's certificate was enough."""
        files = (
            (self._options.token_file, Permission.CONTROL),
            (self._options.read_token_file, Permission.READ),
        )
        credentials = [Credential(read_token(file), what) for file, what in files if file is not None]
        otherwise = Permission.CONTROL if self._options.client_ca else Permission.OPEN
        return Guard(credentials, otherwise, self.refused)


class _Services:
    """What all addresses serve."""

    def __init__(
        self, sessions: Sessions, devices: Devices, options: ControlOptions, refused: Counter[str]
    ) -> None:
        self._limits, self.refused = options.limits, refused
        self._calls: list[Calls] = []
        self._work = Blocking()
        self._closing = Closing()
        self._streams = Streams(sessions.get, self._limits, self._work, self._closing)
        self._health = HealthService(_NAMES)
        roots: Sequence[Path] = options.roots
        self._served = (
            PortraitService(sessions.portraits, roots, self._limits, self._work),
            SessionService(sessions, self._streams, Files(roots, sessions.files), self._work),
            DeviceService(devices, self._work),
            self._health,
            ReflectionService(_NAMES),
        )

    def server(self, guard: Guard, *, is_local: bool) -> aio.Server:
        """A server with all of them behind a guard, not yet listening."""
        limit, calls = self._limits.message_bytes, Calls(self._limits, self.refused)
        connections = self._limits.connections
        self._calls.append(calls)
        options = (
            *_KEEPALIVE,
            ("grpc.server_handshake_timeout_ms", _HELLO_MS[not is_local]),
            ("grpc.max_connection_idle_ms", _IDLE_MS[connections > _FEW]),
            ("grpc.server.max_pending_requests", calls.most_at_all),
            ("grpc.server.max_pending_requests_hard_limit", calls.most_at_all),
            ("grpc.max_allowed_incoming_connections", connections),
            ("grpc.max_receive_message_length", limit),
            ("grpc.max_send_message_length", limit),
            ("grpc.http2.bdp_probe", 0),
            ("grpc.http2.lookahead_bytes", _AHEAD),
            ("grpc.so_reuseport", 0),
        )
        made = aio.server(interceptors=[guard], options=options, maximum_concurrent_rpcs=calls.most_at_all)
        handlers = [
            handler(service, descriptor, self._limits, calls)
            for service, descriptor in zip(self._served, _ALL, strict=True)
        ]
        made.add_generic_rpc_handlers(handlers)
        return made

    async def tidy_until(self, stopping: asyncio.Event) -> None:
        """Give back the memory that calls took, soon after they came, until it is set."""
        told = 0
        while not stopping.is_set():
            with suppress(TimeoutError):
                async with asyncio.timeout(_TIDY_S):
                    await stopping.wait()
            if (made := sum(calls.made for calls in self._calls)) != told:
                told = made
                await self._work.do(give_back)

    def say_goodbye(self) -> None:
        """No longer healthy; every stream ends."""
        self._health.stop()
        self._closing.set()

    def close(self) -> None:
        """Wait for what is under way."""
        self._streams.close()
        self._work.close()


def _listen_locally(services: _Services, place: SocketPlace) -> aio.Server:
    """A server for programs of the same user."""
    if has_sockets():
        server = services.server(Guard((), Permission.CONTROL, services.refused), is_local=True)
        _listen_at(server, f"unix:{place.path}", None)
        return server
    token = secrets.token_urlsafe(_TOKEN_BYTES)
    guard = Guard((Credential(token, Permission.CONTROL),), Permission.OPEN, services.refused)
    server = services.server(guard, is_local=True)
    local = grpc.local_server_credentials(grpc.LocalConnectionType.LOCAL_TCP)
    place.point_to(_listen_at(server, "127.0.0.1:0", local), token)
    return server


def _listen_by_tls(server: aio.Server, options: ControlOptions) -> tuple[int, ...]:
    credentials = _credentials(options)
    ports: list[int] = []
    for host, port in resolve(options.listen):
        text = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        ports.append(_listen_at(server, text, credentials))
    return tuple(ports)


def _credentials(options: ControlOptions) -> grpc.ServerCredentials:
    try:
        read = [
            file.read_bytes() if file else None
            for file in (options.tls_key, options.tls_certificate, options.client_ca)
        ]
    except OSError as error:
        remedy = "Check --tls-cert, --tls-key and --client-ca"
        raise UsageError(f"{error.filename} cannot be read: {error.strerror}", remedy) from error
    key, certificate, authority = read
    return grpc.ssl_server_credentials(
        [(key or b"", certificate or b"")],
        root_certificates=authority,
        require_client_auth=authority is not None,
    )


def _listen_at(server: aio.Server, address: str, credentials: grpc.ServerCredentials | None) -> int:
    try:
        if credentials is None:
            return server.add_insecure_port(address)
        return server.add_secure_port(address, credentials)
    except RuntimeError as error:
        cause = (
            f"{address} cannot be listened at: it is taken, not of this machine, or its certificate is bad"
        )
        raise UsageError(cause, "Check --listen, --tls-cert and --tls-key") from error
