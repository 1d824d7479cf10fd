"""What people are told where there is no virtual camera to be had: by the sink, and by doctor."""

from __future__ import annotations

import os
import pwd
import subprocess
from pathlib import Path
from typing import Any

from probes import as_user, refused
from stage import DEVICE, FPS, SIZE, Reader, Sender, load, unload

from streamfx.checks import State
from streamfx.doctor import camera as doctor_camera
from streamfx.sink.camera import open_camera
from streamfx.sink.loopback import find_loopbacks
from streamfx.sink.loopback_camera import open_device

Figures = dict[str, Any]
WIDER = (1280, 720)


def held_by_another_producer() -> Figures:
    """It is named, to the sink and by doctor."""
    with Sender(program="obs") as other:
        other.wait_for(2)
        error = refused(lambda: open_device(DEVICE, SIZE, FPS))
        assert f"in use by obs (process {other.pid})" in error.cause, error
        row = doctor_camera.check_holders(find_loopbacks()[0])
        assert row.state is State.WARN, row
        assert f"obs (process {other.pid})" in row.finding, row
        other.wait_for(5)
    return {"says": str(error)}


def held_at_another_size() -> Figures:
    """A reader that stays on keeps the size; sink and doctor name both."""
    with Reader(patient=True, program="zoom") as reader:
        with Sender() as sender:
            sender.wait_for(2)
            reader.wait_for(2)
        error = refused(lambda: open_device(DEVICE, WIDER, FPS))
        assert f"held at 640x480 px by zoom (process {reader.pid})" in error.cause, error
        row = doctor_camera.check_size(find_loopbacks()[0], WIDER)
        assert (row.state, row.finding) == (State.FAIL, error.cause), row
        open_device(DEVICE, SIZE, FPS).close()  # its own size it may have
    open_device(DEVICE, WIDER, FPS).close()
    return {"says": str(error)}


def without_exclusive_caps() -> Figures:
    """The device is refused: browsers would not list it."""
    load("exclusive_caps=0")
    error = refused(lambda: open_device(DEVICE, SIZE, FPS))
    assert "exclusive_caps=0" in error.cause, error
    assert "exclusive_caps=1" in error.remedy, error
    row = doctor_camera.check_exclusive(find_loopbacks()[0])
    assert row.state is State.FAIL, row
    return {"says": str(error)}


def without_the_group() -> Figures:
    """Somebody else's device: the remedy names the group; with it the device opens."""
    video = int(subprocess.check_output(["getent", "group", "video"], text=True).split(":")[2])
    os.chown(DEVICE, 0, video)
    Path(DEVICE).chmod(0o660)
    nobody = pwd.getpwnam("nobody").pw_uid
    said = {groups: as_user(nobody, groups) for groups in ((), (video,))}
    assert "group video" in said[()], said
    assert said[(video,)] == "", said
    return {"says": said[()]}


def without_the_module() -> Figures:
    """The command that loads it is told."""
    unload()
    error = refused(lambda: open_camera("auto", SIZE, FPS))
    load()
    assert error.cause == "No virtual camera: there is neither v4l2loopback nor PipeWire", error
    assert "modprobe v4l2loopback video_nr=10 exclusive_caps=1 card_label=streamfx" in error.remedy, error
    camera = open_camera("auto", SIZE, FPS)
    assert (camera.name, camera.device) == ("streamfx", DEVICE)
    camera.close()
    return {"says": str(error)}


def doctor_is_content() -> Figures:
    """Every check of a device in order, idle and while we write to it."""
    idle = doctor_camera.examine_camera(SIZE)
    with Sender(program="streamfx") as sender:
        sender.wait_for(2)
        busy = doctor_camera.examine_camera(SIZE)
    assert {row.state for row in idle + busy} == {State.OK}, idle + busy
    return {"says": [row.finding for row in busy]}


TOLD = (
    held_by_another_producer,
    held_at_another_size,
    without_exclusive_caps,
    without_the_group,
    without_the_module,
    doctor_is_content,
)
