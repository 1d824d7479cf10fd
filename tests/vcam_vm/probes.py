"""What the scenarios measure and provoke."""

from __future__ import annotations

import fcntl
import os
import struct
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pattern
from stage import DEVICE, FPS, SIZE, Reader, wait_until

from streamfx.errors import CameraLost, CameraUnavailable
from streamfx.sink import v4l2
from streamfx.sink.loopback import find_loopbacks
from streamfx.sink.loopback_camera import LoopbackCamera, open_device


def rate(times_s: np.ndarray) -> float:
    """Pictures per second."""
    return float((len(times_s) - 1) / (times_s[-1] - times_s[0]))


def gap_before(reader: Reader, first: int, last: int = 65535) -> float:
    """Seconds for which the reader saw nothing before pictures of the numbers first..last; waits for them."""

    def found() -> bool:
        numbers = reader.log.pictures()[1]
        return int(((numbers >= first) & (numbers <= last)).sum()) > 3

    wait_until(lambda: found() or not reader.alive, f"the reader sees picture {first}")
    assert reader.alive, "the reader ended"
    times, numbers = reader.log.pictures()
    at = int(np.argmax((numbers >= first) & (numbers <= last)))
    return round(float(times[at] - times[at - 1]), 2) if at else 0.0


def write_and_leave(until: Callable[[], bool] = lambda: True) -> None:
    """As a producer that does not ask for STREAMON (pyvirtualcam, ffmpeg)."""
    node = v4l2.Node(Path(DEVICE))
    assert node.ask_size(SIZE) == SIZE
    planes = np.full((SIZE[1] * 3 // 2, SIZE[0]), 16, np.uint8)  # to the reader, number 0

    def write() -> bool:
        node.write(planes)
        return until()

    wait_until(write, "the reader saw a picture")
    node.close()


def is_old() -> bool:
    """0.12 has no attribute that tells the state."""
    return not (find_loopbacks()[0].node / "state").exists()


def refused(opening: Callable[[], object]) -> CameraUnavailable:
    """Why the camera could not be opened."""
    try:
        opening()
    except CameraUnavailable as error:
        return error
    raise AssertionError("it was opened")


def as_user(user: int, groups: tuple[int, ...]) -> str:
    """What opening says to another user; "" if it works."""
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        os.setgroups(groups)
        os.setgid(user)
        os.setuid(user)
        try:
            open_device(DEVICE, SIZE, FPS).close()
            said = ""
        except CameraUnavailable as error:
            said = str(error)
        os.write(writing, said.encode())
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading, encoding="utf-8") as told:
        said = told.read()
    os.waitpid(child, 0)
    return said


def published_until_lost(camera: LoopbackCamera) -> tuple[int, CameraLost]:
    """How many pictures went before the loss was noticed, and what was said."""
    picture = pattern.picture(0, SIZE)
    for count in range(200):
        try:
            camera.publish(picture)
        except CameraLost as error:
            return count, error
        time.sleep(1 / FPS)
    raise AssertionError("the loss was not noticed")


def publishing_ms(camera: LoopbackCamera, picture: pattern.Rendered) -> list[float]:
    taken = []
    for _ in range(60):
        start = time.perf_counter()
        camera.publish(picture)
        taken.append(1000 * (time.perf_counter() - start))
        time.sleep(1 / FPS)
    return taken


def pull_the_plug(device: Path) -> None:
    """vivid's button "Disconnect": all of its devices answer ENODEV from then on."""
    with device.open("rb", buffering=0) as node:
        fcntl.ioctl(node, 0xC008561C, struct.pack("Ii", 0x00F0F000 + 65, 1))


def read(path: Path) -> str:
    return path.read_text(encoding="utf-8")


def p95(values: list[float] | np.ndarray) -> float:
    return round(float(np.percentile(values, 95)), 2)
