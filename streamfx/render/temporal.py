"""Blending the mouth over time along optical flow, with a guard against ghosts.

Source: ALGORITHM f, paper section 4.3.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import cv2

from streamfx.frames import F32, U8, Deformation
from streamfx.render.base import CLOSED_GAP, MouthView
from streamfx.render.mouth_kernels import blend_along

_SHARE = 0.5  # of the previous mouth where everything agrees
_SIMILAR = 20.0  # grey levels of difference at which the share falls to 1/e
_CONSISTENT = 1.5  # px of forward-backward flow error
_JUMP = 0.35  # relative change of the gap per frame beyond which nothing is blended
_OPENING_FRAMES = 2  # frames after the mouth opens in which nothing is blended


@dataclass(frozen=True, slots=True)
class _Shown:
    """The last mouth."""

    mouth: U8 = field(repr=False)
    mask: F32 = field(repr=False)
    gap: float
    epoch: int


class MouthBlender:
    """Keeps the last mouth in its head-rectified crop and blends it into the next."""

    def __init__(self) -> None:
        self._flow = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_ULTRAFAST)
        self._last: _Shown | None = None
        self._open_frames = 0

    def blend(self, mouth: U8, view: MouthView, deformation: Deformation) -> U8:
        """The mouth to show, u8 [n,n,3]; `mouth` itself where blending would ghost.

        Nothing is blended across closed lips, after a loss of the face, across an epoch, or when the opening
        jumps.
        """
        if not view.is_open or deformation.held:
            self.reset()
            return mouth
        shown, last = mouth, self._last
        if (
            last is not None
            and self._open_frames >= _OPENING_FRAMES
            and _agrees(last, mouth, view, deformation)
        ):
            shown = self._mix(mouth, view.mask, last)
        self._last = _Shown(shown, view.mask, view.gap, deformation.epoch)
        self._open_frames += 1
        return shown

    def reset(self) -> None:
        """Forget the past."""
        self._last = None
        self._open_frames = 0

    def _mix(self, mouth: U8, mask: F32, last: _Shown) -> U8:
        """Carry the last mouth along the flow and blend it in where flow, masks and colours agree."""
        now_grey, last_grey = (cv2.cvtColor(m, cv2.COLOR_RGB2GRAY) for m in (mouth, last.mouth))
        back = self._flow.calc(now_grey, last_grey, None)
        forth = self._flow.calc(last_grey, now_grey, None)
        mixed = mouth.copy()
        limits = (_SHARE, _SIMILAR, _CONSISTENT)
        blend_along(mixed, mask, last.mouth, last.mask, back, forth, *limits)
        return mixed


def _agrees(last: _Shown, mouth: U8, view: MouthView, deformation: Deformation) -> bool:
    """Whether the two mouths belong to one motion of the lips."""
    steady = abs(view.gap - last.gap) <= _JUMP * max(last.gap, CLOSED_GAP)
    return steady and last.mouth.shape == mouth.shape and last.epoch == deformation.epoch
