"""Paths that come from elsewhere: they lead to ordinary files beneath allowed folders, or nowhere.

The way is walked part by part from the folder's own descriptor, following no link, so what is opened is what
was checked, whoever renames folders meanwhile. All refusals have the same words: nobody learns from them
whether a file exists elsewhere.
"""

from __future__ import annotations

import errno
import os
import re
import stat
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final, NoReturn

from streamfx.errors import UsageError

LONGEST: Final = 1024
"""Characters of a path."""
REMEDY: Final = (
    "Allow its folder, `streamfx serve --root FOLDER` or [files] roots; links on the way are not followed"
)
"""Of what is refused, for whoever may start the daemon."""
SUPPORTED: Final = os.open in os.supports_dir_fd and hasattr(os, "O_NOFOLLOW")
"""Whether this system can walk folders by their descriptors."""

_ADDRESS: Final = re.compile(r"^[a-z][a-z0-9+.-]*:", re.IGNORECASE)
"""`file:`, `http:`, `concat:` and their kin, and a drive of Windows."""
_FOLDER: Final = os.O_RDONLY | getattr(os, "O_DIRECTORY", 0) | getattr(os, "O_CLOEXEC", 0)
_NO_LINK: Final = getattr(os, "O_NOFOLLOW", 0)
_FILE: Final = os.O_RDONLY | _NO_LINK | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_CLOEXEC", 0)


class PathRefused(UsageError):  # noqa: N818 - leaves are named by what happened
    """A path that leads to no ordinary file beneath an allowed folder. Says no more, whatever the reason."""

    def __init__(self) -> None:
        super().__init__("The path names no ordinary file in an allowed folder", REMEDY)


def resolve_beneath(roots: Sequence[Path], path: str) -> Path:
    """The real path of an existing, ordinary, readable file beneath one of the folders.

    What is opened later by this path should be opened by `open_unlinked`: folders may change meanwhile.

    Raises:
        PathRefused: there is none, for whatever reason.
    """
    root, parts = _found(roots, path)
    return root.joinpath(*parts)


def open_beneath(roots: Sequence[Path], path: str) -> int:
    """A descriptor, for reading, of an ordinary file beneath one of the folders; the caller closes it.

    Raises:
        PathRefused: there is none, for whatever reason.
    """
    for root, parts in _candidates(roots, path):
        with suppress(OSError):
            return _open_file(root, parts)
    raise PathRefused


def open_unlinked(path: Path) -> int:
    """A descriptor, for reading, of an ordinary file whose path was resolved before; the caller closes it.

    Raises:
        OSError: there is none, or a link lies on the way: somebody put it there since.
    """
    if not path.is_absolute():
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(path))
    return _open_file(Path(path.anchor), path.parts[1:])


def enter_unlinked(folder: Path) -> None:
    """Make a folder, whose path was resolved before, this process's own: what is named plainly lies in it.

    Raises:
        OSError: there is none, or a link lies on the way: somebody put it there since.
    """
    if sys.platform == "win32" or not SUPPORTED:
        os.chdir(folder)
        return
    with _walked(Path(folder.anchor), folder.parts[1:]) as inner:
        os.fchdir(inner)


def read_beneath(roots: Sequence[Path], path: str, limit: int) -> bytes:
    """All bytes of an ordinary file beneath one of the folders.

    Raises:
        PathRefused: there is none, or it has more than `limit` bytes.
    """
    with os.fdopen(open_beneath(roots, path), "rb") as file:
        data = file.read(limit + 1)
    if len(data) > limit:
        raise PathRefused
    return data


def new_beneath(roots: Sequence[Path], path: str, suffix: str) -> Path:
    """The real path of a file that does not exist yet, in a writable folder beneath one of the roots.

    Raises:
        PathRefused: there is no such folder, something of that name exists, or it has another suffix.
    """
    for root, parts in _candidates(roots, path):
        with suppress(OSError), _walked(root, parts[:-1]) as folder:
            if is_free(folder, parts[-1], suffix):
                return root.joinpath(*parts)
    raise PathRefused


def is_free(folder: int, name: str, suffix: str) -> bool:
    """Whether a file of that name can be made in a folder, given by its descriptor, and ends in the suffix.

    Raises:
        OSError: the name cannot be looked up.
    """
    if (
        not name.lower().endswith(suffix)
        or name.lower() == suffix
        or not os.access(".", os.W_OK, dir_fd=folder)
    ):
        return False
    try:
        os.stat(name, dir_fd=folder, follow_symlinks=False)
    except FileNotFoundError:
        return True
    return False


def _found(roots: Sequence[Path], path: str) -> tuple[Path, tuple[str, ...]]:
    for root, parts in _candidates(roots, path):
        with suppress(OSError):
            os.close(_open_file(root, parts))
            return root, parts
    raise PathRefused


def _candidates(roots: Sequence[Path], path: str) -> Iterator[tuple[Path, tuple[str, ...]]]:
    """Each real root with the parts of the way below it, where the text names any."""
    _check_text(path)
    for root in roots:
        real = Path(os.path.realpath(root))
        for base in dict.fromkeys((root.absolute(), real)):
            parts = _parts_below(base, path)
            if parts:
                yield real, parts


def _check_text(path: str) -> None:
    if not SUPPORTED or not 0 < len(path) <= LONGEST or not path.isprintable() or _ADDRESS.match(path):
        raise PathRefused
    if "\\" in path or path.endswith(("/", "/.")) or ".." in path.split("/"):
        raise PathRefused


def _parts_below(base: Path, path: str) -> tuple[str, ...]:
    """Empty where the path does not lie below the base, by its text alone."""
    named = Path(path)
    if not named.is_absolute():
        return named.parts if path[0] != "~" else ()
    return named.relative_to(base).parts if named.is_relative_to(base) else ()


@contextmanager
def _walked(root: Path, folders: Sequence[str]) -> Iterator[int]:
    """A descriptor of the innermost folder, reached without following a link."""
    held = os.open(root, _FOLDER | _NO_LINK)
    try:
        for name in folders:
            inner = os.open(name, _FOLDER | _NO_LINK, dir_fd=held)
            os.close(held)
            held = inner
        yield held
    finally:
        os.close(held)


def _open_file(root: Path, parts: Sequence[str]) -> int:
    with _walked(root, parts[:-1]) as folder:
        # Looked at before it is opened: opening alone can stir a device or wake a pipe's writer.
        _require_file(os.stat(parts[-1], dir_fd=folder, follow_symlinks=False).st_mode)
        descriptor = os.open(parts[-1], _FILE, dir_fd=folder)
    try:
        _require_file(os.fstat(descriptor).st_mode)
    except OSError:
        os.close(descriptor)
        raise
    return descriptor


def _require_file(mode: int) -> None:
    if not stat.S_ISREG(mode):
        _refuse()


def _refuse() -> NoReturn:
    raise OSError(errno.EINVAL, "it is no ordinary file")
