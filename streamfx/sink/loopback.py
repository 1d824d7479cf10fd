"""What Linux tells of its v4l2loopback devices without one being opened, and what a person can do about them.

Everything is read from /sys, /proc and /lib/modules; tests plant others (`Roots`).
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from streamfx.errors import CameraUnavailable

MODULE: Final = "v4l2loopback"
LABEL: Final = "streamfx"
"""What call programs list, if the module is loaded as our remedies say."""
_OPTIONS: Final = f"{MODULE} video_nr=10 exclusive_caps=1 card_label={LABEL}"
LOAD: Final = f"sudo modprobe {_OPTIONS}"
KEEP: Final = (
    f"For every start of the machine:\n  echo {MODULE} | sudo tee /etc/modules-load.d/{LABEL}.conf\n"
    f"  echo options {_OPTIONS} | sudo tee /etc/modprobe.d/{LABEL}.conf"
)
RELOAD: Final = f"Close all programs that use it, then: sudo modprobe -r {MODULE} && {LOAD}\n{KEEP}"
INSTALL: Final = f"sudo apt install {MODULE}-dkms"
JOIN: Final = "sudo usermod -aG video $USER, then log in again"

_FORMAT: Final = re.compile(r"\S{4}:(\d+)x(\d+)@")


@dataclass(frozen=True, slots=True)
class Roots:
    """Where the kernel tells things."""

    sys: Path = Path("/sys")
    dev: Path = Path("/dev")
    proc: Path = Path("/proc")
    modules: Path = Path("/lib/modules")


HERE: Final = Roots()


@dataclass(frozen=True, slots=True)
class Loopback:
    """A v4l2loopback device."""

    device: Path
    label: str
    node: Path
    """Its folder in /sys."""


@dataclass(frozen=True, slots=True)
class Holder:
    """A process that has a device open."""

    pid: int
    program: str

    def __str__(self) -> str:
        return f"{self.program} (process {self.pid})"


def find_loopbacks(roots: Roots = HERE) -> list[Loopback]:
    """All v4l2loopback devices: those labelled for us first, then by number."""
    folder = roots.sys / "class/video4linux"
    found = [at for node in folder.glob("video*") if (at := loopback_at(roots.dev / node.name, roots))]
    return sorted(found, key=lambda one: (one.label != LABEL, len(one.device.name), one.device.name))


def loopback_at(device: Path, roots: Roots = HERE) -> Loopback | None:
    """The v4l2loopback device at a path, or None where there is another or none."""
    node = roots.sys / "class/video4linux" / device.name
    if not os.path.exists(node / "max_openers"):  # no other driver has this attribute
        return None
    return Loopback(device, _read(node / "name"), node)


def is_loaded(roots: Roots = HERE) -> bool:
    """Whether the kernel has the module."""
    return os.path.isdir(roots.sys / "module" / MODULE)


def is_installed(roots: Roots = HERE, release: str = "") -> bool:
    """Whether the module is there for the running kernel, or for `release`."""
    listed = _read(roots.modules / (release or os.uname().release) / "modules.dep")
    return any(Path(line.partition(":")[0]).name.startswith(f"{MODULE}.ko") for line in listed.splitlines())


def is_exclusive(found: Loopback, roots: Roots = HERE) -> bool | None:
    """Whether it was made with exclusive_caps=1; None where the module does not tell (v4l2loopback-ctl)."""
    parameters = roots.sys / "module" / MODULE / "parameters"
    numbers = _read(parameters / "video_nr").split(",")
    flags = _read(parameters / "exclusive_caps").split(",")
    number = found.device.name.removeprefix("video")
    if number not in numbers or len(flags) != len(numbers):
        return None
    return flags[numbers.index(number)] == "Y"


def held_size(found: Loopback) -> tuple[int, int] | None:
    """Width and height that a producer or a reader holds now; None when the device is free to take any."""
    match = _FORMAT.match(_read(found.node / "format"))
    return (int(match[1]), int(match[2])) if match else None


def openings(roots: Roots = HERE) -> int | None:
    """How often devices of the module are open now, ours included; None where the kernel does not tell."""
    count = _read(roots.sys / "module" / MODULE / "refcnt")
    return int(count) if count.isdecimal() else None


def holders(device: Path, roots: Roots = HERE) -> tuple[list[Holder], bool]:
    """The other processes that have a device open, and whether every process could be looked at.

    Those of other users cannot be looked at without root. 10 to 30 ms on a busy desktop.
    """
    found, complete, processes = [], True, 0
    for process in _processes(roots.proc):
        processes += 1
        try:
            if _holds(process, str(device)):
                found.append(Holder(int(process.name), _program(process)))
        except PermissionError:
            complete = False
        except OSError:  # it ended meanwhile
            continue
    return found, complete and processes > 0


def none_found(roots: Roots = HERE) -> CameraUnavailable:
    """Why there is no device at all."""
    if is_loaded(roots):
        return CameraUnavailable("v4l2loopback is loaded, but has no device", RELOAD)
    if is_installed(roots):
        return CameraUnavailable("No virtual camera: v4l2loopback is not loaded", f"{LOAD}\n{KEEP}")
    return CameraUnavailable("No virtual camera: v4l2loopback is not installed", f"{INSTALL}\n{LOAD}\n{KEEP}")


def named(found: list[Holder]) -> str:
    """The programs, for a sentence."""
    return ", ".join(map(str, found)) or "a program of another user (sudo fuser -v names it)"


def _processes(proc: Path) -> Iterator[Path]:
    own = str(os.getpid())
    with suppress(OSError):
        yield from (one for one in proc.iterdir() if one.name.isdecimal() and one.name != own)


def _holds(process: Path, device: str) -> bool:
    with os.scandir(process / "fd") as entries:
        for entry in entries:
            with suppress(FileNotFoundError):  # closed meanwhile
                if os.readlink(entry.path) == device:  # noqa: PTH115 - of thousands: a Path each is slow
                    return True
    return False


def _program(process: Path) -> str:
    """The program's name; for a Python program that of its script."""
    name = _read(process / "comm")
    arguments = [one for one in _read(process / "cmdline").split("\0")[1:] if one and one != "-m"]
    if name.startswith("python") and arguments:
        return Path(arguments[0]).name
    return name or "a program"


def _read(path: Path) -> str:
    try:
        return path.read_text("utf-8", "replace").strip()
    except OSError:
        return ""
