from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class DeviceKind(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    DEVICE_KIND_UNSPECIFIED: _ClassVar[DeviceKind]
    DEVICE_KIND_DRIVING: _ClassVar[DeviceKind]
    DEVICE_KIND_VIRTUAL: _ClassVar[DeviceKind]
DEVICE_KIND_UNSPECIFIED: DeviceKind
DEVICE_KIND_DRIVING: DeviceKind
DEVICE_KIND_VIRTUAL: DeviceKind

class Device(_message.Message):
    __slots__ = ("kind", "spec", "display_name", "permitted", "trouble")
    KIND_FIELD_NUMBER: _ClassVar[int]
    SPEC_FIELD_NUMBER: _ClassVar[int]
    DISPLAY_NAME_FIELD_NUMBER: _ClassVar[int]
    PERMITTED_FIELD_NUMBER: _ClassVar[int]
    TROUBLE_FIELD_NUMBER: _ClassVar[int]
    kind: DeviceKind
    spec: str
    display_name: str
    permitted: bool
    trouble: str
    def __init__(self, kind: _Optional[_Union[DeviceKind, str]] = ..., spec: _Optional[str] = ..., display_name: _Optional[str] = ..., permitted: _Optional[bool] = ..., trouble: _Optional[str] = ...) -> None: ...
