"""An H.264 encoder as the daemon sees it: a process that takes pictures and gives packets."""

from __future__ import annotations

import json
from contextlib import suppress
from typing import IO, Final

from streamfx.errors import WorkerFailed
from streamfx.frames import U8
from streamfx.ipc.spawn import PIPE, own, start
from streamfx.limits import shortage
from streamfx.worker.protocol import PACKET

_COMMAND: Final = own("streamfx.worker.encoder")


class Encoder:
    """From its making to `close`. One thread at a time encodes; any may close."""

    def __init__(self, size: tuple[int, int], fps: float) -> None:
        """Start the process.

        Args:
            size: (width, height) px of the pictures, both even.
            fps: pictures a second, about.

        Raises:
            WorkerFailed: no process can be started.
        """
        try:
            self._process = start(_COMMAND, stdin=PIPE, stdout=PIPE, process_group=0)
        except OSError as error:
            raise WorkerFailed(*shortage("No encoder can be started", error)) from error
        self._size = size
        self._send(json.dumps({"width": size[0], "height": size[1], "fps": fps}).encode() + b"\n")

    def encode(self, rgb: U8) -> tuple[bytes, bool]:
        """A picture u8 [H,W,3] as H.264 (Annex B), and whether it needs none before it. Waits for it.

        Raises:
            WorkerFailed: the encoder is gone.
        """
        if rgb.shape != (self._size[1], self._size[0], 3):
            raise ValueError(f"the encoder takes {self._size}, this is {rgb.shape}")
        self._send(rgb.tobytes())
        length, is_key = PACKET.unpack(self._receive(PACKET.size))
        return self._receive(length), bool(is_key)

    def close(self) -> None:
        """End the process, and wait until it is gone. May be called twice."""
        self._process.kill()
        self._process.wait()
        for stream in (self._process.stdin, self._process.stdout):
            if stream is not None:
                with suppress(OSError):  # what was not sent has nobody to read it
                    stream.close()

    def _send(self, data: bytes) -> None:
        stdin = _opened(self._process.stdin)
        try:
            stdin.write(data)
            stdin.flush()
        except (OSError, ValueError) as error:  # ValueError: closed meanwhile
            raise _gone() from error

    def _receive(self, count: int) -> bytes:
        try:
            data = _opened(self._process.stdout).read(count)
        except ValueError as error:
            raise _gone() from error
        if len(data) != count:
            raise _gone()
        return data


def _opened(stream: IO[bytes] | None) -> IO[bytes]:
    if stream is None:
        raise _gone()
    return stream


def _gone() -> WorkerFailed:
    return WorkerFailed("The preview's encoder broke off", "Ask for the preview again")
