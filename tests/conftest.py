"""What all tests share."""

from __future__ import annotations

import shutil
import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

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


@pytest.fixture
def short_folder() -> Iterator[Path]:
    """A folder whose path is short enough for sockets: they allow 107 bytes."""
    folder = Path(tempfile.mkdtemp(prefix="sfx-"))
    yield folder
    shutil.rmtree(folder)
