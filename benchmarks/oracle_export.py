"""A nuScenes export of intervals, and where its boxes must be, for the official devkit (``oracle_export_devkit.py``).

Usage: python benchmarks/oracle_export.py OUT ROOT... Indexes the recordings under each root with a small random
model, exports two intervals of each log to OUT/export, and writes to OUT/expected.json the boxes of each interval's
middle keyframe in the frame of each sensor, from the recordings themselves.
"""

import argparse
import json
import tempfile
from pathlib import Path

import numpy as np

from sceneminer.data.log import Log
from sceneminer.data.track import Track
from sceneminer.export.nuscenes import export_nuscenes
from sceneminer.export.nuscenes_scene import scene_name
from sceneminer.export.reopen import open_indexed_log
from sceneminer.geometry.pose import invert
from sceneminer.index.hardness import index_version
from sceneminer.index.search import Index, open_index
from sceneminer.index.selection import Selected, Selection
from sceneminer.mine.run import mine
from sceneminer.model.example import make_clip_folder

INTERVAL_US = 4_000_000


def main() -> None:
    parser = argparse.ArgumentParser(description="export intervals for the devkit oracle")
    parser.add_argument("out", type=Path)
    parser.add_argument("roots", type=Path, nargs="+")
    args = parser.parse_args()
    args.out.mkdir(parents=True)
    with tempfile.TemporaryDirectory() as work:
        tower = make_clip_folder(Path(work) / "clip")
        for root in args.roots:
            mine(root, args.out / "index", model=tower)
    index = open_index(args.out / "index")
    items = choose(index)
    selection = Selection(items, index_version(index.store), (), {}, {})
    report = export_nuscenes(index, selection, args.out / "export")
    for what, why in report.left_out:
        print(f"left out: {what}: {why}")
    expected = {}
    for item in items:
        log = open_indexed_log(index, item.log_id)
        expected[scene_name(log, item)] = boxes_by_sensor(log, item)
    (args.out / "expected.json").write_text(json.dumps({"scenes": report.items, "boxes": expected}))
    print(f"exported {report.items} intervals of {len(index.store.read('logs'))} logs in {report.files} files")


def choose(index: Index) -> tuple[Selected, ...]:
    """The first and the last seconds of each log."""
    rows = index.store.read("clips", columns=["clip_id", "log_id", "log_name", "start_us", "end_us"]).to_pylist()
    items = []
    for log_id in sorted({row["log_id"] for row in rows}):
        own = sorted((row for row in rows if row["log_id"] == log_id), key=lambda row: row["start_us"])
        start_us, end_us, name = own[0]["start_us"], own[-1]["end_us"], own[0]["log_name"]
        spans = [(own[0], start_us, min(start_us + INTERVAL_US, end_us))]
        # The devkit cannot list two scenes that start at the same time.
        spans += [(own[-1], end_us - INTERVAL_US, end_us)] if end_us - start_us > 2 * INTERVAL_US else []
        items += [Selected(clip["clip_id"], log_id, name, a, b, 0.5) for clip, a, b in spans]
    return tuple(items)


def boxes_by_sensor(log: Log, item: Selected) -> dict[str, list[list[float]]]:
    """Centre and size (length, width, height) of each box, in the frame of each sensor at its own time."""
    times = log.reference_times_us
    times = times[(times >= item.start_us) & (times <= item.end_us)]
    if len(times) == 0 or not log.has_tracks:
        return {}
    middle = int(times[len(times) // 2])
    boxes = [box for track in log.store.read_tracks() for box in box_at(track, middle)]
    found = {}
    for name, series in log.series.items():
        near = np.abs(series.times_us - middle)
        i = int(np.argmin(np.where(series.keyframe, near, 2**62)))
        world_from_ego = log.poses_at(series.times_us[i : i + 1])[0][0]
        sensor_from_world = invert(world_from_ego @ series.sensor(i).ego_from_sensor)
        found[name] = [[*(sensor_from_world @ pose)[:3, 3].tolist(), *size.tolist()] for pose, size in boxes]
    return found


def box_at(track: Track, time_us: int) -> list[tuple[np.ndarray, np.ndarray]]:
    return [(track.world_from_box[k], track.size_lwh_m[k]) for k in np.flatnonzero(track.times_us == time_us)]


if __name__ == "__main__":
    main()
