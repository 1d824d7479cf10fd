"""The portraits that the daemon knows: photos, checked once by a process of its own, kept on disk."""

from __future__ import annotations

import json
import logging
import os
import re
import secrets
import shutil
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from hashlib import sha256
from pathlib import Path
from typing import Any, Final

from streamfx import kept
from streamfx.errors import (
    GivenUp,
    LimitReached,
    OutputError,
    PhotoUnreadable,
    ResourceBusy,
    ResourceExists,
    ResourceMissing,
    SettingRefused,
    WorkerFailed,
)
from streamfx.files import PHOTO, atomic_output, make_folder, read_bytes
from streamfx.ipc.failure import Failure
from streamfx.ipc.spawn import own, run
from streamfx.limits import memory_kills, shortage
from streamfx.settings.session import ID
from streamfx.worker.protocol import Outcome, PortraitFile, Task

MOST: Final = 64
MOST_REFERENCES: Final = 8
MAX_BYTES: Final = 20 * 2**20
"""Of one photo."""
LONGEST_NAME: Final = 80

ELSEWHERE: Final = "Make room or permit writing there, or set XDG_DATA_HOME to another folder"
_PREPARE_S: Final = 60.0
_TURN_S: Final = 0.05
"""How often one that waits for its turn looks whether it was given up."""
_KILLED: Final = -9
_FACTS, _PHOTO, _THUMBNAIL = "portrait.json", "photo", "thumbnail.jpg"
_COPY: Final = r"\S*/\.[0-9a-f]{16}/photo|^photo\b|(?<=in )photo$|\bphoto\b(?=[:,])"
_KIND: Final = "portrait"
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class PortraitInfo:
    """A portrait, for people and programs."""

    id: str
    name: str
    size: tuple[int, int]
    """(width, height) px of the photo."""
    sha256: str
    """Of the photo's bytes."""
    references: int
    """Other photos of the person, for their own teeth."""
    findings: tuple[str, ...]
    """What about the photo will show in the result, a line each."""
    created_ns: int
    """Wall clock, ns since 1970; for people only."""


def read_portraits(folder: Path) -> list[PortraitInfo]:
    """The portraits that are kept in a folder; those that are damaged are left out.

    Raises:
        OutputError: it is there, and cannot be read.
    """
    return [info for entry in kept.entries(folder) if (info := _read(entry)) is not None]


class Portraits:
    """The portraits in one folder. Any thread may call."""

    def __init__(self, folder: Path, size: tuple[int, int]) -> None:
        """Read what is there; what is damaged is left out.

        Args:
            folder: made if it is not there.
            size: (width, height) px of the frame for which photos are solved when they are added.

        Raises:
            OutputError: the folder cannot be made or read.
        """
        self.users: Callable[[str], Sequence[str]] = lambda _id: ()
        """Sessions that hold a portrait; set by `Sessions`."""
        self.added: Callable[[str], object] = lambda _id: None
        """StopRequested of every new portrait; set by `Sessions`."""
        self._folder, self._size = folder.resolve(), size  # a worker follows no link
        self._lock, self._adding = threading.Lock(), threading.Lock()
        self._known: dict[str, PortraitInfo] = {}
        make_folder(self._folder, ELSEWHERE)
        for entry in kept.entries(self._folder):
            if entry.name.startswith("."):
                shutil.rmtree(entry, ignore_errors=True)  # an addition or deletion that was broken off
        self._known.update({info.id: info for info in read_portraits(self._folder)})

    def add(
        self,
        photo: bytes | Path,
        *,
        name: str = "",
        id: str = "",
        references: Sequence[bytes | Path] = (),
        given_up: threading.Event | None = None,
        urgent: bool = False,
    ) -> PortraitInfo:
        """Check a photo and keep it. Takes some seconds; others wait for their turn meanwhile.

        Args:
            photo: its bytes, or a file that the caller may read.
            name: for people; by default the file's.
            id: by default made from the name.
            references: other photos of the person.
            given_up: set by others, it ends this at once, and nothing is kept.
            urgent: a session waits for it: others do not go first, and the portrait at rest is drawn there.

        Raises:
            GivenUp: it was set.
            PhotoError, RigUnsolvable: it cannot be animated.
            ResourceExists, LimitReached, SettingRefused, OutputError: it cannot be kept so.
        """
        name = name or (photo.stem if isinstance(photo, Path) else "portrait")
        _check_name(name)
        if len(references) > MOST_REFERENCES:
            raise SettingRefused(
                "references", f"there are {len(references)}", f"Give at most {MOST_REFERENCES}"
            )
        given_up = given_up or threading.Event()
        with self._turn(given_up):
            id = self._free_id(id, name)
            place = self._folder / f".{secrets.token_hex(8)}"
            try:
                draft = PortraitInfo(id, name, (0, 0), "", 0, (), 0)
                info = self._prepared(place, photo, references, draft, given_up, urgent)
                place.rename(self._folder / id)
            except OSError as error:
                cause, remedy = shortage(f"The portrait cannot be kept in {self._folder}", error, ELSEWHERE)
                raise OutputError(cause, remedy) from error
            finally:
                self._leave_nothing(place)
        with self._lock:
            self._known[id] = info
        self.added(id)
        return info

    def get(self, id: str) -> PortraitInfo:
        """A portrait by its identifier.

        Raises:
            ResourceMissing: there is none.
        """
        with self._lock:
            info = self._known.get(id)
        if info is None:
            raise ResourceMissing(
                _KIND, id, f"There is no portrait {id!r}", "`streamfx ctl portraits list` shows all"
            )
        return info

    def list(self) -> list[PortraitInfo]:
        """All, oldest first."""
        with self._lock:
            return sorted(self._known.values(), key=lambda info: (info.created_ns, info.id))

    def rename(self, id: str, name: str) -> PortraitInfo:
        """Give a portrait another name for people. Raises as `get` and `add`."""
        _check_name(name)
        info = replace(self.get(id), name=name)
        _write(self._folder / id, info)
        with self._lock:
            self._known[id] = info
        return info

    def remove(self, id: str) -> None:
        """Forget a portrait and delete its files, and whatever else was made of its photo.

        Raises:
            ResourceMissing: there is none.
            ResourceBusy: a session holds it.
            OutputError: not everything can be deleted.
        """
        info = self.get(id)
        if users := self.users(id):
            cause = f"The portrait {id!r} is in use by the session {users[0]!r}"
            raise ResourceBusy(_KIND, id, cause, "Take it out of that session first")
        place = self._folder / f".{secrets.token_hex(8)}"
        try:
            (self._folder / id).rename(place)  # whoever still writes into it finds it no more
            with self._lock:
                self._known.pop(id, None)
            shutil.rmtree(place)
        except OSError as error:
            cause = f"The portrait {id!r} cannot be deleted from {self._folder}: {error.strerror}"
            raise OutputError(cause, f"Delete it by hand: {error.filename}") from error
        if (rigs := kept.rigs_folder()) is not None:
            kept.forget(rigs, info.sha256)  # those that a worker saves from now on, it deletes itself

    def thumbnail(self, id: str) -> bytes:
        """A JPEG of at most 256 px a side. Raises as `get`."""
        self.get(id)
        try:
            return (self._folder / id / _THUMBNAIL).read_bytes()
        except OSError as error:
            what = f"The thumbnail of {id!r} cannot be read"
            raise ResourceMissing(_KIND, id, *shortage(what, error, "Add the portrait again")) from error

    def file(self, id: str) -> PortraitFile:
        """What a worker needs to know of a portrait. Raises as `get`."""
        info, folder = self.get(id), self._folder / id
        return PortraitFile(id, str(folder / _PHOTO), tuple(_references(folder, info.references)))

    def is_of(self, id: str, digest: str) -> bool:
        """Whether a portrait is still there, and of the photo whose bytes have that sha256."""
        with self._lock:
            info = self._known.get(id)
        return info is not None and info.sha256 == digest

    def idle(self, id: str, size: tuple[int, int], *, cut_out: bool = False) -> Path:
        """Where the idle portrait is kept, as last shown at that size, whole or cut out; perhaps none."""
        return self._folder / id / _idle_name(size, cut_out)

    def keep_idle(self, id: str, size: tuple[int, int], made: Path, *, cut_out: bool = False) -> None:
        """Keep a worker's idle portrait for the next start; that it cannot be kept is no reason to fail."""
        target = self.idle(id, size, cut_out=cut_out)
        with suppress(OSError, OutputError), atomic_output(target) as part:
            shutil.copyfile(made, part)

    def _leave_nothing(self, place: Path) -> None:
        """Delete what an addition that failed has left, if there is anything."""
        photo, rigs = place / _PHOTO, kept.rigs_folder()
        try:
            if os.path.exists(photo) and rigs is not None:
                digest = sha256(photo.read_bytes()).hexdigest()
                if all(one.sha256 != digest for one in self.list()):
                    kept.forget(rigs, digest)
        except OutputError as error:  # nor could anything be kept there; why the addition failed is told
            _log.warning("Nothing that may be kept of a refused photo can be found: %s", error)
        finally:
            shutil.rmtree(place, ignore_errors=True)

    def _free_id(self, id: str, name: str) -> str:
        with self._lock:
            taken = set(self._known)
        if len(taken) >= MOST:
            raise LimitReached(_KIND, id, f"There are {MOST} portraits already", "Remove one first")
        if not id:
            base = re.sub(r"[^a-z0-9]+", "-", name.lower())[:32].strip("-") or "portrait"
            return next(
                one for one in (base, *(f"{base}-{n}" for n in range(2, MOST + 2))) if one not in taken
            )
        if not ID.fullmatch(id):
            raise SettingRefused("id", f"it is {id!r}", "Use up to 40 of a-z, 0-9 and - inside")
        if id in taken:
            raise ResourceExists(
                _KIND, id, f"There is a portrait {id!r} already", "Choose another identifier"
            )
        return id

    @contextmanager
    def _turn(self, given_up: threading.Event) -> Iterator[None]:
        """One photo at a time is added, during the block."""
        while not (taken := self._adding.acquire(timeout=_TURN_S)) and not given_up.is_set():
            pass
        try:
            if given_up.is_set():
                raise GivenUp("The photo was not looked at: nobody waits for it any more")
            yield
        finally:
            if taken:
                self._adding.release()

    def _prepared(
        self,
        place: Path,
        photo: bytes | Path,
        references: Sequence[bytes | Path],
        draft: PortraitInfo,
        given_up: threading.Event,
        urgent: bool,
    ) -> PortraitInfo:
        """Copy the photos to `place` and have them looked at."""
        place.mkdir(mode=0o700)
        (place / _PHOTO).write_bytes(_bytes(photo))
        for path, reference in zip(_references(place, len(references)), references, strict=True):
            Path(path).write_bytes(_bytes(reference))
        task = Task(
            str(place / _PHOTO),
            tuple(_references(place, len(references))),
            *self._size,
            str(place / _THUMBNAIL),
            "" if urgent else str(place / _idle_name(self._size, cut_out=False)),
            urgent,
        )
        outcome = _looked_at(task, given_up, draft.name)
        now = (place / _PHOTO).stat().st_mtime_ns
        info = replace(
            draft, size=(outcome.width, outcome.height), sha256=outcome.sha256, references=len(references),
            findings=tuple(outcome.findings), created_ns=now,
        )  # fmt: skip
        _write(place, info)
        return info


def _idle_name(size: tuple[int, int], cut_out: bool) -> str:
    return f"idle-{size[0]}x{size[1]}{'-alone' if cut_out else ''}.npz"


def _check_name(name: str) -> None:
    if not name.isprintable() or not 0 < len(name) <= LONGEST_NAME:
        raise SettingRefused(
            "name", "it is empty, too long or not printable", f"Use 1 to {LONGEST_NAME} letters"
        )


def _bytes(photo: bytes | Path) -> bytes:
    data = photo if isinstance(photo, bytes) else read_bytes(photo, MAX_BYTES, PHOTO)
    if not 0 < len(data) <= MAX_BYTES:
        cause = f"The photo has {len(data) / 1e6:.1f} MB"
        raise PhotoUnreadable(cause, f"Use one of at most {MAX_BYTES / 2**20:.0f} MiB")
    return data


def _references(folder: Path, count: int) -> list[str]:
    return [str(folder / f"reference-{number}") for number in range(1, count + 1)]


def _looked_at(task: Task, given_up: threading.Event, name: str) -> Outcome:
    """What the child tells of a photo; its errors without the path of its own copy."""
    line, kills = (json.dumps(asdict(task)) + "\n").encode(), memory_kills()
    try:
        code, said, _ = run(own("streamfx.worker.prepare"), given=line, limit_s=_PREPARE_S, given_up=given_up)
    except TimeoutError as error:
        cause = f"The photo took longer than {_PREPARE_S:.0f} s"
        raise PhotoUnreadable(cause, "Use a smaller or simpler one") from error
    except OSError as error:
        raise WorkerFailed(*shortage("No process can be started", error)) from error
    try:
        fields: dict[str, Any] = json.loads(said)
    except ValueError as error:
        if code == _KILLED and memory_kills() > kills:
            cause = "The system ended the process that looked at the photo, for memory ran out"
            raise WorkerFailed(cause, "Close programs, or give it more memory") from error
        if code < 0:
            cause = f"Looking at the photo broke off (signal {-code})"
            raise PhotoUnreadable(cause, "Save it anew as JPEG or PNG") from error
        cause = f"The process that looks at photos failed (code {code})"
        raise WorkerFailed(
            cause, "Its reason stands above, or in the daemon's log; see `streamfx doctor`"
        ) from error
    if failure := Failure.told(fields):
        cause = re.sub(_COPY, lambda _: name, failure.cause)
        raise replace(failure, cause=cause).as_error(PhotoUnreadable)
    return Outcome(**{**fields, "findings": tuple(fields["findings"])})


def _read(folder: Path) -> PortraitInfo | None:
    """What a folder says of its portrait; None if it is none."""
    try:
        facts = json.loads((folder / _FACTS).read_text("utf-8"))
        width, height = (int(side) for side in facts.pop("size"))
        info = PortraitInfo(**{**facts, "findings": tuple(facts["findings"])}, size=(width, height))
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None
    return info if info.id == folder.name and os.path.isfile(folder / _PHOTO) else None


def _write(folder: Path, info: PortraitInfo) -> None:
    with atomic_output(folder / _FACTS) as part:
        part.write_text(json.dumps(asdict(info), indent=1), "utf-8")
