"""Doctor's checks of the virtual camera: every fault is planted, found and explained in one line."""

from __future__ import annotations

import errno
import sys

import pytest
from planted_camera import plant, plant_holder

from streamfx.checks import Check, State
from streamfx.doctor import camera as doctor_camera
from streamfx.doctor.camera import (
    SECURE_BOOT,
    Device,
    check_exclusive,
    check_holders,
    check_module,
    check_permission,
    check_secure_boot,
    check_size,
    check_stuck,
    examine_camera,
    module_signer,
)
from streamfx.sink.loopback import find_loopbacks

SIZE = (640, 480)
IDLE, PRODUCING, LEFT_OPEN, STUCK = (False, True), (True, False), (True, True), (False, False)
"""What a device offers, of capture and output."""


class Planted(Device):
    """Devices that answer as told."""

    def __init__(self, offered=IDLE, *, permitted=True, curable=True, fails=False) -> None:
        self.offered, self.may_open, self.curable, self.fails = offered, permitted, curable, fails

    def permitted(self, device):
        return self.may_open

    def offer(self, device):
        if self.fails:
            raise OSError(errno.ENODEV, "No such device")
        return self.offered

    def heal(self, device):
        if not self.curable:
            raise OSError(errno.EIO, "Input/output error")
        self.offered = IDLE


def only(roots):
    (found,) = find_loopbacks(roots)
    return found


def explains(check: Check, state: State, finding: str, remedy: str = "") -> None:
    assert check.state is state, check
    assert finding in check.finding
    assert remedy in check.remedy
    assert "\n" not in check.finding
    assert all(line.strip() and line.isprintable() for line in check.remedy.splitlines())
    assert bool(check.remedy) == (state is not State.OK), check


@pytest.mark.parametrize(
    ("loaded", "installed", "finding", "remedy"),
    [
        (False, False, "not installed", "apt install v4l2loopback-dkms"),
        (False, True, "not loaded", "sudo modprobe v4l2loopback"),
        (True, True, "has no device", "modprobe -r v4l2loopback"),
    ],
)
def test_a_missing_module(tmp_path, loaded, installed, finding, remedy):
    roots = plant(tmp_path, [], loaded=loaded, installed=installed)
    explains(check_module(roots), State.WARN, finding, remedy)


def test_a_module_with_devices(tmp_path):
    roots = plant(tmp_path, [(2, "OBS"), (10, "streamfx")])
    explains(
        check_module(roots), State.OK, f"{roots.dev / 'video10'} (streamfx), {roots.dev / 'video2'} (OBS)"
    )


@pytest.mark.parametrize(
    ("flag", "signer", "state", "finding"),
    [
        (b"\1", "", State.FAIL, "the kernel refuses it"),
        (b"\1", "DKMS module signing key", State.OK, "DKMS module signing key signed"),
        (b"\0", "", State.OK, "Secure Boot is off"),
        (None, "", State.OK, "Secure Boot is off"),
    ],
)
def test_secure_boot(tmp_path, flag, signer, state, finding):
    roots = plant(tmp_path, [], loaded=False)
    if flag is not None:
        (roots.sys / SECURE_BOOT).parent.mkdir(parents=True)
        (roots.sys / SECURE_BOOT).write_bytes(b"\6\0\0\0" + flag)
    explains(
        check_secure_boot(roots, lambda: signer), state, finding, "mokutil" if state is State.FAIL else ""
    )


def test_an_unknown_signer_is_nobody(monkeypatch):
    monkeypatch.setattr(doctor_camera.shutil, "which", lambda *_, **__: None)
    assert module_signer() == ""


def test_no_permission(tmp_path):
    found = only(plant(tmp_path))
    explains(
        check_permission(found, Planted(permitted=False)),
        State.FAIL,
        "not in group video",
        "usermod -aG video",
    )
    explains(check_permission(found), State.OK, "may be opened")
    found.device.unlink()
    explains(check_permission(found), State.FAIL, "is missing", "udev")


@pytest.mark.parametrize(("flag", "state"), [("Y", State.OK), ("N", State.FAIL)])
def test_exclusive_caps(tmp_path, flag, state):
    roots = plant(tmp_path, exclusive=flag)
    finding = "exclusive_caps=1" if flag == "Y" else "exclusive_caps=0"
    explains(check_exclusive(only(roots), roots, Planted()), state, finding)


def test_exclusive_caps_of_a_device_that_was_made_later(tmp_path):
    roots = plant(tmp_path)
    (roots.sys / "module/v4l2loopback/parameters/video_nr").write_text("-1,-1\n")
    found = only(roots)
    explains(check_exclusive(found, roots, Planted(IDLE)), State.OK, "exclusive_caps=1")
    explains(check_exclusive(found, roots, Planted(LEFT_OPEN)), State.FAIL, "exclusive_caps=0")
    plant_holder(roots, "video10", 4711, "chrome")
    explains(check_exclusive(found, roots, Planted(LEFT_OPEN)), State.OK, "exclusive_caps=1")


def test_a_stuck_device_is_found_and_healed(tmp_path):
    found, device = only(plant(tmp_path)), Planted(STUCK)
    explains(check_stuck(found, device), State.FAIL, "is stuck", "streamfx doctor --fix")
    assert device.offered == STUCK, "nothing is mended unasked"
    explains(check_stuck(found, device, fix=True), State.OK, "was stuck and is free again")
    explains(check_stuck(found, device), State.OK, "takes producers")


def test_a_device_that_cannot_be_healed_is_reloaded(tmp_path):
    found = only(plant(tmp_path))
    device = Planted(STUCK, curable=False)
    explains(check_stuck(found, device, fix=True), State.FAIL, "Input/output error", "modprobe -r")
    explains(check_stuck(found, Planted(fails=True)), State.FAIL, "cannot be opened", "modprobe -r")
    device.heal = lambda _: None
    explains(check_stuck(found, device, fix=True), State.FAIL, "is stuck", "modprobe -r")


def test_another_producer_is_named(tmp_path):
    roots = plant(tmp_path)
    found = only(roots)
    explains(check_holders(found, roots, Planted(IDLE)), State.OK, "is free")
    plant_holder(roots, "video10", 4711, "obs")
    explains(
        check_holders(found, roots, Planted(PRODUCING)), State.WARN, "in use by obs (process 4711)", "Close"
    )
    explains(check_holders(found, roots, Planted(LEFT_OPEN)), State.OK, "read by obs (process 4711)")


def test_our_own_daemon_is_no_fault(tmp_path):
    roots = plant(tmp_path)
    plant_holder(roots, "video10", 4711, "python3.11", ["/usr/bin/streamfx", "serve"])
    finding = "in use by streamfx (process 4711)"
    explains(check_holders(only(roots), roots, Planted(PRODUCING)), State.OK, finding)


def test_another_size_held_by_a_reader_is_named(tmp_path):
    roots = plant(tmp_path, held="YU12:1280x720@30")
    plant_holder(roots, "video10", 4711, "zoom")
    finding = "is held at 1280x720 px by zoom (process 4711)"
    explains(check_size(only(roots), SIZE, roots), State.FAIL, finding, "with that size")
    explains(check_size(only(roots), (1280, 720), roots), State.OK, "takes 1280x720 px")


def test_a_size_that_nobody_holds_is_no_fault(tmp_path):
    roots = plant(tmp_path, held="YU12:1280x720@30")
    explains(check_size(only(roots), SIZE, roots), State.OK, "takes 640x480 px")


linux = pytest.mark.skipif(sys.platform != "linux", reason="v4l2loopback is Linux's")


@linux
def test_all_checks_of_a_healthy_device(tmp_path):
    rows = examine_camera(SIZE, roots=plant(tmp_path), device=Planted())
    assert [row.name for row in rows] == ["module", "group", "exclusive", "stuck", "in use", "size"]
    assert {row.state for row in rows} == {State.OK}


@linux
def test_only_what_applies_is_checked(tmp_path):
    missing = examine_camera(roots=plant(tmp_path / "a", [], loaded=False, installed=False))
    assert [row.name for row in missing] == ["module"]
    unloaded = examine_camera(roots=plant(tmp_path / "b", [], loaded=False))
    assert [row.name for row in unloaded] == ["module", "signature"]
    barred = examine_camera(SIZE, roots=plant(tmp_path / "c"), device=Planted(permitted=False))
    assert [(row.name, row.state) for row in barred] == [("module", State.OK), ("group", State.FAIL)]


@linux
def test_all_checks_mend_what_they_can(tmp_path):
    device = Planted(STUCK)
    states = {row.name: row.state for row in examine_camera(roots=plant(tmp_path), device=device)}
    assert states["stuck"] is State.FAIL
    rows = examine_camera(roots=plant(tmp_path / "again"), device=device, fix=True)
    assert {row.state for row in rows} == {State.OK}


@linux
def test_a_file_that_is_no_video_device_cannot_be_opened(tmp_path):
    """The real door to V4L2, at a planted file."""
    explains(check_stuck(only(plant(tmp_path))), State.FAIL, "cannot be opened", "modprobe")


def test_elsewhere_the_library_is_looked_for(monkeypatch):
    monkeypatch.setattr(sys, "platform", "win32")
    monkeypatch.setattr(doctor_camera, "find_spec", lambda name: None)
    (row,) = examine_camera()
    explains(row, State.FAIL, "pyvirtualcam is not installed", "pip install pyvirtualcam")
    monkeypatch.setattr(doctor_camera, "find_spec", lambda name: object())
    (row,) = examine_camera()
    explains(row, State.OK, "pyvirtualcam is installed")
