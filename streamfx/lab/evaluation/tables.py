"""Rows of figures: frozen dataclasses whose fields say how they are headed and printed."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import asdict, field, fields, replace
from typing import TYPE_CHECKING, Any, Final, TypeVar

import numpy as np

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

MISSING: Final = "-"
Row = TypeVar("Row", bound="DataclassInstance")


def column(head: str, form: str = "") -> Any:  # noqa: ANN401  # what dataclasses.field returns
    """A field of a row: the head of its column and how its value is formatted."""
    return field(metadata={"head": head, "form": form})


def cells(rows: Sequence[DataclassInstance]) -> list[list[str]]:
    """The head, then every row, as text; what was not measured (nan) shows as a dash."""
    if not rows:
        return []
    head = [one.metadata["head"] for one in fields(rows[0])]
    return [head, *(_texts(row) for row in rows)]


def _texts(row: DataclassInstance) -> list[str]:
    return [_text(getattr(row, one.name), one.metadata["form"]) for one in fields(row)]


def _text(value: object, form: str) -> str:
    return MISSING if isinstance(value, float) and math.isnan(value) else format(value, form)


def documents(rows: Iterable[DataclassInstance]) -> list[dict[str, object]]:
    """The rows' fields for JSON, which knows no nan: what was not measured is null."""
    return [{name: _known(value) for name, value in asdict(row).items()} for row in rows]


def _known(value: object) -> object:
    return None if isinstance(value, float) and math.isnan(value) else value


def mean(rows: Sequence[Row], **named: object) -> Row:
    """A row of the means of all float fields; other fields are the first row's unless `named`.

    What was not measured (nan) does not count; where nothing was, the mean is nan.
    """
    floats = [one.name for one in fields(rows[0]) if isinstance(getattr(rows[0], one.name), float)]
    figures: dict[str, Any] = {name: _mean([getattr(row, name) for row in rows]) for name in floats}
    return replace(rows[0], **figures, **named)


def _mean(values: Sequence[float]) -> float:
    known = [value for value in values if not math.isnan(value)]
    return float(np.mean(known)) if known else math.nan
