"""What a source is: a context manager and an iterator of frames, with its description and its counters."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from types import TracebackType
from typing import TYPE_CHECKING, Final, Self

from streamfx.frames import Frame

if TYPE_CHECKING:
    from streamfx.source.sound import SoundReader

SOFTWARE: Final = "software"
"""SourceStatistics.decoder: the CPU."""


@dataclass(frozen=True, slots=True)
class SourceInfo:
    """What is known of a source once its first picture is decoded."""

    name: str
    """The file's name, or the camera's."""
    width: int
    """px, upright: after rotation, with square pixels."""
    height: int
    """px"""
    fps: float
    """Average pictures per second; 30 where the source does not say."""
    frames: int | None
    """Number of pictures, where the container says so."""
    duration_s: float | None
    codec: str
    rotation: int
    """Degrees clockwise by which the stored pictures are turned: 0, 90, 180 or 270."""
    live: bool
    has_audio: bool


@dataclass(frozen=True, slots=True)
class SourceStatistics:
    """Counters of a source, and what decodes it."""

    decoded: int = 0
    """Pictures handed out."""
    repaired_timestamps: int = 0
    """Timestamps that were missing, repeated, ran backwards or leapt."""
    damaged_packets: int = 0
    """Pieces of the stream that could not be decoded and were skipped."""
    unread: float = 0.0
    """Share of a joined file that is another film, which is not read; known at the end."""
    longer_s: float = 0.0
    """By how much longer a file is than it says, as far as it was read: films that were joined; below zero
    where holes of its clock were left out."""
    dropped: int = 0
    """Live pictures that were overtaken by newer ones."""
    reopened: int = 0
    """How often a camera came back after it was lost."""
    decoder: str = SOFTWARE
    """What decoded the last picture: `cuda`, an NVIDIA card, or `software`, the CPU."""


class Source(ABC):
    """A driving video or camera, open. Iterate once; close it, or use it in a `with` block."""

    @property
    @abstractmethod
    def info(self) -> SourceInfo:
        """The description, known from the start."""

    @property
    @abstractmethod
    def statistics(self) -> SourceStatistics:
        """The counters so far."""

    @abstractmethod
    def __next__(self) -> Frame:
        """The next picture.

        Raises:
            StopIteration: the end of a file.
            SourceLost: a camera that worked did not come back in time.
            SourceUnreadable: a picture beyond the size limit.
        """

    @abstractmethod
    def close(self) -> None:
        """Release the decoder, the file or the camera; may be called twice, by the thread that iterates."""

    def interrupt(self) -> None:  # noqa: B027 - most sources give their next picture at once
        """Let a live source end soon, so that its own thread can close it; for other threads."""

    def sound(self) -> SoundReader | None:
        """The sound that belongs to the pictures, to be read independently of them; None if there is none.

        Raises:
            SourceError: there is, but it cannot be read.
        """
        return None

    def __iter__(self) -> Self:
        return self

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
