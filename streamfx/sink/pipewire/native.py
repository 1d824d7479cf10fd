"""The one door to libpipewire-0.3: its functions, structures and events, as ctypes sees them.

The layouts are those of PipeWire's public headers and part of its stable interface (since 0.3.50). What the
headers do by inline functions (calling a method of a proxy) is done here by its table of functions.
"""

from __future__ import annotations

import ctypes
import functools
from collections.abc import Mapping, Sequence
from ctypes import CFUNCTYPE, POINTER, Structure, c_char_p, c_int, c_int32, c_int64, c_size_t, c_void_p
from ctypes import c_uint32 as u32
from ctypes import c_uint64 as u64
from enum import IntEnum
from typing import Any, Final

from streamfx.errors import CameraUnavailable

LIBRARY: Final = "libpipewire-0.3.so.0"
DIRECTION_OUTPUT: Final = 1
ANY: Final = 0xFFFFFFFF
FLAG_MAP_BUFFERS: Final = 1 << 2
FLAG_DRIVER: Final = 1 << 3
"""The stream paces those who read it, by pw_stream_trigger_process."""
MISSING: Final = "Install PipeWire (Debian, Ubuntu: sudo apt install pipewire wireplumber)"


class State(IntEnum):
    """What a stream is in."""

    ERROR = -1
    UNCONNECTED = 0
    CONNECTING = 1
    PAUSED = 2
    STREAMING = 3


class Chunk(Structure):
    """spa_chunk: what of a block is valid."""

    _fields_ = [("offset", u32), ("size", u32), ("stride", c_int32), ("flags", c_int32)]


class Data(Structure):
    """spa_data: a block of memory."""

    _fields_ = [
        ("type", u32),
        ("flags", u32),
        ("fd", c_int64),
        ("mapoffset", u32),
        ("maxsize", u32),
        ("data", c_void_p),
        ("chunk", POINTER(Chunk)),
    ]


class Meta(Structure):
    """spa_meta: something said of a buffer."""

    _fields_ = [("type", u32), ("size", u32), ("data", c_void_p)]


class MetaHeader(Structure):
    """spa_meta_header: when a picture is from."""

    _fields_ = [
        ("flags", u32),
        ("offset", u32),
        ("pts", c_int64),
        ("dts_offset", c_int64),
        ("seq", u64),
    ]


class SpaBuffer(Structure):
    """spa_buffer: blocks of memory and what is said of them."""

    _fields_ = [
        ("n_metas", u32),
        ("n_datas", u32),
        ("metas", POINTER(Meta)),
        ("datas", POINTER(Data)),
    ]


class Buffer(Structure):
    """pw_buffer, as far as it is used."""

    _fields_ = [("buffer", POINTER(SpaBuffer))]


class Time(Structure):
    """pw_time."""

    _fields_ = [
        ("now", c_int64),
        ("rate_num", u32),
        ("rate_denom", u32),
        ("ticks", u64),
        ("delay", c_int64),
        ("queued", u64),
        ("buffered", u64),
        ("queued_buffers", u32),
        ("avail_buffers", u32),
    ]


class _DictItem(Structure):
    _fields_ = [("key", c_char_p), ("value", c_char_p)]


class Dict(Structure):
    """spa_dict: names and values."""

    _fields_ = [("flags", u32), ("n_items", u32), ("items", POINTER(_DictItem))]

    @staticmethod
    def of(values: Mapping[str, str]) -> Dict:
        """A dict that lives as long as Python holds it."""
        items = (_DictItem * len(values))(*(_DictItem(k.encode(), v.encode()) for k, v in values.items()))
        return Dict(0, len(values), items)

    def get(self, key: bytes) -> bytes | None:
        """The value of a key."""
        return next((self.items[i].value for i in range(self.n_items) if self.items[i].key == key), None)


class Hook(Structure):
    """spa_hook: PipeWire's own note of who listens."""

    _fields_ = [("opaque", c_void_p * 6)]


ON_STATE = CFUNCTYPE(None, c_void_p, c_int, c_int, c_char_p)
"""data, old state, new state, error"""
ON_PARAMETER = CFUNCTYPE(None, c_void_p, u32, c_void_p)
"""data, kind, pod"""
ON_GLOBAL = CFUNCTYPE(None, c_void_p, u32, u32, c_char_p, u32, POINTER(Dict))
"""data, id, permissions, type, version, properties"""
ON_GLOBAL_REMOVE = CFUNCTYPE(None, c_void_p, u32)
"""data, id"""


class StreamEvents(Structure):
    """pw_stream_events, version 0: what is left empty is not called."""

    _fields_ = [
        ("version", u32),
        ("destroy", c_void_p),
        ("state_changed", ON_STATE),
        ("control_info", c_void_p),
        ("io_changed", c_void_p),
        ("param_changed", ON_PARAMETER),
        ("add_buffer", c_void_p),
        ("remove_buffer", c_void_p),
        ("process", c_void_p),
        ("drained", c_void_p),
    ]


class RegistryEvents(Structure):
    """pw_registry_events."""

    _fields_ = [
        ("version", u32),
        ("on_global", ON_GLOBAL),
        ("on_global_remove", ON_GLOBAL_REMOVE),
    ]


class _Interface(Structure):
    """spa_interface: a proxy begins with it."""

    _fields_ = [
        ("type", c_char_p),
        ("version", u32),
        ("functions", POINTER(c_void_p)),
        ("data", c_void_p),
    ]


_GET_REGISTRY = CFUNCTYPE(c_void_p, c_void_p, u32, c_size_t)
_ADD_LISTENER = CFUNCTYPE(c_int, c_void_p, POINTER(Hook), POINTER(RegistryEvents), c_void_p)
_GET_REGISTRY_SLOT: Final = 6
_ADD_LISTENER_SLOT: Final = 1
"""Where the methods stand in their tables; slot 0 is the version."""

_PROTOTYPES: Final[dict[str, tuple[Any, Sequence[Any]]]] = {
    "pw_init": (None, [c_void_p, c_void_p]),
    "pw_properties_new_dict": (c_void_p, [POINTER(Dict)]),
    "pw_thread_loop_new": (c_void_p, [c_char_p, c_void_p]),
    "pw_thread_loop_get_loop": (c_void_p, [c_void_p]),
    "pw_thread_loop_start": (c_int, [c_void_p]),
    "pw_thread_loop_stop": (None, [c_void_p]),
    "pw_thread_loop_destroy": (None, [c_void_p]),
    "pw_thread_loop_lock": (None, [c_void_p]),
    "pw_thread_loop_unlock": (None, [c_void_p]),
    "pw_stream_new_simple": (c_void_p, [c_void_p, c_char_p, c_void_p, POINTER(StreamEvents), c_void_p]),
    "pw_stream_connect": (c_int, [c_void_p, c_int, u32, c_int, POINTER(c_void_p), u32]),
    "pw_stream_destroy": (None, [c_void_p]),
    "pw_stream_get_core": (c_void_p, [c_void_p]),
    "pw_stream_get_node_id": (u32, [c_void_p]),
    "pw_stream_get_time_n": (c_int, [c_void_p, POINTER(Time), c_size_t]),
    "pw_stream_update_params": (c_int, [c_void_p, POINTER(c_void_p), u32]),
    "pw_stream_dequeue_buffer": (POINTER(Buffer), [c_void_p]),
    "pw_stream_queue_buffer": (c_int, [c_void_p, POINTER(Buffer)]),
    "pw_stream_trigger_process": (c_int, [c_void_p]),
    "pw_proxy_destroy": (None, [c_void_p]),
}


@functools.cache
def library(name: str = LIBRARY) -> ctypes.CDLL:
    """libpipewire, loaded and initialized once for the process.

    Raises:
        CameraUnavailable: it is not installed, or too old.
    """
    try:
        loaded = ctypes.CDLL(name)
    except OSError as error:
        raise CameraUnavailable(f"PipeWire's library {name} is not installed", MISSING) from error
    try:
        for function, (result, arguments) in _PROTOTYPES.items():
            entry = getattr(loaded, function)
            entry.restype, entry.argtypes = result, arguments
    except AttributeError as error:
        cause = f"PipeWire's library {name} is older than 0.3.50: {error}"
        raise CameraUnavailable(cause, "Use a newer system, or a v4l2loopback camera") from error
    loaded.pw_init(None, None)
    return loaded


def pod_array(pods: Sequence[bytes]) -> tuple[ctypes.Array[c_void_p], list[ctypes.Array[ctypes.c_char]]]:
    """Pods as C takes them, and the memory that they lie in: hold on to it for the time of the call."""
    held = [ctypes.create_string_buffer(pod, len(pod)) for pod in pods]
    return (c_void_p * len(held))(*(ctypes.addressof(memory) for memory in held)), held


def watch_registry(core: int, hook: Hook, events: RegistryEvents) -> int:
    """Listen to what comes and goes on the server; the loop must be locked.

    Returns:
        The registry's proxy, for pw_proxy_destroy; 0 if there is none.
    """
    data, method = _method(core, _GET_REGISTRY_SLOT)
    registry = int(_GET_REGISTRY(method)(data, 3, 0) or 0)
    if registry:
        data, method = _method(registry, _ADD_LISTENER_SLOT)
        _ADD_LISTENER(method)(data, ctypes.byref(hook), ctypes.byref(events), None)
    return registry


def _method(proxy: int, slot: int) -> tuple[int, int]:
    """What to call a method of a proxy with, and its address."""
    interface = _Interface.from_address(proxy)
    return interface.data, interface.functions[slot]
