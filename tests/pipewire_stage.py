"""A private PipeWire session for tests: its own bus, server, session manager, and, if asked, a display and
the portal that browsers ask for cameras. Nothing of the user's own session is seen or touched.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Self

import numpy as np

PROGRAMS = ("dbus-daemon", "pipewire", "wireplumber", "pw-dump")
BROWSER_PROGRAMS = ("Xvfb", "gdbus", "chromium")
PORTALS = (Path("/usr/libexec/xdg-desktop-portal"), Path("/usr/libexec/xdg-desktop-portal-gtk"))
START_S = 20.0
END_S = 5.0


def missing(*programs: str) -> str:
    """Which of the programs are not installed, as a reason to skip; empty if all are."""
    absent = [name for name in programs if not shutil.which(name)]
    return f"not installed: {', '.join(absent)}" if absent else ""


def missing_for_browser() -> str:
    """The same, for the portal and all that a browser needs."""
    absent = [str(path) for path in PORTALS if not path.exists()]
    return missing(*PROGRAMS, *BROWSER_PROGRAMS) or (f"not installed: {', '.join(absent)}" if absent else "")


def wait_for(done: Callable[[], object], what: str, limit_s: float = START_S) -> None:
    """Look ten times a second until it is so."""
    until = time.monotonic() + limit_s
    while not done():
        assert time.monotonic() < until, f"after {limit_s:g} s: {what}"
        time.sleep(0.1)


class PipeWireStage:
    """Use it in a `with` block; `environment` is what its guests run in.

    Args:
        portal: whether there are a display and the portal as well.
    """

    def __init__(self, portal: bool = False) -> None:
        self._with_portal = portal
        self._programs: list[subprocess.Popen[bytes]] = []

    def __enter__(self) -> Self:
        self.folder = Path(tempfile.mkdtemp(prefix="pw-"))  # short: a socket's path has 108 bytes at most
        runtime = self.folder / "run"
        runtime.mkdir(mode=0o700)
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("XDG_", "DBUS_", "PIPEWIRE_"))}
        self.environment = kept | {
            "HOME": str(self.folder),
            "XDG_RUNTIME_DIR": str(runtime),
            "XDG_CURRENT_DESKTOP": "GNOME",
            "DBUS_SESSION_BUS_ADDRESS": f"unix:path={runtime}/bus",
            "GTK_A11Y": "none",
            "NO_AT_BRIDGE": "1",
        }
        try:
            self._open()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        for program in reversed(self._programs):
            end(program)
        shutil.rmtree(self.folder, ignore_errors=True)

    def _open(self) -> None:
        """The bus, the server, and the session manager, which links programs with cameras."""
        address = self.environment["DBUS_SESSION_BUS_ADDRESS"]
        if self._with_portal:
            self._open_display()
        self.start("dbus-daemon", "--session", "--nofork", "--nopidfile", f"--address={address}")
        wait_for(Path(address.partition("=")[2]).exists, "no bus")
        self.open_server()
        if self._with_portal:
            self._open_portal()

    def open_server(self) -> None:
        """Also after the last one was killed."""
        self.server = self.start("pipewire")
        wait_for(lambda: b"PipeWire:Interface:Core" in self.run("pw-dump"), "no server")
        self.manager = self.start("wireplumber")
        wait_for(lambda: b'"WirePlumber"' in self.run("pw-dump"), "no session manager")

    def _open_display(self) -> None:
        read, write = os.pipe()
        options = ("-displayfd", str(write), "-screen", "0", "1024x768x24", "-nolisten", "tcp")
        self.start("Xvfb", *options, keep=[write])
        os.close(write)
        with os.fdopen(read) as display:
            self.environment["DISPLAY"] = f":{display.readline().strip()}"

    def _open_portal(self) -> None:
        """What browsers ask for cameras; here it always says yes."""
        store = "org.freedesktop.impl.portal.PermissionStore"
        path = "/org/freedesktop/impl/portal/PermissionStore"
        self._call(store, path, f"{store}.SetPermission", "devices", "true", "camera", "", "['yes']")
        wait_for(self._portal_is_up, "no portal")

    def _portal_is_up(self) -> bool:
        portal, path = "org.freedesktop.portal.Desktop", "/org/freedesktop/portal/desktop"
        get = "org.freedesktop.DBus.Properties.Get"
        return b"uint32" in self._call(portal, path, get, "org.freedesktop.portal.Camera", "version")

    def _call(self, service: str, path: str, method: str, *arguments: str) -> bytes:
        call = ("gdbus", "call", "--session", "--dest", service, "--object-path", path, "--method", method)
        return self.run(*call, *arguments)

    def run(self, *command: str, limit_s: float = 30.0) -> bytes:
        """A program's output, whatever it ends with."""
        done = subprocess.run(
            command, env=self.environment, capture_output=True, timeout=limit_s, check=False
        )
        return done.stdout

    def start(
        self, *command: str, keep: list[int] | None = None, stdout: int | None = None
    ) -> subprocess.Popen[bytes]:
        """A guest, ended with the stage at the latest; what it says goes to a log in the stage's folder."""
        with (self.folder / f"{Path(command[0]).name}.log").open("ab") as log:
            program = subprocess.Popen(
                command,
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=stdout or log,
                stderr=log,
                pass_fds=keep or (),
                start_new_session=True,
            )
        self._programs.append(program)
        return program

    def log(self, program: str) -> str:
        """What a guest said."""
        return (self.folder / f"{program}.log").read_text("utf-8", "replace")

    def reader(self, camera: str, layout: str, size: tuple[int, int]) -> Reader:
        """A program that reads a camera in one pixel layout."""
        caps = f"video/x-raw,format={layout},width={size[0]},height={size[1]}"
        command = ("gst-launch-1.0", "--no-fault", "-q", "pipewiresrc", f"target-object={camera}")
        program = self.start(*command, "!", caps, "!", "fdsink", "fd=1", stdout=subprocess.PIPE)
        return Reader(program)


class Reader:
    """GStreamer as a consumer: pictures come as bytes. Use it in a `with` block."""

    def __init__(self, program: subprocess.Popen[bytes]) -> None:
        self.program = program

    def read(self, size: int) -> np.ndarray:
        """u8 [size]: the next picture; waits for it."""
        assert self.program.stdout is not None
        data = self.program.stdout.read(size)
        assert len(data) == size, "the consumer ended"
        return np.frombuffer(data, np.uint8)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        end(self.program)


def end(program: subprocess.Popen[bytes]) -> None:
    """End a program and what it started, by its own process group."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        if program.poll() is None:
            os.killpg(program.pid, signal.SIGCONT)
            os.killpg(program.pid, number)
            try:
                program.wait(END_S)
            except subprocess.TimeoutExpired:
                continue
    if program.stdout:
        program.stdout.close()
