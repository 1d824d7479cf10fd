"""A program that feeds pictures as OBS does: `python feeder.py SOCKET CLIP`.

It plays a film in rounds, and tells the number of its ring's memory on a line of its own, each time anew.
SIGUSR1 lets it make a ring of half the size and close the one before.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from pathlib import Path

import cv2
import numpy as np
from media import read_video

from streamfx.frames import U8, Rendered
from streamfx.ipc.ring_server import RingServer
from streamfx.quality import Quality
from streamfx.sink.ring import RingForm, RingWriter, create_ring

FPS = 30.0


class Feed:
    """A ring, and the socket that hands it over."""

    def __init__(self, path: Path, size: tuple[int, int], fps: float = FPS) -> None:
        form = RingForm(*size, fps)
        self.writer = RingWriter(form, create_ring(form))
        self.inode = os.fstat(self.writer.descriptor).st_ino
        self._ring_server = RingServer(path, self.writer.descriptor)
        self._seq = 0

    def show(self, rgb: U8, captured_ns: int | None = None) -> None:
        """A picture, captured now unless it is told."""
        now = time.monotonic_ns()
        told = now if captured_ns is None else captured_ns
        self.writer.write(Rendered(rgb, told, now, self._seq, Quality.FULL))
        self.writer.beat()
        self._seq += 1

    def close(self) -> None:
        self._ring_server.close()
        self.writer.close()

    def __enter__(self) -> Feed:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def main(path: Path, clip: Path) -> None:
    pictures = read_video(clip)
    smaller: list[int] = []
    signal.signal(signal.SIGUSR1, lambda *_: smaller.append(1))
    feed = _begin(path, pictures)
    while True:
        for rgb in pictures:
            feed.show(rgb)
            time.sleep(1 / FPS)
            if smaller:
                smaller.clear()
                break
        else:
            continue
        feed.close()
        pictures = [np.ascontiguousarray(cv2.resize(rgb, None, fx=0.5, fy=0.5)) for rgb in pictures]
        feed = _begin(path, pictures)


def _begin(path: Path, pictures: list[U8]) -> Feed:
    height, width = pictures[0].shape[:2]
    feed = Feed(path, (width, height))
    sys.stdout.write(f"{feed.inode}\n")
    sys.stdout.flush()
    return feed


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
