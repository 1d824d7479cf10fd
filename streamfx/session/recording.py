"""A recording of what a session publishes, as the daemon sees it; worker/recorder.py writes the film."""

from __future__ import annotations

import json
import subprocess
import threading
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from streamfx.errors import OutputError, StreamfxError
from streamfx.ipc.failure import Failure
from streamfx.ipc.handed import named
from streamfx.ipc.spawn import own, start_with
from streamfx.limits import shortage

_BEGIN_S: Final = 20.0
_FINISH_S: Final = 20.0
"""For the film's last frames and its index."""


class Recording:
    """From its making to `stop`. Any thread may call."""

    def __init__(self, path: Path, ring: int, files: Path | None = None) -> None:
        """Begin, and wait until the file is open.

        Args:
            path: of the film; its folder exists, or was handed over (streamfx/ipc/handed.py).
            ring: descriptor of the published pictures.
            files: socket at which a folder that was handed over is fetched.

        Raises:
            OutputError: the file cannot be written, or no process can be started.
        """
        self.path = path
        self.trouble = ""
        """Why it broke off; empty while all is well."""
        self._facts: dict[str, Any] = {}
        self._begun = threading.Event()
        self._process, number = _start(ring)
        assert self._process.stdin is not None  # noqa: S101
        self._thread = threading.Thread(target=self._listen, name="streamfx-recording", daemon=True)
        self._thread.start()
        with suppress(OSError):
            task = {"path": str(path), "ring": number, "files": str(files or "")}
            self._process.stdin.write(json.dumps(task).encode() + b"\n")
            self._process.stdin.flush()
        if not self._begun.wait(_BEGIN_S):
            self._process.kill()
        if self.trouble or not self._facts:
            self.stop()
            raise self._failure()

    @property
    def running(self) -> bool:
        """Whether it still records."""
        return self._process.poll() is None

    def progress(self) -> tuple[int, int]:
        """Frames written so far; bytes of the film, 0 until it is finished."""
        facts = self._facts
        return int(facts.get("frames", 0)), int(facts.get("bytes", 0))

    def stop(self) -> None:
        """Finish the film and wait until it is whole. May be called twice."""
        stdin = self._process.stdin
        if stdin is not None:
            with suppress(OSError):
                stdin.close()
        try:
            self._process.wait(_FINISH_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
            self.trouble = self.trouble or "the film could not be finished in time"
        self._thread.join()

    def _failure(self) -> StreamfxError:
        failure = Failure.told(self._facts) or Failure(f"{named(str(self.path))} could not be begun")
        return failure.as_error(OutputError)

    def _listen(self) -> None:
        stdout = self._process.stdout
        assert stdout is not None  # noqa: S101
        with stdout:
            for line in stdout:
                self._facts = json.loads(line)
                if failure := Failure.told(self._facts):
                    self.trouble = failure.cause
                self._begun.set()
        if not self._facts.get("done") and not self.trouble:
            self.trouble = "the recorder broke off"
        self._begun.set()


def _start(ring: int) -> tuple[subprocess.Popen[bytes], int]:
    try:
        process, (number,) = start_with(own("streamfx.worker.recorder"), ring)
    except OSError as error:
        raise OutputError(*shortage("No recorder can be started", error)) from error
    return process, number
