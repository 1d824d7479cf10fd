"""Training: every recipe learns; a run is the same by the same seed, and the same if it was interrupted."""

from __future__ import annotations

import json
import math
import signal
from collections.abc import Callable, Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="training needs the extra `train`")
from torch import nn  # noqa: E402

pytest.importorskip("lightning_fabric", reason="training needs the extra `train`")

from lessons_made import face_crops, mouth_crops, save  # noqa: E402

from streamfx.errors import ModelCorrupt, ModelError, OutputError, UsageError  # noqa: E402
from streamfx.lab.training.accelerate import moved, open_fabric  # noqa: E402
from streamfx.lab.training.checkpoints import (  # noqa: E402
    Checkpoint,
    fill,
    load_checkpoint,
    parse_weights,
    save_checkpoint,
)
from streamfx.lab.training.courses import COURSES  # noqa: E402
from streamfx.lab.training.engine import Engine, Plan, Report  # noqa: E402
from streamfx.lab.training.recipes import mouth_paper, refine_paper  # noqa: E402
from streamfx.lab.training.recipes.base import Moment  # noqa: E402
from streamfx.lab.training.runs import RunFolder, Settings  # noqa: E402
from streamfx.lab.training.validation import Score  # noqa: E402
from streamfx.nets.catalogue import build  # noqa: E402
from streamfx.nets.critics import GlobalLocalCritic, PaperCritic  # noqa: E402

PLAIN = {
    "refine-lite": ("perceptual=0", "game_begins=0"),
    "refine-paper": ("history=3", "critic_steps=2"),
    "mouth-lite": ("perceptual=0", "game_begins=0"),
    "mouth-paper": (),
}
"""Settings that need nothing to be fetched, and show all parts at once."""
SAMPLES = 6
FACE, MOUTH = 64, 48
"""px: sides of crops."""


@pytest.fixture(autouse=True, scope="module")
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


class SmallCritic(PaperCritic):
    """The paper's, for smaller crops."""

    def __init__(self) -> None:
        super().__init__()
        self.score = nn.Linear(512 * (FACE // 32) ** 2, 1)


@pytest.fixture(autouse=True)
def _small_papers(monkeypatch: pytest.MonkeyPatch):
    """The paper's recipes on crops a quarter as wide: only their critics ask for one size."""
    monkeypatch.setattr(refine_paper, "PaperCritic", SmallCritic)
    monkeypatch.setattr(refine_paper, "CROP", FACE)
    monkeypatch.setattr(mouth_paper, "GlobalLocalCritic", lambda side: GlobalLocalCritic(side * FACE // 256))


class Watching:
    """Keeps what the engine tells, and may do something at a step."""

    def __init__(self, at: int = -1, act: Callable[[], object] = lambda: None) -> None:
        self.reports: list[Report] = []
        self.scores: list[tuple[int, Score, bool]] = []
        self._at, self._act = at, act

    def stepped(self, report: Report) -> None:
        self.reports.append(report)
        if report.step == self._at:
            self._act()

    def validated(self, step: int, result: Score, best: bool) -> None:
        self.scores.append((step, result, best))


def crops_for(network: str, root: Path) -> Path:
    made = mouth_crops(MOUTH) if network == "mouth-lite" else face_crops(FACE)
    folder = root / f"crops-{network}"
    return folder if folder.exists() else save(made, folder)


def engine_for(
    network: str,
    root: Path,
    out: str,
    *,
    steps: int = 4,
    seed: int = 1,
    watcher: Watching | None = None,
    settings: tuple[str, ...] | None = None,
) -> Engine[Any]:
    """A run that writes to root/out, resumed if it has begun."""
    course = COURSES[network].adjusted(PLAIN[network] if settings is None else settings)
    fabric = open_fabric(1, accelerator="cpu")
    torch.manual_seed(seed)
    recipe = course.recipe(fabric, course.config)
    lessons = course.lessons(crops_for(network, root), 2, course.config)
    folder = RunFolder(root / out)
    engine: Engine[Any] = Engine(
        fabric,
        recipe,
        lessons,
        folder,
        Plan(seed, every=10, steps=steps, samples=SAMPLES),
        watcher or Watching(),
    )
    if checkpoint := folder.checkpoint():
        folder.forget_after(checkpoint.step)
        engine.resume(checkpoint)
    else:
        folder.write_settings(Settings(network, seed, 2, "32", (), asdict(course.config), "", steps, None))
    return engine


def log_of(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]


def same(a: Path, b: Path) -> bool:
    """Whether two checkpoints hold the same numbers, bit for bit."""
    one, other = load_checkpoint(a).tensors, load_checkpoint(b).tensors
    assert one.keys() == other.keys()
    return all(torch.equal(one[name], other[name]) for name in one)


# Learning


@pytest.mark.parametrize(
    ("network", "term", "steps", "settings"),
    [
        ("refine-lite", "value", 25, ("perceptual=0", "game_begins=0", "previous=0")),
        ("mouth-lite", "value", 25, ("perceptual=0", "game_begins=0", "rate=0.0003")),
        ("refine-paper", "l1 sum", 16, ("history=3", "critic_steps=1")),
        ("refine-paper", "l1 sum", 16, ("warm_up=1", "window=64")),
        ("mouth-paper", "mse", 8, ("completion=1", "rate=0.001")),
    ],
)
def test_a_recipe_learns_one_batch_by_heart(
    tmp_path: Path, network: str, term: str, steps: int, settings: tuple[str, ...]
):
    """The same rows again and again: what is to be made small becomes small, while the critic plays."""
    course = COURSES[network].adjusted(settings)
    fabric = open_fabric(1, accelerator="cpu")
    torch.manual_seed(0)
    recipe = course.recipe(fabric, replace(course.config))
    lessons = course.lessons(crops_for(network, tmp_path), 2, course.config)
    batch = moved(next(lessons.examples(2, seed=0)), fabric)
    values = []
    for step in range(steps):
        terms = recipe.step(batch, Moment(step, 0.04, torch.Generator().manual_seed(step)))
        values.append(float(terms[term]))
    assert min(values[-4:]) < 0.8 * values[0], values
    assert ("critic" in terms) == (network != "mouth-paper" and "warm_up=1" not in settings)


def test_validation_notices_what_was_learned(tmp_path: Path):
    watcher = Watching()
    settings = ("perceptual=0", "average=0.5", "adversarial=0", "matching=0", "game_begins=1")
    engine_for("refine-lite", tmp_path, "run", steps=40, watcher=watcher, settings=settings).run()
    steps, scores, best = zip(*watcher.scores, strict=True)
    assert steps == (10, 20, 30, 40)
    assert all(score.before == scores[0].before for score in scores)
    assert scores[-1].after.psnr > scores[-1].before.psnr + 1
    assert best[0]
    assert best[-1] == (scores[-1].gain > max(score.gain for score in scores[:-1]))


def test_what_a_run_leaves_behind(tmp_path: Path):
    path = engine_for("mouth-lite", tmp_path, "run", steps=10).run()
    folder = tmp_path / "run"
    assert path == folder / "mouth-lite.safetensors"
    network = build("mouth-lite")
    fill(network, parse_weights(path.read_bytes(), path), path)
    fill(network, parse_weights((folder / "best.safetensors").read_bytes(), path), path)
    with np.load(folder / "samples.npz", allow_pickle=False) as samples:
        inputs, mask = samples["inputs"], samples["mask"]
    assert inputs.shape == (SAMPLES, 10, 48, 48)
    assert inputs.dtype == np.float16
    assert mask.shape == (SAMPLES, 1, 48, 48)
    assert mask.dtype == bool
    assert mask.any((1, 2, 3)).all()
    sheet = cv2.imread(str(folder / "sheets" / "00000010.png"))
    assert sheet is not None
    assert sheet.std() > 20
    assert sheet.shape[0] == 28 * 2 + 6 * 196, "the two unseen people, three rows of each"
    losses = [line for line in log_of(folder) if "losses" in line]
    assert {"value", "gradient", "adversarial", "matching", "critic"} <= losses[0]["losses"].keys()
    assert sorted(file.name for file in folder.iterdir()) == [
        "best.safetensors", "checkpoint.safetensors", "log.jsonl", "mouth-lite.safetensors", "run.json",
        "samples.npz", "sheets",
    ]  # fmt: skip


# The same run again


def test_a_seed_makes_a_run(tmp_path: Path):
    for out, seed in (("a", 1), ("b", 1), ("c", 2)):
        engine_for("refine-lite", tmp_path, out, seed=seed).run()
    a, b, c = (tmp_path / out / "checkpoint.safetensors" for out in "abc")
    assert same(a, b)
    assert not same(a, c)
    weights = [(tmp_path / out / "refine-lite.safetensors").read_bytes()[-4096:] for out in "abc"]
    assert weights[0] == weights[1] != weights[2]


@pytest.mark.parametrize(
    ("network", "steps", "stop"),
    [("refine-lite", 20, 10), ("mouth-lite", 20, 10), ("refine-paper", 6, 4), ("mouth-paper", 5, 4)],
)
def test_an_interrupted_run_is_the_run_that_was_not(tmp_path: Path, network: str, steps: int, stop: int):
    """Ctrl-C in the middle, then resumed: all networks, averages, optimisers and histories, bit for bit.

    By its last step the paper's mouth has grown.
    """
    engine_for(network, tmp_path, "whole", steps=steps).run()
    interrupting = Watching(stop, lambda: signal.raise_signal(signal.SIGINT))
    with pytest.raises(KeyboardInterrupt):
        engine_for(network, tmp_path, "broken", steps=steps, watcher=interrupting).run()
    assert load_checkpoint(tmp_path / "broken" / "checkpoint.safetensors").step == stop
    engine_for(network, tmp_path, "broken", steps=steps).run()
    whole, broken = (tmp_path / out for out in ("whole", "broken"))
    assert same(whole / "checkpoint.safetensors", broken / "checkpoint.safetensors")
    assert [line["step"] for line in log_of(broken) if "validation" in line] == [
        line["step"] for line in log_of(whole) if "validation" in line
    ]


def test_a_run_at_its_end_is_finished_again_not_trained_on(tmp_path: Path):
    path = engine_for("mouth-lite", tmp_path, "run").run()
    before = path.read_bytes()
    watcher = Watching()
    engine_for("mouth-lite", tmp_path, "run", watcher=watcher).run()
    assert not watcher.reports
    assert path.read_bytes()[-4096:] == before[-4096:]


def test_the_log_forgets_what_will_be_done_again(tmp_path: Path):
    folder = RunFolder(tmp_path)
    for step in (10, 20, 30):
        folder.log({"step": step})
    with (tmp_path / "log.jsonl").open("a") as file:
        file.write('{"step": 4')  # cut short by a crash
    folder.forget_after(20)
    assert [line["step"] for line in log_of(tmp_path)] == [10, 20]


# Saving


def checkpoint(step: int) -> Checkpoint:
    return Checkpoint(step, 1.5, -math.inf, 1, {"all/x": torch.full((3,), float(step))})


@pytest.mark.parametrize("failure", [OSError(28, "No space left on device"), KeyboardInterrupt()])
def test_an_interrupted_save_leaves_the_checkpoint_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failure: BaseException
):
    path = tmp_path / "checkpoint.safetensors"
    save_checkpoint(path, checkpoint(1))

    def half(self: Path, data: bytes) -> int:
        with self.open("wb") as file:
            file.write(data[: len(data) // 2])
        raise failure

    monkeypatch.setattr(Path, "write_bytes", half)
    expected = OutputError if isinstance(failure, OSError) else KeyboardInterrupt
    with pytest.raises(expected):
        save_checkpoint(path, checkpoint(2))
    assert [file.name for file in tmp_path.iterdir()] == [path.name]
    assert load_checkpoint(path).step == 1


def test_a_checkpoint_comes_back_as_it_was(tmp_path: Path):
    save_checkpoint(tmp_path / "c", checkpoint(7))
    back = load_checkpoint(tmp_path / "c")
    assert (back.step, back.seconds, back.best, back.processes) == (7, 1.5, -math.inf, 1)
    assert torch.equal(back.tensors["all/x"], torch.full((3,), 7.0))


@pytest.mark.parametrize("harm", ["cut", "foreign", "format", "empty"])
def test_a_damaged_checkpoint_is_refused(tmp_path: Path, harm: str):
    path = tmp_path / "checkpoint.safetensors"
    save_checkpoint(path, checkpoint(1))
    data = path.read_bytes()
    harmed = {
        "cut": data[:-5],
        "foreign": b"PK\x03\x04" * 40,
        "format": data.replace(b'\\"format\\": 1', b'\\"format\\": 9'),
        "empty": b"",
    }[harm]
    assert harmed != data
    path.write_bytes(harmed)
    with pytest.raises(ModelCorrupt, match="checkpoint"):
        load_checkpoint(path)


def test_weights_of_another_network_are_refused(tmp_path: Path):
    network = build("refine-lite")
    weights = dict(build("mouth-lite").state_dict())
    with pytest.raises(ModelCorrupt, match="holds no weights of LiteRefiner"):
        fill(network, weights, tmp_path)
    broken = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    next(iter(broken.values())).view(-1)[0] = math.nan
    with pytest.raises(ModelCorrupt):
        fill(network, broken, tmp_path)


def test_another_recipes_checkpoint_is_refused(tmp_path: Path):
    engine_for("refine-lite", tmp_path, "run", steps=1).run()
    taken = RunFolder(tmp_path / "run").checkpoint()
    assert taken is not None
    for network in ("mouth-lite", "mouth-paper"):
        with pytest.raises(ModelCorrupt, match="checkpoint"):
            engine_for(network, tmp_path, network).resume(taken)
    with pytest.raises(UsageError, match="by 2 processes"):
        engine_for("refine-lite", tmp_path, "other").resume(replace(taken, processes=2))


def test_a_run_that_diverges_says_so(tmp_path: Path):
    engine = engine_for("refine-lite", tmp_path, "run", settings=("perceptual=0", "value=nan"), steps=3)
    with pytest.raises(ModelError, match="diverged"):
        engine.run()
