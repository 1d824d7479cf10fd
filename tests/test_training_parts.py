"""The parts of training, one by one: turns, draws, lessons, terms, scores, phases, and being told to stop."""

from __future__ import annotations

import math
import signal
import threading
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="training needs the extra `train`")
pytest.importorskip("lightning_fabric", reason="training needs the extra `train`")

from lessons_made import TRAIN, VAL, face_crops, mouth_crops  # noqa: E402
from torch import nn  # noqa: E402

from streamfx.errors import SourceUnreadable, UsageError  # noqa: E402
from streamfx.lab.training.accelerate import agreed, gathered, moved, open_fabric  # noqa: E402
from streamfx.lab.training.courses import COURSES  # noqa: E402
from streamfx.lab.training.draws import Group, RowDraw, balanced, by_turns  # noqa: E402
from streamfx.lab.training.lessons import CompletionLessons, FaceLessons, MouthLessons  # noqa: E402
from streamfx.lab.training.recipes.base import Average, Loss, Pace, Terms, Turn, View, as_pixels  # noqa: E402
from streamfx.lab.training.recipes.mouth_paper import MouthPaper, Phase, around  # noqa: E402
from streamfx.lab.training.recipes.terms import Window, energy_gap, unsteady, worth_a_look  # noqa: E402
from streamfx.lab.training.sheets import draw_samples  # noqa: E402
from streamfx.lab.training.stopping import Stopping  # noqa: E402
from streamfx.lab.training.validation import Quality, Score, score  # noqa: E402


@pytest.fixture(scope="module")
def fabric() -> Any:
    return open_fabric(1, accelerator="cpu")


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


# Turns


def test_only_whose_turn_it_is_learns(fabric: Any):
    """The other network passes gradients on, and keeps none."""
    maker, critic = nn.Linear(2, 2), nn.Linear(2, 1)
    turn = Turn(fabric, maker, torch.optim.SGD(maker.parameters(), 1.0))
    other = Turn(fabric, critic, torch.optim.SGD(critic.parameters(), 1.0))
    before = critic.weight.clone(), maker.weight.clone()

    def loss() -> Loss:
        assert maker.weight.requires_grad
        assert not critic.weight.requires_grad
        terms = Terms()
        terms.add("score", 1.0, critic(maker(torch.ones(1, 2))).mean())
        return terms.loss(torch.zeros(1))

    turn(loss)
    assert torch.equal(critic.weight, before[0])
    assert critic.weight.grad is None
    # d score / d weight_ij = critic_i for an input of ones
    assert torch.allclose(maker.weight, before[1] - critic.weight.T.expand(2, 2))
    assert not maker.weight.requires_grad
    assert not list(other.state())


def test_gradients_are_clipped_and_rates_paced(fabric: Any):
    net = nn.Linear(1, 1, bias=False)
    turn = Turn(fabric, net, torch.optim.SGD(net.parameters(), 1.0), largest_gradient=0.5)
    turn.pace(0.1)
    before = float(net.weight)

    def loss() -> Loss:
        terms = Terms()
        terms.add("steep", 100.0, net(torch.ones(1, 1)).sum())
        return terms.loss(torch.zeros(1))

    turn(loss)
    assert float(net.weight) == pytest.approx(before - 0.1 * 0.5)


def test_the_pace_rises_and_falls():
    pace = Pace(rise=0.1, floor=0.01)
    assert [round(pace.rate(at), 4) for at in (0.0, 0.05, 0.1, 0.55, 1.0)] == [0.01, 0.505, 1.0, 0.505, 0.01]


def test_an_average_follows_weights_and_copies_buffers():
    net = nn.BatchNorm1d(1)
    average = Average(net, decay=0.9)
    with torch.no_grad():
        net.weight.fill_(2.0)
        net.running_mean.fill_(5.0)
    average.follow(net, step=0)  # 1 - 1/10: nearly all of it
    assert float(average.network.weight) == pytest.approx(1.9)
    average.follow(net, step=10_000)
    assert float(average.network.weight) == pytest.approx(1.91)
    assert float(average.network.running_mean) == 5.0
    assert not average.network.training


def test_terms_are_weighted_but_told_bare():
    terms = Terms()
    terms.add("a", 2.0, torch.tensor(3.0, requires_grad=True))
    terms.add("b", 0.5, torch.tensor(4.0))
    loss = terms.loss(torch.zeros(1, requires_grad=True))
    assert float(loss.total.detach()) == 8
    assert {name: float(value) for name, value in loss.terms.items()} == {"a": 3, "b": 4}
    assert not loss.made.requires_grad
    assert not loss.terms["a"].requires_grad


# Draws and lessons


def test_rows_are_drawn_by_share_then_by_person():
    """A person with a thousand rows is seen no more often than one with one."""
    subject = np.array(["a"] * 1000 + ["b"] + ["c"])
    common, rare = subject != "c", subject == "c"
    absent = np.zeros(len(subject), bool)
    draw = RowDraw(subject, [Group(common, 3.0), Group(rare, 1.0), Group(absent, 5.0)])
    seen = subject[draw.rows(4000, generator())]
    share = [float(np.mean(seen == name)) for name in "abc"]
    assert share == pytest.approx([0.375, 0.375, 0.25], abs=0.03)
    assert np.array_equal(draw.rows(9, generator(1)), draw.rows(9, generator(1)))


def test_groups_of_few_people_are_not_lost():
    group = dict.fromkeys("abcdefghi", "many") | {"z": "few"}
    subject = np.array([*"abcdefghi", "z"])
    counts = {}
    for balance in (0.0, 0.5, 1.0):
        draw = RowDraw(subject, [Group(np.ones(10, bool), 1.0)], balanced(group, balance))
        rows = draw.rows(4000, torch.Generator().manual_seed(5))
        counts[balance] = float((subject[rows] == "z").mean())
    assert counts == pytest.approx({0.0: 0.1, 0.5: 0.25, 1.0: 0.5}, abs=0.03)


def test_too_few_people_are_told():
    with pytest.raises(SourceUnreadable, match="show 1 usable people of split train; at least 2"):
        RowDraw(np.array(["a", "a"]), [Group(np.array([True, True]), 1.0)])


def test_validation_takes_people_by_turns():
    subject = np.array(["a", "a", "a", "b", "c", "c"])
    assert by_turns(subject, np.array([1, 1, 1, 1, 0, 1], bool), 4).tolist() == [0, 3, 5, 1]


@pytest.mark.parametrize("kind", [FaceLessons, MouthLessons, CompletionLessons])
def test_who_validates_is_never_learned_from(kind: Any):
    crops = mouth_crops(24) if kind is MouthLessons else face_crops(24)
    lessons = kind(crops, 4)
    drawn = {str(crops.subject[row]) for row in lessons._draw.rows(400, generator())}
    assert drawn == set(TRAIN)
    assert {str(crops.subject[row]) for row in lessons._validated} == set(VAL)


def test_pairs_come_as_often_as_asked():
    lessons = FaceLessons(face_crops(24), 2, pairs=0.5)
    count = sum(lessons.draw(generator(seed)).before is not None for seed in range(60))
    assert 15 < count < 45
    assert next(lessons.validation()).before is None


def test_one_network_for_both_tasks_is_asked_for_the_mouth_too():
    crops = face_crops(24)
    plain, whole = (next(FaceLessons(crops, 2, with_mouth=both).validation()).now for both in (False, True))
    hole = plain.inputs[:, 3:4] > 0.5
    assert not (plain.truth * hole).any()
    assert (whole.truth * hole).any()
    assert torch.equal(whole.inputs, plain.inputs)
    assert torch.equal(whole.face > 0.5, (plain.face > 0.5) | hole)


def test_completion_sees_whole_faces_and_their_holes():
    crops = face_crops(24)
    batch = next(CompletionLessons(crops, 2).validation())
    row = CompletionLessons(crops, 2)._validated[0]
    assert np.array_equal(as_pixels(batch.picture)[0], crops.truth[row])
    assert np.array_equal(batch.hole[0, 0].numpy() * 255, crops.mask[row])


def test_lessons_move_to_the_device_as_they_are(fabric: Any):
    pair = FaceLessons(face_crops(24), 2, pairs=1.0).draw(generator())
    there = moved(pair, fabric)
    assert torch.equal(there.now.inputs, pair.now.inputs)
    assert there.before is not None
    with pytest.raises(TypeError):
        moved(3, fabric)


# Terms


def test_windows_lie_inside_and_differ():
    windows = {Window.draw(40, 30, 16, generator(seed)) for seed in range(50)}
    assert all(0 <= one.top <= 24 and 0 <= one.left <= 14 for one in windows)
    assert len(windows) > 20
    assert Window.draw(8, 30, 16, generator()).of(torch.zeros(1, 1, 8, 30)).shape[-2:] == (8, 8)


def test_soft_pictures_are_kept_from_critics():
    rows, stake = worth_a_look(torch.tensor([1.0, 0.0, 1.0]).view(3, 1, 1, 1))
    assert (rows.tolist(), float(stake)) == ([0, 2], 1)
    rows, stake = worth_a_look(torch.zeros(2, 1, 1, 1))
    assert (rows.tolist(), float(stake)) == ([0, 1], 0)


def test_blur_and_noise_are_gaps_of_energy():
    truth = torch.rand(1, 3, 32, 32, generator=generator())
    mask = torch.ones(1, 1, 32, 32)
    blurred = nn.functional.avg_pool2d(truth, 3, 1, 1)
    noisy = truth + 0.3 * torch.randn(truth.shape, generator=generator())
    assert float(energy_gap(truth, truth, mask)) == 0
    assert float(energy_gap(blurred, truth, mask)) > 1
    assert float(energy_gap(noisy, truth, mask)) > 0.2


def test_what_truly_moves_is_not_unsteady():
    truth = torch.rand(2, 1, 3, 8, 8, generator=generator())
    mask = torch.ones(1, 1, 8, 8)
    offset = 0.1
    assert float(unsteady(truth[1] + offset, truth[0] + offset, truth[1], truth[0], mask)) < 1e-6
    assert float(unsteady(truth[1] + offset, truth[0], truth[1], truth[0], mask)) == pytest.approx(offset)


# The paper's mouth


def test_phases_follow_one_another_at_each_size(fabric: Any):
    recipe = MouthPaper(fabric)
    assert [recipe.phase(at) for at in (0.0, 0.107, 0.109, 0.119, 0.121, 0.59)] == [
        Phase.COMPLETION, Phase.COMPLETION, Phase.CRITIC, Phase.CRITIC, Phase.JOINT, Phase.JOINT,
    ]  # fmt: skip
    assert not recipe.complete
    middle = {name: value.clone() for name, value in recipe.net.middle.state_dict().items()}
    recipe._grow()
    assert all(torch.equal(value, middle[name]) for name, value in recipe.net.middle.state_dict().items())
    assert recipe.complete
    assert [recipe.phase(at) for at in (0.6, 0.671, 0.673, 0.679, 0.681, 1.0)] == [
        Phase.COMPLETION, Phase.COMPLETION, Phase.CRITIC, Phase.CRITIC, Phase.JOINT, Phase.JOINT,
    ]  # fmt: skip
    assert recipe.phase(0.1) is Phase.JOINT, "begun from a grown net"


def test_patches_lie_round_the_holes():
    hole = torch.zeros(3, 1, 16, 16)
    hole[0, 0, 8:10, 6:8] = 1
    hole[1, 0, 15, 15] = 1  # in the corner: the patch stays inside
    pictures = torch.arange(256.0).view(1, 1, 16, 16).expand(3, 3, 16, 16)
    patches = around(pictures, hole)
    assert patches.shape == (3, 3, 8, 8)
    corners = [divmod(int(patch[0, 0, 0]), 16) for patch in patches]
    assert corners == [(4, 2), (8, 8), (4, 4)]


# Scores and sheets


def view(after: torch.Tensor, truth: torch.Tensor, mask: torch.Tensor | None = None) -> View:
    inside = torch.ones(len(truth), 1, *truth.shape[2:], dtype=torch.bool) if mask is None else mask
    return View(truth, truth * 0.9, after, truth, inside)


def test_a_blur_that_wins_psnr_does_not_count():
    before = Quality(30.0, 0.90, 1.0)
    sharp, blurred = (Score(before, Quality(31.0, 0.91, sharpness)) for sharpness in (0.9, 0.6))
    assert sharp.gain == pytest.approx(1.5)
    assert blurred.gain < 0


def test_scores_leave_out_empty_masks():
    truth = torch.rand(2, 3, 32, 32, generator=generator())
    mask = torch.ones(2, 1, 32, 32, dtype=torch.bool)
    mask[1] = False
    result = score([view(truth, truth, mask)])
    assert result.after.psnr == 60
    assert result.after.ssim == pytest.approx(1)
    assert result.before.psnr < 30
    with pytest.raises(ValueError, match="no picture"):
        score([view(truth[:1], truth[:1], mask[1:])])


def test_a_sheet_shows_what_differs():
    truth = torch.full((1, 3, 32, 32), 0.5)
    after = truth.clone()
    after[:, 0, :, 16:] += 0.1
    sheet = draw_samples([view(after, truth)], "title")
    difference = sheet[2 * 28 + 96, 4 * 196 + 4 :]
    assert difference[40].tolist() == [128, 128, 128]
    assert difference[150].tolist() == [230, 128, 128]
    assert math.isclose(sheet.shape[1], 5 * 196 + 4)


# Settings, devices, signals


def test_settings_are_typed_and_named():
    course = COURSES["refine-lite"].adjusted(["window=64", "see_motion=False", "rate=1e-4"])
    assert (course.config.window, course.config.see_motion, course.config.rate) == (64, False, 1e-4)
    for bad, said in (
        ("wide=1", "no setting 'wide'"),
        ("window=1.5", "no value"),
        ("see_warp=2", "no value"),
    ):
        with pytest.raises(UsageError, match=said):
            COURSES["refine-lite"].adjusted([bad])


def test_one_process_agrees_with_itself(fabric: Any):
    assert agreed(fabric, 2.5, stop=True) == (2.5, True)
    assert gathered(fabric, {"a": torch.ones(3)})["a"].shape == (1, 3)
    with pytest.raises(UsageError, match="devices cannot be used"):
        open_fabric(64, accelerator="cuda")


def test_a_signal_is_noted_once_and_acts_when_let():
    with Stopping() as stopping:
        assert not stopping.asked
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)  # torchrun's echo
        assert stopping.asked
        with pytest.raises(KeyboardInterrupt):
            stopping.act()
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_a_second_signal_does_not_wait(monkeypatch: pytest.MonkeyPatch):
    with Stopping() as stopping:
        signal.raise_signal(signal.SIGINT)
        monkeypatch.setattr("streamfx.lab.training.stopping.monotonic", lambda: math.inf)
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
    assert stopping.asked


def test_a_thread_hears_nothing_and_harms_nothing():
    heard = []

    def listen() -> None:
        with Stopping() as stopping:
            heard.append(stopping.asked)
            stopping.act()

    thread = threading.Thread(target=listen)
    thread.start()
    thread.join()
    assert heard == [False]
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
