"""What is kept: it decides nothing where it cannot be kept, and it is gone when the photo is deleted."""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
import sys
import threading
import time
from contextlib import nullcontext
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

import cv2
import numpy as np
import pytest
from live_stage import until
from scenes import photo, store

from streamfx import config, files, kept, pipeline
from streamfx.__main__ import main
from streamfx.api.values import State
from streamfx.daemon import Daemon, DaemonOptions
from streamfx.doctor import guarded
from streamfx.doctor import machine as doctor
from streamfx.errors import ModelMissing, OutputError, PhotoError
from streamfx.files import where_else, write_failure
from streamfx.models.origins import UrlOrigin
from streamfx.models.store import Store
from streamfx.portrait.cache import RigCache
from streamfx.render import compiler
from streamfx.session.portraits import Portraits
from streamfx.session.sessions import Sessions
from streamfx.settings.session import Background, BackgroundKind, Output, SessionSettings
from streamfx.worker.portrait_pool import PortraitPool
from streamfx.worker.protocol import PortraitFile, WorkerConfig

SIZE = (160, 120)
DEMO = str(config.demo_motion_file())
SMALL = ("--size", "160x120", "--refine", "off", "--mouth", "procedural")
SCRIPT = str(Path(sys.executable).with_name("streamfx"))
ROOT = os.geteuid() == 0 if hasattr(os, "geteuid") else False
READS_ALL = "-all,+dac_read_search"
NOBODY = (
    "setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", f"--inh-caps={READS_ALL}",
    f"--ambient-caps={READS_ALL}",
)  # fmt: skip


@pytest.fixture
def account(short_folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An account of its own: the folder with all that it keeps."""
    store()
    monkeypatch.setenv("STREAMFX_MODELS_DIR", str(store().root))
    monkeypatch.delenv(kept.TOLD, raising=False)
    for name in ("CACHE_HOME", "DATA_HOME", "CONFIG_HOME", "RUNTIME_DIR"):
        folder = short_folder / name.lower()
        folder.mkdir(mode=0o700)
        monkeypatch.setenv(f"XDG_{name}", str(folder))
    return short_folder


def ended(*command: str, **variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command, env={**os.environ, **variables}, capture_output=True, text=True, timeout=150, check=False
    )


class TestWhatIsOptionalDecidesNothing:
    def test_a_film_is_made_though_the_caches_disk_is_full(self, account: Path, full: Path, tmp_path: Path):
        film = tmp_path / "film.mp4"
        done = ended(
            SCRIPT, "render", str(photo()), DEMO, "-o", str(film), "--duration", "0.2", *SMALL,
            XDG_CACHE_HOME=str(full), NUMBA_CACHE_DIR=str(full / "kernels"),
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        assert film.stat().st_size > 1000
        assert done.stderr.count("Nothing is kept to save time") == 1, done.stderr
        assert str(full) in done.stderr
        assert "no space is left" in done.stderr

    @pytest.mark.slow
    @pytest.mark.timeout(400)
    @pytest.mark.skipif(not ROOT or not shutil.which("setpriv"), reason="needs root and setpriv")
    def test_an_account_without_a_home_makes_films_and_calls(self, account: Path, tmp_path: Path):
        """As `docker run --user`: installed by root, nothing of one's own but the folder for the result."""
        out, run = account / "out", account / "own"
        for folder in (account, out, run):
            folder.mkdir(exist_ok=True)
            folder.chmod(0o777)
        world = ["env", "-i", f"PATH={os.environ['PATH']}", f"STREAMFX_MODELS_DIR={store().root}"]
        nobody = [*NOBODY, *world, "HOME=/nonexistent", f"XDG_RUNTIME_DIR={run}", SCRIPT]
        pictures = [str(photo()), DEMO, "-o", str(out / "film.mp4"), "--duration", "0.2"]
        done = ended(*nobody, "render", *pictures, *SMALL)
        assert done.returncode == 0, done.stderr
        assert done.stderr.count("Nothing is kept") == 1, done.stderr
        assert "/nonexistent/.cache/streamfx cannot be made: permission denied" in done.stderr
        called = ["--portrait", str(photo()), "--source", "demo", "--camera", "none"]
        done = ended(*nobody, "live", *called, "--duration", "2", *SMALL)
        assert done.returncode == 0, done.stderr
        assert done.stderr.count("Nothing is kept") == 1, done.stderr
        assert "Portraits are not kept beyond this run: The folder /nonexistent/.local" in done.stderr
        assert list((run / "streamfx").glob("*/*")) == [], "of the photo nothing is left"
        done = ended(*nobody, "serve")
        assert (done.returncode, done.stderr.count("\n")) == (1, 2), done.stderr
        assert "The folder /nonexistent/.local/share/streamfx/portraits cannot be made" in done.stderr
        assert "XDG_DATA_HOME" in done.stderr
        done = ended(*[one for one in nobody if "RUNTIME" not in one], "live", *called)
        assert "The folder /nonexistent/.cache/streamfx/run" in done.stderr
        assert "XDG_RUNTIME_DIR" in done.stderr

    def test_a_cache_that_cannot_be_read_does_not_hide_why_a_photo_is_refused(
        self, account: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ):
        cache = account / "cache_home" / "streamfx"
        cache.mkdir()
        (cache / "rigs").symlink_to("rigs")  # of the errors one that root meets, too
        blank, places = tmp_path / "blank.png", account / "portraits"
        cv2.imwrite(str(blank), np.full((300, 300, 3), 128, np.uint8))
        with pytest.raises(PhotoError, match=r"No face was found in a\\1"):
            Portraits(places, SIZE).add(blank, name=r"a\1")
        assert list(places.iterdir()) == []
        assert f"The folder {cache / 'rigs'} cannot be read" in caplog.text
        assert main(["cache", "list"]) == 1

    def test_a_runtime_folder_that_takes_no_picture_is_said_once_until_it_does(
        self, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ):
        folder, loaded = tmp_path / "idle", []
        cast = PortraitPool(SIZE, store(), loaded.append, nullcontext(), "", folder)
        file = PortraitFile("astro", str(photo()))
        plain = SessionSettings(selected="astro", refine="off", mouth="procedural")
        try:
            for red, is_open in enumerate((False, False, True, False)):
                shutil.rmtree(folder, ignore_errors=True)
                folder.unlink(missing_ok=True)
                if not is_open:
                    folder.touch()
                background = Background(BackgroundKind.COLOUR, f"#0{red}0000")
                cast.prepare(WorkerConfig(replace(plain, background=background), (file,)))
                until(lambda: len(loaded) > red, 60)  # noqa: B023 - called at once
                assert bool(loaded[-1].idle) is is_open
        finally:
            cast.stop()
        said = [text for text in caplog.messages if "At rest an older picture is shown" in text]
        assert len(said) == 2
        assert all("XDG_RUNTIME_DIR" in text for text in said)

    def test_a_model_that_finds_no_room_is_not_blamed_on_the_network(self, full: Path):
        row = store().rows[0]
        unreachable = replace(row, origins=(UrlOrigin("http://127.0.0.1:9/model"),))
        with pytest.raises(ModelMissing, match=r"cannot be kept: .*no space is left") as refused:
            Store(full, (unreachable,)).ensure(row.name)
        assert refused.value.remedy == "Make room there, or set STREAMFX_MODELS_DIR to another folder"

    def test_compiled_functions_that_are_damaged_are_compiled_anew(self, tmp_path: Path):
        """Also where the damage could be unpickled and run: one bit of it, or files without our digest."""

        def flipped(held: bytes) -> bytes:
            middle = len(held) // 2
            return held[:middle] + bytes([held[middle] ^ 1]) + held[middle + 1 :]

        code = (
            "import sys, numpy as np\nfrom streamfx.render import compiler, kernels\n"
            "out = np.zeros((3, 3), np.float32)\n"
            "compiler.load_kept()\n"
            "loaded = len(kernels.normals.overloads)\n"
            "kernels.normals(np.eye(3, dtype=np.float32), np.array([[0, 1, 2]], np.int32), out)\n"
            "print(out.sum(), sum(kernels.normals.stats.cache_hits.values()), loaded)\n"
        )
        first = ended(sys.executable, "-c", code, NUMBA_CACHE_DIR=str(tmp_path))
        assert first.stdout.split()[1:] == ["0", "0"], first.stderr
        assert ended(sys.executable, "-c", code, NUMBA_CACHE_DIR=str(tmp_path)).stdout.split()[1:] == [
            "1",
            "1",
        ]
        for files_of, damaged in (("*.nbi", flipped), ("*.nbc", flipped), ("*.nb?", lambda held: held[:-32])):
            for path in tmp_path.rglob(files_of):
                path.write_bytes(damaged(path.read_bytes()))
            done = ended(sys.executable, "-c", code, NUMBA_CACHE_DIR=str(tmp_path))
            assert done.stdout.split()[:2] == [first.stdout.split()[0], "0"], done.stderr
        done = ended(sys.executable, "-c", code, NUMBA_CACHE_DIR=str(tmp_path))
        assert done.stdout.split()[1:] == ["1", "1"], "written over"

    def test_code_that_was_half_written_is_never_run(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
        """numba writes the index first: without its code it would lead to that of an older version."""
        source = tmp_path / "one.py"
        source.write_text("def f(x):\n    return x\n")
        monkeypatch.syspath_prepend(str(tmp_path))
        import one

        monkeypatch.setenv(kept.TOLD, "1")
        function = compiler.compiled(one.f)
        file = function._cache._cache_file

        def exhausted(*_: object) -> None:
            raise OSError(errno.ENOSPC, "No space left on device")

        monkeypatch.setattr(file, "_save_data", exhausted)
        assert function(2) == 2
        assert not Path(file._index_path).exists()

    def test_it_is_said_once_by_a_program_and_its_children(
        self, account: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ):
        (account / "file").touch()
        monkeypatch.setenv("XDG_CACHE_HOME", str(account / "file" / "below"))
        for _ in range(2):
            kept.check()
        assert [record.getMessage() for record in caplog.records] == [
            f"Nothing is kept to save time: the folder {account}/file/below/streamfx cannot be made: not a "
            "directory. Set XDG_CACHE_HOME to a folder that can be written."
        ]
        assert os.environ[kept.TOLD]

    @pytest.mark.parametrize(
        ("number", "remedy"),
        [
            (errno.ENOSPC, "Make room there, or set X"),
            (errno.EFBIG, "Raise the limit (ulimit -f unlimited), or set X"),
            (errno.EROFS, "Permit writing there, or set X"),
            (errno.ENOTDIR, "Set X"),
        ],
    )
    def test_the_remedy_is_of_what_the_system_said(self, number: int, remedy: str):
        error = write_failure(Path("/kept"), OSError(number, os.strerror(number)))
        error.__cause__ = OSError(number, os.strerror(number))
        assert where_else(error, "set X") == where_else(error.__cause__, "set X") == remedy


class TestDoctorTries:
    @pytest.mark.parametrize("row", ["cache", "data", "runtime"])
    def test_a_folder_that_only_seems_writable(
        self, account: Path, monkeypatch: pytest.MonkeyPatch, row: str
    ):
        for variable in ("XDG_CACHE_HOME", "XDG_DATA_HOME", "XDG_RUNTIME_DIR"):
            monkeypatch.setenv(variable, "/proc/nowhere")
        found = guarded(row, lambda: [doctor.CHECKS[row](row)])[0]
        assert found.state is (doctor.State.WARN if row == "cache" else doctor.State.FAIL)
        assert "/proc/nowhere" in found.finding
        assert found.remedy

    def test_a_disk_that_is_full(self, account: Path, full: Path, monkeypatch: pytest.MonkeyPatch):
        monkeypatch.setenv("XDG_CACHE_HOME", str(full))
        found = doctor.CHECKS["cache"]("cache")
        assert (found.state, "no space is left" in found.finding) == (doctor.State.WARN, True), found

    def test_it_leaves_nothing(self, account: Path):
        for row in ("cache", "data", "runtime", "compiler", "kept"):
            assert doctor.CHECKS[row](row).state is doctor.State.OK
        assert [one for one in account.rglob("*") if one.is_file() or one.name == "streamfx"] == []

    def test_a_file_in_the_folders_place(self, tmp_path: Path):
        (tmp_path / "file").touch()
        with pytest.raises(OutputError, match="cannot be made"):
            files.try_folder(tmp_path / "file")
        assert (tmp_path / "file").exists()


# -- deleted means gone --------------------------------------------------------------------------------------


def holding(folder: Path, needle: bytes) -> list[Path]:
    return [one for one in folder.rglob("*") if one.is_file() and needle in one.read_bytes()]


def traces(folder: Path, digest: str, pixels: bytes) -> list[Path]:
    """Files with a photo's digest, its bytes or its solved pixels in them, or with pictures at all."""
    named = holding(folder, digest.encode()) + holding(folder, digest.encode("utf-32-le"))
    data = photo().read_bytes()[1000:1200]
    pictures = [one for one in folder.rglob("*") if one.suffix in (".npz", ".jpg", ".part")]
    return sorted({*named, *holding(folder, data), *holding(folder, pixels), *pictures})


class TestDeletion:
    def test_of_a_portrait_nothing_is_left(self, account: Path):
        """With a reference, at two sizes, on two backgrounds, shown by a real worker; another one stays."""
        digest = sha256(photo().read_bytes()).hexdigest()
        portraits = Portraits(account / "data_home" / "streamfx" / "portraits", SIZE)
        sessions = Sessions(portraits, runtime=account / "runtime_dir")
        try:
            portraits.add(photo(), id="astro", references=[photo()])
            session = sessions.create(SessionSettings(Output("none", (200, 160), 30.0), "none", ("astro",)))
            until(lambda: not session.status().readying, 90, "loaded")
            until(lambda: list(account.rglob("idle-200x160.npz")), 20, "its idle portrait is kept")
            rig = pipeline.load_portrait(photo(), SIZE, store(), RigCache.default()).rig
            pixels = rig.plate[40:80].tobytes()
            assert len(traces(account, digest, pixels)) >= 6
            session.update(replace(session.settings, portraits=()))
            portraits.remove("astro")
        finally:
            sessions.close()
        assert traces(account, digest, pixels) == []
        assert list((account / "data_home" / "streamfx" / "portraits").iterdir()) == []

    def test_a_rig_that_is_solved_meanwhile_is_not_kept(
        self, account: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ):
        """The portrait is deleted between the photo's reading and the rig's saving, and its id taken anew."""
        mine = tmp_path / "photo"
        shutil.copy(photo(), mine)
        solving, deleted = threading.Event(), threading.Event()
        solve = pipeline.solve_rig

        def slowly(*what: object) -> object:
            rig = solve(*what)
            solving.set()
            assert deleted.wait(60)
            return rig

        monkeypatch.setattr(pipeline, "solve_rig", slowly)
        thread = threading.Thread(
            target=pipeline.load_portrait, args=(mine, SIZE, store(), RigCache.default())
        )
        thread.start()
        assert solving.wait(90)
        mine.write_bytes(b"another photo")
        deleted.set()
        thread.join()
        assert list((account / "cache_home").rglob("*.npz")) == []

    def test_an_addition_that_fails_late_leaves_nothing(self, account: Path, monkeypatch: pytest.MonkeyPatch):
        monkeypatch.setattr("streamfx.session.portraits._write", disk_is_full)
        portraits = Portraits(account / "data_home" / "portraits", SIZE)
        with pytest.raises(OutputError, match=r"cannot be kept in .*portraits: no space is left"):
            portraits.add(photo(), id="astro")
        assert [one for one in account.rglob("*") if one.is_file()] == []

    def test_what_cannot_be_deleted_is_told(self, account: Path, monkeypatch: pytest.MonkeyPatch):
        portraits = Portraits(account / "data_home" / "portraits", SIZE)
        portraits.add(photo(), id="astro")
        with monkeypatch.context() as patch:
            patch.setattr(Path, "rename", disk_is_full)
            with pytest.raises(OutputError, match="'astro' cannot be deleted"):
                portraits.remove("astro")
        assert portraits.get("astro")
        portraits.remove("astro")


def disk_is_full(*_: object) -> None:
    raise OSError(errno.ENOSPC, "No space left on device")


class TestCacheCommand:
    @pytest.fixture
    def rigs(self, account: Path) -> dict[str, Path]:
        """Files as the cache makes them: of two photos, of one with the other as its reference, of nobody."""
        folder = kept.rigs_folder()
        folder.mkdir(parents=True)
        own, other = sha256(photo().read_bytes()).hexdigest(), "b" * 64
        for name, photos in (("own", [own]), ("other", [other]), ("both", [other, own])):
            np.savez(folder / f"{name}.rig.npz", size=np.array([640, 480]), photos=np.array(photos))
        (folder / "foreign.rig.npz").write_bytes(b"PK no archive")
        (folder / ".own.rig.npz.1234.part").write_bytes(b"half")
        return {path.name.partition(".")[0]: path for path in folder.glob("*.npz")}

    def test_it_lists_what_where_and_how_large(
        self, rigs: dict[str, Path], account: Path, capsys: pytest.CaptureFixture[str]
    ):
        assert main(["cache", "list"]) == 0
        said = capsys.readouterr().out
        assert all(str(path) in said for path in rigs.values())
        assert "640x480" in said
        assert time.strftime("%Y-%m-") in said
        assert "in " + str(account) in doctor.CHECKS["kept"]("kept").finding

    def test_one_photo_is_cleared_and_others_stay(
        self, rigs: dict[str, Path], account: Path, capsys: pytest.CaptureFixture[str]
    ):
        assert main(["cache", "clear", str(photo())]) == 0
        assert [name for name, path in rigs.items() if path.exists()] == ["other"]
        assert not list(rigs["own"].parent.glob(".*"))

    def test_all_is_cleared_but_the_models(
        self, rigs: dict[str, Path], account: Path, capsys: pytest.CaptureFixture[str]
    ):
        (account / "cache_home" / "streamfx" / "models").mkdir()
        (account / "cache_home" / "streamfx" / "models" / "model").touch()
        assert main(["cache", "clear"]) == 0
        assert [one.name for one in account.rglob("*") if one.is_file()] == ["model"]
        assert main(["cache", "clear"]) == 0

    @pytest.mark.timeout(240)
    def test_it_is_cleared_beside_a_running_daemon_which_goes_on(
        self, account: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
    ):
        passing = account / "runtime_dir" / "streamfx" / "portraits" / "left"
        passing.mkdir(parents=True)
        (passing / "photo").write_bytes(photo().read_bytes())  # of a daemon that was killed
        turned = cv2.imencode(".png", cv2.flip(cv2.imread(str(photo())), 1))[1].tobytes()
        with Daemon(DaemonOptions(size=(200, 160))) as daemon:
            daemon.portraits.add(photo().read_bytes(), id="astro")
            daemon.portraits.add(turned, id="turned")
            asked = SessionSettings(Output("none", (200, 160), 30.0), DEMO, ("astro", "turned"))
            session = daemon.sessions.create(asked)
            until(lambda: session.status().state is State.LIVE, 90, "live")
            worker = session.status().worker_pid
            assert list((account / "cache_home").rglob("*.rig.npz"))
            assert main(["cache", "clear"]) == 0
            said = capsys.readouterr().out
            assert "2 portraits" in said
            assert "what the daemon that runs shows" in said
            assert passing.exists()
            assert list((account / "cache_home").rglob("*.npz")) == []
            session.update(replace(asked, selected="turned"))
            until(lambda: session.status().portrait == "turned", 60, "the other one is shown")
            until(lambda: session.status().state is State.LIVE, 30, "live again")
            assert session.status().worker_pid == worker
        assert main(["cache", "clear"]) == 0
        assert not passing.exists()
        assert list((account / "runtime_dir").rglob("*.npz")) == []

    def test_what_takes_its_name_meanwhile_is_deleted_too(
        self, account: Path, monkeypatch: pytest.MonkeyPatch
    ):
        """A rig is written to its end, and takes its name, between the folder's reading and its deletion."""
        folder = account / "rigs"
        folder.mkdir()
        (folder / ".one.part").write_bytes(b"pixels")
        unlink = os.unlink

        def late(name: str, **where: object) -> None:
            monkeypatch.setattr(os, "unlink", unlink)
            (folder / ".one.part").rename(folder / "one.rig.npz")
            unlink(name, **where)

        monkeypatch.setattr(os, "unlink", late)
        assert kept.clear_folder(folder) == len(b"pixels")
        assert not folder.exists()

    def test_a_photo_that_is_a_portrait_too_is_told(self, account: Path, capsys: pytest.CaptureFixture[str]):
        Portraits(account / "data_home" / "streamfx" / "portraits", SIZE).add(photo(), id="astro")
        assert main(["cache", "list"]) == 0
        assert "portrait astro at 160x120" in capsys.readouterr().out
        assert main(["cache", "clear", str(photo())]) == 0
        assert "streamfx ctl portraits remove astro" in capsys.readouterr().out
        assert kept.solved(kept.rigs_folder()) == []
