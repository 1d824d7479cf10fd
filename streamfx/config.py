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
    return _base("XDG_CACHE_HOME", ".cache") / "streamfx"


def kernels_folder() -> Path:
    """The folder of compiled functions that cannot lie beside their source. Raises as `cache_folder`."""
    return cache_folder() / "kernels"


def data_folder() -> Path:
    """The folder of what a user gave and nobody can make again: `$XDG_DATA_HOME/streamfx`.

    Raises:
        UsageError: the account has no home folder and no XDG_DATA_HOME.
    """
    return _base("XDG_DATA_HOME", ".local/share") / "streamfx"


def config_file() -> Path:
    """The daemon's settings: `$XDG_CONFIG_HOME/streamfx/config.toml`, else below `~/.config`.

    Raises:
        UsageError: the account has no home folder and no XDG_CONFIG_HOME.
    """
    return _base("XDG_CONFIG_HOME", ".config") / "streamfx" / "config.toml"


def units_folder() -> Path:
    """Where systemd looks for this user's units. Raises as `config_file`."""
    return _base("XDG_CONFIG_HOME", ".config") / "systemd" / "user"


def runtime_folder() -> Path:
    """The folder of sockets and locks: `$XDG_RUNTIME_DIR/streamfx`, else `run` in the cache folder."""
    named = os.environ.get("XDG_RUNTIME_DIR", "")
    return Path(named) / "streamfx" if Path(named).is_absolute() else cache_folder() / "run"


def models_folder() -> Path:
    """The folder of the model store: `STREAMFX_MODELS_DIR`, else `models` in the cache folder.

    Raises:
        UsageError: there is no home folder to find it in, or no current folder.
    """
    named = os.environ.get("STREAMFX_MODELS_DIR", "")
    if not named:
        return cache_folder() / "models"
    try:
        return Path(named).expanduser().absolute()
    except (OSError, RuntimeError) as error:
        cause = f"STREAMFX_MODELS_DIR is {named}, and there is no folder which that is relative to"
        raise UsageError(cause, "Set it to a whole path") from error


def demo_motion_file() -> Path:
    """The motion template that ships with streamfx: speech, smiles and blinks of free origin."""
    return Path(__file__).parent / "assets" / "demo.sfxm"


def font_file() -> Path:
    """The font that ships with streamfx, DejaVu Sans: Latin, Greek, Cyrillic, Hebrew, Arabic and more."""
    return Path(__file__).parent / "assets" / "DejaVuSans.ttf"


def offline() -> bool:
    """Whether `STREAMFX_OFFLINE` forbids fetching anything (set, and not 0)."""
    return os.environ.get("STREAMFX_OFFLINE", "") not in ("", "0")


def _base(variable: str, usual: str) -> Path:
    """A base folder of the specification; its relative values are invalid, and to be ignored."""
    named = Path(os.environ.get(variable, ""))
    if named.is_absolute():
        return named
    try:
        home = Path.home()
    except RuntimeError as error:
        raise UsageError("This account has no home folder", f"Set {variable} to a folder") from error
    return home / usual
