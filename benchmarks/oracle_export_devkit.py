"""The official nuScenes devkit on an exported folder: it opens, its boxes are where they should be, its maps load.

Runs in an environment of its own (requirements-oracle.txt). Usage: python benchmarks/oracle_export_devkit.py OUT, as
``oracle_export.py`` wrote it. Exits with 1 and says what is wrong.
"""

import argparse
import json
import sys
from pathlib import Path

import numpy as np
from nuscenes.map_expansion import map_api
from nuscenes.map_expansion.arcline_path_utils import discretize_lane
from nuscenes.nuscenes import NuScenes
from nuscenes.utils.geometry_utils import BoxVisibility

TOLERANCE_M = 1e-4


def main() -> int:
    parser = argparse.ArgumentParser(description="check an exported nuScenes folder with the official devkit")
    parser.add_argument("out", type=Path)
    args = parser.parse_args()
    expected = json.loads((args.out / "expected.json").read_text())
    nusc = NuScenes(version="v1.0-sceneminer", dataroot=str(args.out / "export"), verbose=True)
    nusc.list_scenes()
    nusc.list_categories()
    failures = [] if len(nusc.scene) == expected["scenes"] else [f"{len(nusc.scene)} scenes, not {expected['scenes']}"]
    missing = [row["filename"] for row in nusc.sample_data if not (args.out / "export" / row["filename"]).is_file()]
    failures += [f"{len(missing)} media files are missing"] if missing else []
    failures += check_boxes(nusc, expected["boxes"])
    failures += check_sweeps(nusc)
    for path in sorted((args.out / "export" / "maps" / "expansion").glob("*.json")):
        failures += check_map(nusc.dataroot, path.stem)
    for line in failures:
        print(f"FAILED {line}")
    print(f"{'no' if not failures else len(failures)} failures")
    return int(bool(failures))


def check_boxes(nusc: NuScenes, expected: dict) -> list[str]:
    """The boxes of each scene's middle keyframe, in the frame of each of its sensors."""
    failures, count = [], 0
    for scene in nusc.scene:
        token = scene["first_sample_token"]
        for _ in range(scene["nbr_samples"] // 2):
            token = nusc.get("sample", token)["next"]
        for channel, data in nusc.get("sample", token)["data"].items():
            _, boxes, lens = nusc.get_sample_data(data, box_vis_level=BoxVisibility.NONE)
            theirs = ordered([[*box.center, box.wlh[1], box.wlh[0], box.wlh[2]] for box in boxes])
            ours = ordered(expected.get(scene["name"], {}).get(channel, []))
            count += len(theirs)
            if theirs.shape != ours.shape or np.abs(theirs - ours).max(initial=0.0) > TOLERANCE_M:
                failures.append(f"{scene['name']} {channel}: {len(theirs)} boxes, not the {len(ours)} expected")
            if channel.startswith("CAM") and np.shape(lens) != (3, 3):
                failures.append(f"{scene['name']} {channel}: no intrinsics")
    print(f"{count} boxes at their places in {len(nusc.scene)} scenes")
    return failures


def ordered(rows: list) -> np.ndarray:
    values = np.array(rows, float).reshape(-1, 6)
    return values[np.lexsort(np.round(values, 3).T)]


def check_sweeps(nusc: NuScenes) -> list[str]:
    """Each sensor's chain runs from one end to the other in time order, and boxes interpolate between keyframes."""
    failures = []
    starts = [row for row in nusc.sample_data if row["prev"] == ""]
    seen = 0
    for row in starts:
        times = [row["timestamp"]]
        while row["next"]:
            row = nusc.get("sample_data", row["next"])
            times.append(row["timestamp"])
        seen += len(times)
        if times != sorted(set(times)):
            failures.append(f"{row['channel']}: times do not ascend")
        nusc.get_boxes(row["token"])
    return failures + ([] if seen == len(nusc.sample_data) else [f"{len(nusc.sample_data) - seen} rows in no chain"])


def check_map(dataroot: str, name: str) -> list[str]:
    map_api.locations.append(name)
    nusc_map = map_api.NuScenesMap(dataroot=dataroot, map_name=name)
    layers = {layer: len(getattr(nusc_map, layer)) for layer in nusc_map.non_geometric_layers}
    print(f"{name}: {', '.join(f'{count} {layer}' for layer, count in layers.items() if count)}")
    lanes = [*nusc_map.lane, *nusc_map.lane_connector]
    if not lanes:
        return []
    start = nusc_map.arcline_path_3[lanes[0]["token"]][0]["start_pose"]
    widest = 0.0
    for lane in lanes:
        points = np.array(discretize_lane(nusc_map.arcline_path_3[lane["token"]], 0.5))
        widest = max(widest, float(np.hypot(*np.diff(points[:, :2], axis=0).T).max(initial=0.0)))
    failures = [] if widest < 0.6 else [f"{name}: lanes have gaps of {widest:.2f} m"]
    near = nusc_map.get_records_in_radius(start[0], start[1], 30, ["lane", "lane_connector"])
    return failures + ([] if any(near.values()) else [f"{name}: no lane lies near a lane's start"])


if __name__ == "__main__":
    sys.exit(main())
