"""How soon is `live` up? It is started again and again, and its published pictures are watched from outside.

python -m streamfx.lab.live_start PHOTO DRIVER --times 5
"""

from __future__ import annotations

import argparse
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from shutil import rmtree
from statistics import median
from typing import Final

from streamfx.config import models_folder
from streamfx.errors import WorkerFailed
from streamfx.ipc import spawn
from streamfx.ipc.ring import HANDOVER
from streamfx.quality import Quality
from streamfx.sink.ring import RingReader

CASES: Final = {
    "first start ever": ("numba", "cache", "data"),
    "a new photo": ("cache", "data"),
    "a known photo": (),
}
"""What is kept from the start before is deleted, by folder: compiled loops, solved rigs, portraits."""
_LONGEST_S: Final = 120.0
_LOOK_S: Final = 0.003
_LEAVE_S: Final = 20.0


@dataclass(frozen=True, slots=True)
class Start:
    """Seconds from the start of the program."""

    picture: float
    """To the first picture of the camera: silhouette or idle portrait."""
    live: float
    """To the first that the driver moves."""


def start(photo: Path, driver: str, kept: Path) -> Start:
    """Start `live` once and end it.

    Args:
        photo: of the portrait.
        driver: as `live --source` takes it.
        kept: folder in which it keeps what it keeps.

    Raises:
        WorkerFailed: it ended, or did not come to life.
    """
    with tempfile.TemporaryDirectory() as runtime:
        folders = {"XDG_DATA_HOME": kept / "data", "XDG_CACHE_HOME": kept / "cache"}
        places = {"XDG_RUNTIME_DIR": Path(runtime), "NUMBA_CACHE_DIR": kept / "numba", **folders}
        variables = {name: str(path) for name, path in places.items()}
        command = spawn.own("streamfx", "live", str(photo), "--source", driver, "--camera", "none")
        begun = time.monotonic()
        variables["STREAMFX_MODELS_DIR"] = str(models_folder())
        with spawn.start(command, stdout=spawn.NOWHERE, variables=variables) as program:
            try:
                return _watched(Path(runtime) / "streamfx" / "session-1.ring", program, begun)
            finally:
                program.send_signal(signal.SIGTERM)
                program.wait(_LEAVE_S)


def _watched(at: Path, program: subprocess.Popen[bytes], begun: float) -> Start:
    descriptor, first = -1, 0.0
    while descriptor < 0:
        _wait(program, begun)
        with suppress(OSError):
            descriptor = _handed_over(at)
    with RingReader(descriptor) as ring:
        while True:
            _wait(program, begun)
            picture = ring.newest()
            if picture is None:
                continue
            now = time.monotonic() - begun
            first = first or now
            if picture.quality in (Quality.FULL, Quality.WARP_ONLY):
                os.close(descriptor)
                return Start(first, now)


def _wait(program: subprocess.Popen[bytes], begun: float) -> None:
    if program.poll() is not None:
        raise WorkerFailed(f"live ended with code {program.returncode}")
    if time.monotonic() - begun > _LONGEST_S:
        raise WorkerFailed(f"live showed no driven picture in {_LONGEST_S:.0f} s")
    time.sleep(_LOOK_S)


def _handed_over(at: Path) -> int:
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as reader:
        reader.connect(str(at))
        return socket.recv_fds(reader, len(HANDOVER), 1)[1][0]


def main(argv: Sequence[str] | None = None) -> int:
    """Measure the cases, and print medians."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("photo", type=Path)
    parser.add_argument("driver", help="as live --source takes it")
    parser.add_argument("--times", type=int, default=5)
    arguments = parser.parse_args(argv)
    driver = Path(arguments.driver)
    source = str(driver.absolute()) if driver.is_file() else arguments.driver
    with tempfile.TemporaryDirectory() as folder:
        kept = Path(folder)
        for case, deleted in CASES.items():
            starts = []
            for _ in range(arguments.times):
                for name in deleted:
                    rmtree(kept / name, ignore_errors=True)
                starts.append(start(arguments.photo.absolute(), source, kept))
            shown, live = median(one.picture for one in starts), median(one.live for one in starts)
            print(f"{case}: first picture after {shown:.1f} s, driven after {live:.1f} s", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
