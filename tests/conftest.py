"""What all tests share."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from alone import AloneAfterwards

if TYPE_CHECKING:
    from control_stage import Stage

    from streamfx.client import Client

_LISTENED_TO = {
    signal.SIGINT: signal.default_int_handler,
    signal.SIGHUP: signal.SIG_DFL,
    signal.SIGTERM: signal.SIG_DFL,
}


def pytest_configure(config: pytest.Config):
    """Hear signals as from a terminal.

    Programs born under nohup, or in a shell's background, are deaf to some, and so would be those that the
    tests start and interrupt.
    """
    for number, handler in _LISTENED_TO.items():
        if signal.getsignal(number) is signal.SIG_IGN:
            signal.signal(number, handler)
    config.pluginmanager.register(AloneAfterwards(config))


@pytest.fixture
def short_folder() -> Iterator[Path]:
    """A folder whose path is short enough for sockets: they allow 107 bytes."""
    folder = Path(tempfile.mkdtemp(prefix="sfx-"))
    yield folder
    shutil.rmtree(folder)


@pytest.fixture
def full(tmp_path: Path) -> Iterator[Path]:
    """A disk that takes nothing any more."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(disk)]
    is_root = hasattr(os, "geteuid") and os.geteuid() == 0
    if not is_root or subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("needs root, to mount a small disk")
    with pytest.raises(OSError, match="No space"):
        (disk / "filling").write_bytes(bytes(1 << 20))
    yield disk
    subprocess.run(["umount", str(disk)], check=True)


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    """A control server over sessions that are made up."""
    from control_stage import staged

    with staged(tmp_path) as stage:
        yield stage


@pytest.fixture
def client(stage: Stage) -> Iterator[Client]:
    """Connected to it."""
    from streamfx.client import Client

    with Client.connect(stage.server.socket) as client:
        yield client
