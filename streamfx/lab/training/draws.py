"""Which rows of the crops a step sees: kinds by their shares, and people alike or by their weight."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt
import torch

from streamfx.errors import SourceUnreadable
from streamfx.frames import I32, Mask

Names = npt.NDArray[np.str_]

FEWEST_PEOPLE: Final = {"train": 2, "val": 1}
"""Of each split: one person alone would be learned by heart, and none would tell."""


class Group(NamedTuple):
    """Rows of one kind."""

    rows: Mask
    """bool [N]"""
    share: float
    """Of the draws; what absent groups would have had goes to the others."""


class RowDraw:
    """Draws rows for training: a group by its share, then one of its people, then one of their rows."""

    def __init__(
        self, subject: Names, groups: Sequence[Group], weights: Mapping[str, float] = MappingProxyType({})
    ) -> None:
        """Sort the rows.

        Args:
            subject: [N] whose each row is.
            groups: of rows; one row may be in several.
            weights: how often a person is drawn, beside the others; 1 for those who are not in it.

        Raises:
            SourceUnreadable: the groups show fewer than two people.
        """
        check_people(subject, np.logical_or.reduce([group.rows for group in groups]), "train")
        present = [group for group in groups if group.share > 0 and group.rows.any()]
        self._people = [by_person(subject, group.rows) for group in present]
        self._weights = [
            torch.tensor([weights.get(str(subject[rows[0]]), 1.0) for rows in people], dtype=torch.float64)
            for people in self._people
        ]
        self._shares = torch.tensor([group.share for group in present], dtype=torch.float64)

    def rows(self, count: int, generator: torch.Generator) -> I32:
        """i32 [count]"""
        groups = torch.multinomial(self._shares, count, replacement=True, generator=generator)
        return np.array([self._one(group, generator) for group in groups.tolist()], np.int32)

    def _one(self, group: int, generator: torch.Generator) -> int:
        person = int(torch.multinomial(self._weights[group], 1, generator=generator))
        rows = self._people[group][person]
        return int(rows[int(torch.randint(len(rows), (1,), generator=generator))])


def balanced(group: Mapping[str, str], balance: float) -> dict[str, float]:
    """How often to draw each person, so that groups of few people are not lost among those of many.

    Args:
        group: of each person, by name.
        balance: 0: all people alike; 1: all groups alike.
    """
    size = Counter(group.values())
    return {person: size[its] ** -balance for person, its in group.items()}


def by_turns(subject: Names, chosen: Mask, most: int) -> I32:
    """i32 [at most `most`]: of the chosen rows [N], one of each person, then the next of each, and so on."""
    people = by_person(subject, chosen)
    turns = max((len(rows) for rows in people), default=0)
    rows = [person[turn] for turn in range(turns) for person in people if turn < len(person)]
    return np.array(rows[:most], np.int32)


def by_person(subject: Names, chosen: Mask) -> list[I32]:
    """The chosen rows [N], those of one person at a time."""
    rows = np.flatnonzero(chosen).astype(np.int32)
    return [rows[subject[rows] == name] for name in np.unique(subject[rows])]


def check_people(subject: Names, usable: Mask, split: str) -> None:
    """Refuse a split that shows too few people.

    Raises:
        SourceUnreadable: so it is.
    """
    found, fewest = len(np.unique(subject[usable])), FEWEST_PEOPLE[split]
    if found < fewest:
        raise SourceUnreadable(
            f"The data show {found} usable people of split {split}; at least {fewest} are needed",
            "Add people to index.csv; docs/training.md tells what is needed of each",
        )
