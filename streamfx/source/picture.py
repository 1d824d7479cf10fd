"""A decoded picture of any pixel format, range, shape and orientation as upright, contiguous RGB."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Final, cast

import av
import numpy as np
from av.buffer import Buffer
from av.sidedata.sidedata import SideDataContainer
from av.video.frame import VideoFrame
from av.video.reformatter import Colorspace, VideoReformatter

from streamfx.errors import SourceUnreadable
from streamfx.frames import U8
from streamfx.media import OPEN_REMEDY, reason

MAX_SIDE: Final = 8192
"""px, the largest picture accepted."""

_UNSPECIFIED: Final = 2
"""AVCOL_SPC_UNSPECIFIED"""


@dataclass(frozen=True, slots=True)
class Orientation:
    """One of the eight ways a rectangle maps onto itself: transpose first, then mirror."""

    transpose: bool = False
    mirror_x: bool = False
    mirror_y: bool = False

    @property
    def rotation(self) -> int:
        """Degrees clockwise, 0, 90, 180 or 270 (of a mirrored picture: the rotation after mirroring in x)."""
        if self.transpose:
            return 270 if self.mirror_y else 90
        return 180 if self.mirror_y else 0

    def apply(self, rgb: U8) -> U8:
        """u8 [H,W,3] -> contiguous u8 [H,W,3] or [W,H,3]."""
        if self == Orientation():
            return np.ascontiguousarray(rgb)  # FFmpeg pads lines
        turned = rgb.swapaxes(0, 1) if self.transpose else rgb
        turned = turned[:: -1 if self.mirror_y else 1, :: -1 if self.mirror_x else 1]
        return np.ascontiguousarray(turned)


def orientation_of(frame: VideoFrame) -> Orientation:
    """The frame's display matrix (ISO 14496-12, 8.3.2): (x, y) is shown at (ax + cy, bx + dy)."""
    # Not frame.side_data: the frame keeps that, and it the frame, so that every picture of a film would stay
    # in memory until the garbage collector looks (measured: 1.5 GB in ten seconds of 720x1280).
    side_data = SideDataContainer(frame).get("DISPLAYMATRIX")  # type: ignore[call-arg]  # missing in PyAV's stub
    if side_data is None:
        return Orientation()
    a, b, _, c, d = struct.unpack_from("=5i", memoryview(cast(Buffer, side_data)))
    if abs(a) + abs(d) < abs(b) + abs(c):
        return Orientation(transpose=True, mirror_x=c < 0, mirror_y=b < 0)
    return Orientation(mirror_x=a < 0, mirror_y=d < 0)


class RgbConverter:
    """Turns decoded pictures into RGB; keeps one swscale context, since each costs megabytes."""

    def __init__(self) -> None:
        self._reformatter = VideoReformatter()

    def convert(self, frame: VideoFrame, aspect: float = 1.0) -> U8:
        """Contiguous u8 [H,W,3], upright, with square pixels (`aspect`: width of a stored pixel in heights).

        Raises:
            SourceUnreadable: larger than `MAX_SIDE`, or of a pixel format that cannot be converted.
        """
        check_size(frame.width, frame.height)
        try:
            rgb = self._reformatter.reformat(
                frame,
                width=min(MAX_SIDE, max(1, round(frame.width * aspect))),
                format="rgb24",
                src_colorspace=_colorspace(frame),
                threads=1,
            )
        except (av.FFmpegError, ValueError) as error:
            cause = f"Pictures of the pixel format {frame.format.name} cannot be converted: {reason(error)}"
            raise SourceUnreadable(cause, OPEN_REMEDY) from error
        pixels = cast(U8, rgb.to_ndarray())
        # An RGB stream comes through unconverted: the decoder may still predict from these very bytes.
        return orientation_of(frame).apply(pixels.copy() if rgb is frame else pixels)


def check_size(width: int, height: int) -> None:
    """Raises SourceUnreadable for a picture beyond `MAX_SIDE`."""
    if max(width, height) > MAX_SIDE:
        cause = f"The video's pictures are {width}x{height} pixels, beyond the limit of {MAX_SIDE}x{MAX_SIDE}"
        raise SourceUnreadable(cause, "Scale it down, for instance to 1280x720")


def _colorspace(frame: VideoFrame) -> int | None:
    """For streams that name no matrix: BT.709 from HD on, as players do; swscale's own is BT.601."""
    if frame.colorspace == _UNSPECIFIED and frame.height >= 720:
        return int(Colorspace.ITU709)
    return None
