"""Pictures of the portrait for watchers, as JPEG or H.264. Takes what is published, and nothing else."""

from __future__ import annotations

import io
import threading
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from PIL import Image

from streamfx.errors import WorkerFailed
from streamfx.frames import U8, Rendered
from streamfx.session.encoding import Encoder


@dataclass(frozen=True, slots=True)
class Picture:
    """A picture for the wire."""

    size: tuple[int, int]
    """(width, height) px."""
    jpeg: bytes = b""
    h264: bytes = b""
    key: bool = True
    """Whether it needs no picture before it."""


class Pictures(Protocol):
    """Makes pictures for one watcher."""

    def encode(self, rendered: Rendered) -> Picture:
        """A published picture for the wire.

        Raises:
            WorkerFailed: it cannot be encoded any more.
        """
        ...

    def close(self) -> None:
        """Release what it holds. May be called twice, while another thread encodes."""
        ...


class JpegPictures:
    """Each picture by itself."""

    def __init__(self, max_side: int, quality: int) -> None:
        """Nothing is held.

        Args:
            max_side: px; a larger picture is made smaller, its shape kept.
            quality: of the JPEG, 1 to 95.
        """
        self._max_side, self._quality = max_side, quality

    def encode(self, rendered: Rendered) -> Picture:
        """See Pictures."""
        image = _smaller(rendered, self._max_side)
        buffer = io.BytesIO()
        image.save(buffer, "JPEG", quality=self._quality)
        return Picture(image.size, jpeg=buffer.getvalue())

    def close(self) -> None:
        """See Pictures."""


class H264Pictures:
    """A stream, encoded by a process of its own."""

    def __init__(self, max_side: int, fps: float) -> None:
        """The process starts with the first picture, whose size decides.

        Args:
            max_side: px, as above.
            fps: pictures a second at most.
        """
        self._max_side, self._fps = max_side, fps
        self._encoder: Encoder | None = None
        self._is_closed, self._lock = False, threading.Lock()

    def encode(self, rendered: Rendered) -> Picture:
        """See Pictures."""
        image = _smaller(rendered, self._max_side)
        rgb: U8 = np.asarray(image)
        even = np.ascontiguousarray(rgb[: image.height // 2 * 2, : image.width // 2 * 2])
        size = (even.shape[1], even.shape[0])
        data, key = self._opened(size).encode(even)
        return Picture(size, h264=data, key=key)

    def close(self) -> None:
        """See Pictures."""
        with self._lock:
            self._is_closed = True
            if self._encoder is not None:
                self._encoder.close()

    def _opened(self, size: tuple[int, int]) -> Encoder:
        """The encoder; none is started for a watcher who has left meanwhile."""
        with self._lock:
            if self._is_closed:
                raise WorkerFailed("The preview is over")
            if self._encoder is None:
                self._encoder = Encoder(size, self._fps)
            return self._encoder


def _smaller(rendered: Rendered, max_side: int) -> Image.Image:
    image = Image.fromarray(rendered.rgb)
    if max(image.size) <= max_side:
        return image
    scale = max_side / max(image.size)
    size = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
    return image.resize(size, Image.Resampling.BOX)
