"""`python -m streamfx.worker.recorder`: write what a session publishes into a film, in a process of its own.

It reads the ring, as any other reader would. Standard input: one line of JSON (path, descriptor of the ring,
socket of handed files); its end, or a second line, ends the recording. Standard output: lines of JSON with
frames and bytes so far.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from threading import Event, Thread
from time import monotonic
from typing import Final, TextIO

from streamfx.ipc.child import die_with_parent
from streamfx.ipc.spawn import inherited

_TELL_S: Final = 0.5


def main() -> int:
    """Record until told to stop."""
    import signal

    die_with_parent()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    writer = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    task = json.loads(sys.stdin.readline())
    from streamfx.errors import StreamfxError

    path = Path(task["path"])
    try:
        _enter(path.parent, task["files"])
        frames, size = _record(Path(path.name), int(task["ring"]), writer)
    except StreamfxError as error:
        _tell(writer, error=type(error).__name__, cause=error.cause, remedy=error.remedy)
        return 1
    _tell(writer, frames=frames, bytes=size, done=True)
    return 0


def _enter(folder: Path, files: str) -> None:
    """Be in the film's folder, whoever renames it or puts a link in its place since the daemon looked."""
    from streamfx.confine import enter_unlinked
    from streamfx.files import refuse_links, write_failure
    from streamfx.ipc import handed

    refuse_links()
    if files:
        handed.fetch_at(Path(files))
    try:
        if handed.is_handed(folder):
            handed.enter(folder)
        else:
            enter_unlinked(folder)
    except OSError as error:
        raise write_failure(Path(handed.named(str(folder))), error) from error


def _record(path: Path, descriptor: int, writer: TextIO) -> tuple[int, int]:
    """Frames and bytes of the film. In place of a picture that was missed stands the next, to keep time."""
    from streamfx.sink.film import FilmWriter
    from streamfx.sink.ring import RingReader

    ended = _end_of_input()
    with RingReader(inherited(descriptor)) as ring:
        form = ring.form
        half_s, last, told_s = 0.5 / form.fps, ring.written, 0.0
        with FilmWriter(path, (form.width, form.height), form.fps) as film:
            _tell(writer, frames=0, bytes=0)
            while not ended.wait(half_s):
                written = ring.written
                picture = ring.newest()
                if picture is None:
                    continue
                for _ in range(max(1, min(written - last, round(form.fps)))):
                    film.write(picture)
                last = max(last + 1, written)
                if monotonic() - told_s > _TELL_S:
                    told_s = monotonic()
                    _tell(writer, frames=film.frames, bytes=0)
        return film.frames, path.stat().st_size


def _end_of_input() -> Event:
    """Set by the second line, or the end, of standard input: pipes cannot be waited for on every system."""
    ended = Event()

    def wait() -> None:
        sys.stdin.readline()
        ended.set()

    Thread(target=wait, daemon=True).start()
    return ended


def _tell(writer: TextIO, **facts: object) -> None:
    writer.write(json.dumps(facts) + "\n")
    writer.flush()


if __name__ == "__main__":
    sys.exit(main())
