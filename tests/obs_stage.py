"""A private OBS for tests: its own display, configuration and network, driven through obs-websocket."""

from __future__ import annotations

import base64
import ctypes
import json
import mmap
import os
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from types import MappingProxyType
from typing import Any, Self

import cv2
import numpy as np
from pipewire_stage import end, missing, wait_for

PROGRAMS = ("obs", "Xvfb", "cmake", "cc", "protoc-c", "unshare", "ip")
PLUGIN = Path(__file__).parents[1] / "plugins" / "obs"
LIBOBS = Path("/usr/include/obs/obs-module.h")
SOURCE = "streamfx_portrait_source"
PORT = 4455
LAST_VERSION = 29 << 24 | 2
"""Whoever ran a version before is not asked by its wizard."""
SCREEN = (1280, 800)
READY_S = 10.0
_NOT_YET = (207, 702)
"""Of a request: OBS is still starting; there is no picture of a source that has no size yet."""
_SUB_HEADER_WORDS = 25
"""Numbers in front of the pixels of Xvfb's frame buffer file; the first is the size of all in front."""

GLOBAL = f"""[General]
FirstRun=true
Pre19Defaults=false
Pre21Defaults=false
Pre23Defaults=false
Pre24.1Defaults=false
LastVersion={LAST_VERSION}
InfoIncrement=1
EnableAutoUpdates=false
HotkeyFocusType=NeverDisableHotkeys

[Basic]
Profile=test
ProfileDir=test
SceneCollection=test
SceneCollectionFile=test

[OBSWebSocket]
FirstLoad=false
ServerEnabled=true
ServerPort={PORT}
AlertsEnabled=false
AuthRequired=false
"""
PROFILE = """[General]
Name=test

[Output]
Mode=Simple

[SimpleOutput]
FilePath={films}
RecFormat=mkv
RecQuality=Small
RecEncoder=x264
VBitrate=2500

[Video]
BaseCX={width}
BaseCY={height}
OutputCX={width}
OutputCY={height}
FPSType=0
FPSCommon=30
"""


def missing_for_obs() -> str:
    """What hinders a private OBS, as a reason to skip; empty if nothing does."""
    if os.geteuid() != 0:
        return "a network of its own needs root"
    try:
        import websockets.sync.client  # noqa: F401
    except ImportError:
        return "not installed: the package websockets"
    if reason := missing(*PROGRAMS):
        return reason
    if not LIBOBS.exists():
        return "not installed: libobs-dev"
    possible = subprocess.run(["unshare", "-n", "true"], capture_output=True, check=False)
    return "" if possible.returncode == 0 else "no network namespaces here"


def build_plugin(folder: Path) -> Path:
    """Built, and laid out as in a user's folder of plugins."""
    build, plugins = folder / "build", folder / "plugins"
    for command in (
        ["cmake", "-S", PLUGIN, "-B", build, "-DCMAKE_BUILD_TYPE=RelWithDebInfo", "-DWARNINGS_ARE_ERRORS=ON"],
        ["cmake", "--build", build],
        ["cmake", "--install", build, "--component", "user", "--prefix", plugins],
    ):
        done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
    return plugins


def leaks(log: str) -> int:
    """Allocations that OBS counted as lost, by what it said at its end."""
    found = re.search(r"Number of memory leaks: (\d+)", log)
    assert found, log[-2000:]
    return int(found[1])


def leaks_without_plugins(folder: Path) -> int:
    """Of this OBS alone. `folder`: an empty one."""
    folder.mkdir()
    with ObsStage(folder) as bare:
        time.sleep(2.0)  # told to end while it starts, it may crash
        return leaks(bare.quit())


def _without_streamfx(path: str) -> str:
    """Sources start a daemon where there is none; here they find no program, unless a test names it."""
    folders = path.split(os.pathsep)
    return os.pathsep.join(one for one in folders if not (Path(one) / "streamfx").exists())


class ObsStage:
    """Use it in a `with` block.

    Args:
        plugins: a folder as `build_plugin` makes it.
        size: of the canvas, in px.
        environment: that OBS has besides.
    """

    def __init__(
        self,
        plugins: Path,
        size: tuple[int, int] = (640, 480),
        environment: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        self._plugins, self._size, self._given = plugins, size, environment
        self._programs: list[subprocess.Popen[bytes]] = []
        self._opened = ExitStack()

    def __enter__(self) -> Self:
        self.folder = Path(tempfile.mkdtemp(prefix="obs-"))  # short, for sockets
        self.runtime = self.folder / "run" / "streamfx"
        self.runtime.mkdir(parents=True)
        self.films = self.folder / "films"
        self.films.mkdir()
        self._configure(self.folder / "config" / "obs-studio")
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("XDG_", "DBUS_"))}
        self.environment = {**kept, **self._given} | {
            "HOME": str(self.folder),
            "PATH": _without_streamfx(kept.get("PATH", os.defpath)),
            "XDG_CONFIG_HOME": str(self.folder / "config"),
            "XDG_RUNTIME_DIR": str(self.folder / "run"),
            "LIBGL_ALWAYS_SOFTWARE": "1",
            "QT_QPA_PLATFORM": "xcb",
            "LANG": "C.UTF-8",
        }
        try:
            self._open_display()
            self._open_obs()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._opened.close()
        for program in reversed(self._programs):
            end(program)
        shutil.rmtree(self.folder, ignore_errors=True)

    def _configure(self, folder: Path) -> None:
        width, height = self._size
        (folder / "basic" / "profiles" / "test").mkdir(parents=True)
        (folder / "basic" / "scenes").mkdir()
        (folder / "global.ini").write_text(GLOBAL)
        profile = PROFILE.format(films=self.films, width=width, height=height)
        (folder / "basic" / "profiles" / "test" / "basic.ini").write_text(profile)
        scene = {"name": "Scene", "id": "scene", "versioned_id": "scene", "settings": {"items": []}}
        scenes = {
            "name": "test", "current_scene": "Scene", "current_program_scene": "Scene",
            "current_transition": "Cut", "scene_order": [{"name": "Scene"}], "sources": [scene],
            "transitions": [], "groups": [], "quick_transitions": [], "transition_duration": 300,
        }  # fmt: skip
        (folder / "basic" / "scenes" / "test.json").write_text(json.dumps(scenes))
        shutil.copytree(self._plugins, folder / "plugins")

    def _start(self, *command: str, keep: tuple[int, ...] = ()) -> subprocess.Popen[bytes]:
        with (self.folder / f"{command[0]}.log").open("wb") as log:
            program = subprocess.Popen(
                command, env=self.environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                pass_fds=keep, start_new_session=True,
            )  # fmt: skip
        self._programs.append(program)
        return program

    def _open_display(self) -> None:
        read, write = os.pipe()
        width, height = SCREEN
        screen = ("-screen", "0", f"{width}x{height}x24", "-fbdir", str(self.folder), "-nolisten", "tcp")
        self._start("Xvfb", "-displayfd", str(write), *screen, keep=(write,))
        os.close(write)
        with os.fdopen(read) as display:
            self.environment["DISPLAY"] = f":{display.readline().strip()}"

    def _open_obs(self) -> None:
        """In a network of its own: it listens on every address, and looks for updates."""
        options = "--multi --disable-missing-files-check --disable-updater --collection test --profile test"
        inside = f"ip link set lo up && exec obs --verbose {options}"
        self.obs = self._start("unshare", "-n", "sh", "-c", inside)
        wait_for(self._connect, f"no answer of OBS\n{self.log()[-2000:]}", 90.0)

    def _connect(self) -> bool:
        assert self.obs.poll() is None, self.log()[-2000:]
        self._tried: socket.socket | None = None
        thread = threading.Thread(target=self._connect_inside)
        thread.start()
        thread.join()
        if self._tried is None:
            return False
        from websockets.sync.client import connect

        address = f"ws://127.0.0.1:{PORT}"
        client = connect(address, sock=self._tried, max_size=None, compression=None)
        self._client = self._opened.enter_context(client)
        assert json.loads(self._client.recv(10))["op"] == 0
        self._client.send(json.dumps({"op": 1, "d": {"rpcVersion": 1, "eventSubscriptions": 0}}))
        assert json.loads(self._client.recv(10))["op"] == 2
        self._last = 0
        return True

    def _connect_inside(self) -> None:
        """A socket belongs to the network its thread was in; only this thread enters that of OBS."""
        try:
            network = os.open(f"/proc/{self.obs.pid}/ns/net", os.O_RDONLY)
        except OSError:
            return
        try:
            if ctypes.CDLL(None, use_errno=True).setns(network, 0x40000000) == 0:
                self._tried = socket.create_connection(("127.0.0.1", PORT), 1.0)
        except OSError:
            pass
        finally:
            os.close(network)

    def call(self, request: str, **data: object) -> dict[str, Any]:
        """A request of obs-websocket 5.1; its answer. OBS is not ready for all of them at once."""
        end = time.monotonic() + READY_S
        while True:
            self._last += 1
            asked = {"requestType": request, "requestId": str(self._last), "requestData": data}
            self._client.send(json.dumps({"op": 6, "d": asked}))
            answer = json.loads(self._client.recv(30))["d"]
            status = answer["requestStatus"]
            if status["code"] not in _NOT_YET:
                break
            assert time.monotonic() < end, f"{request}: {status}"
            time.sleep(0.02)
        assert status["result"], f"{request}: {status}"
        return answer.get("responseData") or {}

    def add(self, kind: str, name: str, settings: Mapping[str, object] | None = None) -> int:
        """A source in the scene, on top; the number of its item. Ours starts no daemon unless told to."""
        own = {"start_daemon": False} if kind == SOURCE else {}
        made = self.call(
            "CreateInput",
            sceneName="Scene",
            inputName=name,
            inputKind=kind,
            inputSettings={**own, **(settings or {})},
        )
        return int(made["sceneItemId"])

    def shot(self, name: str) -> np.ndarray:
        """u8 [h, w, 4]: a source or scene as it is now; red first, alpha last."""
        said = self.call("GetSourceScreenshot", sourceName=name, imageFormat="png")["imageData"]
        data = base64.b64decode(said.partition(",")[2])
        picture = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
        return cv2.cvtColor(picture, cv2.COLOR_BGRA2RGBA if picture.shape[2] == 4 else cv2.COLOR_BGR2RGBA)

    def screen(self) -> np.ndarray:
        """u8 [h, w, 3], red first: the display's own memory, as it changes; costs OBS nothing."""
        file = os.open(self.folder / "Xvfb_screen0", os.O_RDONLY)
        memory = mmap.mmap(file, 0, access=mmap.ACCESS_READ)
        os.close(file)
        words = np.frombuffer(memory, ">u4", _SUB_HEADER_WORDS)
        start, width, height, row = (
            int(words[0] + 12 * words[19]),
            int(words[4]),
            int(words[5]),
            int(words[12]),
        )
        pixels = np.frombuffer(memory, np.uint8, height * row, start).reshape(height, row)
        return pixels[:, : 4 * width].reshape(height, width, 4)[..., 2::-1]

    def log(self) -> str:
        """What OBS said."""
        return (self.folder / "unshare.log").read_text("utf-8", "replace")

    def memory_mb(self) -> float:
        """Resident."""
        fields = Path(f"/proc/{self.obs.pid}/statm").read_text().split()
        return int(fields[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6

    def start_again(self) -> None:
        """After `quit`, with the scenes as OBS kept them."""
        self._open_obs()

    def quit(self) -> str:
        """End OBS as a user would, with the whole log as the result."""
        self._opened.close()
        self.obs.send_signal(signal.SIGINT)
        code = self.obs.wait(30)
        assert code == 0, f"OBS ended with {code}\n{self.log()[-2000:]}"
        return self.log()
