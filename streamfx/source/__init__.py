"""The driving video or camera: the only door to PyAV's decoders."""

from __future__ import annotations

from pathlib import Path

from streamfx.devices import CameraInfo, list_cameras
from streamfx.media import TIMEOUT_S
from streamfx.settings.source import SourceKind, SourceSpec
from streamfx.source.base import Source, SourceInfo, SourceStatistics
from streamfx.source.camera import CameraSource
from streamfx.source.capture import CameraOptions
from streamfx.source.feed import FeedSource
from streamfx.source.file import FileSource
from streamfx.source.sound import SoundReader

__all__ = [
    "CameraInfo",
    "CameraOptions",
    "SoundReader",
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
    feeds: Path | None = None,
) -> Source:
    """A video file, a camera or a feed, opened, its first picture already decoded.

    Args:
        spec: a path; a camera: `/dev/video0`, `camera:0`, or the number alone; or `feed:NAME`.
        timeout_s: longest wait for one read of a file.
        camera: size and rate to ask a camera for, and how long to wait for it.
        hardware: whether an NVIDIA card is to decode a file, where it can (SourceStatistics.decoder tells).
        feeds: folder of the feeds' sockets; None takes the runtime folder.

    Raises:
        SourceMissing: no such file, camera or feed, or no permission.
        SourceUnreadable: not a video that can be decoded; a camera in use by another program; a feed that
            hands over no pictures.
        UsageError: a feed's name that is none.
    """
    named = SourceSpec.parse(spec)
    if named.kind is SourceKind.FEED:
        return FeedSource(named.name, feeds)
    if named.kind is SourceKind.CAMERA:
        return CameraSource(named.name, camera or CameraOptions())
    return FileSource(Path(spec), timeout_s, hardware=hardware)
