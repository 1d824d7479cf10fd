"""Blending the mouth over time along optical flow, with a guard against ghosts.

Source: algorithm.md#blending, paper section 4.3.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

import cv2

from streamfx.frames import F32, U8, Deformation
from streamfx.render.base import CLOSED_GAP, MouthView
from streamfx.render.mouth_kernels import blend_along

SHARE: Final = 0.5
"""Of the previous mouth, where everything agrees."""
SIMILAR: Final = 20.0
"""Grey levels of difference at which the share falls to 1/e."""
CONSISTENT: Final = 1.5
"""px of forward-backward flow error."""
_JUMP = 0.35  # relative change of the gap per frame beyond which nothing is blended
_OPENING_FRAMES = 2  # frames after the mouth opens in which nothing is blended


class BlendGuard:
    """Says when a mouth may be blended with the last one.

    Not across closed lips, after a loss of the face, across an epoch, or when the opening jumps: ghosts.
    """

    def __init__(self) -> None:
        self._gap, self._epoch, self._open_frames = 0.0, 0, 0

    def allows(self, gap: float, deformation: Deformation) -> bool:
        """Whether a mouth, open by `gap` cm, may hold some of the last one; remembers it for the next."""
        if gap < CLOSED_GAP or deformation.held:
            self.reset()
            return False
        steady = abs(gap - self._gap) <= _JUMP * max(self._gap, CLOSED_GAP)
        allowed = self._open_frames >= _OPENING_FRAMES and steady and deformation.epoch == self._epoch
        self._gap, self._epoch = gap, deformation.epoch
        self._open_frames += 1
        return allowed

    def reset(self) -> None:
        """Forget the past."""
        self._open_frames = 0


@dataclass(frozen=True, slots=True)
class _Shown:
    """The last mouth."""

    mouth: U8 = field(repr=False)
    mask: F32 = field(repr=False)


class MouthBlender:
    """Keeps the last mouth in its head-rectified crop and blends it into the next."""

    def __init__(self) -> None:
        self._flow = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_ULTRAFAST)
        self._guard = BlendGuard()
        self._last: _Shown | None = None

    def blend(self, mouth: U8, view: MouthView, deformation: Deformation) -> U8:
        """The mouth to show, u8 [n,n,3]; `mouth` itself where blending would ghost (BlendGuard)."""
        last, shown = self._last, mouth
        if self._guard.allows(view.gap, deformation) and last and last.mouth.shape == mouth.shape:
            shown = self._mix(mouth, view.mask, last)
        self._last = _Shown(shown, view.mask)
        return shown

    def reset(self) -> None:
        """Forget the past."""
        self._guard.reset()

    def _mix(self, mouth: U8, mask: F32, last: _Shown) -> U8:
        """Carry the last mouth along the flow and blend it in where flow, masks and colours agree."""
        now_grey, last_grey = (cv2.cvtColor(m, cv2.COLOR_RGB2GRAY) for m in (mouth, last.mouth))
        back = self._flow.calc(now_grey, last_grey, None)
        forth = self._flow.calc(last_grey, now_grey, None)
        mixed = mouth.copy()
        limits = (SHARE, SIMILAR, CONSISTENT)
        blend_along(mixed, mask, last.mouth, last.mask, back, forth, *limits)
        return mixed
