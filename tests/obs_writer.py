"""A daemon for tests of the OBS plugin, written from the ring's layout alone: it publishes pictures that tell
which they are.

    python tests/obs_writer.py SOCKET [--look counter|alpha|FILE] [--fps 30] [--version 2] [--log FILE] [...]
"""

from __future__ import annotations

import argparse
import fcntl
import mmap
import os
import socket
import struct
import threading
import time
from contextlib import suppress
from pathlib import Path

import numpy as np

F_ADD_SEALS, SEALS = 1033, 0x1 | 0x2 | 0x4
HEADER, PIXELS, SLOTS = 4096, 64, 4
BITS, BLOCK = 16, 32
"""The counter: so many squares of that many px in the upper left corner, the highest bit first."""
PATCHES = (
    (255, 0, 0),
    (0, 255, 0),
    (0, 0, 255),
    (200, 120, 40),
    (16, 32, 64),
    (128, 128, 128),
    (250, 240, 230),
)
"""Colours of the columns below the counter, from left to right."""
COVERAGE = (0, 64, 128, 192, 255)
"""Alpha of the columns where there is any; the colour is TINT, not yet multiplied."""
TINT = (220, 60, 120)


def looked(look: str, width: int, height: int) -> tuple[np.ndarray, np.ndarray | None]:
    """Colours and alpha of the picture without its counter."""
    rgb = np.zeros((height, width, 3), np.uint8)
    if look == "counter":
        for index, colours in enumerate(np.array_split(np.arange(width), len(PATCHES))):
            rgb[:, colours] = PATCHES[index]
        return rgb, None
    if look == "alpha":
        alpha = np.zeros((height, width), np.uint8)
        for index, columns in enumerate(np.array_split(np.arange(width), len(COVERAGE))):
            alpha[:, columns] = COVERAGE[index]
        return np.round(np.array(TINT) * (alpha[..., None] / 255)).astype(np.uint8), alpha
    import cv2

    file = cv2.imread(look)
    return cv2.resize(file, (width, height), interpolation=cv2.INTER_AREA)[..., ::-1].copy(), None


def number_of(rgb: np.ndarray, scale: float = 1.0, left: float = 0.0, top: float = 0.0) -> int:
    """The counter in a picture, or in one that shows it enlarged and moved."""
    y, number = round(top + scale * BLOCK / 2), 0
    for bit in range(BITS):
        number = 2 * number + int(rgb[y, round(left + scale * BLOCK * (bit + 0.5))].max() > 127)
    return number


def mark(rgb: np.ndarray, number: int) -> None:
    """Write the counter."""
    for bit in range(BITS):
        on = number >> (BITS - 1 - bit) & 1
        rgb[:BLOCK, bit * BLOCK : (bit + 1) * BLOCK] = 255 * on


class Writer:
    """A ring, and the socket that hands it over."""

    def __init__(self, path: Path, width: int, height: int, fps: float, version: int, row: int) -> None:
        self.width, self.height = width, height
        self.stride = -(-(PIXELS + 4 * width * height) // 64) * 64
        size = HEADER + SLOTS * self.stride
        descriptor = os.memfd_create("obs-writer", os.MFD_ALLOW_SEALING)
        os.ftruncate(descriptor, size)
        fields = struct.pack(
            "<8s9I", b"SFXRING\0", version, HEADER, SLOTS, self.stride, width, height, row or 3 * width, 1,
            round(1000 * fps),
        )  # fmt: skip
        os.write(descriptor, fields)
        fcntl.fcntl(descriptor, F_ADD_SEALS, SEALS)
        self.memory = mmap.mmap(descriptor, size)
        self.written = 0
        self.read_only = os.open(f"/proc/self/fd/{descriptor}", os.O_RDONLY)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.unlink(missing_ok=True)
        self.listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.listener.bind(str(path))
        self.listener.listen(8)

    def hand_over(self, version: int) -> None:
        """To everybody who connects, for ever; nobody is hung up on."""
        readers = []
        while True:
            reader, _ = self.listener.accept()
            readers.append(reader)
            with suppress(OSError):  # it has gone already
                socket.send_fds(reader, [f"SFXRING {version}".encode()], [self.read_only])

    def write(self, rgb: np.ndarray, alpha: np.ndarray | None) -> None:
        start = HEADER + self.written % SLOTS * self.stride
        lock = struct.unpack_from("<Q", self.memory, start)[0] | 1
        struct.pack_into("<Q", self.memory, start, lock)
        now = time.monotonic_ns()
        struct.pack_into("<QQQII", self.memory, start + 8, self.written, now, now, 0, alpha is not None)
        pixels = np.frombuffer(self.memory, np.uint8, 4 * self.width * self.height, start + PIXELS)
        pixels[: rgb.size] = rgb.reshape(-1)
        if alpha is not None:
            pixels[rgb.size :] = alpha.reshape(-1)
        struct.pack_into("<Q", self.memory, start, lock + 1)
        self.written += 1
        beat = struct.unpack_from("<Q", self.memory, 64)[0]
        struct.pack_into("<QQ", self.memory, 64, beat + 1, self.written)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("socket", type=Path)
    parser.add_argument("--look", default="counter")
    parser.add_argument("--size", type=int, nargs=2, default=(640, 480))
    parser.add_argument("--fps", type=float, default=30.0)
    parser.add_argument("--version", type=int, default=2, help="in the packet")
    parser.add_argument("--header", type=int, default=2, help="version in the ring's header")
    parser.add_argument("--row", type=int, default=0, help="in the header, if not what is right")
    parser.add_argument("--first", type=int, default=0, help="number of the first picture")
    parser.add_argument("--log", type=Path, help="where to note the time of each picture")
    given = parser.parse_args()
    writer = Writer(given.socket, *given.size, given.fps, given.header, given.row)
    rgb, alpha = looked(given.look, *given.size)
    threading.Thread(target=writer.hand_over, args=(given.version,), daemon=True).start()
    log = given.log.open("w", buffering=1) if given.log else None
    begin, number = time.monotonic(), given.first
    while True:
        if given.look == "counter":
            mark(rgb, number & 0xFFFF)
        writer.write(rgb, alpha)
        if log:
            log.write(f"{number & 0xFFFF} {time.monotonic_ns()}\n")
        number += 1
        time.sleep(max(0.0, begin + (number - given.first) / given.fps - time.monotonic()))


if __name__ == "__main__":
    main()
