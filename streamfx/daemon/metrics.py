"""What the sessions do, for Prometheus and its kin: OpenMetrics at a loopback address, off by default.

A loopback address is no wall against web pages: a browser fetches from it for any site, and a name of that
site may lead there (DNS rebinding). So only requests that name this address are answered, and none of a page.
"""

from __future__ import annotations

import io
import ipaddress
import socket
import threading
from collections.abc import Iterator, Mapping
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler
from socketserver import TCPServer, ThreadingMixIn
from time import monotonic
from typing import Any, Final

from prometheus_client.core import CollectorRegistry, CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector

from streamfx.api.values import SessionStatus
from streamfx.errors import UsageError
from streamfx.session.sessions import Sessions

_COUNTERS: Final = {
    "published": "Pictures given to the camera and the ring.",
    "fresh": "Of them, those that the worker rendered for their tick.",
    "repeated": "Of them, repetitions of the last picture.",
    "idle": "Of them, those of the idle portrait.",
    "skipped": "Ticks that passed without a picture.",
    "refused": "Pictures that the camera did not take.",
    "restarts": "Workers that had to be replaced.",
}
_LABEL: Final = ["session"]
_MOST: Final = 8
"""Connections at a time."""
_HEAD_BYTES: Final = 8192
"""Of a request, which has no body."""
_HEAD_S, _ANSWER_S = 5.0, 5.0
"""For a request to come in, and for its answer to be taken."""
_PATHS: Final = ("/metrics", "/")


class Metrics:
    """Serves from its making to `close`."""

    def __init__(self, address: str, sessions: Sessions, refused: Mapping[str, int]) -> None:
        """Begin to serve.

        Args:
            address: HOST:PORT, a loopback address: the figures tell when somebody is in a call.
            sessions: whose figures are served.
            refused: calls of clients that failed, by status; it grows meanwhile.

        Raises:
            UsageError: the address is no loopback address, or taken.
        """
        host, port = _loopback(address)
        registry = CollectorRegistry()
        registry.register(_Reader(sessions, refused))
        try:
            self._server = _Server(host, port, registry)
        except OSError as error:
            cause = f"Metrics cannot be served at {address}: {error.strerror}"
            raise UsageError(cause, "Choose another port") from error
        self._thread = threading.Thread(
            target=self._server.serve_forever, name="streamfx-metrics", daemon=True
        )
        self._thread.start()
        self.port = self._server.port
        """That it listens at."""

    def close(self) -> None:
        """Serve no more."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


class _Server(ThreadingMixIn, TCPServer):
    """Listens; each request in a thread of its own, so that none waits for a slow one."""

    allow_reuse_address = True
    daemon_threads = True
    block_on_close = False
    request_queue_size = 2 * _MOST

    def __init__(self, host: str, port: int, registry: CollectorRegistry) -> None:
        self.address_family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self.registry, self._free = registry, threading.BoundedSemaphore(_MOST)
        super().__init__((host, port), _Request)
        self.port: int = self.server_address[1]
        names = ("localhost", "127.0.0.1", "[::1]", f"[{host}]" if ":" in host else host)
        self.names = frozenset(f"{name}:{self.port}" for name in names)
        """That a request may give for its host."""

    def process_request(self, request: Any, client_address: Any) -> None:  # noqa: ANN401 - as in the base
        if not self._free.acquire(blocking=False):
            self.shutdown_request(request)
            return
        super().process_request(request, client_address)

    def process_request_thread(self, request: Any, client_address: Any) -> None:  # noqa: ANN401
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._free.release()

    def handle_error(self, request: Any, client_address: Any) -> None:  # noqa: ANN401
        """Somebody hung up, or was hung up on: nobody need hear of it."""


class _Request(BaseHTTPRequestHandler):
    """One request; the connection ends with it."""

    server: _Server
    server_version, sys_version = "streamfx", ""

    def setup(self) -> None:
        super().setup()
        head = self._head()
        self.rfile.close()
        self.rfile = io.BufferedReader(io.BytesIO(head))
        self.request.settimeout(_ANSWER_S)

    def _head(self) -> bytes:
        """What comes up to the empty line; nothing if it does not come in time, or is too long."""
        data, until = b"", monotonic() + _HEAD_S
        while b"\r\n\r\n" not in data:
            left = until - monotonic()
            if left <= 0 or len(data) > _HEAD_BYTES:
                return b""
            self.request.settimeout(left)
            try:
                piece = self.request.recv(4096)
            except OSError:
                return b""
            if not piece:
                return b""
            data += piece
        return data

    def handle(self) -> None:
        self.close_connection = True
        self.handle_one_request()

    def do_GET(self) -> None:
        status = self._judged()
        if status is not HTTPStatus.OK:
            self.send_error(status)
            return
        encode, kind = choose_encoder(self.headers.get("Accept", ""))
        body = encode(self.server.registry)
        self.send_response(HTTPStatus.OK)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Connection", "close")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    do_HEAD = do_GET  # noqa: N815

    def do_POST(self) -> None:
        self.send_error(HTTPStatus.METHOD_NOT_ALLOWED)

    do_PUT = do_PATCH = do_DELETE = do_OPTIONS = do_POST  # noqa: N815

    def _judged(self) -> HTTPStatus:
        """Whether it is meant for us, and comes from no web page but our own."""
        hosts = self.headers.get_all("Host", [])
        if len(hosts) != 1:
            return HTTPStatus.BAD_REQUEST
        if hosts[0].strip().lower() not in self.server.names:
            return HTTPStatus.MISDIRECTED_REQUEST
        site = self.headers.get("Sec-Fetch-Site", "none").strip().lower()
        if site not in ("none", "same-origin") or "Origin" in self.headers:
            return HTTPStatus.FORBIDDEN
        return HTTPStatus.OK if self.path.partition("?")[0] in _PATHS else HTTPStatus.NOT_FOUND

    def log_message(self, format: str, *arguments: object) -> None:
        """Nothing: scrapes come every few seconds."""


class _Reader(Collector):
    """Reads the sessions when somebody asks."""

    def __init__(self, sessions: Sessions, refused: Mapping[str, int]) -> None:
        self._sessions, self._refused = sessions, refused

    def collect(self) -> Iterator[Metric]:
        states = [session.status() for session in self._sessions.list()]
        for name, text in _COUNTERS.items():
            family = CounterMetricFamily(f"streamfx_{name}", text, labels=_LABEL)
            for status in states:
                family.add_metric([status.id], getattr(status.counters, name))
            yield family
        yield from _source_counters(states)
        yield _refused(self._refused)
        yield from _gauges(states)


def _source_counters(states: list[SessionStatus]) -> Iterator[Metric]:
    """They begin anew when another source is opened, as Prometheus lets a counter."""
    dropped = CounterMetricFamily(
        "streamfx_source_dropped", "Pictures overtaken by newer ones.", labels=_LABEL
    )
    damaged = CounterMetricFamily(
        "streamfx_source_damaged", "Pieces of the driver's stream that could not be decoded.", labels=_LABEL
    )
    for status in states:
        dropped.add_metric([status.id], status.source.dropped)
        damaged.add_metric([status.id], status.source.damaged)
    yield from (dropped, damaged)


def _refused(numbers: Mapping[str, int]) -> Metric:
    """Calls of all clients that failed, or were not allowed."""
    text = "Calls that failed or were not allowed."
    refused = CounterMetricFamily("streamfx_calls_refused", text, labels=["status"])
    for code, number in dict(numbers).items():
        refused.add_metric([code], number)
    return refused


def _gauges(states: list[SessionStatus]) -> Iterator[Metric]:
    rate = GaugeMetricFamily("streamfx_fps", "Pictures published a second.", labels=_LABEL)
    tracked = GaugeMetricFamily("streamfx_tracked", "Share of pictures with a face, 0 to 1.", labels=_LABEL)
    readers = GaugeMetricFamily("streamfx_readers", "Programs that read the camera.", labels=_LABEL)
    delay = GaugeMetricFamily(
        "streamfx_latency_seconds", "From capture to publication.", labels=[*_LABEL, "quantile"]
    )
    state = GaugeMetricFamily("streamfx_state", "1 for the session's state.", labels=[*_LABEL, "state"])
    for status in states:
        rate.add_metric([status.id], status.fps)
        tracked.add_metric([status.id], status.source.tracked)
        state.add_metric([status.id, status.state], 1)
        if status.camera.readers is not None:
            readers.add_metric([status.id], status.camera.readers)
        if status.latency_ms is not None:
            for quantile, ms in (("0.5", status.latency_ms.p50), ("0.95", status.latency_ms.p95)):
                delay.add_metric([status.id, quantile], ms / 1000)
    yield from (rate, tracked, readers, delay, state)


def _loopback(address: str) -> tuple[str, int]:
    host, _, port = address.rpartition(":")
    try:
        number, is_loopback = int(port), ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError as error:
        raise UsageError(f"{address!r} is no address", "Write it as 127.0.0.1:9464") from error
    if not is_loopback or not 0 <= number < 65536:
        raise UsageError(f"Metrics at {address} could be read from outside", "Use 127.0.0.1")
    return host.strip("[]"), number
