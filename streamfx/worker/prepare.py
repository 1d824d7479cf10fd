"""`python -m streamfx.worker.prepare`: look at a photo in a process of its own: hostile files crash.

One line of JSON on standard input (`Task`), one on standard output (`Outcome`); the rig goes into the cache.
"""

from __future__ import annotations

import json
import os
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Final

from streamfx import priority
from streamfx.ipc.child import die_with_parent
from streamfx.worker.protocol import Outcome, Task

if TYPE_CHECKING:
    from streamfx.portrait.photo import Photo

_THUMBNAIL: Final = 256
"""px: longest side."""
_QUALITY: Final = 85


def main() -> int:
    """Read the task, do it, tell."""
    die_with_parent()
    writer = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # libraries that print must not print between
    task = Task(**json.loads(sys.stdin.readline()))
    if not task.urgent:
        priority.step_back()
    outcome = _done(task)
    writer.write(json.dumps(asdict(outcome)) + "\n")
    writer.flush()
    os._exit(0)


def _done(task: Task) -> Outcome:
    from streamfx.errors import StreamfxError
    from streamfx.models.store import Store
    from streamfx.pipeline import Animator, load_portrait
    from streamfx.portrait.cache import RigCache
    from streamfx.portrait.photo import load_photo
    from streamfx.sink import idle
    from streamfx.worker.idle import idle_portrait

    photo, references = Path(task.photo), [Path(name) for name in task.references]
    try:
        seen = load_photo(photo)
        cache = RigCache.default()
        size = (task.width, task.height)
        portrait = load_portrait(photo, size, Store.default(), cache, references, read=seen)
        if task.idle:
            idle.save(idle_portrait(portrait.rig, Animator(portrait.rig)), Path(task.idle))
        if portrait.rig.turned:
            seen = seen.turn(portrait.rig.turned)
        _write_thumbnail(seen, Path(task.thumbnail))
    except StreamfxError as error:
        return Outcome(type(error).__name__, error.cause, error.remedy)
    findings = tuple(
        f"{one.cause}. {one.remedy}." if one.remedy else f"{one.cause}." for one in portrait.findings
    )
    return Outcome("", "", "", *seen.size, portrait.sha256, findings)


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
    main()
