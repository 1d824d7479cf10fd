"""From the driver's own times to a film's even ones."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace

from streamfx.frames import Motion
from streamfx.track.continuity import mix

_LONGEST_STEP_NS = 250_000_000  # over a longer gap, or into another epoch, nothing is interpolated


def retime(motions: Iterable[Motion], fps: float) -> Iterator[Motion]:
    """Motions at even times, `fps` a second from the first one's, interpolated between neighbours.

    So a driver of varying or other rate makes a film that neither stutters nor drifts from its sound. The
    last motion is held to the end of its own picture's time, as a player would.
    """
    step = 1e9 / fps
    last: Motion | None = None
    start, seq, gap = 0, 0, round(step)
    for motion in motions:
        if last is None:
            last, start = motion, motion.captured_ns
            continue
        while (now := start + round(seq * step)) < motion.captured_ns:
            yield _between(last, motion, now, seq)
            seq += 1
        gap = motion.captured_ns - last.captured_ns
        last = motion
    if last is None:
        return
    end = last.captured_ns + min(gap, _LONGEST_STEP_NS) - step / 100  # times are rounded: no frame of nothing
    while (now := start + round(seq * step)) < end:
        yield replace(last, captured_ns=now, seq=seq)
        seq += 1


def _between(last: Motion, following: Motion, now: int, seq: int) -> Motion:
    """The motion at `now`, mixed from its neighbours; lost or not as the nearer one is."""
    span = following.captured_ns - last.captured_ns
    if span > _LONGEST_STEP_NS or last.epoch != following.epoch:
        return replace(last, captured_ns=now, seq=seq)
    share = (now - last.captured_ns) / span
    nearer = last if share < 0.5 else following
    return replace(mix(last, following, share), captured_ns=now, seq=seq, held=nearer.held)
