"""The cameras of this machine for clients: those that can drive, and those that calls see."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Final

from streamfx.api.values import DeviceInfo, DeviceKind
from streamfx.devices import list_cameras
from streamfx.errors import CameraUnavailable
from streamfx.feeds import list_feeds
from streamfx.settings.source import SourceSpec
from streamfx.sink.camera import PIPEWIRE

_PIPEWIRE_NAME: Final = "PipeWire camera"
_FEED_NAME: Final = "{} (fed by another program)"


def list_devices(feeds: Path | None = None) -> list[DeviceInfo]:
    """Real cameras first, then feeds, then virtual cameras. None is opened.

    Args:
        feeds: folder of the feeds' sockets; None takes the runtime folder.
    """
    driving = [
        DeviceInfo(
            DeviceKind.DRIVING, camera.spec, camera.name, camera.permitted,
            "" if camera.permitted else "Join the group video, then log in again.",
        )
        for camera in list_cameras()
        if not camera.virtual
    ]  # fmt: skip
    fed = [
        DeviceInfo(DeviceKind.DRIVING, spec, _FEED_NAME.format(SourceSpec.parse(spec).name))
        for spec in list_feeds(feeds)
    ]
    return [*driving, *fed, *_virtual()]


def _virtual() -> list[DeviceInfo]:
    if sys.platform != "linux":
        return []
    from streamfx.sink.loopback import JOIN, find_loopbacks
    from streamfx.sink.pipewire.native import library

    found = []
    for one in find_loopbacks():
        permitted = os.access(one.device, os.R_OK | os.W_OK)
        trouble = "" if permitted else f"Not permitted to this user. {JOIN}."
        found.append(DeviceInfo(DeviceKind.VIRTUAL, str(one.device), one.label, permitted, trouble))
    try:
        library()
    except CameraUnavailable as error:
        return [*found, DeviceInfo(DeviceKind.VIRTUAL, PIPEWIRE, _PIPEWIRE_NAME, False, str(error))]
    return [*found, DeviceInfo(DeviceKind.VIRTUAL, PIPEWIRE, _PIPEWIRE_NAME)]
