"""A small Argoverse 2 folder: one sensor log in val with two cameras, a LiDAR, boxes and a map; one for mining."""

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.feather as feather
from adapter_case import write_two_tone

from sceneminer.geometry.pose import pose_from_quat, rotation_to_quat

LOG = "0a1b2c3d-1111-2222-3333-444455556666"
MINED = "9f8e7d6c-1111-2222-3333-444455556666"
START_NS = 315_970_000_000_000_000
SPEED_MPS = 6.0
SWEEPS = 6
CAMERAS = {"ring_front_center": (36, 64), "ring_front_left": (64, 36)}
AXIS_FROM_CAMERA = np.array([[0, 0, 1], [-1, 0, 0], [0, -1, 0]], np.float64)
CITY_FROM_START = pose_from_quat(np.array([1000.0, 2000.0, 15.0]), np.array([0.9, 0.01, -0.02, 0.4]))


def city_from_axle(time_ns: int) -> np.ndarray:
    """The rear axle drives straight ahead."""
    step = np.eye(4)
    step[0, 3] = SPEED_MPS * (time_ns - START_NS) / 1e9
    return CITY_FROM_START @ step


def pose_columns(poses: np.ndarray) -> dict[str, list[float]]:
    quat = rotation_to_quat(poses[:, :3, :3])
    columns = {name: quat[:, i].tolist() for i, name in enumerate(("qw", "qx", "qy", "qz"))}
    return columns | {name: poses[:, i, 3].tolist() for i, name in enumerate(("tx_m", "ty_m", "tz_m"))}


def write_table(path: Path, columns: dict) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    feather.write_feather(pa.table(columns), path, compression="lz4")


def make_argoverse2_tree(folder: Path) -> Path:
    """The tree below ``folder``; returns its root."""
    root = folder / "av2"
    sensor, mined = root / "sensor" / "val" / LOG, root / "scenario_mining" / MINED
    for log in (sensor, mined):
        write_poses(log)
        write_map(log)
    write_table(sensor / "annotations.feather", boxes())
    write_calibration(sensor)
    for k in range(SWEEPS):
        write_sweep(sensor / "sensors" / "lidar" / f"{START_NS + k * 100_000_000}.feather")
        for i, (name, (width, height)) in enumerate(CAMERAS.items()):
            for half in (0, 50_000_000):
                stamp = START_NS + k * 100_000_000 + half + i * 7_000_000
                write_two_tone(sensor / "sensors" / "cameras" / name / f"{stamp}.jpg", width, height)
    with_ego = boxes()
    ego = {"track_uuid": "ego", "category": "EGO_VEHICLE", "length_m": 4.877, "width_m": 2.0, "height_m": 1.473}
    for k in range(SWEEPS):
        row = {**{c: values[0] for c, values in with_ego.items()}, **ego, "timestamp_ns": START_NS + k * 100_000_000}
        for column, values in with_ego.items():
            values.append(row[column])
    write_table(mined / "annotations_with_ego.feather", with_ego)
    return root


def write_poses(log: Path) -> None:
    """At 100 Hz, and one more 2 ns after the first, as real logs have."""
    times = [START_NS - 50_000_000, START_NS - 49_999_998] + [START_NS + k * 10_000_000 for k in range(-4, 60)]
    poses = np.stack([city_from_axle(t) for t in times])
    write_table(log / "city_SE3_egovehicle.feather", {"timestamp_ns": times, **pose_columns(poses)})


def boxes() -> dict[str, list]:
    """In the rear-axle frame: a car that keeps 12 m ahead, a cyclist who stands in the city, a cone seen once."""
    rows = []
    standing = city_from_axle(START_NS) @ _shift(20.0, -4.0, 0.5)
    for k in range(SWEEPS):
        time = START_NS + k * 100_000_000
        rows.append((time, "car", "REGULAR_VEHICLE", 4.5, 1.9, 1.6, 30, _shift(12.0, 0.2, 0.5)))
        still = np.linalg.inv(city_from_axle(time)) @ standing
        rows.append((time, "bike", "BICYCLIST", 1.7, 0.6, 1.7, 8, still))
    rows.append((START_NS, "cone", "CONSTRUCTION_CONE", 0.3, 0.3, 0.7, 2, _shift(5.0, 3.0, 0.0)))
    names = ("timestamp_ns", "track_uuid", "category", "length_m", "width_m", "height_m", "num_interior_pts")
    columns: dict[str, list] = {name: [row[i] for row in rows] for i, name in enumerate(names)}
    return columns | pose_columns(np.stack([row[-1] for row in rows]))


def _shift(x: float, y: float, z: float) -> np.ndarray:
    pose = np.eye(4)
    pose[:3, 3] = x, y, z
    return pose


def write_calibration(log: Path) -> None:
    poses = []
    for yaw in (0.0, 0.8):
        turn = np.array([[np.cos(yaw), -np.sin(yaw), 0], [np.sin(yaw), np.cos(yaw), 0], [0, 0, 1]])
        pose = _shift(1.6, 0.0, 1.4)
        pose[:3, :3] = turn @ AXIS_FROM_CAMERA
        poses.append(pose)
    poses.append(_shift(1.3, 0.0, 1.6))
    names = [*CAMERAS, "up_lidar"]
    write_table(
        log / "calibration" / "egovehicle_SE3_sensor.feather", {"sensor_name": names, **pose_columns(np.stack(poses))}
    )
    sizes = list(CAMERAS.values())
    write_table(
        log / "calibration" / "intrinsics.feather",
        {
            "sensor_name": list(CAMERAS),
            "fx_px": [50.0, 50.0],
            "fy_px": [50.0, 50.0],
            "cx_px": [(w - 1) / 2 for w, _ in sizes],
            "cy_px": [(h - 1) / 2 for _, h in sizes],
            "k1": [-0.25, -0.25],
            "k2": [-0.1, -0.1],
            "k3": [0.2, 0.2],
            "height_px": pa.array([h for _, h in sizes], pa.uint16()),
            "width_px": pa.array([w for w, _ in sizes], pa.uint16()),
        },
    )


def write_sweep(path: Path) -> None:
    rng = np.random.default_rng(5)
    xyz = rng.uniform(-20, 20, (80, 3)).astype(np.float16)
    xyz[:, 2] = np.float16(-0.31)  # all on the road
    write_table(
        path,
        {name: xyz[:, i] for i, name in enumerate("xyz")}
        | {"intensity": np.full(80, 9, np.uint8), "laser_number": np.arange(80, dtype=np.uint8) % 64}
        | {"offset_ns": np.arange(80, dtype=np.int32)},
    )


def write_map(log: Path) -> None:
    """Two lanes of one direction beside one of the other, then a junction; in metres around (1000, 2000)."""
    path = log / "map" / f"log_map_archive_{log.name}____PIT_city_57819.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(map_archive()))


def map_archive() -> dict:
    def line(*points: tuple[float, float]) -> list[dict]:
        return [{"x": 1000.0 + x, "y": 2000.0 + y, "z": 15.0} for x, y in points]

    def lane(key: int, left: list[dict], right: list[dict], **more) -> dict:
        empty = {"left_lane_mark_type": "NONE", "right_lane_mark_type": "NONE"}
        empty |= {"left_neighbor_id": None, "right_neighbor_id": None, "successors": [], "predecessors": []}
        kind = {"id": key, "is_intersection": False, "lane_type": "VEHICLE"}
        return {**kind, **empty, "left_lane_boundary": left, "right_lane_boundary": right, **more}

    lanes = [
        lane(
            1,
            line((0, 4), (50, 4)),
            line((0, 0), (20, 0), (50, 0)),
            left_lane_mark_type="DOUBLE_SOLID_YELLOW",
            right_lane_mark_type="DASHED_WHITE",
            left_neighbor_id=3,
            right_neighbor_id=2,
            successors=[4, 99],
        ),
        lane(
            2,
            line((0, 0), (20, 0), (50, 0)),
            line((0, -4), (50, -4)),
            left_lane_mark_type="DASHED_WHITE",
            right_lane_mark_type="SOLID_WHITE",
            left_neighbor_id=1,
        ),
        lane(
            3,
            line((50, 4), (0, 4)),
            line((50, 8), (0, 8)),
            left_lane_mark_type="DOUBLE_SOLID_YELLOW",
            left_neighbor_id=1,
        ),
        lane(4, line((50, 4), (60, 4)), line((50, 0), (60, 0)), is_intersection=True),
        lane(5, line((0, -4), (50, -4)), line((0, -6), (50, -6)), lane_type="BIKE"),
    ]
    return {
        "drivable_areas": {"7": {"id": 7, "area_boundary": line((0, -6), (60, -6), (60, 8), (0, 8))}},
        "lane_segments": {str(row["id"]): row for row in lanes},
        "pedestrian_crossings": {"8": {"id": 8, "edge1": line((30, -6), (30, 8)), "edge2": line((33, -6), (33, 8))}},
    }
