"""Drawing the eyeballs through their lids: gaze moves the iris, no lid squashes it (algorithm.md#eyes)."""

from __future__ import annotations

from dataclasses import dataclass
from math import dist, hypot, sqrt
from typing import Self

import cv2
import numpy as np

from streamfx.frames import F32, U8, Deformation, EyeLayer, Rig
from streamfx.render.kernels import coverage, draw_eye
from streamfx.render.rectify import box_of, move
from streamfx.topology import EYES

_TALLER = 1.35  # an eye opened wider than in the photo is stretched by the root of its opening, at most this
_LINE_BLUR = 0.6  # px: softness of the lid line
_LINE_MARGIN = 2  # px around it that this softness may reach
_LEAST_LENGTH = 1e-3  # px: eyes turned to a line are no reason to divide by 0


@dataclass(frozen=True, slots=True)
class _Measure:
    """An eye's place and size in a picture, px. Plain numbers: numpy would take ten times as long."""

    x: float
    y: float
    """Midway between the corners."""
    along: tuple[float, float]
    """Unit vector from corner to corner."""
    width: float
    """Distance of the corners."""
    opening: float
    """Mean gap of the lids over the width."""

    @classmethod
    def of(cls, lids: F32) -> Self:
        """Measure lid lines f32 [16,2] px, in the order of topology.EYES."""
        points = lids.tolist()
        (ax, ay), (bx, by) = points[0], points[8]
        width = max(dist(points[0], points[8]), _LEAST_LENGTH)
        gaps = [dist(points[k], points[16 - k]) for k in range(2, 7)]
        along = ((bx - ax) / width, (by - ay) / width)
        return cls((ax + bx) / 2, (ay + by) / 2, along, width, sum(gaps) / (len(gaps) * width))


@dataclass(frozen=True, slots=True)
class Sight:
    """What is seen of one eyeball in a picture."""

    left: int
    top: int
    """The picture's pixel that mask[0,0] stands for."""
    mask: F32
    """f32 [h,w] 0..1: the opening between the lids."""
    place: F32
    """f32 [2,3]: picture px -> texture px."""
    gaze: F32
    """f32 [2]: iris offset in texture px."""


class EyeDrawer:
    """Draws both eyes of one rig."""

    def __init__(self, rig: Rig) -> None:
        self._scale = rig.scale
        self._eyes = [
            _Eye(layer, _Measure.of(rig.landmarks[list(outline), :2]))
            for layer, outline in zip(rig.eyes, EYES, strict=True)
        ]

    def draw(self, picture: U8, deformation: Deformation, transform: F32) -> None:
        """Draw them, in place.

        Args:
            picture: u8 [h,w,3].
            deformation: where the lids are, and where the eyes look.
            transform: f32 [2,3]: frame px -> picture px.
        """
        for eye, seen in zip(self._eyes, self.sights(picture.shape, deformation, transform), strict=True):
            if seen is not None:
                layer = eye.layer
                draw_eye(
                    picture, seen.left, seen.top, seen.mask, layer.sclera, layer.iris, seen.place, seen.gaze
                )

    def sights(self, shape: tuple[int, ...], deformation: Deformation, transform: F32) -> list[Sight | None]:
        """Where each eye is drawn in a picture of a shape, None where it is outside; the rest as `draw`."""
        zoom = hypot(transform[0, 0], transform[1, 0])
        found: list[Sight | None] = []
        for eye, lids in zip(self._eyes, deformation.lids, strict=True):
            seen = move(lids, transform)
            box = box_of(seen, shape, _LINE_MARGIN)
            if box is None:
                found.append(None)
                continue
            left, top, width, height = box
            mask = np.empty((height, width), np.float32)
            coverage(seen, left, top, mask)
            opening = cv2.GaussianBlur(mask, (0, 0), _LINE_BLUR)
            place = eye.place(_Measure.of(seen), zoom * deformation.scale / self._scale)
            gaze = deformation.gaze * np.float32(eye.width)
            found.append(Sight(left, top, opening, place, gaze))
        return found


class _Eye:
    """One eye at rest."""

    def __init__(self, layer: EyeLayer, rest: _Measure) -> None:
        self.layer, self._rest = layer, rest
        self._finer = 1.0 / float(layer.to_rest[0, 0])
        self.width = rest.width * self._finer
        """px of the textures."""

    def place(self, seen: _Measure, scale: float) -> F32:
        """f32 [2,3]: picture px -> texture px.

        The corners fix the x axis; y turns with it and scales with the head: no lid squashes the iris.

        Args:
            seen: the eye in the picture.
            scale: px of the picture per px of the frame at rest.
        """
        rest, to_rest = self._rest, self.layer.to_rest
        taller = sqrt(min(max(seen.opening / max(rest.opening, 1e-3), 1.0), _TALLER**2))
        narrow, low = rest.width / seen.width, 1 / (taller * scale)
        (ax, ay), (bx, by) = seen.along, rest.along
        xx, xy = narrow * bx * ax + low * by * ay, narrow * bx * ay - low * by * ax
        yx, yy = narrow * by * ax - low * bx * ay, narrow * by * ay + low * bx * ax
        rows = (
            (xx, xy, rest.x - xx * seen.x - xy * seen.y - float(to_rest[0, 2])),
            (yx, yy, rest.y - yx * seen.x - yy * seen.y - float(to_rest[1, 2])),
        )
        return self._finer * np.array(rows, np.float32)
