"""The only opener of files that a person names: regular files only, sizes checked, results saved atomically.

A path that a person typed may be a symlink; it is resolved once, and what is opened is what was checked.
Every reader starts at `open_regular` and every writer at `atomic_output`. Paths that come over the network
are checked by confine.py; the worker, which opens them later, follows no link (`refuse_links`).
"""

from __future__ import annotations

import errno
import os
import re
import secrets
import stat
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from io import FileIO
from pathlib import Path
from typing import Final, NamedTuple, NoReturn

from streamfx.confine import SUPPORTED, open_unlinked
from streamfx.errors import (
    MotionUnreadable,
    OutputError,
    PhotoUnreadable,
    SourceMissing,
    SourceUnreadable,
    StreamfxError,
    UsageError,
)
from streamfx.importing import current_folder
from streamfx.interrupts import held
from streamfx.ipc.handed import is_handed, named, open_handed
from streamfx.limits import is_shortage, shortage


class Subject(NamedTuple):
    """What a file is to the person, and which errors tell of it."""

    name: str
    """With its article, as a sentence begins: "The photo"."""
    missing: type[StreamfxError]
    unfit: type[StreamfxError]


ANY_FILE: Final = Subject("The file", UsageError, UsageError)
PHOTO: Final = Subject("The photo", PhotoUnreadable, PhotoUnreadable)
DRIVER: Final = Subject("The video", SourceMissing, SourceUnreadable)
TEMPLATE: Final = Subject("The motion template", MotionUnreadable, MotionUnreadable)

_CHECK_NAME: Final = "Check the spelling of the path"
_ADDRESS: Final = re.compile(r"^[a-z][a-z0-9+.-]+:/", re.IGNORECASE)
"""As pathlib leaves it of `https://…`; one letter before the colon is a drive of Windows."""
_READ_FLAGS: Final = (
    os.O_RDONLY
    | getattr(os, "O_NONBLOCK", 0)  # a FIFO that slipped in must not block the open
    | getattr(os, "O_NOFOLLOW", 0)  # resolved once: a link put there since is an attack
    | getattr(os, "O_NOCTTY", 0)
    | getattr(os, "O_CLOEXEC", 0)
    | getattr(os, "O_BINARY", 0)
)
_PART_FLAGS: Final = (
    os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0)
)

_MENDED: Final = {
    errno.ENOSPC: "Make room there",
    errno.EDQUOT: "Make room there",
    errno.EFBIG: "Raise the limit (ulimit -f unlimited)",
    errno.EACCES: "Permit writing there",
    errno.EPERM: "Permit writing there",
    errno.EROFS: "Permit writing there",
}
_WRITE_FAILURES: Final[dict[int, tuple[str, str]]] = {
    errno.ENOSPC: ("no space is left on the disk", "Free some space, or write to another disk"),
    errno.EDQUOT: ("the disk quota is used up", "Free some space, or write to another disk"),
    errno.EFBIG: (
        "the file grew beyond the size limit",
        "Raise the limit (ulimit -f), or write to another disk",
    ),
    errno.EROFS: ("the file system is read-only", "Write to another folder"),
    errno.EACCES: ("no permission in this folder", "Choose a folder of your own, or change its permissions"),
    errno.EPERM: ("no permission in this folder", "Choose a folder of your own, or change its permissions"),
    errno.ENOENT: ("its folder does not exist", "Create the folder first"),
    errno.ENOTDIR: ("a part of its path is not a folder", _CHECK_NAME),
    errno.EISDIR: ("it is a folder", "Name a file"),
    errno.ENAMETOOLONG: ("its name is too long", "Choose a shorter name"),
    errno.ELOOP: ("its links lead in a circle", _CHECK_NAME),
    errno.EIO: ("the disk reports an error", "Write to another disk"),
}
_IN_USE: Final = (5, 32, 33)
"""Windows' numbers (access denied, sharing, lock violation): a file that is open there cannot be replaced."""
_TRIAL_BYTES: Final = 1 << 16
_EXHAUSTED: Final = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
"""What a write in the middle can run into; other errors of the block may be about another file."""


_follows_links = True


def refuse_links() -> None:
    """From now on this process opens resolved paths only, and follows no link on their way.

    For processes that open what another has checked: a link that lies there now was put there since. Files to
    be written are named plainly, in the folder that the process has entered (confine.enter_unlinked).
    """
    global _follows_links  # noqa: PLW0603 - what a process may open is one thing for all of it
    _follows_links = False


def check_readable(path: Path, what: Subject = ANY_FILE) -> Path:
    """The resolved path of a regular, readable file; nothing is opened.

    Raises:
        `what.missing`: there is no such file, or no permission.
        `what.unfit`: it is a folder, a FIFO, a socket or a device.
    """
    try:
        resolved = path.resolve(strict=True)
        mode = resolved.stat().st_mode
    except (OSError, ValueError, RuntimeError) as error:  # a NUL byte; a loop of links before Python 3.13
        _raise_unopened(path, what, error)
    _require_regular(mode, path, what)
    if not os.access(resolved, os.R_OK, effective_ids=os.access in os.supports_effective_ids):
        raise what.missing(f"{what.name} {path} may not be read by this user", "Change its permissions")
    return resolved


def open_regular(path: Path, what: Subject = ANY_FILE) -> FileIO:
    """The file opened for reading, unbuffered, its `name` the resolved path. Errors as `check_readable`."""
    if is_handed(path):
        return _open_handed(path, what)
    if not _follows_links and SUPPORTED:
        return _open_resolved(path, what)
    resolved = check_readable(path, what)
    try:
        file = FileIO(resolved, "rb", opener=lambda name, _flags: os.open(name, _READ_FLAGS))
    except OSError as error:
        _raise_unopened(path, what, error)
    try:
        _require_regular(os.fstat(file.fileno()).st_mode, path, what)
    except StreamfxError:
        file.close()
        raise
    return file


def _open_handed(path: Path, what: Subject) -> FileIO:
    """One that a client opened and handed to the daemon: whatever its path leads to now."""
    try:
        return open_handed(path)
    except OSError as error:
        cause = f"{what.name} {named(str(path))} is not to be had any more: {_reason(error)}"
        raise what.missing(cause, "Name it again") from error


def _open_resolved(path: Path, what: Subject) -> FileIO:
    try:
        return FileIO(path, "rb", opener=lambda _name, _flags: open_unlinked(path))
    except OSError as error:
        _raise_unopened(path, what, error)


def read_bytes(path: Path, limit: int, what: Subject = ANY_FILE) -> bytes:
    """All bytes of a file of at most `limit` bytes.

    Raises:
        `what.missing`, `what.unfit`: as `check_readable`, and for a file that is empty or beyond the limit.
    """
    with open_regular(path, what) as file:
        try:
            data = _read_up_to(file, limit + 1)
        except OSError as error:
            raise what.unfit(
                f"{what.name} {path} cannot be read: {_reason(error)}", "Copy it anew"
            ) from error
    if not data:
        raise what.unfit(f"{what.name} {path} is empty (0 bytes)", "Copy or download it again")
    if len(data) > limit:
        raise what.unfit(
            f"{what.name} {path} is larger than the limit of {_size(limit)}", "Use a smaller file"
        )
    return data


def _size(count: int) -> str:
    return f"{count / 1e6:.0f} MB" if count >= 1e6 else f"{count / 1e3:.0f} kB"


def check_writable(path: Path) -> None:
    """Try whether `atomic_output` would work, and leave nothing; raises as it does."""
    target = _check_target(path)
    with held():  # else Ctrl-C between the two would leave the file
        part = _create_part(target)
        with suppress(OSError):
            part.unlink()


def make_folder(path: Path, remedy: str = "Choose another folder, or change the permissions") -> None:
    """Make a folder for this user only, with those above it; it may be there.

    Raises:
        OutputError: it cannot be made, or is something else.
    """
    try:
        path.mkdir(parents=True, exist_ok=True, mode=0o700)
    except OSError as error:
        raise OutputError(f"The folder {path} cannot be made: {_reason(error)}", remedy) from error


def try_folder(
    path: Path, remedy: str = "Choose another folder, or change the permissions", size: int = _TRIAL_BYTES
) -> None:
    """Try whether a file of so many bytes can be made in a folder, which is made if need be; nothing is left.

    Raises:
        OutputError: the folder cannot be made, or takes no file.
    """
    new = [one for one in (path, *path.parents) if not os.path.lexists(one)]
    try:
        make_folder(path, remedy)
        part = path / f".trial.{secrets.token_hex(4)}.part"
        try:
            part.write_bytes(bytes(size))
        except OSError as error:
            raise OutputError(write_failure(path, error).cause, remedy) from error
        finally:
            with suppress(OSError):
                part.unlink()
    finally:
        for one in new:
            with suppress(OSError):  # somebody has put something there meanwhile
                one.rmdir()


def same_file(a: Path, b: Path) -> bool:
    """Whether both paths lead to one file (links followed), or would, if they do not exist yet."""
    try:
        return a.samefile(b)
    except (OSError, ValueError):
        return os.path.realpath(a) == os.path.realpath(b)


@contextmanager
def atomic_output(path: Path) -> Iterator[Path]:
    """A hidden, empty file beside `path` to write into; it takes the name `path` when the block succeeds.

    The bytes are on the disk before the name is taken. When the block fails, in whatever way, the hidden
    file is removed and what was at `path` before is untouched.

    Raises:
        OutputError: the folder is missing or not writable, the target is no regular file, or the disk, the
            quota or the size limit is exhausted (also when the block itself raised that `OSError`).
    """
    target = _check_target(path)
    part: Path | None = None
    try:
        with held():
            part = _create_part(target)
        with _write_errors(path, _EXHAUSTED):
            yield part
        with _write_errors(path, tuple(_WRITE_FAILURES)):
            _sync(part, os.O_RDWR)  # Windows flushes only what may be written
            part.replace(target)
    finally:
        with held(), suppress(OSError):  # after success the name is gone; a vanished folder needs no clean-up
            if part is not None:
                part.unlink(missing_ok=True)
    sync_folder(target.parent)


@contextmanager
def _write_errors(path: Path, numbers: tuple[int, ...]) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno not in numbers:
            raise
        raise write_failure(path, error) from error


def write_failure(path: Path, error: OSError) -> OutputError:
    """The error a person sees for a failed write to `path`."""
    if getattr(error, "winerror", None) in _IN_USE and os.path.exists(path):
        cause = "it is open in another program, or read-only"
        return OutputError(f"{path} cannot be written: {cause}", "Close it there, or choose another name")
    what, known = f"{path} cannot be written", _WRITE_FAILURES.get(error.errno or 0)
    if known is None:
        return OutputError(*shortage(what, error, "Write to another place"))
    return OutputError(f"{what}: {known[0]}", known[1])


def where_else(error: BaseException, place: str) -> str:
    """What to do where a folder of ours takes no file.

    Args:
        error: the system's, or one that it caused.
        place: another one, as a clause: "set X to another folder".
    """
    while error.__cause__ is not None and not isinstance(error, OSError):
        error = error.__cause__
    first = _MENDED.get(getattr(error, "errno", None) or 0)
    return f"{first}, or {place}" if first else place[:1].upper() + place[1:]


def _raise_unopened(path: Path, what: Subject, error: OSError | ValueError | RuntimeError) -> NoReturn:
    if isinstance(error, FileNotFoundError) and _ADDRESS.match(str(path)):
        address = _ADDRESS.sub(lambda scheme: scheme[0] + "/", str(path))
        cause = f"{what.name} {address} is an address, not a file"
        raise what.missing(cause, "Download it first: streamfx opens no addresses") from error
    if isinstance(error, FileNotFoundError) and str(path) == "-":
        raise what.missing(f"{what.name} cannot be read from standard input", "Name a file") from error
    if isinstance(error, FileNotFoundError):
        if not path.is_absolute() and not current_folder():
            cause = f"{what.name} {path} cannot be found: the current folder is gone"
            raise what.missing(cause, "Go to another: cd") from error
        raise what.missing(f"{what.name} {path} does not exist", _CHECK_NAME) from error
    if isinstance(error, PermissionError):
        raise what.missing(
            f"{what.name} {path} may not be read by this user", "Change its permissions"
        ) from error
    if is_shortage(error) and isinstance(error, OSError):
        raise what.missing(*shortage(f"{what.name} {path!s:.200} cannot be opened", error)) from error
    raise what.missing(
        f"{what.name} {path!s:.200} cannot be opened: {_reason(error)}", _CHECK_NAME
    ) from error


def _require_regular(mode: int, path: Path, what: Subject) -> None:
    if not stat.S_ISREG(mode):
        raise what.unfit(f"{what.name} {path} is {_kind(mode)}, not a file", "Name an ordinary file")


def _kind(mode: int) -> str:
    if stat.S_ISDIR(mode):
        return "a folder"
    if stat.S_ISFIFO(mode):
        return "a pipe"
    if stat.S_ISSOCK(mode):
        return "a socket"
    return "a device"


def _reason(error: BaseException) -> str:
    if isinstance(error, RuntimeError) or getattr(error, "errno", 0) == errno.ELOOP:
        return "its links lead in a circle"
    text = getattr(error, "strerror", None) or str(error)
    return text[:1].lower() + text[1:]


def _read_up_to(file: FileIO, count: int) -> bytes:
    """At most `count` bytes: a file that grows while it is read is cut off as well."""
    chunks: list[bytes] = []
    while count > 0 and (chunk := file.read(min(count, 1 << 20))):
        chunks.append(chunk)
        count -= len(chunk)
    return b"".join(chunks)


def _check_target(path: Path) -> Path:
    """The target, resolved where links are followed: missing, or a regular file that may be replaced."""
    target = path
    try:
        target = Path(os.path.realpath(path)) if _follows_links else path
        mode = target.stat(follow_symlinks=_follows_links).st_mode
    except FileNotFoundError:
        return target
    except (OSError, ValueError) as error:
        cause = error if isinstance(error, OSError) else OSError(errno.EINVAL, str(error))
        raise write_failure(path, cause) from error
    if not stat.S_ISREG(mode):
        raise OutputError(f"{path} cannot be written: it is {_kind(mode)}", "Name a file")
    return target


def _create_part(target: Path) -> Path:
    """A new, empty, hidden file beside the target, with the permissions that the umask leaves."""
    part = target.with_name(f".{target.name[:40]}.{secrets.token_hex(4)}.part")
    try:
        os.close(os.open(part, _PART_FLAGS, 0o666))
    except OSError as error:
        raise write_failure(target, error) from error
    return part


def sync_folder(folder: Path) -> None:
    """Bring a new name in a folder to the disk, where it can be done: not on Windows, not on every disk."""
    if sys.platform != "win32":
        with suppress(OSError):
            _sync(folder, os.O_RDONLY)


def _sync(path: Path, flags: int) -> None:
    descriptor = os.open(path, flags)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
