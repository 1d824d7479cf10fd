"""The publisher and its parts: a picture at every tick, whatever the worker, the camera or the clock do."""

from __future__ import annotations

import threading
import time
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from live_stage import until

from streamfx.errors import CameraLost, CameraUnavailable
from streamfx.frames import IdlePortrait, Rendered
from streamfx.quality import Quality
from streamfx.realtime import Pacer
from streamfx.sink import idle
from streamfx.sink.camera import VirtualCamera
from streamfx.sink.idle import IdlePlayer, silhouette
from streamfx.sink.look import Look
from streamfx.sink.publisher import FADE_S, HELD_S, Mixer, Publisher, View
from streamfx.sink.ring import RingForm, RingReader, RingWriter, create_ring
from streamfx.worker import publisher as publisher_process

SIZE = (160, 120)
SECOND = 1_000_000_000
TICK = SECOND // 30


def live(level: int, quality: Quality = Quality.FULL, seq: int = 0) -> Rendered:
    return Rendered(np.full((120, 160, 3), level, np.uint8), 0, 0, seq, quality)


def cut_out(level: int, covers: int) -> Rendered:
    """Half of it the portrait, premultiplied; nothing to the left."""
    rgb, alpha = np.zeros((120, 160, 3), np.uint8), np.zeros((120, 160), np.uint8)
    rgb[:, 80:], alpha[:, 80:] = level * covers // 255, covers
    return Rendered(rgb, 0, 0, 0, Quality.FULL, alpha)


def is_premultiplied(picture: Rendered) -> bool:
    return picture.alpha is not None and bool((picture.rgb <= picture.alpha[..., None]).all())


def at_rest() -> Rendered:
    return live(10, Quality.IDLE)


class TestPacer:
    def test_ticks_are_even_and_none_is_made_up_for(self):
        now = 0

        def sleep(seconds: float) -> None:
            nonlocal now
            now += round(seconds * SECOND)

        pacer = Pacer(10, lambda: now, sleep)
        ticks = [pacer.wait() for _ in range(5)]
        now += 1_030_000_000  # a stall
        ticks += [pacer.wait() for _ in range(3)]
        steps = np.diff(ticks) / SECOND
        assert steps.min() >= 0.0999
        assert pacer.skipped == 10
        assert ticks[5] % (SECOND // 10) == 0, "the grid is kept"

    @given(st.lists(st.integers(0, 3 * SECOND), max_size=40))
    @settings(max_examples=50, deadline=None)
    def test_whatever_stalls_come_writes_are_never_closer_than_nine_tenths(self, stalls: list[int]):
        now = 0

        def sleep(seconds: float) -> None:
            nonlocal now
            now += max(1, round(seconds * SECOND))

        pacer = Pacer(30, lambda: now, sleep)
        written = []
        for stall in stalls:
            pacer.wait()
            written.append(now)
            now += stall
        assert all(step >= 0.899 * pacer.period_ns for step in np.diff(written))

    def test_ticks_can_be_moved(self):
        now = 0

        def sleep(seconds: float) -> None:
            nonlocal now
            now += round(seconds * SECOND)

        pacer = Pacer(10, lambda: now, sleep)
        first = pacer.wait()
        pacer.shift(2_000_000)
        assert pacer.wait() - first == 102_000_000


class TestMixer:
    def test_the_ladder_from_live_to_held_to_idle_and_back(self):
        mixer, now, seen = Mixer(), 0, []
        for tick in range(180):
            now += TICK
            fresh = live(200, seq=tick) if tick < 30 or tick > 120 else None
            seen.append(mixer.show(now, fresh, at_rest))
        levels = [int(one.rgb[0, 0, 0]) for one in seen]
        qualities = [one.quality for one in seen]
        assert qualities[29] is Quality.FULL
        assert levels[29] == 200
        assert qualities[29 + round(0.5 * 30)] is Quality.HELD
        assert levels[29 + round(0.5 * 30)] == 200, "held as it was"
        assert qualities[29 + round((HELD_S + FADE_S) * 30) + 2] is Quality.IDLE
        assert levels[179] == 200
        assert qualities[179] is Quality.FULL
        assert max(abs(np.diff(levels))) < 60, "nothing jumps"

    @pytest.mark.parametrize("rest_covers", [None, 90])
    def test_alpha_fades_with_the_colours(self, rest_covers: int | None):
        rest = at_rest() if rest_covers is None else cut_out(200, rest_covers)
        mixer, now, seen = Mixer(), 0, []
        for _ in range(30):
            now += TICK
            seen.append(mixer.show(now, cut_out(240, 255), lambda: rest))
        assert seen[0].alpha is rest.alpha
        assert all(is_premultiplied(one) for one in seen[1:])
        free = [int(one.alpha[0, 0]) for one in seen[1:]]
        covered = [int(one.alpha[0, 159]) for one in seen[1:]]
        assert free == sorted(free, reverse=True)
        assert covered == sorted(covered)
        assert (free[-1], covered[-1]) == (0, 255)
        assert max(abs(np.diff(free)), default=0) < 60, "nothing jumps"

    def test_opaque_pictures_fade_without_alpha(self):
        mixer, now = Mixer(), 0
        for _ in range(12):
            now += TICK
            assert mixer.show(now, live(200), at_rest).alpha is None

    def test_hidden_goes_to_rest_though_the_driver_goes_on(self):
        mixer, now = Mixer(), 0
        for tick in range(60):
            now += TICK
            seen = mixer.show(now, live(200), at_rest, resting=tick > 20)
        assert seen.quality is Quality.IDLE

    def test_nothing_live_is_kept_after_a_cut(self):
        mixer, now = Mixer(), 0
        for _ in range(30):
            now += TICK
            mixer.show(now, live(200), at_rest)
        mixer.forget()
        seen = mixer.show(now + TICK, None, at_rest)
        assert seen.quality is Quality.IDLE
        assert (seen.rgb == 10).all()

    def test_a_rest_rendered_by_the_worker_is_rest(self):
        mixer, now = Mixer(), 0
        for _ in range(60):
            now += TICK
            seen = mixer.show(now, live(200, Quality.IDLE), at_rest)
        assert (seen.rgb == 10).all()

    def test_a_slow_driver_is_not_called_held(self):
        mixer, now, seen = Mixer(), 0, []
        for tick in range(60):
            now += TICK
            seen.append(mixer.show(now, live(200) if tick % 2 == 0 else None, at_rest).quality)
        assert set(seen[20:]) == {Quality.FULL}


class TestIdle:
    def test_it_breathes_and_blinks_for_ever_and_always_has_the_size(self):
        portrait = _with_eyes(silhouette(SIZE))
        player, frames = IdlePlayer(portrait, seed=1), []
        for tick in range(20 * 30):
            shown = player.at(tick * TICK)
            assert shown.rgb.shape == (120, 160, 3)
            assert shown.quality is Quality.IDLE
            frames.append(shown.rgb)
        eyes = np.array([frame[40:50, 60:100].mean() for frame in frames])
        blinks = int((np.diff((eyes < 60).astype(int)) == 1).sum())
        assert 3 <= blinks <= 9, "a blink every few seconds"
        moved = np.abs(frames[0].astype(int) - frames[65].astype(int)).max()
        assert moved > 5, "the chest moves"

    def test_a_kept_portrait_is_the_same_and_a_broken_one_is_absent(self, tmp_path: Path):
        portrait = _with_eyes(silhouette(SIZE))
        idle.save(portrait, tmp_path / "a.npz")
        kept = idle.load(tmp_path / "a.npz", SIZE)
        assert kept is not None
        assert (kept.rest == portrait.rest).all()
        assert (kept.breath == portrait.breath).all()
        assert kept.blink_at == portrait.blink_at
        assert idle.load(tmp_path / "a.npz", (320, 240)) is None
        data = (tmp_path / "a.npz").read_bytes()
        for cut in (0, 10, len(data) // 2, len(data) - 3):
            (tmp_path / "b.npz").write_bytes(data[:cut])
            assert idle.load(tmp_path / "b.npz", SIZE) is None
        idle.save(replace(portrait, blink_at=(150, 40)), tmp_path / "c.npz")
        assert idle.load(tmp_path / "c.npz", SIZE) is None, "a blink beyond the frame"
        nan = replace(portrait, breath=np.full_like(portrait.breath, np.nan))
        idle.save(nan, tmp_path / "d.npz")
        assert idle.load(tmp_path / "d.npz", SIZE) is None

    def test_cut_out_it_breathes_and_blinks_within_its_alpha_and_is_kept_so(self, tmp_path: Path):
        portrait = silhouette(SIZE, cut_out=True)
        assert (portrait.rest <= portrait.alpha[..., None]).all()
        portrait.alpha[40:50, 60:100] = 255
        portrait = _with_eyes(portrait)
        idle.save(portrait, tmp_path / "a.npz")
        kept = idle.load(tmp_path / "a.npz", SIZE)
        assert kept is not None
        assert np.array_equal(kept.alpha, portrait.alpha)
        player = IdlePlayer(kept, seed=1)
        frames = [player.at(tick * 3 * TICK) for tick in range(60)]
        assert all(is_premultiplied(one) for one in frames)
        assert all((one.alpha[:10, :10] == 0).all() for one in frames)
        assert all(one.alpha[60, 80] == 255 for one in frames)
        shoulders = np.array([one.alpha[80:100, :80].mean() for one in frames])
        assert np.ptp(shoulders) > 0.5, "alpha moves as the chest does"
        for wrong in (np.zeros((120, 80), np.uint8), np.zeros((120, 160), np.float32), np.zeros(5, np.uint8)):
            idle.save(replace(portrait, alpha=wrong), tmp_path / "b.npz")
            assert idle.load(tmp_path / "b.npz", SIZE) is None

    def test_a_portrait_kept_by_an_older_version_is_absent(self, tmp_path: Path):
        idle.save(silhouette(SIZE), tmp_path / "new.npz")
        with np.load(tmp_path / "new.npz") as arrays:
            np.savez(tmp_path / "old.npz", **{name: arrays[name] for name in arrays if name != "alpha"})
        assert idle.load(tmp_path / "new.npz", SIZE).alpha is None
        assert idle.load(tmp_path / "old.npz", SIZE) is None


class TestLook:
    def test_the_mirror_turns_the_picture_but_not_the_badge(self):
        rgb = np.zeros((120, 160, 3), np.uint8)
        rgb[:40, :40] = 200
        picture = Rendered(rgb, 0, 0, 0, Quality.FULL)
        seen = Look(mirror=True, badge="Zoë, auf Sendung").dress(picture).rgb
        plain = Look(badge="Zoë, auf Sendung").dress(picture).rgb
        assert (seen[:40, 120:] == 200).all()
        assert (seen[80:] == plain[80:]).all()
        assert plain[80:].max() > 200, "the text is seen"
        assert (rgb[80:] == 0).all(), "the picture itself is left alone"
        assert Look().dress(picture) is picture

    def test_alpha_is_mirrored_with_the_picture_and_the_badge_covers(self):
        picture = cut_out(200, 128)
        seen = Look(mirror=True, badge="on air").dress(picture)
        plain = Look(mirror=True).dress(picture)
        assert is_premultiplied(seen)
        assert (plain.alpha[:, :80] == 128).all()
        assert (plain.alpha[:, 80:] == 0).all()
        assert (plain.rgb[:, :80] == 100).all()
        assert (seen.alpha[:60] == plain.alpha[:60]).all()
        alone = Look(badge="on air").dress(picture)
        assert alone.alpha[80:, :60].max() > 200, "the badge covers where the portrait does not"
        assert alone.rgb[80:, :60].max() > 200, "and is seen"
        assert (picture.alpha[:, :80] == 0).all(), "the picture itself is left alone"

    @pytest.mark.parametrize("size", [(64, 64), (1920, 1080), (64, 1080)])
    def test_a_badge_fits_any_frame(self, size: tuple[int, int]):
        rgb = np.zeros((size[1], size[0], 3), np.uint8)
        seen = Look(badge="W" * 40).dress(Rendered(rgb, 0, 0, 0, Quality.FULL))
        assert seen.rgb.shape == rgb.shape


class FakeCamera(VirtualCamera):
    """A camera that fails when told to."""

    name, device = "fake", "fake:0"

    def __init__(self) -> None:
        self.taken: list[Rendered] = []
        self.fails = self.hangs = self.breaks = False
        self.closed = 0

    def publish(self, picture: Rendered) -> None:
        if self.fails:
            raise CameraLost("The device is gone", "Plug it in")
        if self.breaks:
            raise ZeroDivisionError
        self.taken.append(picture)

    def readers(self) -> int:
        return 1

    def close(self) -> None:
        self.closed += 1


@pytest.fixture
def ring():
    form = RingForm(*SIZE, 30.0)
    with RingWriter(form, create_ring(form)) as writer:
        yield writer


previews = ring
"""Another of the same form."""


@pytest.mark.alone
class TestPublisher:
    def test_the_camera_has_pictures_from_the_first_moment_without_any_worker(
        self, ring: RingWriter, previews: RingWriter
    ):
        camera = FakeCamera()
        publisher = Publisher(ring, previews, 30.0, lambda: camera, camera)
        publisher.start()
        until(lambda: len(camera.taken) > 20)
        publisher.stop()
        assert all(one.quality is Quality.IDLE for one in camera.taken)
        assert camera.closed == 1
        with RingReader(ring.descriptor) as reader:
            assert reader.newest() is not None
        assert publisher.account().fps == pytest.approx(30, abs=5)

    def test_a_lost_camera_is_opened_again_and_the_ring_goes_on(self, ring: RingWriter, previews: RingWriter):
        first, second = FakeCamera(), FakeCamera()
        attempts = []

        def reopen() -> VirtualCamera:
            attempts.append(1)
            if len(attempts) == 1:
                raise CameraUnavailable("It is still gone", "Wait")
            return second

        publisher = Publisher(ring, previews, 60.0, reopen, first)
        publisher.start()
        until(lambda: first.taken)
        first.fails = True
        until(lambda: publisher.account().refused >= 1)
        assert "gone" in publisher.account().trouble
        before = publisher.account().published
        until(lambda: publisher.account().published > before + 20, what="the ring goes on")
        until(lambda: second.taken, 10)
        assert publisher.account().trouble == ""
        publisher.stop()
        assert (first.closed, second.closed) == (1, 1)

    def test_a_defect_costs_pictures_but_not_the_publisher(self, ring: RingWriter, previews: RingWriter):
        camera = FakeCamera()
        publisher = Publisher(ring, previews, 60.0, lambda: camera, camera)
        publisher.start()
        camera.breaks = True
        until(lambda: publisher.account().refused > 5)
        camera.breaks = False
        before = len(camera.taken)
        until(lambda: len(camera.taken) > before + 5)
        publisher.stop()

    def test_previews_are_written_in_their_own_look_while_somebody_watches(
        self, ring: RingWriter, previews: RingWriter
    ):
        publisher = Publisher(ring, previews, 60.0)
        publisher.feed = _lit_from_the_left
        publisher.start()
        with RingReader(ring.descriptor) as published, RingReader(previews.descriptor) as previewed:
            until(lambda: published.written > 30)
            assert previewed.written == 0
            publisher.view = View(preview=Look(mirror=True), previewed=True)
            until(lambda: previewed.written > 5)
            there, here = published.newest(), previewed.newest()
            assert int(there.rgb[0, 0, 0]) > int(there.rgb[0, -1, 0])
            assert int(here.rgb[0, 0, 0]) < int(here.rgb[0, -1, 0])
            publisher.view = View()
            time.sleep(0.1)
            written = previewed.written
            time.sleep(0.1)
            assert previewed.written == written
        publisher.stop()

    def test_a_picture_without_background_reaches_the_ring_mirrored_with_its_badge(
        self, ring: RingWriter, previews: RingWriter
    ):
        publisher = Publisher(ring, previews, 60.0)
        publisher.rest_as(silhouette(SIZE, cut_out=True), cut=True)
        publisher.view = View(Look(mirror=True, badge="on air"))
        publisher.feed = lambda: replace(cut_out(240, 255), rendered_ns=time.monotonic_ns())
        publisher.start()
        with RingReader(ring.descriptor) as reader:
            seen = []
            until(lambda: seen.append(reader.newest()) or (len(seen) > 3 and publisher.account().fresh > 40))
            shown = next(one for one in reversed(seen) if one is not None)
        publisher.stop()
        assert all(is_premultiplied(one) for one in seen if one is not None)
        assert (shown.alpha[:60, :80] == 255).all()
        assert (shown.alpha[:60, 80:] == 0).all()
        assert shown.rgb[80:, :60].max() > 200

    def test_ticks_move_to_where_the_pictures_come(self, ring: RingWriter, previews: RingWriter):
        """A worker whose pictures come just after the ticks would wait a whole period for each."""
        publisher = Publisher(ring, previews, 50.0)
        start = time.monotonic_ns()

        def feed() -> Rendered | None:
            now = time.monotonic_ns()
            number = (now - start) // 20_000_000
            made = start + number * 20_000_000
            if feed.last == number:
                return None
            feed.last = number
            return Rendered(np.zeros((120, 160, 3), np.uint8), made, made, int(number), Quality.FULL)

        feed.last = -1
        publisher.feed = feed
        publisher.start()
        time.sleep(2.5)
        publisher.stop()
        latest = publisher.account().latencies_ms[-40:]
        assert float(np.median(latest)) < 14, "of 20 ms"


def _lit_from_the_left() -> Rendered:
    rgb = np.zeros((120, 160, 3), np.uint8)
    rgb[:, :80] = 200
    now = time.monotonic_ns()
    return Rendered(rgb, now, now, 0, Quality.FULL)


def _with_eyes(portrait: IdlePortrait) -> IdlePortrait:
    rest = portrait.rest.copy()
    rest[40:50, 60:100] = 200
    blink = np.stack([np.full((10, 40, 3), level, np.uint8) for level in (150, 100, 60, 20)])
    return replace(portrait, rest=rest, blink=blink, blink_at=(60, 40))


def test_a_badge_whose_letters_take_long_holds_up_nothing(monkeypatch: pytest.MonkeyPatch):
    """The first of a script asks for the system's fonts: pictures and other orders go on meanwhile."""
    may_end, shown = threading.Event(), SimpleNamespace(view=View())
    monkeypatch.setattr(Look, "draw", lambda *_: may_end.wait(20))
    steering = publisher_process._Steering(shown, 320, 240)
    steering.show(View(Look(badge="日本語"), Look(badge="日本語")))
    assert shown.view == View()
    steering.show(View(Look(badge="日本語"), Look(badge="日本語"), resting=True))
    assert shown.view == View(resting=True)
    may_end.set()
    until(lambda: shown.view.output.badge == shown.view.preview.badge == "日本語")
    steering.show(View())
    assert shown.view == View()
