"""The networks and their critics: shapes, sizes, what they do before they are trained, how they grow."""

from __future__ import annotations

import numpy as np
import pytest
from on_cells import MIDDLE, averaged, face_pictures, unpacked

torch = pytest.importorskip("torch", reason="networks are defined in torch, of the extra `train`")

from torch import Tensor, nn  # noqa: E402

from streamfx.errors import UsageError  # noqa: E402
from streamfx.lab.training.losses import hinge_critic  # noqa: E402
from streamfx.nets import NETWORKS, AsRun, build  # noqa: E402
from streamfx.nets.completion import CompletionNet  # noqa: E402
from streamfx.nets.critics import GlobalLocalCritic, MouthCritic, PaperCritic, PatchCritic  # noqa: E402
from streamfx.nets.refiner import PaperRefiner  # noqa: E402
from streamfx.render.network_kernels import FACE_ACROSS, FACE_CELL, FACE_DOWN, MOUTH_CELL  # noqa: E402
from streamfx.render.rectify import CROP  # noqa: E402

SHAPES = {
    "refine-lite": (9, 256),
    "refine-paper": (5, 256),
    "mouth-lite": (10, 96),
    "mouth-paper": (4, 256),
}
"""Channels in and side in px, as the product feeds them."""


@pytest.fixture(autouse=True)
def _seeded():
    torch.manual_seed(0)


def random_input(name: str, batch: int = 1) -> Tensor:
    channels, side = SHAPES[name]
    return torch.rand(batch, channels, side, side)


def stirred(net: nn.Module) -> nn.Module:
    """The net with noise on its parameters: layers that start at zero would hide those before them."""
    with torch.no_grad():
        for parameter in net.parameters():
            parameter += 0.02 * torch.randn_like(parameter)
    return net


def parameters(net: nn.Module) -> int:
    return sum(parameter.numel() for parameter in net.parameters())


@torch.no_grad()
def multiplications(net: nn.Module, *inputs: Tensor) -> int:
    """Multiply-accumulates of the convolutions and full layers in one pass, counted as they run."""
    counts = []

    def count(layer: nn.Module, taken: tuple[Tensor, ...], given: Tensor) -> None:
        transposed = isinstance(layer, nn.ConvTranspose2d)
        positions = (taken[0] if transposed else given)[0, 0].numel() if given.dim() == 4 else 1
        counts.append(positions * layer.weight.numel())

    layers = [
        layer for layer in net.modules() if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d | nn.Linear)
    ]
    hooks = [layer.register_forward_hook(count) for layer in layers]
    net(*inputs)
    for hook in hooks:
        hook.remove()
    return sum(counts)


def test_every_network_has_a_shape():
    assert set(SHAPES) == set(NETWORKS)


@pytest.mark.parametrize("name", SHAPES)
def test_a_picture_comes_out_of_every_network(name: str):
    x = random_input(name)
    out = stirred(build(name)).eval()(x)

    assert out.shape == (1, 3, *x.shape[2:])
    assert out.dtype == torch.float32
    low = -1.0 if name == "refine-lite" else 0.0
    assert low <= float(out.detach().min()) < float(out.detach().max()) <= 1.0


@pytest.mark.parametrize("name", SHAPES)
def test_every_parameter_of_a_network_learns(name: str):
    net = stirred(build(name))
    channels, side = SHAPES[name]
    net(torch.rand(2, channels, side // 2, side // 2)).square().mean().backward()

    still = [key for key, value in net.named_parameters() if not bool(value.grad.abs().sum() > 0.0)]
    biases_before_norm = {key for key in still if key.endswith("0.bias")} if name == "mouth-paper" else set()
    assert set(still) - biases_before_norm == set()


def test_an_unknown_name_is_refused():
    with pytest.raises(UsageError, match="Choose from: refine-lite"):
        build("refine")


@torch.no_grad()
@pytest.mark.parametrize("name", SHAPES)
def test_what_runs_is_the_network_without_the_packing(name: str):
    net, x = stirred(build(name)).eval(), random_input(name)
    running = AsRun(net)
    assert torch.equal(running.unpack(running(running.pack(x))), net(x))
    assert net(x).shape == (1, 3, *x.shape[2:])


@torch.no_grad()
def test_training_packs_as_the_renderer_does():
    """The tests of the renderer hold it to on_cells.py."""
    face, mouth = random_input("refine-lite"), random_input("mouth-lite")
    seen = face_pictures(channels_last(build("refine-lite").pack(face)))
    np.testing.assert_allclose(seen[MIDDLE][..., :3], channels_last(face)[MIDDLE][..., :3])
    np.testing.assert_allclose(
        seen[MIDDLE][..., 3:], averaged(channels_last(face)[..., 3:])[MIDDLE], atol=1e-6
    )
    seen = unpacked(channels_last(build("mouth-lite").pack(mouth)), MOUTH_CELL)
    np.testing.assert_array_equal(seen, channels_last(mouth))
    net = build("refine-lite")
    assert (net.FACTOR, build("mouth-lite").FACTOR) == (FACE_CELL, MOUTH_CELL)
    assert (net.CELLS * FACE_CELL, net.DOWN, net.ACROSS) == (CROP, FACE_DOWN, FACE_ACROSS)


def channels_last(x: Tensor) -> np.ndarray:
    return np.ascontiguousarray(x[0].permute(1, 2, 0).numpy())


@torch.no_grad()
def test_lite_refiner_changes_nothing_before_training():
    assert torch.equal(build("refine-lite")(random_input("refine-lite")), torch.zeros(1, 3, 256, 256))


@torch.no_grad()
def test_lite_mouth_draws_the_procedural_mouth_before_training():
    x = random_input("mouth-lite")
    x[:, 4:7] *= x[:, 3:4] > 0.5
    made = build("mouth-lite")(x)
    assert float((made - x[:, 4:7]).abs().max()) < 0.02


@pytest.mark.parametrize(
    ("net", "millions", "giga", "side"),
    [
        (PaperRefiner, 1.43, 10.2, 256),
        (lambda: CompletionNet(128), 6.07, 8.1, 128),
        (lambda: CompletionNet(256), 6.11, 9.3, 256),
    ],
)
def test_paper_networks_have_the_papers_size(net, millions: float, giga: float, side: int):
    built = net().eval()
    assert parameters(built) / 1e6 == pytest.approx(millions, abs=0.005)
    count = multiplications(built, torch.rand(1, built.INPUTS, side, side))
    assert count / 1e9 == pytest.approx(giga, abs=0.05)


@pytest.mark.parametrize("name", ["refine-lite", "mouth-lite"])
def test_lite_networks_stay_affordable(name: str):
    """One GMAC takes about 4 ms on two cores in f32, half of that in int8."""
    assert multiplications(build(name), random_input(name)) < 1.0e9


@torch.no_grad()
def test_the_papers_refiner_can_begin_by_copying():
    net, x = PaperRefiner(), torch.rand(1, 5, 64, 64)
    net.copy_at_start()
    assert float((net(x) - x[:, :3]).abs().max()) < 0.02
    assert float((net(x) - x[:, :3]).abs().mean()) < 0.003
    assert float((PaperRefiner()(x) - x[:, :3]).abs().mean()) > 0.1


def test_completion_is_the_table_of_its_source():
    """Iizuka et al. 2017, table 1: kernel, dilation, stride (1/2: doubled), outputs."""
    table = [(5, 1, 1, 64), (3, 1, 2, 128), (3, 1, 1, 128), (3, 1, 2, 256), (3, 1, 1, 256), (3, 1, 1, 256)]
    table += [(3, 2, 1, 256), (3, 4, 1, 256), (3, 8, 1, 256), (3, 16, 1, 256), (3, 1, 1, 256), (3, 1, 1, 256)]
    table += [(4, 1, 1 / 2, 128), (3, 1, 1, 128), (4, 1, 1 / 2, 64), (3, 1, 1, 32), (3, 1, 1, 3)]
    layers = [one for one in CompletionNet(128).modules() if isinstance(one, nn.Conv2d | nn.ConvTranspose2d)]

    def row(layer: nn.Conv2d | nn.ConvTranspose2d) -> tuple[float, ...]:
        stride = 1 / layer.stride[0] if isinstance(layer, nn.ConvTranspose2d) else layer.stride[0]
        return (layer.kernel_size[0], layer.dilation[0], stride, layer.out_channels)

    assert [row(layer) for layer in layers] == table


@torch.no_grad()
def test_growing_keeps_what_the_middle_does():
    small = stirred(CompletionNet(128))
    small(torch.rand(2, 4, 64, 64))  # batch statistics are kept too
    grown = small.grown()
    x = torch.rand(1, 64, 32, 32)

    small.eval()
    grown.eval()
    assert torch.equal(small.middle(x), grown.middle(x))
    assert grown(torch.rand(1, 4, 64, 64)).shape == (1, 3, 64, 64)

    before = grown.middle(x)
    stirred(small)
    assert torch.equal(grown.middle(x), before)


def test_a_grown_net_grows_no_further():
    with pytest.raises(ValueError, match="256 px"):
        CompletionNet(256).grown()


def test_paper_critic_ends_with_32768_numbers():
    critic = PaperCritic()
    x = torch.rand(1, 5, 256, 256)

    assert critic.body(x).shape == (1, 32768)
    assert critic(x).shape == (1, 1)
    strides = [layer.stride[0] for layer in critic.body if isinstance(layer, nn.Conv2d)]
    assert strides == [1, 2, 2, 2, 2, 2]
    assert multiplications(critic, x) / 1e9 == pytest.approx(2.4, abs=0.05)


@pytest.mark.parametrize(("critic", "patch", "side"), [(PatchCritic, 70, 128), (MouthCritic, 46, 96)])
def test_a_patch_critic_sees_its_patch_and_no_more(critic, patch: int, side: int):
    """The pixels that one inner logit depends on span just the patch."""
    x = torch.rand(1, 6, side, side, requires_grad=True)
    logits = critic()(x).logits
    middle = logits.shape[-1] // 2
    logits[0, 0, middle, middle].backward()

    seen = torch.nonzero(x.grad[0].abs().sum(0))
    spans = seen.amax(0) - seen.amin(0) + 1
    assert spans.tolist() == [patch, patch]


@pytest.mark.parametrize("critic", [PatchCritic, MouthCritic])
def test_a_patch_critic_gives_its_features_and_begins_undecided(critic):
    built = critic()
    verdict = built(torch.rand(2, 6, 64, 64))

    assert len(verdict.features) == len(built.layers)
    assert all(len(one) == 2 for one in verdict.features)
    assert verdict.logits.abs().max() < 1


def test_a_patch_critic_learns_in_few_steps_what_is_real():
    torch.manual_seed(0)
    critic = MouthCritic()
    memory = torch.optim.Adam(critic.parameters(), 4e-4, betas=(0.0, 0.99))
    real = torch.rand(4, 6, 48, 48)
    made = torch.cat([real[:, :3].roll(1, 3) * 0.5 + real[:, :3] * 0.5, real[:, 3:]], 1)
    for _ in range(40):
        loss = hinge_critic(critic(real).logits, critic(made).logits)
        memory.zero_grad()
        loss.backward()
        memory.step()

    assert float(loss.detach()) < 1


@pytest.mark.parametrize("side", [128, 256])
def test_global_local_critic_joins_two_views(side: int):
    critic = GlobalLocalCritic(side)
    faces, patches = torch.rand(2, 3, side, side), torch.rand(2, 3, side // 2, side // 2)

    assert critic.whole(faces).shape == critic.patch(patches).shape == (2, 1024)
    assert critic(faces, patches).shape == (2, 1)
    assert critic.judge.in_features == 2048


@pytest.mark.parametrize(
    ("critic", "shapes"),
    [
        (PaperCritic, [(2, 5, 256, 256)]),
        (PatchCritic, [(2, 6, 64, 64)]),
        (MouthCritic, [(2, 6, 96, 96)]),
        (lambda: GlobalLocalCritic(128), [(3, 3, 128, 128), (3, 3, 64, 64)]),
    ],
)
def test_critics_hand_gradients_back_to_the_picture(critic, shapes: list[tuple[int, ...]]):
    inputs = [torch.rand(*shape, requires_grad=True) for shape in shapes]
    out = critic()(*inputs)
    getattr(out, "logits", out).sum().backward()
    assert all(bool(x.grad.abs().sum() > 0.0) for x in inputs)
