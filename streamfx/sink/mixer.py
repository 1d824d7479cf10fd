"""Which picture is shown at a tick: what the worker renders, that held for a moment, or the idle portrait."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Final

import cv2
import numpy as np

from streamfx.frames import U8, Rendered
from streamfx.quality import Quality

HELD_S: Final = 1.0
"""Longest time that the last picture is repeated before the portrait goes to rest."""
FADE_S: Final = 0.35
"""From a live picture to the idle portrait, and back."""

_STALE_S: Final = 0.1
"""A picture repeated for longer counts as held; shorter repeats come of drivers slower than the camera."""


class Mixer:
    """The ladder FULL, WARP_ONLY, HELD, IDLE: always a picture, no sudden change between live and idle."""

    def __init__(self) -> None:
        self._live: Rendered | None = None
        self._fresh_ns = 0
        self._share = 0.0
        self._last_ns: int | None = None

    def show(
        self, now_ns: int, fresh: Rendered | None, idle: Callable[[], Rendered], *, resting: bool = False
    ) -> Rendered:
        """The picture of this tick.

        Args:
            now_ns: monotonic clock; rising.
            fresh: what the worker rendered since the last tick, if anything.
            idle: gives the idle portrait, asked only when it is seen.
            resting: go to the idle portrait, whatever drives.
        """
        if fresh is not None:
            self._live, self._fresh_ns = fresh, now_ns
        live = self._live
        self._fade(now_ns, toward_live=not resting and self._is_driven(now_ns))
        if live is None or self._share <= 0:
            self._live = None if resting else live
            return idle()
        if now_ns - self._fresh_ns > _STALE_S * 1e9:
            live = replace(live, quality=Quality.HELD)
        if self._share >= 1:
            return live
        return _mixed(live, idle(), self._share)

    def forget(self) -> None:
        """Cut to the idle portrait: another portrait is shown, or another worker begins."""
        self._live, self._share = None, 0.0

    def _is_driven(self, now_ns: int) -> bool:
        live = self._live
        if live is None or live.quality is Quality.IDLE:
            return False
        return now_ns - self._fresh_ns <= HELD_S * 1e9

    def _fade(self, now_ns: int, *, toward_live: bool) -> None:
        step = 0.0 if self._last_ns is None else (now_ns - self._last_ns) / (FADE_S * 1e9)
        self._last_ns = now_ns
        self._share = min(1.0, self._share + step) if toward_live else max(0.0, self._share - step)


def _mixed(live: Rendered, idle: Rendered, share: float) -> Rendered:
    eased = share * share * (3 - 2 * share)
    alpha: U8 | None = None
    if live.alpha is not None or idle.alpha is not None:
        alpha = cv2.addWeighted(_covered(live), eased, _covered(idle), 1 - eased, 0)
    return replace(live, rgb=cv2.addWeighted(live.rgb, eased, idle.rgb, 1 - eased, 0), alpha=alpha)


def _covered(picture: Rendered) -> U8:
    """u8 [H,W]: a picture's alpha, of an opaque one too."""
    return np.full(picture.rgb.shape[:2], 255, np.uint8) if picture.alpha is None else picture.alpha
