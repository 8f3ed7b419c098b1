"""The feather tables of an Argoverse 2 log: poses, annotations, calibration, LiDAR sweeps.

Columns and frames: Argoverse 2 user guide and av2-api (Wilson et al., "Argoverse 2: Next Generation Datasets for
Self-Driving Perception and Forecasting", NeurIPS Datasets and Benchmarks 2021). Argoverse's ego frame has its
origin at the centre of the rear axle; ours lies on the ground below it. All poses are moved by one constant, so
cameras, points, boxes and map agree in either frame and z = 0 is the road, as everywhere else here.
"""

import io
import itertools
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from jaxtyping import Float, Int
from numpy import ndarray

from sceneminer.data.errors import Issue, MediaError
from sceneminer.data.log import Points, Rig, Sensor
from sceneminer.data.media import MediaRoot, media_error
from sceneminer.data.track import Category, Track
from sceneminer.geometry.camera import Camera
from sceneminer.geometry.pose import interpolate_poses, pose_from_quat

AXLE_HEIGHT_M = 0.31
"""Rear axle above ground: the medians over two logs against their ground height maps are 0.324 m and 0.296 m."""
MAX_TABLE_BYTES = 256 * 2**20
MAX_POSE_GAP_US = 200_000
EGO_CATEGORY = "EGO_VEHICLE"
LIDAR = "lidar"

# The 30 categories of the sensor dataset.
CATEGORY_OF: Mapping[str, Category] = {
    "REGULAR_VEHICLE": "car",
    "LARGE_VEHICLE": "truck",
    "BOX_TRUCK": "truck",
    "TRUCK": "truck",
    "TRUCK_CAB": "truck",
    "BUS": "bus",
    "SCHOOL_BUS": "bus",
    "ARTICULATED_BUS": "bus",
    "RAILED_VEHICLE": "bus",  # trams: the closest in size and use
    "VEHICULAR_TRAILER": "trailer",
    "MESSAGE_BOARD_TRAILER": "trailer",
    "TRAFFIC_LIGHT_TRAILER": "trailer",
    "MOTORCYCLE": "motorcycle",
    "MOTORCYCLIST": "motorcycle",  # Argoverse boxes rider and machine apart
    "BICYCLE": "bicycle",
    "BICYCLIST": "bicycle",
    "PEDESTRIAN": "pedestrian",
    "OFFICIAL_SIGNALER": "pedestrian",
    "STROLLER": "pedestrian",  # as in nuScenes, where both are kinds of pedestrian
    "WHEELCHAIR": "pedestrian",
    "WHEELED_DEVICE": "personal_mobility",
    "WHEELED_RIDER": "personal_mobility",
    "DOG": "animal",
    "ANIMAL": "animal",
    "CONSTRUCTION_CONE": "cone",
    "CONSTRUCTION_BARREL": "barrier",
    "BOLLARD": "barrier",
    "SIGN": "other",
    "STOP_SIGN": "other",
    "MOBILE_PEDESTRIAN_CROSSING_SIGN": "other",
}

_POSE = dict.fromkeys(("qw", "qx", "qy", "qz", "tx_m", "ty_m", "tz_m"), float)
_POSES = {"timestamp_ns": int, **_POSE}
_BOXES = {
    "timestamp_ns": int,
    "track_uuid": str,
    "category": str,
    "length_m": float,
    "width_m": float,
    "height_m": float,
    **_POSE,
}
_EXTRINSICS = {"sensor_name": str, **_POSE}
_INTRINSICS = {
    "sensor_name": str,
    **dict.fromkeys(("fx_px", "fy_px", "cx_px", "cy_px"), float),
    "width_px": int,
    "height_px": int,
}
_SWEEP = {"x": float, "y": float, "z": float}


def read_table(root: MediaRoot, name: str, columns: Mapping[str, type], optional: Mapping[str, type]) -> dict:
    """Columns of a Feather (Arrow IPC) file as arrays; MediaError ``bad_table`` names file, column and finding."""
    data = root.read_bytes(name, limit=MAX_TABLE_BYTES)
    try:
        table = pa.ipc.open_file(io.BytesIO(data)).read_all()
        table.validate(full=True)
    except (pa.ArrowException, OSError, MemoryError, UnicodeDecodeError) as error:
        found = f"found {len(data)} bytes that are not ({type(error).__name__})"
        raise media_error("bad_table", name, f"expected a Feather table, {found}") from error
    wanted = {**columns, **{k: v for k, v in optional.items() if k in table.column_names}}
    return {column: _column(table, name, column, kind) for column, kind in wanted.items()}


def _column(table: pa.Table, name: str, column: str, kind: type) -> ndarray:
    if table.column_names.count(column) != 1:
        found = ", ".join(table.column_names[:40]) or "none"
        raise media_error("bad_table", name, f"expected one column {column}, found the columns {found}")
    values = table.column(column)
    dtype = {int: pa.int64(), float: pa.float64(), str: pa.string()}[kind]
    numeric = pa.types.is_integer(values.type) or pa.types.is_floating(values.type)
    fits = {int: pa.types.is_integer(values.type), float: numeric, str: not numeric}[kind]
    if not fits or (kind is not float and values.null_count):
        found = f"{values.type} with {values.null_count} nulls"
        raise media_error("bad_table", name, f"expected column {column} of {dtype} without nulls, found {found}")
    try:
        return values.cast(dtype).to_numpy()
    except (pa.ArrowException, ValueError) as error:
        raise media_error("bad_table", name, f"expected column {column} of {dtype}, found {values.type}") from error


def _poses(table: Mapping[str, ndarray], rows: ndarray | slice = slice(None)) -> Float[ndarray, "n 4 4"]:
    quat = np.stack([table[k][rows] for k in ("qw", "qx", "qy", "qz")], -1)
    shift = np.stack([table[k][rows] for k in ("tx_m", "ty_m", "tz_m")], -1)
    return pose_from_quat(shift, quat)


def _usable(table: Mapping[str, ndarray]) -> ndarray:
    """Rows whose pose is finite, near Earth's size, and turns by something."""
    numbers = np.stack([table[k] for k in _POSE], -1)
    norm = np.linalg.norm(numbers[:, :4], axis=-1)
    return np.all(np.abs(numbers) < 1e8, axis=-1) & (norm > 1e-6)


def axle_from_ego() -> Float[ndarray, "4 4"]:
    """Our ego frame (on the ground) in Argoverse's (at the rear axle)."""
    pose = np.eye(4)
    pose[2, 3] = -AXLE_HEIGHT_M
    return pose


def ego_from_axle() -> Float[ndarray, "4 4"]:
    pose = np.eye(4)
    pose[2, 3] = AXLE_HEIGHT_M
    return pose


def read_poses(root: MediaRoot, name: str) -> tuple[Int[ndarray, "p"], Float[ndarray, "p 4 4"], tuple[Issue, ...]]:
    """Times in µs, ``world_from_ego`` in our ego frame, and what was left out.

    Argoverse has poses that are nanoseconds apart; of those in one microsecond the first is kept.
    """
    table = read_table(root, name, _POSES, {})
    usable = _usable(table)
    issues = _rows_left_out(name, usable, "a finite pose with a non-zero quaternion")
    times, first = np.unique(table["timestamp_ns"][usable] // 1000, return_index=True)
    rows = np.flatnonzero(usable)[first]
    poses = _poses(table, rows) @ axle_from_ego() if len(rows) else np.zeros((0, 4, 4))
    return times, poses, issues


def _rows_left_out(name: str, usable: ndarray, expected: str) -> tuple[Issue, ...]:
    bad = np.flatnonzero(~usable)
    if not len(bad):
        return ()
    return (Issue("bad_row", name, f"expected {expected}; not so first in row {bad[0]}; left out", len(bad)),)


@dataclass(frozen=True, eq=False)
class Annotations:
    """Usable boxes of one log in Argoverse's ego frame, sorted by track and time."""

    times_us: Int[ndarray, "n"]
    """All annotated times: of boxes that are left out too, but not of such as no ego pose is near to."""
    columns: Mapping[str, ndarray]
    issues: tuple[Issue, ...]


def read_annotations(root: MediaRoot, name: str, pose_times_us: Int[ndarray, "p"]) -> Annotations:
    """Boxes with sizes, poses and an ego pose near them; the ego vehicle's own boxes are not agents and left out."""
    table = read_table(root, name, _BOXES, {"num_interior_pts": int})
    size = np.stack([table[k] for k in ("length_m", "width_m", "height_m")], -1)
    time_us = table["timestamp_ns"] // 1000
    table["time_us"] = time_us
    sound = _usable(table) & np.all((size > 0) & (size < 1000), axis=-1) & (table["track_uuid"] != "")
    issues = list(_rows_left_out(name, sound, "a finite box with positive size and a track"))
    placed = _distance_us(pose_times_us, time_us) <= MAX_POSE_GAP_US
    if np.any(sound & ~placed):
        reason = f"expected an ego pose within {MAX_POSE_GAP_US // 1000} ms of the box; left out"
        issues.append(Issue("no_pose", name, reason, int(np.sum(sound & ~placed))))
    rows = np.flatnonzero(sound & placed & (table["category"] != EGO_CATEGORY))
    rows = rows[np.lexsort((time_us[rows], table["track_uuid"][rows].astype(str)))]
    if len(rows):
        same = (table["track_uuid"][rows][1:] == table["track_uuid"][rows][:-1]) & (np.diff(time_us[rows]) == 0)
        if np.any(same):
            reason = "expected one box a track and time, found several; the first is kept"
            issues.append(Issue("bad_row", name, reason, int(np.sum(same))))
        rows = rows[np.concatenate([[True], ~same])]
    unknown = sorted({str(c) for c in table["category"][rows]} - set(CATEGORY_OF))
    if unknown:
        reason = f"expected Argoverse 2 categories, found {', '.join(unknown[:8])}; taken as other"
        issues.append(Issue("unsupported", name, reason, len(unknown)))
    times_us = np.unique(time_us[placed if len(pose_times_us) else sound])
    return Annotations(times_us, {k: v[rows] for k, v in table.items()}, tuple(issues))


def _distance_us(known_us: ndarray, at_us: ndarray) -> ndarray:
    """How far each time is from the nearest known one."""
    if not len(known_us):
        return np.full(len(at_us), np.iinfo(np.int64).max)
    right = np.clip(np.searchsorted(known_us, at_us), 0, len(known_us) - 1)
    left = np.maximum(right - 1, 0)
    return np.minimum(np.abs(known_us[right] - at_us), np.abs(at_us - known_us[left]))


def tracks_of(
    annotations: Annotations, pose_times_us: Int[ndarray, "p"], world_from_ego: Float[ndarray, "p 4 4"]
) -> tuple[Track, ...]:
    """Tracks in world (city) coordinates: each box placed by the ego pose at its own time."""
    columns = annotations.columns
    ids = columns["track_uuid"]
    if not len(ids):
        return ()
    time_us = columns["time_us"]
    at, _ = interpolate_poses(pose_times_us, world_from_ego, time_us)
    world_from_box = at @ ego_from_axle() @ _poses(columns)
    size = np.stack([columns[k] for k in ("length_m", "width_m", "height_m")], -1)
    points = columns.get("num_interior_pts")
    starts = np.concatenate([[0], np.flatnonzero(ids[1:] != ids[:-1]) + 1, [len(ids)]])
    tracks = []
    for low, high in itertools.pairwise(starts):
        part = slice(int(low), int(high))
        source = str(columns["category"][low])
        tracks.append(
            Track(
                track_id=str(ids[low]),
                category=CATEGORY_OF.get(source, "other"),
                source_category=source,
                times_us=time_us[part],
                world_from_box=world_from_box[part],
                size_lwh_m=size[part],
                lidar_points=None if points is None else points[part],
            )
        )
    return tuple(tracks)


def read_rig(root: MediaRoot, folder: str) -> tuple[Rig, tuple[Issue, ...]]:
    """Calibrated sensors of ``folder`` (calibration/), in the table's order, with the merged LiDAR.

    Images are published undistorted (av2-api issues 219 and 226; its projection uses fx, fy, cx, cy only), so
    k1, k2 and k3 describe the lens and not the image, and are not taken. Sweeps are published in the ego frame,
    both LiDARs merged: hence one sensor ``lidar`` at the rear axle.
    """
    extrinsics = read_table(root, f"{folder}/egovehicle_SE3_sensor.feather", _EXTRINSICS, {})
    intrinsics = read_table(root, f"{folder}/intrinsics.feather", _INTRINSICS, {})
    row_of = {str(n): i for i, n in enumerate(intrinsics["sensor_name"])}
    usable = _usable(extrinsics)
    issues = list(_rows_left_out(f"{folder}/egovehicle_SE3_sensor.feather", usable, "a finite pose"))
    sensors: dict[str, Sensor] = {}
    for i in np.flatnonzero(usable):
        name = str(extrinsics["sensor_name"][i])
        if "lidar" in name:
            continue
        camera = None
        if name in row_of:
            try:
                camera = _camera(intrinsics, row_of[name])
            except ValueError as error:
                issues.append(Issue("no_calibration", f"{folder}/intrinsics.feather: {name}", str(error)))
        else:
            reason = "expected a row in intrinsics.feather, found none"
            issues.append(Issue("no_calibration", f"{folder}: {name}", reason))
        pose = ego_from_axle() @ _poses(extrinsics, np.array([i]))[0]
        sensors[name] = Sensor(name, "camera", pose, camera)
    sensors[LIDAR] = lidar_sensor()
    return Rig(sensors), tuple(issues)


def lidar_sensor() -> Sensor:
    """Sweeps are in Argoverse's ego frame whatever the calibration."""
    return Sensor(LIDAR, "lidar", ego_from_axle())


def _camera(table: Mapping[str, ndarray], i: int) -> Camera:
    fx, fy, cx, cy = (float(table[k][i]) for k in ("fx_px", "fy_px", "cx_px", "cy_px"))
    return Camera(int(table["width_px"][i]), int(table["height_px"][i]), fx, fy, cx, cy)


def read_sweep(root: MediaRoot, name: str) -> Points:
    """One sweep in the rear-axle frame at its own time; points that are not finite are left out."""
    try:
        table = read_table(root, name, _SWEEP, {"intensity": float, "laser_number": int})
    except MediaError as error:
        kind = "broken_file" if error.issue.kind == "bad_table" else error.issue.kind
        raise media_error(kind, name, error.issue.reason) from error
    xyz = np.stack([table["x"], table["y"], table["z"]], -1).astype(np.float32)
    keep = np.all(np.isfinite(xyz), axis=-1)
    intensity = table.get("intensity", np.zeros(len(xyz))).astype(np.float32)
    ring = table.get("laser_number")
    return Points(xyz[keep], intensity[keep], None if ring is None else ring[keep])
