"""The losses against figures worked out by hand, the history buffer, and augmentation for critics."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch", reason="training needs torch, of the extra `train`")

from torch import Tensor, nn  # noqa: E402
from torch.nn import functional  # noqa: E402

from streamfx.lab.training import losses  # noqa: E402
from streamfx.lab.training.diffaugment import Augmentation, Policy  # noqa: E402
from streamfx.lab.training.history import History  # noqa: E402
from streamfx.lab.training.losses import LazyR1, Reduction  # noqa: E402


@pytest.fixture(autouse=True)
def _seeded():
    torch.manual_seed(0)


def seeded(seed: int = 1) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def flat(value: float, side: int = 8, channels: int = 3) -> Tensor:
    return torch.full((2, channels, side, side), value)


def left_half(side: int = 8) -> Tensor:
    mask = torch.zeros(2, 1, side, side)
    mask[..., : side // 2] = 1.0
    return mask


# Distances


def test_l1_as_a_mean_and_as_the_papers_sum():
    made, truth = flat(0.5), flat(0.25)
    assert float(losses.l1(made, truth)) == pytest.approx(0.25)
    assert float(losses.l1(made, truth, reduction=Reduction.SUM)) == pytest.approx(0.25 * 3 * 8 * 8)


def test_the_papers_alpha_counts_only_for_a_sum():
    """At 256 px the sum is 196608 times the mean: .004 becomes 786."""
    made, truth = torch.ones(1, 3, 256, 256), torch.zeros(1, 3, 256, 256)
    weighted = losses.PAPER_ALPHA * losses.l1(made, truth, reduction=Reduction.SUM)
    assert float(weighted) == pytest.approx(786.4, abs=0.1)


@pytest.mark.parametrize("distance", [losses.l1, losses.gradient_l1, losses.masked_mse])
def test_what_lies_outside_the_mask_does_not_count(distance):
    made, truth = torch.rand(2, 3, 8, 8), torch.rand(2, 3, 8, 8)
    spoiled = made.clone()
    spoiled[..., 4:] = 9.0
    assert float(distance(spoiled, truth, left_half())) == float(distance(made, truth, left_half())) > 0.0


@pytest.mark.parametrize("distance", [losses.l1, losses.gradient_l1, losses.masked_mse])
def test_an_empty_mask_makes_no_loss_and_no_gradient(distance):
    made = torch.rand(2, 3, 8, 8, requires_grad=True)
    loss = distance(made, flat(0.5), torch.zeros(2, 1, 8, 8))
    loss.backward()
    assert float(loss.detach()) == 0.0
    assert bool((made.grad == 0.0).all())


def test_masked_means_are_over_the_mask_alone():
    made = flat(0.0)
    made[..., :4] = 0.5
    assert float(losses.l1(made, flat(0.0), left_half())) == pytest.approx(0.5)
    assert float(losses.masked_mse(made, flat(0.0), left_half())) == pytest.approx(0.25)


def test_gradient_l1_knows_edges_and_not_brightness():
    truth = torch.rand(2, 3, 8, 8)
    assert float(losses.gradient_l1(truth + 0.3, truth)) == pytest.approx(0.0, abs=1e-6)

    ramp = torch.arange(8.0).expand(2, 3, 8, 8)
    assert float(losses.gradient_l1(0.1 * ramp, flat(0.0))) == pytest.approx(0.1)


# Games against critics


@pytest.mark.parametrize(
    "loss", [losses.wasserstein_critic, losses.hinge_critic, losses.cross_entropy_critic]
)
def test_a_critic_that_separates_pays_less(loss):
    right, wrong = loss(torch.ones(4), -torch.ones(4)), loss(-torch.ones(4), torch.ones(4))
    assert float(right) < float(loss(torch.zeros(4), torch.zeros(4))) < float(wrong)


@pytest.mark.parametrize(
    "loss", [losses.wasserstein_generator, losses.hinge_generator, losses.cross_entropy_generator]
)
def test_a_generator_that_is_believed_pays_less(loss):
    assert float(loss(torch.ones(4))) < float(loss(-torch.ones(4)))


def test_a_wasserstein_critic_learns_to_separate():
    critic = nn.Linear(2, 1)
    losses.clip_weights(critic)
    optimiser = torch.optim.RMSprop(critic.parameters(), lr=1e-3)
    real, made = torch.randn(64, 2) + 2.0, torch.randn(64, 2) - 2.0
    history = []
    for _ in range(30):
        loss = losses.wasserstein_critic(critic(real), critic(made))
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.clip_weights(critic)
        history.append(float(loss.detach()))

    assert history[-1] < min(history[0], 0.0)
    assert bool(critic(real).mean() > critic(made).mean())
    assert float(critic.weight.detach().abs().max()) == pytest.approx(losses.PAPER_CLIP)


def test_hinge_is_content_beyond_its_margin():
    assert float(losses.hinge_critic(torch.tensor([1.0, 3.0]), torch.tensor([-1.0, -2.0]))) == 0.0
    assert float(losses.hinge_critic(torch.tensor([0.5]), torch.tensor([-0.25]))) == pytest.approx(1.25)


def test_cross_entropy_is_torchs():
    real, made = torch.randn(8), torch.randn(8)
    entropy = functional.binary_cross_entropy_with_logits
    expected = entropy(real, torch.ones(8)) + entropy(made, torch.zeros(8))
    assert float(losses.cross_entropy_critic(real, made)) == pytest.approx(float(expected), rel=1e-6)
    assert float(losses.cross_entropy_generator(made)) == pytest.approx(float(entropy(made, torch.ones(8))))


def test_feature_matching_pulls_the_made_features_alone():
    real = [torch.rand(2, 4, 4, 4, requires_grad=True), torch.rand(2, 8, 2, 2, requires_grad=True)]
    made = [one.detach().clone().requires_grad_() for one in real]
    assert float(losses.feature_matching(real, made).detach()) == 0.0

    made[0] = (real[0].detach() + 0.5).requires_grad_()
    loss = losses.feature_matching(real, made)
    loss.backward()
    assert float(loss.detach()) == pytest.approx(0.25)
    assert made[0].grad is not None
    assert real[0].grad is None


def test_r1_of_a_linear_critic_is_its_slope():
    """For logit = w . x the penalty is every * gamma / 2 * |w over colours|^2, whatever x is."""
    weight = torch.randn(5, 4, 4)
    r1 = LazyR1(gamma=2.0, every=8)

    def critic(x: Tensor) -> Tensor:
        return (x * weight).sum((1, 2, 3))[:, None]

    expected = 8 * 2.0 / 2 * float(weight[:3].square().sum())
    assert float(r1.penalty(critic, torch.rand(3, 5, 4, 4)).detach()) == pytest.approx(expected, rel=1e-5)


def test_r1_counts_patches_by_their_mean():
    weight = torch.randn(3, 4, 4)

    def critic(x: Tensor) -> Tensor:
        return (x * weight).sum((1, 2, 3))[:, None, None, None].expand(-1, 1, 6, 6)

    penalty = LazyR1(gamma=2.0, every=1).penalty(critic, torch.rand(3, 3, 4, 4))
    assert float(penalty.detach()) == pytest.approx(float(weight.square().sum()), rel=1e-5)


def test_r1_flattens_the_critic():
    critic = nn.Conv2d(3, 1, 4)
    LazyR1().penalty(critic, torch.rand(2, 3, 8, 8)).backward()
    before = critic.weight.detach().norm()
    with torch.no_grad():
        critic.weight -= 1e-3 * critic.weight.grad
    assert critic.weight.detach().norm() < before


def test_r1_is_due_every_few_steps():
    assert [step for step in range(40) if LazyR1(every=16).due(step)] == [0, 16, 32]


# The history of made pictures


def numbered(step: int, batch: int = 8) -> Tensor:
    """Pictures that hold their own number; none is 0, which empty places hold."""
    return (torch.arange(batch) + 100.0 * (step + 1)).reshape(batch, 1, 1, 1).expand(batch, 3, 2, 2)


def numbers(pictures: Tensor) -> list[int]:
    return [int(one[0, 0, 0]) for one in pictures]


def test_half_of_a_batch_comes_from_the_past():
    history, generator = History((3, 2, 2), capacity=16), seeded()
    assert numbers(history.mixed(numbered(0), generator)) == numbers(numbered(0)), "nothing is held yet"

    for step in range(1, 12):
        held = set(numbers(history.held[: int(history.count)]))
        batch = numbers(history.mixed(numbered(step), generator))
        assert batch[:4] == numbers(numbered(step))[:4]
        assert set(batch[4:]) <= held
        assert len(set(batch[4:])) == 4, "no picture is shown twice"


def test_half_of_the_fresh_ones_are_kept_and_room_is_bounded():
    history, generator = History((3, 2, 2), capacity=10), seeded()
    counts = []
    for step in range(6):
        before = numbers(history.held)
        history.mixed(numbered(step), generator)
        counts.append(int(history.count))
        fresh = [one for one in numbers(history.held) if one // 100 == step + 1 and one not in before]
        assert len(fresh) == 4

    assert counts == [4, 8, 10, 10, 10, 10]


def test_the_history_is_the_same_for_the_same_seed_and_after_saving():
    first, generator = History((3, 2, 2), capacity=8), seeded()
    for step in range(5):
        first.mixed(numbered(step), generator)
    second = History((3, 2, 2), capacity=8)
    second.load_state_dict(first.state_dict())
    other = torch.Generator()
    other.set_state(generator.get_state())

    for step in range(5, 9):
        assert torch.equal(first.mixed(numbered(step), generator), second.mixed(numbered(step), other))
    assert torch.equal(first.held, second.held)


def test_the_history_holds_no_gradient():
    made = torch.rand(4, 3, 2, 2, requires_grad=True)
    batch = History((3, 2, 2), capacity=8).mixed(made * 2.0, seeded())
    assert not batch.requires_grad


# Augmentation of what a critic sees


def scene() -> Tensor:
    """Two pictures with a condition of two channels: a bright square, in both alike."""
    x = torch.full((2, 5, 32, 32), 0.25)
    x[:, 3:] = 0.0
    x[:, :, 10:22, 12:24] = 0.75
    return x


def test_real_and_made_are_transformed_alike():
    augment = Augmentation.draw(scene().shape, seeded())
    x = torch.rand(2, 5, 32, 32)
    assert torch.equal(augment(x), augment(x.clone()))
    assert not torch.equal(augment(x), x)


def test_the_condition_moves_with_the_picture_and_keeps_its_values():
    policy = Policy(brightness=0.0, saturation=0.0, contrast=0.0)
    augment = Augmentation.draw(scene().shape, seeded(3), policy)
    out = augment(scene())
    assert any(shift != (0, 0) for shift in augment.shifts)
    assert torch.equal(out[:, 0] == 0.75, out[:, 3] == 0.75)
    assert 0 < int((out[:, 3] == 0.75).sum()) < 2 * 12 * 12, "part of the squares is cut out"

    coloured = Augmentation.draw(scene().shape, seeded(3), Policy(translation=0.0, cutout=0.0))(scene())
    assert torch.equal(coloured[:, 3:], scene()[:, 3:])
    assert not torch.equal(coloured[:, :3], scene()[:, :3])


def test_a_shift_goes_where_it_says():
    policy = Policy(brightness=0.0, saturation=0.0, contrast=0.0, cutout=0.0)
    x = torch.zeros(2, 3, 32, 32)
    x[:, :, 16, 16] = 1.0
    augment = Augmentation.draw(x.shape, seeded(), policy)
    for one, (right, down) in zip(augment(x), augment.shifts, strict=True):
        assert torch.nonzero(one[0]).tolist() == [[16 + down, 16 + right]]
        assert max(abs(right), abs(down)) <= 4


def test_augmentation_repeats_by_seed():
    x = torch.rand(2, 5, 32, 32)
    first, again, other = (Augmentation.draw(x.shape, seeded(seed))(x) for seed in (5, 5, 6))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_a_policy_of_zeros_changes_nothing():
    still = Policy(brightness=0.0, saturation=0.0, contrast=0.0, translation=0.0, cutout=0.0)
    x = torch.rand(2, 5, 32, 32)
    assert torch.allclose(Augmentation.draw(x.shape, seeded(), still)(x), x, atol=1e-6)


def test_gradients_pass_through_what_was_not_cut():
    x = torch.rand(2, 5, 32, 32, requires_grad=True)
    augment = Augmentation.draw(x.shape, seeded())
    augment(x).square().sum().backward()
    share = float((x.grad != 0.0).float().mean())
    assert 0.4 < share < 1.0
