from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class BackgroundKind(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    BACKGROUND_KIND_UNSPECIFIED: _ClassVar[BackgroundKind]
    BACKGROUND_KIND_KEEP: _ClassVar[BackgroundKind]
    BACKGROUND_KIND_BLUR: _ClassVar[BackgroundKind]
    BACKGROUND_KIND_COLOUR: _ClassVar[BackgroundKind]
    BACKGROUND_KIND_IMAGE: _ClassVar[BackgroundKind]
    BACKGROUND_KIND_REMOVE: _ClassVar[BackgroundKind]

class FramingKind(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    FRAMING_KIND_UNSPECIFIED: _ClassVar[FramingKind]
    FRAMING_KIND_AUTO: _ClassVar[FramingKind]
    FRAMING_KIND_PHOTO: _ClassVar[FramingKind]
    FRAMING_KIND_CLOSE: _ClassVar[FramingKind]
    FRAMING_KIND_WIDE: _ClassVar[FramingKind]

class SessionState(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    SESSION_STATE_UNSPECIFIED: _ClassVar[SessionState]
    SESSION_STATE_STARTING: _ClassVar[SessionState]
    SESSION_STATE_LIVE: _ClassVar[SessionState]
    SESSION_STATE_WAITING: _ClassVar[SessionState]
    SESSION_STATE_HIDDEN: _ClassVar[SessionState]
    SESSION_STATE_PAUSED: _ClassVar[SessionState]
    SESSION_STATE_DEGRADED: _ClassVar[SessionState]

class Quality(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    QUALITY_UNSPECIFIED: _ClassVar[Quality]
    QUALITY_FULL: _ClassVar[Quality]
    QUALITY_WARP_ONLY: _ClassVar[Quality]
    QUALITY_HELD: _ClassVar[Quality]
    QUALITY_IDLE: _ClassVar[Quality]

class SourceState(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    SOURCE_STATE_UNSPECIFIED: _ClassVar[SourceState]
    SOURCE_STATE_CLOSED: _ClassVar[SourceState]
    SOURCE_STATE_OPENING: _ClassVar[SourceState]
    SOURCE_STATE_OPEN: _ClassVar[SourceState]
    SOURCE_STATE_LOST: _ClassVar[SourceState]
BACKGROUND_KIND_UNSPECIFIED: BackgroundKind
BACKGROUND_KIND_KEEP: BackgroundKind
BACKGROUND_KIND_BLUR: BackgroundKind
BACKGROUND_KIND_COLOUR: BackgroundKind
BACKGROUND_KIND_IMAGE: BackgroundKind
BACKGROUND_KIND_REMOVE: BackgroundKind
FRAMING_KIND_UNSPECIFIED: FramingKind
FRAMING_KIND_AUTO: FramingKind
FRAMING_KIND_PHOTO: FramingKind
FRAMING_KIND_CLOSE: FramingKind
FRAMING_KIND_WIDE: FramingKind
SESSION_STATE_UNSPECIFIED: SessionState
SESSION_STATE_STARTING: SessionState
SESSION_STATE_LIVE: SessionState
SESSION_STATE_WAITING: SessionState
SESSION_STATE_HIDDEN: SessionState
SESSION_STATE_PAUSED: SessionState
SESSION_STATE_DEGRADED: SessionState
QUALITY_UNSPECIFIED: Quality
QUALITY_FULL: Quality
QUALITY_WARP_ONLY: Quality
QUALITY_HELD: Quality
QUALITY_IDLE: Quality
SOURCE_STATE_UNSPECIFIED: SourceState
SOURCE_STATE_CLOSED: SourceState
SOURCE_STATE_OPENING: SourceState
SOURCE_STATE_OPEN: SourceState
SOURCE_STATE_LOST: SourceState

class Session(_message.Message):
    __slots__ = ("id", "settings", "status")
    ID_FIELD_NUMBER: _ClassVar[int]
    SETTINGS_FIELD_NUMBER: _ClassVar[int]
    STATUS_FIELD_NUMBER: _ClassVar[int]
    id: str
    settings: SessionSettings
    status: SessionStatus
    def __init__(self, id: _Optional[str] = ..., settings: _Optional[_Union[SessionSettings, _Mapping]] = ..., status: _Optional[_Union[SessionStatus, _Mapping]] = ...) -> None: ...

class SessionSettings(_message.Message):
    __slots__ = ("output", "source", "portraits", "selected", "gains", "background", "mirror", "mirror_preview", "badge", "hidden", "paused", "on_demand", "refine", "mouth", "device", "framing")
    OUTPUT_FIELD_NUMBER: _ClassVar[int]
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    PORTRAITS_FIELD_NUMBER: _ClassVar[int]
    SELECTED_FIELD_NUMBER: _ClassVar[int]
    GAINS_FIELD_NUMBER: _ClassVar[int]
    BACKGROUND_FIELD_NUMBER: _ClassVar[int]
    MIRROR_FIELD_NUMBER: _ClassVar[int]
    MIRROR_PREVIEW_FIELD_NUMBER: _ClassVar[int]
    BADGE_FIELD_NUMBER: _ClassVar[int]
    HIDDEN_FIELD_NUMBER: _ClassVar[int]
    PAUSED_FIELD_NUMBER: _ClassVar[int]
    ON_DEMAND_FIELD_NUMBER: _ClassVar[int]
    REFINE_FIELD_NUMBER: _ClassVar[int]
    MOUTH_FIELD_NUMBER: _ClassVar[int]
    DEVICE_FIELD_NUMBER: _ClassVar[int]
    FRAMING_FIELD_NUMBER: _ClassVar[int]
    output: Output
    source: str
    portraits: _containers.RepeatedScalarFieldContainer[str]
    selected: str
    gains: Gains
    background: Background
    mirror: bool
    mirror_preview: bool
    badge: str
    hidden: bool
    paused: bool
    on_demand: bool
    refine: str
    mouth: str
    device: str
    framing: Framing
    def __init__(self, output: _Optional[_Union[Output, _Mapping]] = ..., source: _Optional[str] = ..., portraits: _Optional[_Iterable[str]] = ..., selected: _Optional[str] = ..., gains: _Optional[_Union[Gains, _Mapping]] = ..., background: _Optional[_Union[Background, _Mapping]] = ..., mirror: _Optional[bool] = ..., mirror_preview: _Optional[bool] = ..., badge: _Optional[str] = ..., hidden: _Optional[bool] = ..., paused: _Optional[bool] = ..., on_demand: _Optional[bool] = ..., refine: _Optional[str] = ..., mouth: _Optional[str] = ..., device: _Optional[str] = ..., framing: _Optional[_Union[Framing, _Mapping]] = ...) -> None: ...

class Output(_message.Message):
    __slots__ = ("camera", "width", "height", "fps")
    CAMERA_FIELD_NUMBER: _ClassVar[int]
    WIDTH_FIELD_NUMBER: _ClassVar[int]
    HEIGHT_FIELD_NUMBER: _ClassVar[int]
    FPS_FIELD_NUMBER: _ClassVar[int]
    camera: str
    width: int
    height: int
    fps: float
    def __init__(self, camera: _Optional[str] = ..., width: _Optional[int] = ..., height: _Optional[int] = ..., fps: _Optional[float] = ...) -> None: ...

class Gains(_message.Message):
    __slots__ = ("head", "expression", "gaze")
    HEAD_FIELD_NUMBER: _ClassVar[int]
    EXPRESSION_FIELD_NUMBER: _ClassVar[int]
    GAZE_FIELD_NUMBER: _ClassVar[int]
    head: float
    expression: float
    gaze: float
    def __init__(self, head: _Optional[float] = ..., expression: _Optional[float] = ..., gaze: _Optional[float] = ...) -> None: ...

class Background(_message.Message):
    __slots__ = ("kind", "colour", "image")
    KIND_FIELD_NUMBER: _ClassVar[int]
    COLOUR_FIELD_NUMBER: _ClassVar[int]
    IMAGE_FIELD_NUMBER: _ClassVar[int]
    kind: BackgroundKind
    colour: str
    image: str
    def __init__(self, kind: _Optional[_Union[BackgroundKind, str]] = ..., colour: _Optional[str] = ..., image: _Optional[str] = ...) -> None: ...

class Framing(_message.Message):
    __slots__ = ("kind", "zoom", "x", "y")
    KIND_FIELD_NUMBER: _ClassVar[int]
    ZOOM_FIELD_NUMBER: _ClassVar[int]
    X_FIELD_NUMBER: _ClassVar[int]
    Y_FIELD_NUMBER: _ClassVar[int]
    kind: FramingKind
    zoom: float
    x: float
    y: float
    def __init__(self, kind: _Optional[_Union[FramingKind, str]] = ..., zoom: _Optional[float] = ..., x: _Optional[float] = ..., y: _Optional[float] = ...) -> None: ...

class SessionStatus(_message.Message):
    __slots__ = ("state", "quality", "fps", "latency", "source", "camera", "counters", "portrait_id", "readying", "worker_pid", "trouble", "ring_readers")
    STATE_FIELD_NUMBER: _ClassVar[int]
    QUALITY_FIELD_NUMBER: _ClassVar[int]
    FPS_FIELD_NUMBER: _ClassVar[int]
    LATENCY_FIELD_NUMBER: _ClassVar[int]
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    CAMERA_FIELD_NUMBER: _ClassVar[int]
    COUNTERS_FIELD_NUMBER: _ClassVar[int]
    PORTRAIT_ID_FIELD_NUMBER: _ClassVar[int]
    READYING_FIELD_NUMBER: _ClassVar[int]
    WORKER_PID_FIELD_NUMBER: _ClassVar[int]
    TROUBLE_FIELD_NUMBER: _ClassVar[int]
    RING_READERS_FIELD_NUMBER: _ClassVar[int]
    state: SessionState
    quality: Quality
    fps: float
    latency: Percentiles
    source: SourceStatus
    camera: CameraStatus
    counters: Counters
    portrait_id: str
    readying: _containers.RepeatedScalarFieldContainer[str]
    worker_pid: int
    trouble: str
    ring_readers: int
    def __init__(self, state: _Optional[_Union[SessionState, str]] = ..., quality: _Optional[_Union[Quality, str]] = ..., fps: _Optional[float] = ..., latency: _Optional[_Union[Percentiles, _Mapping]] = ..., source: _Optional[_Union[SourceStatus, _Mapping]] = ..., camera: _Optional[_Union[CameraStatus, _Mapping]] = ..., counters: _Optional[_Union[Counters, _Mapping]] = ..., portrait_id: _Optional[str] = ..., readying: _Optional[_Iterable[str]] = ..., worker_pid: _Optional[int] = ..., trouble: _Optional[str] = ..., ring_readers: _Optional[int] = ...) -> None: ...

class Percentiles(_message.Message):
    __slots__ = ("p50_ms", "p95_ms", "p99_ms")
    P50_MS_FIELD_NUMBER: _ClassVar[int]
    P95_MS_FIELD_NUMBER: _ClassVar[int]
    P99_MS_FIELD_NUMBER: _ClassVar[int]
    p50_ms: float
    p95_ms: float
    p99_ms: float
    def __init__(self, p50_ms: _Optional[float] = ..., p95_ms: _Optional[float] = ..., p99_ms: _Optional[float] = ...) -> None: ...

class SourceStatus(_message.Message):
    __slots__ = ("state", "display_name", "fps", "dropped", "tracked", "trouble", "turned", "damaged", "note")
    STATE_FIELD_NUMBER: _ClassVar[int]
    DISPLAY_NAME_FIELD_NUMBER: _ClassVar[int]
    FPS_FIELD_NUMBER: _ClassVar[int]
    DROPPED_FIELD_NUMBER: _ClassVar[int]
    TRACKED_FIELD_NUMBER: _ClassVar[int]
    TROUBLE_FIELD_NUMBER: _ClassVar[int]
    TURNED_FIELD_NUMBER: _ClassVar[int]
    DAMAGED_FIELD_NUMBER: _ClassVar[int]
    NOTE_FIELD_NUMBER: _ClassVar[int]
    state: SourceState
    display_name: str
    fps: float
    dropped: int
    tracked: float
    trouble: str
    turned: int
    damaged: int
    note: str
    def __init__(self, state: _Optional[_Union[SourceState, str]] = ..., display_name: _Optional[str] = ..., fps: _Optional[float] = ..., dropped: _Optional[int] = ..., tracked: _Optional[float] = ..., trouble: _Optional[str] = ..., turned: _Optional[int] = ..., damaged: _Optional[int] = ..., note: _Optional[str] = ...) -> None: ...

class CameraStatus(_message.Message):
    __slots__ = ("display_name", "device", "readers", "trouble")
    DISPLAY_NAME_FIELD_NUMBER: _ClassVar[int]
    DEVICE_FIELD_NUMBER: _ClassVar[int]
    READERS_FIELD_NUMBER: _ClassVar[int]
    TROUBLE_FIELD_NUMBER: _ClassVar[int]
    display_name: str
    device: str
    readers: int
    trouble: str
    def __init__(self, display_name: _Optional[str] = ..., device: _Optional[str] = ..., readers: _Optional[int] = ..., trouble: _Optional[str] = ...) -> None: ...

class Counters(_message.Message):
    __slots__ = ("published", "fresh", "repeated", "idle", "skipped", "refused", "restarts")
    PUBLISHED_FIELD_NUMBER: _ClassVar[int]
    FRESH_FIELD_NUMBER: _ClassVar[int]
    REPEATED_FIELD_NUMBER: _ClassVar[int]
    IDLE_FIELD_NUMBER: _ClassVar[int]
    SKIPPED_FIELD_NUMBER: _ClassVar[int]
    REFUSED_FIELD_NUMBER: _ClassVar[int]
    RESTARTS_FIELD_NUMBER: _ClassVar[int]
    published: int
    fresh: int
    repeated: int
    idle: int
    skipped: int
    refused: int
    restarts: int
    def __init__(self, published: _Optional[int] = ..., fresh: _Optional[int] = ..., repeated: _Optional[int] = ..., idle: _Optional[int] = ..., skipped: _Optional[int] = ..., refused: _Optional[int] = ..., restarts: _Optional[int] = ...) -> None: ...
