"""Files that are handed to the daemon: which it takes, for how long, and that it opens none by a name."""

from __future__ import annotations

import os
import random
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from control_stage import Stage, naming, until

from streamfx.client import Client
from streamfx.errors import SettingRefused, UsageError
from streamfx.files import PHOTO, read_bytes
from streamfx.ipc import handed
from streamfx.ipc.handed import (
    FETCH,
    GIVEN,
    OFFER,
    REFUSED,
    TOKEN_LENGTH,
    Offering,
    named,
    socket_beside,
    spec_of,
    token_of,
)
from streamfx.ipc.peers import can_hand_over
from streamfx.session.handed import MOST_CONNECTIONS, MOST_OFFERS, HandedFiles
from streamfx.settings.session import Background, BackgroundKind, SessionSettings

ROOT = str(Path(__file__).parents[1])
pytestmark = pytest.mark.skipif(not can_hand_over(), reason="files are handed over on Linux only")


@pytest.fixture
def place() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="handed-") as folder:
        yield Path(folder) / "files"


@pytest.fixture
def files(place: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[HandedFiles]:
    """A daemon's, and this process is one of its workers."""
    monkeypatch.setattr(handed, "_place", place)
    with closing(HandedFiles(place)) as files:
        files.listen()
        yield files


@pytest.fixture
def film(tmp_path: Path) -> Path:
    path = tmp_path / "film.mp4"
    path.write_bytes(bytes(range(256)) * 4)
    return path


def opened() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def test_a_file_is_read_by_its_token_from_its_beginning_each_time(
    files: HandedFiles, place: Path, film: Path
):
    """The name may lead elsewhere by then, and readers do not move one another's place."""
    with Offering(place) as offering:
        with film.open("rb") as own:
            own.seek(100)
            spec = offering.offer(own.fileno(), film)
        assert named(f"Of {spec}: well") == f"Of {film}: well"
        content = film.read_bytes()
        film.unlink()
        film.symlink_to("/etc/passwd")
        with handed.open_handed(spec) as one, handed.open_handed(spec) as other:
            assert (one.read(3), other.read(2), one.read(2)) == (content[:3], content[:2], content[3:5])
            assert (other.seek(-4, os.SEEK_END), other.read(), other.tell()) == (1020, content[-4:], 1024)
            buffer = bytearray(4)
            assert (one.readinto(buffer), bytes(buffer)) == (4, content[5:9])
            assert (one.name, other.read(1)) == (str(film), b"")
            with pytest.raises(OSError, match="Bad file descriptor"):
                os.write(one.fileno(), b"x")
        assert read_bytes(Path(spec), 2000, PHOTO) == content


def test_it_is_had_for_as_long_as_it_is_offered_or_held(files: HandedFiles, place: Path, film: Path):
    before = opened()
    with Offering(place) as offering, film.open("rb") as own:
        kept, dropped = offering.offer(own.fileno(), film), offering.offer(own.fileno(), film)
        files.hold("one", [kept, "demo", "/a/path"])
        files.hold("two", [kept])
    until(lambda: opened() == before + 1)
    with pytest.raises(SettingRefused, match="taken back"):
        files.require("source", dropped)
    with pytest.raises(SettingRefused, match="taken back"):
        files.hold("one", [kept, dropped])
    files.hold("one", [])
    handed.open_handed(kept).close()
    files.hold("two", ["none"])
    until(lambda: opened() == before)
    with pytest.raises(OSError, match="taken back"):
        handed.fetch(kept)


def test_what_is_no_file_opened_for_reading_is_refused(files: HandedFiles, place: Path, film: Path):
    before = opened()
    os.mkfifo(film.with_name("pipe"))
    flags = {
        film: (os.O_RDWR, os.O_WRONLY, os.O_PATH),
        film.with_name("pipe"): (os.O_RDWR, os.O_RDONLY | os.O_NONBLOCK),
        Path("/dev/zero"): (os.O_RDONLY,),
        Path("/proc/self/ns/net"): (os.O_PATH,),
    }
    with Offering(place) as offering, socket.socket() as other:
        for path, ways in flags.items():
            for way in ways:
                descriptor = os.open(path, way)
                with pytest.raises(OSError, match=r"no ordinary file|for reading only"):
                    offering.offer(descriptor, path)
                os.close(descriptor)
        with pytest.raises(OSError, match="no ordinary file"):
            offering.offer(other.fileno(), film)
        folder = os.open(film.parent, os.O_RDONLY)
        spec = offering.offer(folder, film)
        os.close(folder)
        with pytest.raises(SettingRefused, match="a folder was handed over"):
            files.require("source", spec)
        with film.open("rb") as own:
            spec = offering.offer(own.fileno(), film)
        with pytest.raises(SettingRefused, match="a file was handed over"):
            files.require("path", spec, folder=True)
    until(lambda: opened() == before)


def test_there_is_a_limit_to_files_and_connections(files: HandedFiles, place: Path, film: Path):
    before = opened()
    with Offering(place) as offering, film.open("rb") as own:
        for _ in range(MOST_OFFERS):
            offering.offer(own.fileno(), film)
        with pytest.raises(OSError, match="At most"):
            offering.offer(own.fileno(), film)
    until(lambda: opened() == before)
    crowd = [Offering(place) for _ in range(MOST_CONNECTIONS)]
    with (
        Offering(place) as late,
        film.open("rb") as own,
        pytest.raises(OSError, match=r"Too many|Broken pipe|reset"),
    ):
        late.offer(own.fileno(), film)
    for one in crowd:
        one.close()
    until(lambda: opened() == before)


def test_nonsense_costs_nothing(files: HandedFiles, place: Path, film: Path):
    before = opened()
    paths = (b"", b"/a", b"relative", b"\xff", b"/a\x1b[2J", b"/" + b"a" * 1000)
    tokens = (b"", b"/etc/passwd", b"a" * 22)
    packets = [b"x", b"a" * 60_000, *(OFFER + path for path in paths), *(FETCH + one for one in tokens)]
    with film.open("rb") as own:
        for packet in packets:
            for descriptors in ([], [own.fileno()] * 2, [own.fileno()] * 9):
                with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as rude:
                    rude.connect(str(place))
                    socket.send_fds(rude, [packet], descriptors)
                    assert rude.recv(4096).startswith(REFUSED), packet
        with Offering(place) as offering:
            assert token_of(offering.offer(own.fileno(), film))
    until(lambda: opened() == before)


def answers(fine: bytes, count: int) -> list[bytes]:
    """Of a daemon, changed by chance: mostly a few bytes, or a piece of it."""
    chance = random.Random(13)
    odd = (b"", b"\xff\xfe", b"\x1b[2J", b"\0", b"handed:", REFUSED, GIVEN, b"/etc/passwd", b"a" * 4000)
    made = []
    for _ in range(count):
        answer = bytearray(chance.choice((fine, fine, fine, REFUSED + b"It was not understood")))
        at = chance.randrange(len(answer))
        match chance.randrange(4):
            case 0:
                answer[at] ^= 1 << chance.randrange(8)
            case 1:
                answer[at:at] = chance.choice(odd)
            case 2:
                del answer[at:]
            case _:
                answer[at : at + chance.randrange(30)] = chance.choice(odd) + chance.randbytes(3)
        made.append(bytes(answer))
    return made


def offered(offering: Offering, descriptor: int, path: Path) -> str | OSError:
    try:
        return offering.offer(descriptor, path)
    except OSError as error:
        return error


def test_whatever_is_answered_stands_for_the_file_or_is_an_error_in_words(place: Path, film: Path):
    fine = spec_of("A" * TOKEN_LENGTH, str(film)).encode()
    before, taken = opened(), 0
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as listener, film.open("rb") as own:
        listener.bind(str(place))
        listener.listen()
        with Offering(place) as offering, listener.accept()[0] as daemon:
            for answer in [fine, *answers(fine, 1000)]:
                if not answer:
                    continue
                daemon.send(answer)
                told = offered(offering, own.fileno(), film)
                if isinstance(told, str):
                    assert told == spec_of(token_of(told) or "", str(film)), answer
                    taken += 1
                else:
                    assert told.strerror.isprintable(), answer
                    assert answer != fine
                daemon.recv(4096)
            daemon.close()
            with pytest.raises(OSError, match="It hung up"):
                offering.offer(own.fileno(), film)
    assert 30 < taken < 970, "some are taken, since another token is as good, and some are not"
    assert opened() == before


BECOME = """
import os, socket, sys
os.chdir(sys.argv[1])  # whatever lies above is not theirs to enter
os.setgroups([]), os.setgid(65534), os.setuid(65534)
"""
STRANGER = """
with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as other:
    other.connect("files")
    with open("/etc/passwd", "rb") as file:
        try:
            socket.send_fds(other, [b"SFXFILE 1 offer /etc/passwd"], [file.fileno()])
        except OSError:
            pass
    print(other.recv(4096).decode())
"""
LISTENER = """
listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
listener.bind("files")
os.chmod("files", 0o666)
listener.listen()
print("on", flush=True)
print(len(socket.recv_fds(listener.accept()[0], 4096, 4)[1]))
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can be another user")
def test_another_user_is_refused_and_trusted_with_nothing(files: HandedFiles, place: Path, film: Path):
    place.parent.chmod(0o755)
    place.chmod(0o666)  # as if the folder's rights were no help
    strangers = [sys.executable, "-I", "-c"]
    done = subprocess.run(
        [*strangers, BECOME + STRANGER, str(place.parent)],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert "its own user only" in done.stdout, done
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o777)
        theirs = Path(folder) / "files"
        with subprocess.Popen(
            [*strangers, BECOME + LISTENER, folder], stdout=subprocess.PIPE, text=True
        ) as stranger:
            assert stranger.stdout is not None
            assert stranger.stdout.readline() == "on\n"
            with pytest.raises(PermissionError, match="another user's"):
                Offering(theirs)
            assert stranger.stdout.readline() == "0\n", "nothing was handed to them"


def test_the_daemon_opens_nothing_by_its_name(
    stage: Stage, film: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """A person names files in their own folder, in another process; all that this one opens is noted."""
    seen: list[str] = []

    def note(event: str, arguments: tuple[object, ...]) -> None:
        if event in ("open", "os.listdir", "os.scandir") and watching:
            seen.append(str(arguments[0]))

    watching = False
    sys.addaudithook(note)
    (tmp_path / "ümlaut \x07.png").write_bytes(b"picture")
    stage.session("one")
    watching = True
    for words in (
        ["source", "film.mp4"],
        ["source", "~/film.mp4"],
        ["background", "image", "ümlaut \x07.png"],
        ["sessions", "create", "--id", "two", "--source", "./film.mp4", "--camera", "none"],
        ["record", "made.mp4", "--duration", "0.1", "--session", "one"],
    ):
        session = [] if "sessions" in words or "record" in words else ["--session", "one"]
        address = ["--address", str(stage.server.socket)]
        done = subprocess.run(
            [sys.executable, "-m", "streamfx", "ctl", *words, *session, *address],
            cwd=tmp_path, env={**os.environ, "HOME": str(tmp_path), "PYTHONPATH": ROOT},
            capture_output=True, text=True, check=False, timeout=60,
        )  # fmt: skip
        assert done.returncode == 0, done
    watching = False
    assert [path for path in seen if "film" in path or "ümlaut" in path] == []
    one = stage.sessions.kept["one"].settings
    assert (named(one.source), named(str(one.background.image))) == (str(film), f"{tmp_path}/ümlaut ?.png")
    assert named(stage.sessions.kept["two"].settings.source) == str(film)
    monkeypatch.setattr(handed, "_place", socket_beside(stage.server.socket))
    assert read_bytes(Path(one.source), 2000, PHOTO) == film.read_bytes()
    assert read_bytes(one.background.image or Path(), 2000, PHOTO) == b"picture"
    stage.sessions.delete("two")
    with Client.connect(stage.server.socket) as client:
        shown = client.get_session("one").settings
        assert handed.PREFIX not in f"{shown.source} {shown.background.image}"
        client.update_session("one", SessionSettings(), ["source", "background"])
    with pytest.raises(OSError, match="taken back"):
        handed.fetch(one.source)


def test_without_handing_over_the_roots_are_told_of(stage: Stage, film: Path):
    stage.session("one")
    wanted = SessionSettings(
        source=str(film), background=Background(BackgroundKind.IMAGE, image=film.with_suffix(".png"))
    )
    with naming(stage.server.socket) as elsewhere:
        for call in (
            lambda: elsewhere.update_session("one", wanted, ["source"]),
            lambda: elsewhere.update_session("one", wanted, ["background"]),
            lambda: elsewhere.create_session(wanted),
            lambda: next(elsewhere.record("one", str(film.with_name("new.mp4")))),
            lambda: elsewhere.create_portrait(str(film)),
        ):
            with pytest.raises(UsageError, match=r"--root FOLDER. or \[files\] roots"):
                call()
        made_up = handed.spec_of("a" * handed.TOKEN_LENGTH, str(film))
        with pytest.raises(SettingRefused, match="not handed over, or taken back"):
            elsewhere.update_session("one", SessionSettings(source=made_up), ["source"])
