"""How steady a film is: what is left of one picture's difference to the last when motion is taken away."""

from __future__ import annotations

import math

import cv2
import numpy as np

from streamfx.frames import U8
from streamfx.geometry import F64
from streamfx.lab.evaluation.metrics import Mask


def temporal_error(before: U8, after: U8, mask: Mask) -> float:
    """Grey levels: mean |after - before, carried along by optical flow| (DIS, its medium preset).

    Real film has some of it too: light that changes, noise, what comes into sight. A film that flickers has
    more than the real one of the same motion.

    Args:
        before, after: u8 [H,W,3], neighbours in time.
        mask: bool [H,W]: where to look in `after`.
    """
    flow = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    moved = flow.calc(_grey(after), _grey(before), None)
    height, width = mask.shape
    places = np.dstack(np.meshgrid(np.arange(width), np.arange(height))).astype(np.float32) + moved
    carried = cv2.remap(before, places, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return float(np.mean(cv2.absdiff(carried, after)[mask]))


def flicker(levels: F64) -> float:
    """RMS of the second difference of a brightness f64 [N], in its unit: 0 where it runs evenly.

    Values that are missing (nan) break it into pieces; nan where no three are in a row.
    """
    second = np.diff(levels, n=2)
    known = second[~np.isnan(second)]
    return float(np.sqrt(np.mean(np.square(known)))) if known.size else math.nan


def _grey(picture: U8) -> U8:
    return np.asarray(cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY), np.uint8)
