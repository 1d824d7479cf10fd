"""`--refine`, `--mouth` and `--reference`: which networks run, what a film says of them, what is refused."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest
from media import read_video
from on_cells import face_cells, mouth_cells
from scenes import MOTION, face_clip, photo

from streamfx.__main__ import main
from streamfx.cli import build_parser, options
from streamfx.errors import ModelCorrupt, ModelMissing
from streamfx.frames import F32
from streamfx.models import weights
from streamfx.models.face_basis import load_face_basis
from streamfx.models.weights import NetworkName, Profile
from streamfx.render.base import Networks

LITE, PAPER = Profile.LITE, Profile.PAPER
Ship = Callable[..., None]


@pytest.fixture
def ship(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Ship]:
    """Ships a manifest with just these networks; with stand-ins of known answers in OpenVINO's place."""
    folder = tmp_path / "weights"
    folder.mkdir()

    def ship(*names: str, basis: str = load_face_basis().sha256) -> None:
        rows = [_row(name, basis) for name in names]
        (folder / weights.MANIFEST).write_text(json.dumps({"format": weights.FORMAT, "networks": rows}))
        weights.shipped_weights.cache_clear()

    monkeypatch.setattr(weights, "SHIPPED", folder)
    monkeypatch.setattr("streamfx.models.network.Network", StandIn)
    weights.shipped_weights.cache_clear()
    ship()
    yield ship
    weights.shipped_weights.cache_clear()


def _row(name: str, basis: str) -> dict[str, object]:
    file = {"file": f"{name}.bin", "sha256": "0" * 64, "size": 1}
    fidelity = {"mean_error": 0.0, "max_error": 0.0, "psnr": 60.0, "samples": 64}
    return {
        "name": name,
        "version": "3",
        "architecture": "None",
        "input_shape": [1, 1, 1],
        "output_shape": [1, 1, 1],
        "basis": basis,
        "safetensors": file,
        "onnx": file,
        "onnx_fidelity": fidelity,
        "int8": None,
        "int8_fidelity": fidelity,
        "int8_limit": 0.004,
    }


class StandIn:
    """A network that reddens, or paints green."""

    def __init__(self, name: str) -> None:
        self._network = {
            NetworkName.REFINE_LITE: face_cells(lambda x: flat(x, (0.3, 0, 0))),
            NetworkName.REFINE_PAPER: lambda x: x[..., :3] + flat(x, (0.3, 0, 0)),  # the whole face
            NetworkName.MOUTH_LITE: mouth_cells(lambda x: flat(x, (0, 1, 0))),
            NetworkName.MOUTH_PAPER: lambda x: flat(x, (0, 1, 0)),
        }[NetworkName(name)]

    def __call__(self, x: F32) -> F32:
        return self._network(x)


def flat(x: F32, colour: tuple[float, float, float]) -> F32:
    return np.full((*x.shape[:2], 3), colour, np.float32)


def chosen(*given: str) -> tuple[argparse.Namespace, Networks]:
    arguments = build_parser().parse_args(["render", "p.jpg", "d.mp4", "-o", "f.mp4", *given])
    return arguments, options.networks(arguments)


# -- which networks ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("shipped", "given", "networks", "line"),
    [
        (
            [],
            [],
            Networks(),
            "networks: refine off, mouth procedural (this version ships without refine-lite and mouth-lite)",
        ),
        (
            ["refine-lite"],
            [],
            Networks(refine=LITE),
            "networks: refine lite, mouth procedural (this version ships without mouth-lite)",
        ),
        (["refine-lite", "mouth-lite"], [], Networks(LITE, LITE), "networks: refine lite, mouth lite"),
        (
            ["refine-lite", "mouth-lite"],
            ["--refine", "off", "--mouth", "procedural"],
            Networks(),
            "networks: refine off, mouth procedural",
        ),
        (
            [*NetworkName],
            ["--refine", "paper", "--mouth", "paper"],
            Networks(PAPER, PAPER),
            "networks: refine paper, mouth paper",
        ),
    ],
    ids=["none ships", "one ships", "both ship", "switched off", "the paper's"],
)
def test_the_lite_networks_run_unless_something_else_is_asked_for(
    ship: Ship, shipped: list[str], given: list[str], networks: Networks, line: str
):
    ship(*shipped)
    arguments, found = chosen(*given)
    assert found == networks
    assert options.networks_line(arguments, found) == line


def test_what_was_asked_for_and_does_not_ship_is_an_error(ship: Ship):
    ship("refine-lite")
    for given in (["--refine", "paper"], ["--mouth", "lite"], ["--mouth", "paper"]):
        with pytest.raises(ModelMissing, match=f"{given[0][2:]}-{given[1]} does not ship"):
            chosen(*given)


def test_a_network_for_another_expression_basis_is_refused_even_unasked(ship: Ship):
    ship("refine-lite", basis="1" * 64)
    with pytest.raises(ModelCorrupt, match="trained with the expression basis 111111111111"):
        chosen()
    assert chosen("--refine", "off")[1] == Networks()


def test_a_damaged_manifest_is_told_in_one_line(
    ship: Ship, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    (tmp_path / "weights" / weights.MANIFEST).write_text("{")
    weights.shipped_weights.cache_clear()
    assert render(tmp_path / "film.mp4") == 1
    assert_one_line(capsys, "weights.json is damaged")


# -- films ---------------------------------------------------------------------------------------------------


def render(film: Path, *more: str) -> int:
    command = ["render", str(photo()), str(MOTION), "-o", str(film), "--size", "320x240", "--duration", "0.6"]
    return main([*command, *more])


def assert_one_line(capsys: pytest.CaptureFixture[str], words: str) -> None:
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("streamfx: error: ")
    assert err.count("\n") == 1
    assert words in err


@pytest.mark.parametrize("profile", list(Profile))
def test_a_film_is_refined_and_its_report_names_the_networks(
    ship: Ship, tmp_path: Path, capsys: pytest.CaptureFixture[str], profile: Profile
):
    ship(*NetworkName)
    plain, film, report = (tmp_path / name for name in ("plain.mp4", "film.mp4", "report.json"))
    assert render(plain, "--refine", "off", "--mouth", "procedural") == 0
    assert render(film, "--refine", profile, "--mouth", profile, "--report", str(report)) == 0
    assert f"networks: refine {profile}, mouth {profile}\n" in capsys.readouterr().out
    document = json.loads(report.read_text("utf-8"))
    assert document["quality"]["FULL"] == document["frames"]["out"] == 18
    assert [stage["stage"] for stage in document["stages"]][-4:] == ["warp", "refine", "mouth", "encode"]
    settings = document["settings"]
    assert (settings["refine"], settings["mouth"], settings["references"]) == (profile, profile, [])
    assert document["networks"] == [
        {"name": f"{place}-{profile}", "version": "3", "sha256": "0" * 64} for place in ("refine", "mouth")
    ]
    if profile is LITE:  # the paper's reddening is a cast, and casts are undone
        redder = [
            seen[..., 0].astype(int) - bare[..., 0]
            for seen, bare in zip(read_video(film), read_video(plain), strict=True)
        ]
        assert max(one.max() for one in redder) > 25, "the residual shows where the face moves"


def test_without_networks_the_report_says_so(ship: Ship, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    assert render(tmp_path / "film.mp4", "--json") == 0
    document = json.loads(capsys.readouterr().out)
    assert document["networks"] == []
    assert (document["settings"]["refine"], document["settings"]["mouth"]) == ("off", "procedural")
    assert document["quality"]["WARP_ONLY"] == 18


def test_bench_times_the_networks_apart(ship: Ship, capsys: pytest.CaptureFixture[str]):
    ship(*NetworkName)
    clip = face_clip()
    capsys.readouterr()
    assert main(["bench", "--driver", str(clip), "--size", "320x240", "--frames", "20", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    (speed,) = document["sizes"]
    stages = ["decode", "track", "motion", "deform", "warp", "refine", "mouth"]
    assert [stage["stage"] for stage in speed["stages"]] == stages
    assert {stage["stage"] for stage in speed["beside"]} == set(stages)
    assert (document["refine"], document["mouth"]) == ("lite", "lite")


# -- what is refused -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("more", "code", "words"),
    [
        (["--refine", "best"], 2, "invalid choice"),
        (["--mouth", "off"], 2, "invalid choice"),
        (["--refine", "paper"], 1, "refine-paper does not ship"),
        (["--reference", "nobody.jpg"], 1, "nobody.jpg does not exist"),
        (["--reference", "film.mp4"], 2, "are the same file"),
        (["--reference", "grey.png"], 1, "No face was found in grey.png"),
    ],
)
def test_what_cannot_work_is_refused_in_one_line(
    ship: Ship,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    more: list[str],
    code: int,
    words: str,
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "film.mp4").write_bytes(b"the old film")
    cv2.imwrite("grey.png", np.full((400, 400, 3), 128, np.uint8))
    assert render(Path("film.mp4"), "-y", *more) == code
    assert_one_line(capsys, words)
    assert (tmp_path / "film.mp4").read_bytes() == b"the old film"


@pytest.mark.parametrize("command", ["demo", "bench"])
@pytest.mark.parametrize("more", [["--refine", "paper"], ["--mouth", "paper"]])
def test_demo_and_bench_refuse_what_does_not_ship(
    ship: Ship,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    command: str,
    more: list[str],
):
    monkeypatch.chdir(tmp_path)
    assert main([command, *more]) == 1
    assert_one_line(capsys, "does not ship")


# -- what really ships ---------------------------------------------------------------------------------------


def test_the_networks_that_ship_make_a_film(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    absent = [
        name for name in ("refine-lite", "mouth-lite") if not weights.shipped_weights().has(NetworkName(name))
    ]
    if absent:
        pytest.skip(f"this version ships without {' and '.join(absent)}")
    film = tmp_path / "film.mp4"
    assert render(film) == 0
    assert "networks: refine lite, mouth lite\n" in capsys.readouterr().out
    assert len(read_video(film)) == 18
