"""`streamfx train`: what it makes, what it refuses, by one process and by two, and when told to stop."""

from __future__ import annotations

import csv
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

torch = pytest.importorskip("torch", reason="training needs the extra `train`")
pytest.importorskip("lightning_fabric", reason="training needs the extra `train`")

from lessons_made import pictures_folder  # noqa: E402
from scenes import shared  # noqa: E402

from streamfx.__main__ import main  # noqa: E402
from streamfx.lab.training.checkpoints import load_checkpoint, parse_weights, save_weights  # noqa: E402
from streamfx.models.weights import NetworkName, shipped_weights  # noqa: E402
from streamfx.nets.catalogue import build  # noqa: E402

ENVIRONMENT = {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(Path(__file__).parents[1])}
TORCHRUN = (str(Path(sys.executable).with_name("torchrun")), "--nproc-per-node", "2")
PLAIN = ("--set", "perceptual=0", "--batch", "2", "--every", "4", "--devices", "1")
"""Nothing to fetch, little to compute."""


@pytest.fixture(autouse=True, scope="module")
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with `pictures` and the crops built from them."""
    folder = tmp_path_factory.mktemp("train")
    pictures_folder(folder)
    return folder


@pytest.fixture(scope="module")
def begun(root: Path) -> Path:
    """A run of one step."""
    assert main(arguments(root, root / "begun", "--steps", "1")) == 0
    return root / "begun"


def arguments(root: Path, out: Path, *more: str) -> list[str]:
    return ["train", "refine", "--data", str(root / "pictures"), "--crops", str(root / "crops"), "--out",
            str(out), *PLAIN, *more]  # fmt: skip


def test_a_run_from_beginning_to_end(root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    out = tmp_path / "run"
    assert main(arguments(root, out, "--steps", "4")) == 0
    text, err = capsys.readouterr()
    assert text.startswith(f"made {out / 'refine-lite.safetensors'}: 4 steps, ")
    assert "python -m streamfx.lab.export refine-lite" in text
    assert "step 4: PSNR " in err
    assert "the best so far" in err
    assert (out / "sheets" / "00000004.png").stat().st_size > 10_000
    settings = json.loads((out / "run.json").read_text())
    assert settings["network"] == "refine-lite"
    assert settings["changed"] == ["perceptual=0"]

    assert main(arguments(root, out, "--steps", "4")) == 2
    assert "holds a run of refine-lite already (seed 0). Go on with it by --resume" in capsys.readouterr().err

    # Seed, batch and settings are those of the folder; longer is asked for.
    data = ["--data", str(root / "pictures"), "--crops", str(root / "crops"), "--out", str(out)]
    assert main(["train", "refine", *data, "--resume", "--steps", "6", "--devices", "1"]) == 0
    assert "6 steps" in capsys.readouterr().out
    assert load_checkpoint(out / "checkpoint.safetensors").step == 6


def test_fine_tuning_begins_where_the_weights_are(root: Path, tmp_path: Path):
    torch.manual_seed(9)
    weights = {
        name: torch.randn_like(value) * 0.01 for name, value in build("refine-lite").state_dict().items()
    }
    file = tmp_path / "trained.safetensors"
    save_weights(file, weights, {})
    out = tmp_path / "run"
    assert main(arguments(root, out, "--steps", "1", "--set", "rate=0", "--from", str(file))) == 0
    found = load_checkpoint(out / "checkpoint.safetensors").tensors
    assert all(torch.equal(found[f"all/net/{name}"], value) for name, value in weights.items())
    assert len(json.loads((out / "run.json").read_text())["begun_from"]) == 64


def test_fine_tuning_of_what_ships(root: Path, tmp_path: Path):
    out = tmp_path / "run"
    assert main(arguments(root, out, "--steps", "1", "--set", "rate=0", "--from", "shipped")) == 0
    shipped = shipped_weights()
    file = shipped.find(NetworkName.REFINE_LITE).safetensors
    found = load_checkpoint(out / "checkpoint.safetensors").tensors
    for name, value in parse_weights(shipped.read(file), out).items():
        assert torch.equal(found[f"all/net/{name}"], value.float()), name
    assert json.loads((out / "run.json").read_text())["begun_from"] == file.sha256


def test_mixed_precision_learns_in_f32_weights(root: Path, tmp_path: Path):
    out = tmp_path / "run"
    more = ("--steps", "3", "--precision", "bf16-mixed", "--set", "game_begins=0")
    assert main(arguments(root, out, *more)) == 0
    found = load_checkpoint(out / "checkpoint.safetensors").tensors
    assert {value.dtype for name, value in found.items() if name.startswith("all/net/")} == {torch.float32}
    assert all(torch.isfinite(value).all() for value in found.values())


def rewrite(index: Path, change: str) -> None:
    """Spoil an index.csv."""
    rows = list(csv.DictReader(index.read_text().splitlines()))
    if change == "column":
        for row in rows:
            del row["split"]
    if change == "people":
        rows = [row for row in rows if row["split"] == "val"]
    if change == "unseen":
        rows = [row for row in rows if row["split"] == "train"]
    if change == "leak":
        rows[-1]["split"] = "train"
    if change == "pictures":
        rows[3]["file"] = "gone.png"
    with index.open("w", newline="") as file:
        table = csv.DictWriter(file, rows[0])
        table.writeheader()
        table.writerows(rows)
        if change == "short":
            file.write("fay_smile.png,fay\n")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("column", "has no column split. See docs/training.md"),
        ("people", "The data show 0 usable people of split train; at least 2 are needed"),
        ("unseen", "The data show 0 usable people of split val; at least 1 are needed"),
        ("leak", "has 1 people in both splits, the first fay. Give each person one split"),
        ("short", "index.csv has rows that are too short, the first at fay_smile.png"),
        ("pictures", "lists 1 pictures that are not there, the first"),
    ],
)
def test_data_that_will_not_do(tmp_path: Path, capsys: pytest.CaptureFixture[str], change: str, said: str):
    pictures_folder(tmp_path)
    rewrite(tmp_path / "pictures" / "index.csv", change)
    assert main(arguments(tmp_path, tmp_path / "out", "--steps", "1")) == 1
    assert said in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("more", "code", "said"),
    [
        (["--data", "nowhere"], 1, "The training index nowhere/index.csv does not exist"),
        (["--steps", "3", "--minutes", "2"], 2, "not allowed with"),
        (["--steps", "0"], 2, "no whole number"),
        (["--devices", "none"], 2, "--devices"),
        (["--set", "nothing=1"], 2, "The recipe has no setting 'nothing'"),
        (["--set", "rate"], 2, "'' is no value of rate"),
        (["--resume"], 2, "holds no run to resume"),
        (["--from", "nothing.safetensors"], 1, "The weights file nothing.safetensors does not exist"),
        (["--from", "FOREIGN"], 1, "is damaged"),
        (["--from", "OTHER"], 1, "holds no weights of LiteRefiner"),
        (["--out", "FILE"], 1, "cannot be written"),
        (["--profile", "huge"], 2, "--profile"),
    ],
)
def test_command_lines_that_cannot_work(
    root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], more: list[str], code: int, said: str
):
    (tmp_path / "FILE").touch()
    (tmp_path / "FOREIGN").write_bytes(b"PK\x03\x04" + bytes(200))
    save_weights(tmp_path / "OTHER", build("mouth-lite").state_dict(), {})
    here = [str(tmp_path / one) if (tmp_path / one).exists() else one for one in more]
    assert main(arguments(root, tmp_path / "out", *here)) == code
    assert said in capsys.readouterr().err


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (["--seed", "5"], "has seed 0, and 5 is asked for"),
        (["--batch", "3"], "has batch 2, and 3 is asked for"),
        (["--set", "rate=1"], "has changed"),
        (["--profile", "paper", "--set", "alpha=1"], "has network 'refine-lite', and 'refine-paper'"),
        (["DAMAGE"], "The checkpoint"),
    ],
)
def test_runs_that_cannot_go_on(
    root: Path, begun: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], more: list[str], said: str
):
    out = begun
    if more == ["DAMAGE"]:
        out = Path(shutil.copytree(begun, tmp_path / "run"))
        (out / "checkpoint.safetensors").write_bytes(b"no tensors here")
        more = []
    data = ["--data", str(root / "pictures"), "--crops", str(root / "crops"), "--out", str(out)]
    assert main(["train", "refine", *data, "--resume", "--steps", "9", "--devices", "1", *more]) in (1, 2)
    err = capsys.readouterr().err
    assert err.startswith("streamfx: error: ")
    assert said in err


def test_without_the_extra_it_says_how_to_get_it(
    root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("streamfx.cli.train.find_spec", lambda name: None if name == "torch" else name)
    assert main(arguments(root, tmp_path / "out")) == 2
    assert "not installed: torch. Install them: pip install 'streamfx[train]'" in capsys.readouterr().err


@pytest.mark.shared
@pytest.mark.slow
@pytest.mark.parametrize("what", ["refine", "mouth"])
def test_real_people_become_crops_and_lessons(tmp_path: Path, capsys: pytest.CaptureFixture[str], what: str):
    """Two to learn from and one to judge by: photos, tracked and moved by the product's own code."""
    index = shared("train/index.csv")
    rows = list(csv.DictReader(index.read_text().splitlines()))
    chosen = [row for row in rows if row["subject"] in ("london_002", "london_004", "london_012")]
    with (tmp_path / "index.csv").open("w", newline="") as file:
        table = csv.DictWriter(file, rows[0])
        table.writeheader()
        table.writerows(row | {"file": str(index.parent / row["file"])} for row in chosen)
    command = ["train", what, "--data", str(tmp_path), "--out", str(tmp_path / "run"), *PLAIN, "--steps", "1"]
    assert main([*command, "--batch", "1"]) == 0
    text, err = capsys.readouterr()
    assert f"made {tmp_path / 'run' / what}-lite.safetensors: 1 steps" in text
    assert "building crops: 1, now london_002" in err
    kind = "faces" if what == "refine" else "mouths"
    assert (tmp_path / "run" / "data" / kind / "meta.json").exists()


# Processes


def start(root: Path, out: Path, *more: str, launcher: tuple[str, ...] = ()) -> subprocess.Popen[str]:
    before = [*launcher, "-m"] if launcher else [sys.executable, "-W", "error", "-m"]
    command = [*before, "streamfx", *arguments(root, out, *more)]
    pipe, environment = subprocess.PIPE, os.environ | ENVIRONMENT
    return subprocess.Popen(command, stdout=pipe, stderr=pipe, text=True, env=environment, cwd=root)


def wait_for(path: Path, process: subprocess.Popen[str]) -> None:
    for _ in range(1200):
        if path.exists() or process.poll() is not None:
            break
        time.sleep(0.1)
    assert path.exists(), process.communicate()[1]


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_told_to_stop_it_saves_and_goes(root: Path, tmp_path: Path, number: int, code: int):
    out = tmp_path / "run"
    process = start(root, out, "--steps", "100000", "--every", "1000000")
    wait_for(out / "log.jsonl", process)
    process.send_signal(number)
    text, err = process.communicate(timeout=120)
    assert process.returncode == code, err
    assert "Traceback" not in err
    assert text == ""
    assert load_checkpoint(out / "checkpoint.safetensors").step > 0


@pytest.mark.slow
def test_two_processes_learn_the_mean_of_both():
    script = Path(__file__).with_name("learn_together.py")
    environment = os.environ | ENVIRONMENT
    done = subprocess.run(
        [*TORCHRUN, str(script)],
        env=environment,
        capture_output=True,
        text=True,
        timeout=170,
        check=False,
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.slow
@pytest.mark.parametrize("launcher", [TORCHRUN, ()], ids=["torchrun", "devices"])
def test_two_processes_make_one_run(
    root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], launcher: tuple[str, ...]
):
    out = tmp_path / "run"
    devices = "auto" if launcher else "2"
    process = start(root, out, "--steps", "3", "--devices", devices, launcher=launcher)
    text, err = process.communicate(timeout=170)
    assert process.returncode == 0, err
    assert text.count("made ") == 1, "only the first tells"
    assert err.count("step 3: PSNR") == 1
    assert load_checkpoint(out / "checkpoint.safetensors").processes == 2
    assert main(arguments(root, out, "--resume", "--steps", "5")) == 2
    assert "made by 2 processes and is resumed by 1" in capsys.readouterr().err
