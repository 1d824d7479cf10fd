"""How good a network is for people it never learned from, beside the picture without it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from streamfx.frames import U8, Mask
from streamfx.lab.evaluation.metrics import laplacian_energy, psnr, ssim
from streamfx.lab.training.recipes.base import View, as_pixels

_SHARP = (0.85, 1.15)
"""Laplacian energy beside the truth's: outside, a picture is blurred or noisy whatever its PSNR."""
_LEAST = 20
"""Pixels under which a mask is not measured on."""


@dataclass(frozen=True, slots=True)
class Quality:
    """Means over pictures."""

    psnr: float
    """dB"""
    ssim: float
    sharpness: float
    """Laplacian energy over the truth's."""


@dataclass(frozen=True, slots=True)
class Score:
    """A network's pictures, and those without it, against the truth."""

    before: Quality
    after: Quality

    @property
    def gain(self) -> float:
        """What counts as better: dB won, an SSIM of 0.02 being worth 1 dB; blur and noise are taken off."""
        won = self.after.psnr - self.before.psnr + 50 * (self.after.ssim - self.before.ssim)
        low, high = _SHARP
        off = max(low - self.after.sharpness, self.after.sharpness - high, 0.0)
        return won - 10 * off


def score(views: Iterable[View]) -> Score:
    """Measure all pictures whose mask is not nearly empty.

    Raises:
        ValueError: there is none.
    """
    pairs = [
        (_quality(before, truth, mask), _quality(after, truth, mask))
        for before, after, truth, mask in _pictures(views)
        if mask.sum() >= _LEAST
    ]
    if not pairs:
        raise ValueError("no picture to measure")
    before, after = np.mean(pairs, 0)
    return Score(Quality(*map(float, before)), Quality(*map(float, after)))


def _pictures(views: Iterable[View]) -> Iterable[tuple[U8, U8, U8, Mask]]:
    for view in views:
        masks = view.mask[:, 0].cpu().numpy()
        yield from zip(*(as_pixels(one) for one in (view.before, view.after, view.truth)), masks, strict=True)


def _quality(picture: U8, truth: U8, mask: Mask) -> tuple[float, float, float]:
    sharpness = laplacian_energy(picture, mask) / max(laplacian_energy(truth, mask), 1e-6)
    # Equal pictures have an infinite PSNR, which would swallow the mean.
    return min(psnr(picture, truth, mask), 60.0), ssim(picture, truth, mask), sharpness
