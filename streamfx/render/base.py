"""The contract of rendering: Deformation in, picture out; and the two places where networks plug in.

A PortraitRenderer is what the pipeline sees: one rig's picture in the making, wherever its pixels lie; a
RenderDevice makes them. Refiner and MouthPainter are where networks take part on the CPU (cpu.py).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum, StrEnum
from typing import Final, Protocol

from streamfx.frames import F32, U8, Deformation, Rig
from streamfx.models.weights import NetworkName, Profile
from streamfx.telemetry import StageTimer

CLOSED_GAP: Final = 0.06
"""cm: mean gap of the lips under which no mouth is masked or drawn (algorithm.md#crop)."""

Network = Callable[[F32], F32]
"""A network as the renderer sees it: f32 [H,W,C] in, f32 [H,W,C'] out, one picture (models.network.Network).

What it returns may be overwritten by its next call.
"""


class Mode(StrEnum):
    """What is drawn, and what of it moves with the head."""

    LAYER = "layer"
    """The person moves over a still background (default)."""
    SHEET = "sheet"
    """The whole photo is one elastic sheet."""
    CUTOUT = "cutout"
    """The person moves as in LAYER, and the background is taken away: pictures have alpha."""


class Device(StrEnum):
    """Where pictures are made."""

    CPU = "cpu"
    CUDA = "cuda"
    """An NVIDIA card: pictures stay there until they are finished."""


@dataclass(frozen=True, slots=True)
class Networks:
    """Which networks take part in an animation."""

    refine: Profile | None = None
    """None: the face stays as it was warped."""
    mouth: Profile | None = None
    """None: the procedural mouth."""

    @property
    def names(self) -> tuple[NetworkName, ...]:
        """Of the networks that run."""
        chosen = (("refine", self.refine), ("mouth", self.mouth))
        return tuple(NetworkName(f"{place}-{profile}") for place, profile in chosen if profile)


class MouthCrop(Enum):
    """Which square a mouth painter wants to see; its value is the side in px."""

    MOUTH = 96
    """7 cm about the mouth: fine, and cheap."""
    FACE = 256
    """The refiner's crop: the whole face, for networks that judge a mouth by it."""


@dataclass(frozen=True, slots=True)
class Rectified:
    """The face as the refining network sees it: upright, at fixed scale (algorithm.md#crop)."""

    rgb: F32 = field(repr=False)
    """f32 [256,256,3] 0..1: the warped face with the inner mouth blanked to 0."""
    inner_mouth: F32 = field(repr=False)
    """f32 [256,256] 0..1: the opening between the lips; all 0 while the mean gap is under CLOSED_GAP."""
    eyes: F32 = field(repr=False)
    """f32 [256,256] 0..1: the openings between the lids: eyeballs are drawn, not refined."""
    face: F32 = field(repr=False)
    """f32 [256,256] 0 or 1: hull of the face oval."""
    displacement: F32 = field(repr=False)
    """f32 [256,256,2]: M, pose-free displacement in units of each face part's sigma, clipped to +-6."""
    light: F32 = field(repr=False)
    """f32 [256,256]: how much more light falls on the skin than in the photo; 1 at rest (render/light.py)."""
    from_frame: F32 = field(repr=False)
    """f32 [2,3]: frame px -> crop px (A)."""


@dataclass(frozen=True, slots=True)
class Residual:
    """What a refining network adds to the face, upsampled to the frame and gated (algorithm.md#refining)."""

    rgb: F32 = field(repr=False)
    """f32 [256,256,3], -1..1 of full brightness, gate applied."""


@dataclass(frozen=True, slots=True)
class MouthView:
    """The mouth, head-rectified, in a MouthCrop: the space of mouth painters and temporal blending."""

    rgb: U8 = field(repr=False)
    """u8 [n,n,3]: the picture so far; what lies inside the mask means nothing."""
    mask: F32 = field(repr=False)
    """f32 [n,n] 0..1: the opening between the lips."""
    displacement: F32 = field(repr=False)
    """f32 [n,n,2]: M, as in Rectified."""
    lips: F32 = field(repr=False)
    """f32 [20,2] px of the frame: the inner lip line."""
    from_frame: F32 = field(repr=False)
    """f32 [2,3]: frame px -> crop px."""
    gap: float
    """cm: mean gap of the lips."""

    @property
    def is_open(self) -> bool:
        """Whether there is a mouth to draw: below CLOSED_GAP lips count as closed."""
        return self.gap >= CLOSED_GAP


class Refiner(Protocol):
    """Cleans and details the warped face (the paper's wg-GAN)."""

    def refine(self, face: Rectified, deformation: Deformation) -> Residual:
        """What to add to the face. Frames come in the order in which they are shown."""
        ...


class MouthPainter(Protocol):
    """Invents the inside of the mouth (the paper's hrh-GAN, or the procedural mouth)."""

    @property
    def crop(self) -> MouthCrop:
        """The square that it paints in."""
        ...

    def paint(self, view: MouthView, deformation: Deformation) -> U8:
        """u8 [n,n,3]; only pixels inside view.mask are used."""
        ...


@dataclass(frozen=True, slots=True)
class Picture:
    """A finished picture."""

    rgb: U8 = field(repr=False)
    """u8 [H,W,3]; with `alpha` premultiplied."""
    alpha: U8 | None = field(default=None, repr=False)
    """u8 [H,W], as Rendered.alpha: there with Mode.CUTOUT, else None."""

    def copy(self) -> Picture:
        """One that shares no memory with this."""
        return Picture(self.rgb.copy(), None if self.alpha is None else self.alpha.copy())


class PortraitRenderer(Protocol):
    """One rig's picture in the making; a frame is warp, refine (or not), draw_mouth, picture, in this order.

    Not thread-safe: buffers are reused between frames.
    """

    @property
    def refines(self) -> bool:
        """Whether it has a network that refines the face."""
        ...

    def warp(self, deformation: Deformation) -> object:
        """Begin a picture: head, eyes and background in place; no inner mouth as yet."""
        ...

    def refine(self, deformation: Deformation) -> None:
        """Clean and detail the warped face, if `refines`."""
        ...

    def draw_mouth(self, deformation: Deformation, *, networks: bool) -> None:
        """Put the inside of the mouth between the lips; without `networks`, the procedural one."""
        ...

    def picture(self) -> Picture:
        """The finished picture, the caller's to keep."""
        ...

    def time_with(self, timer: StageTimer) -> None:
        """Tell a timer what the caller's clock does not see: how long a card works on each step."""
        ...


class RenderDevice(Protocol):
    """Makes the renderers of one device; they share the networks that were loaded for one of them."""

    def renderer(self, rig: Rig, networks: Networks, mode: Mode = Mode.LAYER) -> PortraitRenderer:
        """For one rig's pictures.

        Raises:
            ModelError: a network is not shipped, or damaged.
            DeviceError: the device has no room for it.
        """
        ...
