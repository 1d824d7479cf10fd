"""`streamfx cache`: what is kept of photos and to save time, where, since when; and deleting it."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final

from streamfx import config, kept
from streamfx.cli import add_json
from streamfx.cli.show import megabytes, print_json

if TYPE_CHECKING:
    from streamfx.cli import Subparsers
    from streamfx.session.portraits import PortraitInfo

DESCRIPTION: Final = """\
What is kept to save time, in ~/.cache/streamfx: solved photos, in which are the photos' pixels, compiled
functions, engines for graphics cards. It is made again when it is needed. Portraits, which `live` and `ctl`
keep in ~/.local/share/streamfx, are listed, too; `streamfx ctl portraits` deletes one, with all that was made
of it. XDG_CACHE_HOME and XDG_DATA_HOME name other folders. `streamfx models` looks after the models."""


@dataclass(frozen=True, slots=True)
class _Kept:
    """A line of the list."""

    kind: str
    what: str
    sha256: str
    """Of the photo's bytes, where it is one's."""
    bytes: int
    since: str
    """ISO 8601, UTC."""
    path: str


def add_parser(subparsers: Subparsers) -> None:
    """Describe `cache`."""
    parser = subparsers.add_parser(
        "cache",
        help="what is kept of photos, and deleting it",
        description=DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    actions = parser.add_subparsers(title="actions", metavar="ACTION", required=True)
    listing = actions.add_parser("list", help="what is kept where, how large, since when")
    add_json(listing, reads=True)
    listing.set_defaults(run=list_kept)
    clearing = actions.add_parser("clear", help="delete all of it, or what is kept of one photo")
    clearing.add_argument("photo", nargs="?", type=Path, metavar="PHOTO", help="of this one only")
    clearing.set_defaults(run=clear)


def list_kept(arguments: argparse.Namespace) -> int:
    """Print what is kept."""
    entries = list(_entries())
    if arguments.json:
        print_json([asdict(one) for one in entries])
        return 0
    for one in entries:
        print(f"{one.kind:9} {megabytes(one.bytes):>10}  {one.since[:10]}  {one.what}\n{'':10}{one.path}")
    if not entries:
        print("nothing is kept")
    return 0


def clear(arguments: argparse.Namespace) -> int:
    """Delete; a daemon may run: it shows what it has in memory, and makes anew what it needs."""
    from streamfx.daemon import clear_leftovers

    if arguments.photo:
        return _clear_photo(arguments.photo)
    folder = config.cache_folder()
    size = sum(kept.clear_folder(folder / name) for name in ("rigs", "kernels", "engines", "idle"))
    left = clear_leftovers()
    print(f"deleted {megabytes(size + (left or 0))} in {folder}")
    if left is None:
        print("kept: what the daemon that runs shows; it goes with the daemon")
    if portraits := _portraits():
        print(f"kept: {len(portraits)} portraits; one is removed by `streamfx ctl portraits remove ID`")
    return 0


def _clear_photo(path: Path) -> int:
    from hashlib import sha256

    from streamfx.files import PHOTO, read_bytes
    from streamfx.session.portraits import MAX_BYTES

    digest = sha256(read_bytes(path, MAX_BYTES, PHOTO)).hexdigest()
    rigs = kept.rigs_folder()
    size = kept.forget(rigs, digest) if rigs else 0
    print(f"deleted {megabytes(size)} that was made of {path}")
    for info in _portraits():
        if info.sha256 == digest:
            print(f"kept: the portrait {info.id!r}; `streamfx ctl portraits remove {info.id}` deletes it")
    return 0


def _entries() -> Iterator[_Kept]:
    portraits = _portraits()
    names = {info.sha256: f"portrait {info.id}" for info in portraits}
    for info in portraits:
        folder = config.data_folder() / "portraits" / info.id
        references = f", {info.references} references" if info.references else ""
        what = f"{info.id} ({info.name}){references}"
        yield _line("portrait", what, info.sha256, kept.size_of(folder), info.created_ns, folder)
    known = {info.id for info in portraits}
    for folder in kept.entries(config.data_folder() / "portraits"):
        if folder.name not in known:
            with suppress(FileNotFoundError):  # deleted meanwhile
                made_ns = folder.stat().st_mtime_ns
                yield _line("damaged", folder.name, "", kept.size_of(folder), made_ns, folder)
    rigs = kept.rigs_folder()
    for rig in sorted(kept.solved(rigs) if rigs else (), key=lambda one: one.made_ns):
        photo = rig.photos[0] if rig.photos else ""
        of = names.get(photo, f"photo {photo[:12]}" if photo else "unknown")
        yield _line("solved", f"{of} at {rig.size[0]}x{rig.size[1]}", photo, rig.bytes, rig.made_ns, rig.path)
    for kind, what, find in _FOLDERS:
        folder = find()
        with suppress(FileNotFoundError):
            if size := kept.size_of(folder):
                yield _line(kind, what, "", size, folder.stat().st_mtime_ns, folder)


def _line(kind: str, what: str, photo: str, size: int, made_ns: int, path: Path) -> _Kept:
    since = datetime.fromtimestamp(made_ns / 1e9, UTC).isoformat(timespec="seconds")
    return _Kept(kind, what, photo, size, since, str(path))


def _portraits() -> list[PortraitInfo]:
    from streamfx.session.portraits import read_portraits

    return read_portraits(config.data_folder() / "portraits")


_FOLDERS: Final[tuple[tuple[str, str, Callable[[], Path]], ...]] = (
    ("compiled", "functions", config.kernels_folder),
    ("engines", "of networks, for graphics cards", lambda: config.cache_folder() / "engines"),
    ("models", "see `streamfx models list`", config.models_folder),
)
