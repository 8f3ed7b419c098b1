"""Our own map masks of a synthetic nuScenes folder, which the official devkit is compared with (``oracle_devkit.py``).

Usage: python benchmarks/oracle_masks.py DATAROOT OUT. Rebuilds the towns from the folder's ``synth.json`` and
rasterises their polygons directly, without reading the map expansion that is under test.
"""

import argparse
import json
from pathlib import Path

import numpy as np
import shapely
from numpy import ndarray
from shapely import LineString, Polygon

from sceneminer.data.synth.map_expansion import drivable_polygons, map_offset
from sceneminer.data.synth.scene import Town
from sceneminer.data.synth.write_log import town_of

SIZE_M = 100.0
CELLS = 500
ANGLES_DEG = (0.0, 30.0)


def main() -> None:
    parser = argparse.ArgumentParser(description="write our masks of map patches for the devkit oracle")
    parser.add_argument("dataroot", type=Path)
    parser.add_argument("out", type=Path)
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    job = json.loads((args.dataroot / "synth.json").read_text())
    tables = args.dataroot / f"v1.0-{job['split']}"
    poses = json.loads((tables / "ego_pose.json").read_text())
    patches = []
    for index in range(-(-job["logs"] // job["logs_per_town"])):
        town = town_of(job["split"], job["seed"], index)
        x, y, _ = poses[len(poses) // 2]["translation"] if index == 0 else (*np.add(map_offset(town), (0.0, 0.0)), 0.0)
        for angle in ANGLES_DEG:
            name = f"patch-{len(patches)}"
            layers = masks(town, (x, y), angle)
            np.savez_compressed(args.out / f"{name}.npz", **layers)
            patches.append({"name": name, "map": town.name, "x_m": x, "y_m": y, "angle_deg": angle})
    record = {"size_m": SIZE_M, "cells": CELLS, "patches": patches}
    (args.out / "patches.json").write_text(json.dumps(record, indent=1))
    print(f"wrote {len(patches)} patches to {args.out}")


def masks(town: Town, center_m: tuple[float, float], angle_deg: float) -> dict[str, ndarray]:
    """Boolean masks by layer; row and column i lie at i cells from the patch's lower left corner, as in the devkit."""
    cell_m = SIZE_M / CELLS
    points = _grid(town, center_m, angle_deg)
    rings = {
        "ped_crossing": [c.polygon for c in town.crossings],
        "walkway": town.walkways,
        "stop_line": [s.polygon for s in town.stop_lines],
        "carpark_area": town.parking_lots,
        "road_segment": [*town.road_segments, *town.intersections],
    }
    areas = {name: [Polygon(ring) for ring in group] for name, group in rings.items()}
    areas["drivable_area"] = list(drivable_polygons(town))
    # The devkit paints every pixel that an outline touches. Lines it paints two pixels wide, with corners rounded down.
    out = {name: _within(shapely.union_all(group), points, cell_m / 2) for name, group in areas.items()}
    for kind in ("road", "lane"):
        lines = [LineString(d.line) for d in town.dividers if d.kind == kind]
        half_way = _grid(town, center_m, angle_deg, shift_m=cell_m / 2)
        out[f"{kind}_divider"] = _within(shapely.union_all(lines), half_way, 1.4 * cell_m)
    return out


def _grid(town: Town, center_m: tuple[float, float], angle_deg: float, *, shift_m: float = 0.0) -> ndarray:
    """Points of the patch in the town frame, [row, column, xy]."""
    steps = np.arange(CELLS) * (SIZE_M / CELLS) - SIZE_M / 2 + shift_m
    x, y = np.meshgrid(steps, steps, indexing="xy")
    c, s = np.cos(np.deg2rad(angle_deg)), np.sin(np.deg2rad(angle_deg))
    rotated = np.stack([c * x - s * y, s * x + c * y], -1)
    return rotated + np.subtract(center_m, map_offset(town))


def _within(geometry: shapely.Geometry, points: ndarray, reach_m: float) -> ndarray:
    low, high = points.min((0, 1)) - 5.0, points.max((0, 1)) + 5.0
    geometry = shapely.clip_by_rect(geometry, *low, *high)
    shapely.prepare(geometry)
    near = shapely.dwithin(geometry, shapely.points(points.reshape(-1, 2)), reach_m)
    return near.reshape(points.shape[:2])


if __name__ == "__main__":
    main()
