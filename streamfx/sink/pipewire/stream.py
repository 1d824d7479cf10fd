"""A video source on the PipeWire server: its connection, thread, agreed format, and who reads it.

PipeWire's own thread calls into Python only when something changes (state, format, readers), never for a
picture. Its lock is the only one that the callbacks and the publisher share; both threads let go of Python's
while they wait for it, so neither can wait for the other for ever.
"""

from __future__ import annotations

import atexit
import ctypes
import os
import threading
import time
from fractions import Fraction
from typing import Final

import numpy as np

from streamfx.errors import CameraUnavailable
from streamfx.frames import U8
from streamfx.sink.pipewire import formats, native
from streamfx.sink.pipewire.native import State

CONNECT_S: Final = 5.0
"""How long the server may take to accept the camera."""
_LINK: Final = b"PipeWire:Interface:Link"
_NO_SERVER: Final = "Start it (systemctl --user start pipewire wireplumber), as the desktop's own user"

_open: set[Stream] = set()
"""Streams that PipeWire's threads may still call into: they must not be collected as garbage."""


class Stream:
    """One camera node, from construction to `close`.

    Args:
        name: what call apps list.
        size: width and height in px, both even.
        rate: pictures per second.

    Raises:
        CameraUnavailable: no library, no server, or the server refuses.
    """

    def __init__(self, name: str, size: tuple[int, int], rate: Fraction) -> None:
        self._pw = native.library()
        self._size = size
        self._state = State.UNCONNECTED
        self._trouble = ""
        self._settled = threading.Event()
        self._agreed = False
        self._links: set[int] = set()
        self._node = b""
        self._pictures = 0
        self._registry = 0
        self._hook = native.Hook()
        self._listen()
        self._loop = self._pw.pw_thread_loop_new(b"streamfx-pipewire", None)
        self._stream = 0
        _open.add(self)
        try:
            self._connect(name, rate)
        except CameraUnavailable:
            self.close()
            raise

    def _listen(self) -> None:
        """The callbacks, as C calls them; held by this object until the stream is gone."""
        self._stream_events = native.StreamEvents(
            version=0,
            state_changed=native.ON_STATE(self._on_state),
            param_changed=native.ON_PARAMETER(self._on_parameter),
        )
        self._registry_events = native.RegistryEvents(
            version=0,
            on_global=native.ON_GLOBAL(self._on_global),
            on_global_remove=native.ON_GLOBAL_REMOVE(self._on_global_remove),
        )

    def _connect(self, name: str, rate: Fraction) -> None:
        pw = self._pw
        if not self._loop:
            raise CameraUnavailable("PipeWire could not start a thread", native.MISSING)
        dictionary = native.Dict.of(_properties(name))
        properties = pw.pw_properties_new_dict(ctypes.byref(dictionary))
        self._stream = pw.pw_stream_new_simple(
            pw.pw_thread_loop_get_loop(self._loop), name.encode(), properties, self._stream_events, None
        )
        if not self._stream:
            raise CameraUnavailable("PipeWire could not make a stream", native.MISSING)
        pw.pw_thread_loop_start(self._loop)
        offers, held = native.pod_array([formats.offer(self._size, rate)])
        flags = native.FLAG_DRIVER | native.FLAG_MAP_BUFFERS
        with self._locked():
            done = pw.pw_stream_connect(
                self._stream, native.DIRECTION_OUTPUT, native.ANY, flags, offers, len(held)
            )
        if done < 0:
            raise CameraUnavailable(f"No PipeWire server runs ({_errno_words(done)})", _NO_SERVER)
        self._wait_for_node()

    def _wait_for_node(self) -> None:
        if not self._settled.wait(CONNECT_S):
            raise CameraUnavailable(f"PipeWire did not accept the camera in {CONNECT_S:g} s", _NO_SERVER)
        if self.trouble:
            raise CameraUnavailable(f"PipeWire refused the camera: {self.trouble}", _NO_SERVER)
        with self._locked():
            self._node = str(self._pw.pw_stream_get_node_id(self._stream)).encode()
            core = self._pw.pw_stream_get_core(self._stream)
            self._registry = native.watch_registry(core, self._hook, self._registry_events) if core else 0

    @property
    def trouble(self) -> str:
        """Why the stream is no more; empty while it lives."""
        return self._trouble

    @property
    def streaming(self) -> bool:
        """Whether anybody takes pictures now."""
        return self._state == State.STREAMING

    @property
    def readers(self) -> int:
        """Links to this camera now."""
        return len(self._links)

    def send(self, rgb: U8) -> bool:
        """Convert a picture into a free buffer and pass it on; False if there was none to fill.

        Args:
            rgb: u8 [H,W,3] of the stream's size.
        """
        with self._locked():
            if self._state != State.STREAMING or not self._agreed:
                return False
            filled = not self._waiting() and self._fill(rgb)
            self._pw.pw_stream_trigger_process(self._stream)
        return filled

    def _waiting(self) -> bool:
        """Whether the last picture was not taken yet: a second one behind it would be late for ever."""
        moment = native.Time()
        self._pw.pw_stream_get_time_n(self._stream, ctypes.byref(moment), ctypes.sizeof(moment))
        return bool(moment.queued_buffers)

    def _fill(self, rgb: U8) -> bool:
        buffer = self._pw.pw_stream_dequeue_buffer(self._stream)
        if not buffer:
            return False
        spa = buffer.contents.buffer.contents
        size = formats.picture_bytes(self._size)
        data = spa.datas[0]
        fits = bool(spa.n_datas and data.data and data.maxsize >= size)
        chunk = data.chunk.contents
        chunk.offset, chunk.size, chunk.stride, chunk.flags = 0, 0, formats.stride(self._size), 0
        if fits:
            memory = (ctypes.c_uint8 * size).from_address(data.data)
            formats.write(rgb, np.ctypeslib.as_array(memory))
            chunk.size = size
            self._stamp(spa)
        self._pw.pw_stream_queue_buffer(self._stream, buffer)
        return fits

    def _stamp(self, spa: native.SpaBuffer) -> None:
        for meta in spa.metas[: spa.n_metas]:
            if meta.type == formats.META_HEADER and meta.size >= formats.META_HEADER_SIZE:
                header = native.MetaHeader.from_address(meta.data)
                header.flags, header.offset, header.dts_offset = 0, 0, 0
                header.pts, header.seq = time.monotonic_ns(), self._pictures
        self._pictures += 1

    def close(self) -> None:
        """Leave the server. May be called twice, but not from a callback."""
        if self not in _open:
            return
        self._trouble = self._trouble or "it was closed"
        _open.discard(self)
        if not self._loop:
            return
        with self._locked():
            if self._registry:
                self._pw.pw_proxy_destroy(self._registry)
            if self._stream:
                self._pw.pw_stream_destroy(self._stream)
        self._pw.pw_thread_loop_stop(self._loop)
        self._pw.pw_thread_loop_destroy(self._loop)
        self._links.clear()

    def _locked(self) -> _Lock:
        return _Lock(self._pw, self._loop)

    def _on_state(self, _data: int | None, _old: int, state: int, error: bytes | None) -> None:
        self._state = State(state)
        if state in (State.ERROR, State.UNCONNECTED) and not self._trouble:
            self._trouble = (error or b"the server went away").decode(errors="replace")
        if state != State.CONNECTING:
            self._settled.set()

    def _on_parameter(self, _data: int | None, kind: int, address: int | None) -> None:
        if kind != formats.FORMAT:
            return
        self._agreed = bool(address)
        if self._agreed:
            wishes, held = native.pod_array(formats.buffer_wishes(self._size))
            self._pw.pw_stream_update_params(self._stream, wishes, len(held))

    def _on_global(
        self,
        _data: int | None,
        ident: int,
        _permissions: int,
        kind: bytes,
        _version: int,
        properties: ctypes._Pointer[native.Dict],
    ) -> None:
        if kind == _LINK and properties and properties.contents.get(b"link.output.node") == self._node:
            self._links.add(ident)

    def _on_global_remove(self, _data: int | None, ident: int) -> None:
        self._links.discard(ident)


class _Lock:
    """PipeWire's lock of a loop, in a `with` block. The same thread may take it twice."""

    def __init__(self, pw: ctypes.CDLL, loop: int) -> None:
        self._pw = pw
        self._loop = loop

    def __enter__(self) -> None:
        self._pw.pw_thread_loop_lock(self._loop)

    def __exit__(self, *_: object) -> None:
        self._pw.pw_thread_loop_unlock(self._loop)


def _properties(name: str) -> dict[str, str]:
    """What makes a node a camera to browsers, the portal and OBS."""
    return {
        "media.type": "Video",
        "media.category": "Capture",
        "media.class": "Video/Source",
        "media.role": "Camera",
        "node.name": name,
        "node.description": name,
        "node.virtual": "true",
    }


def _errno_words(result: int) -> str:
    return os.strerror(-result)


@atexit.register
def _close_all() -> None:
    """Before Python ends: PipeWire's threads must not call into what is left of it."""
    for stream in list(_open):
        stream.close()
