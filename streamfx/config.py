"""Where things lie: the folders of the XDG base directory specification and the variables that override them.

Functions, not constants: nothing is read or made when the package is imported.
"""

from __future__ import annotations

import os
from pathlib import Path

from streamfx.errors import UsageError


def cache_folder() -> Path:
    """The folder of everything that can be made again: `$XDG_CACHE_HOME/streamfx`, else `~/.cache/streamfx`.

    Raises:
        UsageError: the account has no home folder and no XDG_CACHE_HOME.
    """
    named = os.environ.get("XDG_CACHE_HOME", "")
    # The specification: a relative path is invalid and must be ignored.
    base = Path(named) if Path(named).is_absolute() else _home() / ".cache"
    return base / "streamfx"


def idle_folder() -> Path:
    """The folder of idle portraits: they are made by workers and shown by the daemon."""
    return cache_folder() / "idle"


def data_folder() -> Path:
    """The folder of what a user gave and nobody can make again: `$XDG_DATA_HOME/streamfx`.

    Raises:
        UsageError: the account has no home folder and no XDG_DATA_HOME.
    """
    named = os.environ.get("XDG_DATA_HOME", "")
    base = Path(named) if Path(named).is_absolute() else _home() / ".local" / "share"
    return base / "streamfx"


def config_file() -> Path:
    """The daemon's settings: `$XDG_CONFIG_HOME/streamfx/config.toml`, else below `~/.config`."""
    named = os.environ.get("XDG_CONFIG_HOME", "")
    base = Path(named) if Path(named).is_absolute() else _home() / ".config"
    return base / "streamfx" / "config.toml"


def runtime_folder() -> Path:
    """The folder of sockets and locks: `$XDG_RUNTIME_DIR/streamfx`, else `run` in the cache folder."""
    named = os.environ.get("XDG_RUNTIME_DIR", "")
    return Path(named) / "streamfx" if Path(named).is_absolute() else cache_folder() / "run"


def models_folder() -> Path:
    """The folder of the model store: `STREAMFX_MODELS_DIR`, else `models` in the cache folder."""
    named = os.environ.get("STREAMFX_MODELS_DIR", "")
    return Path(named).expanduser().absolute() if named else cache_folder() / "models"


def demo_motion_file() -> Path:
    """The motion template that ships with streamfx: speech, smiles and blinks of free origin."""
    return Path(__file__).parent / "assets" / "demo.sfxm"


def font_file() -> Path:
    """The font that ships with streamfx, DejaVu Sans: Latin, Greek, Cyrillic, Hebrew, Arabic and more."""
    return Path(__file__).parent / "assets" / "DejaVuSans.ttf"


def offline() -> bool:
    """Whether `STREAMFX_OFFLINE` forbids fetching anything (set, and not 0)."""
    return os.environ.get("STREAMFX_OFFLINE", "") not in ("", "0")


def _home() -> Path:
    try:
        return Path.home()
    except RuntimeError as error:
        raise UsageError(
            "This account has no home folder", "Set XDG_CACHE_HOME or STREAMFX_MODELS_DIR to a folder"
        ) from error
