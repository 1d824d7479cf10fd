"""An error as one process tells it to another: as values, since neither may make the other run anything."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Self

from streamfx import errors
from streamfx.errors import StreamfxError


@dataclass(frozen=True, slots=True)
class Failure:
    """What a child could not do. Of a worker or a publisher it is the last message: it ends after this."""

    KIND: ClassVar[str] = "failed"
    cause: str
    remedy: str = ""
    error: str = ""
    """Name of the class in streamfx.errors; empty for what nobody foresaw."""

    @classmethod
    def of(cls, error: StreamfxError) -> Self:
        """An error, to be told."""
        return cls(error.cause, error.remedy, type(error).__name__)

    @classmethod
    def told(cls, facts: Mapping[str, Any]) -> Self | None:
        """The failure that is among what a child said (`ipc.child.tell`); None if there is none.

        Raises:
            TypeError: what is there is no failure.
        """
        failed = facts.get(cls.KIND)
        return None if failed is None else cls(**failed)

    def as_error(self, otherwise: type[StreamfxError]) -> StreamfxError:
        """The error anew; of the class `otherwise` where its own is not known.

        One that needs more than cause and remedy to be made becomes what it is a kind of.
        """
        kind = getattr(errors, self.error, None)
        if not (isinstance(kind, type) and issubclass(kind, StreamfxError)):
            kind = otherwise
        plain = StreamfxError.__init__
        kind = next(one for one in kind.__mro__ if one.__init__ is plain)  # type: ignore[misc]
        made: StreamfxError = kind(self.cause, self.remedy)
        return made

    def __str__(self) -> str:
        return f"{self.cause}. {self.remedy}".strip()
