"""The checks of `streamfx doctor` for the virtual camera: each finds one fault and says what mends it.

They read the kernel's files (`Roots`); some ask a device what it offers, which disturbs nobody.
"""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Final

from streamfx.checks import Check, State
from streamfx.ipc.spawn import NOWHERE, run
from streamfx.sink import loopback
from streamfx.sink.loopback import HERE, Loopback, Roots, named

SECURE_BOOT: Final = "firmware/efi/efivars/SecureBoot-8be4df61-93ca-11d2-aa0d-00e098032b8c"
_ENROL: Final = (
    "Let the machine trust the key that signs such modules: sudo mokutil --import /var/lib/dkms/mok.pub "
    "(Ubuntu: /var/lib/shim-signed/mok/MOK.der), restart and choose Enroll MOK, then install "
    f"{loopback.MODULE}-dkms again"
)
_ELSEWHERE: Final = "Close that program, or name another device"


class Device:
    """What the checks ask of the devices themselves; tests put another here. All raise OSError."""

    def permitted(self, device: Path) -> bool:
        """Whether this user may open it."""
        return os.access(device, os.R_OK | os.W_OK)

    def offer(self, device: Path) -> tuple[bool, bool]:
        """Whether it offers capture, and output, at the moment."""
        if sys.platform != "linux":
            raise OSError("V4L2 is Linux's")
        from streamfx.sink.v4l2 import capabilities

        offered = capabilities(device)
        return offered.capture, offered.output

    def heal(self, device: Path) -> None:
        """Free a stuck one."""
        if sys.platform != "linux":
            raise OSError("V4L2 is Linux's")
        from streamfx.sink.v4l2 import heal

        heal(device)


REAL: Final = Device()


def module_signer() -> str:
    """Who signed the module of the running kernel; "" if nobody did, or nobody knows."""
    folders = [*os.get_exec_path(), "/sbin", "/usr/sbin"]
    modinfo = shutil.which("modinfo", path=os.pathsep.join(filter(os.path.isabs, folders)))
    if modinfo is None:
        return ""
    try:
        _, said, _ = run([modinfo, "-F", "signer", loopback.MODULE], limit_s=10, stderr=NOWHERE)
    except OSError:
        return ""
    return said.decode("utf-8", "replace").strip()


def examine_camera(
    size: tuple[int, int] | None = None, *, fix: bool = False, roots: Roots = HERE, device: Device = REAL
) -> list[Check]:
    """The checks that apply here, in the order in which a person should mend things.

    Args:
        size: the output's width and height, px; None leaves out whether a reader holds another.
        fix: mend what needs no root.
        roots: where the kernel tells things.
        device: asks the devices.
    """
    if sys.platform != "linux":
        return [check_platform()]
    rows = [check_module(roots)]
    if not loopback.is_loaded(roots) and loopback.is_installed(roots):
        rows.append(check_secure_boot(roots))
    for found in loopback.find_loopbacks(roots):
        permission = check_permission(found, device)
        rows.append(permission)
        if permission.state is State.OK:
            rows.append(check_exclusive(found, roots, device))
            rows.append(check_stuck(found, device, fix=fix))
            rows.append(check_holders(found, roots, device))
            rows += [check_size(found, size, roots)] if size else []
    return rows


def check_platform() -> Check:
    """Whether the library is there that feeds the virtual cameras of Windows and macOS."""
    if find_spec("pyvirtualcam"):
        return Check("module", State.OK, "pyvirtualcam is installed; it needs OBS's virtual camera")
    return Check("module", State.FAIL, "pyvirtualcam is not installed", "pip install pyvirtualcam")


def check_module(roots: Roots = HERE) -> Check:
    """Whether there is a virtual camera; if not, whether the module is loaded or at least installed."""
    found = loopback.find_loopbacks(roots)
    if found:
        devices = ", ".join(f"{one.device} ({one.label})" for one in found)
        return Check("module", State.OK, f"{loopback.MODULE} has {devices}")
    why = loopback.none_found(roots)  # not fatal: films need none, and PipeWire's camera no module
    return Check("module", State.WARN, why.cause, why.remedy)


def check_secure_boot(roots: Roots = HERE, signer: Callable[[], str] = module_signer) -> Check:
    """Whether Secure Boot will refuse the module for want of a signature."""
    try:
        on = (roots.sys / SECURE_BOOT).read_bytes()[4:] == b"\x01"  # behind four bytes of attributes
    except OSError:
        on = False
    if not on:
        return Check("signature", State.OK, "Secure Boot is off: modules need no signature")
    by = signer()
    if by:
        return Check("signature", State.OK, f"Secure Boot is on, and {by} signed {loopback.MODULE}")
    finding = f"Secure Boot is on, and {loopback.MODULE} is not signed: the kernel refuses it"
    return Check("signature", State.FAIL, finding, _ENROL)


def check_permission(found: Loopback, device: Device = REAL) -> Check:
    """Whether this user may open the device."""
    if not os.path.exists(found.device):
        finding = f"{found.device} is missing, though the kernel has the device"
        return Check("group", State.FAIL, finding, "Start udev, or run outside of the container")
    if not device.permitted(found.device):
        finding = f"{found.device} may not be opened by this user: not in group video"
        return Check("group", State.FAIL, finding, loopback.JOIN)
    return Check("group", State.OK, f"{found.device} may be opened")


def check_exclusive(found: Loopback, roots: Roots = HERE, device: Device = REAL) -> Check:
    """Whether browsers will list the device."""
    exclusive = loopback.is_exclusive(found, roots)
    if exclusive is None:  # made by v4l2loopback-ctl: an idle exclusive device offers output alone
        users, _ = loopback.holders(found.device, roots)
        exclusive = bool(users) or _offer(found, device) != (True, True)
    if exclusive:
        return Check("exclusive", State.OK, f"{found.device} was made with exclusive_caps=1")
    finding = f"{found.device} was made with exclusive_caps=0: browsers do not list it as a camera"
    return Check("exclusive", State.FAIL, finding, loopback.RELOAD)


def check_stuck(found: Loopback, device: Device = REAL, *, fix: bool = False) -> Check:
    """Whether a producer left the device so that no other can open it; mends that if asked."""
    offered = _offer(found, device)
    if offered is None:
        return Check("stuck", State.FAIL, f"{found.device} cannot be opened", loopback.RELOAD)
    if any(offered):
        return Check("stuck", State.OK, f"{found.device} takes producers or readers")
    finding = f"{found.device} is stuck: a program that wrote to it left it unusable"
    if not fix:
        return Check("stuck", State.FAIL, finding, "streamfx doctor --fix")
    try:
        device.heal(found.device)
    except OSError as error:
        return Check("stuck", State.FAIL, f"{finding} ({error})", loopback.RELOAD)
    if any(_offer(found, device) or ()):
        return Check("stuck", State.OK, f"{found.device} was stuck and is free again")
    return Check("stuck", State.FAIL, finding, loopback.RELOAD)


def check_holders(found: Loopback, roots: Roots = HERE, device: Device = REAL) -> Check:
    """Whether another program writes to the device, and which; who reads is told too."""
    users, _ = loopback.holders(found.device, roots)
    if _offer(found, device) == (True, False):  # a producer has taken output
        ours = any(user.program.startswith(loopback.LABEL) for user in users)
        finding = f"{found.device} is in use by {named(users)}"
        return Check("in use", State.OK if ours else State.WARN, finding, "" if ours else _ELSEWHERE)
    if users:
        return Check("in use", State.OK, f"{found.device} is read by {named(users)}")
    return Check("in use", State.OK, f"{found.device} is free")


def check_size(found: Loopback, size: tuple[int, int], roots: Roots = HERE) -> Check:
    """Whether a program holds the device at another size than ours."""
    held = loopback.held_size(found)
    users, complete = loopback.holders(found.device, roots)
    if held is None or held == size or (complete and not users):
        return Check("size", State.OK, "{} takes {}x{} px".format(found.device, *size))
    finding = "{} is held at {}x{} px by {}".format(found.device, *held, named(users))
    remedy = "Close that program (or stop its camera), or run streamfx with that size"
    return Check("size", State.FAIL, finding, remedy)


def _offer(found: Loopback, device: Device) -> tuple[bool, bool] | None:
    """What the device offers; None if it cannot be asked."""
    try:
        return device.offer(found.device)
    except OSError:
        return None
