"""At rest the portrait is the photo: how far the output is from it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from streamfx.frames import F32, Motion, Rig
from streamfx.lab.evaluation.closure import SIZE
from streamfx.lab.evaluation.metrics import mean_difference
from streamfx.models.store import Store
from streamfx.pipeline import Animator, load_portrait
from streamfx.render.base import Mode
from streamfx.render.cpu import CpuRenderer
from streamfx.topology import LIP_LOWER, LIP_UPPER


@dataclass(frozen=True, slots=True)
class RestRow:
    """How far the output at rest is from the photo, in grey levels (0..255)."""

    portrait: str
    layer: float
    """Mean absolute difference in layer mode."""
    sheet: float
    """The same in sheet mode."""
    worst: int
    """Largest difference of a pixel in layer mode."""
    mouth_closed: float
    """Layer mode with the mouth closed, as the portrait idles: differs where the photo's mouth is open."""


def rest_row(name: str, rig: Rig) -> RestRow:
    """Render one portrait at rest."""
    pad, (width, height) = rig.pad, rig.size
    photo = rig.photo[pad : pad + height, pad : pad + width]
    everywhere = np.ones((height, width), bool)
    as_in_photo = replace(Motion.rest(), expression=rig.opening, lip_gaps=photo_lip_gaps(rig))
    layer = Animator(rig).animate(as_in_photo).rgb
    sheet = Animator(rig, renderer=CpuRenderer(rig, mode=Mode.SHEET)).animate(as_in_photo).rgb
    idle = Animator(rig).animate(Motion.rest()).rgb
    return RestRow(
        portrait=name,
        layer=mean_difference(layer, photo, everywhere),
        sheet=mean_difference(sheet, photo, everywhere),
        worst=int(np.abs(layer.astype(int) - photo).max()),
        mouth_closed=mean_difference(idle, photo, everywhere),
    )


def photo_lip_gaps(rig: Rig) -> F32:
    """f32 [9] cm: the lip gaps that leave the photo's mouth as it is."""
    gaps = rig.shape[list(LIP_LOWER), 1] - rig.shape[list(LIP_UPPER), 1]
    return np.asarray(np.maximum(gaps, 0), np.float32)


def rest(data: Path, store: Store) -> list[RestRow]:
    """One row per portrait of `data`/portraits, paintings included.

    Raises:
        PhotoError, ModelError: a photo or a model is unfit.
    """
    folder = data / "portraits"
    paths = sorted(path for place in (folder, folder / "art") for path in place.glob("*.*"))
    return [rest_row(path.stem, load_portrait(path, SIZE, store).rig) for path in paths]
