"""Code planted in files: whoever unpickles them runs it. Every reader of files is given such ones."""

from __future__ import annotations

import hashlib
import io
import json
import pickle
import tempfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest

from streamfx import kept
from streamfx.driving.template import MotionTemplate
from streamfx.errors import StreamfxError
from streamfx.models.face_basis import load_face_basis, parse_face_basis
from streamfx.models.network import CompiledGraph, Precision
from streamfx.models.store import State, Store
from streamfx.models.weights import MANIFEST, Weights
from streamfx.portrait.cache import RigCache, read_rig
from streamfx.portrait.photo import load_photo
from streamfx.render.gpu.networks import shipped_network
from streamfx.settings.daemon import load_config
from streamfx.sink import idle
from streamfx.source import open_source

torch = pytest.importorskip("torch")


class Planted:
    """Makes a folder when it is unpickled."""

    def __init__(self, marker: Path) -> None:
        self._marker = marker

    def __reduce__(self) -> tuple[Callable[[str], str], tuple[None, str, str]]:
        return tempfile.mkdtemp, (None, self._marker.name, str(self._marker.parent))


def plain(marker: Path) -> bytes:
    return pickle.dumps(Planted(marker))


def by_torch(marker: Path) -> bytes:
    """A checkpoint, .pt or .pth."""
    file = io.BytesIO()
    torch.save({"state_dict": Planted(marker)}, file)
    return file.getvalue()


def by_numpy(marker: Path) -> bytes:
    """An npz archive, every array of which is an object."""
    planted = np.array([Planted(marker)], dtype=object)
    names = (
        "digest",
        "size",
        "photos",
        "modes",
        "std",
        "rms",
        "sigma",
        "parts",
        "version",
        "rgb",
        "findings",
    )
    file = io.BytesIO()
    np.savez(file, **dict.fromkeys(names, planted))
    return file.getvalue()


def vouched_for(path: Path) -> None:
    """Weights that the manifest beside them names with their true hash: as if who ships them were hostile."""
    data = path.read_bytes()
    entry = {"file": path.name, "sha256": hashlib.sha256(data).hexdigest(), "size": len(data)}
    row = {
        "name": "refine-lite", "version": "1", "architecture": "LiteRefiner", "input_shape": [9, 256, 256],
        "output_shape": [3, 256, 256], "basis": load_face_basis().sha256, "safetensors": entry, "onnx": entry,
        "onnx_fidelity": {"mean_error": 0.001, "max_error": 0.1, "psnr": 50.0, "samples": 16},
    }  # fmt: skip
    (path.parent / MANIFEST).write_text(json.dumps({"format": 1, "networks": [row]}))
    shipped_network("refine-lite", torch.device("cpu"), Weights(path.parent))


def rig(path: Path) -> None:
    digest = "a" * 64
    path.rename(path.with_name(f"{digest[:32]}.rig.npz"))
    assert RigCache(path.parent).load(digest) is None


def model(path: Path) -> None:
    store = Store(path.parent)
    for row in store.rows:
        (path.parent / row.file).parent.mkdir(parents=True, exist_ok=True)
        (path.parent / row.file).write_bytes(path.read_bytes())
    assert {status.state for status in store.verify()} == {State.CORRUPT}


READERS: dict[str, Callable[[Path], object]] = {
    "photo": load_photo,
    "video": open_source,
    "template": MotionTemplate.load,
    "settings": load_config,
    "rig": rig,
    "rig of the shared memory": lambda path: read_rig(io.BytesIO(path.read_bytes())),
    "rigs listed": lambda path: list(kept.solved(path.parent)),
    "idle portrait": lambda path: idle.load(path, (64, 48)),
    "expression basis": lambda path: parse_face_basis(path.read_bytes()),
    "weights": vouched_for,
    "graph": lambda path: CompiledGraph(path.read_bytes(), b"", precision=Precision.F32),
    "model": model,
}
PLANTS = {"pickle": plain, "torch": by_torch, "numpy": by_numpy}


@pytest.mark.parametrize("plant", PLANTS)
@pytest.mark.parametrize("reader", READERS)
def test_nothing_planted_is_run(tmp_path: Path, reader: str, plant: str):
    marker = tmp_path / "marker"
    file = tmp_path / "given" / "planted.npz"
    file.parent.mkdir()
    file.write_bytes(PLANTS[plant](marker))
    with suppress(StreamfxError, ValueError):  # a rig of the shared memory is told by the latter
        READERS[reader](file)
    assert list(tmp_path.glob("marker*")) == []


def test_who_unpickles_would_run_it(tmp_path: Path):
    pickle.loads(plain(tmp_path / "marker"))  # noqa: S301 - planted by ourselves
    np.load(io.BytesIO(by_numpy(tmp_path / "marker")), allow_pickle=True)["size"]
    torch.load(io.BytesIO(by_torch(tmp_path / "marker")), weights_only=False)
    assert len(list(tmp_path.glob("marker*"))) == 3
