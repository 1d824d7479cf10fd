"""What each network is shown: batches for training, for validation, and for calibrating its exported file."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Final, Generic, TypeVar

import numpy as np
import torch
from torch import Tensor

from streamfx.frames import I32, Mask
from streamfx.lab.skin import crop_typology_angle, skin_group
from streamfx.lab.training.crops import FaceCrops, MouthCrops
from streamfx.lab.training.draws import Group, Names, RowDraw, balanced, by_turns, check_people
from streamfx.lab.training.sampling import (
    NONE,
    Augmentation,
    FaceBatch,
    FaceSampler,
    MouthBatch,
    MouthSampler,
    Rows,
)

B = TypeVar("B")

VALIDATED: Final = 64
"""Rows compared at each validation, at most."""
_CHUNK: Final = 8
_HOLE: Final = 3
"""Channel of FaceBatch.inputs that holds the inner mouth."""


@dataclass(frozen=True, slots=True)
class FaceShares:
    """How often each kind of row is drawn (see faces.Tier); soft rows are of any tier."""

    matched: float = 0.30
    shown: float = 0.15
    back: float = 0.10
    same: float = 0.10
    cycle: float = 0.08
    ratio: float = 0.12
    soft: float = 0.15
    """Of faces too small to show their skin."""


@dataclass(frozen=True, slots=True)
class MouthShares:
    """How often each kind of row is drawn (see mouths.Tier); soft rows are of any tier."""

    drawn: float = 0.28
    own: float = 0.25
    wide: float = 0.30
    soft: float = 0.17
    """Of mouths too small to show teeth one by one."""


@dataclass(frozen=True, slots=True)
class HoleShares:
    """How often faces are drawn that show detail, and that do not."""

    sharp: float = 0.7
    soft: float = 0.3


@dataclass(frozen=True, slots=True)
class FacePair:
    """A batch and, for some, the one a moment before."""

    now: FaceBatch
    before: FaceBatch | None


@dataclass(frozen=True, slots=True)
class MouthPair:
    """A batch and, for some, the one a moment before."""

    now: MouthBatch
    before: MouthBatch | None


@dataclass(frozen=True, slots=True)
class CompletionBatch:
    """What the completion network learns from; f32 on the CPU."""

    picture: Tensor
    """[B,3,256,256] 0..1: the whole face."""
    hole: Tensor
    """[B,1,256,256] 0..1: the inner mouth."""


class Lessons(ABC, Generic[B]):
    """Batches of one kind, drawn from one table of crops."""

    def __init__(self, draw: RowDraw, validated: I32, batch: int) -> None:
        self._draw, self._validated, self._size = draw, validated, batch

    def draw(self, generator: torch.Generator) -> B:
        """A batch to learn from, random only by the generator."""
        return self.shown(self._draw.rows(self._size, generator), generator)

    @abstractmethod
    def shown(self, rows: Rows, generator: torch.Generator) -> B:
        """Rows, altered at random."""

    @abstractmethod
    def plain(self, rows: Rows) -> B:
        """Rows as they are."""

    def validation(self) -> Iterator[B]:
        """The same rows of people who are never learned from, as they are."""
        yield from self._plain(self._validated)

    def examples(self, count: int, seed: int) -> Iterator[B]:
        """Rows of the training people, as they are; no more than a few at a time."""
        yield from self._plain(self._draw.rows(count, torch.Generator().manual_seed(seed)))

    def _plain(self, rows: I32) -> Iterator[B]:
        for start in range(0, len(rows), _CHUNK):
            yield self.plain(rows[start : start + _CHUNK])


class FaceLessons(Lessons[FacePair]):
    """For the refining networks.

    Args:
        crops: the faces.
        batch: rows at a time.
        shares: of the kinds of rows.
        pairs: share of batches that come with the one before.
        skin_balance: 0 draws all people alike, 1 all groups of skin tone.
        with_mouth: ask for the inner mouth too: one network for both tasks (the paper's figure 7).
    """

    def __init__(
        self,
        crops: FaceCrops,
        batch: int,
        shares: FaceShares = FaceShares(),
        pairs: float = 0.0,
        *,
        skin_balance: float = 0.0,
        with_mouth: bool = False,
    ) -> None:
        weights = balanced(_skin_groups(crops), skin_balance)
        draw = RowDraw(crops.subject, _face_groups(crops, shares), weights)
        validated = _validated(crops.subject, _unseen(crops) & np.isin(crops.tier, ("matched", "shown")))
        super().__init__(draw, validated, batch)
        # A whole truth takes the place of the photo, which alone is not blanked.
        source = replace(crops, photo=crops.truth) if with_mouth else crops
        self._sampler, self._plainly = FaceSampler(source), FaceSampler(source, NONE)
        self._pairs, self._with_mouth = pairs, with_mouth

    def shown(self, rows: Rows, generator: torch.Generator) -> FacePair:
        if float(torch.rand((), generator=generator)) >= self._pairs:
            return FacePair(self._asked(self._sampler.batch(rows, generator)), None)
        before, now = self._sampler.pair(rows, generator)
        return FacePair(self._asked(now), self._asked(before))

    def plain(self, rows: Rows) -> FacePair:
        return FacePair(self._asked(self._plainly.batch(rows, torch.Generator())), None)

    def _asked(self, batch: FaceBatch) -> FaceBatch:
        if not self._with_mouth:
            return batch
        hole = batch.inputs[:, _HOLE : _HOLE + 1]
        return replace(batch, truth=batch.photo, face=torch.maximum(batch.face, (hole > 0.5).float()))


class MouthLessons(Lessons[MouthPair]):
    """For the lite profile's mouth.

    Args:
        crops: the mouths.
        batch: rows at a time.
        shares: of the kinds of rows.
        pairs: share of batches that come with the one before.
    """

    def __init__(
        self, crops: MouthCrops, batch: int, shares: MouthShares = MouthShares(), pairs: float = 0.0
    ) -> None:
        learned, sharp = crops.split == "train", crops.sharp > 0
        by_tier = {"drawn": shares.drawn, "own": shares.own, "wide": shares.wide}
        groups = [Group(learned & sharp & (crops.tier == tier), share) for tier, share in by_tier.items()]
        groups.append(Group(learned & ~sharp, shares.soft))
        validated = _validated(crops.subject, _unseen(crops))
        super().__init__(RowDraw(crops.subject, groups), validated, batch)
        self._sampler, self._plainly = MouthSampler(crops), MouthSampler(crops, NONE)
        self._pairs = pairs

    def shown(self, rows: Rows, generator: torch.Generator) -> MouthPair:
        if float(torch.rand((), generator=generator)) >= self._pairs:
            return MouthPair(self._sampler.batch(rows, generator), None)
        before, now = self._sampler.pair(rows, generator)
        return MouthPair(now, before)

    def plain(self, rows: Rows) -> MouthPair:
        return MouthPair(self._plainly.batch(rows, torch.Generator()), None)


class CompletionLessons(Lessons[CompletionBatch]):
    """For the paper's mouth: true faces with open mouths, where the hole is cut.

    Args:
        crops: the faces.
        batch: rows at a time.
        shares: of the kinds of rows.
    """

    def __init__(self, crops: FaceCrops, batch: int, shares: HoleShares = HoleShares()) -> None:
        true = np.isin(crops.tier, ("matched", "same")) & _open(crops)
        learned, sharp = true & (crops.split == "train"), crops.sharp > 0
        groups = [Group(learned & sharp, shares.sharp), Group(learned & ~sharp, shares.soft)]
        super().__init__(
            RowDraw(crops.subject, groups), _validated(crops.subject, true & _unseen(crops)), batch
        )
        # The sampler blanks the truth's mouth but not the photo's: the truth takes its place.
        whole = replace(crops, photo=crops.truth)
        self._sampler = FaceSampler(whole, Augmentation(no_motion=0))
        self._plainly = FaceSampler(whole, NONE)

    def shown(self, rows: Rows, generator: torch.Generator) -> CompletionBatch:
        return _holed(self._sampler.batch(rows, generator))

    def plain(self, rows: Rows) -> CompletionBatch:
        return _holed(self._plainly.batch(rows, torch.Generator()))


def _holed(batch: FaceBatch) -> CompletionBatch:
    return CompletionBatch(batch.photo, batch.inputs[:, _HOLE : _HOLE + 1])


def _face_groups(crops: FaceCrops, shares: FaceShares) -> list[Group]:
    learned, sharp = crops.split == "train", crops.sharp > 0
    by_tier = {
        "matched": shares.matched,
        "shown": shares.shown,
        "back": shares.back,
        "same": shares.same,
        "cycle": shares.cycle,
        "ratio": shares.ratio,
    }
    groups = [Group(learned & sharp & (crops.tier == tier), share) for tier, share in by_tier.items()]
    return [*groups, Group(learned & ~sharp, shares.soft)]


def _skin_groups(crops: FaceCrops) -> dict[str, str]:
    """Each training person's, by the photo of their first row."""
    names, first = np.unique(crops.subject[crops.split == "train"], return_index=True)
    rows = np.flatnonzero(crops.split == "train")[first]
    return {
        str(name): str(skin_group(crop_typology_angle(crops.photo[row])))
        for name, row in zip(names, rows, strict=True)
    }


def _unseen(crops: FaceCrops | MouthCrops) -> Mask:
    """bool [N]: the rows to validate on: sharp ones, where there are any."""
    unseen: Mask = crops.split == "val"
    sharp: Mask = unseen & (crops.sharp > 0)
    return sharp if sharp.any() else unseen


def _validated(subject: Names, usable: Mask) -> I32:
    check_people(subject, usable, "val")
    return by_turns(subject, usable, VALIDATED)


def _open(crops: FaceCrops) -> Mask:
    """bool [N]: where the lips are apart."""
    return np.array([bool((mask > 127).any()) for mask in crops.mask])
