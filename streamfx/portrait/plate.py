"""The plate: the background as it would be without the person (algorithm.md#layers).

It is seen where the person moves away, and beyond the borders of a photo that does not fill the frame.
"""

from __future__ import annotations

import cv2
import numpy as np

from streamfx.frames import F32, Mask
from streamfx.portrait.fill import blurred, grain, push_pull, spread
from streamfx.portrait.masks import grown

_CLEARANCE = 0.09  # face heights around the person where hair may be that the segmentation missed
_LITTLE = 0.01  # face heights squared of background beyond that, at which what lies nearer counts, too
_SURE = 2.0  # px around the person that are filled in any case
_REACH = 0.35  # face heights over which the background's detail is continued behind the person
_FADED = 2.0  # times the reach: nothing is left of it there
_COARSE = 0.15  # of the reach: coarser structure is left to the smooth fill
_FAINT = 20.0  # grey levels: the most that continued detail differs from the smooth fill
_OUTSTANDING = 2.0  # deviations of the background's detail: what differs more is not repeated
_FOREIGN = 3.0  # deviations: what differs more, near the person, is hair
_TOLERANCE = (4.0, 90.0)  # grey levels: bounds of that difference
_STRAND = 5  # px around a foreign pixel that go with it
_GRAIN_MARGIN = 7  # px from the person where grain is not measured
_HALF = 0.5


def behind(framed: F32, known: F32, person: Mask, face_height: float) -> F32:
    """The photo with the person taken out.

    Args:
        framed: f32 [H,W,3] 0..255: the photo; 0 beyond its borders.
        known: f32 [H,W] 0 or 1: where the photo has pixels.
        person: bool [H,W]: where any of the person is.
        face_height: px.

    Returns:
        f32 [H,W,3]: the background; continued behind the person smoothly, with detail and grain like its own.
    """
    person_mask = person.astype(np.float32)
    near = grown(person_mask, _HALF, max(_SURE, _CLEARANCE * face_height))
    doubtful = known * (near & ~grown(person_mask, _HALF, _SURE))
    background = (known * ~near).astype(np.float32)
    if background.sum() < _LITTLE * face_height**2:  # of a face-tight crop: black without any
        background = np.maximum(background, doubtful).astype(np.float32)
    smooth = push_pull(framed, background)
    reach = _REACH * face_height
    detail = _detail(framed, background, reach)
    usual = spread(detail[background > _HALF])

    alike = _alike(framed - smooth, usual)
    smooth += known[..., None] * _mirrored(np.clip(detail, *_band(usual)), background, reach)
    del detail  # a texture of a 1080p frame takes 48 MB
    _add_noise(smooth, framed, background)
    kept = np.maximum(background, doubtful * alike)
    soft = (cv2.GaussianBlur(kept, (0, 0), 1.0) * kept)[..., None]
    smooth += soft * (framed - smooth)
    return smooth


def _add_noise(filled: F32, framed: F32, background: F32) -> None:
    """Add the background's grain, in place; alike in all channels, so that a grey photo stays grey."""
    inner = cv2.erode(background, np.ones((_GRAIN_MARGIN, _GRAIN_MARGIN), np.uint8))
    noise = np.random.default_rng(0).standard_normal((*framed.shape[:2], 1), np.float32)
    filled += noise * grain(framed, inner)


def _detail(rgb: F32, known: F32, reach: float) -> F32:
    """f32 [H,W,3]: what a blurred picture lacks, where it is known; 0 elsewhere."""
    sigma = max(2.0, _COARSE * reach)
    weight = np.maximum(blurred(known, sigma), 1e-3)[..., None]
    smooth = blurred(rgb * known[..., None], sigma) / weight
    return np.asarray((rgb - smooth) * known[..., None], np.float32)


def _band(usual: F32) -> tuple[F32, F32]:
    """Bounds per channel that keep continued detail faint, so that no stray hair is repeated on a wall."""
    limit = np.minimum(_OUTSTANDING * usual, np.float32(_FAINT)).astype(np.float32)
    return -limit, limit


def _mirrored(detail: F32, known: F32, reach: float) -> F32:
    """Detail for unknown pixels: that of the known picture, mirrored at the nearest known pixel.

    A smooth fill alone looks like fog before a textured wall. Detail fades with the distance, over `reach`,
    so that no mirror image can be recognised.
    """
    # A ragged outline would make the mirror ragged: measure from a smooth one.
    unknown = (blurred(known, max(2.0, _COARSE * reach)) < _HALF).astype(np.uint8)
    distance, labels = cv2.distanceTransformWithLabels(
        unknown, cv2.DIST_L2, cv2.DIST_MASK_5, labelType=cv2.DIST_LABEL_PIXEL
    )
    source = np.zeros(int(labels.max()) + 1, np.int64)
    source[labels[unknown == 0]] = np.flatnonzero(unknown == 0)
    rows, columns = np.nonzero((unknown > 0) & (known < _HALF) & (distance < _FADED * reach))
    height, width = unknown.shape
    near_rows, near_columns = np.divmod(source[labels[rows, columns]], width)
    from_rows, from_columns = 2 * near_rows - rows, 2 * near_columns - columns
    inside = (from_rows >= 0) & (from_rows < height) & (from_columns >= 0) & (from_columns < width)
    rows, columns = rows[inside], columns[inside]
    fade = np.exp(-((distance[rows, columns] / np.float32(reach)) ** 2))[:, None]
    out = np.zeros_like(detail)
    out[rows, columns] = fade * detail[from_rows[inside], from_columns[inside]]
    return out


def _alike(difference: F32, usual: F32) -> F32:
    """f32 [H,W] 0..1: whether a pixel and its neighbours differ from the fill no more than is usual."""
    foreign = np.abs(difference).max(2)
    limit = float(np.clip(_FOREIGN * usual.max(), *_TOLERANCE))
    around = cv2.dilate(foreign, np.ones((_STRAND, _STRAND), np.uint8)) / np.float32(limit)
    return np.asarray(np.clip(2 - cv2.GaussianBlur(around, (0, 0), 1.0), 0, 1), np.float32)
