"""Virtual cameras, planted: what the kernel tells of them, in a folder, and devices that fail on order."""

from __future__ import annotations

import errno
import os
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from streamfx.frames import U8, Rendered
from streamfx.quality import Quality
from streamfx.sink.loopback import Roots
from streamfx.sink.v4l2 import Capabilities

SIZE = (64, 48)


def rendered(colour: tuple[int, int, int] = (200, 20, 20), size: tuple[int, int] = SIZE) -> Rendered:
    """A picture of one colour."""
    rgb = np.empty((size[1], size[0], 3), np.uint8)
    rgb[:] = colour
    now = time.monotonic_ns()
    return Rendered(rgb, captured_ns=now, rendered_ns=now, seq=0, quality=Quality.FULL)


def plant(
    folder: Path,
    devices: Sequence[tuple[int, str]] = ((10, "streamfx"),),
    *,
    exclusive: str = "Y",
    held: str = "",
    opened: int = 1,
    loaded: bool = True,
    installed: bool = True,
    modern: bool = False,
) -> Roots:
    """The kernel's files for v4l2loopback devices (number, label) of release 0.12 or a modern one."""
    roots = Roots(folder / "sys", folder / "dev", folder / "proc", folder / "modules")
    for path in (roots.sys / "class/video4linux", roots.dev, roots.proc / "1/fd"):
        path.mkdir(parents=True)
    if loaded:
        parameters = roots.sys / "module/v4l2loopback/parameters"
        parameters.mkdir(parents=True)
        parameters.joinpath("video_nr").write_text(",".join([*(str(n) for n, _ in devices), "-1"]) + "\n")
        parameters.joinpath("exclusive_caps").write_text(",".join([exclusive] * len(devices) + ["N"]) + "\n")
        parameters.parent.joinpath("refcnt").write_text(f"{opened}\n")
    for number, label in devices:
        node = roots.sys / f"class/video4linux/video{number}"
        node.mkdir()
        tells = {"name": label, "max_openers": "10", "format": held} | ({"state": "output"} if modern else {})
        for name, told in tells.items():
            node.joinpath(name).write_text(f"{told}\n" if told else "")
        (roots.dev / node.name).touch()
    listed = roots.modules / os.uname().release / "modules.dep"
    listed.parent.mkdir(parents=True)
    listed.write_text(
        "updates/dkms/v4l2loopback.ko.xz: kernel/videodev.ko\n" if installed else "kernel/fat.ko:\n"
    )
    return roots


def plant_holder(roots: Roots, device: str, pid: int, comm: str, arguments: Sequence[str] = ()) -> None:
    """A process that has a device open."""
    process = roots.proc / str(pid)
    process.joinpath("fd").mkdir(parents=True)
    process.joinpath("comm").write_text(f"{comm}\n")
    process.joinpath("cmdline").write_text("\0".join([comm, *arguments, ""]))
    process.joinpath("fd/3").symlink_to("/dev/null")
    process.joinpath("fd/7").symlink_to(roots.dev / device)


class FaultyDevice:
    """Stands for `Node`, with the states of release 0.12; faults are injected by setting them."""

    def __init__(
        self, *, capture: bool = False, output: bool = True, size: tuple[int, int] | None = None
    ) -> None:
        self.capture, self.output = capture, output
        self.held = size
        self.pictures: list[U8] = []
        self.nodes_open = self.nodes_opened = 0
        self.unread = 0
        self.opening_fails: OSError | None = None
        self.asking_fails: OSError | None = None
        self.size_fails: OSError | None = None
        self.write_fails: OSError | None = None
        self.most_bytes = 1 << 30
        self.incurable = False
        self.replaced = False

    def __call__(self, device: Path) -> FaultyNode:
        if self.opening_fails:
            raise self.opening_fails
        return FaultyNode(self, device)


class FaultyNode:
    """One opening of a `FaultyDevice`."""

    def __init__(self, device: FaultyDevice, path: Path) -> None:
        self._device, self._path = device, path
        self._writer = False
        device.nodes_open += 1
        device.nodes_opened += 1

    def capabilities(self) -> Capabilities:
        if self._device.asking_fails:
            raise self._device.asking_fails
        return Capabilities("streamfx", self._device.capture, self._device.output)

    def size(self) -> tuple[int, int] | None:
        return self._device.held

    def ask_size(self, size: tuple[int, int]) -> tuple[int, int] | None:
        if self._device.size_fails:
            raise self._device.size_fails
        self._device.held = self._device.held or size
        return self._device.held

    def ask_rate(self, fps: float) -> None:
        raise OSError(errno.EINVAL, "no rate here")

    def start(self) -> None:
        self._writer = True

    def write(self, picture: U8) -> int:
        if self._device.write_fails:
            raise self._device.write_fails
        self._device.pictures.append(picture.copy())
        return min(picture.nbytes, self._device.most_bytes)

    def has_picture(self) -> bool:
        self._device.unread -= 1
        return self._device.unread >= 0

    def number(self) -> int:
        return self._path.stat().st_rdev + self._device.replaced

    def close(self) -> None:
        self._device.nodes_open -= 1
        self._device.output |= self._writer and not self._device.incurable
