"""The inside of the mouth on unseen smiles that show teeth: is it nearer to the real one than the procedural?

Vertices lie exactly where the smile has them. Output and truth are compared in the 96 px mouth crop (7 cm):
inside the true opening and two pixels around it, and over the opening's box. A method with a reference may
take teeth from a photo of the same person. No other smile of these people is at hand, so that photo is the
truth itself, altered: turned, made smaller, darker, recompressed, so that no pixel of the truth can return
unchanged. It still shows the same instant; a user's photo will show another.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Annotated, Final

import cv2
import numpy as np

from streamfx.frames import F32, U8
from streamfx.lab.evaluation.contenders import Contender, painting
from streamfx.lab.evaluation.likeness import sharpness
from streamfx.lab.evaluation.methods import Method, Show
from streamfx.lab.evaluation.metrics import gmsd, mean_difference, psnr, ssim
from streamfx.lab.evaluation.openings import Opening
from streamfx.lab.evaluation.people import Sitting
from streamfx.lab.evaluation.perceptual import LandmarkFeatures
from streamfx.lab.evaluation.stage import Stage, Studio, View
from streamfx.lab.evaluation.tables import Column, mean
from streamfx.lab.skin import cheek_colour
from streamfx.models.weights import Profile
from streamfx.portrait.photo import load_photo

PROCEDURAL: Final = Method("procedural")
LEAST_GAP: Final = 0.15
"""cm of mean lip gap from which a smile can show teeth."""
LEAST_TEETH: Final = 0.25
"""Share of the opening that must look like teeth."""


@dataclass(frozen=True, slots=True)
class MouthRow:
    """One method on one smile, or a mean: inside the opening, then over its box."""

    sitter: Annotated[str, Column("SITTER")]
    method: Annotated[str, Column("METHOD")]
    gain: Annotated[float, Column("dPSNR", "+.2f")]
    """Over the first method."""
    psnr: Annotated[float, Column("PSNR dB", ".2f")]
    ssim: Annotated[float, Column("SSIM", ".3f")]
    sharpness: Annotated[float, Column("SHARPNESS", ".2f")]
    l1: Annotated[float, Column("L1", ".1f")]
    perceptual: Annotated[float, Column("FEATURES", ".1f")]
    box_psnr: Annotated[float, Column("BOX PSNR", ".2f")]
    box_ssim: Annotated[float, Column("BOX SSIM", ".3f")]
    box_gmsd: Annotated[float, Column("BOX GMSD", ".3f")]


@dataclass(frozen=True, slots=True)
class MouthMethod:
    """A way to paint the mouth, with or without a reference photo."""

    method: Method
    reference: bool = False

    @property
    def name(self) -> str:
        """As in tables."""
        return f"{self.method.name} + reference" if self.reference else self.method.name


def methods(found: Sequence[Contender]) -> list[MouthMethod]:
    """The procedural mouth and every painter, each without and with a reference.

    The paper's network sees no reference: it completes the face.
    """
    out = [MouthMethod(PROCEDURAL), MouthMethod(PROCEDURAL, reference=True)]
    for contender, method in painting(found):
        out.append(MouthMethod(method))
        if contender.profile is Profile.LITE:
            out.append(MouthMethod(method, reference=True))
    return out


@dataclass(frozen=True, slots=True)
class Smile:
    """A smile that shows teeth."""

    sitting: Sitting
    opening: Opening = field(repr=False)
    informed: Stage
    """The portrait that knows the reference photo."""

    def stage(self, reference: bool) -> Stage:
        """The portrait to animate."""
        return self.informed if reference else self.sitting.stage


def smiles(sittings: Iterable[Sitting], studio: Studio) -> Iterator[Smile]:
    """Those that show teeth."""
    for sitting in sittings:
        opening = Opening.of(sitting.stage, sitting.face)
        if opening.gap >= LEAST_GAP and teeth_share(sitting, opening) >= LEAST_TEETH:
            yield Smile(sitting, opening, _informed(sitting, studio))


def teeth_share(sitting: Sitting, opening: Opening) -> float:
    """Share 0..1 of the opening that looks like teeth: over .75 of the cheeks' L*, and less red (a*)."""
    picture = sitting.stage.framed(sitting.smile)
    inside = _lab(opening.crop(picture))[opening.mask]
    cheek = _lab(cheek_colour(picture, sitting.stage.landmarks(sitting.face)).reshape(1, 1, 3))[0, 0]
    return float(((inside[:, 0] > 0.75 * cheek[0]) & (inside[:, 1] < cheek[1])).mean())


def _lab(picture: U8) -> F32:
    return np.asarray(cv2.cvtColor((picture / 255).astype(np.float32), cv2.COLOR_RGB2Lab), np.float32)


def _informed(sitting: Sitting, studio: Studio) -> Stage:
    neutral = load_photo(sitting.pair.neutral).rgb
    return studio.stage(neutral, sitting.person, references=[as_reference(sitting.smile)])


def as_reference(photo: U8) -> U8:
    """A photo u8 [H,W,3] as another camera might have taken it: turned, smaller, darker, recompressed."""
    height, width = photo.shape[:2]
    size = (round(0.8 * width), round(0.8 * height))
    turn = cv2.getRotationMatrix2D((width / 2, height / 2), 5.0, 0.8)
    turn[:, 2] += (size[0] - width) / 2, (size[1] - height) / 2
    turned = cv2.warpAffine(photo, turn, size, borderMode=cv2.BORDER_REPLICATE)
    darker = 255 * (0.85 * turned.astype(np.float32) / 255) ** 1.12
    code = cv2.imencode(".jpg", np.rint(darker).astype(np.uint8), [cv2.IMWRITE_JPEG_QUALITY, 60])[1]
    return np.asarray(cv2.imdecode(code, cv2.IMREAD_UNCHANGED), np.uint8)


def mouth(
    shown: Iterable[Smile], compared: Sequence[MouthMethod], features: LandmarkFeatures
) -> Iterator[MouthRow]:
    """Every method on every smile; gains are over the first method."""
    for smile in shown:
        rows: list[MouthRow] = []
        for method in compared:
            stage = smile.stage(method.reference)
            picture = Show(stage.rig, method.method).picture(stage.matched(smile.sitting.face))
            row = _row(smile, method.name, picture, features)
            rows.append(replace(row, gain=row.psnr - rows[0].psnr if rows else 0.0))
        yield from rows


def _row(smile: Smile, method: str, picture: U8, features: LandmarkFeatures) -> MouthRow:
    opening, sitting = smile.opening, smile.sitting
    view = View.of(sitting.stage, sitting.face, sitting.smile)
    shown, truth = opening.crop(picture), opening.crop(view.picture)
    near, box = opening.near(), opening.box()
    return MouthRow(
        sitter=sitting.person,
        method=method,
        gain=0.0,
        psnr=psnr(shown, truth, near),
        ssim=ssim(shown, truth, near),
        sharpness=sharpness(shown, truth, near),
        l1=mean_difference(shown, truth, near),
        perceptual=features.distance(view.crop(picture), view.truth, opening.in_face(view.affine)),
        box_psnr=psnr(shown, truth, box),
        box_ssim=ssim(shown, truth, box),
        box_gmsd=gmsd(shown, truth, box),
    )


def summary(rows: Sequence[MouthRow]) -> list[MouthRow]:
    """Means per method."""
    names = dict.fromkeys(row.method for row in rows)
    groups = [[row for row in rows if row.method == name] for name in names]
    return [mean(group, sitter=f"mean of {len(group)}") for group in groups]
