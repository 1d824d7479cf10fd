"""Blending the mouth over time along optical flow, with a guard against ghosts (ALGORITHM f, paper section 4.3)."""

from __future__ import annotations

import cv2
import numpy as np

from streamfx.frames import F32, Deformation, U8
from streamfx.render.base import CLOSED_GAP, MouthView

_SHARE = 0.5  # of the previous mouth where everything agrees
_SIMILAR = 20.0  # grey levels of difference at which the share falls to 1/e
_CONSISTENT = 1.5  # px of forward-backward flow error
_JUMP = 0.35  # relative change of the gap per frame beyond which nothing is blended
_OPENING_FRAMES = 2  # frames after the mouth opens in which nothing is blended


class MouthBlender:
    """Keeps the last mouth in its head-rectified crop and blends it into the next."""

    def __init__(self) -> None:
        self._flow = cv2.DISOpticalFlow_create(cv2.DISOPTICAL_FLOW_PRESET_ULTRAFAST)
        self._mouth: U8 | None = None
        self._mask: F32 | None = None
        self._gap = 0.0
        self._epoch = 0
        self._open_frames = 0

    def blend(self, mouth: U8, view: MouthView, deformation: Deformation) -> U8:
        """The mouth to show, u8 [n,n,3]; `mouth` itself where blending would ghost.

        Nothing is blended across closed lips, after a loss of the face, across an epoch, or when the opening jumps.
        """
        if not view.is_open or deformation.held:
            self.reset()
            return mouth
        shown = mouth
        if self._may_blend(mouth, view, deformation) and self._mouth is not None and self._mask is not None:
            shown = self._mix(mouth, view.mask, self._mouth, self._mask)
        self._mouth, self._mask = shown, view.mask
        self._gap, self._epoch = view.gap, deformation.epoch
        self._open_frames += 1
        return shown

    def reset(self) -> None:
        """Forget the past."""
        self._mouth = self._mask = None
        self._open_frames = 0

    def _may_blend(self, mouth: U8, view: MouthView, deformation: Deformation) -> bool:
        if self._mouth is None or self._mouth.shape != mouth.shape or self._open_frames < _OPENING_FRAMES:
            return False
        steady = abs(view.gap - self._gap) <= _JUMP * max(self._gap, CLOSED_GAP)
        return steady and deformation.epoch == self._epoch

    def _mix(self, mouth: U8, mask: F32, last: U8, last_mask: F32) -> U8:
        now_grey, last_grey = (cv2.cvtColor(m, cv2.COLOR_RGB2GRAY) for m in (mouth, last))
        back = self._flow.calc(now_grey, last_grey, None)
        forth = self._flow.calc(last_grey, now_grey, None)
        grid = _grid(mask.shape)
        source = grid + back
        carried = cv2.remap(last, source, None, cv2.INTER_LINEAR)
        error = back + cv2.remap(forth, source, None, cv2.INTER_LINEAR)
        agree = np.einsum("hwc,hwc->hw", error, error) < _CONSISTENT**2
        inside = (mask > 0.5) & (cv2.remap(last_mask, source, None, cv2.INTER_LINEAR) > 0.5)
        difference = cv2.absdiff(mouth, carried).max(2) / np.float32(_SIMILAR)
        weight = (_SHARE * np.exp(-(difference**2)) * (agree & inside)).astype(np.float32)
        mixed = mouth + (carried.astype(np.float32) - mouth) * weight[..., None]
        return (mixed + 0.5).astype(np.uint8)


def _grid(shape: tuple[int, ...]) -> F32:
    y, x = np.mgrid[: shape[0], : shape[1]]
    return np.dstack([x, y]).astype(np.float32)
