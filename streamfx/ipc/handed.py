"""Files that a program opened and handed to the daemon: they are read by their token, by no path.

Beside the daemon's control socket lies another one, for programs of the same user (SEQPACKET, Linux):

    OFFER + PATH, with one descriptor (SCM_RIGHTS)  ->  `handed:` TOKEN PATH, or REFUSED and why
    FETCH + TOKEN                                   ->  GIVEN with the descriptor, or REFUSED and why

What comes back from an offer stands for the file wherever the API takes a path; PATH is for people. It does
so for as long as the connection stays that offered it, and from when a session was given it, as long as the
session has it (session/handed.py). Workers fetch it each time they open it. For a film to be made it is the
folder that is handed over, and PATH is the film's.
"""

from __future__ import annotations

import os
import re
import socket
import struct
from collections.abc import Sequence
from contextlib import suppress
from io import FileIO
from pathlib import Path
from typing import TYPE_CHECKING, Final, Self

from streamfx.ipc.peers import is_own_user

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

PREFIX: Final = "handed:"
TOKEN_LENGTH: Final = 22
"""Characters: 128 bits of chance, URL-safe."""
OFFER, FETCH, GIVEN, REFUSED = (
    b"SFXFILE 1 " + word for word in (b"offer ", b"fetch ", b"given", b"refused ")
)
LONGEST: Final = 4096
"""Bytes of a packet."""
LONGEST_PATH: Final = 900
"""Characters of PATH: with all before it it is a path as the API takes them (confine.LONGEST)."""

_SPEC: Final = re.compile(rf"{PREFIX}(?P<token>[A-Za-z0-9_-]{{{TOKEN_LENGTH}}})(?P<path>/.*)", re.DOTALL)
_TOKENS: Final = re.compile(rf"{PREFIX}[A-Za-z0-9_-]{{{TOKEN_LENGTH}}}(?=/)")
_WAIT_S: Final = 5.0


def socket_beside(control: Path) -> Path:
    """Where files are handed over to the daemon that listens at a control socket."""
    return control.with_name(f"{control.name}.files")


def spec_of(token: str, path: str) -> str:
    """What stands for a file."""
    return f"{PREFIX}{token}{path}"


def token_of(spec: str | Path) -> str | None:
    """The token in what stands for a file; None where it names something else."""
    match = _SPEC.fullmatch(str(spec))
    return match["token"] if match else None


def named(text: str) -> str:
    """A text for people: of handed files only the paths are left."""
    return _TOKENS.sub("", text)


def path_for_people(path: Path) -> str:
    """The absolute path as PATH takes it: printable, and its end where it is too long."""
    text = _printable(os.path.abspath(path))  # noqa: PTH100 - links stay
    return text if len(text) <= LONGEST_PATH else f"/…{text[2 - LONGEST_PATH :]}"


def _connect(connection: socket.socket, place: Path | str) -> None:
    """Connect, and wait where many do: with Python's timeout a full queue would be an error at once."""
    wait = struct.pack("ll", round(_WAIT_S), 0)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, wait)
    connection.connect(str(place))
    connection.settimeout(_WAIT_S)


class Offering:
    """The side of a program that hands files over, as a context manager. Offers stand until `close`."""

    def __init__(self, place: Path) -> None:
        """Connect.

        Raises:
            OSError: nobody listens there, or another user does: nothing is handed to them.
        """
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        try:
            _connect(self._socket, place)
            if not is_own_user(self._socket):
                raise PermissionError(f"{place} is another user's")
        except OSError:
            self._socket.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def offer(self, descriptor: int, path: Path) -> str:
        """Hand over a file, or the folder of a film to be made; what stands for it.

        Raises:
            OSError: it was not taken, or what was answered does not stand for it; `strerror` says why.
        """
        shown = path_for_people(path)
        try:
            with suppress(ConnectionError):  # refused already: why, is to be received
                socket.send_fds(self._socket, [OFFER + shown.encode()], [descriptor])
            answer = _received(self._socket)
        except TimeoutError as error:
            raise _not_taken("Nothing was answered") from error
        spec = _understood(answer).decode("utf-8", "replace")
        if spec != spec_of(token_of(spec) or "", shown):
            raise _not_taken("What was answered does not stand for it")
        return spec

    def close(self) -> None:
        """Withdraw all offers that no session has taken."""
        self._socket.close()


_place: Path | None = None


def fetch_at(place: Path) -> None:
    """From now on this process, one that the daemon started, asks there for handed files."""
    global _place  # noqa: PLW0603 - where a process fetches files is one thing for all of it
    _place = place


def is_handed(path: str | Path) -> bool:
    """Whether this process, one of the daemon's, is to fetch a file in place of opening it by its path."""
    return _place is not None and token_of(path) is not None


def open_handed(path: str | Path) -> FileIO:
    """A handed file, opened for reading, unbuffered, from its beginning; its `name` is the path for people.

    Raises:
        OSError: the daemon does not have it any more.
    """
    descriptor = fetch(path)
    file = _AtOwnPlace(descriptor, "rb")
    file.name = named(str(path))
    return file


def enter(folder: str | Path) -> None:
    """Make the handed folder of a film this process's own: what is named plainly lies in it.

    Raises:
        OSError: the daemon does not have it any more.
    """
    descriptor = fetch(folder)
    try:
        os.fchdir(descriptor)
    finally:
        os.close(descriptor)


def fetch(path: str | Path) -> int:
    """A descriptor of a handed file, or of a film's folder; the caller closes it.

    Raises:
        OSError: the daemon does not have it any more.
    """
    token = token_of(path)
    if _place is None or token is None:
        raise FileNotFoundError(f"{named(str(path))} was not handed over")
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as connection:
        _connect(connection, str(_place))
        connection.send(FETCH + token.encode())
        told, descriptors, _, _ = socket.recv_fds(connection, LONGEST, 1, socket.MSG_CMSG_CLOEXEC)
    if told != GIVEN or len(descriptors) != 1:
        close_all(descriptors)
        _understood(told)
        raise OSError(0, "It was not handed over")
    return descriptors[0]


def close_all(descriptors: Sequence[int]) -> None:
    """Close them."""
    for descriptor in descriptors:
        os.close(descriptor)


def _received(connection: socket.socket) -> bytes:
    """An answer. Of a connection that was ended without reading what we sent, that is told first, once."""
    try:
        return connection.recv(LONGEST)
    except ConnectionResetError:
        return connection.recv(LONGEST)


def _understood(answer: bytes) -> bytes:
    if not answer:
        raise _not_taken("It hung up")
    if answer.startswith(REFUSED):
        raise _not_taken(_printable(answer.removeprefix(REFUSED).decode("utf-8", "replace")))
    return answer


def _not_taken(why: str) -> OSError:
    return OSError(0, why)


def _printable(text: str) -> str:
    return "".join(c if c.isprintable() else "?" for c in text)


class _AtOwnPlace(FileIO):
    """Reads at a place of its own: the descriptor's is shared with everybody who was ever handed the file."""

    _at = 0

    def readinto(self, buffer: WriteableBuffer, /) -> int:
        count = os.preadv(self.fileno(), [buffer], self._at)
        self._at += count
        return count

    def read(self, size: int | None = -1, /) -> bytes:
        if size is None or size < 0:
            return self.readall()
        data = os.pread(self.fileno(), size, self._at)
        self._at += len(data)
        return data

    def readall(self) -> bytes:
        pieces: list[bytes] = []
        while piece := self.read(1 << 20):
            pieces.append(piece)
        return b"".join(pieces)

    def seek(self, offset: int, whence: int = os.SEEK_SET, /) -> int:
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self._at}.get(whence)
        if base is None:
            base = os.fstat(self.fileno()).st_size
        if base + offset < 0:
            raise OSError(22, os.strerror(22))
        self._at = base + offset
        return self._at

    def tell(self) -> int:
        return self._at
