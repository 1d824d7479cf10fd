"""Everything that can go wrong, in one tree. Each leaf says the cause and the remedy, for a person.

StreamfxError
├── UsageError             the command or a setting makes no sense                     exit 2
│   └── SettingRefused     a session's setting, by its name
├── PhotoError             the portrait photo
│   ├── PhotoUnreadable    not an image, truncated, too large, a format we refuse
│   └── PhotoUnsuitable    no face, several, too small, turned away, cropped
├── SourceError            the driving video or camera
│   ├── SourceMissing      no such file, device or feed, or no permission
│   ├── SourceFaceless     plays, but shows no face in any picture: there is no motion to record
│   ├── SourceUnreadable   not a video, truncated, no picture track, unknown codec
│   └── SourceLost         it worked, then it stopped (camera unplugged, feed ended)
├── MotionUnreadable       a motion template that is foreign, damaged or of another version
├── OutputError            the file cannot be written: folder, permission, space, encoder
├── CameraError            the virtual camera, into which the portrait goes
│   ├── CameraUnavailable  none is set up, held by another program, no permission, another size
│   └── CameraLost         it worked, then the device went away or refused a picture
├── ModelError             the model files
│   ├── ModelMissing       not in the store, and not allowed or able to fetch
│   ├── ModelCorrupt       the bytes do not have the hash that the manifest names
│   └── ModelUnusable      the right bytes, but this machine's OpenVINO cannot run them
├── DeviceError            the graphics card that is to render
│   ├── DeviceUnavailable  there is none, no driver, or what drives it is not installed
│   ├── DeviceExhausted    its memory is full, just now
│   └── DeviceLost         it failed in a way after which this process cannot use it any more
├── RigUnsolvable          the photo's mesh could not be solved
├── ResourceError          a portrait, session or device of the daemon, by its name
│   ├── ResourceMissing    there is none of that name
│   ├── ResourceExists     the name is taken
│   ├── ResourceBusy       something else uses it
│   ├── ResourceUnready    not now: it is not in a state to do that
│   └── LimitReached       there are as many as there may be
├── WorkerFailed           the process that tracks and renders could not be started, or broke off
├── RingUnreadable         shared memory that is foreign, damaged or of another version
├── CallError              a client's call that had no answer of its own (streamfx/client/errors.py)
│   ├── DaemonUnreachable  nobody answers there
│   ├── CallRefused        the daemon does not know the caller, or does not allow this
│   ├── CallTimedOut       no answer in time
│   └── DaemonFailed       in a way that nobody foresaw
└── Interrupted            the person pressed Ctrl-C                                   exit 130
"""

from __future__ import annotations


class StreamfxError(Exception):
    """Base of the tree.

    Args:
        cause: one clause that names what is wrong, with the figure measured where there is one.
        remedy: one clause that says what the person can do; where there are several ways, a line for each.
    """

    exit_code = 1

    def __init__(self, cause: str, remedy: str = "") -> None:
        super().__init__(cause, remedy)
        self.cause = cause.rstrip(".")
        self.remedy = remedy.rstrip(".")

    def lines(self) -> list[str]:
        """For a terminal: one line, or the cause and a line for each way to mend it."""
        first, *more = self.remedy.splitlines() or [""]
        if not more:
            return [str(self)]
        return [f"{_plain(self.cause)}.", *(f"  {_plain(way)}" for way in (first, *more))]

    def __str__(self) -> str:
        """One line: the cause, then the remedy. What is not printable (in a file's name) shows as "?"."""
        remedy = "; ".join(self.remedy.splitlines()).replace(":; ", ": ")
        line = " ".join(part if part.endswith("?") else f"{part}." for part in (self.cause, remedy) if part)
        return _plain(" ".join(line.split()))


def _plain(text: str) -> str:
    """An escape code in a name must not steer the terminal."""
    return "".join(c if c.isprintable() else "?" for c in text)


class UsageError(StreamfxError):
    """The command line or a setting makes no sense."""

    exit_code = 2


class SettingRefused(UsageError):
    """A session's setting that makes no sense.

    Args:
        field: its name, dotted (`gains.head`).
        why: one clause.
        remedy: one clause.
    """

    def __init__(self, field: str, why: str, remedy: str) -> None:
        super().__init__(f"{field}: {why}", remedy[:1].upper() + remedy[1:])
        self.field, self.why = field, why


class PhotoError(StreamfxError):
    """Something about the portrait photo."""


class PhotoUnreadable(PhotoError):
    """Not an image, truncated, too large, or of a format that is refused."""


class PhotoUnsuitable(PhotoError):
    """An image, but not a portrait that can be animated."""


class SourceError(StreamfxError):
    """Something about the driving video or camera."""


class SourceMissing(SourceError):
    """No such file, device or feed, or no permission to open it."""


class SourceFaceless(SourceError):
    """Plays, but no face was found in any picture: there is no motion to record."""


class SourceUnreadable(SourceError):
    """Not a video, truncated, without a picture track, or of an unknown codec."""


class SourceLost(SourceError):
    """A source that worked and then stopped."""


class MotionUnreadable(StreamfxError):
    """A motion template that is foreign, damaged or of another version."""


class OutputError(StreamfxError):
    """The output cannot be written."""


class CameraError(StreamfxError):
    """Something about the virtual camera, into which the portrait goes."""


class CameraUnavailable(CameraError):
    """No virtual camera can be opened: none is set up, held, not permitted, or of another size."""


class CameraLost(CameraError):
    """A virtual camera that worked: its device went away or refuses pictures."""


class ModelError(StreamfxError):
    """Something about the model files."""


class ModelMissing(ModelError):
    """The model is not in the store and could not be fetched."""


class ModelCorrupt(ModelError):
    """The model's bytes do not have the hash that the manifest names."""


class ModelUnusable(ModelError):
    """The right bytes, but OpenVINO as installed cannot run them on this machine."""


class DeviceError(StreamfxError):
    """Something about the graphics card that is to render."""


class DeviceUnavailable(DeviceError):
    """There is no card, no driver, or what drives it is not installed."""


class DeviceExhausted(DeviceError):
    """The card's memory is full; another frame may have better luck."""


class DeviceLost(DeviceError):
    """The card failed: whatever this process does with it from now on fails, too."""


class RigUnsolvable(StreamfxError):
    """The photo's mesh could not be solved."""


class ResourceError(StreamfxError):
    """A resource of the daemon.

    Args:
        kind: `portrait`, `session` or `device`.
        name: its identifier.
        cause, remedy: as in StreamfxError.
    """

    def __init__(self, kind: str, name: str, cause: str, remedy: str = "") -> None:
        super().__init__(cause, remedy)
        self.kind = kind
        self.name = name


class ResourceMissing(ResourceError):
    """There is none of that name."""


class ResourceExists(ResourceError):
    """The name is taken."""


class ResourceBusy(ResourceError):
    """Something else uses it."""


class ResourceUnready(ResourceError):
    """It is not in a state to do what was asked."""


class LimitReached(ResourceError):
    """There are as many as there may be."""


class WorkerFailed(StreamfxError):
    """The worker could not be started, or broke off."""


class GivenUp(StreamfxError):
    """Whoever asked for it has left: it was broken off."""


class RingUnreadable(StreamfxError):
    """Shared memory that is foreign, damaged or of another version."""


class Interrupted(StreamfxError):
    """The person pressed Ctrl-C."""

    exit_code = 130
