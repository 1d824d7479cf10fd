"""The contact sheet: the photo, the most different frames of a film, and what each stage took, in one PNG."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import cv2
import numpy as np

from streamfx.errors import OutputError
from streamfx.files import atomic_output
from streamfx.frames import F32, U8, Motion, Rendered
from streamfx.sink.panel import fitted
from streamfx.telemetry import StageTime
from streamfx.text import write

FRAMES: Final = 11
"""Frames on a sheet; with the photo they fill the grid."""
COLUMNS: Final = 4

_TILE: Final = 320
"""px: width of one picture on the sheet."""
_GAP, _HEAD, _LINE, _CAPTION = 8, 48, 22, 24
_PAPER, _INK, _FAINT = (250, 250, 248), (30, 30, 34), (110, 110, 116)
_TITLE_PX, _LINE_PX, _CAPTION_PX = 24, 15, 13

_TELLING: Final = np.array([1.6, 0.8, 0.8, 5.0, 4.0, 4.0, 4.0, 0.6, 2.0], np.float32)
"""What makes frames look different: weights of `features`."""


@dataclass(frozen=True, slots=True)
class Shot:
    """A finished frame and what the face does in it."""

    rgb: U8 = field(repr=False)
    """u8 [H,W,3]"""
    seconds: float
    features: F32 = field(repr=False)
    """f32 [9], weighted."""


def features(motion: Motion) -> F32:
    """f32 [9] weighted: mouth opening, lids, head turn, gaze, strength of expression, face present."""
    return _TELLING * np.array(
        [
            min(float(motion.lip_gaps.mean()), 3.0),
            *np.clip(motion.lid_closure, 0, 1),
            *motion.rotation,
            float(motion.gaze[0]),
            float(np.abs(motion.expression).max()),
            motion.presence,
        ],
        np.float32,
    )


class Variety:
    """Keeps the most different frames of a film of any length: a new one pushes out one of the closest pair.

    Args:
        most: frames kept; older pictures are let go of.
    """

    def __init__(self, most: int = FRAMES) -> None:
        self._most = most
        self._shots: list[Shot] = []
        self._distances = np.zeros((0, 0), np.float32)
        self._start_ns: int | None = None

    def offer(self, rendered: Rendered, motion: Motion) -> None:
        """Look at the next frame of the film and the motion that it shows."""
        if self._start_ns is None:
            self._start_ns = rendered.captured_ns
        seconds = (rendered.captured_ns - self._start_ns) / 1e9
        self._shots.append(Shot(rendered.rgb, seconds, features(motion)))
        self._distances = self._measured()
        if len(self._shots) > self._most:
            self._drop()

    def shots(self) -> tuple[Shot, ...]:
        """What was kept, in the order of the film."""
        return tuple(self._shots)

    def _measured(self) -> F32:
        """The distances between all shots, the newest added; the diagonal is infinite."""
        count = len(self._shots)
        distances = np.full((count, count), np.inf, np.float32)
        distances[:-1, :-1] = self._distances
        known = np.stack([shot.features for shot in self._shots])
        distances[-1, :-1] = distances[:-1, -1] = np.linalg.norm(known[:-1] - known[-1], axis=1)
        return distances

    def _drop(self) -> None:
        """Of the closest pair the one that is nearer to the others goes; never the first frame."""
        pair = np.unravel_index(int(self._distances.argmin()), self._distances.shape)
        one, other = (int(index) for index in pair)
        weaker = (
            one
            if np.partition(self._distances[one], 1)[1] < np.partition(self._distances[other], 1)[1]
            else other
        )
        gone = weaker or max(one, other)
        del self._shots[gone]
        self._distances = np.delete(np.delete(self._distances, gone, 0), gone, 1)


def draw_sheet(photo: U8, shots: Sequence[Shot], title: str, times: Sequence[StageTime]) -> U8:
    """u8 [h,w,3]: the sheet.

    Args:
        photo: u8 [h,w,3], of any shape.
        shots: the frames, at least one.
        title: one line, as sink.text.check_text takes it.
        times: written below the pictures.
    """
    height = round(_TILE * shots[0].rgb.shape[0] / shots[0].rgb.shape[1])
    tiles = [(photo, "the photo"), *((shot.rgb, f"{shot.seconds:.1f} s") for shot in shots)]
    rows = -(-len(tiles) // COLUMNS)
    lines = list(_table(times))
    foot = _LINE * (-(-len(lines) // COLUMNS) + 1)
    step = height + _CAPTION + _GAP
    sheet = np.full((_HEAD + rows * step + foot, COLUMNS * (_TILE + _GAP) + _GAP, 3), _PAPER, np.uint8)
    write(sheet, title, (_GAP, 32), _TITLE_PX, _INK)
    for index, (rgb, caption) in enumerate(tiles):
        left, top = _GAP + index % COLUMNS * (_TILE + _GAP), _HEAD + index // COLUMNS * step
        sheet[top : top + height, left : left + _TILE] = fitted(rgb, (_TILE, height))
        write(sheet, caption, (left + 2, top + height + 17), _CAPTION_PX, _FAINT)
    for index, line in enumerate(lines):
        left, top = _GAP + index % COLUMNS * (_TILE + _GAP), _HEAD + rows * step
        write(sheet, line, (left, top + _LINE * (index // COLUMNS + 1)), _LINE_PX, _INK if index else _FAINT)
    return sheet


def save_sheet(path: Path, sheet: U8) -> None:
    """Write the sheet as PNG, whole or not at all.

    Raises:
        OutputError: the file cannot be written.
    """
    done, data = cv2.imencode(".png", cv2.cvtColor(sheet, cv2.COLOR_RGB2BGR))
    if not done:
        raise OutputError(f"{path} cannot be encoded as PNG", "Leave out the sheet")
    with atomic_output(path) as part:
        part.write_bytes(data.tobytes())


def _table(times: Sequence[StageTime]) -> Iterator[str]:
    if times:
        yield "median time (95th percentile):"
    for time in times:
        yield f"{time.stage}: {time.median_ms:.1f} ms ({time.p95_ms:.1f})"
