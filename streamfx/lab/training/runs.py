"""The folder of one run: what it was told, where it stands, what it has seen, and what came of it.

run.json                the settings; a resumed run must have the same
checkpoint.safetensors  the whole state between two steps
log.jsonl               a line of losses every few steps, a line per validation
sheets/00001000.png     sample pictures
best.safetensors        the weights that did best on validation so far
NAME.safetensors        the weights at the end
samples.npz             inputs to calibrate their int8 export by
data/                   the crops, where they were not built elsewhere
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt

from streamfx import __version__
from streamfx.errors import UsageError
from streamfx.files import atomic_output, check_writable, read_bytes, write_failure
from streamfx.frames import F32, U8
from streamfx.lab.training.accelerate import Precision
from streamfx.lab.training.checkpoints import (
    Checkpoint,
    Tensors,
    load_checkpoint,
    save_checkpoint,
    save_weights,
)
from streamfx.sink.sheet import save_sheet

_LARGEST_TEXT: Final = 1 << 28
_ANOTHER: Final = "Name another folder by --out"


@dataclass(frozen=True, slots=True)
class Settings:
    """What makes a run what it is; how long it takes may change when it is resumed."""

    network: str
    seed: int
    batch: int
    """Of each process."""
    precision: Precision
    changed: tuple[str, ...]
    """Settings of the recipe that were given, NAME=VALUE."""
    recipe: Mapping[str, object] = field(repr=False)
    """All settings of the recipe, as JSON says them."""
    begun_from: str
    """sha256 of the weights it began from; empty for fresh ones."""
    steps: int | None
    minutes: float | None


class RunFolder:
    """Reads and writes one run's files. Every file is written whole or not at all, but the log, by lines."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def check_free(self) -> None:
        """See whether a run may begin here.

        Raises:
            UsageError: it holds one already.
        """
        if self._record.exists():
            told = self.settings()
            raise UsageError(
                f"{self.path} holds a run of {told.network} already (seed {told.seed})",
                "Go on with it by --resume, or name another folder by --out",
            )

    def settings(self) -> Settings:
        """Of the run that is here.

        Raises:
            UsageError: there is none, or its record is damaged.
        """
        if not self._record.exists():
            raise UsageError(f"{self.path} holds no run to resume", "Leave --resume away to begin one")
        try:
            record = json.loads(read_bytes(self._record, _LARGEST_TEXT))
            told = Settings(**{one.name: record[one.name] for one in fields(Settings)})
            return replace(told, changed=tuple(told.changed))
        except (ValueError, KeyError, TypeError) as error:
            raise UsageError(f"{self._record} is damaged", _ANOTHER) from error

    def check_same(self, asked: Settings) -> None:
        """See whether the run that is here may go on.

        Raises:
            UsageError: it has other settings than are asked for.
        """
        told = self.settings()
        for one in ("network", "seed", "batch", "precision", "changed", "begun_from"):
            if getattr(told, one) != getattr(asked, one):
                cause = f"has {one} {getattr(told, one)!r}, and {getattr(asked, one)!r} is asked for"
                raise UsageError(f"The run in {self.path} {cause}", f"Leave the option away. {_ANOTHER}")
        recipe = json.loads(json.dumps(asked.recipe))
        if told.recipe != recipe:
            name = next(key for key in {**told.recipe, **recipe} if told.recipe.get(key) != recipe.get(key))
            before, now = told.recipe.get(name), recipe.get(name)
            raise UsageError(
                f"The run in {self.path} began with the setting {name} = {before}, and now it is {now}",
                "Resume with the version of streamfx that began it, or name another folder by --out",
            )

    def write_settings(self, settings: Settings) -> None:
        """Make the folder, if need be, and write the settings down. Raises OutputError."""
        make_writable(self.path / "sheets")
        record = {"streamfx": __version__} | asdict(settings)
        self._write("run.json", json.dumps(record, indent=1).encode())

    def checkpoint(self) -> Checkpoint | None:
        """Where the run stands; None where it was killed before its first checkpoint.

        Raises:
            ModelCorrupt: it is damaged.
        """
        path = self.path / "checkpoint.safetensors"
        return load_checkpoint(path) if path.exists() else None

    def forget_after(self, step: int) -> None:
        """Take out of the log what it says of later steps, which will be done again."""
        path = self.path / "log.jsonl"
        if not path.exists():
            return
        lines = read_bytes(path, _LARGEST_TEXT).decode("utf-8", "replace").splitlines()
        kept = [line for line in lines if _step_of(line) <= step]
        self._write("log.jsonl", "".join(f"{line}\n" for line in kept).encode())

    def save(self, checkpoint: Checkpoint) -> None:
        """Write where the run stands. Raises OutputError."""
        save_checkpoint(self.path / "checkpoint.safetensors", checkpoint)

    def log(self, line: Mapping[str, object]) -> None:
        """Add a line. Raises OutputError."""
        path = self.path / "log.jsonl"
        try:
            with path.open("a", encoding="utf-8") as file:
                file.write(json.dumps(line) + "\n")
        except OSError as error:
            raise write_failure(path, error) from error

    def sheet(self, step: int, sheet: U8) -> None:
        """Keep sample pictures. Raises OutputError."""
        save_sheet(self.path / "sheets" / f"{step:08d}.png", sheet)

    def best(self, weights: Tensors, facts: Mapping[str, object]) -> None:
        """Keep weights that did better than those before. Raises OutputError."""
        save_weights(self.path / "best.safetensors", weights, facts)

    def finish(
        self,
        network: str,
        weights: Tensors,
        facts: Mapping[str, object],
        inputs: F32,
        mask: npt.NDArray[np.bool_],
    ) -> Path:
        """Write what the run was for; the path of the weights.

        Args:
            network: its name.
            weights: of the network that ships.
            facts: what to say about them in the file.
            inputs: f32 [N,C,H,W] that it may be shown; kept as f16.
            mask: bool [N,1,H,W] where its output counts.

        Raises:
            OutputError: the disk refuses.
        """
        with atomic_output(self.path / "samples.npz") as part, part.open("wb") as file:
            np.savez_compressed(file, inputs=inputs.astype(np.float16), mask=mask)
        path = self.path / f"{network}.safetensors"
        save_weights(path, weights, facts)
        return path

    @property
    def _record(self) -> Path:
        return self.path / "run.json"

    def _write(self, name: str, data: bytes) -> None:
        with atomic_output(self.path / name) as part:
            part.write_bytes(data)


def make_writable(folder: Path) -> None:
    """Make the folder, if need be, and find out whether files can be made in it. Raises OutputError."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise write_failure(folder, error) from error
    check_writable(folder / "try")


def _step_of(line: str) -> float:
    """The step of a line of the log; infinite for one that was cut short."""
    try:
        return float(json.loads(line)["step"])
    except (ValueError, KeyError, TypeError):
        return float("inf")
