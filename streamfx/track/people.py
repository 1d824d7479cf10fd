"""Whom the pictures show: a cut to another person at the same place must not pass for an expression.

MediaPipe follows any face that is where a face was. So the look of each picture is kept, small and grey: the
face, and the face with what is around it. A cut is a step between two pictures that look alike before it and
after it; motion, however fast, is no such step. Who is seen after a cut, or after the face was away, is told
by the looks that each person has shown before.
"""

from __future__ import annotations

from collections import deque
from typing import Final

import cv2
import numpy as np

from streamfx.frames import F32, U8

GROWN: Final = (1.0, 1.8)
"""Squares about the face, in its sizes: the face alone, and with hair, shoulders and background."""
SIDE: Final = 32
"""px of a look."""
STEP: Final = np.array((0.30, 0.15), np.float32)
"""What looks lose of their likeness in a cut, at least in one of the squares. Where a head is shaken,
neighbours lose up to 0.3 and 0.2, but more than once."""
ALONE: Final = 3.0
"""How many times as large as the steps before and after it a cut's is."""
LIKE: Final = 0.85
"""Likeness of both squares above which it is the same person. Of pairs of 12 people before one wall 97 % stay
below."""
NOVEL: Final = 0.97
"""Likeness below which a look is worth remembering."""
REMEMBERED: Final = 24
"""Looks of each person."""
PEOPLE: Final = 8
"""Remembered; of more the one who was seen longest ago is forgotten."""
GAP_S: Final = 0.25
"""Pictures further apart are no neighbours; a face that was away for longer may be somebody else's now."""


def look_of(rgb: U8, landmarks: F32) -> F32:
    """How a face looks: f32 [2, SIDE * SIDE], each square of mean 0 and length 1, however bright it is.

    Args:
        rgb: u8 [H,W,3].
        landmarks: f32 [N,>=2] px.
    """
    low, high = landmarks[:, :2].min(0), landmarks[:, :2].max(0)
    middle, face = (low + high) / 2, float((high - low).max())
    return np.stack([_square(rgb, middle, face * grown) for grown in GROWN])


def _square(rgb: U8, middle: F32, side: float) -> F32:
    height, width = rgb.shape[:2]
    every = max(1, int(side / (2 * SIDE)))  # pixels enough; averaging more of them only takes time
    count = max(2, round(side / every))
    columns, rows = (
        np.clip(np.arange(count) * every + round(float(at) - side / 2), 0, most - 1)
        for at, most in zip(middle, (width, height), strict=True)
    )
    green = rgb[rows[:, None], columns, 1]  # most of what is seen as brightness, in a third of the time
    small = cv2.resize(green, (SIDE, SIDE), interpolation=cv2.INTER_AREA).astype(np.float32).ravel()
    small -= small.mean()
    out: F32 = small / max(float(np.linalg.norm(small)), 1e-6)
    return out


class People:
    """Gives every person a number, the same one whenever they are recognised."""

    def __init__(self) -> None:
        self.person = 0
        """Who is followed."""
        self._last = 0
        self._looks: dict[int, deque[F32]] = {0: deque(maxlen=REMEMBERED)}
        self._before: F32 | None = None
        self._before_ns = 0
        self._step = np.ones(len(GROWN), np.float32)
        """Of the last two pictures."""
        self._cut: F32 | None = None
        """The step to the picture before, if it may have been a cut."""
        self._away = False

    def away(self) -> None:
        """No face is seen in this picture."""
        self._away, self._cut = True, None

    def another(self) -> None:
        """Somebody else is followed from now on: another face of the same picture was turned to."""
        self._introduce()
        self._before = self._cut = None
        self._step = np.ones(len(GROWN), np.float32)

    def may_be_cut(self, look: F32, captured_ns: int) -> bool:
        """Whether the next picture may show somebody else; nothing is remembered."""
        step = self._step_to(look, captured_ns)
        return step is not None and bool(((step > STEP) & (step > ALONE * self._step)).any())

    def see(self, look: F32, captured_ns: int) -> bool:
        """Take the next picture's look; False while a cut is suspected: the picture after it will tell.

        `person` says who it is then.
        """
        gone = self._away and abs(captured_ns - self._before_ns) > GAP_S * 1e9
        step, earlier = self._step_to(look, captured_ns), self._step
        suspected = self.may_be_cut(look, captured_ns)
        was_cut = self._cut is not None and step is not None and bool((self._cut > ALONE * step).any())
        self._before, self._before_ns, self._away = look, captured_ns, False
        self._step = earlier if step is None else step
        self._cut = step if suspected else None
        if suspected:
            return False
        if gone or was_cut:
            self._recognise(look)
        self._remember(look)
        return True

    def _step_to(self, look: F32, captured_ns: int) -> F32 | None:
        """f32 [2]: what the look has lost of its likeness to the one before; None where that is too old."""
        if self._before is None or not 0 < captured_ns - self._before_ns <= GAP_S * 1e9:
            return None
        out: F32 = 1 - np.einsum("ij,ij->i", look, self._before)
        return out

    def _recognise(self, look: F32) -> None:
        """Find out who this is."""
        likeness = {person: _likeness(looks, look) for person, looks in self._looks.items() if looks}
        if not self._looks[self.person] or likeness[self.person] >= LIKE:
            return
        best = max(likeness, key=likeness.__getitem__)
        if likeness[best] >= LIKE:
            self.person = best
        else:
            self._introduce()

    def _introduce(self) -> None:
        self._last += 1
        self.person = self._last
        if len(self._looks) >= PEOPLE:
            del self._looks[next(iter(self._looks))]
        self._looks[self.person] = deque(maxlen=REMEMBERED)

    def _remember(self, look: F32) -> None:
        looks = self._looks.pop(self.person)
        if _likeness(looks, look) < NOVEL:
            looks.append(look)
        self._looks[self.person] = looks  # seen last


def _likeness(looks: deque[F32], look: F32) -> float:
    """To the most alike of these looks, of the less alike square; -1 without any."""
    return max((float(np.einsum("ij,ij->i", one, look).min()) for one in looks), default=-1.0)
