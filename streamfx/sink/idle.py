"""The portrait at rest, alive: it breathes, sways and blinks. It needs no worker, so it is always there."""

from __future__ import annotations

import zipfile
import zlib
from dataclasses import dataclass, fields
from math import cos, pi, sin
from pathlib import Path
from random import Random
from time import monotonic_ns
from typing import Any, Final

import cv2
import numpy as np

from streamfx.errors import OutputError
from streamfx.files import atomic_output
from streamfx.frames import F32, U8, IdlePortrait, Rendered
from streamfx.limits import shortage
from streamfx.quality import Quality

STEP: Final = 4
"""px of the frame per value of a flow: breath and sway are smooth."""
_BREATH_S, _SWAY_S = 4.3, 13.0
_CLOSING_S, _SHUT_S, _OPENING_S = 0.08, 0.05, 0.14
_BETWEEN_BLINKS_S: Final = (2.2, 5.5)
_BLINK_S: Final = _CLOSING_S + _SHUT_S + _OPENING_S
_LARGEST_SIDE: Final = 4096
_NO_ALPHA: Final = np.zeros((0, 0), np.uint8)


class IdlePlayer:
    """Plays one idle portrait. One thread at a time."""

    def __init__(self, portrait: IdlePortrait, seed: int = 0) -> None:
        """Begin at rest, eyes open.

        Args:
            portrait: what to play.
            seed: of the times of the blinks.
        """
        self._portrait = portrait
        self._random = Random(seed)  # noqa: S311 - nothing is secret about a blink
        height, width = portrait.rest.shape[:2]
        columns, rows = np.meshgrid(np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32))
        self._places = np.stack([columns, rows], axis=2)
        self._start_ns: int | None = None
        self._blink_s = self._random.uniform(*_BETWEEN_BLINKS_S)
        self._seq = 0

    def at(self, now_ns: int) -> Rendered:
        """The portrait at a moment of the monotonic clock; moments must not run backwards."""
        self._start_ns = now_ns if self._start_ns is None else self._start_ns
        seconds = (now_ns - self._start_ns) / 1e9
        source, still = self._source(seconds), self._portrait.alpha
        picture = _moved(self._blinking(seconds), source)
        alpha = None if still is None else _moved(still, source)
        self._seq += 1
        return Rendered(picture, now_ns, monotonic_ns(), self._seq - 1, Quality.IDLE, alpha)

    def _source(self, seconds: float) -> F32:
        """f32 [H,W,2] px: what of the portrait at rest is seen at each pixel."""
        breath = np.float32(0.5 - 0.5 * cos(2 * pi * seconds / _BREATH_S))
        sway = np.float32(sin(2 * pi * seconds / _SWAY_S))
        flow = breath * self._portrait.breath + sway * self._portrait.sway
        height, width = self._places.shape[:2]
        source: F32 = self._places - cv2.resize(flow, (width, height), interpolation=cv2.INTER_LINEAR)
        return source

    def _blinking(self, seconds: float) -> U8:
        """The portrait with its eyes as far shut as they are now."""
        levels = self._portrait.blink
        shut = self._shut(seconds) * len(levels)
        if shut <= 0:
            return self._portrait.rest
        picture = self._portrait.rest.copy()
        left, top = self._portrait.blink_at
        height, width = levels.shape[1:3]
        region = picture[top : top + height, left : left + width]
        above = min(int(np.ceil(shut)), len(levels))
        lower = levels[above - 2] if above > 1 else region.copy()
        share = shut - (above - 1)
        cv2.addWeighted(levels[above - 1], share, lower, 1 - share, 0, dst=region)
        return picture

    def _shut(self, seconds: float) -> float:
        """How far the eyes are shut, 0 to 1; plans the next blink."""
        since = seconds - self._blink_s
        if since > _BLINK_S:
            self._blink_s = seconds + self._random.uniform(*_BETWEEN_BLINKS_S)
            return 0.0
        if since <= 0:
            return 0.0
        if since < _CLOSING_S:
            return since / _CLOSING_S
        opened = (since - _CLOSING_S - _SHUT_S) / _OPENING_S
        return 1.0 - max(0.0, opened)


def _moved(picture: U8, source: F32) -> U8:
    out: U8 = cv2.remap(picture, source, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return out


@dataclass(frozen=True, slots=True)
class _Shades:
    """Of the silhouette: grey levels."""

    top: int = 58
    bottom: int = 34
    person: int = 88


def silhouette(size: tuple[int, int], *, cut_out: bool = False) -> IdlePortrait:
    """What is shown while no portrait is at hand: a head and shoulders that breathe.

    Args:
        size: (width, height) px.
        cut_out: with alpha in place of a background.
    """
    width, height = size
    shades = _Shades()
    column = np.linspace(shades.top, shades.bottom, height, dtype=np.float32)[:, None]
    ground = np.repeat(np.repeat(column, width, 1)[..., None], 3, 2).astype(np.uint8)
    person = np.zeros((height, width), np.uint8)
    centre, unit = (width // 2, int(0.42 * height)), height / 100
    cv2.ellipse(person, centre, (int(17 * unit), int(22 * unit)), 0, 0, 360, 255, -1, cv2.LINE_AA)
    shoulders = (width // 2, int(1.02 * height))
    cv2.ellipse(person, shoulders, (int(42 * unit), int(33 * unit)), 0, 0, 360, 255, -1, cv2.LINE_AA)
    alpha = (person.astype(np.float32) / 255)[..., None]
    rest = (ground * (0 if cut_out else 1 - alpha) + shades.person * alpha).astype(np.uint8)
    lift = cv2.resize(person, (-(-width // STEP), -(-height // STEP)), interpolation=cv2.INTER_AREA)
    soft = cv2.GaussianBlur(lift.astype(np.float32) / 255, (0, 0), 4.0)
    breath = np.stack([np.zeros_like(soft), -0.006 * height * soft], axis=2)
    no_blink, covers = np.zeros((0, 1, 1, 3), np.uint8), person if cut_out else None
    return IdlePortrait(rest, breath, np.zeros_like(breath), no_blink, (0, 0), covers)


def save(portrait: IdlePortrait, path: Path) -> None:
    """Keep an idle portrait for the next start.

    Raises:
        OutputError: the file cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        with atomic_output(path) as part, part.open("wb") as file:
            np.savez(file, **_arrays(portrait))
    except OSError as error:
        raise OutputError(*shortage(f"{path} cannot be written", error, "Free some space")) from error


def _arrays(portrait: IdlePortrait) -> dict[str, Any]:
    """What a file holds; a plane of no pixels says that there is no alpha."""
    alpha = _NO_ALPHA if portrait.alpha is None else portrait.alpha
    return {f.name: np.asarray(getattr(portrait, f.name)) for f in fields(portrait)} | {"alpha": alpha}


def load(path: Path, size: tuple[int, int]) -> IdlePortrait | None:
    """The idle portrait in a file, or None if it is absent, damaged, foreign or of another size."""
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
            kept = {f.name: arrays[f.name] for f in fields(IdlePortrait)}
        left, top = (int(side) for side in kept.pop("blink_at"))
        alpha = kept.pop("alpha")
        portrait = IdlePortrait(**kept, blink_at=(left, top), alpha=alpha if alpha.size else None)
    except (OSError, ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile, zlib.error):
        return None
    return portrait if _is_sound(portrait, size) else None


def _is_sound(portrait: IdlePortrait, size: tuple[int, int]) -> bool:
    """Whether all parts have the types and shapes that a frame of this size needs."""
    width, height = size
    grid = (-(-height // STEP), -(-width // STEP), 2)
    flows: tuple[F32, ...] = (portrait.breath, portrait.sway)
    if portrait.rest.shape != (height, width, 3) or max(size) > _LARGEST_SIDE:
        return False
    alpha = portrait.rest[..., 0] if portrait.alpha is None else portrait.alpha
    if alpha.shape != (height, width):
        return False
    if any(flow.shape != grid or flow.dtype != np.float32 or not np.isfinite(flow).all() for flow in flows):
        return False
    kinds = {part.dtype for part in (portrait.rest, portrait.blink, alpha)}
    if portrait.blink.ndim != 4 or kinds != {np.dtype(np.uint8)}:
        return False
    left, top = portrait.blink_at
    inside = left >= 0 and top >= 0 and left + portrait.blink.shape[2] <= width
    return inside and top + portrait.blink.shape[1] <= height and portrait.blink.shape[3] == 3
