"""Filling what a photo does not show: known pixels, extended smoothly into unknown ones (push-pull)."""

from __future__ import annotations

import cv2
import numpy as np

from streamfx.frames import F32, U8
from streamfx.geometry import Real

_GRAINIEST = 4.0  # grey levels: what is coarser is a wall's pattern, and would look like snow
_SMALLEST = 2  # px: the pyramid ends here; one colour is left
_HALF = 0.5
_NARROW = 3.0  # px of sigma that are blurred directly
_LEAST_GRAIN = 100  # px that it takes to tell the grain
_MAD_TO_SIGMA = 1.4826  # for a normal distribution


def push_pull(rgb: F32, known: F32) -> F32:
    """Extend the known pixels smoothly over the unknown ones.

    Args:
        rgb: f32 [H,W,C]; values where `known` is 0 are ignored.
        known: f32 [H,W] 0..1.

    Returns:
        f32 [H,W,C]: `rgb` where known is 1, a smooth continuation elsewhere.

    Source: Gortler et al., "The Lumigraph", 1996, section 3.4.
    """
    return _fill(rgb * known[..., None], known)


def _fill(weighted: F32, weight: F32) -> F32:
    height, width = weight.shape
    if min(height, width) <= _SMALLEST:
        mean: F32 = weighted.sum((0, 1)) / max(float(weight.sum()), 1e-6)
        return mean * np.ones_like(weighted)
    small, small_weight = cv2.pyrDown(weighted), cv2.pyrDown(weight)
    boost = np.minimum(1.0, 4.0 * small_weight) / np.maximum(small_weight, 1e-6)
    coarse = _fill(
        (small.reshape(*small_weight.shape, -1) * boost[..., None]).astype(np.float32),
        (small_weight * boost).astype(np.float32),
    )
    upper = cv2.pyrUp(coarse, dstsize=(width, height)).reshape(weighted.shape)
    filled: F32 = (weighted + (1.0 - weight[..., None]) * upper).astype(np.float32)
    return filled


def blurred(image: F32, sigma: float) -> F32:
    """A Gaussian blur; a wide one is made of the reduced picture: it looks the same and costs a fraction."""
    height, width = image.shape[:2]
    factor = max(1, int(sigma / _NARROW))
    size = (-(-width // factor), -(-height // factor))
    small = cv2.resize(image, size, interpolation=cv2.INTER_AREA) if factor > 1 else image
    small = cv2.GaussianBlur(small, (0, 0), sigma / factor)
    if factor == 1:
        return np.asarray(small, np.float32)
    return np.asarray(cv2.resize(small, (width, height), interpolation=cv2.INTER_LINEAR), np.float32)


def grain(rgb: F32, where: F32) -> F32:
    """Standard deviation per channel of the fine grain of `rgb` (f32 [H,W,3]) on the mask `where`, by MAD."""
    fine = rgb - cv2.GaussianBlur(rgb, (0, 0), 1.5)
    return np.minimum(spread(fine[where > _HALF]), np.float32(_GRAINIEST))


def spread(values: F32) -> F32:
    """f32 [3]: robust standard deviation of f32 [N,3] about 0; 0 where there are too few."""
    if len(values) < _LEAST_GRAIN:
        return np.zeros(3, np.float32)
    return np.asarray(_MAD_TO_SIGMA * np.median(np.abs(values), axis=0), np.float32)


def to_u8(rgb: Real) -> U8:
    """Round and clip 0..255 to u8."""
    out: U8 = np.clip(rgb + 0.5, 0, 255).astype(np.uint8)
    return out
