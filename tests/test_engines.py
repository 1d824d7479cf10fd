"""TensorRT engines: really built, and given out only if they are what was built here, for what is here."""

from __future__ import annotations

import json
import os
import random
import sys
import tomllib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from packaging.requirements import Requirement

from streamfx.errors import ModelCorrupt, ModelError, ModelMissing, ModelUnusable, UsageError
from streamfx.models.engines import EngineManifest, Engines, Purpose
from streamfx.models.weights import NetworkName, shipped_weights
from streamfx.render.gpu.engines import built_network
from streamfx.render.gpu.networks import shipped_network
from trt_build.__main__ import main
from trt_build.building import LARGEST_ERROR, build_engine, purpose_of
from trt_build.libraries import PROPER, RTX

ROOT = Path(__file__).parents[1]
OWNED = ("sm_75", "sm_86", "sm_89", "sm_120")
NETWORKS = (NetworkName.REFINE_LITE, NetworkName.MOUTH_LITE)
MUTATIONS = 1000
DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")
PURPOSE = Purpose(NetworkName.REFINE_LITE, "a" * 64, "fp16", "tensorrt-rtx 1.0")


@pytest.fixture(scope="module")
def trt() -> None:
    pytest.importorskip("tensorrt_rtx", reason="tensorrt-rtx-cu13 is for Linux and Windows on x86-64")


@pytest.fixture
def engines(tmp_path: Path) -> Engines:
    return Engines(tmp_path / "engines", tmp_path / "own" / "engine.key")


class Deserialiser:
    """Notes what reaches it."""

    def __init__(self) -> None:
        self.seen: list[bytes] = []

    def __call__(self, data: bytes) -> int:
        self.seen.append(data)
        return len(data)


@pytest.mark.usefixtures("trt")
class TestBuilding:
    @pytest.mark.parametrize("name", NETWORKS)
    @pytest.mark.parametrize("targets", [*((one,) for one in OWNED), OWNED], ids=",".join)
    def test_engines_are_built_without_a_card(self, engines: Engines, name: NetworkName, targets: tuple):
        made = build_engine(name, "fp16", targets, shipped_weights(), engines)
        assert made.targets == targets
        assert 1e6 < made.size < 1e7
        assert 0 < made.error < LARGEST_ERROR
        deserialiser = Deserialiser()
        purpose = purpose_of(name, "fp16", shipped_weights())
        assert engines.load(purpose, targets[-1], deserialiser) == made.size
        assert deserialiser.seen[0].startswith(b"vtrt")
        assert len(deserialiser.seen) == 1

    def test_half_precision_makes_smaller_ones(self, engines: Engines):
        half, full = (
            build_engine(NetworkName.MOUTH_LITE, precision, ["sm_89"], shipped_weights(), engines)
            for precision in ("fp16", "fp32")
        )
        assert half.size < 0.7 * full.size
        assert full.error < 1e-6
        assert engines.stems() == ["mouth-lite.fp16.tensorrt-rtx", "mouth-lite.fp32.tensorrt-rtx"]

    @pytest.mark.parametrize("name", NETWORKS)
    @pytest.mark.parametrize("targets", [("sm_75",), ("sm_86",), ("sm_89",), ("sm_120",), RTX.cards("int8")])
    def test_int8_computes_in_int8(self, engines: Engines, name: NetworkName, targets: tuple[str, ...]):
        made = build_engine(name, "int8", targets, shipped_weights(), engines)
        assert 0 < made.error < LARGEST_ERROR
        data = engines.load(purpose_of(name, "int8", shipped_weights()), targets[-1], bytes)
        assert data.startswith(b"vtrt")
        # The names of its kernels, as TensorRT for RTX 1.7 makes them up, tell: all round to int8;
        # where that is cast once more, and the weights are, too, the convolution has them in half precision.
        if made.purpose.library.startswith("tensorrt-rtx 1.7."):
            assert data.count(b"RounCast") > 50
            widens = data.count(b"RounCastCast"), data.count(b"__myl_CastMulCast_0x")
            assert (min(widens) > 20) if targets == ("sm_75",) else (widens == (0, 0))

    def test_cards_without_int8_are_built_for_alone(self, engines: Engines):
        with pytest.raises(UsageError, match="half precision, too") as refused:
            build_engine(NetworkName.MOUTH_LITE, "int8", ["sm_75", "sm_86"], shipped_weights(), engines)
        assert "sm_75 alone" in refused.value.remedy
        assert engines.stems() == []

    def test_a_card_that_nobody_builds_for_is_named(self, engines: Engines):
        with pytest.raises(UsageError, match="no sm_90"):
            build_engine(NetworkName.MOUTH_LITE, "fp16", ["sm_89", "sm_90"], shipped_weights(), engines)
        assert engines.stems() == []

    def test_what_it_cannot_read_is_refused(self):
        with pytest.raises(ModelUnusable, match="cannot read"):
            RTX.build(b"no graph", ["sm_89"])

    def test_commands(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ):
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
        monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))

        def told(*words: str, code: int = 0) -> str:
            assert main(words) == code
            out, err = capsys.readouterr()
            return err if code else out

        assert "no engine" in told("list")
        assert told("build", "--target", "sm_86,sm_120").count("made ") == 2
        assert "sm_86,sm_120" in told("list")
        name = "refine-lite.fp16.tensorrt-rtx"
        assert json.loads(told("inspect", name))["purpose"]["network"] == "refine-lite"
        assert told("verify").count("as it was built") == 2
        engine = tmp_path / "cache" / "streamfx" / "engines" / f"{name}.engine"
        engine.write_bytes(engine.read_bytes()[:-1] + b"!")
        assert main(["verify"]) == 1
        assert "refused" in capsys.readouterr().out
        assert "There is no engine other" in told("clean", "other", code=2)
        assert "deleted 2" in told("clean")
        assert "does not ship" in told("build", "--profile", "paper", code=1)
        assert "no sm_90" in told("build", "--target", "sm_90", code=2)
        assert "No card is named" in told("build", "--target", "", code=2)
        one = ("build", "--network", "mouth-lite", "--target", "sm_89", "--missing")
        assert "made mouth-lite.fp16" in told(*one)
        assert "is there" in told(*one)
        assert "made mouth-lite.int8" in told(*one, "--precision", "int8")
        assert told("list").count("MB") == 2


def test_without_tensorrt_the_extra_is_named(engines: Engines, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "tensorrt_rtx", None)
    with pytest.raises(UsageError) as refused:
        build_engine(NetworkName.MOUTH_LITE, "fp16", ["sm_89"], shipped_weights(), engines)
    assert "streamfx[trt-rtx]" in refused.value.remedy


def test_tensorrt_proper_builds_for_the_card_at_hand_only(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    assert PROPER.in_order(["sm_90"]) == ("sm_90",)
    with pytest.raises(UsageError, match="Choose from this"):
        PROPER.in_order(["sm_86", "sm_90"])
    monkeypatch.setitem(sys.modules, "tensorrt", None)
    with pytest.raises(UsageError, match="TensorRT is not installed") as refused:
        PROPER.version()
    assert "streamfx[tensorrt]" in refused.value.remedy
    if not torch.cuda.is_available():
        assert main(["build", "--library", "tensorrt"]) == 2
        assert "no NVIDIA card here" in capsys.readouterr().err


@pytest.mark.usefixtures("trt")
class TestRunning:
    """As far as it goes without a card: to the driver that is not there."""

    @pytest.fixture(autouse=True)
    def card(self, monkeypatch: pytest.MonkeyPatch) -> None:
        if not torch.cuda.is_available():
            monkeypatch.setattr("streamfx.render.gpu.engines._capability", lambda _: "sm_89")

    def test_without_one_torch_runs_the_network(self, engines: Engines):
        assert built_network("mouth-lite", DEVICE, engines) is None

    @pytest.mark.parametrize("precision", ["int8", "fp16"])
    def test_one_that_was_built_is_run_or_its_refusal_told(self, engines: Engines, precision: str):
        build_engine(NetworkName.MOUTH_LITE, precision, RTX.cards(precision), shipped_weights(), engines)
        if not torch.cuda.is_available():
            with pytest.raises(ModelUnusable, match="does not take its engine") as refused:
                built_network("mouth-lite", DEVICE, engines)
            assert "python -m trt_build build" in refused.value.remedy
            return
        engine = built_network("mouth-lite", DEVICE, engines)
        assert engine is not None
        for count in (1, engine.most, 3, 1):
            seen = torch.rand(count, 10, 96, 96, device=DEVICE)
            assert (engine(seen) - shipped_network("mouth-lite", DEVICE)(seen)).abs().mean() < 2 / 255

    def test_one_that_was_changed_or_is_stale_is_refused_loudly(self, engines: Engines):
        made = build_engine(NetworkName.MOUTH_LITE, "fp32", ["sm_89"], shipped_weights(), engines)
        older = replace(made.purpose, library="tensorrt-rtx 1.0")
        engines.keep(EngineManifest(older, made.targets, "", 0.0), b"older")
        with pytest.raises(ModelUnusable, match=r"stale: built for library tensorrt-rtx 1\.0"):
            built_network("mouth-lite", DEVICE, engines)
        engines.keep(EngineManifest(made.purpose, made.targets, "", 0.0), b"right")
        (engines.folder / f"{made.purpose.stem}.engine").write_bytes(b"evil!")
        with pytest.raises(ModelCorrupt, match="not those that were built"):
            built_network("mouth-lite", DEVICE, engines)


def kept(engines: Engines, data: bytes = b"engine" * 1000, purpose: Purpose = PURPOSE) -> EngineManifest:
    return engines.keep(EngineManifest(purpose, ("sm_86", "sm_89"), "", 0.0), data)


class TestKeeping:
    def test_what_was_kept_is_given_out_once_and_whole(self, engines: Engines):
        kept(engines)
        deserialiser = Deserialiser()
        assert engines.load(PURPOSE, "sm_89", deserialiser) == 6000
        assert deserialiser.seen == [b"engine" * 1000]
        assert engines.folder.stat().st_mode & 0o777 == 0o700
        assert (engines.folder.parent / "own" / "engine.key").stat().st_mode & 0o777 == 0o600

    @pytest.mark.parametrize(
        "other",
        [
            replace(PURPOSE, weights="b" * 64),
            replace(PURPOSE, library="tensorrt-rtx 1.1"),
        ],
        ids=["weights", "library"],
    )
    def test_what_was_built_for_something_else_is_stale(self, engines: Engines, other: Purpose):
        kept(engines)
        deserialiser = Deserialiser()
        with pytest.raises(ModelUnusable, match="stale") as refused:
            engines.load(other, "sm_89", deserialiser)
        assert "python -m trt_build build" in refused.value.remedy
        assert deserialiser.seen == []

    def test_another_card_is_told_how_to_get_one(self, engines: Engines):
        kept(engines)
        with pytest.raises(ModelUnusable, match="this card is sm_120") as refused:
            engines.load(PURPOSE, "sm_120", Deserialiser())
        assert "--target sm_120" in refused.value.remedy

    def test_what_is_not_there_is_missing(self, engines: Engines):
        with pytest.raises(ModelMissing, match="no engines"):
            engines.load(PURPOSE, "sm_89", Deserialiser())
        kept(engines)
        with pytest.raises(ModelMissing):
            engines.load(replace(PURPOSE, precision="fp32"), "sm_89", Deserialiser())

    def test_a_new_one_takes_the_place_of_the_old(self, engines: Engines):
        kept(engines)
        kept(engines, b"newer")
        assert engines.load(PURPOSE, "sm_86", bytes) == b"newer"
        assert sorted(path.suffix for path in engines.folder.iterdir()) == [".engine", ".manifest"]


def _flip(data: bytes, rng: random.Random) -> bytes:
    changed = bytearray(data)
    changed[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
    return bytes(changed)


def _overwrite(data: bytes, rng: random.Random) -> bytes:
    at = rng.randrange(len(data) - 8)
    return data[:at] + rng.randbytes(8) + data[at + 8 :]


def _turn(data: bytes, rng: random.Random) -> bytes:
    at = rng.randrange(1, len(data))
    return data[at:] + data[:at]


CHANGES: dict[str, Callable[[bytes, random.Random], bytes]] = {
    "flip": _flip,
    "cut": lambda data, rng: data[: rng.randrange(len(data))],
    "append": lambda data, rng: data + rng.randbytes(rng.randrange(1, 50)),
    "overwrite": lambda data, rng: (
        at := rng.randrange(len(data) - 8),
        data[:at] + rng.randbytes(8) + data[at + 8 :],
    )[1],
    "swap": lambda data, rng: (at := rng.randrange(1, len(data)), data[at:] + data[:at])[1],
    "empty": lambda _data, _rng: b"",
    "noise": lambda data, rng: rng.randbytes(len(data)),
}


class TestTampering:
    def test_a_thousand_mutations_and_none_is_deserialised(self, engines: Engines, tmp_path: Path):
        kept(engines, random.Random(0).randbytes(50_000))
        files = [*engines.folder.iterdir(), tmp_path / "own" / "engine.key"]
        whole = {file: file.read_bytes() for file in files}
        deserialiser, rng, refused = Deserialiser(), random.Random(1), 0
        for number in range(MUTATIONS):
            file, change = rng.choice(files), rng.choice([*CHANGES.values()])
            changed = change(whole[file], rng)
            if changed == whole[file]:
                changed = changed[:-1]
            file.write_bytes(changed)
            with pytest.raises(ModelError):
                engines.load(PURPOSE, "sm_89", deserialiser)
            refused += 1
            file.write_bytes(whole[file])
            if number % 100 == 0:  # what was put back is taken: it was the mutation that was refused
                engines.load(PURPOSE, "sm_89", len)
        assert (refused, deserialiser.seen) == (MUTATIONS, [])

    def test_a_manifest_of_another_installation_is_refused(self, engines: Engines, tmp_path: Path):
        foreign = Engines(tmp_path / "foreign", tmp_path / "theirs" / "engine.key")
        kept(engines)
        kept(foreign, b"evil")
        for file in foreign.folder.iterdir():
            (engines.folder / file.name).write_bytes(file.read_bytes())
        deserialiser = Deserialiser()
        with pytest.raises(ModelCorrupt, match="did not sign"):
            engines.load(PURPOSE, "sm_89", deserialiser)
        assert deserialiser.seen == []

    def test_engines_do_not_pass_for_one_another(self, engines: Engines):
        kept(engines)
        mouth = replace(PURPOSE, network=NetworkName.MOUTH_LITE)
        kept(engines, b"mouth", mouth)
        for suffix in (".engine", ".manifest"):
            data = (engines.folder / f"{mouth.stem}{suffix}").read_bytes()
            (engines.folder / f"{PURPOSE.stem}{suffix}").write_bytes(data)
        with pytest.raises(ModelCorrupt, match="that of mouth-lite"):
            engines.load(PURPOSE, "sm_89", Deserialiser())

    @pytest.mark.skipif(sys.platform == "win32", reason="Windows has other permissions")
    def test_others_must_not_be_able_to_write_there(self, engines: Engines):
        kept(engines)
        engines.folder.chmod(0o770)
        with pytest.raises(ModelCorrupt, match="written by others"):
            engines.load(PURPOSE, "sm_89", Deserialiser())

    @pytest.mark.skipif(not hasattr(os, "O_NOFOLLOW"), reason="this system opens links")
    def test_a_link_is_no_engine(self, engines: Engines, tmp_path: Path):
        kept(engines)
        engine = engines.folder / f"{PURPOSE.stem}.engine"
        engine.rename(tmp_path / "elsewhere")
        engine.symlink_to(tmp_path / "elsewhere")
        with pytest.raises(ModelMissing):
            engines.load(PURPOSE, "sm_89", Deserialiser())


def test_a_plain_install_asks_for_nothing_of_nvidia():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    names = {Requirement(line).name.lower() for line in project["dependencies"]}
    assert not [name for name in names if name.startswith(("torch", "nvidia", "tensorrt", "cuda"))]
    assert "tensorrt-rtx-cu13" in {
        Requirement(line).name for line in project["optional-dependencies"]["trt-rtx"]
    }
