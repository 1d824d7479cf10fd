"""The manifest of the shipped networks, and the bytes it vouches for."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest

from streamfx.errors import ModelCorrupt, ModelMissing
from streamfx.models.face_basis import load_face_basis
from streamfx.models.network import Network
from streamfx.models.weights import (
    MANIFEST,
    NetworkName,
    NetworkRow,
    Weights,
    WeightsFile,
    parse_manifest,
    shipped_weights,
)

CONTENT = bytes(range(256)) * 4


def entry(name: str, content: bytes) -> dict[str, object]:
    return {"file": name, "sha256": hashlib.sha256(content).hexdigest(), "size": len(content)}


def document(name: str = "refine-lite", **changes: object) -> dict[str, object]:
    """A row, and what differs from a good one."""
    fidelity = {"mean_error": 0.001, "max_error": 0.1, "psnr": 50.0, "samples": 16}
    files = {part: entry(f"{name}.{part}", part.encode() + CONTENT) for part in ("xml", "bin", "onnx", "st")}
    good = {
        "name": name,
        "version": "1",
        "architecture": "LiteRefiner",
        "input_shape": [9, 256, 256],
        "output_shape": [3, 256, 256],
        "basis": load_face_basis().sha256,
        "safetensors": files["st"],
        "onnx": files["onnx"],
        "onnx_fidelity": fidelity,
        "int8": {"graph": files["xml"], "constants": files["bin"]},
        "int8_fidelity": fidelity,
        "int8_limit": 0.002,
    }
    return good | changes


def manifest(*rows: dict[str, object], form: object = 1) -> str:
    return json.dumps({"format": form, "networks": rows})


def folder_of(folder: Path, *rows: dict[str, object]) -> Weights:
    """A folder with a manifest and all the files that its rows name."""
    (folder / MANIFEST).write_text(manifest(*rows))
    weights = Weights(folder)
    for row in weights.rows:
        for file, part in zip(row.files, ("st", "onnx", "xml", "bin"), strict=False):
            (folder / file.file).write_bytes(part.encode() + CONTENT)
    return weights


# -- the manifest ------------------------------------------------------------------------------------------


def test_a_row_is_found_and_typed(tmp_path: Path):
    weights = folder_of(tmp_path, document("mouth-lite"), document())

    row = weights.find(NetworkName.REFINE_LITE)

    assert isinstance(row, NetworkRow)
    assert (row.input_shape, row.output_shape, row.version) == ((9, 256, 256), (3, 256, 256), "1")
    assert [file.file for file in row.files] == [f"refine-lite.{end}" for end in ("st", "onnx", "xml", "bin")]
    assert row.size == sum(file.size for file in row.files)
    assert all(hashlib.sha256(weights.read(file)).hexdigest() == file.sha256 for file in row.files)


def test_what_does_not_ship_is_missing_and_the_rest_is_listed(tmp_path: Path):
    weights = folder_of(tmp_path, document())
    assert weights.has(NetworkName.REFINE_LITE)
    assert not weights.has(NetworkName.MOUTH_PAPER)
    with pytest.raises(ModelMissing, match=r"mouth-paper does not ship.*There are: refine-lite"):
        weights.find(NetworkName.MOUTH_PAPER)


def test_a_network_without_int8_has_two_files(tmp_path: Path):
    (row,) = parse_manifest(manifest(document(int8=None)))
    assert row.int8 is None
    assert row.files == (row.safetensors, row.onnx)


def test_another_basis_is_refused(tmp_path: Path):
    weights = folder_of(tmp_path, document(basis="0" * 64))
    with pytest.raises(ModelCorrupt, match=r"expression basis 000000000000….*Install streamfx again"):
        weights.find(NetworkName.REFINE_LITE)


def test_a_folder_without_manifest_is_refused(tmp_path: Path):
    with pytest.raises(ModelMissing, match=MANIFEST):
        Weights(tmp_path)


WRONG = {
    "unknown name": {"name": "refine-huge"},
    "unknown key": {"licence": "MIT"},
    "shape of two": {"input_shape": [9, 256]},
    "shape of words": {"input_shape": ["nine", 256, 256]},
    "version as a number": {"version": 1},
    "limit as a word": {"int8_limit": "low"},
    "path instead of a name": {"onnx": entry("../evil.onnx", CONTENT)},
    "short hash": {"onnx": entry("a.onnx", CONTENT) | {"sha256": "abc"}},
    "empty file": {"onnx": entry("a.onnx", CONTENT) | {"size": 0}},
    "half of int8": {"int8": {"graph": entry("a.xml", CONTENT)}},
    "nothing that runs": {"onnx": None, "int8": None},
    "no fidelity": {"onnx_fidelity": None},
}


@pytest.mark.parametrize("change", WRONG.values(), ids=WRONG.keys())
def test_a_bad_row_is_refused(tmp_path: Path, change: dict[str, object]):
    (tmp_path / MANIFEST).write_text(manifest(document(**change)))
    with pytest.raises(ModelCorrupt, match=r"manifest .* is damaged"):
        Weights(tmp_path)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        "null",
        '{"networks": []}',
        manifest(form=2),
        manifest(document(), document()),
        manifest({key: value for key, value in document().items() if key != "basis"}),
        "\x00\xff",
    ],
)
def test_a_bad_manifest_is_refused(tmp_path: Path, text: str):
    (tmp_path / MANIFEST).write_bytes(text.encode("latin-1"))
    with pytest.raises(ModelCorrupt, match=r"manifest .* is damaged"):
        Weights(tmp_path)


# -- the bytes ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "it has 0 bytes instead of 1028"),
        (b"onnx" + CONTENT[:-1], "it has 1027 bytes"),
        (b"onnx" + CONTENT + b"x", "it has more bytes"),
        (b"onnx" + CONTENT[::-1], "its sha256 is not"),
    ],
    ids=["empty", "truncated", "longer", "tampered"],
)
def test_other_bytes_are_refused(tmp_path: Path, content: bytes, words: str):
    weights = folder_of(tmp_path, document())
    (tmp_path / "refine-lite.onnx").write_bytes(content)
    with pytest.raises(ModelCorrupt, match=rf"refine-lite\.onnx is damaged: {words}.*Install streamfx again"):
        weights.read(weights.rows[0].files[1])


def test_swapped_files_are_refused(tmp_path: Path):
    weights = folder_of(tmp_path, document())
    first, second = (tmp_path / file.file for file in weights.rows[0].files[:2])
    there, other = first.read_bytes(), second.read_bytes()
    first.write_bytes(other)
    second.write_bytes(there)
    for file in weights.rows[0].files[:2]:
        with pytest.raises(ModelCorrupt):
            weights.read(file)


def test_a_missing_file_is_named(tmp_path: Path):
    weights = folder_of(tmp_path, document())
    (tmp_path / "refine-lite.bin").unlink()
    with pytest.raises(ModelMissing, match=r"refine-lite\.bin cannot be read .*Install streamfx again"):
        weights.read(weights.rows[0].files[-1])


def test_a_folder_in_the_place_of_a_file_is_named(tmp_path: Path):
    weights = folder_of(tmp_path)
    (tmp_path / "there").mkdir()
    with pytest.raises(ModelMissing, match="there cannot be read"):
        weights.read(WeightsFile("there", "0" * 64, 1))


# -- what ships --------------------------------------------------------------------------------------------


def test_the_networks_fit_into_the_repository():
    assert sum(row.size for row in shipped_weights().rows) <= 40_000_000


@pytest.mark.parametrize("row", shipped_weights().rows, ids=lambda row: row.name)
def test_what_ships_is_whole(row: NetworkRow):
    weights = shipped_weights()
    assert weights.find(row.name) == row
    for file in row.files:
        weights.read(file)


@pytest.mark.parametrize("row", shipped_weights().rows, ids=lambda row: row.name)
def test_what_ships_runs(row: NetworkRow):
    run = Network(row.name)
    channels, height, width = row.input_shape
    x = np.random.default_rng(0).random((height, width, channels), np.float32)
    out = run(x)
    assert out.transpose(2, 0, 1).shape == row.output_shape
    assert np.isfinite(out).all()
    assert out.std() > 0
