"""Engines that are built when they are first needed: by the real command, for a card that is not there."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from streamfx.errors import ModelCorrupt
from streamfx.models import engine_builds
from streamfx.models.engine_builds import COMMAND, build_missing, wanted_engine
from streamfx.models.engines import EngineManifest, Engines, Purpose
from streamfx.models.weights import NetworkName, shipped_weights
from streamfx.render.gpu import engines as cuda_engines

ROOT = Path(__file__).parents[1]
BOTH = ("refine-lite", "mouth-lite")
MOUTH = NetworkName.MOUTH_LITE
SAYS = "import sys; print('a line', flush=True); "


@pytest.fixture
def engines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Engines:
    """Those of an account of its own; what is run is found as here, wherever it runs."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    return Engines.default()


@pytest.fixture
def trt() -> str:
    """Name and version of the library, as manifests have them."""
    module = pytest.importorskip(
        "tensorrt_rtx", reason="tensorrt-rtx-cu13 is for Linux and Windows on x86-64"
    )
    return f"tensorrt-rtx {module.__version__}"


def built(*names: str, card: str = "sm_89", command: tuple[str, ...] = COMMAND) -> list[str]:
    """What was told."""
    told: list[str] = []
    build_missing(names, card, told.append, command)
    return told


def python(code: str) -> tuple[str, ...]:
    """A command that takes what the real one takes."""
    return (sys.executable, "-c", code)


def ready(engines: Engines, name: str, card: str = "sm_89") -> bool:
    wanted = wanted_engine(NetworkName(name), engines)
    return wanted is not None and not engines.lacks(wanted, card)


class TestFirstUse:
    def test_they_are_built_once_with_progress_and_kept(self, engines: Engines, trt: str):
        told = built(*BOTH)
        assert "no engine of refine-lite and mouth-lite yet" in told[0]
        assert [line.partition(":")[0] for line in told if line.startswith("made ")] == [
            "made refine-lite.fp16.tensorrt-rtx",
            "made mouth-lite.fp16.tensorrt-rtx",
        ]
        assert all(ready(engines, name) for name in BOTH)
        assert built(*BOTH) == []

    def test_only_what_lacks_is_built(self, engines: Engines, trt: str):
        built("mouth-lite")
        assert not ready(engines, "refine-lite")
        told = built(*BOTH)
        assert [line for line in told if line.startswith("made mouth")] == []
        assert all(ready(engines, name) for name in BOTH)

    def test_the_papers_networks_are_passed_over(self, engines: Engines):
        assert built("refine-paper", "mouth-paper") == []

    def test_what_is_no_card_needs_none(self, engines: Engines):
        told: list[str] = []
        cuda_engines.ensure_engines(BOTH, torch.device("cpu"), told.append)
        assert (told, engines.stems()) == ([], [])

    def test_without_tensorrt_nothing_is_built(self, engines: Engines, monkeypatch: pytest.MonkeyPatch):
        monkeypatch.setattr(engine_builds, "find_spec", lambda _: None)
        assert built(*BOTH, command=python("raise SystemExit('run')")) == []

    def test_a_library_that_cannot_be_loaded_is_none(
        self, engines: Engines, monkeypatch: pytest.MonkeyPatch, trt: str
    ):
        monkeypatch.setitem(sys.modules, "tensorrt_rtx", None)
        monkeypatch.setattr(engine_builds, "find_spec", lambda _: True)
        assert built(*BOTH, command=python("raise SystemExit('run')")) == []

    def test_what_lies_in_the_persons_folder_is_not_run(
        self, engines: Engines, trt: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ):
        monkeypatch.chdir(tmp_path)
        (tmp_path / "trt_build.py").write_text("raise SystemExit('planted')")
        assert "planted" not in " ".join(built("mouth-lite"))
        assert ready(engines, "mouth-lite")


class TestStale:
    @pytest.mark.parametrize(
        ("older", "cards"),
        [
            (lambda one: replace(one, weights="b" * 64), ("sm_89",)),
            (lambda one: replace(one, library="tensorrt-rtx 1.0"), ("sm_89",)),
            (lambda one: replace(one, batch=1), ("sm_89",)),
            (lambda one: one, ("sm_86",)),
        ],
        ids=["other weights", "older TensorRT", "smaller batches", "another card"],
    )
    @pytest.mark.parametrize("precision", ["fp16", "int8"])
    def test_it_is_built_anew_in_its_precision(
        self,
        engines: Engines,
        trt: str,
        older: Callable[[Purpose], Purpose],
        cards: tuple[str, ...],
        precision: str,
    ):
        now = Purpose(MOUTH, shipped_weights().find(MOUTH).safetensors.sha256, precision, trt)
        engines.keep(EngineManifest(older(now), cards, "", 0.0), b"older")
        assert f"made mouth-lite.{precision}" in " ".join(built("mouth-lite"))
        assert engines.load(now, "sm_89", len) > 1e6
        if cards == ("sm_86",):
            assert engines.load(now, "sm_86", len) > 1e6
        assert len(engines.stems()) == 1

    def test_a_card_that_no_file_can_share_takes_it(self, engines: Engines, trt: str):
        now = Purpose(MOUTH, shipped_weights().find(MOUTH).safetensors.sha256, "int8", trt)
        engines.keep(EngineManifest(now, ("sm_86",), "", 0.0), b"older")
        built("mouth-lite", card="sm_75")
        assert engines.manifest(now.stem).targets == ("sm_75",)

    def test_one_of_an_older_version_of_ours_is_stale(self, engines: Engines, trt: str):
        built("mouth-lite")
        path = engines.folder / "mouth-lite.fp16.tensorrt-rtx.manifest"
        signed = path.read_bytes().partition(b"\n")[2]
        document = json.loads(signed) | {"format": 1}
        text = json.dumps(document).encode()
        from streamfx.models.engines import _sign

        path.write_bytes(_sign(engines._key(make=False), text) + b"\n" + text)
        assert "made mouth-lite" in " ".join(built("mouth-lite"))

    @pytest.mark.parametrize("suffix", [".engine", ".manifest"])
    def test_one_that_was_changed_is_refused_and_left_alone(self, engines: Engines, trt: str, suffix: str):
        built("mouth-lite")
        path = engines.folder / f"mouth-lite.fp16.tensorrt-rtx{suffix}"
        evil = path.read_bytes()[:-1] + b"!"
        path.write_bytes(evil)
        with pytest.raises(ModelCorrupt, match="is refused"):
            built("mouth-lite")
        done = subprocess.run(
            [*COMMAND, "--target", "sm_89"], capture_output=True, text=True, check=False, cwd=ROOT
        )
        assert done.returncode == 1
        assert "is refused" in done.stderr
        assert path.read_bytes() == evil

    def test_a_foreign_one_is_refused(self, engines: Engines, trt: str, tmp_path: Path):
        theirs = Engines(engines.folder, tmp_path / "theirs" / "engine.key")
        theirs.keep(EngineManifest(Purpose(MOUTH, "a" * 64, "fp16", trt), ("sm_89",), "", 0.0), b"evil")
        built("refine-lite")  # makes our key
        with pytest.raises(ModelCorrupt, match="did not sign"):
            built("mouth-lite")


@pytest.mark.usefixtures("trt")
class TestFailure:
    def test_a_card_that_nobody_builds_for_ends_in_torch(self, engines: Engines):
        told = built("mouth-lite", card="sm_90")
        assert "tensorrt-rtx builds for no sm_90 here" in told[-2]
        assert "Choose from sm_75" in told[-2]
        assert told[-1] == "mouth-lite will run in torch."
        assert engines.stems() == []

    @pytest.mark.parametrize(
        ("command", "says"),
        [
            (("/nowhere/python",), "cannot be run (No such file or directory). Build by hand"),
            (
                python(SAYS + "sys.exit('trt_build: error: No room. Buy a disk.')"),
                "built: No room. Buy a disk.",
            ),
            (python(SAYS + "1 / 0"), "ZeroDivisionError: division by zero"),
            (python(SAYS + "sys.stderr.write('x' * 10_000 + chr(27)); sys.exit(3)"), "xx?"),
            (python(SAYS + "sys.exit(7)"), "it ended with code 7. Build by hand"),
            (python(SAYS + "import os; os.kill(os.getpid(), 9)"), "it ended with code -9"),
        ],
        ids=["no program", "an error of ours", "a crash", "a long complaint", "no word", "killed"],
    )
    def test_cause_and_remedy_are_told(self, engines: Engines, command: tuple[str, ...], says: str):
        told = built("mouth-lite", command=command)
        assert says in told[-2]
        assert ("a line" in told) is (len(command) > 1)
        assert told[-1] == "mouth-lite will run in torch."

    def test_it_is_given_up_in_time(self, engines: Engines, monkeypatch: pytest.MonkeyPatch):
        monkeypatch.setattr(engine_builds, "LONGEST_S", 0.5)
        start = time.perf_counter()
        told = built("mouth-lite", command=python(SAYS + "import time; time.sleep(60)"))
        assert time.perf_counter() - start < 5
        assert "took longer than" in told[-2]

    def test_whoever_stops_listening_stops_it(self, engines: Engines, tmp_path: Path):
        def stop(line: str) -> None:
            if line == "a line":
                raise KeyboardInterrupt

        code = f"open({str(tmp_path / 'pid')!r}, 'w').write(str(__import__('os').getpid())); {SAYS}"
        with pytest.raises(KeyboardInterrupt):
            build_missing(["mouth-lite"], "sm_89", stop, python(code + "import time; time.sleep(60)"))
        with pytest.raises(ProcessLookupError):
            os.kill(int((tmp_path / "pid").read_text()), 0)


@pytest.mark.usefixtures("trt")
class TestTwoAtOnce:
    def test_each_engine_is_built_once(self, engines: Engines):
        told: list[list[str]] = [[], [], []]
        threads = [threading.Thread(target=build_missing, args=(BOTH, "sm_89", one.append)) for one in told]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        made = [line for one in told for line in one if line.startswith("made ")]
        assert len(made) == len(BOTH)
        assert all(ready(engines, name) for name in BOTH)

    def test_one_waits_for_another_process_and_for_no_dead_one(self, engines: Engines):
        code = (
            "import time; from streamfx.models.engines import Engines\n"
            "with Engines.default().alone(lambda: None): print('mine', flush=True); time.sleep(60)"
        )
        with subprocess.Popen(python(code), stdout=subprocess.PIPE, text=True) as other:
            assert other.stdout is not None
            assert other.stdout.readline() == "mine\n"
            waits: list[str] = []

            def end() -> None:
                waits.append("waits")
                other.kill()

            with engines.alone(end):
                assert waits == ["waits"]
