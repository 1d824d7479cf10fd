"""What is kept to save time, and can be made again: solved photos, compiled functions, engines.

None of it decides whether anything works. What cannot be read is made anew; what cannot be written is left
out, and that is said once, by whichever process of a program meets it first.
"""

from __future__ import annotations

import errno
import logging
import os
import shutil
import stat
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from streamfx import config
from streamfx.errors import OutputError, StreamfxError, UsageError
from streamfx.files import try_folder, where_else

DAMAGED: Final = (OSError, ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile, zlib.error)
"""What reading a damaged or foreign NPZ file raises."""

TOLD: Final = "STREAMFX_CACHE_TOLD"
"""Variable by which children know that it was said."""
_ELSEWHERE: Final = "set XDG_CACHE_HOME to a folder that can be written"

_TRIES: Final = 10
"""Of deleting a folder into which others write."""

_log = logging.getLogger(__name__)


def check() -> None:
    """Try the folder of all this, before children are started: else each of them would have to say so."""
    try:
        try_folder(config.cache_folder())
    except StreamfxError as error:
        left_out(error.cause, error)


def left_out(cause: str, error: BaseException) -> None:
    """Say, unless it was said, that work is done anew each time.

    Args:
        cause: a clause that names the folder and why it cannot be used.
        error: of which that is the cause.
    """
    if not os.environ.get(TOLD):
        os.environ[TOLD] = "1"
        _log.warning(
            "Nothing is kept to save time: %s. %s.",
            cause[:1].lower() + cause[1:],
            where_else(error, _ELSEWHERE),
        )


@dataclass(frozen=True, slots=True)
class Solved:
    """A file with a solved photo, in which are the photo's pixels."""

    path: Path
    photos: tuple[str, ...]
    """sha256 of the photo's bytes, and of its references'; none where the file does not say."""
    size: tuple[int, int]
    """(width, height) px of the frame."""
    bytes: int
    made_ns: int
    """Wall clock, ns since 1970."""


def rigs_folder() -> Path | None:
    """Where solved photos are kept (portrait/cache.py); None where this account has no folder for it."""
    try:
        return config.cache_folder() / "rigs"
    except UsageError as error:
        left_out(error.cause, error)
        return None


def solved(folder: Path) -> list[Solved]:
    """All solved photos in a folder; those of damaged files are of no photo.

    Raises:
        OutputError: it is there, and cannot be read.
    """
    return list(_entries(folder))


def forget(folder: Path, photo: str = "") -> int:
    """Delete every file in which a photo's pixels are, and what does not say of which photo it is.

    Args:
        folder: of solved photos.
        photo: sha256 of its bytes; empty for all photos.

    Returns:
        The number of bytes.

    Raises:
        OutputError: some of it cannot be found or deleted.
    """
    # A killed process's, or about to be finished:
    unfinished = [(path, 0) for path in entries(folder) if path.match(".*.part")]
    whole = [
        (one.path, one.bytes)
        for one in solved(folder)
        if not (photo and one.photos and photo not in one.photos)
    ]
    for path, _ in (*unfinished, *whole):
        try:
            path.unlink(missing_ok=True)
        except OSError as error:
            raise OutputError(f"{path} cannot be deleted: {error.strerror}", "Delete it by hand") from error
    return sum(size for _, size in whole)


def entries(folder: Path) -> list[Path]:
    """What lies in a folder, by name; nothing where it is not there.

    Raises:
        OutputError: it cannot be read.
    """
    try:
        return sorted(folder.iterdir())
    except OSError as error:
        _require_absence(error)
        return []


def files_below(folder: Path) -> list[Path]:
    """The files below a folder; none where it is not there.

    Raises:
        OutputError: it, or a folder in it, cannot be read.
    """
    found = os.walk(folder, onerror=_require_absence)
    return [Path(at, name) for at, _, names in found for name in names]


def _require_absence(error: OSError) -> None:
    if not isinstance(error, FileNotFoundError | NotADirectoryError):
        cause = f"The folder {error.filename} cannot be read: {(error.strerror or str(error)).lower()}"
        raise OutputError(cause, "Change its permissions, or become its owner") from error


def size_of(folder: Path) -> int:
    """Bytes of the files below a folder. Raises as `files_below`."""
    total = 0
    for path in files_below(folder):
        with suppress(OSError):  # deleted meanwhile
            facts = path.lstat()
            total += facts.st_size if stat.S_ISREG(facts.st_mode) else 0
    return total


def clear_folder(folder: Path) -> int:
    """Delete all files below a folder, though others may write there; the number of their bytes.

    Raises:
        OutputError: some of it cannot be found or deleted.
    """
    size = size_of(folder)
    for left in reversed(range(_TRIES)):
        try:
            if os.path.lexists(folder):
                shutil.rmtree(folder)
            break
        except OSError as error:
            # A file took its name, or came, meanwhile: the rest is still there.
            if left and error.errno in (errno.ENOENT, errno.ENOTEMPTY):
                continue
            cause = f"{error.filename or folder} cannot be deleted: {error.strerror}"
            raise OutputError(cause, "Delete it by hand") from error
    return size


def _entries(folder: Path) -> Iterator[Solved]:
    for path in (one for one in entries(folder) if one.suffix == ".npz"):
        with suppress(FileNotFoundError):  # deleted meanwhile
            facts = path.stat()
            yield Solved(path, *_told(path), facts.st_size, facts.st_mtime_ns)


def _told(path: Path) -> tuple[tuple[str, ...], tuple[int, int]]:
    """The photos and the frame's size that a file names."""
    import numpy as np

    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
            width, height = (int(side) for side in arrays["size"])
            return tuple(str(one) for one in arrays["photos"]), (width, height)
    except DAMAGED:
        return (), (0, 0)
