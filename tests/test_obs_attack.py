"""A hostile daemon against the OBS plugin's code, under sanitizers; scripts/obs-attack is the long run."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from obs_answers import FOLDER as ANSWERS
from obs_answers import recorded
from obs_attack import PLANTS, PROGRAMS, SANITIZERS, attack, built, count_of, figures, missing

COUNT = int(os.environ.get("STREAMFX_OBS_ANSWERS", "300"))
WINDOWS = 600
"""So many turns that threads take as it comes show whatever they can, also a photo's findings."""
SEED = 21
"""None of those of the long run."""

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the plugin is for Linux")


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str, str], Path]:
    """The attacks by name and sanitizer."""
    if lacks := missing():
        pytest.skip(f"not installed: {lacks}")
    folders: dict[str, Path] = {}

    def found(name: str, sanitizer: str) -> Path:
        if sanitizer not in folders:
            folders[sanitizer] = built(tmp_path_factory.mktemp(sanitizer), sanitizer, *PROGRAMS)
        return folders[sanitizer] / name

    return found


def test_the_recorded_answers_are_those_of_today():
    kept = {path.name: path.read_bytes() for path in ANSWERS.iterdir()}
    assert kept == recorded(), "run scripts/gen-obs-answers"


@pytest.mark.parametrize("sanitizer", SANITIZERS)
def test_changed_answers_of_every_method_are_refused_or_harmless(program, sanitizer: str):
    told = figures(attack(program("attack", sanitizer), COUNT, SEED))
    assert len(told) == len({path.name.rsplit(".", 1)[0] for path in ANSWERS.iterdir()})
    for method, (count, taken, refused) in told.items():
        assert count == COUNT == taken + refused
        assert taken > COUNT / 20, f"{method}: some are taken, and what becomes of them is seen"
        assert refused > COUNT / 20, f"{method}: some are refused"


@pytest.mark.parametrize("sanitizer", SANITIZERS)
def test_broken_connections_and_frames_end_a_call_and_no_more(program, sanitizer: str):
    count = count_of("attack-socket", sanitizer, COUNT)
    for sent, taken, refused in figures(attack(program("attack-socket", sanitizer), count, SEED)).values():
        assert sent == count == taken + refused
        assert taken, "some are answered well"


@pytest.mark.parametrize("sanitizer", SANITIZERS)
def test_what_comes_back_spoils_no_settings_and_no_window_of_obs(program, sanitizer: str):
    count = max(WINDOWS, count_of("attack-sync", sanitizer, COUNT))
    told = figures(attack(program("attack-sync", sanitizer), count, SEED))
    (windows,) = told.pop("findings")
    assert windows, "what was found about the photo is in the window of properties"
    assert all(changed for (changed,) in told.values()), "each method was answered wrongly"


@pytest.mark.parametrize("sanitizer", SANITIZERS)
def test_what_is_handed_over_for_a_ring_is_read_within_its_bounds_or_not_at_all(program, sanitizer: str):
    count = count_of("attack-reader", sanitizer, COUNT)
    ((handed, _fit, pictures),) = figures(attack(program("attack-reader", sanitizer), count, SEED)).values()
    assert handed >= count
    assert pictures


@pytest.mark.parametrize("plant", PLANTS)
def test_a_planted_fault_is_found(program, plant: str):
    sanitizer, words = PLANTS[plant]
    done = attack(program("attack", sanitizer), 20, SEED, plant)
    assert done.returncode != 0
    assert words in done.stderr
