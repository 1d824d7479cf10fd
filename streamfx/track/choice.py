"""Which of several faces to follow: the largest at first, then the same one, and never a hasty change."""

from __future__ import annotations

from typing import Final

import numpy as np

from streamfx.frames import F32
from streamfx.track.boxes import area, covered, overlap

PATIENCE_S: Final = 0.5
"""A change of person takes at least this long: the face gone, or another larger, for so long."""
LARGER: Final = 1.5
"""How many times the area of the followed face another must have to take over."""
SAME: Final = 0.3
"""Cover above which a box found belongs to the face followed."""
NEAR: Final = 0.15
"""Overlap with the place of the picture before that a face keeps, also in fast motion."""


class FaceChoice:
    """Remembers the face followed, f32 [4] boxes in px of the tracked picture."""

    def __init__(self) -> None:
        self._misses = 0
        self._box: F32 | None = None
        self._seen_ns = 0
        self._larger_since_ns: int | None = None

    def target(self, boxes: F32, now_ns: int, *, following: bool) -> F32 | None:
        """The box to turn to, of f32 [N,4], largest first; None to go on as it is."""
        if self._box is None:
            return self._next(boxes)
        own: list[F32] = [box for box in boxes if covered(box, self._box) >= SAME]
        if following:
            return self._usurper(boxes, own, now_ns)
        if own:
            best: F32 = max(own, key=lambda box: overlap(box, self._known()))
            return best
        gone_s = abs(now_ns - self._seen_ns) / 1e9
        return self._next(boxes) if gone_s >= PATIENCE_S else None

    def chosen(self, box: F32) -> bool:
        """MediaPipe holds this face now; whether it is another than the one before."""
        another = self._box is not None and covered(box, self._box) < SAME
        self._box = box
        self._larger_since_ns = None
        return another

    def followed(self, box: F32, now_ns: int) -> None:
        """Where the face is in this picture."""
        self._box, self._seen_ns, self._misses = box, now_ns, 0

    def lost(self, now_ns: int) -> None:
        """No face is seen in this picture; where it was is remembered."""
        self._misses += 1
        self._seen_ns = min(self._seen_ns, now_ns)  # a clock that went back would hold the place for ever

    def is_near(self, box: F32) -> bool:
        """Whether a face can be the one of the picture before."""
        return self._box is None or overlap(box, self._box) >= NEAR

    def _next(self, boxes: F32) -> F32 | None:
        """The largest box; after a miss the next one, for not all that a detector sees is a face."""
        return boxes[self._misses % len(boxes)] if len(boxes) else None

    def _usurper(self, boxes: F32, own: list[F32], now_ns: int) -> F32 | None:
        """Another face, if it has been much larger than the followed one for long enough."""
        others = [box for box in boxes if covered(box, self._known()) < SAME]
        size = max((area(box) for box in own), default=np.inf)
        if not others or area(others[0]) < LARGER * size:
            self._larger_since_ns = None
            return None
        if self._larger_since_ns is None:
            self._larger_since_ns = now_ns
        waited_s = abs(now_ns - self._larger_since_ns) / 1e9
        return others[0] if waited_s >= PATIENCE_S else None

    def _known(self) -> F32:
        assert self._box is not None, "asked only where a face has been followed"  # noqa: S101
        return self._box
