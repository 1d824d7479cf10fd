"""How commands print: JSON for programs, plain columns for people."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stdout
from contextvars import ContextVar
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from streamfx.api.values import CameraStatus

_LEAST_MB: Final = 100_000
"""bytes that are told in MB."""
_quiet: Final = ContextVar("quiet", default=False)


@contextmanager
def quiet() -> Iterator[None]:
    """While the block runs, nothing goes to standard output, and no progress is drawn."""
    token = _quiet.set(True)
    try:
        with Path(os.devnull).open("w") as nowhere, redirect_stdout(nowhere):
            yield
    finally:
        _quiet.reset(token)


def is_quiet() -> bool:
    """Whether `quiet` holds."""
    return _quiet.get()


def print_json(value: object) -> None:
    """Print one JSON document."""
    print(json.dumps(value, indent=2, ensure_ascii=False))


def print_columns(rows: Sequence[Sequence[str]]) -> None:
    """Print rows in columns as wide as their longest cell; the last column is left as it is."""
    if not rows:
        return
    widths = [max(len(cell) for cell in column) for column in zip(*rows, strict=True)]
    for row in rows:
        cells = [cell.ljust(width) for cell, width in zip(row, widths, strict=True)]
        print("  ".join(cells).rstrip())


def told_of_camera(camera: CameraStatus) -> list[str]:
    """What to choose in the call, and who will not list it; a line each."""
    from streamfx.sink.camera import PIPEWIRE, PIPEWIRE_LISTED_BY

    if not camera.device:
        return ["no virtual camera: --preview shows the portrait, or `streamfx ctl preview --window`"]
    lines = [f"in the call, choose the camera: {camera.name} ({camera.device})"]
    if camera.device == PIPEWIRE:
        lines.append(
            f"{PIPEWIRE_LISTED_BY} list it, Zoom does not: for Zoom, set up v4l2loopback (streamfx doctor)"
        )
    return lines


def megabytes(size: int) -> str:
    """A size in bytes for a person: 3.8 MB, or 52 kB."""
    return f"{size / 1e6:.1f} MB" if size >= _LEAST_MB else f"{size / 1e3:.0f} kB"
