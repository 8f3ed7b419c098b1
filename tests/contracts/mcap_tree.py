"""Small MCAP recordings: a ROS 2 bag split in two files beside another, and a Foxglove recording."""

import base64
import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from google.protobuf.timestamp_pb2 import Timestamp
from mcap.writer import CompressionType
from mcap.writer import Writer as McapWriter
from mcap_protobuf.writer import Writer as ProtobufWriter
from mcap_ros2.writer import Writer as Ros2Writer
from PIL import Image
from video_tree import two_tone

START_NS = 1_700_000_000_000_000_000
STEP_NS = 100_000_000
LATE_NS = 30_000_000
"""What log times lag behind stamps."""
WIDTH, HEIGHT = 64, 36

_PARTS = {
    "builtin_interfaces/Time": "int32 sec\nuint32 nanosec",
    "std_msgs/Header": "builtin_interfaces/Time stamp\nstring frame_id",
    "geometry_msgs/Vector3": "float64 x\nfloat64 y\nfloat64 z",
    "geometry_msgs/Point": "float64 x\nfloat64 y\nfloat64 z",
    "geometry_msgs/Quaternion": "float64 x\nfloat64 y\nfloat64 z\nfloat64 w",
    "geometry_msgs/Transform": "geometry_msgs/Vector3 translation\ngeometry_msgs/Quaternion rotation",
    "geometry_msgs/TransformStamped": "std_msgs/Header header\nstring child_frame_id\n"
    "geometry_msgs/Transform transform",
    "geometry_msgs/Pose": "geometry_msgs/Point position\ngeometry_msgs/Quaternion orientation",
    "geometry_msgs/PoseWithCovariance": "geometry_msgs/Pose pose\nfloat64[36] covariance",
    "sensor_msgs/PointField": "string name\nuint32 offset\nuint8 datatype\nuint32 count",
}
_BEHIND = "".join(f"\n===\nMSG: {name}\n{said}" for name, said in _PARTS.items())
ROS2 = {
    "sensor_msgs/msg/CompressedImage": "std_msgs/Header header\nstring format\nuint8[] data",
    "sensor_msgs/msg/Image": "std_msgs/Header header\nuint32 height\nuint32 width\nstring encoding\n"
    "uint8 is_bigendian\nuint32 step\nuint8[] data",
    "sensor_msgs/msg/CameraInfo": "std_msgs/Header header\nuint32 height\nuint32 width\nstring distortion_model\n"
    "float64[] d\nfloat64[9] k\nfloat64[9] r\nfloat64[12] p\nuint32 binning_x\nuint32 binning_y",
    "tf2_msgs/msg/TFMessage": "geometry_msgs/TransformStamped[] transforms",
    "nav_msgs/msg/Odometry": "std_msgs/Header header\nstring child_frame_id\ngeometry_msgs/PoseWithCovariance pose",
    "sensor_msgs/msg/PointCloud2": "std_msgs/Header header\nuint32 height\nuint32 width\n"
    "sensor_msgs/PointField[] fields\nbool is_bigendian\nuint32 point_step\nuint32 row_step\nuint8[] data\n"
    "bool is_dense",
}
"""Definitions of ROS 2's common_interfaces and geometry2, as far as messages here have them."""


def jpeg(pixels: np.ndarray) -> bytes:
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, "JPEG", quality=95)
    return out.getvalue()


def header(stamp_ns: int, frame: str) -> dict[str, Any]:
    return {"stamp": {"sec": stamp_ns // 10**9, "nanosec": stamp_ns % 10**9}, "frame_id": frame}


def transform(stamp_ns: int, parent: str, child: str, xyz, quat_wxyz=(1.0, 0.0, 0.0, 0.0)) -> dict[str, Any]:
    return {
        "header": header(stamp_ns, parent),
        "child_frame_id": child,
        "transform": {
            "translation": dict(zip("xyz", map(float, xyz), strict=True)),
            "rotation": dict(zip("wxyz", map(float, quat_wxyz), strict=True)),
        },
    }


def odometry(stamp_ns: int, parent: str, child: str, xyz) -> dict[str, Any]:
    pose = {"position": dict(zip("xyz", map(float, xyz), strict=True)), "orientation": {"w": 1.0}}
    return {"header": header(stamp_ns, parent), "child_frame_id": child, "pose": {"pose": pose}}


def camera_info(stamp_ns: int, frame: str, **more) -> dict[str, Any]:
    said = {
        "header": header(stamp_ns, frame),
        "height": HEIGHT,
        "width": WIDTH,
        "distortion_model": "plumb_bob",
        "d": [-0.1, 0.01, 0.0, 0.0, 0.0],
        "k": [50.0, 0.0, 31.5, 0.0, 50.0, 17.5, 0.0, 0.0, 1.0],
        "r": [1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0],
        "p": [40.0, 0.0, 31.5, 0.0, 0.0, 40.0, 17.5, 0.0, 0.0, 0.0, 1.0, 0.0],
    }
    return {**said, **more}


def compressed(stamp_ns: int, frame: str, pixels: np.ndarray) -> dict[str, Any]:
    return {"header": header(stamp_ns, frame), "format": "rgb8; jpeg compressed bgr8", "data": jpeg(pixels)}


def raw(stamp_ns: int, frame: str, encoding: str, rows: np.ndarray, width: int, **more) -> dict[str, Any]:
    """Rows of bytes as an Image."""
    said = {
        "header": header(stamp_ns, frame),
        "height": len(rows),
        "width": width,
        "encoding": encoding,
        "is_bigendian": 0,
        "step": rows.shape[1],
        "data": rows.tobytes(),
    }
    return {**said, **more}


def cloud(stamp_ns: int, frame: str, points: np.ndarray) -> dict[str, Any]:
    """float32 rows of x, y, z, intensity and a uint16 ring, 20 bytes each."""
    rows = np.zeros(len(points), np.dtype([("p", "<f4", 4), ("ring", "<u2"), ("pad", "<u2")]))
    rows["p"], rows["ring"] = points, np.arange(len(points))
    fields = [
        {"name": n, "offset": 4 * k, "datatype": 7, "count": 1} for k, n in enumerate(("x", "y", "z", "intensity"))
    ]
    return {
        "header": header(stamp_ns, frame),
        "height": 1,
        "width": len(points),
        "fields": [*fields, {"name": "ring", "offset": 16, "datatype": 4, "count": 1}],
        "point_step": 20,
        "row_step": 20 * len(points),
        "data": rows.tobytes(),
        "is_dense": True,
    }


def write_ros2(path: Path, messages: Sequence[tuple[str, str, int, Any]], **options) -> Path:
    """Messages as (topic, schema, log time, fields)."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as out, Ros2Writer(out, **{"chunk_size": 4096, **options}) as writer:
        schemas: dict[str, Any] = {}
        for topic, name, log_ns, fields in messages:
            if name not in schemas:
                schemas[name] = writer.register_msgdef(name, ROS2[name] + _BEHIND)
            writer.write_message(topic, schemas[name], fields, log_time=log_ns, publish_time=log_ns)
    return path


OPTICAL = (0.5, -0.5, 0.5, -0.5)
"""Quaternion (w, x, y, z) of a camera that looks forward, in ego's frame."""


def drive(first: int, count: int, *, start_ns: int = START_NS) -> list[tuple[str, str, int, Any]]:
    """A car that drives 1 m a step along x: two cameras, a LiDAR, tf."""
    found: list[tuple[str, str, int, Any]] = []
    for k in range(first, first + count):
        at = start_ns + k * STEP_NS
        log = at + LATE_NS
        if k == first:
            fixed = [
                transform(at, "base_link", "front_optical", (1.5, 0, 1.4), OPTICAL),
                transform(at, "base_link", "rear_optical", (-1, 0, 1.4), (0.5, -0.5, -0.5, 0.5)),
                transform(at, "base_link", "lidar", (0, 0, 2)),
            ]
            found.append(("/tf_static", "tf2_msgs/msg/TFMessage", log, {"transforms": fixed}))
        moving = [transform(at, "odom", "base_link", (k, 0, 0)), transform(at, "map", "odom", (100, 50, 0))]
        found.append(("/tf", "tf2_msgs/msg/TFMessage", log, {"transforms": moving}))
        pixels = two_tone(WIDTH, HEIGHT)
        found += [
            ("/cam_front/camera_info", "sensor_msgs/msg/CameraInfo", log, camera_info(at, "front_optical")),
            (
                "/cam_front/image_raw/compressed",
                "sensor_msgs/msg/CompressedImage",
                log,
                compressed(at, "front_optical", pixels),
            ),
            ("/cam_rear/camera_info", "sensor_msgs/msg/CameraInfo", log, camera_info(at, "rear_optical")),
            (
                "/cam_rear/image_raw",
                "sensor_msgs/msg/Image",
                log,
                raw(at, "rear_optical", "bgr8", pixels[:, :, ::-1].reshape(HEIGHT, -1), WIDTH),
            ),
            ("/lidar_top", "sensor_msgs/msg/PointCloud2", log, cloud(at, "lidar", np.arange(20.0).reshape(5, 4))),
        ]
    return found


def make_mcap_tree(folder: Path) -> Path:
    """Two ROS 2 bags: one split by time in two files, one that was driven an hour later."""
    root = folder / "bags"
    write_ros2(root / "morning" / "morning_0.mcap", drive(0, 5))
    write_ros2(root / "morning" / "morning_1.mcap", drive(5, 5), compression=CompressionType.LZ4)
    write_ros2(
        root / "noon" / "noon_0.mcap", drive(0, 4, start_ns=START_NS + 3600 * 10**9), compression=CompressionType.NONE
    )
    return root


_TYPES = {"double": 1, "fixed32": 7, "string": 9, "bytes": 12, "uint32": 13, "enum": 14}
_FOXGLOVE: dict[str, list[tuple[str, int, str]]] = {
    "Vector3": [("x", 1, "double"), ("y", 2, "double"), ("z", 3, "double")],
    "Quaternion": [("x", 1, "double"), ("y", 2, "double"), ("z", 3, "double"), ("w", 4, "double")],
    "Pose": [("position", 1, "Vector3"), ("orientation", 2, "Quaternion")],
    "CompressedImage": [
        ("timestamp", 1, "time"), ("frame_id", 4, "string"), ("data", 2, "bytes"), ("format", 3, "string"),
    ],
    "RawImage": [
        ("timestamp", 1, "time"), ("frame_id", 7, "string"), ("width", 2, "fixed32"), ("height", 3, "fixed32"),
        ("encoding", 4, "string"), ("step", 5, "fixed32"), ("data", 6, "bytes"),
    ],
    "CameraCalibration": [
        ("timestamp", 1, "time"), ("frame_id", 9, "string"), ("width", 2, "fixed32"), ("height", 3, "fixed32"),
        ("distortion_model", 4, "string"), ("D", 5, "double*"), ("K", 6, "double*"), ("R", 7, "double*"),
        ("P", 8, "double*"),
    ],
    "FrameTransform": [
        ("timestamp", 1, "time"), ("parent_frame_id", 2, "string"), ("child_frame_id", 3, "string"),
        ("translation", 4, "Vector3"), ("rotation", 5, "Quaternion"),
    ],
    "FrameTransforms": [("transforms", 1, "FrameTransform*")],
    "PoseInFrame": [("timestamp", 1, "time"), ("frame_id", 2, "string"), ("pose", 3, "Pose")],
    "PackedElementField": [("name", 1, "string"), ("offset", 2, "fixed32"), ("type", 3, "uint32")],
    "PointCloud": [
        ("timestamp", 1, "time"), ("frame_id", 2, "string"), ("pose", 3, "Pose"), ("point_stride", 4, "fixed32"),
        ("fields", 5, "PackedElementField*"), ("data", 6, "bytes"),
    ],
    "KeyValuePair": [("key", 1, "string"), ("value", 2, "string")],
    "CubePrimitive": [("pose", 1, "Pose"), ("size", 2, "Vector3")],
    "TextPrimitive": [("pose", 1, "Pose"), ("text", 6, "string")],
    "SceneEntityDeletion": [("timestamp", 1, "time"), ("type", 2, "uint32"), ("id", 3, "string")],
    "SceneEntity": [
        ("timestamp", 1, "time"), ("frame_id", 2, "string"), ("id", 3, "string"), ("metadata", 6, "KeyValuePair*"),
        ("cubes", 8, "CubePrimitive*"), ("texts", 13, "TextPrimitive*"),
    ],
    "SceneUpdate": [("deletions", 1, "SceneEntityDeletion*"), ("entities", 2, "SceneEntity*")],
}  # fmt: skip
"""Foxglove's schemas as far as messages here have them."""


def _foxglove_classes() -> dict[str, Any]:
    file = descriptor_pb2.FileDescriptorProto(name="foxglove/all.proto", package="foxglove", syntax="proto3")
    file.dependency.append("google/protobuf/timestamp.proto")
    for name, fields in _FOXGLOVE.items():
        message = file.message_type.add(name=name)
        for field, number, kind in fields:
            base = kind.rstrip("*")
            said = message.field.add(name=field, number=number, label=3 if kind.endswith("*") else 1)
            if base in _TYPES:
                said.type = _TYPES[base]
            else:
                said.type = 11
                said.type_name = ".google.protobuf.Timestamp" if base == "time" else f".foxglove.{base}"
    pool = descriptor_pool.DescriptorPool()
    time = descriptor_pb2.FileDescriptorProto()
    Timestamp.DESCRIPTOR.file.CopyToProto(time)
    pool.Add(time)
    pool.Add(file)
    return {name: message_factory.GetMessageClass(pool.FindMessageTypeByName(f"foxglove.{name}")) for name in _FOXGLOVE}


FOXGLOVE = _foxglove_classes()


def write_foxglove(
    path: Path, messages: Sequence[tuple[str, str, int, dict[str, Any]]], *, as_json: bool = False
) -> Path:
    """Messages as (topic, schema without its package, log time, fields); in protobuf, else in JSON."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if not as_json:
        with path.open("wb") as out, ProtobufWriter(out, chunk_size=4096) as writer:
            for topic, name, log_ns, fields in messages:
                writer.write_message(topic, FOXGLOVE[name](**fields), log_time=log_ns, publish_time=log_ns)
        return path
    with path.open("wb") as out:
        writer = McapWriter(out, chunk_size=4096)
        writer.start()
        channels: dict[str, int] = {}
        for topic, name, log_ns, fields in messages:
            if topic not in channels:
                schema = writer.register_schema(f"foxglove.{name}", "jsonschema", b"{}")
                channels[topic] = writer.register_channel(topic, "json", schema)
            writer.add_message(channels[topic], log_ns, json.dumps(_as_json(fields)).encode(), log_ns)
        writer.finish()
    return path


def _as_json(value: Any) -> Any:
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    if isinstance(value, list):
        return [_as_json(item) for item in value]
    if isinstance(value, dict):
        names = {"seconds": "sec", "nanos": "nsec"}
        return {names.get(key, key): _as_json(item) for key, item in value.items()}
    return value


def time_of(ns: int) -> dict[str, int]:
    return {"seconds": ns // 10**9, "nanos": ns % 10**9}


def agent(ns: int, frame: str, name: str, xyz, size=(4.0, 1.8, 1.6), **facts: str) -> dict[str, Any]:
    """An entity of one cube that looks along x."""
    pose = {"position": dict(zip("xyz", map(float, xyz), strict=True)), "orientation": {"w": 1.0}}
    return {
        "timestamp": time_of(ns),
        "frame_id": frame,
        "id": name,
        "metadata": [{"key": key, "value": value} for key, value in facts.items()],
        "cubes": [{"pose": pose, "size": dict(zip("xyz", map(float, size), strict=True))}],
    }


def foxglove_drive(count: int) -> list[tuple[str, str, int, dict[str, Any]]]:
    """A car that drives 1 m a step along x: one camera of whole images, one of raw ones, points, transforms, agents."""
    found: list[tuple[str, str, int, dict[str, Any]]] = []
    w, x, y, z = OPTICAL
    for k in range(count):
        at = START_NS + k * STEP_NS
        log, time = at + LATE_NS, time_of(at)
        moving = {"parent_frame_id": "map", "child_frame_id": "base_link", "translation": {"x": float(k), "y": 2.0}}
        fixed = {
            "parent_frame_id": "base_link",
            "translation": {"x": 1.5, "z": 1.4},
            "rotation": {"w": w, "x": x, "y": y, "z": z},
        }
        both = [{"timestamp": time, **fixed, "child_frame_id": camera} for camera in ("CAM_FRONT", "CAM_BACK")]
        found += [
            ("/tf", "FrameTransform", log, {"timestamp": time, **moving, "rotation": {"w": 1.0}}),
            ("/rig", "FrameTransforms", log, {"transforms": both}),
        ]
        pixels = two_tone(WIDTH, HEIGHT)
        intrinsics = {
            "width": WIDTH, "height": HEIGHT, "distortion_model": "plumb_bob",
            "K": [50.0, 0.0, 31.5, 0.0, 50.0, 17.5, 0.0, 0.0, 1.0],
        }  # fmt: skip
        for camera in ("CAM_FRONT", "CAM_BACK"):
            said = {"timestamp": time, "frame_id": camera, **intrinsics}
            found.append((f"/{camera}/calibration", "CameraCalibration", log, said))
        whole = {"timestamp": time, "frame_id": "CAM_FRONT", "data": jpeg(pixels), "format": "jpeg"}
        rows = {
            "timestamp": time, "frame_id": "CAM_BACK", "width": WIDTH, "height": HEIGHT, "encoding": "rgb8",
            "step": 3 * WIDTH, "data": pixels.tobytes(),
        }  # fmt: skip
        points = {
            "timestamp": time, "frame_id": "base_link", "point_stride": 12, "data": np.arange(9, dtype="<f4").tobytes(),
            "fields": [{"name": name, "offset": 4 * j, "type": 7} for j, name in enumerate("xyz")],
            "pose": {"position": {"z": 2.0}, "orientation": {"w": 1.0}},
        }  # fmt: skip
        found += [
            ("/CAM_FRONT/image", "CompressedImage", log, whole),
            ("/CAM_BACK/image", "RawImage", log, rows),
            ("/LIDAR", "PointCloud", log, points),
        ]
        agents = [
            agent(at, "map", "ahead", (10.0 + k, 2, 0.8), category="car"),
            agent(at, "base_link", "beside", (5, 1, 0.9), (0.6, 0.7, 1.8), category="human.pedestrian.adult"),
        ]
        found.append(("/agents", "SceneUpdate", log, {"entities": agents}))
    return found


def make_foxglove_tree(folder: Path) -> Path:
    """One recording in protobuf and one in JSON that do not belong together."""
    root = folder / "foxglove"
    write_foxglove(root / "town.mcap", foxglove_drive(4))
    write_foxglove(root / "valley.mcap", foxglove_drive(4), as_json=True)
    return root
