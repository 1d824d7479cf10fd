"""An attack on a running daemon, in small: scripts/live-attack is the whole."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from attack import PHASES, Sizes, attack, attacked, busy

LONGEST_GAP_MS = 400.0
"""What is certain of a gap, not the reader's own. The design's figure is 100, 200 beside four busy loops, but
machines that run tests are noisy; scripts/live-attack tells the worst."""
GROWTH_MB = 80.0
"""Allocators keep a little of every thread that ever ran; it was hundreds when photos were kept."""

pytestmark = [pytest.mark.slow, pytest.mark.alone, pytest.mark.timeout(300)]


def test_an_attack_from_all_sides_costs_no_picture_and_leaves_nothing(short_folder: Path):
    sizes = Sizes(
        uploads=10, watchers=60, calls=600, cancels=120, connections=1000, sessions=3, damaged=8, updates=1000
    )
    with attacked(short_folder, "none") as stand:
        first, results = stand.holdings(), []
        with busy(1):
            for phase in PHASES:
                results.append(attack(stand, phase, getattr(sizes, phase), calm_s=0.3))
                sys.stdout.write(results[-1].line())
        last = stand.settled(first)
        assert stand.runs
    for one in results:
        assert one.gaps.certain < LONGEST_GAP_MS, one.line()
        assert one.gaps.pictures > 10 * one.seconds, one.line()
    codes = {one.phase: one.codes for one in results}
    assert set(codes["uploads"]) <= {"OK", "INVALID_ARGUMENT", "RESOURCE_EXHAUSTED"}
    assert codes["calls"]["OK"] > 0
    assert set(codes["calls"]) <= {"OK", "RESOURCE_EXHAUSTED"}
    assert codes["connections"]["asked meanwhile: OK"] == 1
    assert codes["sessions"] == {"made OK": 3, "deleted OK": 3}
    assert codes["damaged"]["drives again"] == 1
    assert codes["updates"].pop("the last stays") == 1
    assert codes["updates"].pop("a second") > 0
    assert set(codes["updates"]) <= {"OK", "RESOURCE_EXHAUSTED"}
    assert last.resident_mb < first.resident_mb + GROWTH_MB
    assert last.children == first.children
    assert last.descriptors <= first.descriptors + 4
