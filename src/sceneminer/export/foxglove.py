"""Foxglove's protobuf messages, built in code: the ones that recordings of drives need.

Names, numbers and types of fields are those of Foxglove's public schemas (foxglove-sdk, schemas/proto, MIT).
"""

from collections.abc import Mapping
from functools import cache
from typing import Any

_TYPES = {"double": 1, "string": 9, "bytes": 12, "bool": 8, "fixed32": 7}
_STAMP = "1 timestamp .google.protobuf.Timestamp"
_MESSAGES: Mapping[str, tuple[str, ...]] = {
    "Vector3": ("1 x double", "2 y double", "3 z double"),
    "Point3": ("1 x double", "2 y double", "3 z double"),
    "Quaternion": ("1 x double", "2 y double", "3 z double", "4 w double"),
    "Color": ("1 r double", "2 g double", "3 b double", "4 a double"),
    "Pose": ("1 position .foxglove.Vector3", "2 orientation .foxglove.Quaternion"),
    "KeyValuePair": ("1 key string", "2 value string"),
    "PoseInFrame": (_STAMP, "2 frame_id string", "3 pose .foxglove.Pose"),
    "FrameTransform": (
        _STAMP,
        "2 parent_frame_id string",
        "3 child_frame_id string",
        "4 translation .foxglove.Vector3",
        "5 rotation .foxglove.Quaternion",
    ),
    "FrameTransforms": ("1* transforms .foxglove.FrameTransform",),
    "CompressedImage": (_STAMP, "4 frame_id string", "2 data bytes", "3 format string"),
    "CameraCalibration": (
        _STAMP,
        "9 frame_id string",
        "2 width fixed32",
        "3 height fixed32",
        "4 distortion_model string",
        "5* D double",
        "6* K double",
        "7* R double",
        "8* P double",
    ),
    "PackedElementField": ("1 name string", "2 offset fixed32", "3 type .foxglove.PackedElementField.NumericType"),
    "PointCloud": (
        _STAMP,
        "2 frame_id string",
        "3 pose .foxglove.Pose",
        "4 point_stride fixed32",
        "5* fields .foxglove.PackedElementField",
        "6 data bytes",
    ),
    "CubePrimitive": ("1 pose .foxglove.Pose", "2 size .foxglove.Vector3", "3 color .foxglove.Color"),
    "LinePrimitive": (
        "1 type .foxglove.LinePrimitive.Type",
        "2 pose .foxglove.Pose",
        "3 thickness double",
        "4 scale_invariant bool",
        "5* points .foxglove.Point3",
        "6 color .foxglove.Color",
    ),
    "SceneEntityDeletion": (_STAMP, "2 type .foxglove.SceneEntityDeletion.Type", "3 id string"),
    "SceneEntity": (
        _STAMP,
        "2 frame_id string",
        "3 id string",
        "5 frame_locked bool",
        "6* metadata .foxglove.KeyValuePair",
        "8* cubes .foxglove.CubePrimitive",
        "11* lines .foxglove.LinePrimitive",
    ),
    "SceneUpdate": ("1* deletions .foxglove.SceneEntityDeletion", "2* entities .foxglove.SceneEntity"),
    "Log": (_STAMP, "2 level .foxglove.Log.Level", "3 message string", "4 name string"),
}
_ENUMS: Mapping[str, tuple[str, tuple[str, ...]]] = {
    "PackedElementField": (
        "NumericType",
        ("UNKNOWN", "UINT8", "INT8", "UINT16", "INT16", "UINT32", "INT32", "FLOAT32", "FLOAT64"),
    ),
    "LinePrimitive": ("Type", ("LINE_STRIP", "LINE_LOOP", "LINE_LIST")),
    "SceneEntityDeletion": ("Type", ("MATCHING_ID", "ALL")),
    "Log": ("Level", ("UNKNOWN", "DEBUG", "INFO", "WARNING", "ERROR", "FATAL")),
}
FLOAT32 = 7
DELETE_BY_ID = 0
INFO = 2


@cache
def foxglove_messages() -> Mapping[str, Any]:
    """Message classes by their name without the package; ImportError without protobuf."""
    from google.protobuf import descriptor_pb2, descriptor_pool, message_factory, timestamp_pb2

    file = descriptor_pb2.FileDescriptorProto(name="foxglove/sceneminer.proto", package="foxglove", syntax="proto3")
    file.dependency.append("google/protobuf/timestamp.proto")
    for name, fields in _MESSAGES.items():
        message = file.message_type.add(name=name)
        for text in fields:
            _add_field(message, *text.split())
        if name in _ENUMS:
            kind, values = _ENUMS[name]
            enum = message.enum_type.add(name=kind)
            for number, value in enumerate(values):
                enum.value.add(name=value, number=number)
    pool = descriptor_pool.DescriptorPool()
    pool.AddSerializedFile(timestamp_pb2.DESCRIPTOR.serialized_pb)
    pool.AddSerializedFile(file.SerializeToString())
    return {n: message_factory.GetMessageClass(pool.FindMessageTypeByName(f"foxglove.{n}")) for n in _MESSAGES}


def _add_field(message: Any, number: str, name: str, kind: str) -> None:
    """``number`` with a star: repeated; ``kind`` with a dot: a message, or an enum inside one."""
    field = message.field.add(name=name, number=int(number.rstrip("*")), label=3 if number.endswith("*") else 1)
    if kind in _TYPES:
        field.type = _TYPES[kind]
    else:
        field.type_name = kind
        field.type = 14 if kind.count(".") == 3 and kind.startswith(".foxglove") else 11
