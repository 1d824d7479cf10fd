"""`python -m streamfx.worker.recorder`: write what a session publishes into a film, in a process of its own.

It reads the ring, as any other reader would. Standard input: one line of JSON (path, descriptor of the ring,
socket of handed files); its end, or a second line, ends the recording. Standard output: lines of JSON with
frames and bytes so far.
"""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from threading import Event, Thread
from time import monotonic
from typing import BinaryIO, Final

from streamfx.ipc.child import child_main, tell
from streamfx.ipc.failure import Failure
from streamfx.ipc.spawn import inherited

_TELL_S: Final = 0.5


def main(reader: BinaryIO, writer: BinaryIO) -> int:
    """Record until told to stop."""
    task = json.loads(reader.readline())
    from streamfx.errors import StreamfxError

    path = Path(task["path"])
    try:
        _enter(path.parent, task["files"])
        frames, size = _record(Path(path.name), int(task["ring"]), reader, writer)
    except StreamfxError as error:
        tell(writer, failed=asdict(Failure.of(error)))
        return 1
    tell(writer, frames=frames, bytes=size, done=True)
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


def _record(path: Path, descriptor: int, reader: BinaryIO, writer: BinaryIO) -> tuple[int, int]:
    """Frames and bytes of the film. In place of a picture that was missed stands the next, to keep time."""
    from streamfx.sink.film import FilmWriter
    from streamfx.sink.ring import RingReader

    ended = _end_of(reader)
    with RingReader(inherited(descriptor)) as ring:
        form = ring.form
        half_s, last, told_s = 0.5 / form.fps, ring.written, 0.0
        with FilmWriter(path, (form.width, form.height), form.fps) as film:
            tell(writer, frames=0, bytes=0)
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
                    tell(writer, frames=film.frames, bytes=0)
        return film.frames, path.stat().st_size


def _end_of(reader: BinaryIO) -> Event:
    """Set by the second line, or the end, of standard input: pipes cannot be waited for on every system."""
    ended = Event()

    def wait() -> None:
        reader.readline()
        ended.set()

    Thread(target=wait, daemon=True).start()
    return ended


if __name__ == "__main__":
    child_main("recorder", main)
