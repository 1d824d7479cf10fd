"""Per-pixel loops of the mouth: painting it, and blending it over time. See kernels.py."""

from __future__ import annotations

import numpy as np

from streamfx.frames import F32, U8
from streamfx.render.compiler import compiled
from streamfx.render.kernels import between, bilinear, through, within


@compiled
def paint_mouth(
    out: U8,
    mask: F32,
    shade: F32,
    cavity: F32,
    tongue: U8,
    lower: U8,
    upper: U8,
    skull: F32,
    jaw: F32,
    rest: F32,
    dim: F32,
) -> None:
    """Paint the inside of a mouth back to front: throat, tongue, lower teeth, upper teeth.

    Args:
        out: u8 [n,n,3], overwritten where mask > 0.
        mask: f32 [n,n] 0..1: the opening between the lips.
        shade: f32 [n,n] 0..1: how much light the lips let in.
        cavity: f32 [3] RGB.
        tongue, lower, upper: u8 [h,w,4] premultiplied, all of one size.
        skull, jaw, rest: f32 [2,3]: out px -> texture px of upper teeth, lower teeth and tongue.
        dim: f32 [3]: light on tongue, lower and upper teeth.
    """
    for y in range(out.shape[0]):
        for x in range(out.shape[1]):
            if mask[y, x] <= 0.0:
                continue
            su, sv = through(skull, x, y)
            ju, jv = through(jaw, x, y)
            tu, tv = through(rest, x, y)
            in_tongue, in_jaw = within(upper, tu, tv), within(upper, ju, jv)
            in_skull = within(upper, su, sv)
            ta = 1 - bilinear(tongue, tu, tv, 3) / 255 if in_tongue else 1.0
            la = 1 - bilinear(lower, ju, jv, 3) / 255 if in_jaw else 1.0
            ua = 1 - bilinear(upper, su, sv, 3) / 255 if in_skull else 1.0
            for c in range(3):
                value = cavity[c]
                if in_tongue:
                    value = value * ta + dim[0] * bilinear(tongue, tu, tv, c)
                if in_jaw:
                    value = value * la + dim[1] * bilinear(lower, ju, jv, c)
                if in_skull:
                    value = value * ua + dim[2] * bilinear(upper, su, sv, c)
                out[y, x, c] = np.uint8(min(max(value * shade[y, x] + 0.5, 0.0), 255.0))


@compiled
def paint_own(out: U8, mask: F32, own: U8, skull: F32, jaw: F32) -> None:
    """The map of own teeth that belongs to `paint_mouth`.

    Args:
        out: u8 [n,n], overwritten where mask > 0.
        mask, skull, jaw: as there.
        own: u8 [h,w,2]: of upper and lower teeth.
    """
    for y in range(out.shape[0]):
        for x in range(out.shape[1]):
            if mask[y, x] <= 0.0:
                continue
            su, sv = through(skull, x, y)
            ju, jv = through(jaw, x, y)
            upper = bilinear(own, su, sv, 0) if within(own, su, sv) else 0.0
            lower = bilinear(own, ju, jv, 1) if within(own, ju, jv) else 0.0
            out[y, x] = np.uint8(max(upper, lower) * mask[y, x])


@compiled
def blend_along(
    out: U8,
    mask: F32,
    last: U8,
    last_mask: F32,
    back: F32,
    forth: F32,
    most: float,
    similar: float,
    consistent: float,
) -> None:
    """Blend the last mouth, carried along the flow, into a new one where flow, masks and colours agree.

    Args:
        out: u8 [n,n,3]: the new mouth, changed in place.
        mask: f32 [n,n] 0..1: its mask.
        last, last_mask: the mouth before it.
        back, forth: f32 [n,n,2] px: flow from the new mouth to the last, and from the last to the new.
        most: the last mouth's share where all agree.
        similar: grey levels of difference at which the share falls to 1/e.
        consistent: px by which the two flows may contradict each other.
    """
    size = mask.shape[0]
    for y in range(size):
        for x in range(size):
            u, v = x + back[y, x, 0], y + back[y, x, 1]
            if mask[y, x] <= 0.5 or u < 0 or v < 0 or u > size - 1 or v > size - 1:
                continue
            i, j = min(int(u), size - 2), min(int(v), size - 2)
            fx, fy = u - i, v - j
            dx = back[y, x, 0] + between(forth, i, j, fx, fy, 0)
            dy = back[y, x, 1] + between(forth, i, j, fx, fy, 1)
            contradict = dx * dx + dy * dy >= consistent * consistent
            if contradict or last_mask[int(v + 0.5), int(u + 0.5)] <= 0.5:
                continue
            differ = 0.0
            for c in range(3):
                differ = max(differ, abs(bilinear(last, u, v, c) - out[y, x, c]))
            share = most * np.exp(-((differ / similar) ** 2))
            for c in range(3):
                value = out[y, x, c] + share * (bilinear(last, u, v, c) - out[y, x, c])
                out[y, x, c] = np.uint8(value + 0.5)
