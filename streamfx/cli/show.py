"""How commands print: JSON for programs, plain columns for people."""

from __future__ import annotations

import json
from collections.abc import Sequence


def print_json(value: object) -> None:
    """Print one JSON document."""
    print(json.dumps(value, indent=2, ensure_ascii=False))


def print_columns(rows: Sequence[Sequence[str]]) -> None:
    """Print rows in columns as wide as their longest cell; the last column is left as it is."""
    if not rows:
        return
    widths = [max(len(cell) for cell in column) for column in zip(*rows, strict=True)]
    for row in rows:
        cells = [cell.ljust(width) for cell, width in zip(row, widths, strict=True)]
        print("  ".join(cells).rstrip())


def megabytes(size: int) -> str:
    """A size in bytes for a person: 3.8 MB."""
    return f"{size / 1e6:.1f} MB"
