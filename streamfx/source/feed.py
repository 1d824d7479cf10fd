"""A feed as a live source: another program's pictures, read from its ring in shared memory.

It listens at a SEQPACKET socket `NAME.feed` in the runtime folder and gives whoever connects one packet,
`streamfx.ipc.ring.HANDOVER`, with the descriptor of its ring (SCM_RIGHTS): ipc/ring_server.py the other way
round. Only programs of the same user are listened to; still nothing in the memory is believed: it must be
sealed, its figures are checked, it is mapped read-only, and pictures that were overwritten while they were
copied are not taken. We stay connected for as long as we read, so that nobody feeds for nobody. The ring's
beat grows while the program is alive. When it stands, or the connection ends, the socket is asked again: the
ring may have been replaced, by one of another size or by a program that was started anew.
"""

from __future__ import annotations

import errno
import os
import socket
import threading
from contextlib import ExitStack, suppress
from pathlib import Path
from time import monotonic, monotonic_ns
from typing import Final

from streamfx.errors import RingUnreadable, SourceError, SourceLost, SourceMissing, SourceUnreadable
from streamfx.feeds import feed_socket
from streamfx.frames import Frame
from streamfx.ipc.memory import is_sealed
from streamfx.ipc.peers import can_hand_over, is_own_user
from streamfx.ipc.ring import HANDOVER, SlotPicture, SlotReader
from streamfx.source.base import Source, SourceInfo, SourceStatistics
from streamfx.source.capture import DEFAULT_FPS

SILENCE_S: Final = 3.0
"""Longest without a picture, at the start or later, before a feed counts as lost."""
STANDING_S: Final = 0.5
"""A beat that stood for that long: the ring may have been replaced."""
_AGAIN_S: Final = 0.25
"""Between two looks for another ring."""
_HANDOVER_S: Final = 1.0
_LOOK_S: Final = 0.002
"""Between two looks for a picture."""
_LONGEST_LOOK_S: Final = 0.25
"""So much of the time between two looks counts as silence at most: where they lie further apart we were
stopped ourselves, and so may the feed have been (a suspended machine)."""
_OLDEST_NS: Final = 1_000_000_000
"""A picture said to be older is timed by its arrival."""
_FASTEST: Final = 240.0
"""Pictures a second; who claims more is not believed."""
_MOST_DROPPED: Final = 1000
"""Between two pictures; a writer's counter may leap."""
_MOST_DESCRIPTORS: Final = 2
"""One more than is allowed, so that it is seen."""
_START: Final = "Start what feeds it: OBS, with an Animated Portrait source that is driven by an OBS source"


class FeedSource(Source):
    """`next()` gives the newest picture, timed by its program on the monotonic clock.

    `epoch` grows when the program replaced its ring. Needs no thread: the ring keeps the newest.

    Raises:
        SourceMissing: nobody feeds under that name, or another user does; this is not Linux.
        SourceUnreadable: nothing is handed over, no ring of this version, or it shows no pictures.
        SourceLost: (from `next()`) no picture came for too long.
    """

    def __init__(self, name: str, folder: Path | None = None, silence_s: float = SILENCE_S) -> None:
        """Connect and wait for the first picture.

        Args:
            name: of the feed (streamfx.feeds.feed_name).
            folder: of its socket; None takes the runtime folder.
            silence_s: longest wait for a picture.
        """
        self._spec, self._path, self._silence_s = f"feed:{name}", feed_socket(name, folder), silence_s
        if not can_hand_over():
            raise SourceMissing(
                f"{self._spec} cannot be read: feeds need Linux", "Choose a webcam or a video"
            )
        self._stopping = threading.Event()
        self._seq = self._epoch = self._dropped = self._last_ns = 0
        self._beats, self._moved_s = (0, 0), monotonic()
        self._inode, self._ring, self._connection = self._handed_over()
        try:
            self._waiting: Frame | None = self._take()
        except SourceError:
            self.close()
            raise

    @property
    def info(self) -> SourceInfo:
        form = self._ring.form
        return SourceInfo(
            name=self._spec,
            width=form.width,
            height=form.height,
            fps=form.fps if 1 <= form.fps <= _FASTEST else DEFAULT_FPS,
            frames=None,
            duration_s=None,
            codec="rawvideo",
            rotation=0,
            live=True,
            has_audio=False,
        )

    @property
    def statistics(self) -> SourceStatistics:
        ring = self._ring
        overtaken = _overtaken(ring.written, ring.seen)
        return SourceStatistics(self._seq, dropped=self._dropped + overtaken, reopened=self._epoch)

    def __next__(self) -> Frame:
        frame, self._waiting = self._waiting or self._take(), None
        return frame

    def close(self) -> None:
        self._stopping.set()
        self._waiting = None
        self._ring.close()
        self._connection.close()

    def interrupt(self) -> None:
        self._stopping.set()

    def _take(self) -> Frame:
        """The newest picture, waited for."""
        began_s = asked_s = looked_s = monotonic()
        failure: SourceError | None = None
        while not self._stopping.is_set():
            before = self._ring.seen
            picture = self._ring.newest()
            if picture is not None:
                self._dropped += _overtaken(self._ring.seen, before)
                return self._framed(picture)
            now_s = monotonic()
            stopped_s = max(0.0, now_s - looked_s - _LONGEST_LOOK_S)
            began_s, looked_s, self._moved_s = began_s + stopped_s, now_s, self._moved_s + stopped_s
            stands = self._stands(now_s)
            if now_s - began_s > self._silence_s:
                raise self._silence(stands, failure) from failure
            if stands and now_s - asked_s > _AGAIN_S:
                asked_s, failure = now_s, self._replace()
            self._stopping.wait(_LOOK_S)
        raise StopIteration

    def _framed(self, picture: SlotPicture) -> Frame:
        now_ns, told_ns = monotonic_ns(), picture.captured_ns
        believed = self._last_ns < told_ns <= now_ns and now_ns - told_ns < _OLDEST_NS
        self._last_ns = told_ns if believed else now_ns
        self._seq += 1
        return Frame(picture.rgb, captured_ns=self._last_ns, seq=self._seq - 1, epoch=self._epoch)

    def _stands(self, now_s: float) -> bool:
        """Whether the writer has shown no progress for a while, or has hung up."""
        beats = (self._ring.beats, self._ring.written)
        if beats != self._beats:
            self._beats, self._moved_s = beats, now_s
        return now_s - self._moved_s > STANDING_S or _has_ended(self._connection)

    def _replace(self) -> SourceError | None:
        """Take the ring that is handed over now, if it is another one; why there is none."""
        try:
            inode, ring, connection = self._handed_over()
        except SourceError as error:
            return error
        self._connection.close()
        self._connection = connection
        if inode == self._inode:
            ring.close()
            return None
        last, self._ring, self._inode = self._ring, ring, inode
        last.close()
        self._epoch += 1
        return None

    def _handed_over(self) -> tuple[int, SlotReader, socket.socket]:
        """The number of the feed's memory, the ring in it, and the connection that is kept while it is read.

        Pictures of before we came are not taken.
        """
        connection, descriptor = _received(self._path, self._spec)
        with ExitStack() as undo:
            undo.callback(connection.close)
            inode, ring = self._opened(descriptor)
            undo.pop_all()
        return inode, ring, connection

    def _opened(self, descriptor: int) -> tuple[int, SlotReader]:
        """The ring in the memory, whose descriptor is closed."""
        try:
            if not is_sealed(descriptor):
                cause = f"{self._spec} hands over memory that it could take away while it is read"
                raise SourceUnreadable(cause, "It must seal its ring against shrinking")
            ring = SlotReader(descriptor)
            ring.seen = ring.written
            return os.fstat(descriptor).st_ino, ring
        except RingUnreadable as error:
            raise SourceUnreadable(f"{self._spec} hands over no ring: {error.cause}", error.remedy) from error
        except (OSError, ValueError) as error:  # it may be a descriptor of anything
            raise SourceUnreadable(f"{self._spec} hands over no memory: {error}", _START) from error
        finally:
            os.close(descriptor)

    def _silence(self, stands: bool, failure: SourceError | None) -> SourceError:
        kind = SourceLost if self._seq else SourceUnreadable
        if failure is not None:
            return kind(failure.cause, failure.remedy)
        how = "stands still" if stands else "shows no pictures"
        return kind(f"{self._spec} {how} (for {self._silence_s:g} s)", _START)


def _overtaken(written: int, seen: int) -> int:
    """Pictures between the one that was seen and the newest, as far as they can be believed."""
    return min(max(0, written - seen - 1), _MOST_DROPPED)


def _received(path: Path, spec: str) -> tuple[socket.socket, int]:
    """The connection and the descriptor that the feed hands over by it, both the caller's to close."""
    with ExitStack() as undo:
        client = undo.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET))
        client.settimeout(_HANDOVER_S)
        try:
            client.connect(str(path))
            _check_peer(client, spec)
            flags = socket.MSG_CMSG_CLOEXEC
            told, descriptors, _, _ = socket.recv_fds(client, len(HANDOVER) + 16, _MOST_DESCRIPTORS, flags)
        except (TimeoutError, BlockingIOError) as error:  # the latter where too many wait already
            raise SourceUnreadable(f"{spec} hands nothing over", _START) from error
        except OSError as error:
            raise _refusal(spec, error) from error
        try:
            _check_packet(told, len(descriptors), spec)
        except SourceError:
            for one in descriptors:
                with suppress(OSError):
                    os.close(one)
            raise
        client.setblocking(False)
        undo.pop_all()
    return client, descriptors[0]


def _has_ended(connection: socket.socket) -> bool:
    """Whether the feed hung up: it has no more to say than that."""
    try:
        connection.recv(1)
    except BlockingIOError:
        return False
    except OSError:
        return True
    return True


def _check_peer(client: socket.socket, spec: str) -> None:
    """The socket's folder is this user's own; so must be who listens there."""
    if not is_own_user(client):
        raise SourceMissing(
            f"{spec} is fed by another user", "Run that program as the user who runs streamfx"
        )


def _check_packet(told: bytes, descriptors: int, spec: str) -> None:
    if told != HANDOVER and told.startswith(HANDOVER.split()[0]):
        version = told.decode("ascii", "replace").partition(" ")[2]
        cause = f"{spec} hands over a ring of version {version!r}, this streamfx reads {HANDOVER.decode()!r}"
        raise SourceUnreadable(cause, "Install streamfx and the program that feeds it in the same release")
    if told != HANDOVER or descriptors != 1:
        raise SourceUnreadable(f"{spec} hands nothing over that is a ring", _START)


def _refusal(spec: str, error: OSError) -> SourceError:
    """Why there is no connection, in words, by the system's error number."""
    if error.errno in (errno.ENOENT, errno.ENOTDIR, errno.ECONNREFUSED):
        return SourceMissing(f"No program feeds pictures as {spec}", _START)
    if error.errno in (errno.EACCES, errno.EPERM):
        return SourceMissing(f"{spec} may not be opened by this user", "Run its program as the same user")
    return SourceUnreadable(f"{spec} cannot be connected to: {error.strerror or error}", _START)
