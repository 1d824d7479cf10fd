"""One call of `streamfx train`: everything checked, crops built, the run begun or resumed, and trained."""

from __future__ import annotations

import hashlib
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final, Protocol, TypeVar

import torch
from lightning_fabric import Fabric

from streamfx.lab.training.accelerate import Precision, open_fabric
from streamfx.lab.training.checkpoints import Tensors, fill, parse_weights, read_weights
from streamfx.lab.training.courses import COURSES, Course
from streamfx.lab.training.crops import MouthCrops
from streamfx.lab.training.engine import Engine, Plan, Watcher
from streamfx.lab.training.library import Pictures, build_crops
from streamfx.lab.training.runs import RunFolder, Settings, make_writable
from streamfx.models.weights import NetworkName, shipped_weights
from streamfx.nets.catalogue import build

V = TypeVar("V")

SHIPPED: Final = "shipped"


class Onlooker(Watcher, Protocol):
    """Somebody who looks on from the start."""

    def building(self, rows: int, subject: str) -> None:
        """While crops are built: rows so far, and whose the last one is."""


@dataclass(frozen=True, slots=True)
class Task:
    """What is asked for; None means: as the course says or, of a run that is resumed, as it began."""

    network: str
    data: Path
    """Folder of index.csv and pictures."""
    out: Path
    """Of the run."""
    crops: Path | None = None
    """Where crops are, or are built; None: in the run's folder."""
    seed: int | None = None
    batch: int | None = None
    """Of each process."""
    precision: Precision | None = None
    steps: int | None = None
    minutes: float | None = None
    settings: tuple[str, ...] = ()
    """Of the recipe, NAME=VALUE."""
    begin: str | None = None
    """SHIPPED, or a file of weights."""
    every: int = 500
    """Steps to the next validation, sheet and checkpoint."""
    devices: int | None = None
    """None: every GPU, or one process on a CPU."""
    resume: bool = False


def train(task: Task, onlooker: Onlooker) -> Path | None:
    """Train; the path of the weights, or None in all processes but the first.

    Raises:
        UsageError: settings that do not exist, or that are not those of the run that is resumed; a folder
            that holds a run already.
        SourceMissing, SourceUnreadable, PhotoUnreadable: the data.
        ModelMissing, ModelCorrupt: weights, a checkpoint, or the models that find faces.
        ModelError: training has diverged.
        OutputError: a folder cannot be written.
    """
    # All this is done in every process, before the first starts the others: nothing is written.
    folder, pictures = RunFolder(task.out), Pictures.of(task.data)
    begun = folder.settings() if task.resume else None
    course = COURSES[task.network].adjusted(task.settings or (begun.changed if begun else ()))
    weights, sha256 = _weights(task)
    settings = _settings(task, course, sha256, begun)
    folder.check_same(settings) if task.resume else folder.check_free()

    fabric = open_fabric(task.devices, settings.precision)
    crops = (task.crops or task.out / "data") / ("mouths" if course.crops is MouthCrops else "faces")
    if fabric.is_global_zero:
        make_writable(task.out)
        build_crops(course.crops, pictures, crops, onlooker.building)
    fabric.barrier()
    engine = _engine(task, course, settings, fabric, crops, weights, onlooker)
    if fabric.is_global_zero:
        folder.write_settings(settings)
    made = engine.run()
    return made if fabric.is_global_zero else None


def _settings(task: Task, course: Course[Any, Any], sha256: str, begun: Settings | None) -> Settings:
    """What is asked for, completed."""
    steps, minutes = task.steps, task.minutes
    if steps is None and minutes is None:
        steps, minutes = (begun.steps, begun.minutes) if begun else (course.steps, None)
    return Settings(
        network=task.network,
        seed=_first(task.seed, begun.seed if begun else None, 0),
        batch=_first(task.batch, begun.batch if begun else None, course.batch),
        precision=_first(task.precision, begun.precision if begun else None, "32"),
        changed=task.settings or (begun.changed if begun else ()),
        recipe=asdict(course.config),
        begun_from=begun.begun_from if begun and not task.begin else sha256,
        steps=steps,
        minutes=minutes,
    )


def _first(*choices: V | None) -> V:
    """The first that is not None."""
    return next(choice for choice in choices if choice is not None)


def _weights(task: Task) -> tuple[Tensors | None, str]:
    """The weights to begin from, checked against the network, and the sha256 of their file."""
    if task.begin is None:
        return None, ""
    if task.begin == SHIPPED:
        shipped = shipped_weights()
        file = shipped.find(NetworkName(task.network)).safetensors
        path, data = shipped.folder / file.file, shipped.read(file)
    else:
        path = Path(task.begin)
        data = read_weights(path)
    network = build(task.network)
    fill(network, parse_weights(data, path), path)
    return network.state_dict(), hashlib.sha256(data).hexdigest()


def _engine(
    task: Task,
    course: Course[Any, Any],
    settings: Settings,
    fabric: Fabric,
    crops: Path,
    weights: Tensors | None,
    watcher: Watcher,
) -> Engine[Any]:
    """The run as it begins, or as it stands."""
    torch.manual_seed(settings.seed)  # fresh networks
    recipe = course.recipe(fabric, course.config)
    if weights is not None:
        recipe.begin_from(weights)
    lessons = course.lessons(crops, settings.batch, course.config)
    folder = RunFolder(task.out)
    plan = Plan(settings.seed, task.every, settings.steps, settings.minutes)
    engine: Engine[Any] = Engine(fabric, recipe, lessons, folder, plan, watcher)
    checkpoint = folder.checkpoint() if task.resume else None
    if checkpoint is not None:
        engine.resume(checkpoint)
        if fabric.is_global_zero:
            folder.forget_after(checkpoint.step)
    return engine
