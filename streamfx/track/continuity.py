"""What a viewer sees when the face is lost, found again or measured anew: hold, ease to rest, ease back."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from streamfx.frames import Motion

HOLD_S: Final = 0.15
"""A blink of the tracker: nothing moves."""
EASE_S: Final = 0.5
"""From the held motion to rest."""
RETURN_S: Final = 0.25
"""From the motion shown to the tracked one, after a loss."""


class Continuity:
    """Turns motions that come and go into one that never jumps. Times are those of the pictures."""

    def __init__(self) -> None:
        self._shown: Motion | None = None
        self._held: Motion | None = None
        self._last_tracked_ns: int | None = None
        self._return_from: Motion | None = None
        self._return_start_ns = 0
        self._return_s = 0.0

    def tracked(self, motion: Motion) -> Motion:
        """The motion to show while the face is found."""
        lost_s = self._lost_s(motion.captured_ns)
        if self._shown is not None and self._shown.held:
            self._begin_return(motion.captured_ns, min(RETURN_S, lost_s))
        self._last_tracked_ns = motion.captured_ns
        self._shown = self._returning(motion)
        return self._shown

    def lost(self, captured_ns: int, seq: int, epoch: int) -> Motion:
        """The motion to show while no face is found."""
        rest = Motion.rest(captured_ns, seq, epoch)
        if self._shown is not None and not self._shown.held:
            self._held = self._shown
        if self._held is None:
            self._shown = rest
            return rest
        gone = _smooth((self._lost_s(captured_ns) - HOLD_S) / EASE_S)
        self._shown = replace(mix(self._held, rest, gone), held=True)
        return self._shown

    def ease(self, now_ns: int) -> None:
        """Ease from what is shown to whatever is tracked next: the neutral or the person changed."""
        if self._shown is not None:
            self._begin_return(now_ns, RETURN_S)

    def _begin_return(self, start_ns: int, duration_s: float) -> None:
        self._return_from, self._return_start_ns, self._return_s = self._shown, start_ns, duration_s

    def _returning(self, motion: Motion) -> Motion:
        """The motion, mixed with that of the loss while the return lasts."""
        if self._return_from is None:
            return motion
        done = (motion.captured_ns - self._return_start_ns) / 1e9 / max(self._return_s, 1e-3)
        if not 0 <= done < 1:
            self._return_from = None
            return motion
        return mix(self._return_from, motion, _smooth(done))

    def _lost_s(self, captured_ns: int) -> float:
        """Seconds since the face was last found; a clock that went back counts as long."""
        if self._last_tracked_ns is None:
            return HOLD_S + EASE_S
        gone_s = (captured_ns - self._last_tracked_ns) / 1e9
        return gone_s if gone_s >= 0 else HOLD_S + EASE_S


def mix(start: Motion, end: Motion, share: float) -> Motion:
    """From `start` (share 0) to `end` (share 1), linear in each field but the scale, which is geometric.

    Rotation vectors are mixed as they are: relative to neutral they are small. The times are those of `end`.
    """
    a, b = 1 - share, share
    return replace(
        end,
        expression=start.expression * a + end.expression * b,
        rotation=start.rotation * a + end.rotation * b,
        translation=start.translation * a + end.translation * b,
        scale=float(start.scale**a * end.scale**b),
        gaze=start.gaze * a + end.gaze * b,
        lip_gaps=start.lip_gaps * a + end.lip_gaps * b,
        lid_closure=start.lid_closure * a + end.lid_closure * b,
        presence=start.presence * a + end.presence * b,
        held=False,
    )


def _smooth(done: float) -> float:
    """Smoothstep of 0..1, without a kink at the ends."""
    t = min(max(done, 0.0), 1.0)
    return t * t * (3 - 2 * t)
