"""A frame of one colour around the picture (of a print, a screenshot, a letterbox): no part of the photo."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np

from streamfx.frames import F32, U8
from streamfx.portrait.checks import Finding
from streamfx.portrait.photo import Photo
from streamfx.portrait.rounded import without_corners

_UNIFORM = 10  # grey levels by which a border's pixels may differ from its colour (JPEG rings near the edge)
_GRAIN = 7  # px along a row over which paper's and film's grain is averaged
_MOST_OF = 0.98  # of a row that has to have the border's colour
_STEP, _ALONG = (
    14,
    0.85,
)  # grey levels, and the part of its length at which the picture differs right behind it
_THINNEST, _THICKEST = 0.01, 0.4  # of the picture's shorter and whole side
_SOFT = 2  # px of the edge between border and picture, cut off with it


def without_border(photo: Photo) -> Photo:
    """The photo without the frame around it, if there is one on two opposite sides, and with a finding.

    A plain wall is no frame: behind it no straight edge begins along nearly the whole side. Of a circle on a
    plain ground the corners are filled.
    """
    photo = without_corners(photo)
    height, width = photo.rgb.shape[:2]
    rows, columns = photo.rgb, photo.rgb.swapaxes(0, 1)
    top, bottom = _thickness(rows)
    left, right = _thickness(columns[:, top : height - bottom])
    if not (top or left):
        return photo
    cut = np.ascontiguousarray(rows[top : height - bottom, left : width - right])
    cause = f"a plain border ({max(top, bottom, left, right)} px) lies around the picture and was cut off"
    found = Finding(cause, "Crop the photo yourself, if that was wrong")
    return replace(photo, rgb=cut, findings=(*photo.findings, found))


def _thickness(lines: U8) -> tuple[int, int]:
    """Lines that are border at the first and at the last of u8 [n,m,3]; both 0 where one has none.

    Where both are as thick, the picture need not begin clearly at both: letterboxes have dark pictures, too.
    """
    (first, begins), (last, ends) = (_plain_lines(side) for side in (lines, lines[::-1]))
    alike = abs(first - last) <= _SOFT
    if not (first and last and ((begins and ends) or (alike and (begins or ends)))):
        return 0, 0
    return first + _SOFT, last + _SOFT


def _plain_lines(lines: U8) -> tuple[int, bool]:
    """How many lines from the first on are plain, 0 for too few or many; whether a picture begins there."""
    most = int(_THICKEST * len(lines))
    colour = np.median(lines[0], axis=0)
    step = max(1, lines.shape[1] // 512)
    even = cv2.blur(lines[: most + _SOFT + 2], (_GRAIN, 1))
    apart = np.abs(even[:, ::step].astype(np.float32) - colour).max(2)
    plain = (apart <= _UNIFORM).mean(1) >= _MOST_OF
    thick = 0 if plain.all() else int(plain.argmin())
    if thick < max(3, _THINNEST * min(lines.shape[:2])) or thick > most:
        return 0, False
    return thick, _begins(apart, thick)


def _begins(apart: F32, line: int) -> bool:
    """Whether the picture begins behind a line, along nearly all of it.

    Args:
        apart: f32 [n,m]: how far each pixel is from the border's colour.
        line: the first that is not border.
    """
    behind = apart[line : line + _SOFT + 2].max(0)
    inside = behind > _STEP
    if not inside.any():
        return False
    first, last = np.flatnonzero(inside)[[0, -1]]
    wide = (last - first + 1) / len(inside)
    return bool(wide > 0.5 and inside[first : last + 1].mean() >= _ALONG)
