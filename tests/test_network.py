"""The shipped networks at work, and their export: real networks, small, with random weights."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from streamfx.__main__ import main
from streamfx.checks import Check, State
from streamfx.doctor import guarded
from streamfx.doctor.machine import CHECKS
from streamfx.errors import ModelCorrupt, ModelMissing, ModelUnusable, OutputError, UsageError
from streamfx.frames import F32
from streamfx.models import network, weights
from streamfx.models.network import CompiledGraph, Network, Precision
from streamfx.models.weights import NetworkName, Weights

torch = pytest.importorskip("torch", reason="networks are exported from torch")
pytest.importorskip("nncf", reason="networks are quantised by nncf")

from streamfx.lab.export import shipping  # noqa: E402
from streamfx.lab.export.__main__ import main as export_main  # noqa: E402
from streamfx.lab.export.int8 import to_int8  # noqa: E402
from streamfx.lab.export.onnx_file import to_onnx  # noqa: E402
from streamfx.lab.export.samples import load_samples  # noqa: E402
from streamfx.lab.training.checkpoints import save_weights  # noqa: E402
from streamfx.nets import AsRun, build  # noqa: E402

pytestmark = pytest.mark.timeout(600)  # exporting computes for 15 s, which a busy machine stretches

SMALL = {NetworkName.REFINE_LITE: (9, 48, 48), NetworkName.MOUTH_LITE: (10, 32, 32)}
"""The networks take any size that 16 divides."""
REFINE, MOUTH = SMALL
SAMPLES = 64


def lively(name: NetworkName) -> Any:
    """A network whose every layer says something (fresh ones end in zeros), with a modest effect."""
    torch.manual_seed(7)
    made = build(name).eval()
    for parameter in made.parameters():
        if parameter.dim() > 1:
            torch.nn.init.kaiming_normal_(parameter, 0.2)
            parameter.data *= 0.6
    made.head.weight.data *= 0.15
    return made


def smooth_inputs(shape: tuple[int, int, int], seed: int = 0) -> F32:
    """Soft random fields, 0..1."""
    chance = np.random.default_rng(seed)
    coarse = chance.random((SAMPLES, shape[0], shape[1] // 8, shape[2] // 8), np.float32)
    return np.kron(coarse, np.ones((8, 8), np.float32)) * chance.uniform(0.5, 1, (SAMPLES, 1, 1, 1))


def write_samples(path: Path, inputs: F32) -> Path:
    mask = np.zeros((len(inputs), 1, *inputs.shape[2:]), bool)
    mask[:, :, 8:-8, 8:-8] = True
    np.savez(path, inputs=inputs.astype(np.float16), mask=mask)
    return path


def write_network(folder: Path, name: NetworkName, **facts: object) -> tuple[Path, Path]:
    """Weights and samples."""
    path = folder / f"{name}.trained.safetensors"
    save_weights(path, lively(name).state_dict(), {"network": str(name), **facts})
    return path, write_samples(folder / f"{name}.npz", smooth_inputs(SMALL[name]))


@pytest.fixture(scope="module")
def small() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(shipping, "INPUTS", SMALL)
        yield


@pytest.fixture(scope="module")
def exported(small: None, tmp_path_factory: pytest.TempPathFactory) -> Weights:
    """A folder of two networks, as the export leaves it."""
    folder = tmp_path_factory.mktemp("weights")
    for name in (MOUTH, REFINE):
        assert export_main([str(name), *map(str, arguments(folder, name)), "--version", "3"]) == 0
    return Weights(folder)


def arguments(folder: Path, name: NetworkName) -> list[str | Path]:
    trained, samples = write_network(folder, name)
    return [trained, "--samples", samples, "-o", folder]


@pytest.fixture(scope="module")
def converted(exported: Weights) -> shipping._Converted:
    """What the export makes of the refiner before it writes: to be written in several ways."""
    seen = load_samples(exported.folder / f"{REFINE}.npz", SMALL[REFINE])
    return shipping._converted(REFINE, lively(REFINE), seen)


@pytest.fixture
def written(copied: Weights, converted: shipping._Converted, monkeypatch: pytest.MonkeyPatch):
    """Exports the refiner once more, as version 4, with one of the export's constants replaced."""

    def write(constant: str, value: object) -> Weights:
        monkeypatch.setattr(shipping, "_converted", lambda *arguments: converted)
        monkeypatch.setattr(shipping, constant, value)
        line = [str(REFINE), *map(str, arguments(copied.folder, REFINE)), "--version", "4"]
        assert export_main(line) == 0
        return Weights(copied.folder)

    return write


@pytest.fixture
def copied(exported: Weights, tmp_path: Path) -> Weights:
    """The same, to be damaged."""
    for file in exported.folder.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    return Weights(tmp_path)


def picture(name: NetworkName, seed: int = 1) -> F32:
    """f32 [h,w,C], in cells."""
    seen = build(name).pack(torch.from_numpy(smooth_inputs(SMALL[name], seed)[:1].astype(np.float32)))
    return np.ascontiguousarray(seen[0].permute(1, 2, 0).numpy())


def by_torch(name: NetworkName, x: F32) -> F32:
    with torch.inference_mode():
        out = lively(name).on_cells(torch.from_numpy(x.transpose(2, 0, 1).copy())[None])
    return out[0].numpy().transpose(1, 2, 0)


# -- a network at work -------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", SMALL)
def test_a_network_computes_what_torch_does(exported: Weights, name: NetworkName):
    x = picture(name)
    expected = by_torch(name, x)
    out = Network(name, weights=exported, precision=Precision.F32)(x)
    assert out.dtype == np.float32
    assert out.shape == expected.shape
    assert expected.std() > 0.01
    np.testing.assert_allclose(out, expected, atol=2e-3)


@pytest.mark.parametrize("name", SMALL)
@pytest.mark.parametrize("precision", Precision)
def test_coarser_numbers_stay_close(exported: Weights, name: NetworkName, precision: Precision):
    x, row = picture(name), exported.find(name)
    if lack := network._lacks(row, precision):
        pytest.skip(f"{name} in {precision}: {lack}")
    exact = Network(name, weights=exported, precision=Precision.F32)(x)
    out = Network(name, weights=exported, precision=precision)(x)
    assert np.abs(out - exact).mean() < 0.05 * exact.std()


def test_one_thread_and_two_agree(exported: Weights):
    x = picture(REFINE)
    one, two = (Network(REFINE, weights=exported, threads=threads)(x) for threads in (1, 2))
    np.testing.assert_allclose(one, two, atol=1e-5)


def test_the_fastest_precision_is_taken(exported: Weights):
    made = Network("refine-lite", weights=exported)
    assert made.row is exported.find(REFINE)
    assert made.precision is network.best_precision(made.row)
    if network.cv2.checkHardwareSupport(network._AVX2):
        assert made.precision is Precision.INT8


@pytest.mark.parametrize(
    ("avx2", "bf16", "best"), [(True, True, "int8"), (False, True, "bf16"), (False, False, "f32")]
)
def test_the_processor_decides(exported: Weights, monkeypatch: pytest.MonkeyPatch, avx2, bf16, best):
    monkeypatch.setattr(network.cv2, "checkHardwareSupport", lambda feature: avx2)
    monkeypatch.setattr(network, "_has_bf16", lambda: bf16)
    assert network.best_precision(exported.find(REFINE)) == best
    if best == "f32":
        for precision in (Precision.BF16, Precision.INT8):
            with pytest.raises(UsageError, match=r"cannot run in .* this processor has no .* f32 is at hand"):
                Network(REFINE, weights=exported, precision=precision)


@pytest.mark.parametrize(
    "bad",
    [
        np.zeros((12, 8, 54), np.float32),
        np.zeros((54, 12, 12), np.float32),
        np.zeros((1, 12, 12, 54), np.float32),
        np.zeros((12, 12, 54)),
        np.zeros((12, 12, 54), np.uint8),
    ],
    ids=lambda x: f"{x.dtype}{x.shape}",
)
def test_other_shapes_and_types_are_refused(exported: Weights, bad):
    with pytest.raises(ValueError, match=r"takes float32 \[12, 12, 54\], this is"):
        Network(REFINE, weights=exported)(bad)


def test_any_memory_will_do_and_changes_are_seen(exported: Weights):
    """The same array is read where it lies; arrays that cannot be are copied, anew for every call."""
    run = Network(REFINE, weights=exported)
    x, other = picture(REFINE, 1), picture(REFINE, 2)
    first, second = run(x).copy(), run(other).copy()
    assert not np.array_equal(first, second)

    fixed = x.copy()
    fixed.flags.writeable = False
    turned = np.asfortranarray(x)
    for same in (fixed, turned, x):
        assert np.array_equal(run(same), first)
        assert np.array_equal(run(same), first)
    for array in (x, turned):
        array[...] = other
        assert np.array_equal(run(array), second)


def test_the_answer_is_overwritten_by_the_next(exported: Weights):
    run = Network(REFINE, weights=exported)
    assert run(picture(REFINE, 1)) is run(picture(REFINE, 2))


def test_what_openvino_refuses_is_told():
    with pytest.raises(ModelUnusable, match=r"OpenVINO 20.* cannot run the network: .*pip install"):
        CompiledGraph(b"no graph", precision=Precision.F32)


# -- foreign bytes -----------------------------------------------------------------------------------------


@pytest.fixture
def no_openvino(monkeypatch: pytest.MonkeyPatch) -> None:
    class Untouched:
        def __getattr__(self, name: str) -> None:
            raise AssertionError(f"OpenVINO was asked to {name}")

    monkeypatch.setattr(network, "CORE", Untouched())


def test_no_mutation_reaches_openvino(copied: Weights, no_openvino: None):
    """200 files with a byte changed, added or removed."""
    chance = random.Random(3)
    for _ in range(200):
        end, precision = chance.choice([("int8.xml", "int8"), ("int8.bin", "int8"), ("onnx", "f32")])
        path = copied.folder / f"{REFINE}.{end}"
        good = path.read_bytes()
        path.write_bytes(mutated(good, chance))
        with pytest.raises(ModelCorrupt, match=r"is damaged: it"):
            Network(REFINE, weights=copied, precision=Precision(precision))
        path.write_bytes(good)


def mutated(good: bytes, chance: random.Random) -> bytes:
    data, place = bytearray(good), chance.randrange(len(good))
    match chance.randrange(3):
        case 0:
            data[place] ^= 1 << chance.randrange(8)
        case 1:
            data.insert(place, chance.randrange(256))
        case _:
            del data[place]
    return bytes(data)


def test_another_networks_files_do_not_reach_openvino(copied: Weights, no_openvino: None):
    for end in ("int8.xml", "int8.bin", "onnx"):
        (copied.folder / f"{REFINE}.{end}").write_bytes((copied.folder / f"{MOUTH}.{end}").read_bytes())
    for precision in (Precision.INT8, Precision.F32):
        with pytest.raises(ModelCorrupt):
            Network(REFINE, weights=copied, precision=precision)


def test_a_missing_file_does_not_reach_openvino(copied: Weights, no_openvino: None):
    (copied.folder / f"{REFINE}.int8.bin").unlink()
    with pytest.raises(ModelMissing, match=r"refine-lite\.int8\.bin"):
        Network(REFINE, weights=copied, precision=Precision.INT8)


# -- what OpenVINO does beside -----------------------------------------------------------------------------

WATCHED = """
import sys
seen = []
def watch(event, arguments):
    if event == "subprocess.Popen" and arguments[0] == "/sbin/ldconfig":
        return  # Python's own way to find a library: torch's CUDA packages ask for libdl
    if event.startswith(("socket.", "subprocess.", "os.fork", "os.posix_spawn")):
        seen.append(event)
    elif event == "open" and "intel" in str(arguments[0]).lower().split("/"):
        seen.append(f"open {arguments[0]}")
sys.addaudithook(watch)
"""
RUNS = """
from pathlib import Path
import numpy as np
from streamfx.models.network import Network
from streamfx.models.weights import Weights
net = Network("refine-lite", weights=Weights(Path(sys.argv[1])))
net(np.zeros(net.input_shape, np.float32))
import nncf
"""


def watched(code: str, home: Path, *arguments: object) -> str:
    """What a program does behind one's back, in a home of its own and not as if in CI or under pytest."""
    kept = {"PATH": os.environ["PATH"], "PYTHONPATH": str(Path(__file__).parents[1])}
    command = [sys.executable, "-c", WATCHED + code + "\nprint(seen)", *map(str, arguments)]
    done = subprocess.run(
        command, env=kept | {"HOME": str(home)}, capture_output=True, text=True, timeout=120, check=True
    )
    return done.stdout.splitlines()[-1]


def test_openvino_and_nncf_report_to_nobody_and_leave_nothing(exported: Weights, tmp_path: Path):
    assert watched(RUNS, tmp_path, exported.folder) == "[]"
    assert list(tmp_path.iterdir()) == []


LETS_GO = """
import signal, sys, threading
from pathlib import Path
from streamfx.models.network import Network
from streamfx.models.weights import Weights
weights = Weights(Path(sys.argv[1]))
networks = [Network(name, weights=weights) for name in ("refine-lite", "mouth-lite")]
del networks[0]
last = threading.Thread(target=networks.clear)
last.start()
last.join()
try:
    signal.raise_signal(signal.SIGINT)
except KeyboardInterrupt:
    print("heard")
"""


def test_ctrl_c_is_heard_after_networks_were_let_go_in_any_order_and_thread(exported: Weights):
    """With a Core for each network, its CPU plugin leaves a stack for signals that is gone."""
    command = [sys.executable, "-c", LETS_GO, str(exported.folder)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert (done.returncode, done.stdout) == (0, "heard\n"), done.stderr


def test_without_care_openvino_would_report(tmp_path: Path):
    """That the test above can fail."""
    watched("import openvino", tmp_path)
    if not list(tmp_path.iterdir()):
        pytest.skip("this OpenVINO reports nothing of itself")
    assert (tmp_path / "intel").is_dir()


# -- the export --------------------------------------------------------------------------------------------


def test_the_export_lists_what_it_made(exported: Weights):
    assert [row.name for row in exported.rows] == [REFINE, MOUTH]
    row = exported.find(REFINE)
    assert (row.version, row.architecture) == ("3", "LiteRefiner")
    assert (row.input_shape, row.output_shape) == ((54, 12, 12), (48, 12, 12))
    assert row.onnx_fidelity.samples == SAMPLES // 4
    assert row.onnx_fidelity.mean_error < 1e-3
    assert 0 < row.int8_fidelity.mean_error < 0.02
    assert row.int8_fidelity.psnr < row.onnx_fidelity.psnr


def test_the_same_weights_give_the_same_bytes(exported: Weights):
    _, onnx, graph, constants = (exported.read(file) for file in exported.find(MOUTH).files)
    running = AsRun(lively(MOUTH)).eval()
    again = to_onnx(running, exported.find(MOUTH).input_shape)
    seen = load_samples(exported.folder / f"{MOUTH}.npz", SMALL[MOUTH]).calibration
    packed = running.pack(torch.from_numpy(seen.inputs.astype(np.float32))).numpy()
    assert again == onnx
    assert to_int8(again, packed) == (graph, constants)


def test_nothing_of_the_exporting_machine_is_in_the_files(exported: Weights):
    for row in exported.rows:
        for file in row.files:
            content = exported.read(file)
            assert str(Path(__file__).parents[1]).encode() not in content
            assert b".py" not in content


def test_int8_that_would_show_does_not_ship(copied: Weights, written: Any):
    again = written("LIMITS", {REFINE: 0.0})
    row = again.find(REFINE)
    assert row.int8 is None
    assert row.int8_fidelity.mean_error > row.int8_limit
    assert not list(again.folder.glob(f"{REFINE}.int8.*"))
    assert row.version == "4"
    assert again.find(MOUTH) == copied.find(MOUTH)
    assert Network(REFINE, weights=again).precision is not Precision.INT8
    with pytest.raises(UsageError, match="does not ship so"):
        Network(REFINE, weights=again, precision=Precision.INT8)


def test_the_largest_ships_in_int8_alone(
    written: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    """And runs so even where int8 is slow."""
    again = written("_LARGEST", REFINE)
    assert "onnx does not ship" in capsys.readouterr().out
    assert not (again.folder / f"{REFINE}.onnx").exists()

    monkeypatch.setattr(network.cv2, "checkHardwareSupport", lambda feature: False)
    assert Network(REFINE, weights=again).precision is Precision.INT8
    with pytest.raises(UsageError, match=r"cannot run in f32: it does not ship so. int8 is at hand"):
        Network(REFINE, weights=again, precision=Precision.F32)


def test_paper_networks_are_stored_as_f16(tmp_path: Path):
    paper = NetworkName.REFINE_PAPER
    file = shipping._write_safetensors(tmp_path, paper, build(paper), {})
    parameters = sum(parameter.numel() for parameter in build(paper).parameters())
    assert 2 * parameters < file.size < 2.1 * parameters


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"inputs": np.zeros((63, 9, 48, 48), np.float16)}, "63 samples, at least 64"),
        ({"inputs": np.zeros((64, 9, 32, 48), np.float16)}, r"inputs \[64, 9, 32, 48\]"),
        ({"mask": np.zeros((64, 1, 48, 48), bool)}, "empty mask"),
        ({"inputs": np.full((64, 9, 48, 48), np.nan, np.float16)}, "no finite numbers"),
        ({"inputs": np.zeros((64, 9, 48, 48), np.uint8)}, "no finite numbers"),
        ({"mask": np.array(["x"], object)}, "no file of samples"),
    ],
)
def test_unfit_samples_are_refused(tmp_path: Path, change: dict[str, Any], words: str):
    arrays = {"inputs": np.zeros((64, 9, 48, 48), np.float16)} | change
    arrays = {"mask": np.ones((len(arrays["inputs"]), 1, 48, 48), bool)} | arrays
    np.savez(tmp_path / "samples.npz", **arrays)
    with pytest.raises(UsageError, match=words):
        load_samples(tmp_path / "samples.npz", SMALL[REFINE])


def test_the_export_refuses_what_does_not_fit(
    small: None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    trained, samples = write_network(tmp_path, REFINE)
    with pytest.raises(ModelCorrupt, match="holds no weights of LiteMouth"):
        shipping.export(MOUTH, trained, samples, tmp_path, "1")
    with pytest.raises(OutputError, match="Create the folder first"):
        shipping.export(REFINE, trained, samples, tmp_path / "nowhere", "1")
    with pytest.raises(ModelMissing):
        shipping.export(REFINE, tmp_path / "nothing", samples, tmp_path, "1")
    trained.write_bytes(trained.read_bytes()[:1000])
    assert export_main([str(REFINE), str(trained), "--samples", str(samples), "-o", str(tmp_path)]) == 1
    assert "damaged" in capsys.readouterr().out
    foreign, _ = write_network(tmp_path, REFINE, basis="0" * 64)
    with pytest.raises(ModelCorrupt, match="expression basis 000000000000"):
        shipping.export(REFINE, foreign, samples, tmp_path, "1")
    assert not (tmp_path / weights.MANIFEST).exists()


# -- the commands ------------------------------------------------------------------------------------------


def test_models_list_shows_the_networks(
    exported: Weights, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.setattr("streamfx.cli.models.shipped_weights", lambda: exported)
    assert main(["models", "list"]) == 0
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    best = str(network.best_precision(exported.find(REFINE)))
    assert [line[:2] + line[-1:] for line in lines if line and line[0] == REFINE] == [[REFINE, "3", best]]

    assert main(["models", "list", "--json"]) == 0
    listed = json.loads(capsys.readouterr().out)["networks"]
    assert [(one["name"], one["precision"]) for one in listed] == [(REFINE, best), (MOUTH, best)]


def test_doctor_tries_the_networks(copied: Weights, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("streamfx.doctor.machine.shipped_weights", lambda: copied)

    def check() -> Check:
        return guarded("networks", lambda: [CHECKS["networks"]("networks")])[0]

    assert check().state is State.OK
    best = network.best_precision(copied.find(REFINE))
    assert check().finding == f"refine-lite {best}, mouth-lite {best}"
    (copied.folder / f"{MOUTH}.safetensors").write_bytes(b"x")
    assert (check().state, check().remedy) == (State.FAIL, "Install streamfx again")
