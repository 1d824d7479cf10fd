"""`python -m streamfx.worker.encoder`: H.264 for one watcher, in a process of its own.

The daemon has no encoder in it. Standard input: a line of JSON (width, height, fps), then pictures, RGB, one
after the other; its end ends the process. Standard output: for each picture `PACKET`, then its bytes.
"""

from __future__ import annotations

import json
from typing import BinaryIO

import numpy as np

from streamfx.ipc.child import child_main
from streamfx.worker.protocol import PACKET


def main(reader: BinaryIO, writer: BinaryIO) -> int:
    """Encode until the input ends."""
    task = json.loads(reader.readline())
    from streamfx.sink.h264 import H264Stream

    width, height = int(task["width"]), int(task["height"])
    stream = H264Stream((width, height), float(task["fps"]))
    size = width * height * 3
    while len(data := reader.read(size)) == size:
        encoded, is_key = stream.encode(np.frombuffer(data, np.uint8).reshape(height, width, 3))
        writer.write(PACKET.pack(len(encoded), is_key) + encoded)
        writer.flush()
    return 0


if __name__ == "__main__":
    child_main("encoder", main)
