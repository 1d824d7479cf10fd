"""The systemd user unit of `streamfx serve --install-unit`: what it runs, and in which folders."""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path
from typing import Final

_UNIT: Final = """\
[Unit]
Description=streamfx: your animated portrait as a camera

[Service]
Type=notify
{environment}ExecStart={command}
Restart=always
RestartSec=200ms
TimeoutStopSec=5
NoNewPrivileges=yes
PrivateTmp=yes

[Install]
WantedBy=default.target
"""
_PLAIN: Final = re.compile(r"[\w./:=@+-]+", re.ASCII)
_NAME: Final = "streamfx.service"
_HANDED_ON: Final = (
    "XDG_CONFIG_HOME",
    "XDG_DATA_HOME",
    "XDG_CACHE_HOME",
    "STREAMFX_MODELS_DIR",
    "NUMBA_CACHE_DIR",
)
"""Folders that the person may have set in the shell, of which systemd knows nothing."""
_BY_HAND: Final = "Enable it where systemd runs for this user: systemctl --user enable --now"


def unit_text(config: Path | None = None) -> str:
    """The unit that starts what is running now, in the same folders.

    Args:
        config: settings to name; None takes the usual file.
    """
    words = [*_program(), "serve", *(["-c", str(config.absolute())] if config else [])]
    folders = {name: os.environ[name] for name in _HANDED_ON if Path(os.environ.get(name, "")).is_absolute()}
    if words[0] == sys.executable:
        folders |= _import_path()
    environment = "".join(f"Environment={_quoted(f'{name}={value}')}\n" for name, value in folders.items())
    command = " ".join(_quoted(word.replace("$", "$$")) for word in words)
    return _UNIT.format(environment=environment, command=command)


def install_unit(text: str) -> Path:
    """Put the unit where this user's systemd looks for it, and start it now and at every login.

    Raises:
        OutputError: it cannot be written, or systemd does not take it.
    """
    from streamfx import config
    from streamfx.errors import OutputError
    from streamfx.files import atomic_output, make_folder
    from streamfx.ipc.spawn import JOINED, run

    path = config.units_folder() / _NAME
    make_folder(path.parent)
    with atomic_output(path) as part:
        part.write_text(text, "utf-8")
    for words in (["daemon-reload"], ["enable", str(path)], ["restart", _NAME]):
        try:
            code, said, _ = run(["systemctl", "--user", *words], limit_s=30, stderr=JOINED)
        except OSError as error:
            cause = f"{path} is written, but not enabled: systemctl cannot be run ({error.strerror or error})"
            raise OutputError(cause, f"{_BY_HAND} {path}") from error
        if code != 0:
            reason = (said.decode("utf-8", "replace").strip().splitlines() or [f"code {code}"])[-1]
            raise OutputError(f"{path} is written, but systemd refuses it: {reason}", f"{_BY_HAND} {path}")
    return path


def _program() -> list[str]:
    """The script that was started; else this Python, which leaves out its current folder: the home."""
    started = Path(sys.argv[0])
    if started.stem == "streamfx" and os.path.isfile(started):
        return [str(started.absolute())]
    return [sys.executable, "-P", "-m", "streamfx"]


def _import_path() -> dict[str, str]:
    """For a checkout that is run without being installed."""
    from streamfx.importing import ROOT
    from streamfx.ipc.spawn import NOWHERE, run

    asked = [sys.executable, "-P", "-c", "import streamfx.__main__"]
    code, _, _ = run(asked, stderr=NOWHERE, variables={"PYTHONPATH": ""})
    return {} if code == 0 else {"PYTHONPATH": ROOT}


def _quoted(text: str) -> str:
    """A word of a unit, as it is: systemd.syntax(7), and no specifiers."""
    if _PLAIN.fullmatch(text):
        return text
    for special, escaped in (("\\", "\\\\"), ('"', '\\"'), ("\n", "\\n"), ("%", "%%")):
        text = text.replace(special, escaped)
    return f'"{text}"'
