"""The daemon's settings file, TOML: every key is known, of the right type and within its limits, or refused.

[session]                      the session that begins with the daemon
autostart = true
portraits = ["me"]             by default all that there are, the newest first
source = "auto"                see SessionSettings for these ("feed:NAME" among them) and their defaults
camera = "auto"
size = "640x480"               or "720p", "1080p", ...
fps = 30
background = "keep"            or "blur", "remove", a colour ("green", "#00b140"), or a picture's path
framing = "auto"               "photo", "close" or "wide"
framing_zoom = 1.0             0.5 to 3; framing_x and framing_y, -0.5 to 0.5, move the photo right and down
framing_x = 0.0
framing_y = 0.0
mirror = false
mirror_preview = false
badge = ""
on_demand = true               false opens the webcam for as long as the daemon runs
head = 1.0                     gains, 0 to 1.5
expression = 1.0
gaze = 1.0
refine = "lite"
mouth = "lite"
device = "cpu"                 or "cuda": an NVIDIA card (docs/gpu.md)

[control]
socket = "/run/user/1000/streamfx/control.sock"
listen = "127.0.0.1:50515"     TLS as well; needs the next two, and token_file or client_ca
tls_certificate = "..."        PEM
tls_key = "..."
token_file = "..."             made by `streamfx serve --make-token FILE`
read_token_file = "..."        of another token, which may only look
client_ca = "..."              clients must show a certificate of this authority

[files]
roots = ["~/Pictures"]         folders in which clients by TCP may name files

[metrics]
address = "127.0.0.1:9464"     OpenMetrics; off by default

[limits]
sessions = 4
priority = "auto"              of what publishes: "normal", "high", "realtime"; auto: realtime where granted
"""

from __future__ import annotations

import logging
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Final

from streamfx import config
from streamfx import priority as priorities
from streamfx.devices import camera_device
from streamfx.errors import SettingRefused, UsageError
from streamfx.feeds import is_feed
from streamfx.files import ANY_FILE, read_bytes
from streamfx.settings.framing import Framing, FramingKind
from streamfx.settings.notation import frame_size, path_of, shown
from streamfx.settings.session import (
    AUTO,
    DEMO,
    NOTHING,
    REMOTE,
    Gains,
    Output,
    SessionSettings,
    background_named,
    check,
)

_MOST_BYTES: Final = 1 << 20
_MOST_SESSIONS: Final = 64
_LONGEST_REASON: Final = 160

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class SessionTable:
    """[session]"""

    autostart: bool = True
    portraits: tuple[str, ...] = ()
    source: str = "auto"
    camera: str = "auto"
    size: str = "640x480"
    fps: float = 30.0
    background: str = "keep"
    framing: str = "auto"
    framing_zoom: float = 1.0
    framing_x: float = 0.0
    framing_y: float = 0.0
    mirror: bool = False
    mirror_preview: bool = False
    badge: str = ""
    on_demand: bool = True
    """Other than by default elsewhere: a daemon runs all day, and nobody's lamp should."""
    head: float = 1.0
    expression: float = 1.0
    gaze: float = 1.0
    refine: str = "lite"
    mouth: str = "lite"
    device: str = "cpu"

    def settings(self) -> SessionSettings:
        """The session's settings, checked.

        Raises:
            SettingRefused: one makes no sense.
        """
        settings = SessionSettings(
            output=Output(self.camera, _size(self.size), self.fps),
            source=source(self.source),
            portraits=self.portraits,
            gains=Gains(self.head, self.expression, self.gaze),
            background=background_named(self.background),
            framing=Framing(framing_kind(self.framing), self.framing_zoom, self.framing_x, self.framing_y),
            mirror=self.mirror,
            mirror_preview=self.mirror_preview,
            badge=self.badge,
            on_demand=self.on_demand,
            refine=self.refine,
            mouth=self.mouth,
            device=self.device,
        )
        check(settings)
        return settings


@dataclass(frozen=True, slots=True)
class ControlTable:
    """[control]"""

    socket: str = ""
    listen: str = ""
    tls_certificate: str = ""
    tls_key: str = ""
    token_file: str = ""
    read_token_file: str = ""
    client_ca: str = ""


@dataclass(frozen=True, slots=True)
class FilesTable:
    """[files]"""

    roots: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class MetricsTable:
    """[metrics]"""

    address: str = ""


@dataclass(frozen=True, slots=True)
class LimitsTable:
    """[limits]"""

    sessions: int = 4
    priority: str = priorities.AUTO


@dataclass(frozen=True, slots=True)
class DaemonConfig:
    """The whole file."""

    session: SessionTable = field(default_factory=SessionTable)
    control: ControlTable = field(default_factory=ControlTable)
    files: FilesTable = field(default_factory=FilesTable)
    metrics: MetricsTable = field(default_factory=MetricsTable)
    limits: LimitsTable = field(default_factory=LimitsTable)


def load_config(path: Path) -> DaemonConfig:
    """The settings in a file.

    Raises:
        UsageError: no such file, not TOML, or a key or value that makes no sense; with the file's name.
    """
    try:
        return parse_config(read_bytes(path, _MOST_BYTES, ANY_FILE).decode())
    except (ValueError, RecursionError) as error:  # bytes, syntax; numbers and nesting beyond Python's limits
        cause = f"{path} is no TOML that can be read: {str(error)[:_LONGEST_REASON]}"
        raise UsageError(cause, "Correct it") from error
    except SettingRefused as error:
        raise UsageError(f"{path}: {error.cause}", error.remedy) from error


def usual_config() -> DaemonConfig:
    """The settings in their usual file; the defaults where there is none, or no folder for it.

    Where a folder may not be looked into, the log says so.

    Raises:
        SettingRefused, UsageError: as `load_config`.
    """
    try:
        path = config.config_file()
    except UsageError:  # an account without a home
        return DaemonConfig()
    try:
        path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return DaemonConfig()
    except OSError as error:
        _log.warning("Settings are the defaults: %s cannot be looked for: %s.", path, error.strerror)
        return DaemonConfig()
    return load_config(path)


def parse_config(text: str) -> DaemonConfig:
    """The settings in a text.

    Raises:
        tomllib.TOMLDecodeError: it is no TOML.
        SettingRefused: a key or value makes no sense.
    """
    tables = _known(tomllib.loads(text), DaemonConfig, "")
    parsed = {name: _table(name, table, _TABLES[name]) for name, table in tables.items()}
    config = DaemonConfig(**parsed)
    config.session.settings()
    if not 1 <= config.limits.sessions <= _MOST_SESSIONS:
        raise SettingRefused("limits.sessions", "out of range", f"Use 1 to {_MOST_SESSIONS}")
    if config.limits.priority not in priorities.CHOICES:
        raise SettingRefused(
            "limits.priority",
            f"it is {shown(repr(config.limits.priority))}",
            f"Use {', '.join(priorities.CHOICES)}",
        )
    return config


def framing_kind(text: str) -> FramingKind:
    """The kind of framing of that name.

    Raises:
        SettingRefused: there is none.
    """
    if text not in list(FramingKind):
        raise SettingRefused("framing", f"it is {shown(repr(text))}", f"Use {', '.join(FramingKind)}")
    return FramingKind(text)


def source(text: str) -> str:
    """What drives, a file by its resolved path: who opens it follows no link.

    Raises:
        SettingRefused: it cannot be a path.
    """
    if text in (AUTO, NOTHING, REMOTE, DEMO) or camera_device(text) is not None or is_feed(text):
        return text
    try:
        return str(path_of(text).resolve())
    except UsageError as error:
        raise SettingRefused("source", error.cause, error.remedy) from error


def _size(text: str) -> tuple[int, int]:
    try:
        return frame_size(text)
    except UsageError as error:
        raise SettingRefused("size", error.cause, error.remedy) from error


_TABLES: Final[dict[str, type]] = {
    "session": SessionTable,
    "control": ControlTable,
    "files": FilesTable,
    "metrics": MetricsTable,
    "limits": LimitsTable,
}


def _table(name: str, table: object, kind: type) -> Any:  # noqa: ANN401 - an instance of `kind`
    if not isinstance(table, dict):
        raise SettingRefused(name, "it is no table", f"Write [{name}] on a line of its own")
    values = _known(table, kind, f"{name}.")
    types = {f.name: str(f.type) for f in fields(kind)}
    return kind(**{key: _value(f"{name}.{key}", value, types[key]) for key, value in values.items()})


def _known(table: Mapping[str, Any], kind: type, place: str) -> Mapping[str, Any]:
    names = [f.name for f in fields(kind)]
    for key in table:
        if key not in names:
            known = f"Known are {', '.join(names)}"
            raise SettingRefused(f"{place}{shown(key)}", "there is no such key", known)
    return table


def _value(name: str, value: object, kind: str) -> object:
    """A value as its field holds it."""
    if kind == "float" and isinstance(value, int) and not isinstance(value, bool):
        return _finite(name, value)
    if kind == "tuple[str, ...]":
        if isinstance(value, list) and all(isinstance(one, str) for one in value):
            return tuple(value)
        raise SettingRefused(name, "it is no list of texts", 'Write it as ["one", "two"]')
    if type(value).__name__ != kind:
        raise SettingRefused(name, f"it is {shown(repr(value))}", f"It must be of type {kind}")
    return value


def _finite(name: str, value: int) -> float:
    try:
        return float(value)
    except OverflowError as error:
        raise SettingRefused(name, "out of range", "Use a smaller number") from error
