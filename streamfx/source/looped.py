"""A video file as a live source: in real time, in rounds, on the monotonic clock."""

from __future__ import annotations

import threading
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from pathlib import Path
from time import monotonic_ns
from typing import Final

from streamfx.frames import Frame
from streamfx.source.base import SOFTWARE, Source, SourceInfo, SourceStatistics
from streamfx.source.file import FileSource

_LATE_NS: Final = 100_000_000
"""A picture that is later than that is dropped: a live source keeps its time."""


class LoopedSource(Source):
    """Every picture of a video, in rounds, at rising times. The next round is opened while one is played.

    Args:
        path: a video file.
        pictures: where to end; None never ends.
        hardware: whether an NVIDIA card is to decode it, where it can.

    Raises:
        SourceError: the file cannot be opened.
    """

    def __init__(self, path: Path, pictures: int | None = None, *, hardware: bool = False) -> None:
        self._open, self._left = partial(FileSource, path), pictures
        self._hardware = hardware
        self._round: Source = self._open(hardware=hardware)
        self._info = replace(self._round.info, frames=pictures, duration_s=None)
        self._seq, self._offset_ns, self._last_ns = 0, 0, 0
        self._damaged, self._unread = 0, 0.0
        """Of the rounds before."""
        self._opener = ThreadPoolExecutor(1, "streamfx-opener")
        self._following: Future[Source] | None = None

    @property
    def info(self) -> SourceInfo:
        return self._info

    @property
    def statistics(self) -> SourceStatistics:
        now = self._round.statistics
        return replace(
            now,
            decoded=self._seq,
            damaged_packets=self._damaged + now.damaged_packets,
            unread=self._unread or now.unread,
        )

    def __next__(self) -> Frame:
        if self._left is not None and self._seq >= self._left:
            raise StopIteration
        frame = next(self._round, None) or self._again()
        if self._following is None:
            self._following = self._opener.submit(self._open, hardware=self._hardware)
        self._last_ns = frame.captured_ns + self._offset_ns
        self._seq += 1
        return replace(frame, captured_ns=self._last_ns, seq=self._seq - 1)

    def close(self) -> None:
        self._round.close()
        self._opener.shutdown()
        following, self._following = self._following, None
        if following is not None and following.exception() is None:
            following.result().close()

    def _again(self) -> Frame:
        self._hardware &= self._round.statistics.decoder != SOFTWARE  # a card that failed is not asked again
        ended = self.statistics
        self._damaged, self._unread = ended.damaged_packets, ended.unread
        self._round.close()
        following, self._following = self._following, None
        self._round = following.result() if following is not None else self._open(hardware=self._hardware)
        self._offset_ns = self._last_ns + round(1e9 / self._info.fps)
        return next(self._round)


class PacedSource(Source):
    """A file's pictures when they are due, as a camera would give them; those that come too late are dropped.

    `captured_ns` is the moment when a picture was due, on the monotonic clock.
    """

    def __init__(self, source: Source) -> None:
        """Take over a source whose times rise; its clock starts with the first picture."""
        self._source = source
        self._info = replace(source.info, live=True)
        self._start_ns: int | None = None
        self._dropped = 0
        self._ending = threading.Event()

    @property
    def info(self) -> SourceInfo:
        return self._info

    @property
    def statistics(self) -> SourceStatistics:
        return replace(self._source.statistics, dropped=self._dropped)

    def __next__(self) -> Frame:
        while not self._ending.is_set():
            frame = next(self._source)
            if self._start_ns is None:
                self._start_ns = monotonic_ns() - frame.captured_ns
            due_ns = self._start_ns + frame.captured_ns
            late_ns = monotonic_ns() - due_ns
            if late_ns > _LATE_NS:
                self._dropped += 1
                self._start_ns += self._forgiven(late_ns)
                continue
            if not self._ending.wait(max(0.0, -late_ns / 1e9)):
                return replace(frame, captured_ns=due_ns)
        raise StopIteration

    def close(self) -> None:
        self._source.close()

    def interrupt(self) -> None:
        self._ending.set()

    def _forgiven(self, late_ns: int) -> int:
        """After a long stall (a suspended machine) the clock starts anew instead of dropping for ever."""
        return late_ns if late_ns > 10 * _LATE_NS else 0
