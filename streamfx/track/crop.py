"""Square crops of a picture and the way back for landmarks."""

from __future__ import annotations

from typing import NamedTuple

import cv2
import numpy as np

from streamfx.frames import F32, U8


class Square(NamedTuple):
    """A square window of a picture; it may reach beyond the picture."""

    x: float
    """px of the left edge"""
    y: float
    """px of the top edge"""
    side: float
    """px"""

    @staticmethod
    def around(landmarks: F32, factor: float, down: float = 0.0) -> Square:
        """The window `factor` times as large as the face, moved down by `down` face sizes."""
        low, high = landmarks[:, :2].min(0), landmarks[:, :2].max(0)
        face = float((high - low).max())
        cx, cy = (float(v) for v in (low + high) / 2)
        side = face * factor
        return Square(cx - side / 2, cy + down * face - side / 2, side)

    def cut(self, rgb: U8, size: int) -> U8:
        """u8 [size,size,3]: the window's pixels; beyond the picture its border goes on."""
        scale = size / self.side
        source = rgb if scale >= 0.5 else _shrunk(rgb, scale * 2)  # a plain bilinear read would alias
        fx, fy = source.shape[1] / rgb.shape[1], source.shape[0] / rgb.shape[0]
        sx, sy = scale / fx, scale / fy
        # integer coordinates are pixel centres: half a pixel before and after scaling
        matrix = np.array(
            [[sx, 0, (sx - 1) / 2 - scale * self.x], [0, sy, (sy - 1) / 2 - scale * self.y]], np.float64
        )
        edge = cv2.BORDER_REPLICATE
        out = cv2.warpAffine(source, matrix, (size, size), flags=cv2.INTER_LINEAR, borderMode=edge)
        return np.asarray(out, np.uint8)

    def back(self, landmarks: F32, size: int) -> F32:
        """Landmarks f32 [N,3] px of the cut, brought into the picture."""
        out = landmarks * np.float32(self.side / size)
        out[:, :2] += np.array((self.x, self.y), np.float32)
        return out


def _shrunk(rgb: U8, scale: float) -> U8:
    """The picture at about that scale, area-averaged."""
    height, width = rgb.shape[:2]
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    return np.asarray(cv2.resize(rgb, size, interpolation=cv2.INTER_AREA), np.uint8)


def fitted(rgb: U8, longest: int) -> tuple[U8, F32]:
    """The picture with its long side at most `longest` px, and the factors f32 [3] (x, y, z) back."""
    height, width = rgb.shape[:2]
    factor = max(height, width) / longest
    small = rgb if factor <= 1 else _shrunk(rgb, 1 / factor)
    fx, fy = width / small.shape[1], height / small.shape[0]
    return small, np.array((fx, fy, fx), np.float32)
