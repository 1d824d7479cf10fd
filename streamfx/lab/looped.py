"""A video played again and again, for measurements that last longer than any clip."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Final

from streamfx.frames import Frame
from streamfx.source import Source, SourceInfo, SourceStatistics, open_source

_STEP_NS: Final = 33_333_333
"""Between the last picture of a round and the first of the next."""


class LoopedSource(Source):
    """Every picture of a video, in rounds, at rising times.

    Args:
        path: a video file.
        pictures: where to end; None never ends.

    Raises:
        SourceError: the file cannot be opened.
    """

    def __init__(self, path: Path, pictures: int | None = None) -> None:
        self._path, self._left = path, pictures
        self._round = open_source(path)
        self._info = replace(self._round.info, frames=pictures, duration_s=None)
        self._seq, self._offset_ns, self._last_ns = 0, 0, 0

    @property
    def info(self) -> SourceInfo:
        return self._info

    @property
    def statistics(self) -> SourceStatistics:
        return replace(self._round.statistics, decoded=self._seq)

    def __next__(self) -> Frame:
        if self._left is not None and self._seq >= self._left:
            raise StopIteration
        frame = next(self._round, None) or self._again()
        self._last_ns = frame.captured_ns + self._offset_ns
        self._seq += 1
        return replace(frame, captured_ns=self._last_ns, seq=self._seq - 1)

    def close(self) -> None:
        self._round.close()

    def _again(self) -> Frame:
        self._round.close()
        self._round = open_source(self._path)
        self._offset_ns = self._last_ns + _STEP_NS
        return next(self._round)
