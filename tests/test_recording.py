"""Where a recording may be written: in the folder that the daemon looked at, whatever is put there since."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from streamfx.confine import SUPPORTED
from streamfx.errors import OutputError
from streamfx.session.recording import Recording
from streamfx.sink.ring import RingForm, create_ring

pytestmark = pytest.mark.skipif(not SUPPORTED, reason="this system cannot walk folders by their descriptors")


@pytest.fixture
def ring() -> Iterator[int]:
    descriptor = create_ring(RingForm(64, 48, 30.0))
    yield descriptor
    os.close(descriptor)


@pytest.mark.parametrize("link", ["folder", "film"])
def test_a_link_that_was_put_there_since_leads_nowhere(tmp_path: Path, ring: int, link: str):
    secret, films = tmp_path / "secret", tmp_path / "films"
    secret.mkdir()
    (secret / "call.mp4").write_bytes(b"precious")
    if link == "folder":
        films.symlink_to("secret")
    else:
        films.mkdir()
        (films / "call.mp4").symlink_to(secret / "call.mp4")
    with pytest.raises(OutputError, match="cannot be written"):
        Recording(films / "call.mp4", ring)
    assert [path.name for path in secret.iterdir()] == ["call.mp4"]
    assert (secret / "call.mp4").read_bytes() == b"precious"


def test_a_folder_that_is_renamed_meanwhile_keeps_its_recording(tmp_path: Path, ring: int):
    """What is written goes where it was begun; nothing of it appears in a folder put in its place."""
    films, moved = tmp_path / "films", tmp_path / "moved"
    films.mkdir()
    recording = Recording(films / "call.mp4", ring)
    films.rename(moved)
    films.mkdir()
    recording.stop()
    assert recording.trouble.startswith("call.mp4 was not written: there was not one picture")
    assert list(films.iterdir()) == list(moved.iterdir()) == []
