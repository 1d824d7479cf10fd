"""DeviceService: the cameras of this machine."""

from __future__ import annotations

from collections.abc import Callable

from streamfx.api.conversions import enum_name
from streamfx.api.v1 import device_pb2, device_service_pb2
from streamfx.api.values import DeviceInfo
from streamfx.control.blocking import Blocking

Devices = Callable[[], list[DeviceInfo]]
"""Lists them without opening any. Called in a thread of the pool."""


class DeviceService:
    """The method, as rpc_adapter.handler calls it."""

    def __init__(self, devices: Devices, work: Blocking) -> None:
        self._devices = devices
        self._work = work

    async def list_devices(
        self, _request: device_service_pb2.ListDevicesRequest
    ) -> device_service_pb2.ListDevicesResponse:
        """All cameras."""
        found = await self._work.do(self._devices)
        return device_service_pb2.ListDevicesResponse(devices=[_message(one) for one in found])


def _message(device: DeviceInfo) -> device_pb2.Device:
    return device_pb2.Device(
        kind=enum_name(device_pb2.DeviceKind.DESCRIPTOR, device.kind),
        spec=device.spec,
        display_name=device.name,
        permitted=device.permitted,
        trouble=device.trouble,
    )
