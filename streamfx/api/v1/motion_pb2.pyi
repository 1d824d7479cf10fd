from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable
from typing import ClassVar as _ClassVar, Optional as _Optional

DESCRIPTOR: _descriptor.FileDescriptor

class Motion(_message.Message):
    __slots__ = ("coefficients", "expression", "rotation", "translation", "scale", "gaze", "lip_gaps", "lid_closure", "presence", "captured_ns")
    COEFFICIENTS_FIELD_NUMBER: _ClassVar[int]
    EXPRESSION_FIELD_NUMBER: _ClassVar[int]
    ROTATION_FIELD_NUMBER: _ClassVar[int]
    TRANSLATION_FIELD_NUMBER: _ClassVar[int]
    SCALE_FIELD_NUMBER: _ClassVar[int]
    GAZE_FIELD_NUMBER: _ClassVar[int]
    LIP_GAPS_FIELD_NUMBER: _ClassVar[int]
    LID_CLOSURE_FIELD_NUMBER: _ClassVar[int]
    PRESENCE_FIELD_NUMBER: _ClassVar[int]
    CAPTURED_NS_FIELD_NUMBER: _ClassVar[int]
    coefficients: _containers.RepeatedScalarFieldContainer[float]
    expression: _containers.RepeatedScalarFieldContainer[float]
    rotation: _containers.RepeatedScalarFieldContainer[float]
    translation: _containers.RepeatedScalarFieldContainer[float]
    scale: float
    gaze: _containers.RepeatedScalarFieldContainer[float]
    lip_gaps: _containers.RepeatedScalarFieldContainer[float]
    lid_closure: _containers.RepeatedScalarFieldContainer[float]
    presence: float
    captured_ns: int
    def __init__(self, coefficients: _Optional[_Iterable[float]] = ..., expression: _Optional[_Iterable[float]] = ..., rotation: _Optional[_Iterable[float]] = ..., translation: _Optional[_Iterable[float]] = ..., scale: _Optional[float] = ..., gaze: _Optional[_Iterable[float]] = ..., lip_gaps: _Optional[_Iterable[float]] = ..., lid_closure: _Optional[_Iterable[float]] = ..., presence: _Optional[float] = ..., captured_ns: _Optional[int] = ...) -> None: ...
