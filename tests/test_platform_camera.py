"""The virtual cameras of Windows and macOS: the real pyvirtualcam with a backend of ours."""

from __future__ import annotations

import sys

import numpy as np
import pytest
from planted_camera import SIZE, rendered

from streamfx.errors import CameraLost, CameraUnavailable
from streamfx.frames import Frame
from streamfx.sink.camera import open_camera
from streamfx.sink.platform_camera import PlatformCamera

FPS = 30.0


class Backend:
    """What pyvirtualcam calls; faults are set on the class."""

    opening_fails: Exception | None = None
    sending_fails: Exception | None = None
    closing_fails: Exception | None = None

    def __init__(self, *, width, height, fps, fourcc, device):
        if self.opening_fails:
            raise self.opening_fails
        self.sent: list[np.ndarray] = []
        self._device = device

    def device(self):
        return self._device or "OBS Virtual Camera"

    def native_fourcc(self):
        return None

    def send(self, frame):
        if self.sending_fails:
            raise self.sending_fails
        self.sent.append(frame.copy())

    def close(self):
        if self.closing_fails:
            raise self.closing_fails


@pytest.fixture
def backend(monkeypatch):
    """A backend class of its own, registered as "test"."""
    pyvirtualcam = pytest.importorskip("pyvirtualcam")
    monkeypatch.setattr(pyvirtualcam.camera, "BACKENDS", {})
    faults = type("Faults", (Backend,), {})
    pyvirtualcam.camera.BACKENDS["test"] = faults
    return faults


def test_pictures_reach_the_backend(backend):
    camera = PlatformCamera(SIZE, FPS)
    camera.publish(rendered((200, 20, 30)))
    assert camera._camera._backend.sent[0].reshape(-1, 3)[5].tolist() == [200, 20, 30]
    assert (camera.name, camera.readers()) == ("OBS Virtual Camera", None)
    with pytest.raises(TypeError):
        camera.publish(Frame(rendered().rgb, captured_ns=0, seq=0))
    camera.close()
    camera.close()
    with pytest.raises(CameraLost, match="was closed"):
        camera.publish(rendered())


@pytest.mark.parametrize(
    ("told", "cause", "remedy"),
    [
        (
            "OBS Virtual Camera device not found! Did you install OBS?",
            "No virtual camera is",
            "obsproject.com",
        ),
        ("No camera registered. Did you install any camera?", "No virtual camera is", "obsproject.com"),
        ("virtual camera output could not be started", "is in use", "Stop the virtual camera in OBS"),
        ("unsupported size", "cannot be opened", "OBS"),
    ],
)
@pytest.mark.parametrize("platform", ["win32", "darwin"])
def test_why_the_platforms_camera_cannot_be_opened(backend, monkeypatch, platform, told, cause, remedy):
    monkeypatch.setattr(sys, "platform", platform)
    backend.opening_fails = RuntimeError(told)
    with pytest.raises(CameraUnavailable) as caught:
        open_camera("auto", SIZE, FPS)
    assert cause in caught.value.cause
    assert told in caught.value.cause
    assert remedy in caught.value.remedy


def test_a_named_platform_camera_is_asked_for(backend, monkeypatch):
    monkeypatch.setattr(sys, "platform", "win32")
    camera = open_camera("Unity Video Capture", SIZE, FPS)
    assert camera.device == "Unity Video Capture"
    camera.close()


def test_a_platform_camera_that_fails_is_lost(backend):
    camera = PlatformCamera(SIZE, FPS)
    backend.sending_fails = RuntimeError("shared memory is gone")
    with pytest.raises(CameraLost, match="shared memory is gone"):
        camera.publish(rendered())
    camera.close()


def test_an_absent_library_is_told(monkeypatch):
    monkeypatch.setitem(sys.modules, "pyvirtualcam", None)
    with pytest.raises(CameraUnavailable, match="pyvirtualcam is not installed"):
        PlatformCamera(SIZE, FPS)
