"""A publisher with a made-up camera. The file STREAMFX_TEST_CAMERA says how many read it, or "gone"."""

from __future__ import annotations

import os
from pathlib import Path

from streamfx.errors import CameraLost, CameraUnavailable
from streamfx.frames import Rendered
from streamfx.ipc.child import child_main
from streamfx.sink.camera import VirtualCamera
from streamfx.worker import publisher

_SAID = Path(os.environ["STREAMFX_TEST_CAMERA"])


class ReadCamera(VirtualCamera):
    """Takes pictures and shows them to nobody."""

    name, device = "fake", "fake:0"

    def publish(self, picture: Rendered) -> None:
        assert isinstance(picture, Rendered)
        if _SAID.read_text() == "gone":
            raise CameraLost("The device is gone", "Plug it in")

    def readers(self) -> int:
        said = _SAID.read_text()
        return int(said) if said.isdecimal() else 0

    def close(self) -> None:
        pass


def open_camera(spec: str, size: tuple[int, int], fps: float) -> VirtualCamera:
    if _SAID.read_text() == "gone":
        raise CameraUnavailable(f"There is no {spec}", "Plug it in")
    return ReadCamera()


if __name__ == "__main__":
    publisher.open_camera = open_camera
    child_main("publisher", publisher.main, spared=True)
