"""The values that flow through the pipeline, one type per arrow (see pipeline.py for the way they take).

Conventions: images are u8 RGB, row-major, integer coordinates at pixel centres, x right, y down.
Canonical space is the face's own frame in centimetres: x right in the image, y down, z away from the viewer;
z of landmarks is in pixels of the same scale as x. Rotations act on column vectors.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field

# An idle OpenBLAS thread spins after any matmul and halves the speed of everything else on two cores.
# It is read when numpy is first imported.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import numpy as np
import numpy.typing as npt

from streamfx.quality import Quality

F32 = npt.NDArray[np.float32]
U8 = npt.NDArray[np.uint8]
I32 = npt.NDArray[np.int32]
I64 = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]


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
class SoundBlock:
    """A piece of the driver's sound, for the film beside its pictures."""

    samples: F32 = field(repr=False)
    """f32 [C,N], -1 to 1: one channel or two."""
    start_ns: int
    """When it begins, counted from the driver's first picture."""


@dataclass(frozen=True, slots=True)
class FaceTrack:
    """One face, found in one picture."""

    landmarks: F32 = field(repr=False)
    """f32 [478,3] px: x, y in the picture as turned, z with the scale of x, negative = nearer."""
    blendshapes: F32 = field(repr=False)
    """f32 [52] ARKit scores 0..1 in MediaPipe's order (index 0 is `_neutral`)."""
    confidence: float
    captured_ns: int
    epoch: int = 0
    person: int = 0
    """Number of the person followed, the same whenever they are recognised: a neutral holds for one."""
    turn: int = 0
    """Quarter turns, counter-clockwise, by which the picture was turned so that faces stand upright."""


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


@dataclass(frozen=True, slots=True)
class EyeLayer:
    """One eyeball as two textures, so that gaze moves the iris and a closing lid squashes nothing."""

    sclera: U8 = field(repr=False)
    """u8 [h,w,3]: the white without the iris, filled in beyond the lids."""
    iris: U8 = field(repr=False)
    """u8 [h,w,4]: iris and pupil, premultiplied, completed where the lids hid them."""
    to_rest: F32 = field(repr=False)
    """f32 [2,3]: texture px -> frame px at rest."""


@dataclass(frozen=True, slots=True)
class MouthLayer:
    """The hidden mouth: teeth and tongue as textures in the head's frontal plane.

    portrait/teeth/mouth.py makes it, render/mouth.py paints with it.
    """

    upper: U8 = field(repr=False)
    """u8 [h,w,4] premultiplied: upper teeth and gum; they follow the skull."""
    lower: U8 = field(repr=False)
    """u8 [h,w,4] premultiplied: lower teeth and gum; they follow the jaw."""
    tongue: U8 = field(repr=False)
    """u8 [h,w,4] premultiplied: it follows the jaw, but less far."""
    own: U8 = field(repr=False)
    """u8 [h,w,2]: 255 where upper and lower teeth are the person's own, seen in a photo; 0 where drawn."""
    cavity: F32
    """f32 [3] RGB 0..255: colour of the throat."""
    centre: F32
    """f32 [3] cm, canonical: midway between the photo's lips, where the textures have their centre."""
    width: float
    """cm spanned by a texture's width; its px are square."""


@dataclass(frozen=True, slots=True)
class Rig:
    """Everything about one photo that is solved once."""

    size: tuple[int, int]
    """(width, height) of the output frame, px."""
    pad: int
    """px that the textures extend beyond the frame on every side: texture = frame + pad."""
    photo: U8 = field(repr=False)
    """u8 [H+2pad, W+2pad, 3]: the photo, framed, extended beyond its borders; an open mouth is filled in."""
    layer: U8 = field(repr=False)
    """u8 [H+2pad, W+2pad, 4]: the person, premultiplied so that layer + (1 - alpha) * plate = photo."""
    plate: U8 = field(repr=False)
    """u8 [H,W,3]: the background without the person."""

    landmarks: F32 = field(repr=False)
    """f32 [478,3] px."""
    shape: F32 = field(repr=False)
    """f32 [478,3] cm: the landmarks in canonical space, S0 = R0^T (L0 - t0) / s0, exactly invertible."""
    rotation: F32 = field(repr=False)
    """f32 [3,3]: head pose R0 of the photo."""
    translation: F32
    """f32 [3] px: t0."""
    scale: float
    """px per cm: s0."""

    vertices: F32 = field(repr=False)
    """f32 [V,2] px of the frame, at rest: 468 of the face, then the exterior."""
    triangles: I32 = field(repr=False)
    """i32 [T,3]: exterior first, all of positive winding, then the 898 of the face, wound as one surface.

    Of the face, those that the photo shows from behind are negative; a renderer skips them.
    """
    visible: I32 = field(repr=False)
    """i32 [K]: rows of the exterior triangles that hold any of the person; layer mode needs no others."""
    face_triangles: int
    """Number of face triangles at the end of `triangles`."""
    solid: F32 = field(repr=False)
    """f32 [V,3] cm: canonical position of every vertex at rest, relief scaled (algorithm.md#retargeting)."""
    head_weight: F32 = field(repr=False)
    """f32 [V]: share of the rigid head motion (1 on the face)."""
    body_weight: F32 = field(repr=False)
    """f32 [V]: share of the torso's translation (0 on the face)."""
    room: F32
    """f32 [4]: px that the head may travel left, right, up and down."""
    stage: I32
    """i32 [4]: left, top, right, bottom px of the frame: where the person is seen: within a photo that stands
    before a backdrop (portrait/surroundings.py), else everywhere."""
    oval_weight: F32 = field(repr=False)
    """f32 [V-468,36]: share of the expression at each oval point that the exterior follows."""
    lip_spread: F32 = field(repr=False)
    """f32 [468,18]: how corrections of LIP_UPPER + LIP_LOWER spread over the face."""
    smile: F32 = field(repr=False)
    """f32 [468,3] cm: the smile that the photo shows already; all 0 where it shows none."""
    opening: F32 = field(repr=False)
    """f32 [468,3] cm: what the open mouth of the photo did to its face; all 0 where it is closed."""
    lid_spread: F32 = field(repr=False)
    """f32 [468,28]: the same for the lids: right upper, right lower, left upper, left lower."""

    eyes: tuple[EyeLayer, EyeLayer]
    mouth: MouthLayer
    mouth_hidden: bool
    """Something covers the mouth in the photo: lips do not part, and no inside is drawn."""
    grey: bool
    """The photo has no colours: nor may a finished picture."""
    turned: int
    """Quarter turns counter-clockwise by which the photo was turned to stand upright."""
    digest: str
    """sha256 over the photo's bytes, the frame's size and the solver's version: the name in the cache."""

    @property
    def closed(self) -> F32:
        """f32 [468,3] cm, canonical: the face with its mouth closed."""
        return self.shape[: len(self.opening)] - self.opening


@dataclass(frozen=True, slots=True)
class Deformation:
    """One Motion applied to one Rig: where everything goes. Geometry only; no pixel yet."""

    vertices: F32 = field(repr=False)
    """f32 [V,2] px"""
    depth: F32 = field(repr=False)
    """f32 [468] px: z of the face's vertices relative to the head's origin, larger = farther."""
    expression: F32 = field(repr=False)
    """f32 [468,3] cm, canonical: E', with lips and lids set exactly; the displacement map's input."""
    rotation: F32 = field(repr=False)
    """f32 [3,3]: the head's rotation R_t, canonical to picture."""
    translation: F32
    """f32 [3] px: where the canonical origin lies, t_t."""
    scale: float
    """px per cm: s_t"""
    inner_mouth: F32 = field(repr=False)
    """f32 [20,2] px: the inner lip line."""
    mouth_gap: float
    """cm: mean gap of the lip pairs, 0 where hidden; below render.base.CLOSED_GAP no mouth is drawn."""
    jaw_drop: float
    """cm: how far the lower teeth moved down in the head's frame."""
    lids: tuple[F32, F32]
    """f32 [16,2] px each, right and left: the lid lines, in the order of topology.EYES."""
    lid_closure: F32
    """f32 [2] right, left: as in Motion."""
    gaze: F32
    """f32 [2] in eye widths: iris offset from where the photo looks, x right, y down."""
    held: bool
    """As in Motion."""
    presence: float
    """As in Motion."""
    captured_ns: int
    seq: int
    epoch: int


@dataclass(frozen=True, slots=True)
class Rendered:
    """A finished picture of the portrait: the only thing a sink accepts."""

    rgb: U8 = field(repr=False)
    """u8 [H,W,3]; with `alpha` premultiplied: what it is over black."""
    captured_ns: int
    rendered_ns: int
    """Monotonic clock when the picture was finished."""
    seq: int
    quality: Quality
    alpha: U8 | None = field(default=None, repr=False)
    """u8 [H,W]: 255 where the portrait covers what is behind, 0 where nothing is; None: it covers all."""


@dataclass(frozen=True, slots=True)
class IdlePortrait:
    """A portrait at rest, with what lets it breathe and blink where there is no renderer (sink/idle.py)."""

    rest: U8 = field(repr=False)
    """u8 [H,W,3]"""
    breath: F32 = field(repr=False)
    """f32 [h,w,2] px of the frame: where everything moves to as the chest is full; one value per STEP px."""
    sway: F32 = field(repr=False)
    """f32 [h,w,2] px: the same as the head turns a little to the right."""
    blink: U8 = field(repr=False)
    """u8 [K,n,m,3]: the eyes from nearly open to shut, K = 0 where there are none."""
    blink_at: tuple[int, int]
    """(left, top) px of these in the frame."""
    alpha: U8 | None = field(default=None, repr=False)
    """u8 [H,W], as Rendered.alpha: `rest` and `blink` are premultiplied; None: opaque."""
