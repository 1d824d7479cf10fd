"""Reads OBS's Windows camera as programs there do: out of its queue in shared memory. For Windows' Python.

    read_obs_queue.py SECONDS PICTURE

Prints a JSON line each second, `{"pictures": .., "gap_ms": .., "size": [w, h], "spread": ..}`: how many came,
the longest time between two, the grey levels' standard deviation. Saves the last one as PICTURE (PNG).
The layout is OBS's (plugins/win-dshow/shared-memory-queue.c).
"""

from __future__ import annotations

import json
import mmap
import struct
import sys
import time

import cv2
import numpy as np

NAME = "OBSVirtualCamVideo"
HEADER = struct.Struct(
    "<3I3I3I"
)  # write index, read index, state; offsets of three pictures; type, width, height
READY = 2
BEFORE_PIXELS = 32


def opened() -> tuple[mmap.mmap, tuple[int, ...]]:
    """The queue and its header, once a program feeds it."""
    while True:
        with mmap.mmap(-1, 4096, tagname=NAME, access=mmap.ACCESS_READ) as first:
            header = HEADER.unpack_from(first)
        if header[2] == READY:
            _, _, _, *offsets, _, width, height = header
            size = max(offsets) + BEFORE_PIXELS + width * height * 3 // 2
            return mmap.mmap(-1, size, tagname=NAME, access=mmap.ACCESS_READ), header
        time.sleep(0.1)


def main(seconds: float, picture: str) -> None:
    queue, (_, _, _, *offsets, _, width, height) = opened()
    start = told = moved = time.monotonic()
    seen, pictures, gap, nv12 = HEADER.unpack_from(queue)[0], 0, 0.0, None
    while (now := time.monotonic()) - start < seconds:
        index = HEADER.unpack_from(queue)[0]
        if index != seen:
            pictures, gap = pictures + (index - seen) % (1 << 32), max(gap, now - moved)
            seen, moved = index, now
            at = offsets[index % 3] + BEFORE_PIXELS
            nv12 = np.frombuffer(queue[at : at + width * height * 3 // 2], np.uint8).reshape(-1, width)
        if now - told >= 1 and nv12 is not None:
            spread = float(nv12[:height].std())
            facts = {
                "pictures": pictures,
                "gap_ms": round(gap * 1e3),
                "size": [width, height],
                "spread": spread,
            }
            sys.stdout.write(json.dumps(facts) + "\n")
            sys.stdout.flush()
            told, pictures, gap = now, 0, 0.0
        time.sleep(0.002)
    assert nv12 is not None, "no picture"
    cv2.imwrite(picture, cv2.cvtColor(nv12, cv2.COLOR_YUV2BGR_NV12))


if __name__ == "__main__":
    main(float(sys.argv[1]), sys.argv[2])
