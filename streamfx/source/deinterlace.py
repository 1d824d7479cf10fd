"""Interlaced pictures made whole: odd and even rows of a frame are fields, of different moments."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import suppress
from typing import Final

import av
from av.filter import Graph
from av.video.frame import VideoFrame

FILTER: Final = "bwdif"
"""FFmpeg's filter after Weston's 3-field deinterlacing (BBC WHP 068) and Yadif."""
_MARKED: Final = "mode=send_frame:deint=interlaced"
"""One picture per frame, at its first field's time; frames that are not marked as interlaced stay."""
_UNMARKED: Final = "mode=send_frame:deint=all:parity="
HEIGHTS: Final = frozenset({480, 486, 512, 576, 608, 1080, 1088})
"""Of interlaced pictures, px: in others without a mark nothing is looked for."""
LOOKED: Final = 60
"""Pictures in motion without a mark, after which nothing is looked for any more: 0.3 ms each at 720x576."""
CERTAIN: Final = 10
"""Of them interlaced, and at most one in five others: then all are. Of 62 films that are whole one was taken
for interlaced, scaled to exactly twice its height."""
_KIND: Final = "lavfi.idet.multiple.current_frame"
_KINDS: Final = frozenset({"tff", "bff", "progressive"})
"""The fourth, undetermined, is what does not move."""


class Deinterlacer:
    """Pictures as they are until one is marked, or some are found, interlaced; then through the filter."""

    def __init__(self) -> None:
        self._graph: Graph | None = None
        self._form: tuple[int, int, str] | None = None
        self._look = _Look()

    @property
    def is_at_work(self) -> bool:
        """Whether the latest pictures went through the filter."""
        return self._graph is not None

    def pictures(self, decoded: Iterable[VideoFrame]) -> Iterator[VideoFrame]:
        """All of them, in order; the filter needs one picture ahead."""
        for picture in decoded:
            form = (picture.width, picture.height, picture.format.name)
            if form != self._form:
                yield from self._drained()
                self._form, self._look = form, _Look()
            if self._graph is None:
                self._begin(picture)
            if self._graph is None:
                yield picture
            else:
                self._graph.push(picture)
                yield from _ready(self._graph)
        yield from self._drained()

    def _begin(self, picture: VideoFrame) -> None:
        """Take the filter from this picture on, if that is interlaced."""
        if picture.interlaced_frame:
            self._graph = _graph(picture, FILTER, _MARKED)
        elif (parity := self._look.parity(picture)) is not None:
            self._graph = _graph(picture, FILTER, _UNMARKED + parity)

    def _drained(self) -> Iterator[VideoFrame]:
        graph, self._graph = self._graph, None
        if graph is not None:
            graph.push(None)
            yield from _ready(graph)


class _Look:
    """Looks at pictures without a mark for the comb that motion makes of two fields (FFmpeg's idet)."""

    def __init__(self) -> None:
        self._graph: Graph | None = None
        self._seen: Counter[str] = Counter()
        """Pictures whose upper field is first (tff), whose lower is (bff), and whole ones."""

    def parity(self, picture: VideoFrame) -> str | None:
        """Which field is first, tff or bff, as soon as it is certain that the pictures are interlaced."""
        if picture.height not in HEIGHTS or self._seen.total() >= LOOKED:
            self._graph = None
            return None
        if self._graph is None:
            self._graph = _graph(picture, "idet", "")
        self._graph.push(picture)
        kinds = (str(seen.metadata.get(_KIND)) for seen in _ready(self._graph))
        self._seen.update(kind for kind in kinds if kind in _KINDS)
        found = max("tff", "bff", key=self._seen.__getitem__)
        count = self._seen[found]
        return found if count >= CERTAIN and count > 4 * (self._seen.total() - count) else None


def _graph(picture: VideoFrame, name: str, options: str) -> Graph:
    graph = Graph()
    graph.threads = 1
    source = graph.add_buffer(
        width=picture.width, height=picture.height, format=picture.format, time_base=picture.time_base
    )
    graph.link_nodes(source, graph.add(name, options), graph.add("buffersink")).configure()
    return graph


def _ready(graph: Graph) -> Iterator[VideoFrame]:
    with suppress(av.BlockingIOError, av.EOFError):
        while True:
            yield graph.vpull()
