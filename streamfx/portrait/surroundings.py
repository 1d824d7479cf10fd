"""What the frame shows beyond the photo's borders, where the photo does not fill it, and what happens there.

A plain wall is continued (plate.py). Elsewhere, and where a border cuts the person, the photo stands as a
picture with clean edges before itself, enlarged, blurred and darkened, as phone videos are on wide screens.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np

from streamfx.frames import F32, I32, I64, U8, Mask
from streamfx.portrait.framing import Placement
from streamfx.portrait.masks import grown

_BODY = 0.4  # of opacity: what belongs to the person
_LINE = 2.0  # px inside the photo's border that count as on it
_FEW = 0.01  # of the frame's height: a cut shorter than that is none
_BAND = 0.08  # of the frame's height: how far inside a border the background is looked at
_CLEAR = 0.06  # the same, around the person
_LEAST = 0.15  # of a band that must be background to be judged
_PLAIN: Final = 7.0
"""Grey levels that a plain background differs, rms, from an even gradient."""
_ENLARGED: Final = 1.15
"""Times the size at which the photo fills the frame."""
_BLUR: Final = 0.09
"""Of the frame's width: sigma. Of a face that fills the photo no eye is made out any more."""
_DARKENED: Final = 0.6
_SIDE = 0.12  # face heights beside the photo's borders that are repeated beyond
_HAIR, _NECK = 0.2, 0.5  # the same above and below, of what is there of hair and neck
_REPEATED = 1.5  # bands of hair, over which its detail ends
_EVEN = 0.12  # face heights over which its colours are mixed
_SKULL, _BULGE = 0.62, 0.9  # face heights: radius of what closes above hair that is cut, and beside
_WIDER = 1.05  # times half the cut: the least radius
_SOFT = 4.0  # px over which it ends
_COARSE: Final = 8
"""px of the frame per pixel at which a blurred picture is made."""


def cut_line(opacity: F32, known: F32) -> Mask:
    """bool [H,W]: where the photo's borders cut the person.

    Args:
        opacity: f32 [H,W] 0..1: the person.
        known: f32 [H,W]: 1 where the photo has pixels, 0 beyond.
    """
    return (opacity > _BODY) & (known > 0) & grown(1 - known, 0.5, _LINE)


@dataclass(frozen=True, slots=True)
class Person:
    """The person at texture size, continued where the photo ends: what motion may bring into view."""

    rgb: F32
    """f32 [H,W,3] 0..255; the photo where there is one."""
    opacity: F32
    """f32 [H,W] 0..1"""


def continued(picture: F32, opacity: F32, known: F32, oval: F32) -> Person:
    """Continue the person beyond the photo: hair closes in a dome, shoulders and torso go on.

    Args:
        picture: f32 [H,W,3] 0..255: the photo at texture size; 0 beyond its borders.
        opacity: f32 [H,W] 0..1: the person; 0 beyond the photo.
        known: f32 [H,W]: 1 where the photo has pixels, 0 beyond.
        oval: f32 [36,2] px of the texture.
    """
    if known.all():
        return Person(picture, opacity)
    rows, columns = np.flatnonzero(known.any(1)), np.flatnonzero(known.any(0))
    (up, down), (left, right) = rows[[0, -1]], columns[[0, -1]]
    top, chin = float(oval[:, 1].min()), float(oval[:, 1].max())
    side = _SIDE * (chin - top)
    across = _mirrored(known.shape[1], left, right, side, side)
    along = _mirrored(known.shape[0], up, down, _HAIR * (top - up), _NECK * (down - chin))
    inside = known > 0
    rgb = np.where(inside[..., None], picture, picture[along[:, None], across[None, :]])
    if up:
        rgb[:up] = _above(rgb[:up], picture[up], opacity[up], max(1.0, _HAIR * (top - up)), chin - top)
    more = np.where(inside, opacity, 0)
    more[down + 1 :] = opacity[down]
    more[:up] = _dome(opacity[up], up, _SKULL * (chin - top))
    for part in (np.s_[: round(chin)], np.s_[round(chin) :]):
        more[part, :left] = _dome(more[part, left], left, _BULGE * (chin - top)).T
        width = known.shape[1] - right - 1
        more[part, right + 1 :] = _dome(more[part, right], width, _BULGE * (chin - top))[::-1].T
    return Person(rgb, more)


def _above(mirrored: F32, row: F32, opacity: F32, band: float, face: float) -> F32:
    """f32 [up,W,3]: what stands above the photo: near it hair, mirrored, farther away its smooth colour.

    A narrow band, of a photo that ends where hair begins, would be drawn out into streaks.

    Args:
        mirrored: f32 [up,W,3]: the photo's upper band, to and fro.
        row: f32 [W,3]: the photo's first.
        opacity: f32 [W]: of the person in it.
        band: px of what is mirrored at once.
        face: px of its height.
    """
    weight, sigma = opacity[None, :, None] + np.float32(1e-4), _EVEN * face
    smooth = _across(row[None] * weight, sigma) / _across(weight, sigma)
    away = np.arange(len(mirrored), 0, -1, dtype=np.float32)[:, None, None] / (_REPEATED * band)
    return np.asarray(smooth + np.exp(-np.square(away)) * (mirrored - smooth), np.float32)


def _across(line: F32, sigma: float) -> F32:
    """f32 [1,W,C], blurred along the row."""
    blurred = cv2.GaussianBlur(line, (0, 0), sigma, sigmaY=1.0, borderType=cv2.BORDER_REPLICATE)
    return np.asarray(blurred.reshape(line.shape), np.float32)


def _mirrored(length: int, start: int, end: int, before: float, after: float) -> I64:
    """i64 [length]: for each place the one within start..end that is shown there: bands there, to and fro."""
    place = np.arange(length)
    low, high = (int(np.clip(band, 1, end - start + 1)) for band in (before, after))
    out = np.where(place < start, start + _to_and_fro(start - 1 - place, low), place)
    return np.asarray(np.where(place > end, end - _to_and_fro(place - end - 1, high), out), np.int64)


def _to_and_fro(steps: I64, band: int) -> I64:
    turn = steps % (2 * band)
    return np.minimum(turn, 2 * band - 1 - turn)


def _dome(edge: F32, height: int, radius: float) -> F32:
    """f32 [height,N] 0..1: closes above the longest opaque run of an edge f32 [N], the row that would follow.

    It is the cap of a circle of that radius in px, or of the least one that is wide enough.
    """
    starts, ends = _runs(edge > _BODY)
    if not starts.size or not height:
        return np.zeros((height, len(edge)), np.float32)
    longest = int(np.argmax(ends - starts))
    middle, half = (starts[longest] + ends[longest] - 1) / 2, (ends[longest] - starts[longest]) / 2
    radius = max(radius, _WIDER * half)
    up = height - np.arange(height, dtype=np.float32)[:, None] + np.sqrt(radius**2 - half**2)
    aside = np.arange(len(edge), dtype=np.float32)[None, :] - middle
    inside = radius - np.sqrt(np.square(up) + np.square(aside))
    return np.asarray(np.clip(inside / _SOFT + 0.5, 0, 1), np.float32)


def _runs(mask: Mask) -> tuple[I64, I64]:
    """Where runs of True in a mask [N] begin, and where they have ended: i64 [R] each."""
    steps = np.diff(np.concatenate([[0], mask.astype(np.int8), [0]]))
    return np.flatnonzero(steps > 0), np.flatnonzero(steps < 0)


def area(known: F32, pad: int) -> I32:
    """i32 [4]: left, top, right, bottom px of the frame that the photo covers; `pad`: see Rig."""
    inner = known[pad:-pad, pad:-pad] > 0
    rows, columns = np.flatnonzero(inner.any(1)), np.flatnonzero(inner.any(0))
    return np.array([columns[0], rows[0], columns[-1] + 1, rows[-1] + 1], np.int32)


def is_filled(known: F32, pad: int) -> bool:
    """Whether the photo fills the frame, which lies `pad` px inside the texture f32 [H,W]."""
    return bool(known[pad:-pad, pad:-pad].all())


def is_plain(framed: F32, known: F32, opacity: F32, placement: Placement) -> bool:
    """Whether the background can be continued at every border of the photo that the frame shows.

    Args:
        framed: f32 [H,W,3] 0..255: the photo at texture size.
        known: f32 [H,W]: 1 where the photo has pixels, 0 beyond.
        opacity: f32 [H,W] 0..1: the person.
        placement: of the photo in the frame.
    """
    pad, height = placement.pad, placement.size[1]
    inner = np.s_[pad:-pad, pad:-pad]
    inside, cut = known[inner] > 0, cut_line(opacity, known)[inner]
    free = inside & ~grown(opacity, _BODY, _CLEAR * height)[inner]
    left, top, right, _ = area(known, pad).tolist()
    band = max(2, round(_BAND * height))
    sides: list[tuple[slice, slice]] = []
    if top > 0:
        sides.append(np.s_[top : top + band, :])
    if left > 0:
        sides.append(np.s_[:, left : left + band])
    if right < inside.shape[1]:
        sides.append(np.s_[:, right - band : right])
    return all(_is_even(framed[inner][side], free[side]) and _is_whole(cut[side], height) for side in sides)


def _is_whole(cut: Mask, height: int) -> bool:
    return int(cut.sum()) <= _FEW * height * _LINE


def _is_even(rgb: F32, free: Mask) -> bool:
    """Whether what is free in f32 [h,w,3] is an even gradient, but for grain."""
    if free.mean() < _LEAST:
        return False
    soft = cv2.GaussianBlur(rgb, (0, 0), 1.0)
    y, x = np.nonzero(free)
    terms = np.column_stack([np.ones_like(x), x, y, x * x, y * y]).astype(np.float64)
    terms /= np.maximum(terms.max(0), 1)
    values = soft[y, x].astype(np.float64)
    solved = np.linalg.lstsq(terms, values, rcond=None)[0]
    return float(np.sqrt(np.mean(np.square(values - terms @ solved)))) < _PLAIN


def backdrop(photo: U8, placement: Placement) -> F32:
    """f32 [Hc,Wc,3]: the photo (u8 [H,W,3]) that fills the frame, blurred and darkened."""
    width, height = placement.canvas_size
    small = max(2, width // _COARSE), max(2, height // _COARSE)
    scale = _ENLARGED * max(placement.size[0] / photo.shape[1], placement.size[1] / photo.shape[0]) / _COARSE
    reduced = cv2.resize(photo, None, fx=min(1.0, scale), fy=min(1.0, scale), interpolation=cv2.INTER_AREA)
    rest = scale / min(1.0, scale)
    x, y = ((small[i] - 1 - rest * (reduced.shape[1 - i] - 1)) / 2 for i in (0, 1))
    place = np.array([[rest, 0, x], [0, rest, y]])
    filled = cv2.warpAffine(reduced.astype(np.float32), place, small, borderMode=cv2.BORDER_REPLICATE)
    sigma = _BLUR * placement.size[0] / _COARSE
    soft = _DARKENED * cv2.GaussianBlur(filled, (0, 0), sigma, borderType=cv2.BORDER_REPLICATE)
    return np.asarray(cv2.resize(soft, (width, height), interpolation=cv2.INTER_LINEAR), np.float32)
