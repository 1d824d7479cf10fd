"""`python -m streamfx.worker.prepare`: look at a photo in a process of its own: hostile files crash.

One line of JSON on standard input (`Task`), one on standard output (`Outcome`, or a `Failure`); the rig goes
into the cache.
"""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Final

from streamfx import priority
from streamfx.ipc.child import child_main, tell
from streamfx.ipc.failure import Failure
from streamfx.worker.protocol import Outcome, Task

if TYPE_CHECKING:
    from streamfx.portrait.photo import Photo

_THUMBNAIL: Final = 256
"""px: longest side."""
_QUALITY: Final = 85


def main(reader: BinaryIO, writer: BinaryIO) -> int:
    """Read the task, do it, tell."""
    task = Task(**json.loads(reader.readline()))
    if not task.urgent:
        priority.step_back()
    from streamfx.errors import StreamfxError

    try:
        tell(writer, **asdict(_done(task)))
    except StreamfxError as error:
        tell(writer, failed=asdict(Failure.of(error)))
        return 1
    return 0


def _done(task: Task) -> Outcome:
    from streamfx.models.store import Store
    from streamfx.pipeline import Animator, load_portrait
    from streamfx.portrait.cache import RigCache
    from streamfx.portrait.photo import load_photo
    from streamfx.sink import idle
    from streamfx.worker.idle import idle_portrait

    photo, references = Path(task.photo), [Path(name) for name in task.references]
    seen = load_photo(photo)
    size = (task.width, task.height)
    portrait = load_portrait(photo, size, Store.default(), RigCache.default(), references, read=seen)
    if task.idle:
        idle.save(idle_portrait(portrait.rig, Animator(portrait.rig)), Path(task.idle))
    if portrait.rig.turned:
        seen = seen.turn(portrait.rig.turned)
    _write_thumbnail(seen, Path(task.thumbnail))
    findings = tuple(
        f"{one.cause}. {one.remedy}." if one.remedy else f"{one.cause}." for one in portrait.findings
    )
    return Outcome(*seen.size, portrait.sha256, findings)


def _write_thumbnail(seen: Photo, path: Path) -> None:
    import cv2

    from streamfx.files import write_failure

    scale = min(1.0, _THUMBNAIL / max(seen.size))
    size = (max(1, round(seen.size[0] * scale)), max(1, round(seen.size[1] * scale)))
    small = cv2.cvtColor(cv2.resize(seen.rgb, size, interpolation=cv2.INTER_AREA), cv2.COLOR_RGB2BGR)
    _, jpeg = cv2.imencode(".jpg", small, [cv2.IMWRITE_JPEG_QUALITY, _QUALITY])
    try:
        path.write_bytes(jpeg.tobytes())
    except OSError as error:
        raise write_failure(path, error) from error


if __name__ == "__main__":
    child_main("prepare", main)
