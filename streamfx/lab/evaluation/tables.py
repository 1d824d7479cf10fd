"""Rows of figures: frozen dataclasses whose fields say how they are printed; rows may hold rows."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, fields, is_dataclass, replace
from functools import cache
from typing import TYPE_CHECKING, Any, Final, TypeVar, get_type_hints

import numpy as np

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

MISSING: Final = "-"
"""Shown for what was not measured (nan)."""
Row = TypeVar("Row", bound="DataclassInstance")


@dataclass(frozen=True, slots=True)
class Column:
    """How a field of a row is printed: `psnr: Annotated[float, Column("PSNR dB", ".2f")]`."""

    head: str
    form: str = ""
    """As for `format`."""


@dataclass(frozen=True, slots=True)
class _Cell:
    name: str
    column: Column
    value: object

    def text(self) -> str:
        missing = isinstance(self.value, float) and math.isnan(self.value)
        return MISSING if missing else format(self.value, self.column.form)


def _cells_of(row: DataclassInstance) -> Iterator[_Cell]:
    """The row's fields; those of rows inside it stand in their place."""
    columns = _columns(type(row))
    for one in fields(row):
        value = getattr(row, one.name)
        if one.name in columns:
            yield _Cell(one.name, columns[one.name], value)
        else:
            yield from _cells_of(value)


@cache
def _columns(kind: type[DataclassInstance]) -> dict[str, Column]:
    """The columns of a kind of row by field; rows inside it have none."""
    hints = get_type_hints(kind, include_extras=True)
    return {name: hint.__metadata__[0] for name, hint in hints.items() if hasattr(hint, "__metadata__")}


def cells(rows: Sequence[DataclassInstance]) -> list[list[str]]:
    """The head, then every row, as text."""
    head = [cell.column.head for row in rows[:1] for cell in _cells_of(row)]
    return [head, *([cell.text() for cell in _cells_of(row)] for row in rows)]


def documents(rows: Iterable[DataclassInstance]) -> list[dict[str, object]]:
    """The rows for JSON, which knows no nan: what was not measured is null."""
    return [{cell.name: _known(cell.value) for cell in _cells_of(row)} for row in rows]


def _known(value: object) -> object:
    return value if not isinstance(value, float) or math.isfinite(value) else None


def mean(rows: Sequence[Row], **named: object) -> Row:
    """A row of the means of all floats, those in rows inside it too; other fields are the first row's.

    What was not measured (nan) does not count; where nothing was, the mean is nan.

    Args:
        rows: at least one.
        named: fields to set instead.
    """
    means: dict[str, Any] = {}
    for one in fields(rows[0]):
        values = [getattr(row, one.name) for row in rows]
        if isinstance(values[0], float):
            means[one.name] = _mean(values)
        elif is_dataclass(values[0]):
            means[one.name] = mean(values)
    return replace(rows[0], **means | named)


def _mean(values: Sequence[float]) -> float:
    known = [value for value in values if not math.isnan(value)]
    return float(np.mean(known)) if known else math.nan
