"""How the control surface listens, and how much it takes. What would be unsafe is refused."""

from __future__ import annotations

import ipaddress
import re
import socket
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from streamfx.control.tokens import read_token
from streamfx.errors import UsageError

_HOST_AND_PORT: Final = re.compile(r"(?P<host>[^:\s]+|\[[0-9a-fA-F:.%]+\]):(?P<port>\d{1,5})")


@dataclass(frozen=True, slots=True)
class Limits:
    """How much is taken from clients."""

    message_bytes: int = 24 * 1024 * 1024
    """Of a message: a photo of 20 MB and its frame."""
    photo_bytes: int = 20_000_000
    calls: int = 256
    """At the same time, on each address."""
    connections: int = 2048
    """Open at the same time, on each address; a daemon takes fewer where it may have few files open."""
    watchers: int = 16
    """Of one session, previews among them."""
    photos: int = 4
    """That come in, are made ready, or wait for it, at the same time."""
    stall_s: float = 60.0
    """How long a watcher may leave a message untaken before it is let go, and a photo may take to come in."""


@dataclass(frozen=True, slots=True)
class ControlOptions:
    """How to listen."""

    socket: Path | None = None
    """Of the UNIX socket; None takes `address.default_socket()`."""
    listen: str = ""
    """HOST:PORT to listen at as well, by TLS; empty for none."""
    tls_certificate: Path | None = None
    """PEM; needed to listen."""
    tls_key: Path | None = None
    """PEM; needed to listen."""
    token_file: Path | None = None
    """Of a token that may do everything (see tokens.make_token)."""
    read_token_file: Path | None = None
    """Of another that may only look."""
    client_ca: Path | None = None
    """PEM: clients must show a certificate of this authority (mTLS)."""
    roots: tuple[Path, ...] = ()
    """Folders below which clients may name files; none: no files."""
    limits: Limits = Limits()

    def with_connections(self, most: int) -> ControlOptions:
        """The same, with at most so many connections at each address."""
        connections = min(most, self.limits.connections)
        return replace(self, limits=replace(self.limits, connections=connections))

    def check(self) -> None:
        """Refuse what would be unsafe, or cannot work.

        Raises:
            UsageError: naming the flag.
        """
        if not self.listen:
            self._check_unused()
            return
        addresses = resolve(self.listen)
        if self.tls_certificate is None or self.tls_key is None:
            _refuse("--listen needs TLS", "Give --tls-cert and --tls-key, or use the UNIX socket")
        if self.token_file is None and self.client_ca is None:
            _refuse(
                "--listen needs to know its clients", "Give --token-file, or --client-ca for certificates"
            )
        if self.client_ca is None and any(_is_every(host) for host, _ in addresses):
            remedy = "Name one address of this machine, or give --client-ca"
            _refuse(f"--listen {self.listen} would be open to every network", remedy)
        for file in (self.token_file, self.read_token_file):
            if file is not None:
                read_token(file)

    def _check_unused(self) -> None:
        for flag, value in (
            ("--tls-cert", self.tls_certificate),
            ("--tls-key", self.tls_key),
            ("--token-file", self.token_file),
            ("--read-token-file", self.read_token_file),
            ("--client-ca", self.client_ca),
        ):
            if value is not None:
                _refuse(
                    f"{flag} is given without --listen", "Give --listen HOST:PORT as well, or leave it out"
                )


def resolve(listen: str) -> list[tuple[str, int]]:
    """The addresses and ports that HOST:PORT stands for.

    Raises:
        UsageError: it is not of that form, or not known here.
    """
    match = _HOST_AND_PORT.fullmatch(listen)
    if match is None or int(match["port"]) > 65535:
        raise UsageError(f"--listen {listen!r} is no address", "Write it as 127.0.0.1:50515 or [::1]:50515")
    host, port = match["host"].strip("[]"), int(match["port"])
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise UsageError(
            f"--listen {listen!r} is not known here", "Use an address of this machine"
        ) from error
    return list(dict.fromkeys((str(place[0]), port) for *_, place in found))


def _is_every(host: str) -> bool:
    address = ipaddress.ip_address(host.partition("%")[0])
    inner = getattr(address, "ipv4_mapped", None) or address
    return bool(inner.is_unspecified)


def _refuse(cause: str, remedy: str) -> None:
    raise UsageError(cause, remedy)
