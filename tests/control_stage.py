"""A control server over real sockets with sessions that are made up; and ways to call it without a client."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path

import grpc
from fake_sessions import FakeSession, FakeSessions, devices, photo

from streamfx.client import Client
from streamfx.client.address import endpoint
from streamfx.control.options import ControlOptions
from streamfx.control.server import ControlServer
from streamfx.ipc.handed import socket_beside
from streamfx.session.handed import HandedFiles
from streamfx.settings.session import SessionSettings


class Stage:
    """A running server, its sessions, and a folder that clients may name files in."""

    def __init__(self, folder: Path, options: ControlOptions) -> None:
        self.root = folder / "allowed"
        self.root.mkdir(exist_ok=True)
        self.sessions = FakeSessions()
        options = replace(options, socket=folder / "run" / "control.sock", roots=(self.root,))
        self.sessions.files = HandedFiles(socket_beside(folder / "run" / "control.sock"))
        self.server = ControlServer(self.sessions, devices, options)

    @property
    def address(self) -> str:
        return f"unix:{self.server.socket}"

    def session(self, id: str = "one", **settings: object) -> FakeSession:
        """A session with two portraits."""
        for portrait in ("ada", "bob", "cy"):
            if portrait not in self.sessions.portraits.kept:
                self.sessions.portraits.add(photo(), id=portrait)
        chosen = SessionSettings(portraits=("ada", "bob", "cy"), **settings)
        return self.sessions.create(chosen, id)


@contextmanager
def staged(folder: Path, options: ControlOptions | None = None) -> Iterator[Stage]:
    stage = Stage(folder, options or ControlOptions())
    with closing(stage.sessions.files), stage.server:
        yield stage


def naming(socket: Path) -> Client:
    """A client that names files, as one by TCP does, in place of handing them over."""
    return Client(replace(endpoint(socket, "", None, None, None), is_local=False, files=None))


def until(condition, seconds: float = 20.0) -> None:
    """Wait for something that another thread does."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not come about"
        time.sleep(0.01)


def raw_call(channel: grpc.Channel, path: str, data: bytes, **options: object) -> bytes:
    """A unary call of any bytes."""
    return channel.unary_unary(path)(data, **{"timeout": 20, **options})


def make_certificates(folder: Path) -> None:
    """An authority, and certificates for the daemon at 127.0.0.1 and for a client."""
    run = ["openssl", "req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2"]
    authority = ["-x509", "-keyout", "ca.key", "-out", "ca.pem", "-subj", "/CN=test authority"]
    _openssl(folder, [*run, *authority])
    for name in ("daemon", "client"):
        _openssl(folder, [*run, "-keyout", f"{name}.key", "-out", f"{name}.csr", "-subj", f"/CN={name}"])
        (folder / "names").write_text("subjectAltName=IP:127.0.0.1,DNS:localhost\n")
        sign = ["openssl", "x509", "-req", "-in", f"{name}.csr", "-CA", "ca.pem", "-CAkey", "ca.key"]
        _openssl(folder, [*sign, "-CAcreateserial", "-out", f"{name}.pem", "-days", "2", "-extfile", "names"])


def _openssl(folder: Path, command: list[str]) -> None:
    subprocess.run(command, cwd=folder, check=True, capture_output=True, timeout=60)
