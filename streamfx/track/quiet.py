"""Keeping MediaPipe's own log lines from the person's terminal.

MediaPipe 0.10.31 writes four to six lines to file descriptor 2 whenever a task is created (the choice of
XNNPACK, "Feedback manager requires …"), and none while it tracks. They mean nothing to a person. Its library
exports no switch for them, and neither GLOG_minloglevel nor TF_CPP_MIN_LOG_LEVEL reaches them (measured), so
descriptor 2 is diverted for the moment of the creation; all that is not such a line is written afterwards.
"""

from __future__ import annotations

import os
import re
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import IO, Final

from streamfx.interrupts import held

STDERR: Final = 2

NOISE: Final = re.compile(
    rb"^(?:"
    rb"[IW]\d{4} \d\d:\d\d:\S+\s+\d+ \S+\.(?:cc|cpp|h):\d+\] .*"  # absl: severity, time, thread, source
    rb"|WARNING: All log messages before absl::InitializeLog\(\) is called are written to STDERR"
    rb"|INFO: Created TensorFlow Lite .* delegate for .*"
    rb")\r?\n?",
    re.MULTILINE,
)
"""Native lines of no use to a person. Errors (E…, F…) are not among them."""


@contextmanager
def quiet_mediapipe() -> Iterator[None]:
    """Divert descriptor 2 while a MediaPipe task is created; show afterwards all that is not noise.

    Wrap the creation only: the diversion holds for the whole process, so what other threads write meanwhile
    comes out a moment late. `STREAMFX_NATIVE_LOGS=1` turns it off; a closed stderr is left closed.
    """
    terminal = None if os.environ.get("STREAMFX_NATIVE_LOGS", "0") not in ("", "0") else _duplicate(STDERR)
    if terminal is None:
        yield
        return
    # Held: the threads of a task half made would go on, and a descriptor half diverted would swallow the
    # line that says why the program ends.
    with held(), _scratch() as kept:
        _flush()
        os.dup2(kept.fileno(), STDERR)
        try:
            yield
        finally:
            _flush()
            os.dup2(terminal, STDERR)
            _replay(kept, terminal)
            os.close(terminal)


def _scratch() -> IO[bytes]:
    """A place for what is diverted: in memory where there is such a thing, for no folder may be writable."""
    create = getattr(os, "memfd_create", None)  # Linux has it
    return os.fdopen(create("streamfx-native-logs"), "w+b") if create else tempfile.TemporaryFile()


def _duplicate(descriptor: int) -> int | None:
    """A second handle on an open descriptor; None when it is closed (as under some service managers)."""
    try:
        return os.dup(descriptor)
    except OSError:
        return None


def _flush() -> None:
    """Bring Python's own buffered text to where descriptor 2 points now."""
    with suppress(OSError, ValueError, AttributeError):
        sys.stderr.flush()


def _replay(kept: IO[bytes], terminal: int) -> None:
    """Write what was kept, less the noise, to the real descriptor."""
    kept.seek(0)
    rest = memoryview(NOISE.sub(b"", kept.read()))
    with suppress(OSError):
        while rest:
            rest = rest[os.write(terminal, rest) :]
