"""What messages say, in one vocabulary for ROS 2 (CDR) and Foxglove (protobuf, JSON)."""

import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, TypeVar

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from sceneminer.data.adapters import mcap_foxglove as fox
from sceneminer.data.adapters.mcap_cdr import Cdr
from sceneminer.data.adapters.mcap_records import Channel
from sceneminer.data.errors import MediaError
from sceneminer.data.media import media_error

Kind = Literal["image", "points", "calibration", "transform", "pose", "scene"]
_ROS: dict[str, Kind] = {
    "sensor_msgs/CompressedImage": "image",
    "sensor_msgs/Image": "image",
    "sensor_msgs/CameraInfo": "calibration",
    "sensor_msgs/PointCloud2": "points",
    "tf2_msgs/TFMessage": "transform",
    "nav_msgs/Odometry": "pose",
}
_FOXGLOVE: dict[str, Kind] = {
    "foxglove.CompressedImage": "image",
    "foxglove.RawImage": "image",
    "foxglove.CameraCalibration": "calibration",
    "foxglove.PointCloud": "points",
    "foxglove.FrameTransform": "transform",
    "foxglove.FrameTransforms": "transform",
    "foxglove.PoseInFrame": "pose",
    "foxglove.SceneUpdate": "scene",
}
_ROS_TYPES = {1: "i1", 2: "u1", 3: "i2", 4: "u2", 5: "i4", 6: "u4", 7: "f4", 8: "f8"}
_FOXGLOVE_TYPES = {1: "u1", 2: "i1", 3: "u2", 4: "i2", 5: "u4", 6: "i4", 7: "f4", 8: "f8"}
Said = TypeVar("Said")


@dataclass(frozen=True, eq=False)
class Picture:
    """An image as it was sent. ``encoding`` is empty for whole image files (JPEG, PNG)."""

    frame: str
    data: bytes | memoryview
    encoding: str = ""
    width: int = 0
    height: int = 0
    step: int = 0
    big_endian: bool = False


@dataclass(frozen=True, eq=False)
class Intrinsics:
    """A CameraInfo or CameraCalibration; matrices by rows."""

    frame: str
    width: int
    height: int
    model: str
    d: tuple[float, ...]
    k: Float[ndarray, "3 3"]
    r: Float[ndarray, "3 3"]
    p: Float[ndarray, "3 4"]


@dataclass(frozen=True, eq=False)
class Transform:
    """Where ``child`` is in ``parent``; an odometry's pose is one, and a PoseInFrame is one of no named child."""

    stamp_ns: int | None
    parent: str
    child: str
    translation_m: tuple[float, ...]
    quat_wxyz: tuple[float, ...]


@dataclass(frozen=True, eq=False)
class Cloud:
    """Points in rows of bytes. ``fields`` are (name, offset, numpy type)."""

    frame: str
    data: bytes | memoryview
    stride: int
    count: int
    fields: tuple[tuple[str, int, str], ...]
    big_endian: bool
    origin: Transform | None = None


def kind_of(channel: Channel) -> Kind | None:
    """What a channel's messages are; None for those that are not read."""
    if channel.encoding == "cdr":
        return _ROS.get(channel.schema.replace("/msg/", "/"))
    return _FOXGLOVE.get(channel.schema) if channel.encoding in ("protobuf", "json") else None


def is_readable(channel: Channel) -> bool:
    return kind_of(channel) is not None


def stamp_ns_of(channel: Channel, head: bytes) -> int | None:
    """The sensor's own time by a message's first bytes; None where it has none there."""
    if channel.encoding != "cdr":
        return fox.stamp_ns_in_head(channel.encoding, head)
    if len(head) < 12 or head[0] != 0 or head[1] not in (0, 1):
        return None
    seconds, rest = struct.unpack_from("<iI" if head[1] else ">iI", head, 4)
    return seconds * 1_000_000_000 + rest


def said(name: str, read: Callable[[Channel, bytes | memoryview], Said], channel: Channel, data: Any) -> Said:
    """What a message says, or a MediaError that names its file and topic."""
    try:
        return read(channel, data)
    except MediaError:
        raise
    except (ValueError, OverflowError) as error:
        raise media_error("broken_file", name, f"{channel.topic}: {error}") from error


def read_picture(channel: Channel, data: bytes | memoryview) -> Picture:
    """One image message, its pixels as they were sent."""
    is_raw = channel.schema.rpartition(".")[2].rpartition("/")[2] in ("Image", "RawImage")
    if channel.encoding == "cdr":
        cdr = Cdr(data)
        _, frame = cdr.header()
        if not is_raw:
            cdr.text()
            return Picture(frame, cdr.blob())
        height, width, encoding, big = cdr.uint(), cdr.uint(), cdr.text(), cdr.number("B")
        return Picture(
            frame,
            step=cdr.uint(),
            data=cdr.blob(),
            encoding=encoding or "?",
            width=width,
            height=height,
            big_endian=bool(big),
        )
    fields = fox.fields_of(channel, data)
    frame = fox.text(fields, "frame_id").lstrip("/")
    if not is_raw:
        return Picture(frame, fox.blob(fields))
    return Picture(
        frame,
        fox.blob(fields),
        encoding=fox.text(fields, "encoding") or "?",
        width=fox.whole(fields, "width"),
        height=fox.whole(fields, "height"),
        step=fox.whole(fields, "step"),
    )


def read_intrinsics(channel: Channel, data: bytes | memoryview) -> Intrinsics:
    if channel.encoding == "cdr":
        cdr = Cdr(data)
        _, frame = cdr.header()
        height, width, model = cdr.uint(), cdr.uint(), cdr.text()
        d = tuple(cdr.doubles(cdr.count(8)).tolist())
        k, r, p = cdr.doubles(9), cdr.doubles(9), cdr.doubles(12)
    else:
        fields = fox.fields_of(channel, data)
        frame = fox.text(fields, "frame_id").lstrip("/")
        height, width, model = (
            fox.whole(fields, "height"),
            fox.whole(fields, "width"),
            fox.text(fields, "distortion_model"),
        )
        d = fox.numbers(fields, "D")
        given = {key: fox.numbers(fields, key, (0, count)) for key, count in (("K", 9), ("R", 9), ("P", 12))}
        k, r, p = (np.array(given[key] or (0.0,) * count) for key, count in (("K", 9), ("R", 9), ("P", 12)))
    return Intrinsics(frame, width, height, model, d, k.reshape(3, 3), r.reshape(3, 3), p.reshape(3, 4))


def read_transforms(channel: Channel, data: bytes | memoryview) -> list[Transform]:
    """All transforms of a TFMessage, FrameTransform(s), Odometry or PoseInFrame."""
    if channel.encoding == "cdr":
        cdr = Cdr(data)
        if kind_of(channel) == "pose":
            return [_ros_transform(cdr)]
        return [_ros_transform(cdr) for _ in range(cdr.count(64))]
    fields = fox.fields_of(channel, data)
    if kind_of(channel) == "pose":
        pose = fox.child(fields, "pose")
        return [_foxglove_transform(fields, "frame_id", pose, "position", "orientation")]
    each = fox.children(fields, "transforms") if channel.schema.endswith("s") else [fields]
    return [_foxglove_transform(f, "parent_frame_id", f, "translation", "rotation") for f in each]


def _ros_transform(cdr: Cdr) -> Transform:
    stamp_ns, parent = cdr.header()
    frame = cdr.text().lstrip("/")
    values = cdr.doubles(7).tolist()
    return Transform(stamp_ns, parent, frame, tuple(values[:3]), (values[6], *values[3:6]))


def _foxglove_transform(fields: fox.Fields, parent: str, pose: fox.Fields, position: str, turn: str) -> Transform:
    at, quat = fox.child(pose, position), fox.child(pose, turn)
    return Transform(
        fox.stamp_ns_of(fields),
        fox.text(fields, parent).lstrip("/"),
        fox.text(fields, "child_frame_id").lstrip("/"),
        tuple(fox.number(at, key) for key in "xyz"),
        tuple(fox.number(quat, key) for key in "wxyz") if quat else (1.0, 0.0, 0.0, 0.0),
    )


def read_cloud(channel: Channel, data: bytes | memoryview) -> Cloud:
    if channel.encoding == "cdr":
        return _ros_cloud(Cdr(data))
    fields = fox.fields_of(channel, data)
    frame = fox.text(fields, "frame_id").lstrip("/")
    stride, points = fox.whole(fields, "point_stride"), fox.blob(fields)
    if not stride or len(points) % stride:
        raise ValueError(f"expected points of {stride} bytes each, found {len(points)} bytes")
    each = [(fox.text(f, "name"), fox.whole(f, "offset"), fox.whole(f, "type")) for f in fox.children(fields, "fields")]
    columns = tuple((name, offset, _FOXGLOVE_TYPES[code]) for name, offset, code in each if code in _FOXGLOVE_TYPES)
    pose = fox.child(fields, "pose")
    origin = _foxglove_transform({"frame_id": frame}, "frame_id", pose, "position", "orientation") if pose else None
    return Cloud(frame, points, stride, len(points) // stride, columns, False, origin)


def _ros_cloud(cdr: Cdr) -> Cloud:
    _, frame = cdr.header()
    height, width = cdr.uint(), cdr.uint()
    columns = []
    for _ in range(cdr.count(13)):
        name, offset, code, count = cdr.text(), cdr.uint(), cdr.number("B"), cdr.uint()
        if code in _ROS_TYPES and count <= 1:
            columns.append((name, offset, _ROS_TYPES[code]))
    big, stride, row = bool(cdr.number("B")), cdr.uint(), cdr.uint()
    points = cdr.blob()
    if not stride or row != width * stride or len(points) != row * height:
        raise ValueError(f"expected {height}×{width} points of {stride} bytes each, found {len(points)} bytes")
    return Cloud(frame, points, stride, height * width, tuple(columns), big)
