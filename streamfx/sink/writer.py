"""What takes finished pictures and makes a moving one of them, whatever its kind."""

from __future__ import annotations

from abc import ABC, abstractmethod
from types import TracebackType
from typing import Self

from streamfx.errors import OutputError, UsageError
from streamfx.frames import U8, Rendered


class PictureWriter(ABC):
    """Takes pictures one after the other, each shown for as long. Use it in a `with` block.

    When the block fails, or not one picture was written, no file appears.

    Args:
        size: width and height in px, both even.

    Raises:
        UsageError: an odd size.
    """

    def __init__(self, size: tuple[int, int]) -> None:
        self._size = _even(size)
        self._written = 0

    @abstractmethod
    def __enter__(self) -> Self:
        """Open the output."""

    @abstractmethod
    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Complete the output; after a failure only let go of it."""

    @property
    def frames(self) -> int:
        """Pictures written so far."""
        return self._written

    def write(self, rendered: Rendered) -> None:
        """Append a picture.

        Raises:
            TypeError: anything but a `Rendered`: a camera picture must not become a film by mistake.
            OutputError: another size than the film's, or the file cannot be written.
        """
        if not isinstance(rendered, Rendered):
            raise TypeError(f"a film takes Rendered pictures only, not {type(rendered).__name__}")
        self._append(rendered.rgb)

    def _append(self, rgb: U8) -> None:
        """Append u8 [H,W,3]."""
        height, width = rgb.shape[:2]
        if (width, height) != self._size:
            film = "{}x{}".format(*self._size)
            cause = f"Picture {self._written} is {width}x{height} px in a film of {film}"
            raise OutputError(cause, "Render all pictures in one size")
        self._encode(rgb)
        self._written += 1

    @abstractmethod
    def _encode(self, rgb: U8) -> None:
        """Take u8 [H,W,3] of the right size, picture number `frames`."""


def _even(size: tuple[int, int]) -> tuple[int, int]:
    width, height = size
    if width < 2 or height < 2 or width % 2 or height % 2:
        remedy = f"Choose for instance {max(2, width // 2 * 2)}x{max(2, height // 2 * 2)}"
        raise UsageError(f"A film of {width}x{height} px cannot be encoded: both must be even", remedy)
    return width, height
