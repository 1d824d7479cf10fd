"""What end-to-end tests share: the account's models, the demo's photo, and a real face that moves."""

from __future__ import annotations

import os
from functools import cache
from pathlib import Path
from tempfile import mkdtemp

import pytest

from streamfx import config
from streamfx.__main__ import main
from streamfx.models.store import Store

SHARED = Path(os.environ.get("STREAMFX_SHARED", Path(__file__).parents[2] / "shared"))
MOTION = config.demo_motion_file()


@cache
def store() -> Store:
    """The account's own store, filled if need be."""
    own = Store.default()
    own.pull()
    return own


def photo() -> Path:
    """The demo's photo."""
    return store().path("astronaut")


@cache
def face_clip() -> Path:
    """Two seconds of a real face (the demo's film, around an open mouth), 60 pictures, 30 a second."""
    clip = Path(mkdtemp(prefix="streamfx-test-")) / "face.mp4"
    assert main(["render", str(photo()), str(MOTION), "-o", str(clip), "--duration", "2"]) == 0
    return clip


def shared(path: str) -> Path:
    """A file of the shared data; the test is skipped where there is none."""
    found = SHARED / "data" / path
    if not found.exists():
        pytest.skip(f"no {found}: name the shared data in STREAMFX_SHARED")
    return found
