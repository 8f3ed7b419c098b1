"""The official nuScenes devkit as judge of a synthetic folder: it must open it, draw it, and agree about the map.

Runs in an environment of its own (requirements-oracle.txt; it needs numpy<2) and imports nothing of ours.
Usage: python benchmarks/oracle_devkit.py DATAROOT MASKS, where MASKS comes from ``oracle_masks.py``. Exits with 1 when
a check fails. NuScenesMap knows four locations by name, so ours are added to its list; get_map_mask asks for the name
once more, to know a whole map's size, which a patch does not need, so it is told a name that it knows.
"""

import argparse
import json
import sys
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
from nuscenes.map_expansion import map_api
from nuscenes.map_expansion.arcline_path_utils import discretize_lane
from nuscenes.nuscenes import NuScenes

MIN_EQUAL = 0.97
"""Share of equal pixels a mask must reach; outlines differ by the devkit's rounding of corners to whole pixels."""
MIN_IOU = {"walkway": 0.85, "drivable_area": 0.97, "road_segment": 0.97, "carpark_area": 0.9}
"""Areas that are wide enough in pixels for their overlap to be judged."""


def main() -> int:
    parser = argparse.ArgumentParser(description="check a synthetic nuScenes folder with the official devkit")
    parser.add_argument("dataroot", type=Path)
    parser.add_argument("masks", type=Path)
    args = parser.parse_args()
    job = json.loads((args.dataroot / "synth.json").read_text())
    nusc = NuScenes(version=f"v1.0-{job['split']}", dataroot=str(args.dataroot), verbose=True)
    nusc.list_scenes()
    failures = check_tables(nusc)
    if "LIDAR_TOP" in job["sensors"]:
        failures += check_lidarseg(nusc)
        failures += check_boxes(nusc)
    draw_sample(nusc, args.masks)
    maps = sorted({log["location"] for log in nusc.log})
    map_api.locations.extend(maps)
    for name in maps:
        failures += check_map(map_api.NuScenesMap(dataroot=str(args.dataroot), map_name=name))
    failures += check_masks(args.dataroot, args.masks)
    failures += check_ego_on_road(nusc)
    for line in failures:
        print(f"FAILED {line}")
    print(f"{'no' if not failures else len(failures)} failures")
    return int(bool(failures))


def check_tables(nusc: NuScenes) -> list[str]:
    """Every file is there, and every sample has all sensors."""
    missing = [r["filename"] for r in nusc.sample_data if not (Path(nusc.dataroot) / r["filename"]).is_file()]
    channels = {sensor["channel"] for sensor in nusc.sensor}
    partial = [sample["token"] for sample in nusc.sample if set(sample["data"]) != channels]
    failures = [f"{len(missing)} media files are missing"] if missing else []
    return failures + ([f"{len(partial)} samples lack a sensor"] if partial else [])


def check_lidarseg(nusc: NuScenes) -> list[str]:
    nusc.get_sample_lidarseg_stats(nusc.sample[0]["token"], sort_by="count")
    failures = []
    for record in nusc.lidarseg:
        labels = np.fromfile(Path(nusc.dataroot) / record["filename"], np.uint8)
        path = nusc.get_sample_data_path(record["sample_data_token"])
        points = np.fromfile(path, np.float32).size // 5
        if len(labels) != points or labels.max() > 31:
            failures.append(f"{record['filename']}: {len(labels)} labels up to {labels.max()} for {points} points")
    return failures


def check_boxes(nusc: NuScenes) -> list[str]:
    """As many LiDAR points within the devkit's boxes as their rows say, give or take noise, motion and the ground."""
    stated, inside = 0, 0
    for sample in nusc.sample[:: max(1, len(nusc.sample) // 10)]:
        path, boxes, _ = nusc.get_sample_data(sample["data"]["LIDAR_TOP"])
        points = np.fromfile(path, np.float32).reshape(-1, 5)[:, :3]
        for box in boxes:
            local = (points - box.center) @ box.rotation_matrix
            half = np.array([box.wlh[1], box.wlh[0], box.wlh[2]]) / 2
            held = np.all(np.abs(local) <= half + 0.05, 1) & (local[:, 2] > 0.1 - half[2])
            inside += int(np.sum(held))
            stated += nusc.get("sample_annotation", box.token)["num_lidar_pts"]
    print(f"LiDAR points in boxes: {stated} stated, {inside} found in boxes, 10 cm above the ground and higher")
    return [] if stated and 0.85 < inside / stated < 1.15 else [f"{stated} points stated in boxes, {inside} found"]


def draw_sample(nusc: NuScenes, out: Path) -> None:
    """One sample with boxes in every sensor, and the LiDAR in the front camera, as PNG files to look at."""
    sample = nusc.sample[len(nusc.sample) // 2]
    nusc.render_sample(sample["token"], out_path=str(out / "sample.png"), verbose=False)
    plt.close("all")
    if {"CAM_FRONT", "LIDAR_TOP"} <= set(sample["data"]):
        lidarseg = hasattr(nusc, "lidarseg")
        nusc.render_pointcloud_in_image(
            sample["token"], dot_size=4, show_lidarseg=lidarseg, out_path=str(out / "points.png"), verbose=False
        )
        plt.close("all")


def check_map(nusc_map: map_api.NuScenesMap) -> list[str]:
    """Lanes can be walked: arc-line paths continue one another and connectivity names lanes that meet."""
    gaps = []
    ends = {}
    for token, path in nusc_map.arcline_path_3.items():
        poses = np.array(discretize_lane(path, 0.5))
        gaps.append(np.hypot(*np.diff(poses[:, :2], axis=0).T).max())
        ends[token] = poses[0, :2], poses[-1, :2]
    jumps = [
        np.hypot(*(ends[token][1] - ends[after][0]))
        for token in ends
        for after in nusc_map.get_outgoing_lane_ids(token)
    ]
    lane = nusc_map.lane[0]
    x, y = ends[lane["token"]][0]
    closest = nusc_map.get_closest_lane(x, y, radius=3)
    print(f"{nusc_map.map_name}: widest step along a lane {max(gaps):.3f} m, between lanes {max(jumps):.3f} m")
    failures = [] if max(gaps) < 0.6 and max(jumps) < 0.1 else [f"{nusc_map.map_name}: lanes have gaps"]
    return failures + ([] if closest else [f"{nusc_map.map_name}: no lane is closest to a lane's start"])


def check_masks(dataroot: Path, folder: Path) -> list[str]:
    record = json.loads((folder / "patches.json").read_text())
    size, cells = record["size_m"], record["cells"]
    failures = []
    for patch in record["patches"]:
        nusc_map = map_api.NuScenesMap(dataroot=str(dataroot), map_name=patch["map"])
        nusc_map.map_name = map_api.locations[0]
        ours = np.load(folder / f"{patch['name']}.npz")
        layers = list(ours.files)
        box = (patch["x_m"], patch["y_m"], size, size)
        theirs = nusc_map.get_map_mask(box, patch["angle_deg"], layers, (cells, cells)).astype(bool)
        _draw_masks(folder / f"{patch['name']}.png", layers, ours, theirs)
        for name, mask in zip(layers, theirs, strict=True):
            equal = float(np.mean(mask == ours[name]))
            union = np.sum(mask | ours[name])
            iou = float(np.sum(mask & ours[name]) / union) if union else 1.0
            print(
                f"{patch['map']} {patch['angle_deg']:4.0f}° {name:14s} equal {equal:.4f} IoU {iou:.4f} pixels {union}"
            )
            if equal < MIN_EQUAL or iou < MIN_IOU.get(name, 0.0):
                failures.append(f"{patch['name']} {name}: equal {equal:.4f}, IoU {iou:.4f}")
    return failures


def check_ego_on_road(nusc: NuScenes) -> list[str]:
    """Ego drives on the semantic prior."""
    off = 0
    for scene in nusc.scene:
        mask = nusc.get("map", nusc.get("log", scene["log_token"])["map_token"])["mask"]
        tokens = [r["ego_pose_token"] for r in nusc.sample_data if r["is_key_frame"]]
        here = {s["token"] for s in nusc.sample if s["scene_token"] == scene["token"]}
        tokens = [r["ego_pose_token"] for r in nusc.sample_data if r["sample_token"] in here]
        xyz = np.array([nusc.get("ego_pose", token)["translation"] for token in tokens])
        off += int(np.sum(~mask.is_on_mask(xyz[:, 0], xyz[:, 1])))
    return [f"{off} ego poses lie off the semantic prior"] if off else []


def _draw_masks(path: Path, layers: list, ours, theirs: np.ndarray) -> None:
    """Devkit on the left, ours in the middle, differences on the right, south up as the devkit has it."""
    figure, axes = plt.subplots(len(layers), 3, figsize=(9, 3 * len(layers)))
    for row, (name, mask) in enumerate(zip(layers, theirs, strict=True)):
        for axis, picture in zip(axes[row], (mask, ours[name], mask != ours[name]), strict=True):
            axis.imshow(picture, origin="lower", cmap="gray")
            axis.set_axis_off()
        axes[row][0].set_title(f"{name}: devkit, ours, differences", loc="left")
    figure.tight_layout()
    figure.savefig(path, dpi=60)
    plt.close(figure)


if __name__ == "__main__":
    sys.exit(main())
