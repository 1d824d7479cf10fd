"""The few calls of V4L2 that the writer of a virtual camera needs: the only door to them. Linux only.

pyvirtualcam would do but for one thing: it only prints when a write fails. What v4l2loopback needs:

- 0.12 counts as writers only those who asked for STREAMON. A producer that merely wrote leaves a device that
  shows neither capture nor output, and that no producer can open again (v4l2loopback issue 470). So
  `Node.start` is called once the format is set: whatever ends this process, SIGKILL included, the kernel
  frees the device. One that another producer left stuck is cured by asking for STREAMON and closing (`heal`),
  without root.
- Later releases refuse STREAMON to those who write (EINVAL), harmlessly: the first write makes the writer.
"""

from __future__ import annotations

import errno
import fcntl
import os
import struct
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from streamfx.frames import U8

_QUERYCAP: Final = 0x80685600
_G_FMT: Final = 0xC0D05604
_S_FMT: Final = 0xC0D05605
_S_PARM: Final = 0xC0CC5616
_STREAMON: Final = 0x40045612

_OUTPUT: Final = 2  # V4L2_BUF_TYPE_VIDEO_OUTPUT
_YU12: Final = int.from_bytes(b"YU12", "little")
_NO_FIELDS: Final = 1  # progressive
_SRGB: Final = 8  # its primaries; as YUV that means BT.601, limited range
_CAN_CAPTURE, _CAN_OUTPUT = 0x1, 0x2

_CAPABILITY: Final = struct.Struct("16s32s32s3I12x")
_FORMAT: Final = struct.Struct(
    "I4x7I172x"
)  # type; width, height, fourcc, field, bytes a line, bytes, colours
_RATE: Final = struct.Struct("I8x2I184x")  # type; numerator, denominator of the time of one picture
_RATE_UNIT: Final = 1000


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What a device offers at the moment."""

    card: str
    """The name that programs list."""
    capture: bool
    output: bool


class Node:
    """An open V4L2 device. Every method fails as OSError; none waits."""

    def __init__(self, device: Path) -> None:
        self._fd = os.open(device, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)

    def capabilities(self) -> Capabilities:
        """What the device offers now: an exclusive one changes with its producers and readers."""
        _, card, _, _, _, offered = _CAPABILITY.unpack(self._ask(_QUERYCAP, bytes(_CAPABILITY.size)))
        name = card.partition(b"\0")[0].decode("utf-8", "replace")
        return Capabilities(name, bool(offered & _CAN_CAPTURE), bool(offered & _CAN_OUTPUT))

    def size(self) -> tuple[int, int] | None:
        """Width and height of the pictures to write; None if they are not I420."""
        return self._size_of(self._ask(_G_FMT, _FORMAT.pack(_OUTPUT, *[0] * 7)))

    def ask_size(self, size: tuple[int, int]) -> tuple[int, int] | None:
        """Ask for I420 pictures; returns what the driver made of it, as `size` does."""
        width, height = size
        wanted = (width, height, _YU12, _NO_FIELDS, width, width * height * 3 // 2, _SRGB)
        return self._size_of(self._ask(_S_FMT, _FORMAT.pack(_OUTPUT, *wanted)))

    def ask_rate(self, fps: float) -> None:
        """Say how many pictures per second readers may expect."""
        self._ask(_S_PARM, _RATE.pack(_OUTPUT, _RATE_UNIT, round(fps * _RATE_UNIT)))

    def start(self) -> None:
        """Count as the device's writer until closed, where the driver wants to be asked for that."""
        try:
            self._ask(_STREAMON, struct.pack("i", _OUTPUT))
        except OSError as error:
            if error.errno != errno.EINVAL:  # counted all the same (0.12), or not needed (later)
                raise

    def write(self, picture: U8) -> int:
        """Hand over a picture's bytes; returns how many were taken."""
        return os.write(self._fd, picture.data)

    def has_picture(self) -> bool:
        """Whether a producer wrote a picture since the last call (or since opening); takes it."""
        try:
            return bool(os.read(self._fd, 1))
        except BlockingIOError:
            return False

    def number(self) -> int:
        """The device's number in the kernel."""
        return os.fstat(self._fd).st_rdev

    def close(self) -> None:
        """Let go of the device. Call it once."""
        os.close(self._fd)

    def _ask(self, request: int, argument: bytes) -> bytes:
        return fcntl.ioctl(self._fd, request, argument)

    @staticmethod
    def _size_of(answer: bytes) -> tuple[int, int] | None:
        _, width, height, fourcc, *_ = _FORMAT.unpack(answer)
        return (width, height) if fourcc == _YU12 else None


OpenNode = Callable[[Path], Node]
"""`Node`: the seam where tests inject faults."""


def capabilities(device: Path, open_node: OpenNode = Node) -> Capabilities:
    """What a device offers now.

    Raises:
        OSError: it cannot be opened, or is no V4L2 device.
    """
    with closing(open_node(device)) as node:
        return node.capabilities()


def heal(device: Path, open_node: OpenNode = Node) -> bool:
    """Free a device that a producer left stuck. Does nothing to one that is not.

    Returns:
        Whether it was stuck.

    Raises:
        OSError: it cannot be opened, or is no V4L2 device.
    """
    with closing(open_node(device)) as node:
        offered = node.capabilities()
        stuck = not (offered.capture or offered.output)
        if stuck:
            node.start()
    return stuck
