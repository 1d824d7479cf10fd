"""The pipe between daemon and worker: messages of JSON with an optional binary payload, each with its length.

JSON, since neither side may be able to make the other run anything.
"""

from __future__ import annotations

import json
import struct
import threading
from typing import IO, Final

from streamfx.errors import WorkerFailed
from streamfx.worker.protocol import Message, from_json, to_json

_LENGTHS: Final = struct.Struct("<II")
_MOST_BYTES: Final = 1 << 20


class Channel:
    """Both directions of the pipe. Any thread may send; one receives."""

    def __init__(self, reader: IO[bytes], writer: IO[bytes]) -> None:
        """Take over two binary streams; the reader must not be in non-blocking mode."""
        self._reader, self._writer = reader, writer
        self._sending = threading.Lock()

    def send(self, message: Message, payload: bytes = b"") -> None:
        """Send a message; waits while the pipe is full.

        Raises:
            WorkerFailed: the other side is gone.
        """
        text = json.dumps(to_json(message), separators=(",", ":")).encode()
        try:
            with self._sending:
                self._writer.write(_LENGTHS.pack(len(text), len(payload)) + text + payload)
                self._writer.flush()
        except (OSError, ValueError) as error:  # ValueError: closed on our side meanwhile
            raise WorkerFailed("The other process has closed its pipe") from error

    def receive(self) -> tuple[Message, bytes] | None:
        """The next message and its payload, waited for; None when the other side is gone.

        Raises:
            WorkerFailed: what came is no message.
        """
        try:
            lengths = self._exactly(_LENGTHS.size)
            if lengths is None:
                return None
            text_bytes, payload_bytes = _LENGTHS.unpack(lengths)
            if max(text_bytes, payload_bytes) > _MOST_BYTES:
                raise WorkerFailed(f"A message of {text_bytes} + {payload_bytes} bytes came through the pipe")
            text, payload = self._exactly(text_bytes), self._exactly(payload_bytes)
        except (OSError, ValueError):
            return None
        if text is None or payload is None:
            return None
        try:
            return from_json(json.loads(text)), payload
        except ValueError as error:
            raise WorkerFailed("What came through the pipe is no message") from error

    def close(self) -> None:
        """Close both streams; the other side receives the end."""
        for stream in (self._writer, self._reader):
            try:
                stream.close()
            except OSError:  # what was not flushed has nobody to read it
                continue

    def _exactly(self, count: int) -> bytes | None:
        """That many bytes, or None at the end."""
        data = b""
        while len(data) < count:
            piece = self._reader.read(count - len(data))
            if not piece:
                return None
            data += piece
        return data
