"""The virtual camera without the kernel's module: what it writes, and devices that fail on order.

What the real module does is tested in vcam_vm.
"""

from __future__ import annotations

import errno
import os
from pathlib import Path

import av
import numpy as np
import pytest
from planted_camera import SIZE, FaultyDevice, plant, plant_holder, rendered

from streamfx.errors import CameraLost
from streamfx.frames import Frame
from streamfx.sink import loopback, loopback_camera, v4l2
from streamfx.sink.camera import VirtualCamera
from streamfx.sink.loopback_camera import I420, open_device

FPS = 30.0


@pytest.fixture
def roots(tmp_path):
    return plant(tmp_path)


@pytest.fixture
def device():
    return FaultyDevice()


def opened(roots, device, size=SIZE) -> loopback_camera.LoopbackCamera:
    return open_device(str(roots.dev / "video10"), size, FPS, roots, device)


def publish_for_a_second(camera) -> None:
    for _ in range(round(FPS)):
        camera.publish(rendered())


# -- colours ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [(64, 48), (66, 50), (640, 480)])
def test_colours_survive_the_way_there_and_back(size):
    converter = I420(size)
    for colour in [(0, 0, 0), (255, 255, 255), (200, 20, 20), (20, 200, 20), (20, 20, 200), (196, 150, 130)]:
        planes = converter.convert(rendered(colour, size).rgb)
        frame = av.VideoFrame(size[0], size[1], "yuv420p")
        for plane, part in zip(frame.planes, _planes(planes, size), strict=True):
            padded = np.zeros((plane.height, plane.line_size), np.uint8)
            padded[:, : plane.width] = part
            plane.update(padded.tobytes())
        back = frame.to_ndarray(format="rgb24").astype(int)
        assert abs(back - colour).max() <= 3, colour


def test_the_colour_of_four_pixels_is_their_mean():
    """OpenCV alone would take the colour of one of them."""
    converter = I420((4, 4))
    rgb = np.zeros((4, 4, 3), np.uint8)
    rgb[::2, ::2] = (255, 0, 0)
    alone = _planes(converter.convert(rgb), (4, 4))[2].copy()
    flat = _planes(converter.convert(np.full((4, 4, 3), (64, 0, 0), np.uint8)), (4, 4))[2]
    assert abs(alone.astype(int) - flat).max() <= 1


def _planes(planes, size):
    width, height = size
    flat, luma = planes.reshape(-1), width * height
    colour = flat[luma:].reshape(2, height // 2, width // 2)
    return flat[:luma].reshape(height, width), colour[0], colour[1]


# -- writing ----------------------------------------------------------------------------------------------


def test_pictures_are_written_as_i420(roots, device):
    camera = opened(roots, device)
    camera.publish(rendered())
    camera.close()
    assert isinstance(camera, VirtualCamera)
    assert (camera.name, camera.device) == ("streamfx", str(roots.dev / "video10"))
    assert [picture.nbytes for picture in device.pictures] == [SIZE[0] * SIZE[1] * 3 // 2]


def test_only_finished_pictures_of_the_size_are_taken(roots, device):
    camera = opened(roots, device)
    with pytest.raises(TypeError, match="Rendered pictures only, not Frame"):
        camera.publish(Frame(rendered().rgb, captured_ns=0, seq=0))
    with pytest.raises(TypeError, match="not ndarray"):
        camera.publish(rendered().rgb)
    with pytest.raises(ValueError, match="32x24 px for a camera of 64x48"):
        camera.publish(rendered(size=(32, 24)))
    camera.close()
    assert device.pictures == []


@pytest.mark.parametrize(
    ("number", "says"),
    [
        (errno.ENODEV, "is gone"),
        (errno.EBUSY, "Another program writes to"),
        (errno.EIO, "refuses pictures: Input/output error"),
        (errno.EINVAL, "refuses pictures: Invalid argument"),
    ],
)
def test_a_failed_write_is_a_loss(roots, device, number, says):
    camera = opened(roots, device)
    camera.publish(rendered())
    device.write_fails = OSError(number, os.strerror(number))
    with pytest.raises(CameraLost, match=says) as caught:
        camera.publish(rendered())
    assert caught.value.__cause__ is device.write_fails
    assert caught.value.remedy
    camera.close()
    assert device.nodes_open == 0


def test_a_device_without_room_is_lost_after_a_second(roots, device):
    camera = opened(roots, device)
    device.write_fails = BlockingIOError(errno.EAGAIN, "no room")
    for _ in range(round(FPS) - 1):
        camera.publish(rendered())
    device.write_fails, full = None, device.write_fails
    camera.publish(rendered())  # it had room in time: the count begins anew
    device.write_fails = full
    for _ in range(round(FPS) - 1):
        camera.publish(rendered())
    with pytest.raises(CameraLost, match="took no picture for a second"):
        camera.publish(rendered())
    camera.close()


def test_a_picture_cut_short_is_a_loss(roots, device):
    camera = opened(roots, device)
    device.most_bytes = 100
    with pytest.raises(CameraLost, match="took 100 of 4608 bytes"):
        camera.publish(rendered())
    camera.close()


@pytest.mark.parametrize(
    ("fault", "says"),
    [
        (lambda roots, _: (roots.dev / "video10").unlink(), "is gone"),
        (lambda _, device: setattr(device, "replaced", True), "is another device now"),
        (lambda _, device: setattr(device, "held", (32, 24)), "changed the format of .* to 32x24 px"),
        (lambda _, device: setattr(device, "held", None), "to another pixel format"),
    ],
)
def test_what_a_write_does_not_notice_is_noticed_within_a_second(roots, device, fault, says):
    camera = opened(roots, device)
    for _ in range(round(2 * FPS)):
        camera.publish(rendered())
    fault(roots, device)
    with pytest.raises(CameraLost, match=says):
        publish_for_a_second(camera)
    camera.close()


def test_closing_twice_is_harmless_and_nothing_is_published_after(roots, device):
    camera = opened(roots, device)
    camera.close()
    camera.close()
    assert (device.nodes_open, device.output) == (0, True)
    with pytest.raises(CameraLost, match="was closed"):
        camera.publish(rendered())


def test_closing_heals_a_device_that_was_left_stuck(roots, device):
    camera = opened(roots, device)
    device.output, device.incurable = False, True
    before = device.nodes_opened
    camera._open_node = _curing(device)
    camera.close()
    assert device.nodes_opened == before + 1
    assert device.output


def _curing(device):
    def open_node(path):
        device.incurable = False
        return device(path)

    return open_node


def test_closing_bears_a_device_that_is_gone(roots, device):
    camera = opened(roots, device)
    device.opening_fails = FileNotFoundError(errno.ENOENT, "gone")
    camera.close()
    assert device.nodes_open == 0


# -- the door to V4L2 -------------------------------------------------------------------------------------


def test_requests_carry_the_sizes_of_their_structures():
    layouts = {
        v4l2._QUERYCAP: v4l2._CAPABILITY,
        v4l2._G_FMT: v4l2._FORMAT,
        v4l2._S_FMT: v4l2._FORMAT,
        v4l2._S_PARM: v4l2._RATE,
    }
    assert {request >> 16 & 0x3FFF: layout.size for request, layout in layouts.items()} == {
        104: 104,
        208: 208,
        204: 204,
    }


def test_what_is_no_video_device_says_so():
    null = Path("/dev/null")
    for ask in (v4l2.heal, v4l2.capabilities):
        with pytest.raises(OSError, match="Inappropriate ioctl"):
            ask(null)


# -- readers ----------------------------------------------------------------------------------------------


def test_readers_are_counted_when_the_kernels_count_changes(roots, device, monkeypatch):
    refcnt = roots.sys / "module/v4l2loopback/refcnt"
    camera = opened(roots, device)
    plant_holder(roots, "video10", 4711, "zoom")
    assert camera.readers() == 0  # one opening is ours: nobody looks further
    refcnt.write_text("2\n")
    assert camera.readers() == 1
    plant_holder(roots, "video10", 4712, "chrome")
    assert camera.readers() == 1
    refcnt.write_text("3\n")
    assert camera.readers() == 2
    (roots.proc / "4712/fd/7").unlink()
    monkeypatch.setattr(loopback_camera, "RECOUNT_S", 0.0)
    assert camera.readers() == 1
    refcnt.write_text("1\n")
    assert camera.readers() == 0
    camera.close()


def test_readers_that_cannot_be_seen_are_not_denied(roots, device, monkeypatch):
    def scandir(path):
        raise PermissionError(errno.EACCES, "another user's")

    camera = opened(roots, device)
    (roots.sys / "module/v4l2loopback/refcnt").unlink()
    assert camera.readers() == 0
    monkeypatch.setattr(loopback.os, "scandir", scandir)
    monkeypatch.setattr(loopback_camera, "RECOUNT_S", 0.0)
    assert camera.readers() is None
    camera.close()


def test_processes_that_end_meanwhile_are_no_trouble(roots):
    (roots.proc / "99").mkdir()
    assert loopback.holders(roots.dev / "video10", roots) == ([], True)
    assert loopback.holders(roots.dev / "video10", loopback.Roots(proc=roots.sys / "none")) == ([], False)
