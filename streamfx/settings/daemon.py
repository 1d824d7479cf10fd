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
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any, Final

from streamfx import config
from streamfx import priority as priorities
from streamfx.errors import SettingRefused, UsageError
from streamfx.files import ANY_FILE, read_bytes
from streamfx.settings.notation import frame_size, path_of, shown
from streamfx.settings.session import (
    SessionSettings,
    background_named,
    changed,
    check,
    flat,
    source_named,
    typed,
)

_DEFAULT: Final = SessionSettings(on_demand=True)
"""A daemon runs all day, and nobody's lamp should."""
_KEYS: Final = {
    "camera": "output.camera",
    "fps": "output.fps",
    "head": "gains.head",
    "expression": "gains.expression",
    "gaze": "gains.gaze",
    "framing": "framing.kind",
    "framing_zoom": "framing.zoom",
    "framing_x": "framing.x",
    "framing_y": "framing.y",
} | {
    name: name for name in flat(_DEFAULT) if "." not in name and name not in ("selected", "hidden", "paused")
}
"""Of [session], by their settings; its other keys are `autostart`, and those that people write in a word."""
_MOST_BYTES: Final = 1 << 20
_MOST_SESSIONS: Final = 64
_LONGEST_REASON: Final = 160

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class SessionTable:
    """[session]"""

    autostart: bool = True
    settings: SessionSettings = field(default_factory=lambda: _DEFAULT)


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
    tables = _known(tomllib.loads(text), [one.name for one in fields(DaemonConfig)], "")
    parsed = {name: _TABLES[name](name, table) for name, table in tables.items()}
    config = DaemonConfig(**parsed)
    if not 1 <= config.limits.sessions <= _MOST_SESSIONS:
        raise SettingRefused("limits.sessions", "out of range", f"Use 1 to {_MOST_SESSIONS}")
    if config.limits.priority not in priorities.CHOICES:
        raise SettingRefused(
            "limits.priority",
            f"it is {shown(repr(config.limits.priority))}",
            f"Use {', '.join(priorities.CHOICES)}",
        )
    return config


def source(text: str) -> str:
    """What drives, a file by its resolved path: who opens it follows no link.

    Raises:
        SettingRefused: it cannot be a path.
    """
    try:
        return str(path_of(text).resolve()) if source_named(text).names_file else text
    except UsageError as error:
        raise SettingRefused("source", error.cause, error.remedy) from error


def _session(name: str, table: object) -> SessionTable:
    values = dict(_known(_mapping(name, table), ["autostart", *_WORDS, *_KEYS], f"{name}."))
    autostart = typed(f"{name}.autostart", values.pop("autostart", True), bool)
    settings = _DEFAULT
    for key in [key for key in _WORDS if key in values]:
        settings = _WORDS[key](settings, typed(f"{name}.{key}", values.pop(key), str))
    for key, value in values.items():
        try:
            settings = changed(settings, {_KEYS[key]: value})
        except SettingRefused as error:
            raise SettingRefused(f"{name}.{key}", error.why, error.remedy) from error
    check(settings)
    return SessionTable(autostart, settings)


def _size(settings: SessionSettings, text: str) -> SessionSettings:
    try:
        size = frame_size(text)
    except UsageError as error:
        raise SettingRefused("size", error.cause, error.remedy) from error
    return replace(settings, output=replace(settings.output, size=size))


_WORDS: Final[dict[str, Callable[[SessionSettings, str], SessionSettings]]] = {
    "source": lambda settings, text: replace(settings, source=source(text)),
    "size": _size,
    "background": lambda settings, text: replace(settings, background=background_named(text)),
}
"""Keys of [session] that are read as people write them."""


def _plain(kind: type) -> Callable[[str, object], Any]:
    """Reads a table whose keys are the fields of `kind`."""

    def read(name: str, table: object) -> Any:  # noqa: ANN401 - an instance of `kind`
        types = {one.name: type(getattr(kind(), one.name)) for one in fields(kind)}
        values = _known(_mapping(name, table), list(types), f"{name}.")
        return kind(**{key: typed(f"{name}.{key}", value, types[key]) for key, value in values.items()})

    return read


_TABLES: Final[dict[str, Callable[[str, object], Any]]] = {
    "session": _session,
    "control": _plain(ControlTable),
    "files": _plain(FilesTable),
    "metrics": _plain(MetricsTable),
    "limits": _plain(LimitsTable),
}


def _mapping(name: str, table: object) -> Mapping[str, Any]:
    if not isinstance(table, dict):
        raise SettingRefused(name, "it is no table", f"Write [{name}] on a line of its own")
    return table


def _known(table: Mapping[str, Any], names: Sequence[str], place: str) -> Mapping[str, Any]:
    for key in table:
        if key not in names:
            known = f"Known are {', '.join(names)}"
            raise SettingRefused(f"{place}{shown(key)}", "there is no such key", known)
    return table
