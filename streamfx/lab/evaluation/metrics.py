"""How alike two pictures are, on a mask: PSNR, SSIM, GMSD, and Laplacian energy as a guard against blur."""

from __future__ import annotations

from typing import Final

import cv2
import numpy as np
import numpy.typing as npt

from streamfx.frames import F32, U8

Mask = npt.NDArray[np.bool_]

_SSIM_SIGMA: Final = 1.5
_SSIM_WINDOW: Final = (11, 11)
_SSIM_C1, _SSIM_C2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
_GMSD_C: Final = 170.0
_PREWITT: Final = np.array([[1, 0, -1], [1, 0, -1], [1, 0, -1]]) / 3


def psnr(picture: U8, truth: U8, mask: Mask) -> float:
    """dB over the masked pixels of two u8 [H,W,3] pictures, all channels together; inf where they are equal.

    Raises:
        ValueError: the shapes differ, or the mask (bool [H,W]) is empty.
    """
    _check(picture, truth, mask)
    difference = picture[mask].astype(np.float64) - truth[mask]
    mean_square = float(np.mean(difference**2))
    return float("inf") if mean_square == 0 else float(10 * np.log10(255**2 / mean_square))


def ssim(picture: U8, truth: U8, mask: Mask) -> float:
    """Structural similarity of the luma (Wang et al. 2004: Gaussian window, sigma 1.5), averaged on the mask.

    Args:
        picture, truth: u8 [H,W,3].
        mask: bool [H,W].

    Raises:
        ValueError: the shapes differ, or the mask is empty.
    """
    _check(picture, truth, mask)
    x, y = luma(picture), luma(truth)
    mean_x, mean_y = _windowed(x), _windowed(y)
    var_x, var_y = _windowed(x * x) - mean_x**2, _windowed(y * y) - mean_y**2
    covariance = _windowed(x * y) - mean_x * mean_y
    likeness = (2 * mean_x * mean_y + _SSIM_C1) * (2 * covariance + _SSIM_C2)
    likeness /= (mean_x**2 + mean_y**2 + _SSIM_C1) * (var_x + var_y + _SSIM_C2)
    return float(likeness[mask].mean())


def gmsd(picture: U8, truth: U8, mask: Mask) -> float:
    """Gradient magnitude similarity deviation (Xue et al. 2014): 0 where edges agree in place and strength.

    Luma is halved and filtered by Prewitt's kernels; the similarity's deviation is taken on the mask.

    Args:
        picture, truth: u8 [H,W,3].
        mask: bool [H,W].

    Raises:
        ValueError: the shapes differ, or the mask is empty.
    """
    _check(picture, truth, mask)
    a, b = _edges(picture), _edges(truth)
    similarity = (2 * a * b + _GMSD_C) / (a * a + b * b + _GMSD_C)
    height, width = similarity.shape
    small = cv2.resize(mask.astype(np.float32), (width, height), interpolation=cv2.INTER_AREA)
    return float(similarity[small >= 0.5].std()) if (small >= 0.5).any() else 0.0


def _edges(picture: U8) -> npt.NDArray[np.float64]:
    """f64 [H/2,W/2]: strength of the luma's gradient at half size."""
    grey = luma(picture)
    half = cv2.resize(grey, (grey.shape[1] // 2, grey.shape[0] // 2), interpolation=cv2.INTER_AREA)
    return np.asarray(np.hypot(*(cv2.filter2D(half, cv2.CV_64F, k) for k in (_PREWITT, _PREWITT.T))))


def laplacian_energy(picture: U8, mask: Mask) -> float:
    """Mean square of the luma's Laplacian on the mask; its ratio to the truth's falls below 1 with blur.

    Only pixels whose neighbours all lie in the mask count (where there are any): what the mask shuts out, a
    mouth without its inside for one, must not lend its edges.

    Raises:
        ValueError: the mask (bool [H,W]) is of another shape or empty.
    """
    _check(picture, picture, mask)
    within = cv2.erode(mask.astype(np.uint8), np.ones((3, 3), np.uint8)) > 0
    counted = within if within.any() else mask
    return float(np.mean(cv2.Laplacian(luma(picture), cv2.CV_64F)[counted] ** 2))


def mean_difference(picture: U8, truth: U8, mask: Mask) -> float:
    """Mean absolute difference in grey levels (0..255) on the mask, all channels together.

    Raises:
        ValueError: the shapes differ, or the mask is empty.
    """
    _check(picture, truth, mask)
    return float(np.mean(cv2.absdiff(picture, truth)[mask]))


def luma(picture: U8) -> npt.NDArray[np.float64]:
    """f64 [H,W] 0..255, Rec. 601."""
    out: npt.NDArray[np.float64] = picture @ np.array([0.299, 0.587, 0.114])
    return out


def polygon(points: F32, shape: tuple[int, int]) -> Mask:
    """bool [H,W]: pixels that the closed polygon f32 [N,2] px touches."""
    out = np.zeros(shape, np.uint8)
    cv2.fillPoly(out, [np.rint(points * 16).astype(np.int32)], 1, cv2.LINE_8, 4)
    return out.astype(bool)


def hull(points: F32, shape: tuple[int, int]) -> Mask:
    """bool [H,W]: the convex hull of f32 [N,2] px."""
    return polygon(cv2.convexHull(points.astype(np.float32))[:, 0], shape)


def _windowed(values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    out: npt.NDArray[np.float64] = cv2.GaussianBlur(
        values, _SSIM_WINDOW, _SSIM_SIGMA, borderType=cv2.BORDER_REFLECT
    )
    return out


def _check(picture: U8, truth: U8, mask: Mask) -> None:
    if picture.shape != truth.shape or picture.shape[:2] != mask.shape:
        raise ValueError(f"shapes differ: {picture.shape}, {truth.shape}, mask {mask.shape}")
    if not mask.any():
        raise ValueError("the mask is empty")
