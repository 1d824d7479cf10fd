"""The values that flow through the pipeline, one type per arrow (see pipeline.py for the way they take).

Conventions: images are u8 RGB, row-major, integer coordinates at pixel centres, x right, y down.
Canonical space is the face's own frame in centimetres: x right in the image, y down, z away from the viewer;
z of landmarks is in pixels of the same scale as x. Rotations act on column vectors.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

import numpy as np
import numpy.typing as npt

F32 = npt.NDArray[np.float32]
U8 = npt.NDArray[np.uint8]
I32 = npt.NDArray[np.int32]


@dataclass(frozen=True, slots=True)
class Frame:
    """One picture of the driving source. Private: it ends at track/ and never reaches a sink."""

    rgb: U8 = field(repr=False)
    """u8 [H,W,3]"""
    captured_ns: int
    """Source time in nanoseconds: the stream's own timestamps for files, the monotonic clock for cameras."""
    seq: int
    """Running number of the picture, from 0."""
    epoch: int = 0
    """Counts discontinuities (source reopened, size changed, time jumped); filters reset when it changes."""


@dataclass(frozen=True, slots=True)
class FaceTrack:
    """One face, found in one picture."""

    landmarks: F32 = field(repr=False)
    """f32 [478,3] px: x, y in the picture, z with the scale of x, negative = nearer."""
    blendshapes: F32 = field(repr=False)
    """f32 [52] ARKit scores 0..1 in MediaPipe's order (index 0 is `_neutral`)."""
    confidence: float
    captured_ns: int
    epoch: int = 0


@dataclass(frozen=True, slots=True)
class Motion:
    """What the driver does, as numbers without the driver's looks: an offset from the driver's own neutral.

    All zeros (scale 1, lip gaps 0) means: at rest, mouth closed, eyes as in the photo.
    """

    expression: F32 = field(repr=False)
    """f32 [468,3] cm: pose-free displacement of each canonical vertex."""
    rotation: F32
    """f32 [3] rad: rotation vector of the head relative to neutral, in camera axes."""
    translation: F32
    """f32 [3] cm: head translation relative to neutral, in camera axes (z unused: scale carries it)."""
    scale: float
    """Apparent head size relative to neutral."""
    gaze: F32
    """f32 [2] in eye widths: iris offset relative to neutral, x right, y down, both eyes together."""
    lip_gaps: F32
    """f32 [9] cm >= 0: absolute gap of the pairs LIP_UPPER/LIP_LOWER; 0 is closed."""
    lid_closure: F32
    """f32 [2] right, left: 0 as at rest, 1 closed, negative (down to -0.6) wider than at rest."""
    captured_ns: int
    seq: int
    epoch: int = 0
    presence: float = 1.0
    """1 while the face is tracked; falls to 0 while the portrait eases to rest after a loss."""
    held: bool = False
    """True when no face was found in this picture and the motion is held or easing to rest."""

    @staticmethod
    def rest(captured_ns: int = 0, seq: int = 0, epoch: int = 0) -> Motion:
        """The motion that leaves the photo as it is, mouth closed, and that no face drives."""
        zeros = np.zeros
        return Motion(
            expression=zeros((468, 3), np.float32),
            rotation=zeros(3, np.float32),
            translation=zeros(3, np.float32),
            scale=1.0,
            gaze=zeros(2, np.float32),
            lip_gaps=zeros(9, np.float32),
            lid_closure=zeros(2, np.float32),
            captured_ns=captured_ns,
            seq=seq,
            epoch=epoch,
            presence=0.0,
            held=True,
        )


class Quality(StrEnum):
    """How a frame came about, best first."""

    FULL = "FULL"
    """Warp and networks."""
    WARP_ONLY = "WARP_ONLY"
    """Warp and procedural mouth; no network ran."""
    HELD = "HELD"
    """The face was lost: the last motion is held or easing to rest."""
    IDLE = "IDLE"
    """No face drives the portrait: it rests."""


@dataclass(frozen=True, slots=True)
class Rendered:
    """A finished picture of the portrait: the only thing a sink accepts."""

    rgb: U8 = field(repr=False)
    """u8 [H,W,3]"""
    captured_ns: int
    rendered_ns: int
    """Monotonic clock when the picture was finished."""
    seq: int
    quality: Quality
