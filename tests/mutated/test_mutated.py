"""Damaged photos, videos and settings through the real readers, in small: scripts/mutate is the whole."""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path

import pytest

if sys.platform != "linux":
    pytest.skip("watched as Linux lets programs be watched", allow_module_level=True)

from mutations import Case, case, seeds
from trial import damaged, tried

SEED = 13
COUNT = int(os.environ.get("STREAMFX_MUTATIONS", "200"))
FOUND = Path(__file__).parent / "found"
"""What mutations have found, by its fault: it ended in a traceback, made a library speak, filled screens."""
NOT_TAKEN = re.compile(r"(list|only|reference|external)\.|.*\.(svg|heic|pdf|fits|eps|psd|dng\.tiff)")
"""Of the corpus: playlists, sound alone, films that lie in other files; what is no photo."""

pytestmark = pytest.mark.timeout(120 + COUNT)


def whole(paths: list[Path]) -> list[Case]:
    return [Case(path.name, path.read_bytes()) for path in paths]


@pytest.mark.parametrize("kind", ["images", "videos", "settings"])
def test_damaged_files_are_refused_by_name_or_read(kind: str):
    """None crashes its reader, holds it up, fills its memory, makes it reach elsewhere or speak by itself."""
    good = [one for one in whole(seeds(kind)) if not NOT_TAKEN.match(one.name)]
    found = whole(sorted((FOUND / kind).iterdir()))
    tally = tried(kind, [*whole(seeds(kind)), *found, *damaged(kind, SEED, COUNT)])
    sys.stdout.write(tally.line(kind) + "\n")
    assert tally.findings == []
    accepted = {name for name in tally.accepted if not name.startswith(f"{SEED}-")}
    assert accepted - {one.name for one in found} == {one.name for one in good}
    assert 0 < len(tally.accepted) - len(accepted) < COUNT


def test_mutations_are_the_same_every_time():
    assert [case("videos", SEED, number) for number in range(20)] == list(damaged("videos", SEED, 20))
    assert case("videos", SEED, 0) != case("videos", SEED + 1, 0)


def test_what_must_be_noticed_is():
    """Planted in the reader: without this, the other tests would hold of any."""
    faults = {
        "crash": "it crashed (code",
        "hang": "it was not done after 5 s",
        "memory": "MB",
        "traceback": "KeyError",
        "nonsense": "a picture of no pixels",
        "opens": "/etc/hostname",
        "connects": "socket.connect",
        "speaks": "a library's own words",
    }
    tally = tried("planted", [Case(f"{fault}.bin", b"!") for fault in faults], limit_s=5)
    found = {one.case.name.removesuffix(".bin"): one.what for one in tally.findings}
    assert {fault for fault, words in faults.items() if words in found.get(fault, "")} == set(faults), found
    traced = "".join(one.what for one in tally.findings if one.case.name == "trace")
    assert not tally.traced or ("/etc/hostname" in traced and "connect(" in traced), traced
