"""Paths from elsewhere: three hundred ways out of the allowed folder, and all of them end the same."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from streamfx import confine
from streamfx.confine import PathRefused, new_beneath, open_beneath, read_beneath, resolve_beneath

SECRET = b"outside"
RACES = int(os.environ.get("STREAMFX_RACES", "10000"))
"""Tries in each race for a path."""


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An allowed folder with all sorts of things in it, beside one that is not allowed."""
    outside, root = tmp_path / "outside", tmp_path / "root"
    (outside / "deep").mkdir(parents=True)
    (root / "deep" / "er").mkdir(parents=True)
    for file in (outside / "secret.png", outside / "deep" / "secret.png", tmp_path / "root2.png"):
        file.write_bytes(SECRET)
    (tmp_path / "rootless").mkdir()
    (tmp_path / "rootless" / "a.png").write_bytes(SECRET)
    for file in (root / "a.png", root / "deep" / "er" / "b.png", root / "with space & ü.png"):
        file.write_bytes(b"inside")
    links = {
        "link.png": outside / "secret.png",
        "inner.png": root / "a.png",
        "relative.png": Path("a.png"),
        "up.png": Path("../outside/secret.png"),
        "away": outside,
        "here": Path(),
        "slash": Path("/"),
        "loop": Path("loop"),
        "dangling": outside / "nothing",
        "deep/away": outside,
        "proc": Path("/proc/self/root"),
        "fd": Path("/proc/self/fd"),
    }
    for name, target in links.items():
        (root / name).symlink_to(target)
    os.mkfifo(root / "pipe.png")
    os.link(root / "a.png", root / "hard.png")
    with socket.socket(socket.AF_UNIX) as listener:
        monkeypatch.chdir(root)
        listener.bind("socket.png")
        monkeypatch.chdir(tmp_path)
        yield root


def vectors(root: Path) -> list[str]:
    """Paths that must be refused."""
    out = root.parent / "outside"
    climbs = [
        f"{before}{'../' * ups}outside/secret.png"
        for before in (
            "",
            "./",
            "deep/",
            "deep/er/",
            "deep/./",
            "//",
            f"{root}/",
            f"{root}/deep/",
            "nowhere/",
        )
        for ups in (1, 2, 3, 4, 12)
    ]
    links = [
        f"{link}{rest}"
        for link in ("away", "deep/away", "here/away", "slash", "here", "loop", "dangling", "proc", "fd")
        for rest in ("", "/", "/secret.png", "/deep/secret.png", "/a.png", "/0", f"{out}/secret.png")
    ]
    files = ["link.png", "inner.png", "relative.png", "up.png", "link.png/", "a.png/", "a.png/.", "a.png/x"]
    kinds = ["pipe.png", "socket.png", "deep", "deep/er", "", ".", "./", "/", "//", "missing.png", str(root)]
    absolute = [
        f"{out}/secret.png", f"/{out}/secret.png", f"{root}2.png", f"{root}less/a.png", "/etc/passwd",
        "/etc/shadow", "/dev/null", "/dev/zero", "/dev/tty", "/dev/stdin", "/dev/fd/0", "/proc/self/environ",
        "/proc/self/root/etc/passwd", f"/proc/self/cwd/{root.name}/a.png", "/proc/1/root/etc/passwd",
        f"{root}/../root/a.png", f"/proc/self/root{root}/a.png", f"{root}/link.png", f"{root}/here/a.png",
    ]  # fmt: skip
    schemes = [
        f"{scheme}{rest}"
        for scheme in ("file:", "http:", "https:", "ftp:", "concat:", "data:", "pipe:", "rtsp:", "crypto:",
                       "subfile:", "FILE:", "C:", "tee:", "unix:")
        for rest in ("a.png", "//a.png", f"//{root}/a.png", f"{root}/a.png")
    ]  # fmt: skip
    texts = [
        "a.png\0", "a\0.png", "\0", "a.png\n", "\ta.png", "a.png\x1b[2J", "a\u202egnp.exe", "~", "~/a.png",
        "~root/a.png", "deep\\er\\b.png", "..\\outside\\secret.png", "a.png\udcff", "x" * 300, "x/" * 600,
        "x" * 5000, "a.pn" + "g" * 4096, " a.png", "a.png ", "*.png", "$HOME/a.png",
        "%2e%2e/outside/secret.png", "..%2foutside/secret.png", "‥/outside/secret.png",
        "．．/outside/secret.png", "...", "..../a.png", "..",
    ]  # fmt: skip
    others = [f"{path}{end}" for path in (*climbs, *absolute) for end in ("/.", "\0.png")]
    return list(dict.fromkeys(climbs + links + files + kinds + absolute + schemes + texts + others))


def test_what_may_be_named(root: Path):
    for named, real in {
        "a.png": "a.png",
        "./a.png": "a.png",
        "deep//er/b.png": "deep/er/b.png",
        "deep/./er/b.png": "deep/er/b.png",
        "with space & ü.png": "with space & ü.png",
        "hard.png": "hard.png",
        f"{root}/a.png": "a.png",
        f"{root}//deep/er/b.png": "deep/er/b.png",
    }.items():
        assert resolve_beneath([root], named) == root / real
        assert read_beneath([root], named, 6) == b"inside"


def test_every_way_out_is_refused_in_the_same_words(root: Path):
    found = vectors(root)
    assert len(found) >= 300
    before = {entry.name for entry in Path("/proc/self/fd").iterdir()}
    words = set()
    for path in found:
        for refuse in (resolve_beneath, open_beneath):
            with pytest.raises(PathRefused) as refused:
                refuse([root], path)
            words.add(str(refused.value))
    assert len(words) == 1
    assert {entry.name for entry in Path("/proc/self/fd").iterdir()} == before


@pytest.mark.parametrize("roots", [[], ["nowhere"], ["a.png"]])
def test_without_a_root_nothing_is_allowed(root: Path, roots: list[str]):
    with pytest.raises(PathRefused):
        resolve_beneath([root / one for one in roots], "a.png")


def test_a_root_may_itself_be_reached_by_a_link(root: Path, tmp_path: Path):
    (tmp_path / "alias").symlink_to(root)
    assert resolve_beneath([tmp_path / "alias"], "a.png") == root / "a.png"
    assert resolve_beneath([tmp_path / "alias"], f"{tmp_path}/alias/a.png") == root / "a.png"
    assert resolve_beneath([tmp_path / "alias"], f"{root}/a.png") == root / "a.png"


def test_the_first_root_that_has_it(root: Path, tmp_path: Path):
    roots = [tmp_path / "rootless", root]
    assert resolve_beneath(roots, "a.png") == tmp_path / "rootless" / "a.png"
    assert resolve_beneath(roots, "deep/er/b.png") == root / "deep/er/b.png"


def test_a_file_that_is_too_large(root: Path):
    with pytest.raises(PathRefused):
        read_beneath([root], "a.png", 5)


def test_new_files(root: Path):
    assert new_beneath([root], "deep/new.mp4", ".mp4") == root / "deep" / "new.mp4"
    assert new_beneath([root], f"{root}/NEW.MP4", ".mp4") == root / "NEW.MP4"
    bad = ["a.png", "new.mkv", ".mp4", "nowhere/new.mp4", "away/new.mp4", "here/new.mp4",
           "../new.mp4", "deep/../new.mp4", "a.png/new.mp4", "/tmp/new.mp4", "file:new.mp4",
           "x" * 300 + ".mp4"]  # fmt: skip
    (root / "dangling.mp4").symlink_to(root.parent / "outside" / "new.mp4")
    for path in (*bad, "dangling.mp4", *vectors(root)):
        with pytest.raises(PathRefused):
            new_beneath([root], path, ".mp4")


@pytest.mark.parametrize("place", ["a.png", "deep"])
def test_links_put_there_meanwhile_lead_nowhere(root: Path, place: str):
    """Another program swaps a file, or a folder on the way, for a link to the outside, all the time."""
    aside, link = root / "aside", root / "swap"
    outside = root.parent / "outside"
    link.symlink_to(outside / "secret.png" if place == "a.png" else outside)
    (outside / "er").mkdir()
    (outside / "er" / "b.png").write_bytes(SECRET)
    stop = threading.Event()

    def swap() -> None:
        while not stop.is_set():
            (root / place).rename(aside)
            link.rename(root / place)
            (root / place).rename(link)
            aside.rename(root / place)

    swapper = threading.Thread(target=swap)
    swapper.start()
    named = place if place == "a.png" else "deep/er/b.png"
    seen = {"inside": 0, "refused": 0}
    try:
        for _ in range(RACES):
            try:
                data = read_beneath([root], named, 100)
            except PathRefused:
                seen["refused"] += 1
            else:
                assert data == b"inside"
                seen["inside"] += 1
    finally:
        stop.set()
        swapper.join()
    assert min(seen.values()) > 0, seen


def test_the_race_can_be_lost(root: Path, monkeypatch: pytest.MonkeyPatch):
    """What follows links reads the secret: the check above can fail."""
    monkeypatch.setattr(confine, "_NO_LINK", 0)
    monkeypatch.setattr(confine, "_FILE", os.O_RDONLY)
    assert read_beneath([root], "away/secret.png", 100) == SECRET
