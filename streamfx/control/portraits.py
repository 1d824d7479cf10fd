"""PortraitService: the photos that can be animated."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Final

from streamfx.api.v1 import portrait_pb2, portrait_service_pb2
from streamfx.confine import read_beneath
from streamfx.control import requests
from streamfx.control.blocking import Blocking
from streamfx.control.options import Limits
from streamfx.errors import LimitReached, PhotoUnreadable, SettingRefused
from streamfx.session.portraits import PortraitInfo, Portraits

LONGEST_NAME: Final = 80
MOST_REFERENCES: Final = 4


class PortraitService:
    """The methods, as binding.handler calls them."""

    def __init__(self, portraits: Portraits, roots: Sequence[Path], limits: Limits, work: Blocking) -> None:
        self._portraits = portraits
        self._roots = roots
        self._limits = limits
        self._work = work
        self._adding = 0
        self._one_by_one = asyncio.Lock()

    @contextmanager
    def room(self) -> Iterator[None]:
        """Room for a photo that comes in, during the block.

        Raises:
            LimitReached: there is none.
        """
        if self._adding >= self._limits.photos:
            cause = f"{self._adding} photos are being made ready"
            raise LimitReached("portrait", "", cause, "Wait for one of them")
        self._adding += 1
        try:
            yield
        finally:
            self._adding -= 1

    async def create_portrait(
        self, request: portrait_service_pb2.CreatePortraitRequest
    ) -> portrait_service_pb2.CreatePortraitResponse:
        """Make a photo ready; it takes seconds, and one is made at a time."""
        name = _name(request.display_name)
        id = requests.identifier("id", request.id) if request.id else ""
        if len(request.references) > MOST_REFERENCES:
            remedy = f"give at most {MOST_REFERENCES}"
            raise SettingRefused("references", f"there are {len(request.references)}", remedy)
        photo, references = request.photo, list(request.references)
        given_up = threading.Event()
        add = partial(self._add, photo, references, name, id, given_up)
        del request, photo, references  # the photo's bytes are kept by nobody but who adds it
        async with self._one_by_one:
            info = await self._work.do(add, undo=self._forget, given_up=given_up)
        return portrait_service_pb2.CreatePortraitResponse(portrait=message_of(info))

    async def get_portrait(
        self, request: portrait_service_pb2.GetPortraitRequest
    ) -> portrait_service_pb2.GetPortraitResponse:
        """One of them."""
        id = requests.identifier("portrait_id", request.portrait_id)
        info = await self._work.do(lambda: self._portraits.get(id))
        return portrait_service_pb2.GetPortraitResponse(portrait=message_of(info))

    async def list_portraits(
        self, request: portrait_service_pb2.ListPortraitsRequest
    ) -> portrait_service_pb2.ListPortraitsResponse:
        """A page of them."""
        infos = await self._work.do(self._portraits.list)
        shown, more = requests.page(infos, request.page_size, request.page_token)
        messages = [message_of(info) for info in shown]
        return portrait_service_pb2.ListPortraitsResponse(portraits=messages, next_page_token=more)

    async def update_portrait(
        self, request: portrait_service_pb2.UpdatePortraitRequest
    ) -> portrait_service_pb2.UpdatePortraitResponse:
        """Rename it."""
        for path in request.update_mask.paths:
            if path not in ("display_name", "*"):
                raise SettingRefused("update_mask", f"{path[:60]!r} cannot be changed", "name display_name")
        id = requests.identifier("portrait.id", request.portrait.id)
        name = _name(request.portrait.display_name)
        info = await self._work.do(lambda: self._portraits.rename(id, name))
        return portrait_service_pb2.UpdatePortraitResponse(portrait=message_of(info))

    async def delete_portrait(
        self, request: portrait_service_pb2.DeletePortraitRequest
    ) -> portrait_service_pb2.DeletePortraitResponse:
        """Forget it."""
        id = requests.identifier("portrait_id", request.portrait_id)
        await self._work.do(lambda: self._portraits.remove(id))
        return portrait_service_pb2.DeletePortraitResponse()

    async def get_portrait_thumbnail(
        self, request: portrait_service_pb2.GetPortraitThumbnailRequest
    ) -> portrait_service_pb2.GetPortraitThumbnailResponse:
        """A small picture of it."""
        id = requests.identifier("portrait_id", request.portrait_id)
        jpeg = await self._work.do(lambda: self._portraits.thumbnail(id))
        return portrait_service_pb2.GetPortraitThumbnailResponse(jpeg=jpeg)

    def _add(
        self,
        photo: portrait_pb2.Photo,
        references: list[portrait_pb2.Photo],
        name: str,
        id: str,
        given_up: threading.Event,
    ) -> PortraitInfo:
        content = self._photo("photo", photo)
        others = [self._photo(f"references[{n}]", one) for n, one in enumerate(references)]
        return self._portraits.add(content, name=name, id=id, references=others, given_up=given_up)

    def _photo(self, field: str, photo: portrait_pb2.Photo) -> bytes:
        """Its bytes: a file is read here, from the descriptor that was checked."""
        if photo.WhichOneof("source") == "path":
            return read_beneath(self._roots, photo.path, self._limits.photo_bytes)
        content = photo.content  # a copy each time it is asked for
        if not content:
            raise SettingRefused(field, "it is missing", "give its bytes or its path")
        if len(content) > self._limits.photo_bytes:
            limit = self._limits.photo_bytes
            cause = f"The photo has {len(content)} bytes, more than {limit}"
            raise PhotoUnreadable(cause, "Use a smaller file")
        return content

    def _forget(self, info: PortraitInfo) -> None:
        self._portraits.remove(info.id)


def message_of(info: PortraitInfo) -> portrait_pb2.Portrait:
    """A portrait for the wire."""
    message = portrait_pb2.Portrait(
        id=info.id,
        display_name=info.name,
        width=info.size[0],
        height=info.size[1],
        sha256=info.sha256,
        reference_count=info.references,
        findings=info.findings,
    )
    message.create_time.FromNanoseconds(info.created_ns)
    return message


def _name(name: str) -> str:
    if len(name) > LONGEST_NAME or not name.isprintable():
        remedy = f"use at most {LONGEST_NAME} characters"
        raise SettingRefused("display_name", "it is too long or not printable", remedy)
    return name
