"""A small nuScenes folder: two scenes, two cameras and a LiDAR, keyframes at 2 Hz and sweeps, boxes, maps, labels."""

import hashlib
import json
from pathlib import Path

import numpy as np
from adapter_case import write_two_tone
from PIL import Image

from sceneminer.geometry.pose import pose_from_yaw, rotation_to_quat

START_US = 1_600_000_000_000_000
CHANNELS = {"CAM_FRONT": "camera", "CAM_BACK": "camera", "LIDAR_TOP": "lidar"}
LAG_US = {"CAM_FRONT": -12_000, "CAM_BACK": 31_000, "LIDAR_TOP": 0}
SAMPLES = 4
SPEED_MPS, YAW_RAD = 8.0, 0.3
SCENES = ("scene-0001", "scene-0002")


def token(*words) -> str:
    return hashlib.md5(" ".join(map(str, words)).encode()).hexdigest()


def ego_pose_at(time_us: int, scene: int) -> np.ndarray:
    """The ego drives straight along its heading, 8 m/s."""
    along = SPEED_MPS * (time_us - START_US - scene * 60_000_000) / 1e6
    x, y = 100 + 20 * scene + along * np.cos(YAW_RAD), 200 + along * np.sin(YAW_RAD)
    return pose_from_yaw(x, y, YAW_RAD)


def make_nuscenes_tree(folder: Path) -> Path:
    """The tree below ``folder``; returns its root."""
    root = folder / "nuscenes"
    tables = nuscenes_tables()
    write_tables(root, tables)
    for row in tables["sample_data"]:
        path = root / row["filename"]
        if row["fileformat"] == "jpg":
            write_two_tone(path, row["width"], row["height"])
        else:
            path.parent.mkdir(parents=True, exist_ok=True)
            _points().tofile(path)
    for row in tables["lidarseg"]:
        path = root / row["filename"]
        path.parent.mkdir(parents=True, exist_ok=True)
        (np.arange(60) % 32).astype(np.uint8).tofile(path)
    (root / "maps" / "expansion").mkdir(parents=True)
    (root / "maps" / "expansion" / "smallville.json").write_text(json.dumps(expansion()))
    _basemap(root / "maps" / "smallville.png")
    return root


def write_tables(root: Path, tables: dict[str, list], version: str = "v1.0-mini") -> Path:
    folder = root / version
    folder.mkdir(parents=True, exist_ok=True)
    for name, rows in tables.items():
        (folder / f"{name}.json").write_text(json.dumps(rows, indent=0))
    return folder


def nuscenes_tables() -> dict[str, list[dict]]:
    tables: dict[str, list[dict]] = {name: [] for name in ("scene", "sample", "sample_data", "ego_pose")}
    for s, name in enumerate(SCENES):
        scene = {
            "token": token("scene", s),
            "name": name,
            "description": f"Straight on, {s} cones",
            "nbr_samples": SAMPLES,
        }
        scene |= {"log_token": token("log"), "first_sample_token": token("sample", s, 0)}
        tables["scene"].append(scene | {"last_sample_token": token("sample", s, SAMPLES - 1)})
        for k in range(SAMPLES):
            time = START_US + s * 60_000_000 + k * 500_000
            tables["sample"].append({"token": token("sample", s, k), "timestamp": time, "scene_token": scene["token"]})
            for channel in CHANNELS:
                for sweep in range(3 if channel != "CAM_BACK" else 1):
                    _measure(tables, s, k, channel, time + LAG_US[channel] + sweep * 150_000, sweep == 0)
    tables["sensor"] = [{"token": token(c), "channel": c, "modality": m} for c, m in CHANNELS.items()]
    tables["calibrated_sensor"] = _calibrations()
    tables["log"] = [{"token": token("log"), "logfile": "n1", "location": "smallville", "vehicle": "n1"}]
    tables["map"] = [{"token": token("map"), "log_tokens": [token("log")], "filename": "maps/smallville.png"}]
    tables["category"] = [{"token": token(c), "name": c} for c in ("vehicle.car", "human.pedestrian.adult")]
    tables["attribute"] = [{"token": token("moving"), "name": "vehicle.moving"}]
    tables["visibility"] = [{"token": "4", "level": "v80-100", "description": ""}]
    tables |= _annotations()
    first = next(row for row in tables["sample_data"] if row["fileformat"] == "pcd")
    name = f"lidarseg/v1.0-mini/{first['token']}_lidarseg.bin"
    tables["lidarseg"] = [{"token": first["token"], "sample_data_token": first["token"], "filename": name}]
    return tables


def _measure(tables: dict[str, list[dict]], scene: int, k: int, channel: str, time: int, key: bool) -> None:
    own = token("data", scene, k, channel, time)
    is_camera = CHANNELS[channel] == "camera"
    # The back camera is replaced by a larger one in the middle of the first scene.
    large = channel == "CAM_BACK" and scene == 0 and k >= 2
    width, height = ((64, 36) if not large else (96, 54)) if is_camera else (0, 0)
    pose = ego_pose_at(time, scene)
    folder, suffix = ("samples" if key else "sweeps"), ("jpg" if is_camera else "pcd.bin")
    tables["ego_pose"].append(
        {
            "token": own,
            "timestamp": time,
            "translation": pose[:3, 3].tolist(),
            "rotation": rotation_to_quat(pose[:3, :3]).tolist(),
        }
    )
    tables["sample_data"].append(
        {
            "token": own,
            "sample_token": token("sample", scene, k),
            "ego_pose_token": own,
            "calibrated_sensor_token": token("calibrated", channel, large),
            "timestamp": time,
            "fileformat": suffix.split(".")[0],
            "is_key_frame": key,
            "width": width,
            "height": height,
            "filename": f"{folder}/{channel}/n1__{channel}__{time}.{suffix}",
            "prev": "",
            "next": "",
        }
    )


def _calibrations() -> list[dict]:
    rows = []
    forward, backward = [0.5, -0.5, 0.5, -0.5], [0.5, -0.5, -0.5, 0.5]
    for channel, large in (("CAM_FRONT", False), ("CAM_BACK", False), ("CAM_BACK", True), ("LIDAR_TOP", False)):
        scale = 1.5 if large else 1.0
        lens = [[50 * scale, 0, 31.5 * scale], [0, 50 * scale, 17.5 * scale], [0, 0, 1]]
        is_camera = channel.startswith("CAM")
        rotation = {"CAM_FRONT": forward, "CAM_BACK": backward}.get(channel, [1.0, 0.0, 0.0, 0.0])
        rows.append(
            {
                "token": token("calibrated", channel, large),
                "sensor_token": token(channel),
                "translation": [1.5 if channel == "CAM_FRONT" else 0.0, 0.0, 1.6],
                "rotation": rotation,
                "camera_intrinsic": lens if is_camera else [],
            }
        )
    return rows


def _annotations() -> dict[str, list[dict]]:
    """In the first scene: a car that drives ahead, and a pedestrian who stands."""
    instances, boxes = [], []
    for name, category, size in (
        ("car", "vehicle.car", [1.9, 4.5, 1.6]),
        ("walker", "human.pedestrian.adult", [0.6, 0.7, 1.8]),
    ):
        instances.append({"token": token(name), "category_token": token(category), "nbr_annotations": SAMPLES})
        for k in range(SAMPLES):
            ego = ego_pose_at(START_US + k * 500_000, 0)
            pose = ego @ pose_from_yaw(15.0, 0.0, 0.0, z_m=0.8) if name == "car" else pose_from_yaw(112.0, 206.0, 1.0)
            boxes.append(
                {
                    "token": token("box", name, k),
                    "sample_token": token("sample", 0, k),
                    "instance_token": token(name),
                    "attribute_tokens": [token("moving")] if name == "car" else [],
                    "visibility_token": "4",
                    "translation": pose[:3, 3].tolist(),
                    "rotation": rotation_to_quat(pose[:3, :3]).tolist(),
                    "size": size,
                    "num_lidar_pts": 7 + k,
                    "num_radar_pts": 0,
                    "prev": "",
                    "next": "",
                }
            )
    return {"instance": instances, "sample_annotation": boxes}


def _points() -> np.ndarray:
    rng = np.random.default_rng(3)
    xyz = rng.uniform(-20, 20, (60, 3))
    return np.column_stack([xyz, rng.integers(0, 255, 60), np.arange(60) % 32]).astype("<f4")


def _basemap(path: Path) -> None:
    """400 m × 600 m, road where y is between 190 m and 215 m."""
    mask = np.zeros((6000, 4000), np.uint8)
    mask[6000 - 2150 : 6000 - 1900] = 255
    Image.fromarray(mask).save(path, optimize=False, compress_level=1)


def expansion() -> dict:
    """A road of 300 m × 25 m with a hole in it, one lane with its centreline, one of each layer."""
    nodes: dict[str, tuple[float, float]] = {}

    def ring(*points: tuple[float, float]) -> list[str]:
        for x, y in points:
            nodes[f"n{x}_{y}"] = (x, y)
        return [f"n{x}_{y}" for x, y in points]

    def rectangle(x0, y0, x1, y1) -> list[str]:
        return ring((x0, y0), (x1, y0), (x1, y1), (x0, y1))

    polygons = [
        {
            "token": "road",
            "exterior_node_tokens": rectangle(50, 190, 350, 215),
            "holes": [{"node_tokens": rectangle(200, 200, 205, 205)}],
        },
        {"token": "cross", "exterior_node_tokens": rectangle(130, 190, 134, 215), "holes": []},
        {"token": "junction", "exterior_node_tokens": rectangle(150, 190, 170, 215), "holes": []},
        {"token": "path", "exterior_node_tokens": rectangle(50, 215, 350, 219), "holes": []},
        {"token": "lane_area", "exterior_node_tokens": rectangle(50, 195, 150, 199), "holes": []},
    ]
    line = {"token": "paint", "node_tokens": ring((50, 203), (150, 203), (350, 203))}
    arc = {"start_pose": [50.0, 197.0, 0.0], "end_pose": [150.0, 197.0, 0.0], "shape": "LSR", "radius": 50.0}
    return {
        "version": "1.3",
        "polygon": polygons,
        "line": [line],
        "node": [{"token": t, "x": x, "y": y} for t, (x, y) in nodes.items()],
        "drivable_area": [{"token": "da", "polygon_tokens": ["road"]}],
        "road_segment": [
            {"token": "rs", "polygon_token": "junction", "is_intersection": True},
            {"token": "rs2", "polygon_token": "road", "is_intersection": False},
        ],
        "ped_crossing": [{"token": "pc", "polygon_token": "cross"}],
        "walkway": [{"token": "w", "polygon_token": "path"}],
        "carpark_area": [],
        "stop_line": [],
        "lane": [{"token": "lane", "polygon_token": "lane_area"}],
        "lane_connector": [],
        "lane_divider": [{"token": "ld", "line_token": "paint"}],
        "road_divider": [],
        "connectivity": {"lane": {"incoming": [], "outgoing": ["other"]}},
        "arcline_path_3": {"lane": [arc | {"segment_length": [0.0, 100.0, 0.0]}]},
    }
