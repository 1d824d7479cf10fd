"""Checks that several methods share: identifiers, numbers, pages, and the files that clients name."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, TypeVar

from streamfx.confine import LONGEST, PathRefused, is_free, new_beneath, resolve_beneath
from streamfx.errors import SettingRefused
from streamfx.ipc.handed import token_of
from streamfx.session.handed import HandedFiles
from streamfx.settings.session import BackgroundKind, SessionSettings, check
from streamfx.settings.source import SourceKind, SourceSpec

T = TypeVar("T")

_ID: Final = re.compile(r"[a-z0-9-]{1,40}")
_PAGE: Final = 50
_LARGEST_PAGE: Final = 200
_TOKEN: Final = re.compile(rb"from:(\d{1,9})")
_DEVICE: Final = re.compile(r"/dev/video\d{1,3}")
_CAMERA: Final = re.compile(r"\d{1,3}|/dev/video\d{1,3}|camera:[^/\\]{1,80}|camera:/dev/video\d{1,3}")
"""Whose name is no path."""
_OUTPUT_NAME: Final = re.compile(r"[^/\\]{1,80}")


def identifier(field: str, text: str) -> str:
    """The text, if it is an identifier.

    Raises:
        SettingRefused: it is not.
    """
    if not _ID.fullmatch(text):
        raise SettingRefused(field, f"it is {text[:60]!r}", "use 1 to 40 of a-z, 0-9 and -")
    return text


def within(field: str, value: float, limits: tuple[float, float], otherwise: float) -> float:
    """The value, or what 0 stands for.

    Raises:
        SettingRefused: it lies outside the limits (as does what is no number).
    """
    low, high = limits
    if value == 0:
        return otherwise
    if not low <= value <= high:
        raise SettingRefused(field, f"it is {value:g}", f"it must be from {low:g} to {high:g}")
    return value


def page(items: Sequence[T], size: int, token: str) -> tuple[Sequence[T], str]:
    """A page of a list, and the token of the next one; empty after the last.

    Raises:
        SettingRefused: a negative size, or a token that no page gave.
    """
    if size < 0:
        raise SettingRefused("page_size", f"it is {size}", f"it must be from 0 to {_LARGEST_PAGE}")
    start = _start(token) if token else 0
    end = start + min(size or _PAGE, _LARGEST_PAGE)
    more = base64.urlsafe_b64encode(b"from:%d" % end).decode() if end < len(items) else ""
    return items[start:end], more


@dataclass(frozen=True, slots=True)
class Files:
    """Those that clients may name: below folders, or handed over."""

    roots: Sequence[Path]
    handed: HandedFiles


def confined(settings: SessionSettings, files: Files) -> SessionSettings:
    """The settings, checked, with the files in them resolved beneath the allowed folders, or handed over.

    Raises:
        SettingRefused: a setting makes no sense, or names a file or device that may not be opened.
    """
    check(settings)
    for number, name in enumerate(settings.portraits):
        identifier(f"portraits[{number}]", name)
    _check_camera(settings.output.camera)
    background = settings.background
    if background.kind is BackgroundKind.IMAGE:
        found = _existing("background.image", str(background.image), files)
        background = replace(background, image=found)
    elif background.image is not None:  # unused: it is not looked at, and not kept
        background = replace(background, image=None)
    return replace(settings, source=_source(settings.source, files), background=background)


def new_file(field: str, path: str, suffix: str, files: Files) -> Path:
    """Where a file can be made. Raises SettingRefused."""
    if token_of(path) is not None:
        folder = files.handed.require(field, path, folder=True)
        with suppress(OSError):
            if is_free(folder, path.rpartition("/")[2], suffix):
                return Path(path)
        raise SettingRefused(
            field, "it exists, or cannot be written there", f"name a new file that ends in {suffix}"
        )
    try:
        return new_beneath(files.roots, path, suffix)
    except PathRefused as error:
        why = f"it names no new file that ends in {suffix} in an allowed folder"
        raise SettingRefused(field, why, error.remedy) from error


def _start(token: str) -> int:
    try:
        match = _TOKEN.fullmatch(base64.b64decode(token.encode(), b"-_", validate=True))
    except (binascii.Error, ValueError):
        match = None
    if match is None:
        raise SettingRefused("page_token", "no page gave it", "take it from the response before")
    return int(match[1])


def _source(source: str, files: Files) -> str:
    named = SourceSpec.parse(source)  # well formed: `check` saw it
    if named.names_file or (named.kind is SourceKind.CAMERA and not _CAMERA.fullmatch(source)):
        return str(_existing("source", source, files))
    return source


def _check_camera(camera: str) -> None:
    if not (_OUTPUT_NAME.fullmatch(camera) or _DEVICE.fullmatch(camera)):
        raise SettingRefused(
            "output.camera", f"it is {camera[:60]!r}", "use auto, none, pipewire or /dev/video10"
        )


def _existing(field: str, path: str, files: Files) -> Path:
    if len(path) > LONGEST:
        raise SettingRefused(field, f"it has {len(path)} characters", f"use at most {LONGEST}")
    if token_of(path) is not None:
        files.handed.require(field, path)
        return Path(path)
    try:
        return resolve_beneath(files.roots, path)
    except PathRefused as error:
        raise SettingRefused(field, "it names no ordinary file in an allowed folder", error.remedy) from error
