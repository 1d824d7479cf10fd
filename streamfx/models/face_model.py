"""The canonical face mesh, read from inside face_landmarker.task.

The bundle is a zip archive; its geometry metadata is a protobuf message (MediaPipe's
`face_geometry/protos/geometry_pipeline_metadata.proto` and `mesh_3d.proto`), read here by its wire format.
"""

from __future__ import annotations

import struct
import zipfile
import zlib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import numpy as np

from streamfx.errors import ModelCorrupt, ModelMissing
from streamfx.frames import F32, I32
from streamfx.topology import FACE_OVAL, FACE_VERTICES

MEMBER: Final = "geometry_pipeline_metadata_landmarks.binarypb"
MEMBER_LIMIT: Final = 1 << 20
"""Bytes; the real one has 19,376."""
TRIANGLES: Final = 898
REMEDY: Final = "Run `streamfx models verify`, then `streamfx models pull`"

_CANONICAL_MESH: Final = 1
"""Field of GeometryPipelineMetadata: Mesh3d."""
_VERTEX_BUFFER: Final = 3
"""Field of Mesh3d: repeated float, five per vertex (x, y, z, u, v)."""
_INDEX_BUFFER: Final = 4
"""Field of Mesh3d: repeated uint32, three per triangle."""
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
"""Wire types of protobuf."""


@dataclass(frozen=True, slots=True)
class FaceModel:
    """The canonical face: a disc of triangles (eyes and mouth are filled) bounded by FACE_OVAL.

    The triangles turn counter-clockwise on the screen, seen by the viewer of an upright frontal face: by the
    right-hand rule their normals point out of the face, towards the viewer (negative z).
    """

    vertices: F32 = field(repr=False)
    """f32 [468,3] cm: x right in the image, y down, z away from the viewer."""
    triangles: I32 = field(repr=False)
    """i32 [898,3] vertex numbers."""
    uv: F32 = field(repr=False)
    """f32 [468,2] 0..1: x right, y down in the texture picture."""


def load_face_model(task: Path) -> FaceModel:
    """Read the canonical face from a face_landmarker.task.

    Raises:
        ModelMissing: there is no such file, or it may not be read.
        ModelCorrupt: it is no such bundle, or its mesh is not the one that this program knows.
    """
    try:
        return parse_face_model(_read_member(task))
    except _MalformedError as error:
        raise ModelCorrupt(f"The model file {task} is damaged: {error}", REMEDY) from error


def parse_face_model(metadata: bytes) -> FaceModel:
    """Build the face from the bytes of the geometry metadata.

    Raises:
        ModelCorrupt: the bytes are not that message, or the mesh is not the one that this program knows.
    """
    try:
        mesh = _last_bytes(metadata, _CANONICAL_MESH)
        rows = _floats(mesh, _VERTEX_BUFFER, FACE_VERTICES * 5).reshape(FACE_VERTICES, 5)
        triangles = _integers(mesh, _INDEX_BUFFER, TRIANGLES * 3).reshape(TRIANGLES, 3)
        _check(rows, triangles)
    except _MalformedError as error:
        raise ModelCorrupt(f"The canonical face mesh is damaged: {error}", REMEDY) from error
    # Half a turn about x: it keeps the winding (and is no mirroring).
    vertices = rows[:, :3] * np.array([1, -1, -1], np.float32)
    return FaceModel(vertices, triangles, np.ascontiguousarray(rows[:, 3:]))


class _MalformedError(Exception):
    """The bytes are not what they should be; the text says how."""


def _read_member(task: Path) -> bytes:
    """The metadata's bytes out of the bundle; the one place where the archive's errors become ours."""
    try:
        with zipfile.ZipFile(task) as bundle:
            size = bundle.getinfo(MEMBER).file_size
            if size > MEMBER_LIMIT:
                raise _MalformedError(f"{MEMBER} claims {size} bytes")
            return bundle.read(MEMBER)
    except (FileNotFoundError, IsADirectoryError, PermissionError) as error:
        raise ModelMissing(
            f"The model file {task} cannot be read ({error.strerror})", "Run `streamfx models pull`"
        ) from error
    except KeyError as error:
        raise _MalformedError(f"it holds no {MEMBER}") from error
    except (
        *(zipfile.BadZipFile, zipfile.LargeZipFile, zlib.error, struct.error),
        *(
            OSError,
            EOFError,
            ValueError,
            RuntimeError,
            OverflowError,
        ),  # what zipfile lets out on foreign bytes
    ) as error:
        raise _MalformedError(f"it is not a readable archive ({error})") from error


def _fields(message: bytes) -> Iterator[tuple[int, int, int | bytes]]:
    """The fields of a protobuf message: (number, wire type, value)."""
    at = 0
    while at < len(message):
        key, at = _varint(message, at)
        number, kind = key >> 3, key & 7
        value: int | bytes
        if kind == _VARINT:
            value, at = _varint(message, at)
        else:
            value, at = _piece(message, at, kind)
        yield number, kind, value


def _varint(message: bytes, at: int) -> tuple[int, int]:
    """A base-128 number, least significant group first, and where it ends."""
    value = 0
    for shift in range(0, 70, 7):
        if at >= len(message):
            break
        byte = message[at]
        at += 1
        value |= (byte & 127) << shift
        if byte < 128:
            return value, at
    raise _MalformedError(f"a number is cut off or too long at byte {at}")


def _piece(message: bytes, at: int, kind: int) -> tuple[bytes, int]:
    """A field of known length, and where it ends."""
    if kind == _BYTES:
        length, at = _varint(message, at)
    elif kind in (_FIXED32, _FIXED64):
        length = 4 if kind == _FIXED32 else 8
    else:
        raise _MalformedError(f"unknown wire type {kind} at byte {at}")
    if length > len(message) - at:
        raise _MalformedError(f"a field of {length} bytes is cut off at byte {at}")
    return message[at : at + length], at + length


def _last_bytes(message: bytes, wanted: int) -> bytes:
    """The last occurrence of a single embedded message."""
    found = [value for number, _, value in _fields(message) if number == wanted and isinstance(value, bytes)]
    if not found:
        raise _MalformedError(f"field {wanted} is missing")
    return found[-1]


def _floats(message: bytes, wanted: int, count: int) -> F32:
    """A repeated float field of known length, packed or not: f32 [count]."""
    pieces = [value for number, _, value in _fields(message) if number == wanted and isinstance(value, bytes)]
    joined = b"".join(pieces)
    if len(joined) != 4 * count:
        raise _MalformedError(f"field {wanted} has {len(joined)} bytes instead of {4 * count}")
    return np.frombuffer(joined, "<f4").astype(np.float32)


def _integers(message: bytes, wanted: int, count: int) -> I32:
    """A repeated uint32 field of known length, packed or not: i32 [count]."""
    values: list[int] = []
    for number, _, value in _fields(message):
        if number != wanted:
            continue
        values.extend([value] if isinstance(value, int) else _packed(value))
    if len(values) != count or max(values) >= FACE_VERTICES:
        raise _MalformedError(f"field {wanted} has {len(values)} vertex numbers instead of {count} below 468")
    return np.array(values, np.int32)


def _packed(block: bytes) -> list[int]:
    values: list[int] = []
    at = 0
    while at < len(block):
        value, at = _varint(block, at)
        values.append(value)
    return values


def _check(rows: F32, triangles: I32) -> None:
    """Refuse anything but finite figures on a consistently wound disc whose rim is FACE_OVAL."""
    if not np.isfinite(rows).all() or np.abs(rows).max() > 100:
        raise _MalformedError("a vertex is not finite or further than 100 cm away")
    edges = Counter((a, b) for t in triangles.tolist() for a, b in zip(t, [*t[1:], t[0]], strict=True))
    rim = {a for a, b in edges if (b, a) not in edges}
    if max(edges.values()) > 1 or rim != set(FACE_OVAL):
        raise _MalformedError("the triangles are not a consistently wound disc with the face oval as its rim")
