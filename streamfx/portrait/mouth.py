"""Teeth, gums and tongue for a mouth that the photo does not show, in the photo's own light (ALGORITHM l).

Textures lie in the head's frontal plane: x right, y down, in cm from the point where the closed lips meet.
Nothing here has seen the driver.
"""

from __future__ import annotations

import cv2
import numpy as np

from streamfx.frames import F32, MouthLayer, U8
from streamfx.portrait.fill import push_pull, to_u8
from streamfx.topology import EYES, INNER_MOUTH, IRIS

WIDTH = 7.0
"""cm across a texture."""
_DENSITY = 44  # px per cm
_SIZE = (308, 194)  # px: 7.0 x 4.4 cm
_SHARPER = 2  # drawn finer, then averaged

_UPPER_WIDTHS = (0.84, 0.66, 0.72, 0.56, 0.46, 0.36)
"""cm, projected on the frontal plane: central incisor to first molar, from the midline."""
_UPPER_LENGTHS = (1.02, 0.92, 1.00, 0.86, 0.78, 0.70)
_LOWER_WIDTHS = (0.52, 0.56, 0.62, 0.54, 0.46, 0.36)
_LOWER_LENGTHS = (0.86, 0.88, 0.94, 0.82, 0.74, 0.66)
_UPPER_EDGE = 0.16  # cm below the closed lips: how far the upper incisors reach
_LOWER_EDGE = -0.06

_ENAMEL = np.array([1.0, 0.965, 0.885])
_GUM = np.array([0.70, 0.36, 0.36])
_TONGUE = np.array([0.66, 0.33, 0.33])
_THROAT = np.array([0.155, 0.045, 0.05])

_INSIDE = 0.5  # darker than the lips: what shows in the crack of a mouth that has all but closed
_OWN_TEETH_GAP = 0.22  # cm: a mouth at least this open at rest may show the person's own teeth


def mouth_layer(photo: U8, landmarks: F32, shape: F32, scale: float, rotation: F32, pad: int) -> MouthLayer:
    """Paint the mouth's textures, lit like the photo; the person's own teeth where the photo shows them.

    Args:
        photo: u8 [H+2pad, W+2pad, 3].
        landmarks: f32 [478,3] px of the frame.
        shape: f32 [478,3] cm, canonical.
        scale: px per cm of the photo's head.
        rotation: f32 [3,3] of the photo's head.
        pad: px of texture beyond the frame.
    """
    centre = shape[[13, 14]].mean(0)
    white = _white(photo, landmarks, pad)
    own = _own_teeth(photo, landmarks, shape, (centre, scale, rotation), pad)
    enamel = white * _ENAMEL if own is None else _colour_of(own, white * _ENAMEL)
    edge = _UPPER_EDGE if own is None else _edge_of(own)
    upper = _teeth(_UPPER_WIDTHS, _UPPER_LENGTHS, edge, -1, enamel, white)
    if own is not None:
        upper = own + upper * (1 - own[..., 3:] / 255)
    return MouthLayer(
        upper=to_u8(upper),
        lower=to_u8(_teeth(_LOWER_WIDTHS, _LOWER_LENGTHS, _LOWER_EDGE, 1, 0.80 * enamel, white)),
        tongue=to_u8(_tongue(white)),
        cavity=(white * _THROAT).astype(np.float32),
        centre=centre.astype(np.float32),
        width=WIDTH,
    )


def _white(photo: U8, landmarks: F32, pad: int) -> F32:
    """What white looks like in the photo's light, f32 [3]: bright sclera, tempered by the cheeks."""
    colours = []
    for outline, iris in zip(EYES, IRIS, strict=True):
        mask = _polygon(landmarks[list(outline), :2] + pad, photo.shape[:2])
        x, y = np.rint(landmarks[iris[0], :2] + pad).astype(int)
        radius = np.linalg.norm(landmarks[iris[1], :2] - landmarks[iris[0], :2])
        cv2.circle(mask, (int(x), int(y)), int(1.25 * radius) + 1, 0.0, -1)
        picked = photo[mask > 0.5]
        if len(picked) >= 8:
            bright = picked[picked.mean(1) >= np.percentile(picked.mean(1), 75)]
            colours.append(bright.mean(0))
    skin = np.mean([_patch(photo, landmarks[i, :2] + pad) for i in (50, 280, 151, 199)], axis=0)
    sclera = np.mean(colours, axis=0) if colours else 1.25 * skin
    light = np.clip(0.55 * sclera.mean() + 0.45 * 1.2 * skin.mean(), 60, 225)
    cast = 0.6 * sclera / max(sclera.mean(), 1) + 0.4
    white: F32 = (light * cast / cast.mean()).astype(np.float32)
    return white


def _patch(photo: U8, at: F32) -> F32:
    x, y = np.rint(at).astype(int)
    patch: F32 = photo[max(y - 3, 0) : y + 4, max(x - 3, 0) : x + 4].reshape(-1, 3).mean(0).astype(np.float32)
    return patch


def _polygon(points: F32, shape: tuple[int, ...]) -> F32:
    mask = np.zeros(shape, np.uint8)
    cv2.fillPoly(mask, [np.rint(points * 16).astype(np.int32)], 255, cv2.LINE_AA, 4)
    return mask.astype(np.float32) / 255


def _grid(finer: int) -> tuple[F32, F32]:
    """x and y in cm of each texture px, f32 [h,w] each."""
    density = _DENSITY * finer
    x, y = ((np.arange(n * finer, dtype=np.float32) + 0.5) / density - n / (2 * _DENSITY) for n in _SIZE)
    gx, gy = np.meshgrid(x, y)
    return gx.astype(np.float32), gy.astype(np.float32)


def _smooth(edge: F32, softness: float) -> F32:
    """0 below -softness, 1 above +softness, smooth between."""
    t = np.clip(edge / (2 * softness) + 0.5, 0, 1)
    return (t * t * (3 - 2 * t)).astype(np.float32)


def _teeth(
    widths: tuple[float, ...], lengths: tuple[float, ...], edge: float, up: int, enamel: F32, white: F32
) -> F32:
    """One row of teeth with its gum: f32 [h,w,4] premultiplied 0..255. `up` is -1 for the upper row."""
    x, y = _grid(_SHARPER)
    side = np.abs(x)
    ends = np.cumsum(widths)
    index = np.minimum(np.searchsorted(ends, side), len(widths) - 1)
    left = np.concatenate([[0.0], ends])[index]
    u = np.clip((side - left) / np.array(widths)[index] * 2 - 1, -1, 1)
    # The arch rises to the sides; each crown is rounded at its corners and longer in its middle.
    bite = (
        edge
        + up * (0.028 * side**2)
        + up * 0.05 * np.abs(u) ** 4
        + up * np.array([0, 0.05, 0, 0.04, 0.06, 0.08])[index]
    )
    root = bite + up * np.array(lengths)[index] * (1 - 0.16 * np.abs(u) ** 3)
    above, below = (y - bite) * up, (root - y) * up
    crown = _smooth(above, 0.025) * _smooth(below, 0.03) * (side < ends[-1])
    shade = (1 - 0.12 * u**2) * (1 - 0.24 * _smooth(np.abs(u) - 0.95, 0.04))
    shade = (
        shade
        * np.clip(1.04 - 0.014 * side - 0.045 * side**2, 0.25, 1)
        * (0.90 + 0.10 * np.clip(above / 0.35, 0, 1))
    )
    gum = _smooth((y - bite) * up - 0.35, 0.05) * (1 - crown) * (side < ends[-1])
    reach = np.clip(1 - (np.abs(y - root) / 0.9) ** 2, 0.2, 1) * np.clip(1.05 - 0.06 * side**2, 0.2, 1)
    alpha = np.maximum(crown, gum)
    rgb = crown[..., None] * shade[..., None] * enamel + gum[..., None] * reach[..., None] * (white * _GUM)
    return _averaged(np.dstack([rgb, 255 * alpha]))


def _tongue(white: F32) -> F32:
    """f32 [h,w,4] premultiplied: a rounded tongue behind the lower teeth, darker towards the throat."""
    x, y = _grid(_SHARPER)
    top = -0.42 + 0.07 * np.exp(-((x / 0.30) ** 2))
    body = _smooth(1 - (x / 2.0) ** 2 - ((y - top - 1.3) / 1.3) ** 2, 0.10)
    groove = 1 - 0.15 * np.exp(-((x / 0.17) ** 2))
    light = np.clip(0.36 + 0.60 * (y - top), 0.34, 0.95) * groove * (1 - 0.07 * x**2)
    rgb = (body * light)[..., None] * (white * _TONGUE)
    return _averaged(np.dstack([rgb, 255 * body]))


def _averaged(fine: F32) -> F32:
    out: F32 = cv2.resize(fine.astype(np.float32), _SIZE, interpolation=cv2.INTER_AREA)
    return out


def _own_teeth(photo: U8, landmarks: F32, shape: F32, head: tuple[F32, float, F32], pad: int) -> F32 | None:
    """The photo's own upper teeth in the frontal plane, f32 [h,w,4] premultiplied, or None if none are seen."""
    gap = float((shape[[14, 87, 317], 1] - shape[[13, 82, 312], 1]).mean())
    if gap < _OWN_TEETH_GAP:
        return None
    centre, scale, rotation = head
    place = scale * rotation[:2, :2] / _DENSITY
    origin = landmarks[[13, 14], :2].mean(0) + pad
    half = (np.array(_SIZE) - 1) / 2
    matrix = np.column_stack([place, origin - place @ half])
    flat = cv2.warpAffine(photo, matrix, _SIZE, flags=cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP).astype(
        np.float32
    )
    mask = _polygon(landmarks[list(INNER_MOUTH), :2] + pad, photo.shape[:2])
    inside = cv2.warpAffine(mask, matrix, _SIZE, flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP)
    inside = cv2.erode(inside, np.ones((3, 3), np.uint8))
    return _select_teeth(flat, inside)


def _select_teeth(flat: F32, inside: F32) -> F32 | None:
    """Keep what is bright and hardly red among the inside of the mouth."""
    bright, red = flat.mean(2), flat[..., 0] / np.maximum(flat.mean(2), 1)
    picked = bright[inside > 0.5]
    if len(picked) < 200:
        return None
    level = float(np.percentile(picked, 90))
    teeth = _smooth(bright / max(level, 1) - 0.58, 0.10) * _smooth(1.30 - red, 0.06) * inside
    if level < 70 or float((teeth > 0.5).sum()) < 0.25 * float((inside > 0.5).sum()):
        return None
    alpha = cv2.GaussianBlur(teeth.astype(np.float32), (0, 0), 1.2) * inside
    own: F32 = np.dstack([flat * alpha[..., None], 255 * alpha]).astype(np.float32)
    return own


def _edge_of(own: F32) -> float:
    """cm below the closed lips to which the person's own incisors reach."""
    middle = own[:, _SIZE[0] // 2 - _DENSITY : _SIZE[0] // 2 + _DENSITY, 3] > 127
    rows = np.flatnonzero(middle.mean(1) > 0.5)
    lowest = rows.max() if len(rows) else _SIZE[1] // 2
    return float((lowest + 0.5) / _DENSITY - _SIZE[1] / (2 * _DENSITY))


def without_mouth(texture: U8, landmarks: F32, pad: int) -> U8:
    """The texture (u8 [H,W,3 or 4]) with an open mouth filled from the lips, darker inside.

    The face's mesh stretches across the mouth: when lips that the photo shows open close, no sliver of teeth may
    stay between them. Teeth come back through the mouth layer.
    """
    outline = landmarks[list(INNER_MOUTH), :2] + pad
    width = float(np.ptp(outline[:, 0]))
    low = np.maximum(np.floor(outline.min(0) - 0.3 * width), 0).astype(int)
    high = np.ceil(outline.max(0) + 0.3 * width).astype(int)
    region = texture[low[1] : high[1], low[0] : high[0]]
    mask = _polygon(outline - low, region.shape[:2])
    lips = 1 - np.ceil(cv2.dilate(mask, np.ones((5, 5), np.uint8)))
    shadow = 1 - _INSIDE * cv2.GaussianBlur(mask, (0, 0), max(1.0, 0.03 * width))[..., None]
    filled = shadow * push_pull(region[..., :3].astype(np.float32), lips)
    out = texture.copy()
    out[low[1] : high[1], low[0] : high[0], :3] = to_u8(
        region[..., :3] + mask[..., None] * (filled - region[..., :3])
    )
    return out


def _colour_of(own: F32, fallback: F32) -> F32:
    """Mean colour of the person's own teeth, for the teeth that the photo hides."""
    alpha = own[..., 3] / 255
    total = float(alpha.sum())
    if total < 50:
        return fallback
    mean: F32 = (own[..., :3].sum((0, 1)) / total * 1.03).astype(np.float32)
    return mean
