"""The renderer of NVIDIA cards against the CPU's: the same Deformation in, the same picture out.

Plain torch runs on the CPU as well, so all but CUDA graphs is compared here; `scripts/check-cuda` runs these
tests on a card (STREAMFX_TEST_DEVICE=cuda).
"""

from __future__ import annotations

import gc
import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from itertools import cycle, islice
from pathlib import Path

import cv2
import numpy as np
import pytest
import synthetic
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scenes import MOTION, photo, store
from torch import Tensor

from streamfx.driving.template import MotionTemplate
from streamfx.errors import DeviceExhausted, DeviceLost, DeviceUnavailable, ModelCorrupt
from streamfx.frames import F32, Motion, Rendered, Rig
from streamfx.models.network import Network as OpenVinoNetwork
from streamfx.models.network import Precision
from streamfx.models.weights import NetworkName, Profile, Weights, shipped_weights
from streamfx.nets import AsRun, build
from streamfx.pipeline import Animator, load_portrait
from streamfx.portrait.deform import deform
from streamfx.render.base import Mode, Network, Networks, Picture
from streamfx.render.cpu import CpuDevice, CpuRenderer
from streamfx.render.gpu.device import device_errors
from streamfx.render.gpu.gpu_device import GpuDevice
from streamfx.render.gpu.layout import Writer
from streamfx.render.gpu.mouths import flows
from streamfx.render.gpu.networks import TensorNetwork, shipped_network, untrained_network
from streamfx.render.gpu.pixels import blurred, gaussian, lay_over, lift, softened
from streamfx.render.gpu.raster import draw
from streamfx.render.gpu.refining import membrane as tensor_membrane
from streamfx.render.gpu.renderer import GpuRenderer
from streamfx.render.gpu.steps import Numbers, Step
from streamfx.render.gpu.tiles import Tiles
from streamfx.render.kernels import cover, rasterise
from streamfx.render.kernels import lay_over as lay_over_on_cpu
from streamfx.render.kernels import lift as lift_on_cpu
from streamfx.render.painter import PaperNetworkPainter
from streamfx.render.refiner import RIM, PaperNetworkRefiner, membrane
from streamfx.rendering import check_renderer

DEVICE = torch.device(os.environ.get("STREAMFX_TEST_DEVICE", "cpu"))
FRAMES = int(os.environ.get("STREAMFX_FRAMES", "100"))
"""Over which memory must not grow; 10,000 take some minutes."""
MEAN = 0.1 if DEVICE.type == "cpu" else 1.0
"""Grey levels: how far the two may be apart on average, in any picture of the golden clip."""
MOST = 24
"""Grey levels by which a few pixels may differ: where a mouth is blended along another flow."""
FEW = 0.0005
"""Share of pixels that may differ by more."""
NETWORKS = {
    "warp only": Networks(),
    "lite": Networks(Profile.LITE, Profile.LITE),
}
EXTREMES = {
    "at rest": synthetic.motion(),
    "turned left": synthetic.motion(turn=(0, -60, 0)),
    "far left and low": synthetic.motion(turn=(-35, -20, 45), shift=(-30, 20), scale=0.5),
    "near, shouting, winking": synthetic.motion(scale=2.0, jaw=3.5, smile=1.2, blink=(1, -0.6)),
    "out of the frame": synthetic.motion(shift=(-300, 300)),
}


def nothing_to_say(*_: object) -> None:
    """No check of what the studio makes: that is what is tested."""


def studio() -> GpuDevice:
    return GpuDevice(nothing_to_say, DEVICE)


@pytest.fixture(scope="module")
def rig() -> Rig:
    return load_portrait(photo(), (640, 480), store()).rig


@pytest.fixture(scope="module")
def golden() -> list[Motion]:
    """A real person's motion: the demo's, a second of speech and two of everything, every third frame."""
    return list(MotionTemplate.load(MOTION).frames())[30:180:3]


# -- conformance ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", list(Mode))
@pytest.mark.parametrize("chosen", NETWORKS)
def test_both_canvases_draw_the_same_film(rig: Rig, golden: list[Motion], chosen: str, mode: Mode):
    networks = NETWORKS[chosen]
    there = Animator(rig, renderer=studio().renderer(rig, networks, mode))
    here = Animator(rig, renderer=CpuDevice().renderer(rig, networks, mode))
    assert_same_film(there, here, golden)


def assert_same_film(there: Animator, here: Animator, motions: list[Motion], mean: float = MEAN):
    for motion in motions:
        one, other = there.animate(motion), here.animate(motion)
        assert_alike(one, other, mean)
        assert one.quality is other.quality


def assert_alike(one: Rendered, other: Rendered, mean: float = MEAN):
    off = cv2.absdiff(one.rgb, other.rgb)
    assert off.mean() <= mean
    assert (off.max(2) > MOST).mean() <= FEW
    assert (one.alpha is None) == (other.alpha is None)
    if one.alpha is not None and other.alpha is not None:
        off = cv2.absdiff(one.alpha, other.alpha)
        assert off.mean() <= MEAN
        assert (off > MOST).mean() <= FEW
        assert (one.rgb <= one.alpha[..., None]).all(), "premultiplied"


def test_the_papers_networks_draw_the_same_film(rig: Rig, golden: list[Motion]):
    """They do not ship: untrained ones, the same in both, whose answers are far from any face."""
    refine, mouth = (untrained_network(name, DEVICE) for name in ("refine-paper", "mouth-paper"))

    def on_cpu(network: TensorNetwork) -> Network:
        def run(x: F32) -> F32:
            with torch.no_grad():
                return network(tensor(x).permute(2, 0, 1)[None])[0].permute(1, 2, 0).cpu().numpy()

        return run

    untrained = {"refine-paper": refine, "mouth-paper": mouth}
    papers = GpuDevice(nothing_to_say, DEVICE, load=lambda name, _: untrained[name])
    there = Animator(rig, renderer=papers.renderer(rig, Networks(Profile.PAPER, Profile.PAPER)))
    plain = PaperNetworkRefiner(on_cpu(refine)), PaperNetworkPainter(on_cpu(mouth))
    here = Animator(rig, renderer=CpuRenderer(rig, refiner=plain[0], painter=plain[1]))
    assert_same_film(there, here, golden[::5], mean=0.5)


@pytest.mark.parametrize("mode", list(Mode))
@pytest.mark.parametrize("name", EXTREMES)
def test_both_canvases_agree_on_what_nobody_does(name: str, mode: Mode):
    rig, motion = synthetic.rig(), EXTREMES[name]
    there, here = (
        Animator(rig, renderer=one.renderer(rig, Networks(), mode)) for one in (studio(), CpuDevice())
    )
    assert_alike(there.animate(motion), here.animate(motion))


def test_a_picture_is_the_same_whatever_was_drawn_before(rig: Rig, golden: list[Motion]):
    fresh, used = (Animator(rig, renderer=studio().renderer(rig, Networks())) for _ in range(2))
    for motion in golden[:4]:
        used.animate(motion)
    still = replace(golden[20], epoch=7)
    assert np.array_equal(fresh.animate(still).rgb, used.animate(still).rgb)


def test_pictures_are_the_callers_to_keep(rig: Rig, golden: list[Motion]):
    animator = Animator(rig, renderer=studio().renderer(rig, Networks()))
    kept = animator.animate(golden[0]).rgb
    copy = kept.copy()
    animator.animate(golden[20])
    assert np.array_equal(kept, copy)


# -- its parts -----------------------------------------------------------------------------------------------


def as_tensors(tiles: tuple[np.ndarray, np.ndarray]) -> tuple[Tensor, Tensor]:
    padded = [np.concatenate([one, np.full(5, -1, np.int32)]) for one in tiles]
    return torch.from_numpy(padded[0]).to(DEVICE), torch.from_numpy(padded[1]).to(DEVICE)


def tensor(array: np.ndarray) -> Tensor:
    return torch.from_numpy(array).to(DEVICE)


@settings(deadline=None, max_examples=60, derandomize=True)
@given(
    st.lists(st.tuples(*[st.integers(-120, 360)] * 2), min_size=3, max_size=12),  # quarters: no slivers
    st.lists(st.tuples(*[st.integers(0, 11)] * 3), min_size=1, max_size=12),
    st.tuples(st.integers(9, 60), st.integers(9, 60)),
)
def test_any_triangles_are_drawn_as_the_cpu_draws_them(
    points: list[tuple[int, int]], rows: list[tuple[int, int, int]], size: tuple[int, int]
):
    corners = np.array(points, np.float32) / 4
    triangles = np.array(rows, np.int32) % len(corners)
    values = np.stack([corners[:, 1] * 2 + 1, corners[:, 0]], 1).astype(np.float32)
    expected = np.full((size[1], size[0], 2), -1e4, np.float32)
    rasterise(corners, values, triangles, expected)
    tiles = as_tensors(Tiles(size).of(corners, triangles))
    drawn = draw(tensor(corners), tensor(triangles), tiles, size)
    carried = drawn.carry(tensor(values)).permute(1, 2, 0).cpu().numpy()
    covered = drawn.covered.cpu().numpy()
    there = expected[..., 0] > -1e4
    # Only pixels on an edge, to a thousandth of a pixel, may be anybody's.
    assert (covered != there).mean() <= 0.02
    both = covered & there
    assert np.abs(carried - expected)[both].max(initial=0) < 0.05


def test_tiles_grow_with_the_mesh():
    tiles, corners = Tiles((4096, 4096)), np.array([[0, 0], [4095, 0], [0, 4095]], np.float32)
    few = tiles.of(corners / 100, np.array([[0, 1, 2]], np.int32))[0].size
    many = tiles.of(corners, np.array([[0, 1, 2]], np.int32))[0].size
    assert few < 50 < 130_000 < many < 140_000  # half of 512 x 512 tiles, and the diagonal


def planes(picture: np.ndarray) -> Tensor:
    return tensor(picture).permute(2, 0, 1).float()


def pixels(planes: Tensor) -> np.ndarray:
    return planes.permute(1, 2, 0).cpu().numpy()


def test_the_layer_is_laid_over_and_lifted_as_on_the_cpu():
    rng = np.random.default_rng(3)
    alpha = cv2.GaussianBlur((rng.random((48, 64)) > 0.6).astype(np.float32), (0, 0), 1.5)
    alpha[10:20, 10:30] = 1
    alpha = (255 * np.clip(3 * alpha - 1, 0, 1)).astype(np.uint8)
    layer = np.dstack([*(alpha // k for k in (1, 2, 3)), alpha])
    ground = rng.integers(0, 255, (48, 64, 3), dtype=np.uint8)
    soft, plate = softened(planes(layer)), planes(ground)
    there, shown = lay_over(soft, plate), ground.copy()
    lay_over_on_cpu(layer, shown)
    assert np.abs(pixels(there) - shown).max() <= 1.5, "the CPU rounds twice"
    lifted, covers, cut = lift(there, plate, soft[3:]), np.zeros((48, 64), np.uint8), np.zeros_like(ground)
    cover(layer, covers)
    lift_on_cpu(shown, ground, covers, cut)
    assert np.abs(pixels(soft[3:])[..., 0] - covers).max() <= 1
    assert np.abs(pixels(lifted) - cut).max() <= 2


def test_blurs_are_opencvs():
    plane = np.random.default_rng(1).random((40, 50)).astype(np.float32)
    there = blurred(tensor(plane)[None], gaussian(2.0, 5, DEVICE))[0].cpu().numpy()
    assert np.abs(there - cv2.GaussianBlur(plane, (11, 11), 2.0)).max() < 1e-5


def test_the_membrane_is_the_cpus():
    mask = np.zeros((256, 256), np.float32)
    cv2.ellipse(mask, (128, 120), (85, 105), 0, 0, 360, 1.0, -1)
    y, x = np.mgrid[:256, :256].astype(np.float32) / 256
    rim = tensor(RIM.astype(np.float32))
    values = np.dstack([np.sin(5 * x), 0.4 * x - y, x * y]).astype(np.float32)
    there = tensor_membrane(tensor(values).permute(2, 0, 1), tensor(mask)[None], rim).permute(1, 2, 0)
    off = np.abs(there.cpu().numpy() - membrane(values, mask))[mask > 0]
    assert off.mean() < 0.01
    assert off.max() < 0.06


@pytest.mark.parametrize("shift", [(2.0, -1.0), (-4.5, 3.0), (0.0, 0.0)])
def test_flow_finds_a_shift_both_ways(shift: tuple[float, float]):
    rng = np.random.default_rng(0)
    scene = cv2.GaussianBlur(rng.random((140, 140)).astype(np.float32), (0, 0), 3)
    scene = 255 * (scene - scene.min()) / np.ptp(scene)
    y, x = np.mgrid[:96, :96].astype(np.float32) + 20
    last, now = cv2.remap(scene, x, y, 1), cv2.remap(scene, x + shift[0], y + shift[1], 1)
    back, forth = flows(tensor(now), tensor(last))
    inner = np.s_[:, 16:-16, 16:-16]
    for found, sign in ((back, 1), (forth, -1)):
        off = found.cpu().numpy()[inner] - sign * np.array(shift, np.float32)[:, None, None]
        assert np.abs(off).mean() < 0.1


@pytest.mark.parametrize("name", ["refine-lite", "mouth-lite"])
def test_networks_are_those_that_ship(name: str):
    layout = AsRun(build(name))
    side, channels = (96 if name == "mouth-lite" else 256), layout.network.INPUTS
    seen = torch.rand(1, channels, side, side, generator=torch.Generator().manual_seed(5)) * 0.8
    with torch.no_grad():
        there = shipped_network(name, DEVICE)(seen.to(DEVICE)).cpu()
        packed = layout.pack(seen)[0].permute(1, 2, 0).contiguous().numpy()
    answer = OpenVinoNetwork(name, precision=Precision.F32)(packed)
    here = layout.unpack(torch.from_numpy(answer).permute(2, 0, 1)[None])
    assert (there - here).abs().mean() <= (1e-4 if DEVICE.type == "cpu" else 0.01)


def test_weights_that_were_changed_are_refused(tmp_path: Path):
    folder = tmp_path / "weights"
    shutil.copytree(shipped_weights().folder, folder)
    file = folder / shipped_weights().find(NetworkName.MOUTH_LITE).safetensors.file
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    file.write_bytes(data)
    with pytest.raises(ModelCorrupt, match="damaged"):
        shipped_network("mouth-lite", DEVICE, Weights(folder))


# -- steps ---------------------------------------------------------------------------------------------------


def test_a_step_makes_room_for_what_grows():
    seen: list[list[float]] = []

    def note(numbers: Numbers) -> None:
        seen.append([float(numbers["list"].sum()), *numbers["list"].shape, float(numbers["one"][0])])

    step = Step([note], DEVICE)
    writer = Writer(frozenset({"list"}), step.place)
    for count in (10, 12, 3, 40):
        writer.write({"list": np.full(count, 2, np.int32), "one": np.array([count], np.float32)})
        step.send()
        step.run(0)
        step.run(1)  # it has no such part
    assert [row[0] + (row[1] - count) for row, count in zip(seen, (10, 12, 3, 40), strict=True)] == [
        20, 24, 6, 80,
    ]  # fmt: skip
    assert [row[1] for row in seen] == [16, 16, 16, 61], "room for half as much again, and only then more"
    assert [row[2] for row in seen] == [10, 12, 3, 40]


# -- memory --------------------------------------------------------------------------------------------------


def tensor_bytes() -> int:
    """Of all tensors that live: exact, whatever the allocator keeps."""
    gc.collect()
    if DEVICE.type == "cuda":
        torch.cuda.synchronize()
        return torch.cuda.memory_allocated()
    return sum(one.nbytes for one in gc.get_objects() if issubclass(type(one), Tensor))


def grown(animate: Callable[[Motion], object], golden: list[Motion], frames: int) -> int:
    """Bytes that the tensors of so many frames leave behind, after those of 20."""
    for motion in golden[:20]:
        animate(motion)
    before = tensor_bytes()
    for motion in islice(cycle(golden), frames):
        animate(motion)
    return tensor_bytes() - before


def test_memory_does_not_grow_by_a_byte_and_a_leak_is_seen(golden: list[Motion]):
    rig = synthetic.rig()
    networks = Networks(Profile.LITE, Profile.LITE)
    renderer = studio().renderer(rig, networks)
    animator = Animator(rig, renderer=renderer)
    calm = [replace(motion, translation=motion.translation * 0) for motion in golden]
    for motion in calm:  # windows and lists have grown to what this film needs
        animator.animate(motion)
    assert grown(animator.animate, calm, FRAMES) == 0
    kept: list[Tensor] = []

    def leaking(motion: Motion) -> None:
        animator.animate(motion)
        kept.append(renderer._target._target._picture[:, :1, :1].clone())

    assert grown(leaking, calm, 100) == 100 * 12


# -- faults --------------------------------------------------------------------------------------------------


def test_errors_of_the_card_are_told_by_class():
    with pytest.raises(DeviceExhausted, match="memory is full"), device_errors():
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")
    with pytest.raises(DeviceLost, match="illegal memory access"), device_errors():
        raise RuntimeError("CUDA error: an illegal memory access was encountered\nmore")
    with pytest.raises(RuntimeError, match="mistake of ours"), device_errors():
        raise RuntimeError("a mistake of ours")


@pytest.mark.parametrize("mode", [Mode.LAYER, Mode.CUTOUT])
def test_a_canvas_that_draws_something_else_is_not_given_out(rig: Rig, mode: Mode):
    class Wrong:
        def __init__(self, renderer: GpuRenderer) -> None:
            self._renderer = renderer

        def __getattr__(self, name: str) -> object:
            return getattr(self._renderer, name)

        def picture(self) -> Picture:
            right = self._renderer.picture()
            if right.alpha is None:
                return Picture(right.rgb[:, ::-1])
            return Picture(right.rgb, right.alpha[:, ::-1])

    right = studio().renderer(rig, Networks(), mode)
    check_renderer(right, rig, Networks(), mode)
    with pytest.raises(DeviceLost, match=r"wrong pictures: .* grey levels off"):
        check_renderer(Wrong(right), rig, Networks(), mode)  # type: ignore[arg-type]
    with pytest.raises(DeviceLost, match=r"wrong pictures: .* grey levels off"):
        check_renderer(right, rig, Networks(), Mode.LAYER if mode is Mode.CUTOUT else Mode.CUTOUT)


def test_a_network_that_answers_no_number_leaves_the_warp(rig: Rig, golden: list[Motion]):
    def broken(x: Tensor) -> Tensor:
        return torch.full_like(x[:, :3], float("nan"))

    bad = GpuDevice(nothing_to_say, DEVICE, load=lambda *_: broken)
    renderer, plain = bad.renderer(rig, Networks(Profile.LITE)), studio().renderer(rig, Networks())
    moved = deform(rig, golden[10])
    pictures = []
    for one in (renderer, plain):
        one.warp(moved)
        one.refine(moved)
        pictures.append(one.picture().rgb)
    assert cv2.absdiff(*pictures).max() <= 90, "only the change of light shows"
    assert pictures[0].mean() > 20


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a card")
def test_without_a_card_the_device_is_refused_with_a_remedy():
    with pytest.raises(DeviceUnavailable) as refused:
        GpuDevice(nothing_to_say)
    assert refused.value.remedy
