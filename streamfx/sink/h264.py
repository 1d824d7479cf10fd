"""Pictures as a stream of H.264 for watchers: no delay in the encoder, one packet per picture."""

from __future__ import annotations

from fractions import Fraction
from typing import Final

import av
from av.video.codeccontext import VideoCodecContext

from streamfx.frames import U8

_KEY_EVERY_S: Final = 2.0
_OPTIONS: Final = {"preset": "ultrafast", "tune": "zerolatency", "crf": "23"}


class H264Stream:
    """Encodes pictures of one size, each as soon as it comes."""

    def __init__(self, size: tuple[int, int], fps: float) -> None:
        """Open the encoder.

        Args:
            size: (width, height) px, both even.
            fps: pictures a second, about: it steers how bits are spent.
        """
        codec = av.CodecContext.create("libx264", "w")
        if not isinstance(codec, VideoCodecContext):
            raise TypeError("libx264 makes no video")
        self._codec = codec
        codec.width, codec.height = size
        codec.pix_fmt = "yuv420p"
        codec.framerate = Fraction(fps).limit_denominator(1000)
        codec.time_base = 1 / codec.framerate
        codec.gop_size = max(1, round(_KEY_EVERY_S * fps))
        codec.options = dict(_OPTIONS)
        self._count = 0

    def encode(self, rgb: U8) -> tuple[bytes, bool]:
        """One picture, u8 [H,W,3].

        Returns:
            Its bytes (Annex B; key pictures carry the parameter sets), and whether it is a key picture.
        """
        frame = av.VideoFrame.from_ndarray(rgb, format="rgb24").reformat(format="yuv420p")
        frame.pts, self._count = self._count, self._count + 1
        packets = self._codec.encode(frame)
        return b"".join(bytes(packet) for packet in packets), any(packet.is_keyframe for packet in packets)
