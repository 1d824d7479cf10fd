"""Where a daemon is, and how to come to it: a UNIX socket, or HOST:PORT by TLS."""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import grpc

from streamfx.api.address import default_socket, has_sockets, read_pointer
from streamfx.client.errors import DaemonUnreachable
from streamfx.errors import UsageError
from streamfx.ipc import handed
from streamfx.ipc.peers import can_hand_over

OPTIONS: Final = (
    ("grpc.keepalive_time_ms", 10_000),
    ("grpc.keepalive_timeout_ms", 5_000),
    ("grpc.http2.max_pings_without_data", 0),
    ("grpc.max_receive_message_length", 24 * 1024 * 1024),
    ("grpc.max_send_message_length", 24 * 1024 * 1024),
    ("grpc.enable_http_proxy", 0),
    ("grpc.initial_reconnect_backoff_ms", 500),
)

_LAST_PORT: Final = 65535

PATIENCE_S: Final = 5.0
"""For which a daemon on this machine that turned us away is asked again: those who say nothing must go."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """How to reach a daemon, resolved."""

    target: str
    """As gRPC takes it."""
    credentials: grpc.ChannelCredentials | None
    """None on a UNIX socket."""
    metadata: tuple[tuple[str, str], ...]
    """Sent with every call."""
    is_local: bool = False
    """Whether it is to a daemon of this user on this machine."""
    files: Path | None = None
    """The socket at which that daemon takes files (streamfx/ipc/handed.py); None for none."""


def endpoint(
    address: str | Path | None,
    token: str,
    authority: Path | None,
    certificate: Path | None,
    key: Path | None,
) -> Endpoint:
    """The way to a daemon.

    Args:
        address: path of a UNIX socket (also as unix:PATH), or HOST:PORT; None for the default socket.
        token: for HOST:PORT; empty for none.
        authority: PEM of who signed the daemon's certificate; None trusts the system's authorities.
        certificate, key: PEM of the client, where the daemon asks for it (mTLS).

    Raises:
        UsageError: the address has neither form, or a PEM file cannot be read or is none.
        DaemonUnreachable: none runs, where that can be told (Windows).
    """
    text = str(address if address is not None else default_socket())
    if text.startswith("unix:") or Path(text).is_absolute():
        if token or authority or certificate:
            raise UsageError(
                "A UNIX socket takes no token or certificate", "Leave them out, or use HOST:PORT"
            )
        return _local(Path(text.removeprefix("unix:")))
    host, _, port = text.rpartition(":")
    if not host or "/" in host or not port.isdecimal() or int(port[:6]) > _LAST_PORT:
        raise UsageError(f"{text!r} is no address", "Write a socket's path, or HOST:PORT")
    _check_papers(authority, certificate, key)
    credentials = grpc.ssl_channel_credentials(_read(authority), _read(key), _read(certificate))
    return Endpoint(text, credentials, _bearer(token) if token else ())


def _local(path: Path) -> Endpoint:
    """To a daemon of the same user: its socket, or the port that it names at the socket's place."""
    pointer = read_pointer(path)
    if pointer is not None:
        local = grpc.local_channel_credentials(grpc.LocalConnectionType.LOCAL_TCP)
        return Endpoint(f"127.0.0.1:{pointer.port}", local, _bearer(pointer.token), is_local=True)
    if not has_sockets():
        raise DaemonUnreachable(f"No daemon runs: there is no {path}", "Start it: streamfx serve")
    files = handed.socket_beside(path) if can_hand_over() else None
    return Endpoint(f"unix:{path}", None, (), is_local=True, files=files)


def _bearer(token: str) -> tuple[tuple[str, str], ...]:
    return (("authorization", f"Bearer {token}"),)


def _check_papers(authority: Path | None, certificate: Path | None, key: Path | None) -> None:
    """Find fault with PEM files here: gRPC's C core would say nothing of use, or abort the program.

    Raises:
        UsageError: one cannot be read, holds no PEM, or the key is missing or another certificate's.
    """
    if (certificate is None) != (key is None):
        raise UsageError("A certificate and its key go together", "Give both --cert and --key, or neither")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    try:
        if authority is not None:
            context.load_verify_locations(
                cadata=(_read(authority) or b"").decode("ascii", "backslashreplace")
            )
    except (ssl.SSLError, ValueError) as error:  # ValueError: it is empty
        raise UsageError(f"{authority} holds no certificate", "Give --ca a PEM file") from error
    try:
        if certificate is not None and key is not None and _read(certificate) and _read(key):
            context.load_cert_chain(certificate, key, password=str)  # no word: it is not asked for one
    except ssl.SSLError as error:
        cause = f"{certificate} and {key} are no certificate and its key"
        raise UsageError(cause, "Give two PEM files that belong together, the key unlocked") from error


def _read(file: Path | None) -> bytes | None:
    if file is None:
        return None
    try:
        return file.read_bytes()
    except OSError as error:
        raise UsageError(f"{file} cannot be read: {error.strerror}", "Check the path") from error
