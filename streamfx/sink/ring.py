"""Rendered pictures in shared memory, written and read (streamfx/ipc/ring.py has the layout).

The worker gives its pictures to the daemon this way, and the daemon gives what it publishes to the OBS plugin
and to recordings.
"""

from __future__ import annotations

import os
from types import TracebackType
from typing import Final, Self

import numpy as np

from streamfx.frames import Rendered
from streamfx.ipc.ring import (
    BEAT,
    HAS_ALPHA,
    WRITTEN,
    RingForm,
    RingMemory,
    SlotReader,
    create_ring,
    fence,
    read_form,
)
from streamfx.quality import Quality

__all__ = ["RingForm", "RingReader", "RingWriter", "SharedRing", "create_ring", "read_form"]

_QUALITIES: Final = tuple(Quality)


class RingWriter:
    """Writes into a ring. One thread at a time."""

    def __init__(self, form: RingForm, descriptor: int) -> None:
        """Map it.

        Args:
            form: what the ring holds.
            descriptor: from `create_ring`, with the same form; taken over.
        """
        self.descriptor = descriptor
        """To be handed to readers; open until `close`."""
        self.form = form
        self._mapping = RingMemory(descriptor, form, writable=True)

    def write(self, picture: Rendered) -> None:
        """Add a picture; the oldest slot is lost. An opaque one leaves the plane of alpha alone.

        Raises:
            ValueError: it, or its alpha, has another size than the ring's.
        """
        written = int(self._mapping.counters[WRITTEN])
        slot = self._mapping.slots[written % self.form.slots]
        alpha = slot.alpha if picture.alpha is None else picture.alpha
        if (picture.rgb.shape, alpha.shape) != (slot.rgb.shape, slot.alpha.shape):
            raise ValueError(f"the ring holds {slot.rgb.shape}, this is {picture.rgb.shape}, {alpha.shape}")
        lock = int(slot.numbers[0]) | 1  # odd already where a writer died in the middle
        slot.numbers[0] = lock
        fence()
        np.copyto(slot.rgb, picture.rgb)
        about = _QUALITIES.index(picture.quality)
        if picture.alpha is not None:
            np.copyto(slot.alpha, picture.alpha)
            about |= HAS_ALPHA
        slot.numbers[1:] = picture.seq, picture.captured_ns, picture.rendered_ns, about
        fence()
        slot.numbers[0] = lock + 1
        self._mapping.counters[WRITTEN] = written + 1

    def beat(self) -> None:
        """Show that the writer is making progress."""
        self._mapping.counters[BEAT] += np.uint64(1)

    def close(self) -> None:
        """Let the memory go; it stays as long as a reader has it. May be called twice."""
        if self.descriptor < 0:
            return
        self._mapping.close()
        os.close(self.descriptor)
        self.descriptor = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class SharedRing:
    """A ring that other processes write and read, kept by whoever made it: it outlives each of them."""

    def __init__(self, form: RingForm) -> None:
        """Make it, empty.

        Raises:
            OSError: there is no memory for it.
        """
        self.form = form
        self.descriptor = create_ring(form)
        """To be handed to processes; open until `close`."""
        try:
            self._memory = RingMemory(self.descriptor, form, writable=False)
        except OSError:
            os.close(self.descriptor)
            raise

    @property
    def beats(self) -> int:
        """Grows while the writer makes progress."""
        return int(self._memory.counters[BEAT])

    def close(self) -> None:
        """Let the memory go; it stays as long as a process has it. May be called twice."""
        if self.descriptor < 0:
            return
        self._memory.close()
        os.close(self.descriptor)
        self.descriptor = -1


class RingReader:
    """Reads a ring. One thread at a time."""

    def __init__(self, descriptor: int) -> None:
        """Map it read-only; the descriptor stays the caller's.

        Raises:
            RingUnreadable: it is no ring, one of another version, or its figures contradict one another.
        """
        self._slots = SlotReader(descriptor)
        self.form = self._slots.form

    @property
    def beats(self) -> int:
        """Grows while the writer makes progress."""
        return self._slots.beats

    def newest(self) -> Rendered | None:
        """The newest picture that was not taken yet, copied; None if there is none, or it makes no sense."""
        slot = self._slots.newest()
        if slot is None or slot.quality >= len(_QUALITIES):
            return None
        quality = _QUALITIES[slot.quality]
        return Rendered(slot.rgb, slot.captured_ns, slot.rendered_ns, slot.seq, quality, slot.alpha)

    @property
    def overtaken(self) -> int:
        """Pictures that the newest one, when it was taken last, overtook."""
        return self._slots.overtaken

    @property
    def written(self) -> int:
        """Pictures written so far."""
        return self._slots.written

    def skip(self) -> None:
        """Take what was written so far for read."""
        self._slots.seen = self._slots.written

    def close(self) -> None:
        """Let the memory go. May be called twice."""
        self._slots.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
