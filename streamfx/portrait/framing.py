"""Which part of the photo the frame shows: head and shoulders, whatever the photo's size and aspect.

The person stands on the frame's lower edge: where the photo or the person in it ends below, the frame ends
too. A closer crop is preferred to inventing what is beside the photo; only where the head and its motion
would have no room in one is the photo extended (surroundings.py).
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from streamfx.frames import F32, U8
from streamfx.geometry import Real
from streamfx.portrait.masks import holding
from streamfx.settings.framing import AS_IT_FITS, Framing, FramingKind

PAD = 0.14
"""Share of the frame's width that textures extend beyond it: what the head's motion may bring into view."""

_FACE_SMALLEST = 0.34  # face height / frame height: below, zoom in
_FACE_LARGEST = 0.72  # above, its motion has no room: more of the photo is shown, or it is extended
_HAIR_MOST = 0.7  # face heights above the face: what reaches higher is a hat, or another person
_FACE_EXTENDED = 0.58  # the face in a photo that has to be extended
_FACE_CLOSE, _FACE_LEAST = 0.62, 0.16  # in a close framing; and in any
_FACE_MOST = 0.92  # of the frame, whatever the user's zoom
_FACE_CENTRE = 0.53  # of the frame's height
_ASIDE = 0.36  # of the frame's width: no nearer to its edge the face is moved to have the photo in the middle
_MARGIN = 0.02  # of the frame: between the face and its edge
_REDUCED, _ENLARGED = 0.6, 1.2  # scales below which areas are averaged, above which sampling is cubic
_EDGE = 0.5  # px: half a pixel around the outermost centres still belongs to the photo
_LOOK = 256  # px of the longer side at which the person's outline is looked at
_BODY = 0.5  # of the mask: what belongs to the person
_TOUCH = 0.012  # of the photo's side: how near to its border a person counts as cut by it
_GROUND = 0.8  # face heights: how wide a torso must be to stand on


@dataclass(frozen=True, slots=True)
class Placement:
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


@dataclass(frozen=True, slots=True)
class _Subject:
    """What of a photo decides how it is framed, in px of the photo."""

    size: tuple[int, int]
    """(width, height) of the photo."""
    low: tuple[float, float]
    """left, top of the face oval"""
    high: tuple[float, float]
    """right, bottom of the face oval"""
    crown: float
    """Where the hair above the face ends."""
    floor: float
    """Where the person ends below: nothing of the frame lies beneath."""
    cut: tuple[bool, bool, bool]
    """Whether the photo's left, right and upper border cut the person."""

    @staticmethod
    def of(size: tuple[int, int], oval: F32, person: F32) -> _Subject:
        """Look at the person's mask (f32 [H,W]) in a photo with that face oval (f32 [36,2])."""
        low, high = oval.min(0), oval.max(0)
        height = size[1]
        factor = min(1.0, _LOOK / max(size))
        small = cv2.resize(person, None, fx=factor, fy=factor, interpolation=cv2.INTER_AREA)
        body = holding(small > _BODY, (low + high) / 2 * factor)
        rows, columns = np.flatnonzero(body.any(1)), np.flatnonzero(body.any(0))
        if not len(rows):
            return _Subject(size, _pair(low), _pair(high), float(low[1]), float(height), (False,) * 3)
        near_x, near_y = _TOUCH * body.shape[1], _TOUCH * body.shape[0]
        cut = columns[0] <= near_x, body.shape[1] - 1 - columns[-1] <= near_x, rows[0] <= near_y
        above = body[:, slice(*np.rint(np.clip([low[0], high[0]], 0, size[0] - 1) * factor).astype(int))]
        hair = np.flatnonzero(above.any(1))
        top, most = float(low[1]), _HAIR_MOST * float(high[1] - low[1])
        crown = min(top, max(hair[0] / factor, top - most)) if len(hair) else top
        wide = np.flatnonzero(body.sum(1) >= _GROUND * (high[1] - low[1]) * factor)
        end = (wide[-1] if len(wide) else rows[-1]) + 1
        ends = body.shape[0] - end > near_y
        floor = max(end / factor, float(high[1])) if ends else float(height)
        return _Subject(size, _pair(low), _pair(high), crown, min(floor, height), cut)

    @property
    def face(self) -> float:
        """Height of the face."""
        return self.high[1] - self.low[1]

    @property
    def head(self) -> float:
        """Height of the face with the hair above it."""
        return self.high[1] - self.crown

    @property
    def centre(self) -> tuple[float, float]:
        """Of the face."""
        return (self.low[0] + self.high[0]) / 2, (self.low[1] + self.high[1]) / 2


@dataclass(frozen=True, slots=True)
class _Window:
    """What the frame shows, in px of the photo; it may reach beyond its borders."""

    left: float
    top: float
    width: float
    height: float


def frame_portrait(
    photo_size: tuple[int, int],
    oval: F32,
    person: F32,
    size: tuple[int, int],
    framing: Framing = AS_IT_FITS,
) -> Placement:
    """Choose the window of the photo that the frame shows.

    Args:
        photo_size: (width, height) px.
        oval: f32 [36,2] px: the face oval in the photo.
        person: f32 [H,W] 0..1: person mask of the photo.
        size: (width, height) of the frame, px.
        framing: what the user wants.
    """
    subject = _Subject.of(photo_size, oval, person)
    window = _adjusted(_window(subject, size[0] / size[1], framing.kind), subject, framing)
    scale = size[1] / window.height
    # A photo pixel's centre (i + 1/2) * scale - 1/2 in frame pixels: keeps the picture centred when resized.
    half = (scale - 1) / 2
    offset = half - window.left * scale, half - window.top * scale
    return Placement(scale, offset, size, round(PAD * size[0]))


def _window(subject: _Subject, aspect: float, kind: FramingKind) -> _Window:
    """The window of a kind of framing, width / height = `aspect`, before the user's changes."""
    height = _window_height(subject, aspect, kind)
    has_room = subject.floor > subject.face / _FACE_MOST
    if kind is not FramingKind.PHOTO and subject.cut[2] and has_room:
        height = min(height, subject.floor)  # what is cut above by the photo is cut there by the frame
    width = aspect * height
    floor = subject.size[1] if kind is FramingKind.PHOTO else subject.floor
    top = min(subject.centre[1] - _FACE_CENTRE * height, floor - height)
    if kind is FramingKind.AUTO and subject.head < (1 - 2 * _MARGIN) * height:
        top = min(top, subject.crown - _MARGIN * height)
    return _Window(_left(subject, width), max(top, min(0.0, floor - height)), width, height)


def _window_height(subject: _Subject, aspect: float, kind: FramingKind) -> float:
    face, (photo_w, photo_h) = subject.face, subject.size
    covering = min(subject.floor, photo_w / aspect)
    if kind is FramingKind.CLOSE:
        return face / _FACE_CLOSE
    if kind is FramingKind.PHOTO:
        return min(max(photo_h, photo_w / aspect), face / _FACE_LEAST)
    if kind is FramingKind.WIDE:
        return min(max(covering, face / _FACE_SMALLEST), face / _FACE_LEAST)
    least = max(face / _FACE_LARGEST, min(subject.head, subject.floor))
    if covering < least:
        return max(least, min(face / _FACE_EXTENDED, subject.floor))
    return min(covering, face / _FACE_SMALLEST)


def _left(subject: _Subject, width: float) -> float:
    """Where a window of that width begins: the face in its middle, as far as the photo allows."""
    centre, photo = subject.centre[0], subject.size[0]
    middle = centre - width / 2
    if width <= photo:
        return min(max(middle, 0.0), photo - width)
    reach = (0.5 - _ASIDE) * width if any(subject.cut[:2]) else 0.0  # a photo with an edge, in the middle
    return min(max((photo - width) / 2, middle - reach, photo - width), middle + reach, 0.0)


def _adjusted(window: _Window, subject: _Subject, framing: Framing) -> _Window:
    """A window with the user's zoom and shift, as far as the whole face stays in it and nothing floats."""
    face_w = subject.high[0] - subject.low[0]
    aspect = window.width / window.height
    least = max(subject.face, face_w / aspect) / _FACE_MOST
    height = min(max(window.height / framing.zoom, least), max(subject.face / _FACE_LEAST, least))
    width = aspect * height
    at_x = (subject.centre[0] - window.left) / window.width + framing.x
    at_y = (subject.centre[1] - window.top) / window.height + framing.y
    left, top = subject.centre[0] - at_x * width, subject.centre[1] - at_y * height
    left = _holding(left, width, subject.low[0], subject.high[0])
    top = min(top, max(window.top + window.height, subject.floor) - height)
    chin = min(subject.high[1], subject.floor - _MARGIN * height)  # cut by the photo, cut by the frame
    return _Window(left, _holding(top, height, subject.low[1], chin), width, height)


def _holding(start: float, length: float, low: float, high: float) -> float:
    """`start` moved so that [start, start + length] holds [low, high] with a margin; it is long enough."""
    margin = _MARGIN * length
    return min(max(start, high + margin - length), low - margin)


def _pair(point: F32) -> tuple[float, float]:
    return float(point[0]), float(point[1])


def framed(picture: U8 | F32, placement: Placement, *, beyond: bool = False) -> F32:
    """`picture` (u8 or f32 [H,W] or [H,W,C]) brought to texture size, f32; zero outside the photo.

    `beyond`: what stands at the photo's borders goes on there.
    """
    matrix = placement.canvas_matrix().astype(np.float64)
    if placement.scale < _REDUCED:  # bilinear sampling would alias: average first, then place
        factor = 1.0 / max(1, round(1.0 / placement.scale))
        height, width = picture.shape[:2]
        reduced = (max(1, round(width * factor)), max(1, round(height * factor)))
        picture = cv2.resize(picture, reduced, interpolation=cv2.INTER_AREA)
        fx, fy = width / reduced[0], height / reduced[1]
        matrix = matrix @ np.array([[fx, 0, (fx - 1) / 2], [0, fy, (fy - 1) / 2], [0, 0, 1]])
    flags = cv2.INTER_CUBIC if placement.scale > _ENLARGED and picture.ndim == 3 else cv2.INTER_LINEAR
    picture, size = picture.astype(np.float32), placement.canvas_size
    moved = cv2.warpAffine(picture, matrix, size, flags=flags, borderMode=cv2.BORDER_REPLICATE)

    if beyond:
        return np.asarray(moved, np.float32)
    inside = photo_area(picture.shape[:2], matrix, placement)
    out: F32 = moved * (inside[..., None] if moved.ndim == 3 else inside)
    return out


def photo_area(shape: tuple[int, ...], matrix: Real, placement: Placement) -> F32:
    """f32 [Hc,Wc] 1 where the texture shows the photo, 0 beyond its borders.

    Args:
        shape: the photo's (height, width).
        matrix: [2,3]: photo px -> texture px.
        placement: tells the texture's size.
    """
    width, height = placement.canvas_size
    across = _reach(np.arange(width), matrix[0][2], matrix[0][0], shape[1])
    down = _reach(np.arange(height), matrix[1][2], matrix[1][1], shape[0])
    return (down[:, None] * across[None, :]).astype(np.float32)


def _reach(position: npt.NDArray[np.integer], start: float, step: float, count: int) -> F32:
    """1 at positions between the first and the last of `count` pixels, 0 elsewhere, f32 like `position`."""
    end = start + (count - 1) * step
    return ((position >= start - _EDGE) & (position <= end + _EDGE)).astype(np.float32)
