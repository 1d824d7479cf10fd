"""The manifest: the model files streamfx uses, their exact bytes, whose they are and where they come from."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

from streamfx.errors import UsageError
from streamfx.models.origins import Origin, UrlOrigin, WheelOrigin, WheelTarget


@dataclass(frozen=True, slots=True)
class ModelRow:
    """One file of the store: its name, its bytes (by hash and size), its licence and its origins in order."""

    name: str
    version: str
    file: str
    """The plain file name in the store's folder."""
    sha256: str
    """Lower-case hexadecimal, 64 digits."""
    size: int
    """Bytes."""
    about: str
    licence: str
    licence_url: str
    attribution: str
    origins: tuple[Origin, ...]

    @classmethod
    def parse(cls, row: Mapping[str, Any]) -> ModelRow:
        """Build a row from its JSON object; a missing or unknown key is a KeyError or TypeError of ours."""
        origins = tuple(_origin(entry) for entry in row["origins"])
        parsed = cls(**{**row, "origins": origins})
        if Path(parsed.file).name != parsed.file or len(parsed.sha256) != 64:
            raise ValueError(f"manifest row {parsed.name!r}: bad file name or hash")
        return parsed


def load_manifest(text: str) -> tuple[ModelRow, ...]:
    """Parse a manifest's JSON text; the order of its rows is kept."""
    return tuple(ModelRow.parse(row) for row in json.loads(text)["models"])


@cache
def own_manifest() -> tuple[ModelRow, ...]:
    """The manifest that ships with this version of streamfx."""
    return load_manifest((files("streamfx.models") / "manifest.json").read_text("utf-8"))


def find_row(rows: tuple[ModelRow, ...], name: str) -> ModelRow:
    """The row of that name.

    Raises:
        UsageError: no row has it; the message lists those there are.
    """
    for row in rows:
        if row.name == name:
            return row
    known = ", ".join(row.name for row in rows)
    raise UsageError(f"There is no model named {name!r}", f"Choose from: {known}")


def _origin(entry: Mapping[str, Any]) -> Origin:
    """Build one origin; the kind says which."""
    fields = dict(entry)
    kind = fields.pop("kind")
    if kind == "url":
        if not fields["url"].startswith("https://"):
            raise ValueError(f"manifest: {fields['url']!r} is not https")
        return UrlOrigin(**fields)
    if kind == "wheel":
        target = fields.pop("target", None)
        return WheelOrigin(**fields, target=WheelTarget(**target) if target else None)
    raise ValueError(f"manifest: unknown kind of origin {kind!r}")
