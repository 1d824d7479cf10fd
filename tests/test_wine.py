"""Windows' Python under Wine: saving and loading, a film, a portrait in OBS's camera while a worker dies.

It proves code paths, not drivers, real webcams or antivirus programs: streamfx never ran on a real Windows.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from pathlib import Path
from typing import Final

import av
import pytest

from streamfx import config
from streamfx.models.store import Store

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

ROOT: Final = Path(__file__).parent.parent
WINE: Final = ROOT / "scripts" / "wine"
NOT_INSTALLED: Final = 77
MOTION: Final = f"Z:{config.demo_motion_file()}"


@pytest.fixture(scope="module", autouse=True)
def wine():
    """Everything that Wine needs, fetched and set up."""
    store = Store.default()
    for status in store.verify():
        store.ensure(status.row.name)
    made = subprocess.run([WINE, "--prepare"], capture_output=True, text=True, check=False)
    if made.returncode == NOT_INSTALLED:
        pytest.skip("needs Wine (Debian: apt install wine wine64)")
    assert made.returncode == 0, made.stderr


@pytest.fixture(scope="module")
def photo():
    return f"Z:{Store.default().path('astronaut')}"


def run(*arguments: str, code: int = 0) -> str:
    """What Windows' Python prints."""
    done = subprocess.run([WINE, *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout


def test_the_machine_is_looked_at():
    told = run("-m", "streamfx", "doctor", "--json")
    checks = {one["name"]: one for one in json.loads(told)["checks"]}
    for name in ("python", "packages", "cache", "models", "networks", "codecs", "compiler", "module"):
        assert checks[name]["state"] == "ok", checks[name]


SAVING: Final = """
import sys
from pathlib import Path
from streamfx.errors import OutputError
from streamfx.files import atomic_output, read_bytes
folder = Path(sys.argv[1])
for text in (b"first", b"second"):
    with atomic_output(folder / "kept") as part:
        part.write_bytes(text)
    assert read_bytes(folder / "kept", 100) == text
with (folder / "kept").open("rb"):
    try:
        with atomic_output(folder / "kept") as part:
            part.write_bytes(b"third")
    except OutputError as error:
        print(error)
print(read_bytes(folder / "kept", 100), sorted(path.name for path in folder.iterdir()))
"""


def test_files_are_saved_whole_and_say_why_they_cannot_be(tmp_path):
    told = run("-c", SAVING, f"Z:{tmp_path}")
    assert "kept cannot be written: it is open in another program, or read-only. Close it there" in told
    assert "b'second' ['kept']" in told


def test_a_film_and_a_template_are_made(tmp_path, photo):
    film, template = tmp_path / "film.mp4", tmp_path / "motion.sfxm"
    told = run("-m", "streamfx", "render", photo, MOTION, "-o", f"Z:{film}", "--duration", "1")
    assert "30 FULL" in told, told
    with av.open(film) as container:
        pictures = [frame.to_ndarray(format="gray") for frame in container.decode(video=0)]
    assert len(pictures) == 30
    assert all(picture.std() > 20 for picture in pictures)
    run("-m", "streamfx", "record", f"Z:{film}", "-o", f"Z:{template}")
    again = tmp_path / "again.mp4"
    run("-m", "streamfx", "render", photo, f"Z:{template}", "-o", f"Z:{again}", "--duration", "0.5")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["again.mp4", "film.mp4", "motion.sfxm"]


def test_a_camera_shows_the_portrait_while_workers_die(tmp_path, photo):
    """`live` feeds OBS's queue, a second process reads it; the worker is killed on the way."""
    log, shown = tmp_path / "live.log", tmp_path / "shown.png"
    with log.open("wb") as sink:
        arguments = ["live", "--portrait", photo, "--source", "demo", "--duration", "120"]
        live = subprocess.Popen(
            [WINE, "-m", "streamfx", *arguments], stdout=sink, stderr=sink, start_new_session=True
        )
    try:
        wait_for(log, "choose the camera: OBS Virtual Camera")
        wait_for(log, "\nlive: ")
        reader = subprocess.Popen(
            [WINE, "tests/read_obs_queue.py", "16", f"Z:{shown}"], stdout=subprocess.PIPE, text=True
        )
        time.sleep(5)
        kill_worker()
        told = reader.communicate(timeout=120)[0]
    finally:
        os.killpg(live.pid, signal.SIGTERM)
        live.wait(30)
    seconds = [json.loads(line) for line in told.splitlines() if line.startswith("{")]
    assert reader.returncode == 0
    assert len(seconds) >= 10, told
    assert all(one["pictures"] > 0 and one["spread"] > 20 for one in seconds), told
    assert all(one["size"] == seconds[0]["size"] for one in seconds)
    assert "the worker is replaced" in log.read_text()
    with av.open(shown) as container:
        picture = next(container.decode(video=0)).to_ndarray(format="rgb24").astype(int)
    red, green, blue = (picture[..., channel].mean() for channel in range(3))
    assert picture.std() > 20
    assert red > green > blue - 20, "a portrait's colours"


def wait_for(log: Path, text: str) -> None:
    for _ in range(1200):
        if text in log.read_text():
            return
        time.sleep(0.1)
    pytest.fail(f"no {text!r} in: {log.read_text()}")


def kill_worker() -> None:
    """Wine's processes are Linux's, too."""
    killed = 0
    for place in Path("/proc").iterdir():
        try:
            command = (place / "cmdline").read_bytes()
            if b"python.exe" in command and b"'streamfx.worker'" in command:
                os.kill(int(place.name), signal.SIGKILL)
                killed += 1
        except (OSError, ValueError):
            continue
    assert killed == 1
