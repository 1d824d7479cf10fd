"""The perceptual distance and its backbone: weights read without executing them, and what it finds alike."""

from __future__ import annotations

from collections import OrderedDict
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="training needs torch, of the extra `train`")

from torch import Tensor  # noqa: E402
from torch.nn import functional  # noqa: E402

from streamfx.errors import ModelCorrupt, ModelMissing  # noqa: E402
from streamfx.lab.training.backbone import WEIGHTS, fetched_weights, read_tensors  # noqa: E402
from streamfx.lab.training.perceptual import Perceptual  # noqa: E402

RMSE = 0.02


@pytest.fixture(scope="module")
def perceptual() -> Perceptual:
    try:
        return Perceptual()
    except ModelMissing as error:
        pytest.skip(f"the backbone's weights cannot be had: {error}")


def picture(seed: int = 0, side: int = 96) -> Tensor:
    """[1,3,side,side]: coarse and fine structure, about as smooth as a photo."""
    random = torch.Generator().manual_seed(seed)
    layers = [
        functional.interpolate(torch.rand(1, 3, n, n, generator=random), (side, side), mode="bicubic")
        for n in (4, 12, 36)
    ]
    return (0.5 * layers[0] + 0.3 * layers[1] + 0.2 * layers[2]).clamp(0.0, 1.0)


def towards(x: Tensor, other: Tensor) -> Tensor:
    """x moved towards another picture by RMSE."""
    step = other - x
    return x + step * (RMSE / step.square().mean().sqrt())


def blurred(x: Tensor) -> Tensor:
    return functional.avg_pool2d(functional.pad(x, (3, 3, 3, 3), mode="reflect"), 7, 1)


def test_numbers_of_an_old_torch_file_are_read_by_name(tmp_path: Path):
    tensors = OrderedDict(
        (name, torch.randn(size))
        for name, size in [("stem.weight", 27), ("norm.bias", 3), ("block.weight", 90), ("one", 1)]
    )
    tensors["norm.num_batches_tracked"] = torch.tensor(7)
    tensors["last"] = torch.randn(5)
    torch.save(tensors, tmp_path / "old.pth", _use_new_zipfile_serialization=False)

    read = read_tensors(tmp_path / "old.pth")

    assert list(read) == ["stem.weight", "norm.bias", "block.weight", "one", "last"]
    assert all(np.array_equal(read[name], tensors[name].numpy()) for name in read)


class _Planted:
    """Runs as soon as a file with it is unpickled."""

    def __init__(self, trace: Path) -> None:
        self.trace = trace

    def __reduce__(self):
        return (Path.touch, (self.trace,))


def test_nothing_planted_in_the_file_runs(tmp_path: Path):
    trace = tmp_path / "ran"
    planted = OrderedDict(weight=torch.randn(4), code=_Planted(trace))
    torch.save(planted, tmp_path / "bad.pth", _use_new_zipfile_serialization=False)

    assert "weight" in read_tensors(tmp_path / "bad.pth")
    assert not trace.exists()


def test_foreign_weights_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("STREAMFX_OFFLINE", "1")
    with pytest.raises(ModelMissing, match="STREAMFX_OFFLINE"):
        fetched_weights(tmp_path)
    (tmp_path / WEIGHTS.file).write_bytes(b"not the weights")
    with pytest.raises(ModelCorrupt):
        fetched_weights(tmp_path)


def test_the_backbone_sees_at_four_strides(perceptual: Perceptual):
    seen = perceptual.backbone(picture())
    assert [tuple(one.shape[1:]) for one in seen] == [(16, 48, 48), (24, 24, 24), (40, 12, 12), (112, 6, 6)]
    assert all(bool(torch.isfinite(one).all()) for one in seen)


@torch.no_grad()
def test_the_weights_lie_the_right_way_round(perceptual: Perceptual):
    """Magnitudes of the features of a picture that differs along x and y.

    The figures are of another implementation of the whole classifier on the same weights, which told a cat, a
    cup of espresso and a rocket for what they were.
    """
    y, x = torch.meshgrid(torch.arange(96.0), torch.arange(96.0), indexing="ij")
    waves = torch.stack([torch.sin(x / 3), torch.sin(y / 11), torch.sin((x + 2 * y) / 5)])
    expected = [7.777, 11.711, 8.995, 5.590]
    seen = perceptual.backbone(0.5 + 0.4 * waves[None])
    assert [float(one.square().mean().sqrt()) for one in seen] == pytest.approx(expected, abs=0.01)


@torch.no_grad()
def test_a_picture_is_like_itself_and_every_one_of_a_batch_counts_alone(perceptual: Perceptual):
    x = torch.cat([picture(0), picture(1)])
    distances = perceptual(torch.cat([x[:1], picture(2)]), x)
    assert distances.shape == (2,)
    assert float(distances[0]) == 0.0
    assert float(distances[1]) > 0.1


@torch.no_grad()
def test_blur_and_noise_weigh_more_than_light_of_the_same_error(perceptual: Perceptual):
    x = picture()
    noise = x + torch.randn(x.shape, generator=torch.Generator().manual_seed(9))
    light, soft, noisy = (float(perceptual(towards(x, other), x)) for other in (x + 1.0, blurred(x), noise))
    assert light > 0.0
    assert soft > 10.0 * light
    assert noisy > 10.0 * light


def test_gradients_reach_the_made_picture_only(perceptual: Perceptual):
    made = picture(1).requires_grad_()
    truth = picture(0).requires_grad_()
    perceptual(made, truth).mean().backward()
    assert float(made.grad.abs().sum()) > 0.0
    assert truth.grad is None
    assert all(parameter.grad is None for parameter in perceptual.parameters())


def test_descending_it_restores_what_a_blur_took(perceptual: Perceptual):
    truth = picture()
    made = blurred(truth).requires_grad_()
    before = float((made - truth).detach().square().mean())
    optimiser = torch.optim.Adam([made], lr=5e-3)
    for _ in range(40):
        optimiser.zero_grad()
        perceptual(made, truth).mean().backward()
        optimiser.step()
    assert float((made - truth).detach().square().mean()) < 0.7 * before
