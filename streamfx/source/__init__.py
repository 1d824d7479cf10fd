"""The driving video or camera: the only door to PyAV's decoders."""

from __future__ import annotations

from pathlib import Path

from streamfx.devices import CameraInfo, camera_device, list_cameras
from streamfx.media import TIMEOUT_S
from streamfx.source.base import Source, SourceInfo, SourceStatistics
from streamfx.source.camera import CameraSource
from streamfx.source.capture import CameraOptions
from streamfx.source.file import FileSource

__all__ = [
    "CameraInfo",
    "CameraOptions",
    "Source",
    "SourceInfo",
    "SourceStatistics",
    "list_cameras",
    "open_source",
]


def open_source(
    spec: str | Path,
    *,
    timeout_s: float = TIMEOUT_S,
    camera: CameraOptions | None = None,
    hardware: bool = False,
) -> Source:
    """A video file or a camera, opened, its first picture already decoded.

    Args:
        spec: a path; or a camera: `/dev/video0`, `camera:0`, or the number alone.
        timeout_s: longest wait for one read of a file.
        camera: size and rate to ask a camera for, and how long to wait for it.
        hardware: whether an NVIDIA card is to decode a file, where it can (SourceStatistics.decoder tells).

    Raises:
        SourceMissing: no such file or camera, or no permission.
        SourceUnreadable: not a video that can be decoded; a camera in use by another program.
    """
    device = camera_device(spec)
    if device is not None:
        return CameraSource(device, camera or CameraOptions())
    return FileSource(Path(spec), timeout_s, hardware=hardware)
