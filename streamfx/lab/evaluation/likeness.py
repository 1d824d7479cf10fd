"""How near a finished picture comes to the true one: all figures of one comparison."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import numpy as np

from streamfx.frames import F32, U8
from streamfx.lab.evaluation.identity import Identity, apart
from streamfx.lab.evaluation.metrics import Mask, gmsd, laplacian_energy, mean_difference, psnr, ssim
from streamfx.lab.evaluation.perceptual import LandmarkFeatures
from streamfx.lab.evaluation.stage import View
from streamfx.lab.evaluation.tables import Column
from streamfx.models.store import Store


@dataclass(frozen=True, slots=True)
class Likeness:
    """A picture beside the truth, over the face oval without the inner mouth of either."""

    psnr: Annotated[float, Column("PSNR dB", ".2f")]
    ssim: Annotated[float, Column("SSIM", ".4f")]
    sharpness: Annotated[float, Column("SHARPNESS", ".2f")]
    """Laplacian energy over the truth's: below 1 is blurred, above 1 adds noise or edges."""
    l1: Annotated[float, Column("L1", ".2f")]
    """Grey levels of 255."""
    gmsd: Annotated[float, Column("GMSD", ".4f")]
    perceptual: Annotated[float, Column("FEATURES", ".2f")]
    """perceptual.LandmarkFeatures: a stand-in for LPIPS."""
    identity: Annotated[float, Column("IDENTITY", ".3f")]
    """Distance of the embeddings of output and truth; nan where that was not asked for."""


@dataclass(frozen=True, slots=True)
class Gain:
    """How much nearer to the truth than something else."""

    psnr_gain: Annotated[float, Column("dPSNR", "+.2f")]
    ssim_gain: Annotated[float, Column("dSSIM", "+.4f")]

    @staticmethod
    def over(other: Likeness, one: Likeness) -> Gain:
        """Of one over the other."""
        return Gain(one.psnr - other.psnr, one.ssim - other.ssim)


@dataclass(frozen=True, slots=True)
class Judge:
    """What measures."""

    features: LandmarkFeatures
    identity: Identity | None = None
    """None leaves identity unmeasured: it takes longer than all else."""

    def trial(self, view: View) -> Trial:
        """Comparisons with one true picture."""
        if self.identity is None:
            return Trial(view, self.features, None, None)
        return Trial(view, self.features, self.identity, self.identity.embed(view.picture, view.landmarks))


def open_judge(data: Path, store: Store) -> Judge:
    """A judge of everything.

    Args:
        data: see clips.data_folder; holds dlib's network in models/.
        store: the models.

    Raises:
        ModelError: a model is missing or damaged.
    """
    return Judge(LandmarkFeatures(store.path("face_landmarker")), Identity(data / "models"))


@dataclass(frozen=True, slots=True)
class Trial:
    """One true picture, ready to be compared with others."""

    view: View
    features: LandmarkFeatures
    identity: Identity | None
    owner: F32 | None = field(repr=False)
    """f32 [128]: the truth's embedding."""

    def likeness(self, picture: U8, wanted: F32, whose: bool = True) -> Likeness:
        """All figures.

        Args:
            picture: u8 [H,W,3], finished, in the frame.
            wanted: f32 [>=468,2] px: where its landmarks are meant to be.
            whose: identity too, if the judge measures it.
        """
        whom = self._identity(picture, wanted) if whose else math.nan
        return self.crop_likeness(self.view.crop(picture), wanted, whom)

    def crop_likeness(self, shown: U8, wanted: F32, identity: float = math.nan) -> Likeness:
        """All figures of a picture u8 [256,256,3] that lies in the view's own crop already.

        Outside the mask the truth stands in for it: windows that reach beyond see nothing foreign.
        """
        truth, mask = self.view.truth, self.view.mask(wanted)
        shown = np.where(mask[..., None], shown, truth)
        return Likeness(
            psnr=psnr(shown, truth, mask),
            ssim=ssim(shown, truth, mask),
            sharpness=sharpness(shown, truth, mask),
            l1=mean_difference(shown, truth, mask),
            gmsd=gmsd(shown, truth, mask),
            perceptual=self.features.distance(shown, truth, mask),
            identity=identity,
        )

    def _identity(self, picture: U8, wanted: F32) -> float:
        if self.identity is None or self.owner is None:
            return math.nan
        return apart(self.identity.embed(picture, wanted), self.owner)


def sharpness(picture: U8, truth: U8, mask: Mask) -> float:
    """Laplacian energy of u8 [H,W,3] over the truth's, on bool [H,W]."""
    return laplacian_energy(picture, mask) / laplacian_energy(truth, mask)
