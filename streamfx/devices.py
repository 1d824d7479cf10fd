"""Which cameras there are, without opening any (opening lights the camera's lamp)."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Final

_SYSFS: Final = Path("/sys/class/video4linux")
_DEV: Final = Path("/dev")
FORMATS: Final = {"darwin": "avfoundation", "win32": "dshow"}
"""FFmpeg's capture format by platform; elsewhere v4l2."""


@dataclass(frozen=True, slots=True)
class CameraInfo:
    """A camera that could be opened."""

    spec: str
    """What `open_source` takes."""
    name: str
    """As its driver calls it."""
    permitted: bool
    """Whether this user may open it."""
    virtual: bool
    """A software camera (v4l2loopback), perhaps this program's own output."""


def list_cameras(sysfs: Path = _SYSFS, dev: Path = _DEV) -> list[CameraInfo]:
    """The capture devices of this machine, in the order of their numbers. The folders are Linux's."""
    if sys.platform in FORMATS:
        return _list_by_ffmpeg(FORMATS[sys.platform])
    nodes = sorted(sysfs.glob("video*"), key=lambda node: int(node.name.removeprefix("video") or 0))
    return [
        _camera(node, dev / node.name)
        for node in nodes
        if _captures(node) and os.path.exists(dev / node.name)
    ]


def _camera(node: Path, device: Path) -> CameraInfo:
    return CameraInfo(
        spec=str(device),
        name=_read(node / "name") or device.name,
        permitted=os.access(device, os.R_OK | os.W_OK),
        virtual="/devices/virtual/" in os.path.realpath(node),
    )


def _captures(node: Path) -> bool:
    """A UVC camera has a second node (index 1) for metadata; it yields no pictures."""
    return _read(node / "index") in ("", "0")


def _read(path: Path) -> str:
    try:
        return path.read_text(errors="replace").strip()
    except OSError:
        return ""


def _list_by_ffmpeg(capture_format: str) -> list[CameraInfo]:
    import av  # here, for the daemon lists cameras without a decoder in its process

    try:
        devices = av.enumerate_input_devices(capture_format)
    except (av.FFmpegError, ValueError):  # this build of FFmpeg cannot capture here
        return []
    return [
        CameraInfo(spec=f"camera:{device.name}", name=device.description, permitted=True, virtual=False)
        for device in devices
        if "video" in device.media_types
    ]
