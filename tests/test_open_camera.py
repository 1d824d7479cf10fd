"""Which virtual camera is opened, and why one cannot be: planted machines, devices that fail on order."""

from __future__ import annotations

import errno
import sys
import types
from pathlib import Path

import pytest
from planted_camera import SIZE, FaultyDevice, plant, plant_holder

from streamfx.errors import CameraUnavailable, UsageError
from streamfx.sink import loopback, loopback_camera
from streamfx.sink.camera import VirtualCamera, open_camera
from streamfx.sink.loopback import find_loopbacks
from streamfx.sink.loopback_camera import open_device

FPS = 30.0


@pytest.fixture
def roots(tmp_path):
    return plant(tmp_path)


@pytest.fixture
def device():
    return FaultyDevice()


def opened(roots, device, size=SIZE) -> loopback_camera.LoopbackCamera:
    return open_device(str(roots.dev / "video10"), size, FPS, roots, device)


def refused(roots, device, size=SIZE) -> CameraUnavailable:
    with pytest.raises(CameraUnavailable) as caught:
        opened(roots, device, size)
    assert device.nodes_open == 0
    assert "\n" not in str(caught.value)
    assert caught.value.remedy
    return caught.value


# -- one device -------------------------------------------------------------------------------------------


def test_a_stuck_device_is_healed(roots):
    device = FaultyDevice(output=False)
    opened(roots, device).close()
    assert device.nodes_open == 0


def test_an_incurable_device_is_refused(roots):
    device = FaultyDevice(output=False)
    device.incurable = True
    assert "is in use by" in refused(roots, device).cause


def test_a_producer_that_left_its_reader_behind_is_replaced(roots, monkeypatch):
    monkeypatch.setattr(loopback_camera, "SILENCE_S", 0.05)
    device = FaultyDevice(capture=True, output=False, size=SIZE)
    device.unread = 2  # pictures that it left
    opened(roots, device).close()


def test_a_producer_at_work_is_not_disturbed_and_named(roots):
    plant_holder(roots, "video10", 4711, "obs")
    plant_holder(roots, "video10", 4712, "python3", ["-m", "fakecam.main"])
    plant_holder(roots, "video11", 4713, "innocent")
    device = FaultyDevice(capture=True, output=False)
    device.unread = 1000
    error = refused(roots, device)
    assert "obs (process 4711)" in error.cause
    assert "fakecam.main (process 4712)" in error.cause
    assert "innocent" not in error.cause
    assert not device.output


def test_a_modern_device_tells_its_state_itself(tmp_path):
    roots = plant(tmp_path, modern=True)
    device = FaultyDevice(capture=True, output=False)
    device.has_picture = None  # must not be read: that takes the reader's place
    assert "a program of another user" in refused(roots, device).cause


def test_exclusive_caps_is_needed(tmp_path):
    roots = plant(tmp_path, exclusive="N")
    error = refused(roots, FaultyDevice(capture=True))
    assert "exclusive_caps=0" in error.cause
    assert "exclusive_caps=1 card_label=streamfx" in error.remedy
    assert "/etc/modprobe.d" in error.remedy


def test_exclusive_caps_of_a_device_made_later_is_seen_by_what_it_offers(tmp_path):
    roots = plant(tmp_path)
    (roots.sys / "module/v4l2loopback/parameters/video_nr").write_text("-1,-1\n")
    assert "exclusive_caps=0" in refused(roots, FaultyDevice(capture=True)).cause
    opened(roots, FaultyDevice()).close()
    plant_holder(roots, "video10", 4711, "firefox")  # a reader explains why capture is offered
    opened(roots, FaultyDevice(capture=True)).close()


@pytest.mark.parametrize("modern", [False, True])
def test_a_size_held_by_a_reader_is_named(tmp_path, modern):
    roots = plant(tmp_path, held="YU12:1280x720@30", modern=modern)
    plant_holder(roots, "video10", 4711, "zoom")
    device = FaultyDevice(capture=not modern, size=(1280, 720))
    device.size_fails = OSError(errno.EBUSY, "busy") if modern else None
    error = refused(roots, device)
    assert error.cause == f"{roots.dev / 'video10'} is held at 1280x720 px by zoom (process 4711)"


def test_a_format_that_is_taken_means_a_producer(tmp_path):
    roots = plant(tmp_path, modern=True)
    device = FaultyDevice()
    device.size_fails = OSError(errno.EBUSY, "busy")
    assert "is in use by" in refused(roots, device).cause


@pytest.mark.parametrize(
    ("fault", "cause", "remedy"),
    [
        (PermissionError(errno.EACCES, "denied"), "not in group video", "usermod -aG video"),
        (OSError(errno.EBUSY, "busy"), "is in use by", "Close that program"),
        (OSError(errno.ENODEV, "No such device"), "cannot be opened: No such device", "modprobe"),
    ],
)
def test_why_a_device_cannot_be_opened(roots, device, fault, cause, remedy):
    device.opening_fails = fault
    error = refused(roots, device)
    assert cause in error.cause
    assert remedy in error.remedy


@pytest.mark.parametrize("where", ["asking_fails", "size_fails"])
def test_a_device_that_fails_when_asked_is_let_go(roots, device, where):
    setattr(device, where, OSError(errno.ENOTTY, "Inappropriate ioctl for device"))
    assert "cannot be set up: Inappropriate ioctl" in refused(roots, device).cause


def test_a_real_camera_is_not_written_to(roots, device):
    (roots.sys / "class/video4linux/video0").mkdir()
    with pytest.raises(CameraUnavailable, match="is a real camera or capture card") as caught:
        open_device(str(roots.dev / "video0"), SIZE, FPS, roots, device)
    assert str(roots.dev / "video10") in caught.value.remedy
    with pytest.raises(CameraUnavailable, match="There is no device"):
        open_device(str(roots.dev / "video7"), SIZE, FPS, roots, device)
    assert device.nodes_opened == 0


# -- choosing ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [(641, 480), (640, 479), (0, 0), (-2, 4)])
def test_odd_sizes_are_refused(size):
    with pytest.raises(UsageError, match="both must be even"):
        open_camera("auto", size, FPS)


@pytest.mark.parametrize("fps", [0, -1, 1000, float("nan")])
def test_senseless_rates_are_refused(fps):
    with pytest.raises(UsageError, match="pictures per second"):
        open_camera("auto", SIZE, fps)


@pytest.mark.skipif(sys.platform != "linux", reason="names of devices go to pyvirtualcam elsewhere")
def test_unknown_cameras_are_refused():
    with pytest.raises(UsageError, match="no virtual camera 'obs'"):
        open_camera("obs", SIZE, FPS)


def test_ours_comes_first(tmp_path):
    roots = plant(tmp_path, [(2, "OBS"), (9, "Other"), (10, "Another"), (11, "streamfx")])
    found = [one.device.name for one in loopback.find_loopbacks(roots)]
    assert found == ["video11", "video2", "video9", "video10"]


@pytest.mark.parametrize(
    ("loaded", "installed", "cause", "remedy"),
    [
        (True, True, "has no device", "modprobe -r v4l2loopback"),
        (False, True, "is not loaded", "sudo modprobe v4l2loopback video_nr=10 exclusive_caps=1"),
        (False, False, "is not installed", "apt install v4l2loopback-dkms"),
    ],
)
def test_why_there_is_no_virtual_camera(tmp_path, loaded, installed, cause, remedy):
    error = loopback.none_found(plant(tmp_path, [], loaded=loaded, installed=installed))
    assert cause in error.cause
    assert remedy in error.remedy
    assert "/etc/modules-load.d" in error.remedy


class Choice:
    """Planted devices, and a PipeWire that is there or not."""

    def __init__(self, monkeypatch, roots, pipewire: VirtualCamera | None) -> None:
        self.asked: list[str] = []
        self._pipewire = pipewire
        module = types.ModuleType("streamfx.sink.pipewire")
        module.PipeWireCamera = self._open_pipewire
        monkeypatch.setitem(sys.modules, module.__name__, module)
        found = find_loopbacks(roots)
        monkeypatch.setattr(loopback, "find_loopbacks", lambda: found)
        monkeypatch.setattr(loopback_camera, "open_device", self._open_device)

    def _open_device(self, spec, size, fps):
        self.asked.append(spec)
        raise CameraUnavailable(f"{spec} is in use", "Close it")

    def _open_pipewire(self, size, fps):
        self.asked.append("pipewire")
        if self._pipewire is None:
            raise CameraUnavailable("PipeWire does not run", "Start it")
        return self._pipewire


class Silent(VirtualCamera):
    name = device = "pipewire"

    def publish(self, picture):
        pass

    def readers(self):
        return None

    def close(self):
        pass


linux = pytest.mark.skipif(sys.platform != "linux", reason="v4l2loopback and PipeWire are Linux's")


@linux
def test_pipewire_is_next_when_no_device_can_be_used(tmp_path, monkeypatch):
    pipewire = Silent()
    choice = Choice(monkeypatch, plant(tmp_path, [(2, "OBS"), (10, "streamfx")]), pipewire)
    assert open_camera("auto", SIZE, FPS) is pipewire
    assert [Path(one).name for one in choice.asked] == ["video10", "video2", "pipewire"]


@linux
def test_of_several_causes_the_likeliest_is_told(tmp_path, monkeypatch):
    Choice(monkeypatch, plant(tmp_path / "some", [(2, "OBS"), (10, "streamfx")]), None)
    with pytest.raises(CameraUnavailable, match="video10 is in use"):
        open_camera("auto", SIZE, FPS)
    Choice(monkeypatch, plant(tmp_path / "none", [], loaded=False), None)
    with pytest.raises(CameraUnavailable, match="No virtual camera"):
        open_camera("auto", SIZE, FPS)


@linux
def test_a_named_camera_is_the_only_one_tried(tmp_path, monkeypatch):
    pipewire = Silent()
    choice = Choice(monkeypatch, plant(tmp_path), pipewire)
    with pytest.raises(CameraUnavailable, match="/dev/video9 is in use"):
        open_camera("/dev/video9", SIZE, FPS)
    assert open_camera("pipewire", SIZE, FPS) is pipewire
    assert choice.asked == ["/dev/video9", "pipewire"]


@linux
def test_without_pipewires_camera_the_remedy_is_the_module(monkeypatch):
    monkeypatch.setitem(sys.modules, "streamfx.sink.pipewire", None)
    with pytest.raises(CameraUnavailable, match="no PipeWire camera"):
        open_camera("pipewire", SIZE, FPS)
