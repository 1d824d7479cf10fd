"""One card for all sessions: drawn together, each as if alone; what one does wrong costs nobody else."""

from __future__ import annotations

import gc
import os
import secrets
import socket
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from random import Random

import numpy as np
import pytest
import synthetic
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from live_stage import until
from scenes import MOTION, photo, store
from torch import Tensor

from streamfx.driving.template import MotionTemplate
from streamfx.errors import DeviceExhausted, DeviceLost, DeviceUnavailable
from streamfx.frames import U8, Motion, Rig
from streamfx.ipc.memory import seal, shared_memory
from streamfx.models.weights import NetworkName, Profile
from streamfx.pipeline import Animator, load_portrait
from streamfx.portrait.deform import deform
from streamfx.render.base import Mode, MouthCrop, Networks
from streamfx.render.gpu import gpu_device
from streamfx.render.gpu.gpu_device import GpuDevice
from streamfx.render.gpu.layout import GROWING, STEPS, Layout, forms
from streamfx.render.gpu.networks import MOST, Ask, Batch, shipped_network
from streamfx.render.gpu.renderer import geometry_of
from streamfx.render.gpu.target import TensorTarget
from streamfx.render.mesh import DrawnMesh
from streamfx.worker.sharing import client as shared
from streamfx.worker.sharing.client import SharedGpu
from streamfx.worker.sharing.server import CardServer
from streamfx.worker.sharing.wire import FAILED, Wire, address

DEVICE = torch.device(os.environ.get("STREAMFX_TEST_DEVICE", "cpu"))
LITE = Networks(Profile.LITE, Profile.LITE)


def nothing_to_say(*_: object) -> None:
    """No check of what the studio makes: that is what is tested."""


@pytest.fixture(scope="module")
def rig() -> Rig:
    return load_portrait(photo(), (320, 240), store()).rig


@pytest.fixture(scope="module")
def speech() -> list[Motion]:
    return list(MotionTemplate.load(MOTION).frames())[30:120:6]


@pytest.fixture(scope="module")
def studio() -> GpuDevice:
    return GpuDevice(nothing_to_say, DEVICE)


class Card:
    """The card's process, as a thread: its server, and the name at which it listens."""

    def __init__(self, studio: GpuDevice) -> None:
        self.name = secrets.token_hex(8)
        self.listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.listener.bind(address(self.name))
        self.listener.listen(64)
        self.beats = 0
        self.server = CardServer(self.listener, lambda: studio, self._beat)
        self.failure: DeviceLost | None = None
        self.held = threading.Lock()
        """Whoever has it takes the server's turns."""
        self._ends = False
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _beat(self, _: float) -> None:
        self.beats += 1

    def _run(self) -> None:
        try:
            while not self._ends:
                with self.held:
                    self.server.turn(0.05)
                time.sleep(0)
        except DeviceLost as error:
            self.failure = error

    def close(self) -> None:
        self._ends = True
        self._thread.join(20)
        assert not self._thread.is_alive()
        for guest in self.server._guests.values():
            guest.wire.close()
        self.listener.close()

    def renderer(self, rig: Rig, networks: Networks = LITE, mode: Mode = Mode.LAYER) -> Animator:
        return Animator(rig, renderer=SharedGpu(self.name, nothing_to_say).renderer(rig, networks, mode))


@contextmanager
def a_card(studio: GpuDevice) -> Iterator[Card]:
    card = Card(studio)
    try:
        yield card
    finally:
        card.close()


@pytest.fixture
def card(studio: GpuDevice) -> Iterator[Card]:
    with a_card(studio) as made:
        yield made


def film(animator: Animator, motions: list[Motion]) -> list[U8]:
    return [animator.animate(motion).rgb for motion in motions]


def apart(some: list[U8], others: list[U8]) -> int:
    return max(int(np.abs(one.astype(int) - other).max()) for one, other in zip(some, others, strict=True))


# -- the same pictures ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("networks", [Networks(), LITE, Networks(None, Profile.LITE)])
@pytest.mark.parametrize("mode", list(Mode))
def test_a_picture_from_the_cards_process_is_what_one_draws_alone(
    rig: Rig, speech: list[Motion], card: Card, studio: GpuDevice, networks: Networks, mode: Mode
):
    alone, shared = (
        Animator(rig, renderer=studio.renderer(rig, networks, mode)),
        card.renderer(rig, networks, mode),
    )
    for motion in speech[:6]:
        expected, seen = alone.animate(motion), shared.animate(motion)
        assert np.array_equal(expected.rgb, seen.rgb)
        if mode is Mode.CUTOUT:
            assert np.array_equal(expected.alpha, seen.alpha)
            assert 0 < float(seen.alpha.mean()) < 255
        else:
            assert expected.alpha is None
            assert seen.alpha is None


@pytest.mark.alone
def test_sessions_that_are_drawn_together_show_what_each_shows_alone(
    rig: Rig, speech: list[Motion], card: Card, studio: GpuDevice
):
    """Five portraits of two people with other networks and motions at once, each in a thread of its own."""
    other = synthetic.rig()
    cast = [(rig, LITE), (other, LITE), (rig, Networks()), (other, Networks(Profile.LITE)), (rig, LITE)]
    motions = [speech[k:] + speech[:k] for k in range(len(cast))]
    expected = [
        film(Animator(one, renderer=studio.renderer(one, networks)), some)
        for (one, networks), some in zip(cast, motions, strict=True)
    ]
    animators = [card.renderer(one, networks) for one, networks in cast]
    found: list[list[U8]] = [[] for _ in cast]
    threads = [
        threading.Thread(target=lambda k=k: found[k].extend(film(animators[k], motions[k])))
        for k in range(len(cast))
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(found[k] != [] for k in range(len(cast))) == len(cast)
    assert max(apart(*pair) for pair in zip(found, expected, strict=True)) <= 1, (
        "larger batches round otherwise"
    )
    together = sum(count for frames, count in card.server.drawings.items() if frames > 1)
    assert together > 0, f"nobody was ever drawn together: {card.server.drawings}"


@pytest.mark.parametrize("count", [1, 2, 3, MOST, MOST + 3])
def test_a_batch_answers_each_what_it_was_asked(count: int):
    network = shipped_network("mouth-lite", DEVICE)
    sizes: list[int] = []

    def noted(pictures: Tensor) -> Tensor:
        sizes.append(len(pictures))
        return network(pictures)

    torch.manual_seed(count)
    asks = [
        Ask(
            NetworkName.MOUTH_LITE,
            torch.rand(10, 96, 96, device=DEVICE),
            torch.zeros(3, 96, 96, device=DEVICE),
        )
        for _ in range(count)
    ]
    Batch(noted, DEVICE)(asks)
    for ask in asks:
        with torch.no_grad():
            assert (network(ask.seen[None])[0] - ask.answer).abs().max() < 1e-4
    assert sizes == {1: [1], 2: [2], 3: [4], MOST: [MOST], MOST + 3: [MOST, 4]}[count]


def test_all_who_wait_are_in_the_next_drawing(card: Card, rig: Rig, speech: list[Motion]):
    """So nobody is drawn twice while another waits."""
    animators = [card.renderer(rig, Networks()) for _ in range(3)]
    film(animators[0], speech[:1])
    drawn = dict(card.server.drawings)
    threads = [threading.Thread(target=film, args=(one, speech[1:2])) for one in animators[1:]]
    with card.held:
        for thread in threads:
            thread.start()
        for requests in (2, 2, 2):  # each asks for room for its numbers first, then for a picture
            until(lambda wanted=requests: len(card.server._selector.select(0)) == wanted)
            card.server.turn(0)
        until(lambda: not any(thread.is_alive() for thread in threads))
    assert {frames: count - drawn.get(frames, 0) for frames, count in card.server.drawings.items()} == {
        1: 0,
        2: 1,
    }


# -- whose fault it is ---------------------------------------------------------------------------------------


def said(card: Card, data: bytes) -> dict[str, object] | None:
    """The answer to a worker that says what it likes; None if it was hung up on."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as rogue:
        rogue.settimeout(10)
        rogue.connect(address(card.name))
        try:
            rogue.send(data)
            received = Wire(rogue).receive()
        except (BrokenPipeError, ConnectionResetError):
            return None
    return received[0] if received else None


NONSENSE = [
    b"",
    b"\x00\xff",
    b"[]",
    b"{}",
    b'{"kind": "surprise"}',
    b'{"kind": "open"}',
    b'{"kind": "open", "mode": "layer", "refine": null, "mouth": null}',
    b'{"kind": "place", "step": "warp", "places": []}',
    b'{"kind": "place", "step": "warp", "places": [["corners", "float64", [3]]]}',
    b'{"kind": "draw", "steps": ["warp"]}',
    b'{"kind": "draw", "steps": 3}',
    b'{"kind": "draw"}',
    b'{"kind": "open", "mode": "layer"' + b" " * (1 << 16),
]


@pytest.mark.parametrize("data", NONSENSE, ids=range(len(NONSENSE)))
def test_a_worker_that_talks_nonsense_is_hung_up_on_and_nobody_else(
    card: Card, rig: Rig, speech: list[Motion], data: bytes
):
    animator = card.renderer(rig, Networks())
    answer = said(card, data)
    assert answer is None or answer["kind"] == FAILED
    until(lambda: card.server.guests == 1)
    assert film(animator, speech[:2])
    assert card.failure is None


def memory(data: bytes, *, sealed: bool = True) -> int:
    descriptor = shared_memory(len(data))
    os.pwrite(descriptor, data, 0)
    if sealed:
        seal(descriptor)
    return descriptor


def test_a_picture_without_room_for_its_alpha_is_refused(
    card: Card, rig: Rig, monkeypatch: pytest.MonkeyPatch
):
    stays, real_memory = card.renderer(rig, Networks(), Mode.CUTOUT), shared.shared_memory
    opaque = 320 * 240 * 3
    monkeypatch.setattr(shared, "mapped", lambda *_, **__: np.zeros(opaque + 320 * 240, np.uint8))
    monkeypatch.setattr(shared, "shared_memory", lambda size: real_memory(min(size, opaque)))
    with pytest.raises(DeviceLost, match="refuses"):
        card.renderer(rig, Networks(), Mode.CUTOUT)
    monkeypatch.undo()
    assert stays.animate(Motion.rest()).alpha is not None


@pytest.mark.parametrize("kind", ["no rig", "a picture that may shrink", "a picture that is too small"])
def test_memory_that_would_kill_the_process_is_refused(
    card: Card, rig: Rig, kind: str, monkeypatch: pytest.MonkeyPatch
):
    if kind == "no rig":
        monkeypatch.setattr(shared, "_written", lambda _: memory(b"PK\x03\x04 no archive"))
    if kind == "a picture that may shrink":
        real = shared.seal
        calls: list[int] = []

        def forgets_the_first(descriptor: int) -> None:
            calls.append(descriptor)
            if len(calls) > 1:
                real(descriptor)

        monkeypatch.setattr(shared, "seal", forgets_the_first)
    if kind == "a picture that is too small":
        real_memory = shared.shared_memory
        monkeypatch.setattr(shared, "mapped", lambda *_, **__: np.zeros(320 * 240 * 3, np.uint8))
        monkeypatch.setattr(shared, "shared_memory", lambda size: real_memory(min(size, 4096)))
    with pytest.raises(DeviceLost, match="refuses"):
        card.renderer(rig, Networks())
    monkeypatch.undo()
    assert card.renderer(rig, Networks()).animate(Motion.rest()).rgb.shape == (240, 320, 3)


@pytest.fixture(scope="module")
def rogue(studio: GpuDevice) -> tuple[TensorTarget, Mapping[str, Layout]]:
    """An target, and how its numbers lie."""
    rig = synthetic.rig()
    mesh = DrawnMesh(rig, Mode.LAYER)
    target = studio.target(rig, len(mesh.person), Networks(Profile.LITE), Mode.LAYER)
    larger = {  # lists of tiles and masks as they are in a face of half the picture's height
        name: {"tile_rows": (4000,), "tile_places": (4000,), "right_mask": (30, 60), "left_mask": (30, 60)}
        for name in ("warp", "refine", "procedural")
    }
    places = {
        step: Layout.placed(
            {
                name: (place.kind, larger.get(step, {}).get(name, place.shape))
                for name, place in layout.places.items()
            }
        )
        for step, layout in forms(mesh, MouthCrop.MOUTH).items()
    }
    return target, places


@pytest.mark.parametrize("mode", list(Mode))
@pytest.mark.parametrize("crop", list(MouthCrop))
def test_the_forms_are_those_of_the_numbers_that_are_sent(
    rig: Rig, speech: list[Motion], mode: Mode, crop: MouthCrop
):
    geometry, expected = geometry_of(rig, mode), forms(DrawnMesh(rig, mode), crop)
    speaking = deform(rig, speech[3])
    sent = {
        "warp": geometry.frame(speaking),
        "refine": geometry.face(speaking, follows=True),
        "mouth": geometry.mouth(speaking, crop, blends=True),
        "procedural": geometry.mouth(speaking, MouthCrop.MOUTH, blends=True),
    }
    assert sent.keys() == expected.keys() == set(STEPS)
    for step, arrays in sent.items():
        assert Layout.of(arrays, GROWING).resembles(expected[step], GROWING), step


@settings(deadline=None, max_examples=40, derandomize=True)
@given(st.integers(0, 2**32 - 1))
def test_numbers_that_no_mesh_has_lead_to_a_wrong_picture_only(
    studio: GpuDevice, rogue: tuple[TensorTarget, Mapping[str, Layout]], seed: int
):
    """As a worker would write that was taken over by a hostile film: any bytes, drawn to the end."""
    rng, (target, places), steps = Random(seed), rogue, ("warp", "refine", "procedural")
    for step in steps:
        block = target.place(step, places[step])
        block[:] = np.frombuffer(rng.randbytes(block.size), np.uint8)
    studio.draw([(target, steps)])
    assert target.shown.rgb.shape == (480, 640, 3)


def test_a_worker_that_dies_leaves_nothing_on_the_card(rig: Rig, speech: list[Motion], studio: GpuDevice):
    with a_card(studio) as card:
        stays = card.renderer(rig)
        film(stays, speech[:3])
        before = tensor_bytes()
        for _ in range(3):
            goes = card.renderer(rig)
            film(goes, speech[:3])
            assert tensor_bytes() > before + 1e6
            del goes
            until(lambda: tensor_bytes() <= before)
            assert card.server.guests == 1
        assert film(stays, speech[:3])


def tensor_bytes() -> int:
    gc.collect()
    return sum(one.nbytes for one in gc.get_objects() if issubclass(type(one), Tensor))


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (torch.OutOfMemoryError("CUDA out of memory"), DeviceExhausted),
        (RuntimeError("a mistake of ours"), DeviceLost),
    ],
)
def test_one_target_that_fails_costs_the_others_no_picture(
    rig: Rig, speech: list[Motion], error: Exception, told: type[Exception], card: Card
):
    good, bad = card.renderer(rig), card.renderer(rig)
    film(good, speech[:1])
    film(bad, speech[:1])
    target = list(card.server._guests.values())[1].target
    assert target is not None

    def fails(_: str) -> None:
        raise error

    target.end = fails  # type: ignore[method-assign]
    seen: list[U8] = []
    thread = threading.Thread(target=lambda: seen.extend(film(good, speech)))
    thread.start()
    with pytest.raises(told):
        bad.animate(speech[0])
    thread.join()
    assert len(seen) == len(speech)
    assert card.failure is None
    assert card.server.guests == (2 if told is DeviceExhausted else 1)


def test_when_the_card_fails_all_who_wait_are_told(rig: Rig, card: Card):
    animators = [card.renderer(rig, Networks()) for _ in range(3)]
    animators[0].animate(Motion.rest())
    guest = next(iter(card.server._guests.values()))
    assert guest.target is not None

    def fails() -> None:
        raise RuntimeError("CUDA error: an illegal memory access was encountered")

    guest.target.finish = fails  # type: ignore[method-assign]
    with pytest.raises(DeviceLost, match="illegal memory access"):
        animators[0].animate(Motion.rest())
    until(lambda: card.failure is not None)
    with pytest.raises(DeviceLost):
        animators[1].animate(Motion.rest())


def test_where_nobody_listens_the_worker_is_told():
    with pytest.raises(DeviceLost, match="gone"):
        SharedGpu(secrets.token_hex(8), nothing_to_say).renderer(synthetic.rig(), Networks())


def test_what_the_card_lacks_is_told_to_the_worker(rig: Rig):
    def none() -> GpuDevice:
        raise DeviceUnavailable("No NVIDIA card can be used", "See nvidia-smi")

    card = Card(none)  # type: ignore[arg-type]
    card.server._make_gpu = none
    try:
        for _ in range(2):  # and again: it may have come by then
            with pytest.raises(DeviceUnavailable, match="No NVIDIA card"):
                card.renderer(rig)
    finally:
        card.close()


def test_engines_are_asked_for_once_before_networks_are_loaded(rig: Rig, monkeypatch: pytest.MonkeyPatch):
    asked: list[object] = []
    monkeypatch.setattr(gpu_device, "ensure_engines", lambda names, *_: asked.append(list(names)))
    made = GpuDevice(nothing_to_say, DEVICE, tell=asked.append)
    for networks in (LITE, Networks(), LITE, Networks(Profile.LITE)):
        made.renderer(rig, networks)
    assert asked == [["refine-lite", "mouth-lite"]]
