"""What drives a portrait, as a person or program names it: read here, once, into a value."""

from __future__ import annotations

import re
import sys
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Final

from streamfx.errors import UsageError

FEED: Final = "feed:"
FEED_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}")
TEMPLATE_SUFFIX: Final = ".sfxm"

_CAMERA: Final = re.compile(r"(?:camera:(?P<name>.+)|(?P<number>\d{1,3})|(?P<node>/dev/video\d+))")


class SourceKind(StrEnum):
    """What kind of thing drives."""

    AUTO = "auto"
    """The first real camera."""
    DEMO = "demo"
    """The motion template that ships with streamfx, in rounds."""
    REMOTE = "remote"
    """Motions that a client streams (DriveSession)."""
    NONE = "none"
    """Nothing: the portrait idles."""
    CAMERA = "camera"
    FEED = "feed"
    """Another program's pictures (streamfx/feeds.py)."""
    TEMPLATE = "template"
    """A file of motions, by its suffix."""
    VIDEO = "video"
    """Any other file."""


_WORDS: Final = (SourceKind.AUTO, SourceKind.DEMO, SourceKind.REMOTE, SourceKind.NONE)


@dataclass(frozen=True, slots=True)
class SourceSpec:
    """What was named."""

    kind: SourceKind
    text: str
    """As it was written."""
    name: str = ""
    """Of a feed; of a camera the device that FFmpeg opens."""

    @classmethod
    def parse(cls, text: str | Path) -> SourceSpec:
        """Read `auto`, `demo`, `remote`, `none`, a camera (`0`, `camera:0`, `camera:NAME`, `/dev/video0`), a
        feed (`feed:NAME`) or a file's path; whether it exists is not asked. A Path is a device or a file.

        Raises:
            UsageError: what follows `feed:` is no name.
        """
        spec = str(text)
        is_path = isinstance(text, Path)
        if not is_path and spec in _WORDS:
            return cls(SourceKind(spec), spec)
        if not is_path and spec.startswith(FEED):
            return cls(SourceKind.FEED, spec, _feed_name(spec))
        camera = _CAMERA.fullmatch(spec)
        if camera is not None and (camera["node"] or not is_path):
            return cls(SourceKind.CAMERA, spec, camera["node"] or _device(camera["number"] or camera["name"]))
        is_template = Path(spec).suffix.lower() == TEMPLATE_SUFFIX
        return cls(SourceKind.TEMPLATE if is_template else SourceKind.VIDEO, spec)

    @property
    def names_file(self) -> bool:
        """Whether it is a path."""
        return self.kind in (SourceKind.TEMPLATE, SourceKind.VIDEO)

    @property
    def is_camera(self) -> bool:
        """Whether it is a camera, or another program that stands for one."""
        return self.kind in (SourceKind.CAMERA, SourceKind.FEED)


def _feed_name(spec: str) -> str:
    name = spec.removeprefix(FEED)
    if not FEED_NAME.fullmatch(name):
        raise UsageError(
            f"{spec[:80]!r} names no feed",
            "Write feed:NAME, the name of 1 to 63 letters, digits, dots, - and _, a letter or digit first",
        )
    return name


def _device(name: str) -> str:
    if sys.platform == "win32":
        return f"video={name}"
    if sys.platform == "darwin":
        return f"{name}:none"
    return f"/dev/video{name}" if name.isdecimal() else name
