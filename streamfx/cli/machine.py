"""The machine and the software that made a result, for reports."""

from __future__ import annotations

import os
import platform
from importlib import metadata
from pathlib import Path
from typing import Final

from streamfx import __version__

PACKAGES: Final = ("av", "mediapipe", "numba", "numpy", "opencv-python-headless", "pillow")
"""Distributions on which a result depends."""


def cpu_name(cpuinfo: Path = Path("/proc/cpuinfo")) -> str:
    """The processor's name as the system tells it."""
    try:
        lines = cpuinfo.read_text("utf-8", "replace").splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def cpu_cores() -> int:
    """Cores that this process may use."""
    affinity = getattr(os, "sched_getaffinity", None)
    return len(affinity(0)) if affinity else os.cpu_count() or 1


def machine() -> dict[str, object]:
    """Name, processor, cores and system."""
    return {
        "name": platform.node(),
        "cpu": cpu_name(),
        "cores": cpu_cores(),
        "system": platform.platform(),
    }


def versions() -> dict[str, str]:
    """streamfx, Python and the packages; 'absent' for one that is not installed as a package."""
    found = {"streamfx": __version__, "python": platform.python_version()}
    return found | {package: _version(package) for package in PACKAGES}


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "absent"
