"""Which part of the photo the frame shows: head and shoulders, whatever the photo's size and aspect."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from streamfx.frames import F32, U8
from streamfx.geometry import Real

PAD = 0.14
"""Share of the frame's width that textures extend beyond it: what the head's motion may bring into view."""

_FACE_SMALLEST = 0.34  # face height / frame height: below, zoom in
_FACE_LARGEST = 0.60  # above, show more of the photo, or extend it
_FADE = 0.10  # of the frame's height: how softly the person ends at the photo's border
_FACE_CENTRE = 0.53  # of the frame's height
_REDUCED, _ENLARGED = 0.6, 1.2  # scales below which areas are averaged, above which sampling is cubic
_EDGE = 0.5  # px: half a pixel around the outermost centres still belongs to the photo


@dataclass(frozen=True, slots=True)
class Framing:
    """The map photo px -> frame px: scale, then offset."""

    scale: float
    """Frame px per photo px."""
    offset: tuple[float, float]
    """px of the frame where the photo's first pixel lies."""
    size: tuple[int, int]
    """(width, height) px of the frame."""
    pad: int
    """px of texture beyond the frame."""

    def points(self, photo_points: F32) -> F32:
        """Photo px -> frame px, f32 [...,2] or [...,3] (z is scaled only)."""
        out = photo_points * np.float32(self.scale)
        out[..., :2] += np.asarray(self.offset, np.float32)
        return out.astype(np.float32)

    def canvas_matrix(self) -> F32:
        """f32 [2,3]: photo px -> texture px (frame + pad)."""
        return np.array(
            [
                [self.scale, 0, self.offset[0] + self.pad],
                [0, self.scale, self.offset[1] + self.pad],
            ],
            np.float32,
        )

    @property
    def canvas_size(self) -> tuple[int, int]:
        """(width, height) px of the textures."""
        return self.size[0] + 2 * self.pad, self.size[1] + 2 * self.pad


def frame_portrait(photo_size: tuple[int, int], oval: F32, size: tuple[int, int]) -> Framing:
    """Choose the window of the photo that the frame shows.

    The largest window of the frame's aspect that fits in the photo is taken, unless the face would be too
    small in it (then the window shrinks) or too large (then it grows beyond the photo, which is extended).

    Args:
        photo_size: (width, height) px.
        oval: f32 [36,2] px: the face oval in the photo.
        size: (width, height) of the frame, px.
    """
    (photo_w, photo_h), (width, height) = photo_size, size
    top_left, bottom_right = oval.min(0), oval.max(0)
    face_height = float(bottom_right[1] - top_left[1])
    covering = min(photo_h, photo_w * height / width)
    window_h = float(np.clip(covering, face_height / _FACE_LARGEST, face_height / _FACE_SMALLEST))
    window_w = window_h * width / height
    centre = (top_left + bottom_right) / 2
    left = _inside(float(centre[0]) - window_w / 2, window_w, photo_w)
    top = _inside(float(centre[1]) - window_h * _FACE_CENTRE, window_h, photo_h)
    scale = height / window_h
    # A photo pixel's centre (i + 1/2) * scale - 1/2 in frame pixels: keeps the picture centred when resized.
    half = (scale - 1) / 2
    return Framing(scale, (half - left * scale, half - top * scale), size, round(PAD * width))


def _inside(start: float, length: float, limit: float) -> float:
    """Move [start, start+length] into [0, limit]; centre it where it does not fit."""
    if length >= limit:
        return (limit - length) / 2
    return min(max(start, 0.0), limit - length)


def framed(picture: U8 | F32, framing: Framing) -> F32:
    """`picture` (u8 or f32 [H,W] or [H,W,C]) brought to texture size, f32; zero outside the photo."""
    matrix = framing.canvas_matrix().astype(np.float64)
    if framing.scale < _REDUCED:  # bilinear sampling would alias: average first, then place
        factor = 1.0 / max(1, round(1.0 / framing.scale))
        height, width = picture.shape[:2]
        reduced = (max(1, round(width * factor)), max(1, round(height * factor)))
        picture = cv2.resize(picture, reduced, interpolation=cv2.INTER_AREA)
        fx, fy = width / reduced[0], height / reduced[1]
        matrix = matrix @ np.array([[fx, 0, (fx - 1) / 2], [0, fy, (fy - 1) / 2], [0, 0, 1]])
    flags = cv2.INTER_CUBIC if framing.scale > _ENLARGED and picture.ndim == 3 else cv2.INTER_LINEAR
    moved = cv2.warpAffine(
        picture.astype(np.float32), matrix, framing.canvas_size, flags=flags, borderMode=cv2.BORDER_REPLICATE
    )
    inside = photo_area(picture.shape[:2], matrix, framing)
    out: F32 = moved * (inside[..., None] if moved.ndim == 3 else inside)
    return out


def photo_area(shape: tuple[int, ...], matrix: Real, framing: Framing) -> F32:
    """f32 [Hc,Wc] 1 where the texture shows the photo, 0 beyond its borders.

    Args:
        shape: the photo's (height, width).
        matrix: [2,3]: photo px -> texture px.
        framing: tells the texture's size.
    """
    width, height = framing.canvas_size
    across = _reach(np.arange(width), matrix[0][2], matrix[0][0], shape[1])
    down = _reach(np.arange(height), matrix[1][2], matrix[1][1], shape[0])
    return (down[:, None] * across[None, :]).astype(np.float32)


def border_fade(shape: tuple[int, ...], framing: Framing) -> F32:
    """f32 [Hc,Wc] 0..1: falls to 0 towards those borders of the photo that lie inside the frame.

    Where a photo is too narrow for the frame, the person melts into the extended background instead of ending
    at a hard edge.
    """
    matrix, pad, soft = framing.canvas_matrix(), framing.pad, _FADE * framing.size[1]
    fades = []
    for axis, length in ((0, shape[1]), (1, shape[0])):
        position = np.arange(framing.canvas_size[axis])
        start, end = float(matrix[axis][2]), float(matrix[axis][2] + length * framing.scale)
        fade = np.ones(len(position), np.float32)
        if start > pad + 1:
            fade = np.minimum(fade, np.clip((position - start) / soft, 0, 1))
        if end < pad + framing.size[axis] - 1:
            fade = np.minimum(fade, np.clip((end - position) / soft, 0, 1))
        fades.append(fade * fade * (3 - 2 * fade))
    return (fades[1][:, None] * fades[0][None, :]).astype(np.float32)


def _reach(position: npt.NDArray[np.integer], start: float, step: float, count: int) -> F32:
    """1 at positions between the first and the last of `count` pixels, 0 elsewhere, f32 like `position`."""
    end = start + (count - 1) * step
    return ((position >= start - _EDGE) & (position <= end + _EDGE)).astype(np.float32)
