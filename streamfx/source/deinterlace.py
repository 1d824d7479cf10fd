"""Interlaced pictures made whole: odd and even rows of a frame are fields, of different moments."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import suppress
from typing import Final

import av
from av.filter import Graph
from av.video.frame import VideoFrame

FILTER: Final = "bwdif"
"""FFmpeg's filter after Weston's 3-field deinterlacing (BBC WHP 068) and Yadif."""
_OPTIONS: Final = "mode=send_frame:deint=interlaced"
"""One picture per frame, at its first field's time; frames that are not marked as interlaced stay."""


class Deinterlacer:
    """Pictures as they are until one is marked as interlaced; from there on through FFmpeg's filter."""

    def __init__(self) -> None:
        self._graph: Graph | None = None
        self._form: tuple[int, int, str] | None = None

    def pictures(self, decoded: Iterable[VideoFrame]) -> Iterator[VideoFrame]:
        """All of them, in order; the filter needs one picture ahead."""
        for picture in decoded:
            form = (picture.width, picture.height, picture.format.name)
            if self._graph is not None and form != self._form:
                yield from self._drained()
            if self._graph is None and picture.interlaced_frame:
                self._graph, self._form = _graph(picture), form
            if self._graph is None:
                yield picture
            else:
                self._graph.push(picture)
                yield from _ready(self._graph)
        yield from self._drained()

    def _drained(self) -> Iterator[VideoFrame]:
        graph, self._graph = self._graph, None
        if graph is not None:
            graph.push(None)
            yield from _ready(graph)


def _graph(picture: VideoFrame) -> Graph:
    graph = Graph()
    graph.threads = 1
    source = graph.add_buffer(
        width=picture.width, height=picture.height, format=picture.format, time_base=picture.time_base
    )
    graph.link_nodes(source, graph.add(FILTER, _OPTIONS), graph.add("buffersink")).configure()
    return graph


def _ready(graph: Graph) -> Iterator[VideoFrame]:
    with suppress(av.BlockingIOError, av.EOFError):
        while True:
            yield graph.vpull()
