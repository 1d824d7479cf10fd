"""What a check of this machine finds: the rows that `streamfx doctor` shows."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class State(StrEnum):
    """The outcome of a check; only FAIL keeps streamfx from working."""

    OK = "ok"
    WARN = "warn"
    FAIL = "fail"


@dataclass(frozen=True, slots=True)
class Check:
    """One finding, for a person and for programs."""

    name: str
    state: State
    finding: str
    """One line."""
    remedy: str = ""
    """A line for each way or step; empty when there is nothing to do."""
