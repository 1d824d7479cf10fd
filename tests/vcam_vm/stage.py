"""Senders and readers as processes of their own, and the module with the options of the moment.

They are forked: starting Python afresh takes ten seconds in an emulated machine.
"""

from __future__ import annotations

import mmap
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Self

import av
import numpy as np
import pattern

from streamfx.control.options import ControlOptions
from streamfx.daemon import Daemon, DaemonOptions
from streamfx.settings.session import Output, SessionSettings
from streamfx.sink.loopback_camera import open_device

DEVICE = "/dev/video10"
SIZE = (640, 480)
FPS = 30.0
PATIENCE_S = 180.0
"""The machine may be emulated, and its host busy."""
_MOST = 10_000
_FORK = multiprocessing.get_context("fork")


def load(options: str = "exclusive_caps=1") -> None:
    """Load the module anew."""
    unload()
    subprocess.run(
        ["/sbin/modprobe", "v4l2loopback", "video_nr=10", "card_label=streamfx", *options.split()], check=True
    )
    wait_until(lambda: Path(DEVICE).exists(), "the device appears")


def unload() -> None:
    """Unload the module, once nothing holds it."""

    def unloaded() -> bool:
        subprocess.run(["/sbin/rmmod", "v4l2loopback"], check=False, capture_output=True)
        return not Path("/sys/module/v4l2loopback").exists()

    wait_until(unloaded, "the module is unloaded")


def wait_until(holds: Callable[[], bool], what: str, patience_s: float = PATIENCE_S) -> float:
    """Wait for a condition; returns how long it took, s."""
    start = time.monotonic()
    while not holds():
        assert time.monotonic() - start < patience_s, f"not within {patience_s:g} s: {what}"
        time.sleep(0.01)
    return time.monotonic() - start


class Log:
    """What a process tells its parent while it runs: a list of (s, number), and one more number."""

    def __init__(self) -> None:
        self._rows = np.frombuffer(mmap.mmap(-1, (_MOST + 1) * 16), np.float64).reshape(-1, 2)

    def add(self, number: int) -> None:
        """Note that a picture of this number came or went, now."""
        row = int(self._rows[0, 0]) + 1
        self._rows[row] = time.monotonic(), number
        self._rows[0, 0] = row

    @property
    def worst(self) -> int:
        return int(self._rows[0, 1])

    @worst.setter
    def worst(self, value: int) -> None:
        self._rows[0, 1] = value

    def pictures(self) -> tuple[np.ndarray, np.ndarray]:
        """When, on the monotonic clock (s), and the number, of every picture so far."""
        rows = self._rows[1 : self.count + 1].copy()
        return rows[:, 0], rows[:, 1].astype(int)

    @property
    def count(self) -> int:
        """Pictures so far."""
        return int(self._rows[0, 0])


class Actor:
    """A process that runs a function of a `Log` until it is stopped."""

    def __init__(self, program: str, function: Callable[[Log], None]) -> None:
        self.log = Log()
        self._process = _FORK.Process(target=self._run, args=(program, function), daemon=True)

    def _run(self, program: str, function: Callable[[Log], None]) -> None:
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
        Path("/proc/self/comm").write_text(program)
        function(self.log)

    @property
    def alive(self) -> bool:
        return self._process.is_alive()

    @property
    def pid(self) -> int:
        assert self._process.pid
        return self._process.pid

    def wait_for(self, count: int) -> Self:
        """Wait until it has so many pictures more than now."""
        wanted = self.log.count + count
        wait_until(lambda: self.log.count >= wanted or not self.alive, f"{wanted} pictures")
        assert self.alive, f"{self._process.name} ended"
        return self

    def signal(self, number: signal.Signals) -> None:
        """Send it a signal."""
        os.kill(self.pid, number)

    def kill(self) -> None:
        """SIGKILL."""
        self._process.kill()
        self._process.join()

    def __enter__(self) -> Self:
        self._process.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.terminate()
        self._process.join(2)
        if self._process.is_alive():  # it waits in the driver for a picture
            self._process.kill()
        self._process.join()
        self._process.close()


class Sender(Actor):
    """Opens the virtual camera and publishes at its rate."""

    def __init__(self, first: int = 0, size: tuple[int, int] = SIZE, program: str = "sender") -> None:
        self._first, self._size = first, size
        super().__init__(program, self._send)

    def _send(self, log: Log) -> None:
        camera = open_device(DEVICE, self._size, FPS)
        try:
            picture = pattern.picture(self._first, self._size)
            due = time.monotonic()
            for number in range(self._first, _MOST):
                pattern.stamp(picture.rgb, number)
                camera.publish(picture)
                log.add(number)
                due = max(due + 1 / FPS, time.monotonic() - 1)
                time.sleep(max(0.0, due - time.monotonic()))
        finally:
            camera.close()


class Reader(Actor):
    """Reads with FFmpeg; notes every picture, and the worst colour in some."""

    def __init__(self, patient: bool = False, program: str = "reader") -> None:
        self._patient = patient
        super().__init__(program, self._read)

    def _read(self, log: Log) -> None:
        with ExitStack() as open_things:
            container = open_things.enter_context(self._open())
            stream = container.streams.video[0]
            for packet in container.demux(stream):
                for frame in packet.decode():
                    luma = frame.to_ndarray()[: frame.height]
                    log.add(pattern.read_stamp(luma))
                    if log.count % 20 == 10:
                        rgb = frame.to_ndarray(format="rgb24")
                        log.worst = max(log.worst, pattern.colour_error(rgb))

    def _open(self) -> av.container.InputContainer:
        """A patient reader tries until there is something to read."""
        while True:
            try:
                return av.open(DEVICE, format="v4l2")
            except (av.FFmpegError, OSError):
                if not self._patient:
                    raise
                time.sleep(0.1)


class Serving(Actor):
    """The daemon with one session: the real portraits, control server, publisher and worker supervision."""

    def __init__(self, folder: Path, program: str = "serving") -> None:
        self._folder = folder
        super().__init__(program, self._serve)

    def _serve(self, log: Log) -> None:
        control = ControlOptions(socket=self._folder / "control.sock")
        options = DaemonOptions(data=self._folder / "data", runtime=self._folder, control=control, size=SIZE)
        with Daemon(options) as daemon:
            session = daemon.sessions.create(SessionSettings(Output(DEVICE, SIZE, FPS), "none"))
            daemon.listen()
            while True:
                log.add(session.status().counters.published)
                time.sleep(0.1)


class Opener(Actor):
    """Only has the device open, as a program does that lists cameras."""

    def __init__(self, program: str = "opener") -> None:
        super().__init__(program, self._hold)

    def _hold(self, log: Log) -> None:
        held = os.open(DEVICE, os.O_RDWR)
        log.add(0)
        signal.pause()
        os.close(held)
