"""What the frame shows beyond the photo's borders, where the photo does not fill it, and what happens there.

A plain wall is continued (plate.py). Elsewhere, and where a border cuts the person, the photo stands as a
picture with clean edges before itself, enlarged, blurred and darkened, as phone videos are on wide screens.
"""

from __future__ import annotations

from typing import Final

import cv2
import numpy as np

from streamfx.frames import F32, U8, Mask
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
_BLUR: Final = 0.05
"""Of the frame's height: sigma."""
_DARKENED: Final = 0.6
_COARSE: Final = 8
"""px of the frame per pixel at which a blurred picture is made."""


def cut_line(opacity: F32, known: F32) -> Mask:
    """bool [H,W]: where the photo's borders cut the person.

    Args:
        opacity: f32 [H,W] 0..1: the person.
        known: f32 [H,W]: 1 where the photo has pixels, 0 beyond.
    """
    return (opacity > _BODY) & (known > 0) & grown(1 - known, 0.5, _LINE)


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
    rows, columns = np.flatnonzero(inside.any(1)), np.flatnonzero(inside.any(0))
    band = max(2, round(_BAND * height))
    top, left, right = int(rows[0]), int(columns[0]), int(columns[-1]) + 1
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
    sigma = _BLUR * placement.size[1] / _COARSE
    soft = _DARKENED * cv2.GaussianBlur(filled, (0, 0), sigma, borderType=cv2.BORDER_REPLICATE)
    return np.asarray(cv2.resize(soft, (width, height), interpolation=cv2.INTER_LINEAR), np.float32)
