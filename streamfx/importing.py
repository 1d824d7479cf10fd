"""Where modules are imported from: what is installed, never the folder that somebody happens to be in.

Python puts the current folder, or the script's, first on its path: a `numpy.py` there would be run, and a
folder named `streamfx` would be taken for the package. This program leaves both out, and so do its children.
Nothing is imported with this module but what Python has imported itself: a `pathlib.py` may lie in such a
folder, too.
"""

from __future__ import annotations

import os
import site
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
"""The folder that holds the package: site-packages, or the checkout."""


def installed_path() -> list[str]:
    """`sys.path` without the current folder, the script's, and what is relative to them."""
    unsafe = {os.path.realpath(folder) for folder in _standing_in()}
    unsafe -= {os.path.realpath(folder) for folder in _installed()}
    kept = [one for one in sys.path if os.path.isabs(one) and os.path.realpath(one) not in unsafe]
    return kept if ROOT in kept else [*kept, ROOT]


def current_folder() -> str:
    """The folder that the person is in; empty if it was deleted."""
    try:
        return os.getcwd()
    except OSError:
        return ""


def keep_openvino_quiet() -> None:
    """Before OpenVINO or NNCF is imported: they report to Intel, and leave an identifier in the home folder.

    Both allow for the absence of a package of theirs; None marks it as absent.
    """
    sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]


def require_current_folder() -> None:
    """Refuse to go on where it was deleted: torch's MKL would end the process without a word of ours.

    Raises:
        UsageError: it was.
    """
    from streamfx.errors import UsageError

    if not current_folder():
        raise UsageError(
            "The current folder is gone, and torch does not work without one", "Go to another: cd"
        )


def _standing_in() -> list[str]:
    """Folders that are on the path because of how, or from where, the program was started."""
    here = current_folder()
    return [here, os.path.dirname(os.path.join(here, sys.argv[0]))] if here else []


def _installed() -> list[str]:
    """Folders that stay even if somebody stands in one of them."""
    return [ROOT, os.path.dirname(os.__file__), *site.getsitepackages(), site.getusersitepackages()]
