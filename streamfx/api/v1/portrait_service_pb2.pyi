from google.protobuf import field_mask_pb2 as _field_mask_pb2
from streamfx.api.v1 import portrait_pb2 as _portrait_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class CreatePortraitRequest(_message.Message):
    __slots__ = ("photo", "display_name", "id", "references")
    PHOTO_FIELD_NUMBER: _ClassVar[int]
    DISPLAY_NAME_FIELD_NUMBER: _ClassVar[int]
    ID_FIELD_NUMBER: _ClassVar[int]
    REFERENCES_FIELD_NUMBER: _ClassVar[int]
    photo: _portrait_pb2.Photo
    display_name: str
    id: str
    references: _containers.RepeatedCompositeFieldContainer[_portrait_pb2.Photo]
    def __init__(self, photo: _Optional[_Union[_portrait_pb2.Photo, _Mapping]] = ..., display_name: _Optional[str] = ..., id: _Optional[str] = ..., references: _Optional[_Iterable[_Union[_portrait_pb2.Photo, _Mapping]]] = ...) -> None: ...

class CreatePortraitResponse(_message.Message):
    __slots__ = ("portrait",)
    PORTRAIT_FIELD_NUMBER: _ClassVar[int]
    portrait: _portrait_pb2.Portrait
    def __init__(self, portrait: _Optional[_Union[_portrait_pb2.Portrait, _Mapping]] = ...) -> None: ...

class GetPortraitRequest(_message.Message):
    __slots__ = ("portrait_id",)
    PORTRAIT_ID_FIELD_NUMBER: _ClassVar[int]
    portrait_id: str
    def __init__(self, portrait_id: _Optional[str] = ...) -> None: ...

class GetPortraitResponse(_message.Message):
    __slots__ = ("portrait",)
    PORTRAIT_FIELD_NUMBER: _ClassVar[int]
    portrait: _portrait_pb2.Portrait
    def __init__(self, portrait: _Optional[_Union[_portrait_pb2.Portrait, _Mapping]] = ...) -> None: ...

class ListPortraitsRequest(_message.Message):
    __slots__ = ("page_size", "page_token")
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    page_size: int
    page_token: str
    def __init__(self, page_size: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...

class ListPortraitsResponse(_message.Message):
    __slots__ = ("portraits", "next_page_token")
    PORTRAITS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    portraits: _containers.RepeatedCompositeFieldContainer[_portrait_pb2.Portrait]
    next_page_token: str
    def __init__(self, portraits: _Optional[_Iterable[_Union[_portrait_pb2.Portrait, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class UpdatePortraitRequest(_message.Message):
    __slots__ = ("portrait", "update_mask")
    PORTRAIT_FIELD_NUMBER: _ClassVar[int]
    UPDATE_MASK_FIELD_NUMBER: _ClassVar[int]
    portrait: _portrait_pb2.Portrait
    update_mask: _field_mask_pb2.FieldMask
    def __init__(self, portrait: _Optional[_Union[_portrait_pb2.Portrait, _Mapping]] = ..., update_mask: _Optional[_Union[_field_mask_pb2.FieldMask, _Mapping]] = ...) -> None: ...

class UpdatePortraitResponse(_message.Message):
    __slots__ = ("portrait",)
    PORTRAIT_FIELD_NUMBER: _ClassVar[int]
    portrait: _portrait_pb2.Portrait
    def __init__(self, portrait: _Optional[_Union[_portrait_pb2.Portrait, _Mapping]] = ...) -> None: ...

class DeletePortraitRequest(_message.Message):
    __slots__ = ("portrait_id",)
    PORTRAIT_ID_FIELD_NUMBER: _ClassVar[int]
    portrait_id: str
    def __init__(self, portrait_id: _Optional[str] = ...) -> None: ...

class DeletePortraitResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class GetPortraitThumbnailRequest(_message.Message):
    __slots__ = ("portrait_id",)
    PORTRAIT_ID_FIELD_NUMBER: _ClassVar[int]
    portrait_id: str
    def __init__(self, portrait_id: _Optional[str] = ...) -> None: ...

class GetPortraitThumbnailResponse(_message.Message):
    __slots__ = ("jpeg",)
    JPEG_FIELD_NUMBER: _ClassVar[int]
    jpeg: bytes
    def __init__(self, jpeg: _Optional[bytes] = ...) -> None: ...
