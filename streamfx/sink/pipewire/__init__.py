"""A camera on the desktop's PipeWire server: for browsers and OBS on Linux; no root, no kernel module."""

from __future__ import annotations

from streamfx.sink.pipewire.camera import PipeWireCamera

__all__ = ["PipeWireCamera"]
