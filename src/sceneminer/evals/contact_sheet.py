"""Pictures of a written town, for people to look at: random frames, one whole clip, one sweep over the map.

``python -m sceneminer.evals.contact_sheet TOWN... --index INDEX --out out/pictures`` makes ``frames.jpg`` (24 random
frames of all roots), ``clip.png`` (the hardest risky clip of an index: six cameras with boxes, bird's-eye view, risk)
and ``lidar.png`` (one sweep by class over the map, with boxes).
"""

import argparse
from pathlib import Path

import numpy as np
from numpy import ndarray
from PIL import Image, ImageDraw

from sceneminer.data.log import Log
from sceneminer.data.open import open_logs
from sceneminer.data.track import states_at
from sceneminer.export.picture import draw_clip
from sceneminer.geometry.box import footprint
from sceneminer.geometry.grid import BevGrid
from sceneminer.geometry.pose import invert, transform
from sceneminer.index.search import hardest, open_index
from sceneminer.labels.maps import rasterise

_GRID = BevGrid(-40.0, 40.0, -40.0, 40.0, 0.1)
_AREAS = {"drivable": (58, 62, 70), "walkway": (78, 74, 70), "parking": (62, 66, 84), "crossing": (120, 122, 128)}
_LINES = {"lane_divider": (150, 150, 150), "road_divider": (190, 160, 70)}
# First nuScenes-lidarseg index of each group, and its colour (0: points without a return of an object).
_GROUPS = ((0, (255, 0, 255)), (1, (255, 90, 120)), (9, (255, 170, 60)), (14, (90, 190, 255)), (24, (120, 120, 128)))
_SCENERY = {26: (150, 140, 125), 27: (110, 150, 90), 28: (190, 190, 200), 29: (170, 130, 190), 30: (80, 190, 100)}


def draw_frames(logs: tuple[Log, ...], out: Path, *, seed: int = 0, columns: int = 4, rows: int = 6) -> None:
    """Random keyframes of random cameras of the Logs, in a grid; ValueError names a Log without cameras."""
    rng = np.random.default_rng(seed)
    tiles = []
    for k in rng.permutation(np.arange(columns * rows) % len(logs)):
        log = logs[int(k)]
        if not log.cameras():
            raise ValueError(f"expected logs with cameras, found none in {log.name}")
        series = log.series[str(rng.choice(log.cameras()))]
        tiles.append(log.store.read_image(series, int(rng.integers(len(series))), size=(448, 256)))
    grid = np.stack(tiles).reshape(rows, columns, *tiles[0].shape)
    Image.fromarray(np.concatenate([np.concatenate(list(row), 1) for row in grid])).save(out, quality=88)


def draw_sweep(log: Log, out: Path) -> None:
    """The middle keyframe's LiDAR sweep by class over map and boxes, north up, 80 m wide."""
    lidar = next((s for s in log.series.values() if s.modality == "lidar"), None)
    if lidar is None or not log.has_poses:
        raise ValueError(f"expected a log with LiDAR and poses, found none in {log.name}")
    i = len(lidar) // 2
    world_from_ego = log.poses_at(lidar.times_us[i : i + 1])[0][0]
    picture = _map_picture(log, world_from_ego)
    points = log.store.read_points(lidar, i)
    cells, inside = _GRID.cells(transform(lidar.sensor(i).ego_from_sensor, points.xyz_m)[:, :2])
    labels = points.labels if points.labels is not None else np.full(len(points.xyz_m), 28)
    picture[cells[inside, 0], cells[inside, 1]] = _colours(labels)[inside]
    image = Image.fromarray(picture[::-1])
    _draw_boxes(log, image, world_from_ego, int(lidar.times_us[i]))
    image.save(out, optimize=True)


def _map_picture(log: Log, world_from_ego: ndarray) -> ndarray:
    picture = np.full((*_GRID.shape, 3), (34, 40, 36), np.uint8)
    hdmap = log.store.read_map()
    if hdmap is not None:
        for layer, raster in zip(_AREAS, rasterise(hdmap, _GRID, world_from_ego, tuple(_AREAS)), strict=True):
            picture[raster] = _AREAS[layer]
        lines = rasterise(hdmap, _GRID, world_from_ego, tuple(_LINES), line_width_m=0.2)
        for layer, raster in zip(_LINES, lines, strict=True):
            picture[raster] = _LINES[layer]
    return picture


def _colours(labels: ndarray) -> ndarray:
    table = np.zeros((256, 3), np.uint8)
    for first, colour in _GROUPS:
        table[first:] = colour
    for label, colour in _SCENERY.items():
        table[label] = colour
    return table[labels]


def _draw_boxes(log: Log, image: Image.Image, world_from_ego: ndarray, time_us: int) -> None:
    draw = ImageDraw.Draw(image)
    agents = states_at(log.store.read_tracks(), np.array([time_us]))
    ego_from_world = invert(world_from_ego)
    for a in np.flatnonzero(agents.present[:, 0]):
        center = np.array([agents.x_m[a, 0], agents.y_m[a, 0]])
        corners = footprint(center, agents.yaw_rad[a, 0], np.array([agents.length_m[a, 0], agents.width_m[a, 0]]))
        flat = np.concatenate([corners, np.full((4, 1), world_from_ego[2, 3])], 1)
        xy = transform(ego_from_world, flat)[:, :2]
        pixels = (xy - (_GRID.x_min_m, _GRID.y_min_m)) / _GRID.cell_m
        draw.polygon([(x, _GRID.shape[0] - y) for x, y in pixels], outline=(255, 235, 120))


def _with_lidar(logs: tuple[Log, ...]) -> Log:
    found = [log for log in logs if any(series.modality == "lidar" for series in log.series.values())]
    if not found:
        raise ValueError("expected a log with LiDAR among the roots, found none")
    return found[0]


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("roots", nargs="+", type=Path)
    parser.add_argument("--index", type=Path, required=True)
    parser.add_argument("--out", type=Path, default=Path("out/pictures"))
    asked = parser.parse_args()
    asked.out.mkdir(parents=True, exist_ok=True)
    logs = tuple(log for root in asked.roots for log in open_logs(root).logs)
    draw_frames(logs, asked.out / "frames.jpg")
    draw_sweep(_with_lidar(logs), asked.out / "lidar.png")
    index = open_index(asked.index)
    draw_clip(index, hardest(index, where="risk_tracks > 0.3", top=1)[0].best_clip_id, asked.out / "clip.png")


if __name__ == "__main__":
    main()
