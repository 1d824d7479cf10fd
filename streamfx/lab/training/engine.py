"""The engine: runs a recipe step by step, watches it, saves it, and can go on where it was stopped.

What happens at a step depends on the seed, the step's number and the process alone, so a run that was
stopped and resumed is the run that was not, bit for bit, on one thread of a CPU.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import asdict, dataclass, field
from pathlib import Path
from time import perf_counter
from typing import Final, Generic, Protocol, TypeVar

import numpy as np
import torch
from lightning_fabric import Fabric
from torch import Tensor

from streamfx.errors import Interrupted, ModelError, UsageError
from streamfx.lab.training.accelerate import agreed, gathered, moved
from streamfx.lab.training.checkpoints import Checkpoint
from streamfx.lab.training.lessons import Lessons
from streamfx.lab.training.recipes.base import Moment, Recipe, View, part_of
from streamfx.lab.training.runs import RunFolder
from streamfx.lab.training.sheets import draw_samples
from streamfx.lab.training.stopping import Stopping
from streamfx.lab.training.validation import Score, score
from streamfx.realtime import ahead

B = TypeVar("B")

_LOGGED: Final = 20
"""Steps whose losses make a line of the log."""
_AHEAD: Final = 2
"""Batches drawn in advance, in a thread of its own."""
_DRAWING, _STEPPING = 0, 1
"""What a step's randomness is for."""


@dataclass(frozen=True, slots=True)
class Plan:
    """How long, how often, and by which chance."""

    seed: int
    every: int
    """Steps between validations, sample sheets and checkpoints."""
    steps: int | None = None
    """Where the run ends; None: by time."""
    minutes: float | None = None
    samples: int = 128
    """Rows written for calibration of the exported network."""

    def progress(self, step: int, seconds: float) -> float:
        """0 at the start, 1 at the end."""
        if self.steps is not None:
            return min(1.0, step / self.steps)
        assert self.minutes is not None, "a run ends"  # noqa: S101
        return min(1.0, seconds / (60 * self.minutes))


@dataclass(frozen=True, slots=True)
class Report:
    """Where a run stands."""

    step: int
    steps: int | None
    seconds: float
    """Since it began."""
    left: float
    """Seconds, estimated."""
    per_second: float
    """Steps."""
    terms: Mapping[str, float] = field(repr=False)
    """Of the losses, means over the steps last logged."""


class Watcher(Protocol):
    """Somebody who looks on."""

    def stepped(self, report: Report) -> None:
        """After each step."""

    def validated(self, step: int, result: Score, best: bool) -> None:
        """After each validation; `best` when it beats all before."""


class Engine(Generic[B]):
    """One run. All processes make one each; only the first of them writes and reports."""

    def __init__(
        self,
        fabric: Fabric,
        recipe: Recipe[B],
        lessons: Lessons[B],
        folder: RunFolder,
        plan: Plan,
        watcher: Watcher,
    ) -> None:
        self._fabric, self._recipe, self._lessons = fabric, recipe, lessons
        self._folder, self._plan, self._watcher = folder, plan, watcher
        self._step, self._before, self._best = 0, 0.0, -math.inf
        self._saved = -1
        self._started = self._last = perf_counter()
        self._pace = 0.0
        self._meter = Meter()

    def resume(self, checkpoint: Checkpoint) -> None:
        """Stand where the checkpoint stands.

        Raises:
            UsageError: another number of processes made it.
            ModelCorrupt: it does not fit the recipe.
        """
        processes = self._fabric.world_size
        if checkpoint.processes != processes:
            raise UsageError(
                f"The run was made by {checkpoint.processes} processes and is resumed by {processes}",
                f"Ask for as many: --devices {checkpoint.processes}",
            )
        self._recipe.restore(part_of(checkpoint.tensors, "all"))
        own = part_of(checkpoint.tensors, "each")
        rank = self._fabric.global_rank
        self._recipe.restore_own({name: stacked[rank] for name, stacked in own.items()})
        self._step, self._before, self._best = checkpoint.step, checkpoint.seconds, checkpoint.best
        self._saved = checkpoint.step

    def run(self) -> Path:
        """Train to the end; the path of the weights. A signal to stop saves first, then acts.

        Raises:
            ModelError: the losses are no numbers any more.
            OutputError: the folder cannot be written.
            Interrupted: another process was told to stop.
        """
        with Stopping() as stopping:
            stopped = self._train(stopping)
            if self._step != self._saved:
                self._save() if stopped else self._look_up()
            stopping.act()
        if stopped:
            raise Interrupted("Another process of the run was told to stop", "Go on by --resume")
        return self._finish()

    def _train(self, stopping: Stopping) -> bool:
        """To the end, or until told to stop; whether that was so."""
        self._started = self._last = perf_counter()
        with closing(ahead(self._batches(self._step), _AHEAD)) as batches:
            for batch in batches:
                seconds, stop = agreed(self._fabric, self._seconds(), stopping.asked)
                progress = self._plan.progress(self._step, seconds)
                if stop or progress >= 1:
                    return stop
                self._learn(moved(batch, self._fabric), progress)
                if self._step % self._plan.every == 0:
                    self._look_up()
        raise AssertionError("batches never end")

    def _batches(self, step: int) -> Iterator[B]:
        while True:
            yield self._lessons.draw(self._chance(step, _DRAWING))
            step += 1

    def _learn(self, batch: B, progress: float) -> None:
        generator = self._chance(self._step, _STEPPING)
        torch.manual_seed(generator.initial_seed())  # for new networks; all else draws from the generator
        self._meter.add(self._recipe.step(batch, Moment(self._step, progress, generator)))
        self._step += 1
        if self._step % _LOGGED == 0 or not self._meter.means:
            self._log_losses()
        if self._fabric.is_global_zero:
            self._watcher.stepped(self._report(progress))

    def _log_losses(self) -> None:
        means = self._meter.read()
        wrong = [name for name, mean in means.items() if not math.isfinite(mean)]
        if wrong:
            raise ModelError(
                f"The loss '{wrong[0]}' is no number any more by step {self._step}: training has diverged",
                f"Resume from the checkpoint of step {max(self._saved, 0)}, or begin with another --seed",
            )
        if self._fabric.is_global_zero:
            self._folder.log(self._facts() | {"losses": means})

    def _report(self, progress: float) -> Report:
        now = perf_counter()
        rate, self._last = 1 / max(now - self._last, 1e-9), now
        self._pace = rate if not self._pace else 0.95 * self._pace + 0.05 * rate
        if self._plan.steps is not None:
            left = (self._plan.steps - self._step) / self._pace
        else:
            left = (1 - progress) * 60 * (self._plan.minutes or 0.0)
        seconds = self._seconds()
        return Report(self._step, self._plan.steps, seconds, left, self._pace, self._meter.means)

    def _look_up(self) -> None:
        """Validate, draw a sheet, keep what is best, and save."""
        if self._meter.waiting:
            self._log_losses()
        if self._fabric.is_global_zero:
            result = score(self._views())
            gain, best = result.gain, self._recipe.complete and result.gain > self._best
            facts = self._facts() | {"validation": asdict(result) | {"gain": gain}}
            self._folder.log(facts)
            title = f"{self._recipe.network}, step {self._step}: gain {gain:+.2f}"
            self._folder.sheet(self._step, draw_samples(self._views(), title))
            if best:
                self._best = gain
                self._folder.best(self._recipe.shipped.state_dict(), facts)
            self._watcher.validated(self._step, result, best)
        self._save()
        self._last = perf_counter()

    def _views(self) -> Iterator[View]:
        for batch in self._lessons.validation():
            yield self._recipe.view(moved(batch, self._fabric))

    def _save(self) -> None:
        if self._meter.waiting:
            self._log_losses()  # what is no number any more must not take the checkpoint's place
        tensors = {f"all/{name}": tensor for name, tensor in self._recipe.state().items()}
        own = gathered(self._fabric, self._recipe.own_state())
        tensors |= {f"each/{name}": stacked for name, stacked in own.items()}
        if self._fabric.is_global_zero:
            processes = self._fabric.world_size
            self._folder.save(Checkpoint(self._step, self._seconds(), self._best, processes, tensors))
        self._saved = self._step
        self._fabric.barrier()  # none may leave before the file is written

    def _finish(self) -> Path:
        """Write what the run was for."""
        recipe, path = self._recipe, self._folder.path
        if self._fabric.is_global_zero:
            batches = self._lessons.examples(self._plan.samples, self._plan.seed)
            pairs = [recipe.example(moved(batch, self._fabric)) for batch in batches]
            inputs, masks = (
                np.concatenate([one.cpu().numpy() for one in side]) for side in zip(*pairs, strict=True)
            )
            weights = recipe.shipped.state_dict()
            path = self._folder.finish(recipe.network, weights, self._facts(), inputs, masks > 0.5)
        self._fabric.barrier()
        return path

    def _facts(self) -> dict[str, object]:
        return {
            "network": self._recipe.network,
            "seed": self._plan.seed,
            "step": self._step,
            "seconds": round(self._seconds(), 3),
        }

    def _seconds(self) -> float:
        return self._before + perf_counter() - self._started

    def _chance(self, step: int, purpose: int) -> torch.Generator:
        words = (self._plan.seed, step, self._fabric.global_rank, purpose)
        (state,) = np.random.SeedSequence(words).generate_state(1, np.uint64)
        return torch.Generator().manual_seed(int(state >> np.uint64(1)))


class Meter:
    """Means of the losses' terms: summed where they are, read seldom, for reading waits for the device."""

    def __init__(self) -> None:
        self.means: Mapping[str, float] = {}
        """What was read last."""
        self._sums: dict[str, Tensor] = {}
        self._counts: dict[str, int] = {}

    @property
    def waiting(self) -> bool:
        """Whether anything was taken since the last reading."""
        return bool(self._sums)

    def add(self, terms: Mapping[str, Tensor]) -> None:
        """Take one step's terms, of those that it had."""
        for name, term in terms.items():
            self._sums[name] = self._sums[name] + term if name in self._sums else term
            self._counts[name] = self._counts.get(name, 0) + 1

    def read(self) -> Mapping[str, float]:
        """The means since the last reading."""
        self.means = {name: float(total) / self._counts[name] for name, total in self._sums.items()}
        self._sums, self._counts = {}, {}
        return self.means
