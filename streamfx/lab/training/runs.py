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
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt

from streamfx import __version__
from streamfx.errors import UsageError
from streamfx.files import atomic_output, read_bytes, write_failure
from streamfx.frames import F32, U8
from streamfx.lab.training.checkpoints import (
    Checkpoint,
    Tensors,
    load_checkpoint,
    save_checkpoint,
    save_weights,
)
from streamfx.sink.sheet import save_sheet

_LARGEST_TEXT: Final = 1 << 28
_ANOTHER: Final = "Name another folder by --out, or leave the option away to go on as it began"


@dataclass(frozen=True, slots=True)
class Settings:
    """What makes a run what it is."""

    network: str
    batch: int
    """Of each process."""
    seed: int
    precision: str
    begun_from: str
    """sha256 of the weights it began from; empty for fresh ones."""
    recipe: Mapping[str, object] = field(repr=False)
    """The recipe's configuration, as JSON can say it."""


class RunFolder:
    """Reads and writes one run's files. Every file is written whole or not at all, but the log, by lines."""

    def __init__(self, path: Path, settings: Settings) -> None:
        self.path, self.settings = path, settings
        self.data = path / "data"

    @property
    def begun(self) -> bool:
        """Whether the folder holds a run."""
        return (self.path / "run.json").exists()

    def begin(self) -> None:
        """Make the folder and write down the settings.

        Raises:
            UsageError: it holds a run already.
            OutputError: it cannot be made, or not be written.
        """
        if self.begun:
            raise UsageError(
                f"{self.path} holds a run already ({_told(self._recorded())})",
                "Go on with it by --resume, or name another folder",
            )
        self._make(self.path / "sheets")
        record = {"streamfx": __version__} | asdict(self.settings)
        self._write("run.json", json.dumps(record, indent=1).encode())

    def resume(self) -> Checkpoint:
        """Where the run stands; forgets what the log says of later steps.

        Raises:
            UsageError: there is no run, or one of other settings.
            ModelMissing, ModelCorrupt: its checkpoint is missing or damaged.
        """
        if not self.begun:
            raise UsageError(f"{self.path} holds no run to resume", "Leave --resume away to begin one")
        told, asked = self._recorded(), json.loads(json.dumps(asdict(self.settings)))
        for name in asked:
            if told.get(name) != asked[name]:
                raise UsageError(_difference(self.path, name, told.get(name), asked[name]), _ANOTHER)
        checkpoint = load_checkpoint(self.path / "checkpoint.safetensors")
        self._cut_log(checkpoint.step)
        return checkpoint

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
        save_weights(self.path / "best.safetensors", weights, self._facts() | dict(facts))

    def finish(
        self, weights: Tensors, facts: Mapping[str, object], inputs: F32, mask: npt.NDArray[np.bool_]
    ) -> Path:
        """Write what the run was for; the path of the weights.

        Args:
            weights: of the network that ships.
            facts: what to say about them in the file.
            inputs: f32 [N,C,H,W] that it may be shown.
            mask: bool [N,1,H,W] where its output counts.

        Raises:
            OutputError: the disk refuses.
        """
        with atomic_output(self.path / "samples.npz") as part, part.open("wb") as file:
            np.savez_compressed(file, inputs=inputs.astype(np.float16), mask=mask)
        path = self.path / f"{self.settings.network}.safetensors"
        save_weights(path, weights, self._facts() | dict(facts))
        return path

    def _facts(self) -> dict[str, object]:
        return {"streamfx": __version__, "network": self.settings.network, "seed": self.settings.seed}

    def _recorded(self) -> dict[str, object]:
        path = self.path / "run.json"
        try:
            record = json.loads(read_bytes(path, _LARGEST_TEXT))
        except ValueError as error:
            raise UsageError(f"{path} is damaged", "Name another folder by --out") from error
        if not isinstance(record, dict):
            raise UsageError(f"{path} is no record of a run", "Name another folder by --out")
        return record

    def _cut_log(self, step: int) -> None:
        path = self.path / "log.jsonl"
        if not path.exists():
            return
        lines = read_bytes(path, _LARGEST_TEXT).decode("utf-8", "replace").splitlines()
        kept = [line for line in lines if _step_of(line) <= step]
        self._write("log.jsonl", "".join(f"{line}\n" for line in kept).encode())

    def _write(self, name: str, data: bytes) -> None:
        with atomic_output(self.path / name) as part:
            part.write_bytes(data)

    @staticmethod
    def _make(folder: Path) -> None:
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise write_failure(folder, error) from error


def _step_of(line: str) -> float:
    """The step of a line of the log; infinite for one that was cut short."""
    try:
        return float(json.loads(line)["step"])
    except (ValueError, KeyError, TypeError):
        return float("inf")


def _told(record: Mapping[str, object]) -> str:
    return f"{record.get('network')}, seed {record.get('seed')}, batch {record.get('batch')}"


def _difference(path: Path, name: str, told: object, asked: object) -> str:
    if isinstance(told, dict) and isinstance(asked, dict):
        changed = next(key for key in {**told, **asked} if told.get(key) != asked.get(key))
        name, told, asked = f"{name}'s {changed}", told.get(changed), asked.get(changed)
    return f"The run in {path} has {name} {told!r}, and now {asked!r} is asked for"
