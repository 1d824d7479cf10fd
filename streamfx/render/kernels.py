"""The per-pixel loops, compiled (compiler.py). Plain arrays in, plain arrays out, no allocation.

Here: sampling, the mesh, and drawing into a picture; mouth_kernels.py and network_kernels.py build on it.
"""

from __future__ import annotations

from math import ceil, floor

import numpy as np
import numpy.typing as npt

from streamfx.frames import F32, I32, U8
from streamfx.render.compiler import compiled

_Point = tuple[float, float]
_Numbers = npt.NDArray[np.float64]

_EDGE = 1e-3  # px: a pixel this near to a triangle belongs to it, so that rounding opens no seam
FLAT = 1e-6  # px and px^2: smaller edges are level, smaller triangles are skipped
_JUMP = 230  # levels of alpha, summed over four neighbours, that make a hard edge
_INVISIBLE = 0.003  # of a mask: less is not drawn
_LINES = 8  # scan lines per pixel row of a coverage mask


@compiled
def _widen(y: int, p: _Point, q: _Point, span: _Point) -> _Point:
    """The span (lowest, highest x) of the scan line `y`, widened to where the edge from p to q meets it."""
    low, high = span
    if (p[1] < y and q[1] < y) or (p[1] > y and q[1] > y):
        return low, high
    if abs(q[1] - p[1]) < FLAT:
        return min(low, p[0], q[0]), max(high, p[0], q[0])
    x = p[0] + (y - p[1]) * (q[0] - p[0]) / (q[1] - p[1])
    return min(low, x), max(high, x)


@compiled
def rasterise(corners: F32, values: F32, triangles: I32, out: F32) -> None:
    """Scan-convert triangles in the given order; each pixel gets two values, linear over its triangle.

    Args:
        corners: f32 [V,2] px, where each vertex lies in `out`.
        values: f32 [V,2]: what each vertex carries (source position, displacement ...).
        triangles: i32 [T,3]; those of negative winding are turned away and skipped.
        out: f32 [H,W,2], overwritten where a triangle lies.
    """
    height, width = out.shape[0], out.shape[1]
    for t in range(triangles.shape[0]):
        i, j, k = triangles[t, 0], triangles[t, 1], triangles[t, 2]
        ax, ay = corners[i, 0], corners[i, 1]
        bx, by = corners[j, 0], corners[j, 1]
        cx, cy = corners[k, 0], corners[k, 1]
        area = (bx - ax) * (cy - ay) - (by - ay) * (cx - ax)
        if area <= FLAT:
            continue
        u0, v0 = values[i, 0], values[i, 1]
        u1, v1 = values[j, 0] - u0, values[j, 1] - v0
        u2, v2 = values[k, 0] - u0, values[k, 1] - v0
        ux = (u1 * (cy - ay) - u2 * (by - ay)) / area
        uy = (u2 * (bx - ax) - u1 * (cx - ax)) / area
        vx = (v1 * (cy - ay) - v2 * (by - ay)) / area
        vy = (v2 * (bx - ax) - v1 * (cx - ax)) / area
        top = max(0, ceil(min(ay, by, cy) - _EDGE))
        bottom = min(height - 1, floor(max(ay, by, cy) + _EDGE))
        for y in range(top, bottom + 1):
            span = _widen(y, (ax, ay), (bx, by), (1e9, -1e9))
            span = _widen(y, (bx, by), (cx, cy), span)
            low, high = _widen(y, (cx, cy), (ax, ay), span)
            first = max(0, ceil(low - _EDGE))
            last = min(width - 1, floor(high + _EDGE))
            u = u0 + ux * (first - ax) + uy * (y - ay)
            v = v0 + vx * (first - ax) + vy * (y - ay)
            for x in range(first, last + 1):
                out[y, x, 0] = u
                out[y, x, 1] = v
                u += ux
                v += vx


@compiled
def normals(vertices: F32, triangles: I32, out: F32) -> None:
    """Unit normals of a surface at its vertices, on the side of (c - a) x (b - a) of its triangles (a, b, c).

    Args:
        vertices: f32 [V,3].
        triangles: i32 [T,3]: each counts by its area.
        out: f32 [V,3], overwritten.
    """
    for v in range(out.shape[0]):
        for k in range(3):
            out[v, k] = 0.0
    for t in range(triangles.shape[0]):
        a, b, c = triangles[t, 0], triangles[t, 1], triangles[t, 2]
        for k in range(3):
            m, n = (k + 1) % 3, (k + 2) % 3
            am, an = vertices[a, m], vertices[a, n]
            across = (vertices[c, m] - am) * (vertices[b, n] - an) - (vertices[c, n] - an) * (
                vertices[b, m] - am
            )
            for corner in range(3):
                out[triangles[t, corner], k] += across
    for v in range(out.shape[0]):
        length = max(np.sqrt(out[v, 0] ** 2 + out[v, 1] ** 2 + out[v, 2] ** 2), 1e-9)
        for k in range(3):
            out[v, k] /= length


@compiled
def _around(layer: U8, y: int, x: int, channel: int) -> int:
    """Sum of the four neighbours."""
    beside = np.int32(layer[y, x - 1, channel]) + layer[y, x + 1, channel]
    total: int = beside + layer[y - 1, x, channel] + layer[y + 1, x, channel]
    return total


@compiled
def lay_over(layer: U8, ground: U8) -> None:
    """ground = layer + (1 - alpha) * ground, in place.

    Where the head turns, the mesh folds behind the cheek and the layer ends at a hard edge: pixels whose
    alpha jumps against their neighbours are averaged with them, so that the silhouette does not show stairs.

    Args:
        layer: u8 [H,W,4] premultiplied.
        ground: u8 [H,W,3].
    """
    height, width = layer.shape[0], layer.shape[1]
    value = np.empty(4, np.int32)
    for y in range(height):
        inner_row = 0 < y < height - 1
        for x in range(width):
            alpha = np.int32(layer[y, x, 3])
            inner = inner_row and 0 < x < width - 1
            if inner and abs(4 * alpha - _around(layer, y, x, 3)) > _JUMP:
                for c in range(4):
                    value[c] = (4 * np.int32(layer[y, x, c]) + _around(layer, y, x, c) + 4) >> 3
            elif alpha == 0:
                continue
            elif alpha == 255:
                ground[y, x, 0] = layer[y, x, 0]
                ground[y, x, 1] = layer[y, x, 1]
                ground[y, x, 2] = layer[y, x, 2]
                continue
            else:
                for c in range(4):
                    value[c] = layer[y, x, c]
            rest = 255 - value[3]
            for c in range(3):
                under = np.int32(ground[y, x, c]) * rest + 128  # divided by 255 below, rounded
                ground[y, x, c] = np.uint8(min(value[c] + ((under + (under >> 8)) >> 8), 255))


@compiled
def cover(layer: U8, alpha: U8) -> None:
    """The alpha with which `lay_over` lays a layer over its ground: hard edges are averaged.

    Args:
        layer: u8 [H,W,4] premultiplied.
        alpha: u8 [H,W], overwritten.
    """
    height, width = layer.shape[0], layer.shape[1]
    for y in range(height):
        inner_row = 0 < y < height - 1
        for x in range(width):
            value = np.int32(layer[y, x, 3])
            if inner_row and 0 < x < width - 1:
                around = _around(layer, y, x, 3)
                if abs(4 * value - around) > _JUMP:
                    value = (4 * value + around + 4) >> 3
            alpha[y, x] = value


@compiled
def lift(picture: U8, plate: U8, alpha: U8, out: U8) -> None:
    """out = picture - (1 - alpha) * plate: what was laid over a plate, taken off it again, premultiplied.

    What was drawn since then stays where alpha lets it: no colour exceeds its alpha.

    Args:
        picture, plate: u8 [H,W,3].
        alpha: u8 [H,W], of `cover`.
        out: u8 [H,W,3] of zeros.
    """
    for y in range(alpha.shape[0]):
        for x in range(alpha.shape[1]):
            covers = np.int32(alpha[y, x])
            if covers == 255:
                out[y, x, 0] = picture[y, x, 0]
                out[y, x, 1] = picture[y, x, 1]
                out[y, x, 2] = picture[y, x, 2]
            elif covers > 0:
                for c in range(3):
                    under = np.int32(plate[y, x, c]) * (255 - covers) + 128  # rounded as by lay_over
                    value = picture[y, x, c] - ((under + (under >> 8)) >> 8)
                    out[y, x, c] = np.uint8(min(max(value, 0), covers))


@compiled
def _edges_at(polygon: F32, y: int, near: I32) -> int:
    """Note the edges that touch a pixel row; their number. Edge i leads from point i to the next."""
    count, found = polygon.shape[0], 0
    for i in range(count):
        y0, y1 = polygon[i, 1], polygon[i + 1 if i + 1 < count else 0, 1]
        if min(y0, y1) <= y + 1 and max(y0, y1) >= y - 1:
            near[found] = i
            found += 1
    return found


@compiled
def _insert(ordered: _Numbers, count: int, value: float) -> int:
    """Put a value in its place among the first `count`, which are in order; return their new number."""
    i = count
    while i > 0 and ordered[i - 1] > value:
        ordered[i] = ordered[i - 1]
        i -= 1
    ordered[i] = value
    return count + 1


@compiled
def _crossings(polygon: F32, scan: float, left: int, edges: I32, many: int, ordered: _Numbers) -> int:
    """Where the first `many` edges cross a scan line, in order, px from pixel `left`; their number."""
    count, found = polygon.shape[0], 0
    for edge in range(many):
        i = edges[edge]
        j = i + 1 if i + 1 < count else 0
        y0, y1 = polygon[i, 1], polygon[j, 1]
        if (y0 <= scan) != (y1 <= scan):
            x0, x1 = polygon[i, 0], polygon[j, 0]
            found = _insert(ordered, found, x0 + (scan - y0) * (x1 - x0) / (y1 - y0) - left + 0.5)
    return found


@compiled
def _cover(row: F32, start: float, end: float) -> None:
    """Count a scan line's span: for the pixels at its ends their share, for those between the whole line."""
    if end <= start:
        return
    first, last = int(start), int(end)
    if first == last:
        row[first] += (end - start) / _LINES
        return
    row[first] += (first + 1.0 - start) / _LINES
    for x in range(first + 1, last):
        row[x] += 1.0 / _LINES
    if end > last:
        row[last] += (end - last) / _LINES


@compiled
def _cover_together(row: F32, starts: _Numbers, ends: _Numbers, count: int) -> None:
    """Count the spans of scan lines that have one each; the pixels that all of them cover at once."""
    if count == 0:
        return
    low, high = 0, row.shape[0]
    for line in range(count):
        low, high = max(low, int(starts[line]) + 1), min(high, int(ends[line]))
    for line in range(count):
        if low < high:
            _cover(row, starts[line], float(low))
            _cover(row, float(high), ends[line])
        else:
            _cover(row, starts[line], ends[line])
    for x in range(low, high):
        row[x] += count / _LINES


@compiled
def coverage(polygon: F32, left: int, top: int, out: F32) -> None:
    """Share of each pixel that a closed polygon covers (even-odd): exact along x, _LINES scan lines a row.

    Args:
        polygon: f32 [N,2] px.
        left, top: the pixel that out[0,0] stands for.
        out: f32 [h,w], overwritten.
    """
    height, width = out.shape
    count = polygon.shape[0]
    crossings, near = np.empty(count, np.float64), np.empty(count, np.int32)
    starts, ends = np.empty(_LINES, np.float64), np.empty(_LINES, np.float64)
    highest = lowest = polygon[0, 1]
    for i in range(count):
        highest, lowest = min(highest, polygon[i, 1]), max(lowest, polygon[i, 1])
    first = max(0, floor(highest - top + 0.5))
    last = min(height - 1, ceil(lowest - top + 0.5))
    for y in range(height):
        for x in range(width):
            out[y, x] = 0.0
    for y in range(first, last + 1):
        edges, single = _edges_at(polygon, top + y, near), 0
        for line in range(_LINES):
            scan = top + y - 0.5 + (line + 0.5) / _LINES
            found = _crossings(polygon, scan, left, near, edges, crossings)
            for span in range(0, found - 1, 2):
                start, end = max(0.0, crossings[span]), min(float(width), crossings[span + 1])
                if found > 2:
                    _cover(out[y], start, end)
                elif start < end:
                    starts[single], ends[single] = start, end
                    single += 1
        _cover_together(out[y], starts, ends, single)


@compiled
def through(place: F32, x: float, y: float) -> _Point:
    """A point through a [2,3] map."""
    return place[0, 0] * x + place[0, 1] * y + place[0, 2], place[1, 0] * x + place[1, 1] * y + place[1, 2]


@compiled
def within(texture: U8, x: float, y: float) -> bool:
    """Whether a texture has pixels on all sides of a point."""
    height, width = texture.shape[0], texture.shape[1]
    inside: bool = x >= 0 and y >= 0 and x < width - 1 and y < height - 1
    return inside


@compiled
def bilinear(texture: U8, x: float, y: float, channel: int) -> float:
    """A texture's value between its pixels; beyond its border, that of the border."""
    height, width = texture.shape[0], texture.shape[1]
    x = min(max(x, 0.0), width - 1.001)
    y = min(max(y, 0.0), height - 1.001)
    i, j = int(x), int(y)
    fx, fy = x - i, y - j
    upper = texture[j, i, channel] * (1 - fx) + texture[j, i + 1, channel] * fx
    lower = texture[j + 1, i, channel] * (1 - fx) + texture[j + 1, i + 1, channel] * fx
    value: float = upper * (1 - fy) + lower * fy
    return value


@compiled
def draw_eye(
    picture: U8, left: int, top: int, mask: F32, sclera: U8, iris: U8, place: F32, gaze: F32
) -> None:
    """Draw an eyeball through its lids, in place.

    Args:
        picture: u8 [H,W,3].
        left, top: the picture's pixel that mask[0,0] stands for.
        mask: f32 [h,w] 0..1: the opening between the lids.
        sclera, iris: see frames.EyeLayer.
        place: f32 [2,3]: picture px -> texture px.
        gaze: f32 [2]: iris offset in texture px.
    """
    for y in range(mask.shape[0]):
        for x in range(mask.shape[1]):
            m = mask[y, x]
            if m <= _INVISIBLE:
                continue
            u, v = through(place, left + x, top + y)
            iu, iv = u - gaze[0], v - gaze[1]
            inside = within(iris, iu, iv)
            alpha = bilinear(iris, iu, iv, 3) / 255.0 if inside else 0.0
            for c in range(3):
                value = bilinear(sclera, u, v, c) * (1 - alpha)
                if inside:
                    value += bilinear(iris, iu, iv, c)
                old = picture[top + y, left + x, c]
                picture[top + y, left + x, c] = np.uint8(min(max(old + (value - old) * m + 0.5, 0.0), 255.0))


@compiled
def draw_patch(picture: U8, left: int, top: int, mask: F32, patch: U8, place: F32) -> None:
    """Blend a patch into a picture through a mask, in place.

    Args:
        picture: u8 [H,W,3].
        left, top: the picture's pixel that mask[0,0] stands for.
        mask: f32 [h,w] 0..1.
        patch: u8 [n,n,3].
        place: f32 [2,3]: picture px -> patch px.
    """
    for y in range(mask.shape[0]):
        for x in range(mask.shape[1]):
            m = mask[y, x]
            if m <= _INVISIBLE:
                continue
            u, v = through(place, left + x, top + y)
            for c in range(3):
                old = picture[top + y, left + x, c]
                value = old + (bilinear(patch, u, v, c) - old) * m
                picture[top + y, left + x, c] = np.uint8(min(max(value + 0.5, 0.0), 255.0))


@compiled
def between(image: F32, i: int, j: int, fx: float, fy: float, channel: int) -> float:
    """An image's value at (i + fx, j + fy), which has pixels on all sides."""
    upper = image[j, i, channel] * (1 - fx) + image[j, i + 1, channel] * fx
    lower = image[j + 1, i, channel] * (1 - fx) + image[j + 1, i + 1, channel] * fx
    value: float = upper * (1 - fy) + lower * fy
    return value
