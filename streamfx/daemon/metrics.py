"""What the sessions do, for Prometheus and its kin: OpenMetrics at a loopback address, off by default."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator
from typing import Final

from prometheus_client import start_http_server
from prometheus_client.core import CollectorRegistry, CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from streamfx.errors import UsageError
from streamfx.session.sessions import Sessions
from streamfx.session.status import SessionStatus

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


class Metrics:
    """Serves from its making to `close`."""

    def __init__(self, address: str, sessions: Sessions) -> None:
        """Begin to serve.

        Args:
            address: HOST:PORT, a loopback address: the figures tell when somebody is in a call.
            sessions: whose figures are served.

        Raises:
            UsageError: the address is no loopback address, or taken.
        """
        host, port = _loopback(address)
        registry = CollectorRegistry()
        registry.register(_Reader(sessions))
        try:
            self._server, self._thread = start_http_server(port, host, registry)
        except OSError as error:
            cause = f"Metrics cannot be served at {address}: {error.strerror}"
            raise UsageError(cause, "Choose another port") from error
        self.port: int = self._server.server_port
        """That it listens at."""

    def close(self) -> None:
        """Serve no more."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


class _Reader(Collector):
    """Reads the sessions when somebody asks."""

    def __init__(self, sessions: Sessions) -> None:
        self._sessions = sessions

    def collect(self) -> Iterator[Metric]:
        states = [session.status() for session in self._sessions.list()]
        for name, text in _COUNTERS.items():
            family = CounterMetricFamily(f"streamfx_{name}", text, labels=_LABEL)
            for status in states:
                family.add_metric([status.id], getattr(status.counters, name))
            yield family
        yield from _gauges(states)


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
