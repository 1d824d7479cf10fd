"""The caller's own files on their way to a daemon of the same user: opened here, handed over, not named.

By TCP, and to a daemon that takes no files (Windows, macOS), paths go as they are: they lie on its machine,
below its roots.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from dataclasses import replace
from pathlib import Path
from typing import Final, Self

from streamfx.errors import OutputError, UsageError
from streamfx.files import (
    DRIVER,
    PHOTO,
    TEMPLATE,
    Subject,
    check_writable,
    open_regular,
    read_bytes,
    write_failure,
)
from streamfx.ipc.handed import Offering
from streamfx.settings.notation import path_of
from streamfx.settings.session import BackgroundKind, SessionSettings, source_named
from streamfx.settings.source import SourceKind

LARGEST_PHOTO: Final = 20_000_000
"""bytes: what a daemon takes."""
_ALL: Final = "*"


class OwnFiles:
    """What one call hands over; offered until the block ends, by when a session has taken it."""

    def __init__(self, is_local: bool, place: Path | None) -> None:
        """Nothing is handed over yet.

        Args:
            is_local: whether the daemon is one of this user's on this machine: paths are the caller's.
            place: of the socket at which it takes files; None for none.
        """
        self._is_local, self._place = is_local, place
        self._offering: Offering | None = None
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def photo(self, photo: bytes | str | Path) -> bytes | str:
        """A photo's bytes; of a `str` by TCP, the path on the daemon's machine.

        Raises:
            PhotoUnreadable: the file cannot be read, or is too large.
        """
        if isinstance(photo, bytes) or (isinstance(photo, str) and not self._is_local):
            return photo
        return read_bytes(path_of(str(photo)), LARGEST_PHOTO, PHOTO)

    def settings(
        self, settings: SessionSettings, fields: Sequence[str] = (), before: SessionSettings | None = None
    ) -> SessionSettings:
        """The settings with the files in them handed over.

        Args:
            settings: with paths of the caller's, absolute, relative, or from `~`.
            fields: those that will be taken; empty for all.
            before: what the session has: a file that it names in the same way is the session's already.

        Raises:
            SourceMissing, SourceUnreadable, MotionUnreadable, PhotoUnreadable: there is no such file.
        """
        if not self._is_local:
            return settings
        background = settings.background
        names = {_ALL} if not fields else set(fields)
        is_new = before is None or settings.source != before.source
        named = source_named(settings.source)
        if names & {_ALL, "source"} and named.names_file and is_new:
            what = TEMPLATE if named.kind is SourceKind.TEMPLATE else DRIVER
            source = self._file(Path(settings.source), what)
            settings = replace(settings, source=source)
        is_new = before is None or background != before.background
        is_shown = background.kind is BackgroundKind.IMAGE and background.image is not None
        if names & {_ALL, "background", "background.image"} and is_shown and is_new:
            assert background.image is not None  # noqa: S101 - it is shown
            image = Path(self._file(background.image, PHOTO))
            settings = replace(settings, background=replace(background, image=image))
        return settings

    def new_file(self, path: str | Path) -> str:
        """A film that is to be made: its folder is handed over.

        Raises:
            OutputError: it cannot be made there.
        """
        if not self._is_local:
            return str(path)
        film = path_of(str(path)).absolute()
        if not str(film).isprintable():
            raise UsageError("The film's path is not printable", "Choose another name or folder")
        check_writable(film)
        if os.path.exists(film):
            raise OutputError(f"{film} exists: a recording overwrites nothing", "Choose another name")
        try:
            folder = os.open(film.parent, os.O_RDONLY | getattr(os, "O_DIRECTORY", 0))
        except OSError as error:
            raise write_failure(film, error) from error
        try:
            return self._handed(folder, film)
        finally:
            os.close(folder)

    def _file(self, path: Path, what: Subject) -> str:
        path = path_of(str(path))
        with open_regular(path, what) as file:
            return self._handed(file.fileno(), path)

    def _handed(self, descriptor: int, path: Path) -> str:
        """What stands for the file; its absolute path where the daemon takes none."""
        if self._place is None:
            return str(path.absolute())
        if self._offering is None:
            with suppress(OSError):
                self._offering = self._stack.enter_context(Offering(self._place))
        if self._offering is None:
            return str(path.absolute())
        try:
            return self._offering.offer(descriptor, path)
        except OSError as error:
            raise UsageError(f"The daemon does not take {path}: {error.strerror}", "Try again") from error
