"""What the numbers of a picture mean where no ICC profile says so: primaries and transfer curves, to sRGB.

Sources: ITU-T H.273 (code points of PNG's cICP and of AVIF's nclx), PNG 3rd edition (gAMA, cHRM), ITU-R
BT.2100 (PQ, HLG), BT.2408 (203 cd/m2 for white).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np

from streamfx.frames import F32, U8
from streamfx.geometry import F64, Real

Chromaticities = tuple[tuple[float, float], tuple[float, float], tuple[float, float], tuple[float, float]]
"""x, y of red, green, blue and white."""

_D65: Final = (0.3127, 0.3290)
SRGB: Final[Chromaticities] = ((0.64, 0.33), (0.30, 0.60), (0.15, 0.06), _D65)
"""Primaries of sRGB and BT.709."""
_PRIMARIES: Final[dict[int, Chromaticities]] = {
    1: SRGB,
    5: ((0.64, 0.33), (0.29, 0.60), (0.15, 0.06), _D65),
    6: ((0.630, 0.340), (0.310, 0.595), (0.155, 0.070), _D65),
    9: ((0.708, 0.292), (0.170, 0.797), (0.131, 0.046), _D65),
    11: ((0.680, 0.320), (0.265, 0.690), (0.150, 0.060), (0.314, 0.351)),
    12: ((0.680, 0.320), (0.265, 0.690), (0.150, 0.060), _D65),
}
"""By H.273's code points; what is not here counts as sRGB."""
_BRADFORD: Final = np.array([[0.8951, 0.2664, -0.1614], [-0.7502, 1.7135, 0.0367], [0.0389, -0.0685, 1.0296]])

_WHITE_NITS, _HLG_PEAK_NITS, _PQ_PEAK_NITS = 203.0, 1000.0, 10_000.0
_KNEE: Final = 0.8
"""Of white's light, up to which HDR is shown as it is; what is brighter is compressed into the rest."""
_USUAL_GAMMA: Final = (0.43, 0.48)
"""gAMA in this range means, with sRGB's primaries, its own curve (0.45455 is its rounded exponent)."""
_STEPS: Final = 4096
"""Of linear light, from which 8-bit sRGB is looked up: the darkest codes are 1.2 steps apart."""
_ROWS: Final = 256
"""Rows that are converted at once: floats of a whole photo would take 150 MB."""


@dataclass(frozen=True, slots=True)
class Coding:
    """How a picture's numbers stand for light."""

    primaries: Chromaticities = SRGB
    light: Callable[[Real], Real] | None = None
    """Code 0..1 to linear light, 1 for white; None is sRGB's curve."""
    hdr: bool = False
    """Light may be brighter than white."""
    scene: bool = False
    """Light is the scene's (HLG): the display's follows from its luminance."""

    @property
    def is_srgb(self) -> bool:
        """Whether nothing needs to be done."""
        return self.light is None and bool(np.allclose(self.primaries, SRGB, atol=0.002))


def coded(primaries: int, transfer: int) -> Coding:
    """The coding that H.273's code points name."""
    curve, hdr = _TRANSFERS.get(transfer, (None, False))
    return Coding(_PRIMARIES.get(primaries, SRGB), curve, hdr, scene=transfer == _HLG)


def with_gamma(gamma: float | None, primaries: Chromaticities | None) -> Coding:
    """The coding that PNG's gAMA (exponent of encoding) and cHRM name; None where a chunk is missing."""
    own = primaries if primaries is not None and _plausible(primaries) else SRGB
    if gamma is None or not 0.05 < gamma < 5:
        return Coding(own)
    if Coding(own).is_srgb and _USUAL_GAMMA[0] < gamma < _USUAL_GAMMA[1]:
        return Coding()
    return Coding(own, _power(1 / gamma))


def to_srgb(rgb: U8, coding: Coding) -> U8:
    """A picture u8 [H,W,3] as sRGB shows it; colours beyond its gamut are clipped."""
    codes = np.arange(256) / 255
    light = (coding.light or _srgb_light)(codes).astype(np.float32)
    matrix = (np.linalg.inv(_to_xyz(SRGB)) @ _to_xyz(coding.primaries)).astype(np.float32)
    code_of = np.rint(_srgb_code(np.arange(_STEPS + 1) / _STEPS) * 255).astype(np.uint8)
    out = np.empty_like(rgb)
    for top in range(0, len(rgb), _ROWS):
        linear = light[rgb[top : top + _ROWS]]
        if coding.scene:
            linear = _displayed(linear, coding.primaries)
        linear = linear @ matrix.T
        if coding.hdr:
            linear = _compressed(linear)
        out[top : top + _ROWS] = code_of[np.rint(linear.clip(0, 1) * _STEPS).astype(np.int32)]
    return out


def _plausible(primaries: Chromaticities) -> bool:
    points = np.array(primaries)
    if not np.isfinite(points).all() or (points[:, 1] <= 0.01).any() or (points < 0).any():
        return False
    red, green, blue = points[:3]
    area = (green - red)[0] * (blue - red)[1] - (green - red)[1] * (blue - red)[0]
    return bool(abs(area) > 0.01)


def _to_xyz(primaries: Chromaticities) -> F64:
    """f64 [3,3]: linear RGB to XYZ, adapted to D65 (Bradford)."""
    xyz = np.array([(x / y, 1.0, (1 - x - y) / y) for x, y in primaries])
    columns, white = xyz[:3].T, xyz[3]
    matrix = columns * np.linalg.solve(columns, white)
    x, y = _D65
    seen, wanted = _BRADFORD @ white, _BRADFORD @ np.array([x / y, 1.0, (1 - x - y) / y])
    out: F64 = np.linalg.inv(_BRADFORD) @ np.diag(wanted / seen) @ _BRADFORD @ matrix
    return out


def _displayed(scene: F32, primaries: Chromaticities) -> F32:
    """HLG: light of a display of 1000 cd/m2, in units of white, for light of the scene (BT.2100)."""
    luminance = scene @ _to_xyz(primaries)[1].astype(np.float32)
    gain = np.maximum(luminance, 1e-6) ** 0.2 * (_HLG_PEAK_NITS / _WHITE_NITS)
    return np.asarray(scene * gain[..., None], np.float32)


def _compressed(linear: F32) -> F32:
    """Light brighter than the knee, brought below white; hue is kept, for all channels shrink alike."""
    peak = np.maximum(linear.max(2, keepdims=True), 1e-6)
    over = np.maximum(peak - _KNEE, 0)
    shown = np.minimum(peak, _KNEE) + (1 - _KNEE) * (1 - np.exp(-over / (1 - _KNEE)))
    return np.asarray(linear * (shown / peak), np.float32)


def _power(exponent: float) -> Callable[[Real], Real]:
    return lambda code: np.asarray(code**exponent)


def _srgb_light(code: Real) -> Real:
    return np.where(code <= 0.04045, code / 12.92, ((code + 0.055) / 1.055) ** 2.4)


def _srgb_code(light: Real) -> Real:
    return np.where(light <= 0.0031308, light * 12.92, 1.055 * light ** (1 / 2.4) - 0.055)


def _pq_light(code: Real) -> Real:
    m1, m2 = 2610 / 16384, 2523 / 4096 * 128
    c1, c2, c3 = 3424 / 4096, 2413 / 4096 * 32, 2392 / 4096 * 32
    root = code ** (1 / m2)
    return np.asarray((np.maximum(root - c1, 0) / (c2 - c3 * root)) ** (1 / m1) * _PQ_PEAK_NITS / _WHITE_NITS)


def _hlg_light(code: Real) -> Real:
    a, b, c = 0.17883277, 0.28466892, 0.55991073
    return np.where(code <= 0.5, code**2 / 3, (np.exp((code - c) / a) + b) / 12)


_HLG: Final = 18
_TRANSFERS: Final[dict[int, tuple[Callable[[Real], Real], bool]]] = {
    4: (_power(2.2), False),
    5: (_power(2.8), False),
    8: (lambda code: code, False),
    16: (_pq_light, True),
    _HLG: (_hlg_light, True),
}
"""By H.273's code points. What is not here (BT.709 and its kin) viewers show by sRGB's curve."""
