from google.protobuf import field_mask_pb2 as _field_mask_pb2
from streamfx.api.v1 import motion_pb2 as _motion_pb2
from streamfx.api.v1 import session_pb2 as _session_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Step(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    STEP_UNSPECIFIED: _ClassVar[Step]
    STEP_NEXT: _ClassVar[Step]
    STEP_PREVIOUS: _ClassVar[Step]

class PreviewFormat(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    PREVIEW_FORMAT_UNSPECIFIED: _ClassVar[PreviewFormat]
    PREVIEW_FORMAT_JPEG: _ClassVar[PreviewFormat]
    PREVIEW_FORMAT_H264: _ClassVar[PreviewFormat]
STEP_UNSPECIFIED: Step
STEP_NEXT: Step
STEP_PREVIOUS: Step
PREVIEW_FORMAT_UNSPECIFIED: PreviewFormat
PREVIEW_FORMAT_JPEG: PreviewFormat
PREVIEW_FORMAT_H264: PreviewFormat

class CreateSessionRequest(_message.Message):
    __slots__ = ("settings", "id")
    SETTINGS_FIELD_NUMBER: _ClassVar[int]
    ID_FIELD_NUMBER: _ClassVar[int]
    settings: _session_pb2.SessionSettings
    id: str
    def __init__(self, settings: _Optional[_Union[_session_pb2.SessionSettings, _Mapping]] = ..., id: _Optional[str] = ...) -> None: ...

class CreateSessionResponse(_message.Message):
    __slots__ = ("session",)
    SESSION_FIELD_NUMBER: _ClassVar[int]
    session: _session_pb2.Session
    def __init__(self, session: _Optional[_Union[_session_pb2.Session, _Mapping]] = ...) -> None: ...

class GetSessionRequest(_message.Message):
    __slots__ = ("session_id",)
    SESSION_ID_FIELD_NUMBER: _ClassVar[int]
    session_id: str
    def __init__(self, session_id: _Optional[str] = ...) -> None: ...

class GetSessionResponse(_message.Message):
    __slots__ = ("session",)
    SESSION_FIELD_NUMBER: _ClassVar[int]
    session: _session_pb2.Session
    def __init__(self, session: _Optional[_Union[_session_pb2.Session, _Mapping]] = ...) -> None: ...

class ListSessionsRequest(_message.Message):
    __slots__ = ("page_size", "page_token")
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    page_size: int
    page_token: str
    def __init__(self, page_size: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...

class ListSessionsResponse(_message.Message):
    __slots__ = ("sessions", "next_page_token")
    SESSIONS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    sessions: _containers.RepeatedCompositeFieldContainer[_session_pb2.Session]
    next_page_token: str
    def __init__(self, sessions: _Optional[_Iterable[_Union[_session_pb2.Session, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class UpdateSessionRequest(_message.Message):
    __slots__ = ("session_id", "settings", "update_mask")
    SESSION_ID_FIELD_NUMBER: _ClassVar[int]
    SETTINGS_FIELD_NUMBER: _ClassVar[int]
    UPDATE_MASK_FIELD_NUMBER: _ClassVar[int]
    session_id: str
    settings: _session_pb2.SessionSettings
    update_mask: _field_mask_pb2.FieldMask
    def __init__(self, session_id: _Optional[str] = ..., settings: _Optional[_Union[_session_pb2.SessionSettings, _Mapping]] = ..., update_mask: _Optional[_Union[_field_mask_pb2.FieldMask, _Mapping]] = ...) -> None: ...

class UpdateSessionResponse(_message.Message):
    __slots__ = ("session",)
    SESSION_FIELD_NUMBER: _ClassVar[int]
    session: _session_pb2.Session
    def __init__(self, session: _Optional[_Union[_session_pb2.Session, _Mapping]] = ...) -> None: ...

class DeleteSessionRequest(_message.Message):
    __slots__ = ("session_id",)
    SESSION_ID_FIELD_NUMBER: _ClassVar[int]
    session_id: str
    def __init__(self, session_id: _Optional[str] = ...) -> None: ...

class DeleteSessionResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class SelectPortraitRequest(_message.Message):
    __slots__ = ("session_id", "portrait_id", "index", "step")
    SESSION_ID_FIELD_NUMBER: _ClassVar[int]
    PORTRAIT_ID_FIELD_NUMBER: _ClassVar[int]
    INDEX_FIELD_NUMBER: _ClassVar[int]
    STEP_FIELD_NUMBER: _ClassVar[int]
    session_id: str
    portrait_id: str
    index: int
    step: Step
    def __init__(self, session_id: _Optional[str] = ..., portrait_id: _Optional[str] = ..., index: _Optional[int] = ..., step: _Optional[_Union[Step, str]] = ...) -> None: ...

class SelectPortraitResponse(_message.Message):
    __slots__ = ("session",)
    SESSION_FIELD_NUMBER: _ClassVar[int]
    session: _session_pb2.Session
    def __init__(self, session: _Optional[_Union[_session_pb2.Session, _Mapping]] = ...) -> None: ...

class CalibrateSessionRequest(_message.Message):
    __slots__ = ("session_id",)
    SESSION_ID_FIELD_NUMBER: _ClassVar[int]
    session_id: str
    def __init__(self, session_id: _Optional[str] = ...) -> None: ...

class CalibrateSessionResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class HideSessionRequest(_message.Message):
    __slots__ = ("session_id", "hidden")
    SESSION_ID_FIELD_NUMBER: _ClassVar[int]
    HIDDEN_FIELD_NUMBER: _ClassVar[int]
    session_id: str
    hidden: bool
    def __init__(self, session_id: _Optional[str] = ..., hidden: _Optional[bool] = ...) -> None: ...

class HideSessionResponse(_message.Message):
    __slots__ = ("session",)
    SESSION_FIELD_NUMBER: _ClassVar[int]
    session: _session_pb2.Session
    def __init__(self, session: _Optional[_Union[_session_pb2.Session, _Mapping]] = ...) -> None: ...

class PauseSessionRequest(_message.Message):
    __slots__ = ("session_id", "paused")
    SESSION_ID_FIELD_NUMBER: _ClassVar[int]
    PAUSED_FIELD_NUMBER: _ClassVar[int]
    session_id: str
    paused: bool
    def __init__(self, session_id: _Optional[str] = ..., paused: _Optional[bool] = ...) -> None: ...

class PauseSessionResponse(_message.Message):
    __slots__ = ("session",)
    SESSION_FIELD_NUMBER: _ClassVar[int]
    session: _session_pb2.Session
    def __init__(self, session: _Optional[_Union[_session_pb2.Session, _Mapping]] = ...) -> None: ...

class WatchSessionRequest(_message.Message):
    __slots__ = ("session_id", "interval_ms")
    SESSION_ID_FIELD_NUMBER: _ClassVar[int]
    INTERVAL_MS_FIELD_NUMBER: _ClassVar[int]
    session_id: str
    interval_ms: int
    def __init__(self, session_id: _Optional[str] = ..., interval_ms: _Optional[int] = ...) -> None: ...

class WatchSessionResponse(_message.Message):
    __slots__ = ("status",)
    STATUS_FIELD_NUMBER: _ClassVar[int]
    status: _session_pb2.SessionStatus
    def __init__(self, status: _Optional[_Union[_session_pb2.SessionStatus, _Mapping]] = ...) -> None: ...

class WatchPreviewRequest(_message.Message):
    __slots__ = ("session_id", "max_fps", "max_side", "quality", "format")
    SESSION_ID_FIELD_NUMBER: _ClassVar[int]
    MAX_FPS_FIELD_NUMBER: _ClassVar[int]
    MAX_SIDE_FIELD_NUMBER: _ClassVar[int]
    QUALITY_FIELD_NUMBER: _ClassVar[int]
    FORMAT_FIELD_NUMBER: _ClassVar[int]
    session_id: str
    max_fps: float
    max_side: int
    quality: int
    format: PreviewFormat
    def __init__(self, session_id: _Optional[str] = ..., max_fps: _Optional[float] = ..., max_side: _Optional[int] = ..., quality: _Optional[int] = ..., format: _Optional[_Union[PreviewFormat, str]] = ...) -> None: ...

class WatchPreviewResponse(_message.Message):
    __slots__ = ("jpeg", "width", "height", "seq", "quality", "captured_ns", "rendered_ns", "dropped", "h264", "key")
    JPEG_FIELD_NUMBER: _ClassVar[int]
    WIDTH_FIELD_NUMBER: _ClassVar[int]
    HEIGHT_FIELD_NUMBER: _ClassVar[int]
    SEQ_FIELD_NUMBER: _ClassVar[int]
    QUALITY_FIELD_NUMBER: _ClassVar[int]
    CAPTURED_NS_FIELD_NUMBER: _ClassVar[int]
    RENDERED_NS_FIELD_NUMBER: _ClassVar[int]
    DROPPED_FIELD_NUMBER: _ClassVar[int]
    H264_FIELD_NUMBER: _ClassVar[int]
    KEY_FIELD_NUMBER: _ClassVar[int]
    jpeg: bytes
    width: int
    height: int
    seq: int
    quality: _session_pb2.Quality
    captured_ns: int
    rendered_ns: int
    dropped: int
    h264: bytes
    key: bool
    def __init__(self, jpeg: _Optional[bytes] = ..., width: _Optional[int] = ..., height: _Optional[int] = ..., seq: _Optional[int] = ..., quality: _Optional[_Union[_session_pb2.Quality, str]] = ..., captured_ns: _Optional[int] = ..., rendered_ns: _Optional[int] = ..., dropped: _Optional[int] = ..., h264: _Optional[bytes] = ..., key: _Optional[bool] = ...) -> None: ...

class DriveSessionRequest(_message.Message):
    __slots__ = ("session_id", "motion")
    SESSION_ID_FIELD_NUMBER: _ClassVar[int]
    MOTION_FIELD_NUMBER: _ClassVar[int]
    session_id: str
    motion: _motion_pb2.Motion
    def __init__(self, session_id: _Optional[str] = ..., motion: _Optional[_Union[_motion_pb2.Motion, _Mapping]] = ...) -> None: ...

class DriveSessionResponse(_message.Message):
    __slots__ = ("motions",)
    MOTIONS_FIELD_NUMBER: _ClassVar[int]
    motions: int
    def __init__(self, motions: _Optional[int] = ...) -> None: ...

class RecordSessionRequest(_message.Message):
    __slots__ = ("session_id", "path", "duration_s")
    SESSION_ID_FIELD_NUMBER: _ClassVar[int]
    PATH_FIELD_NUMBER: _ClassVar[int]
    DURATION_S_FIELD_NUMBER: _ClassVar[int]
    session_id: str
    path: str
    duration_s: float
    def __init__(self, session_id: _Optional[str] = ..., path: _Optional[str] = ..., duration_s: _Optional[float] = ...) -> None: ...

class RecordSessionResponse(_message.Message):
    __slots__ = ("frames", "size_bytes", "elapsed_s", "finished", "trouble")
    FRAMES_FIELD_NUMBER: _ClassVar[int]
    SIZE_BYTES_FIELD_NUMBER: _ClassVar[int]
    ELAPSED_S_FIELD_NUMBER: _ClassVar[int]
    FINISHED_FIELD_NUMBER: _ClassVar[int]
    TROUBLE_FIELD_NUMBER: _ClassVar[int]
    frames: int
    size_bytes: int
    elapsed_s: float
    finished: bool
    trouble: str
    def __init__(self, frames: _Optional[int] = ..., size_bytes: _Optional[int] = ..., elapsed_s: _Optional[float] = ..., finished: _Optional[bool] = ..., trouble: _Optional[str] = ...) -> None: ...
