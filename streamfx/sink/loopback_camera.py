"""The portrait on a v4l2loopback device, which every call program on Linux can read."""

from __future__ import annotations

import errno
import os
import time
from contextlib import ExitStack, closing, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import cv2
import numpy as np

from streamfx.errors import CameraLost, CameraUnavailable
from streamfx.frames import F32, U8, Rendered
from streamfx.sink import loopback
from streamfx.sink.camera import VirtualCamera, pixels_of
from streamfx.sink.loopback import HERE, Loopback, Roots, named
from streamfx.sink.v4l2 import Node, OpenNode, heal

SILENCE_S: Final = 1.0
"""A producer that wrote nothing for so long is gone, though a reader keeps its place."""
RECOUNT_S: Final = 5.0
"""How often readers are counted anew while the kernel's own count does not change."""
MOST_BUFFERS: Final = 32
"""Pictures that the module keeps, at most."""
_REOPEN: Final = "Open it again; if that fails, streamfx doctor says why"


@dataclass(frozen=True, slots=True)
class _Count:
    """How many read, as of when."""

    openings: int | None
    readers: int | None
    at_s: float


class LoopbackCamera(VirtualCamera):
    """Writes to one device from opening to closing.

    Args:
        found: the device.
        size: width and height in px, both even.
        fps: pictures per second.
        roots: where to look for readers.
        open_node: opens the device.

    Raises:
        CameraUnavailable: no permission, in use, made without exclusive_caps, stuck, or held at another size.
    """

    def __init__(
        self,
        found: Loopback,
        size: tuple[int, int],
        fps: float,
        roots: Roots = HERE,
        open_node: OpenNode = Node,
    ) -> None:
        self.device = str(found.device)
        self._found, self._size, self._roots, self._open_node = found, size, roots, open_node
        self._node: Node | None = _open_for_writing(found, size, fps, roots, open_node)
        self.name = self._node.capabilities().card
        self._i420 = I420(size)
        self._look_every = max(1, round(fps))
        self._calls = 0
        self._refused = 0
        self._count = _Count(None, None, -RECOUNT_S)

    def publish(self, picture: Rendered) -> None:
        pixels = pixels_of(picture, self._size)
        if self._node is None:
            raise CameraLost(f"The virtual camera {self.device} was closed", "Open it again")
        try:
            self._write(self._node, self._i420.convert(pixels))
        except OSError as error:
            raise _lost(self.device, error) from error

    def readers(self) -> int | None:
        openings = loopback.openings(self._roots)
        if openings is not None and openings <= 1:  # ours
            return 0
        now_s = time.monotonic()
        if openings is None or openings != self._count.openings or now_s - self._count.at_s >= RECOUNT_S:
            found, complete = loopback.holders(self._found.device, self._roots)
            self._count = _Count(openings, len(found) if found or complete else None, now_s)
        return self._count.readers

    def close(self) -> None:
        node, self._node = self._node, None
        if node is not None:
            node.close()
            with suppress(OSError):  # gone, or no longer ours to open: nothing to leave in order
                heal(self._found.device, self._open_node)

    def _write(self, node: Node, planes: U8) -> None:
        """The driver may have no room (it never waits); that is a loss only when it lasts for a second."""
        self._calls += 1
        if self._calls % self._look_every == 0:
            self._look(node)
        try:
            taken = node.write(planes)
        except BlockingIOError as error:
            self._refused += 1
            if self._refused >= self._look_every:
                raise CameraLost(f"{self.device} took no picture for a second", _REOPEN) from error
            return
        self._refused = 0
        if taken != planes.nbytes:
            raise CameraLost(f"{self.device} took {taken} of {planes.nbytes} bytes of a picture", _REOPEN)

    def _look(self, node: Node) -> None:
        """A write does not notice that the device's name or format is another's by now."""
        if self._found.device.stat().st_rdev != node.number():
            raise CameraLost(f"{self.device} is another device now", _REOPEN)
        size = node.size()
        if size != self._size:
            raise CameraLost(f"Another program changed the format of {self.device} to {_told(size)}", _REOPEN)


def open_device(
    spec: str, size: tuple[int, int], fps: float, roots: Roots = HERE, open_node: OpenNode = Node
) -> LoopbackCamera:
    """Open the v4l2loopback device at a path such as /dev/video10, or at a link to one.

    Raises:
        CameraUnavailable: none, or it cannot be written to; the error names what to do.
    """
    device = Path(os.path.realpath(spec))
    found = loopback.loopback_at(device, roots)
    if found is None:
        raise _no_loopback(device, roots)
    return LoopbackCamera(found, size, fps, roots, open_node)


def _open_for_writing(
    found: Loopback, size: tuple[int, int], fps: float, roots: Roots, open_node: OpenNode
) -> Node:
    """The device, ours, at the size."""
    try:
        with closing(_open(found, roots, open_node)) as node:
            if _is_left_behind(node, found):
                node.start()
        with ExitStack() as undo:
            node = undo.enter_context(closing(_open(found, roots, open_node)))
            _check_free(node, found, roots)
            _set_up(node, found, size, fps, roots)
            undo.pop_all()
    except OSError as error:
        cause = f"{found.device} cannot be set up: {error.strerror}"
        raise CameraUnavailable(cause, loopback.RELOAD) from error
    return node


def _open(found: Loopback, roots: Roots, open_node: OpenNode) -> Node:
    try:
        return open_node(found.device)
    except PermissionError as error:
        cause = f"{found.device} may not be opened by this user: not in group video"
        raise CameraUnavailable(cause, loopback.JOIN) from error
    except OSError as error:
        if error.errno == errno.EBUSY:
            raise _in_use(found, roots) from error
        cause = f"{found.device} cannot be opened: {error.strerror}"
        raise CameraUnavailable(cause, loopback.RELOAD) from error


def _is_left_behind(node: Node, found: Loopback) -> bool:
    """Whether 0.12 takes a producer that is gone for one that runs.

    Without readers the device then offers nothing; with one it looks as if in use, but no picture comes.
    """
    offered = node.capabilities()
    if offered.output:
        return False
    if not offered.capture:
        return True
    return not os.path.exists(found.node / "state") and _is_silent(
        node
    )  # later releases tell the state, and truly


def _is_silent(node: Node) -> bool:
    """Whether no producer writes, by waiting for a picture."""
    for _ in range(MOST_BUFFERS):  # what the last producer left
        if not node.has_picture():
            break
    until_s = time.monotonic() + SILENCE_S
    while time.monotonic() < until_s:
        time.sleep(0.02)
        if node.has_picture():
            return False
    return True


def _check_free(node: Node, found: Loopback, roots: Roots) -> None:
    """Raises CameraUnavailable unless the device waits for a producer, and was made for browsers.

    An exclusive device offers output alone; both while a reader stays on from an earlier producer (0.12).
    """
    offered = node.capabilities()
    if not offered.output:
        raise _in_use(found, roots)
    exclusive = loopback.is_exclusive(found, roots)
    if exclusive is None:
        readers, complete = loopback.holders(found.device, roots)
        exclusive = not (offered.capture and complete and not readers)
    if not exclusive:
        cause = f"{found.device} was made with exclusive_caps=0: browsers do not list it as a camera"
        raise CameraUnavailable(cause, loopback.RELOAD)


def _set_up(node: Node, found: Loopback, size: tuple[int, int], fps: float, roots: Roots) -> None:
    try:
        given = node.ask_size(size)
    except OSError as error:
        if error.errno != errno.EBUSY:
            raise
        given = loopback.held_size(found)
        if given in (None, size):
            raise _in_use(found, roots) from error
    if given != size or node.size() != size:
        raise _held_at(found, given, roots)
    with suppress(OSError):  # a hint to readers only
        node.ask_rate(fps)
    node.start()


def _in_use(found: Loopback, roots: Roots) -> CameraUnavailable:
    who = named(loopback.holders(found.device, roots)[0])
    return CameraUnavailable(
        f"{found.device} is in use by {who}", "Close that program, or name another device"
    )


def _held_at(found: Loopback, given: tuple[int, int] | None, roots: Roots) -> CameraUnavailable:
    who = named(loopback.holders(found.device, roots)[0])
    cause = f"{found.device} is held at {_told(given)} by {who}"
    return CameraUnavailable(cause, "Close that program (or stop its camera), or use that size")


def _no_loopback(device: Path, roots: Roots) -> CameraUnavailable:
    others = ", ".join(str(one.device) for one in loopback.find_loopbacks(roots))
    if os.path.exists(roots.sys / "class/video4linux" / device.name):
        cause = f"{device} is a real camera or capture card, not a virtual camera"
    else:
        cause = f"There is no device {device}"
    if others:
        return CameraUnavailable(cause, f"Virtual cameras here: {others}")
    return CameraUnavailable(cause, loopback.none_found(roots).remedy)


def _lost(device: str, error: OSError) -> CameraLost:
    """Why a write failed, by the system's error number."""
    if error.errno in (errno.ENODEV, errno.ENXIO, errno.ENOENT):
        return CameraLost(f"The virtual camera {device} is gone", loopback.LOAD)
    if error.errno == errno.EBUSY:
        return CameraLost(f"Another program writes to {device}", "Close it, then open the camera again")
    return CameraLost(f"{device} refuses pictures: {error.strerror}", _REOPEN)


def _told(size: tuple[int, int] | None) -> str:
    return "{}x{} px".format(*size) if size else "another pixel format"


BLUE: Final[F32] = np.array([[-37.797 / 255, -74.203 / 255, 112 / 255, 128]], np.float32)
RED: Final[F32] = np.array([[112 / 255, -93.786 / 255, -18.214 / 255, 128]], np.float32)
"""Rows of BT.601 for Cb and Cr in limited range (16 to 240): weights of R, G, B, then the offset."""


class I420:
    """Converts pictures of one size into one buffer, which the next conversion overwrites.

    OpenCV's own conversion takes the colour of every fourth pixel, which frays coloured edges such as lips;
    here the colour is the mean of the four. 0.3 ms at 640x480 on one core.
    """

    def __init__(self, size: tuple[int, int]) -> None:
        width, height = size
        self._planes: U8 = np.empty((height * 3 // 2, width), np.uint8)
        halved = (height // 2, width // 2)
        self._half: U8 = np.empty((*halved, 3), np.uint8)
        colours = self._planes.reshape(-1)[width * height :].reshape(2, *halved)
        self._blue, self._red = colours[0], colours[1]

    def convert(self, rgb: U8) -> U8:
        """The planes Y, U, V, one after the other.

        Args:
            rgb: u8 [H,W,3], both even and of the size that was given.

        Returns:
            u8 [H*3/2,W], valid until the next call.
        """
        height, width = self._half.shape[:2]
        cv2.cvtColor(rgb, cv2.COLOR_RGB2YUV_I420, self._planes)
        cv2.resize(rgb, (width, height), self._half, interpolation=cv2.INTER_AREA)
        cv2.transform(self._half, BLUE, self._blue)
        cv2.transform(self._half, RED, self._red)
        return self._planes
