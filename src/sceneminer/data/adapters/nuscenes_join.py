"""Joining nuScenes tables by token into tables sorted by scene and time (see ``nuscenes_tables``)."""
# pyarrow.compute makes its functions on import:
# pyright: reportAttributeAccessIssue=false

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy import ndarray

from sceneminer.data.adapters.nuscenes_boxes import join_boxes
from sceneminer.data.adapters.nuscenes_media import folders_of
from sceneminer.data.adapters.nuscenes_tables import (
    Report,
    drop_rows,
    floats,
    integers,
    is_rigid,
    lists,
    read_tables,
    rows_of,
    sorted_rows,
)
from sceneminer.geometry.pose import pose_from_quat

EARLIEST_US, LATEST_US = 1, 4_102_444_800_000_000
"""Times outside (0, year 2100) are no times."""
LONGEST_DRIVE_US = 12 * 3600 * 1_000_000
MAX_POSES, POSE_STEP_US = 1500, 20_000
"""A scene with more ego poses than this keeps one every 20 ms: in between, at 10 m/s², a line is off by 2 mm."""
ESCAPING_NAMED = 20
_ESCAPES = r"^/|^\\|^[A-Za-z]:|(^|[/\\])\.\.([/\\]|$)|\x00|^$"


def join_tables(folder: Path) -> dict[str, pa.Table]:
    """The tables of one v1.0 folder as ``scenes``, ``samples``, ``calibrations``, ``measurements``, ``poses``,
    ``boxes`` and ``issues``; rows of a scene lie together, in time order."""
    report = Report(folder.name)
    raw = read_tables(folder, report)
    calibrations = _calibrations(raw, report)
    sample_scene, sample_time = _sample_scenes(raw, report)
    measured = _measurements(raw, calibrations, sample_scene, sample_time, report)
    poses = _poses(raw, measured, report)
    boxes = join_boxes(raw, sample_scene, sample_time, report)
    samples = sorted_rows({"scene": sample_scene, "timestamp": sample_time}, sample_scene >= 0, ("timestamp", "scene"))
    measured = measured.drop_columns(["pose"]).append_column("folder", folders_of(measured["filename"]))
    tables = {"samples": samples, "measurements": measured, "poses": poses, "boxes": boxes}
    return tables | {
        "scenes": _scenes(raw, tables, report),
        "calibrations": calibrations,
        "issues": report.to_arrow(),
    }


def _calibrations(raw: dict[str, pa.Table], report: Report) -> pa.Table:
    """One row a calibrated_sensor: channel, modality, pose (NaN where unusable), fx fy cx cy (NaN where unusable)."""
    rows, sensors = raw["calibrated_sensor"], raw["sensor"]
    sensor = rows_of(rows["sensor_token"], sensors["token"])
    if np.any(sensor < 0):
        report.add("bad_row", "calibrated_sensor", "expected a known sensor_token", count=int(np.sum(sensor < 0)))
    channels = sensors["channel"].to_pylist()
    first = {name: channels.index(name) for name in set(channels)}
    pick = pa.array(np.where(sensor < 0, 0, sensor), mask=sensor < 0)
    translation, quat = floats(rows["translation"], 3), floats(rows["rotation"], 4)
    good = is_rigid(translation, quat)
    if not np.all(good):
        report.add("no_calibration", "calibrated_sensor", "expected a finite rigid pose", count=int(np.sum(~good)))
    poses = np.full((len(good), 4, 4), np.nan)
    poses[good] = pose_from_quat(translation[good], quat[good])
    modality = pc.take(sensors["modality"], pick)
    camera = pc.fill_null(pc.equal(modality, "camera"), False).to_numpy()
    matrices = rows["camera_intrinsic"].to_pylist()
    lens = np.array([_lens(m) if is_camera else [np.nan] * 4 for m, is_camera in zip(matrices, camera, strict=True)])
    blind = camera & ~np.isfinite(lens.reshape(-1, 4)).all(-1)
    if np.any(blind):
        reason = "expected a 3×3 camera_intrinsic with positive focal lengths"
        report.add("no_calibration", "calibrated_sensor", reason, count=int(np.sum(blind)))
    return pa.table(
        {
            "rank": pa.array([-1 if s < 0 else first[channels[s]] for s in sensor], pa.int16()),
            "channel": pc.take(sensors["channel"], pick),
            "modality": modality,
            "pose": lists(poses.reshape(-1, 16)),
            "lens": lists(lens.reshape(-1, 4)),
        }
    )


def _lens(matrix: list | None) -> list[float]:
    """fx, fy, cx, cy of a 3×3 matrix; NaN where it is none."""
    if matrix is None or len(matrix) != 3 or any(row is None or len(row) != 3 for row in matrix):
        return [np.nan] * 4
    values = [matrix[0][0], matrix[1][1], matrix[0][2], matrix[1][2]]
    if any(v is None or not np.isfinite(v) for v in values) or values[0] <= 0 or values[1] <= 0:
        return [np.nan] * 4
    return values


def _sample_scenes(raw: dict[str, pa.Table], report: Report) -> tuple[ndarray, ndarray]:
    """The scene row (-1: unknown) and the time of each sample; an odd time makes a sample unknown."""
    scene = rows_of(raw["sample"]["scene_token"], raw["scene"]["token"])
    if np.any(scene < 0):
        report.add("bad_row", "sample", "rows dropped: expected a known scene_token", count=int(np.sum(scene < 0)))
    time = integers(raw["sample"]["timestamp"], null=0)
    odd = _is_odd(time, scene, _medians(time, scene, raw["scene"].num_rows))
    report.add_rows("odd_time", "sample", "rows dropped: expected a time in µs near the scene's others", scene[odd])
    return np.where(odd, -1, scene), time


def _medians(time: ndarray, scene: ndarray, scenes: int) -> ndarray:
    """The middle time of each scene; 0 where it has none."""
    keep = (scene >= 0) & (time >= EARLIEST_US) & (time < LATEST_US)
    order = np.lexsort([time[keep], scene[keep]])
    start = np.searchsorted(scene[keep][order], np.arange(scenes + 1))
    middle = np.zeros(scenes, np.int64)
    some = np.diff(start) > 0
    middle[some] = time[keep][order][((start[:-1] + start[1:]) // 2)[some]]
    return middle


def _is_odd(time: ndarray, scene: ndarray, median: ndarray) -> ndarray:
    """Rows of a known scene whose time is none, or hours away from the scene's."""
    known = scene >= 0
    odd = (time < EARLIEST_US) | (time >= LATEST_US)
    far = np.zeros(len(time), bool)
    if len(median):
        far = np.abs(np.where(odd, 0, time) - median[np.maximum(scene, 0)]) > LONGEST_DRIVE_US
    return known & (odd | far)


def _measurements(
    raw: dict[str, pa.Table], calibrations: pa.Table, sample_scene: ndarray, sample_time: ndarray, report: Report
) -> pa.Table:
    """sample_data by scene, channel and time, with the ego_pose row of each."""
    rows, table = raw["sample_data"], "sample_data"
    sample = rows_of(rows["sample_token"], raw["sample"]["token"])
    scene = np.where(sample < 0, -1, sample_scene[sample] if len(sample_scene) else -1)
    calibration = rows_of(rows["calibrated_sensor_token"], raw["calibrated_sensor"]["token"])
    rank = calibrations["rank"].to_numpy()[calibration] if calibrations.num_rows else np.full(len(sample), -1)
    rank = np.where(calibration < 0, -1, rank)
    time = integers(rows["timestamp"], null=0)
    if np.any(scene < 0):
        reason = "rows dropped: expected a sample_token of a usable sample"
        report.add("bad_row", table, reason, count=int(np.sum(scene < 0)))
    keep = scene >= 0
    keep = drop_rows(keep, rank < 0, scene, (report, "bad_row", table, "expected a known calibrated_sensor_token"))
    odd = _is_odd(time, scene, _medians(sample_time, sample_scene, raw["scene"].num_rows))
    keep = drop_rows(keep, odd, scene, (report, "odd_time", table, "expected a time in µs near the scene's samples"))
    escapes = pc.match_substring_regex(rows["filename"], _ESCAPES).to_numpy()
    _report_escaping(rows["filename"], keep & escapes, scene, report)
    keep &= ~escapes
    in_samples = pc.starts_with(rows["filename"], "samples/")
    columns = {
        "scene": scene.astype(np.int32),
        "rank": rank.astype(np.int16),
        "timestamp": time,
        "calibration": calibration.astype(np.int32),
        "key": pc.coalesce(rows["is_key_frame"], in_samples),
        "width": pc.fill_null(rows["width"], 0),
        "height": pc.fill_null(rows["height"], 0),
        "filename": rows["filename"],
        "lidarseg": _lidarseg(raw),
        "pose": rows_of(rows["ego_pose_token"], raw["ego_pose"]["token"]),
    }
    return _without_repeats(sorted_rows(columns, keep, ("timestamp", "rank", "scene")), report)


def _report_escaping(names: pa.ChunkedArray, escapes: ndarray, scene: ndarray, report: Report) -> None:
    """The first few of a scene by name, the rest by number."""
    for of in np.unique(scene[escapes]):
        rows = np.flatnonzero(escapes & (scene == of))
        named, rest = rows[:ESCAPING_NAMED], rows[ESCAPING_NAMED:]
        for part in (*([row] for row in named), *([rest] if len(rest) else ())):
            found = repr(names[int(part[0])].as_py()) + (f" and {len(part) - 1} more" if len(part) > 1 else "")
            reason = f"row dropped: expected a file name inside the media root, found {found}"
            report.add("escaping_path", "sample_data", reason, count=len(part), scene=int(of))


def _lidarseg(raw: dict[str, pa.Table]) -> pa.Array | pa.ChunkedArray:
    """The label file of each sample_data row; null where there is none."""
    labels = raw["lidarseg"]
    if labels.num_rows == 0:
        return pa.nulls(raw["sample_data"].num_rows, pa.string())
    row = rows_of(raw["sample_data"]["token"], labels["sample_data_token"])
    return pc.take(labels["filename"], pa.array(np.maximum(row, 0), mask=row < 0))


def _without_repeats(table: pa.Table, report: Report) -> pa.Table:
    keys = [table[name].to_numpy() for name in ("scene", "rank", "timestamp")]
    same = np.logical_and.reduce([key[1:] == key[:-1] for key in keys])
    if not np.any(same):
        return table
    report.add_rows("odd_time", "sample_data", "rows dropped: this sensor has this time already", keys[0][1:][same])
    return table.filter(pa.array(np.concatenate([[True], ~same])))


def _poses(raw: dict[str, pa.Table], measured: pa.Table, report: Report) -> pa.Table:
    """Ego poses by scene and time, as row-major 4×4 matrices."""
    scene, row = measured["scene"].to_numpy(), measured["pose"].to_numpy()
    if raw["ego_pose"].num_rows:
        reason = "expected an ego_pose for each measurement"
        report.add_rows("no_pose", "sample_data", reason, scene[row < 0])
    translation, quat = floats(raw["ego_pose"]["translation"], 3), floats(raw["ego_pose"]["rotation"], 4)
    good = is_rigid(translation, quat)
    if not np.all(good):
        reason = "rows dropped: expected a finite translation and a unit quaternion"
        report.add("bad_row", "ego_pose", reason, count=int(np.sum(~good)))
    own = measured["timestamp"].to_numpy()
    time = integers(raw["ego_pose"]["timestamp"], null=0)
    use = (row >= 0) & (good[row] if len(good) else False)
    scene, row, own = scene[use], row[use], own[use]
    off = np.abs(time[row] - own) > 1_000_000
    report.add_rows("odd_time", "ego_pose", "times replaced by their measurement's, over 1 s away", scene[off])
    time = np.where(off, own, time[row])
    order = np.lexsort([row, time, scene])
    scene, row, time = scene[order], row[order], time[order]
    same = np.concatenate([[False], (scene[1:] == scene[:-1]) & (time[1:] == time[:-1])])[: len(scene)]
    differs = same & np.concatenate([[False], row[1:] != row[:-1]])[: len(scene)]
    if np.any(differs):
        jump = np.linalg.norm(translation[row[differs]] - translation[row[np.flatnonzero(differs) - 1]], axis=-1)
        report.add_rows("odd_time", "ego_pose", "two poses at one time, over 5 cm apart", scene[differs][jump > 0.05])
    scene, row, time = scene[~same], row[~same], time[~same]
    thin = _thinned(scene, time)
    scene, row, time = scene[thin], row[thin], time[thin]
    pose = pose_from_quat(translation[row], quat[row]) if len(row) else np.zeros((0, 4, 4))
    return pa.table({"scene": scene.astype(np.int32), "timestamp": time, "pose": lists(pose.reshape(-1, 16))})


def _thinned(scene: ndarray, time: ndarray) -> ndarray:
    """Which poses stay: all of a scene with few, the first of each step of one with many (and its last)."""
    many = np.bincount(scene, minlength=1)[scene] > MAX_POSES
    step = time // POSE_STEP_US
    again = np.concatenate([[False], (scene[1:] == scene[:-1]) & (step[1:] == step[:-1])])[: len(scene)]
    final = np.concatenate([scene[1:] != scene[:-1], [True]])[: len(scene)]
    return ~many | ~again | final


def _scenes(raw: dict[str, pa.Table], tables: dict[str, pa.Table], report: Report) -> pa.Table:
    """scene.json with its log's location and licence, its base map, and where its rows lie in the other tables."""
    scenes, logs = raw["scene"], raw["log"]
    log = rows_of(scenes["log_token"], logs["token"])
    if logs.num_rows and np.any(log < 0):
        report.add("bad_row", "scene", "expected a known log_token", count=int(np.sum(log < 0)))
    pick = pa.array(np.maximum(log, 0), mask=log < 0)
    basemap = {
        token: name
        for name, tokens in zip(raw["map"]["filename"].to_pylist(), raw["map"]["log_tokens"].to_pylist(), strict=True)
        for token in tokens or ()
    }
    columns = {
        "token": scenes["token"],
        "name": scenes["name"],
        "description": scenes["description"],
        "location": pc.take(logs["location"], pick),
        "licence": pc.take(logs["licence"], pick),
        "logfile": pc.take(logs["logfile"], pick),
        "basemap": pa.array([basemap.get(token) for token in scenes["log_token"].to_pylist()], pa.string()),
    }
    for name, table in tables.items():
        bounds = np.searchsorted(table["scene"].to_numpy(), np.arange(scenes.num_rows + 1))
        columns |= {f"{name}_start": bounds[:-1], f"{name}_stop": bounds[1:]}
    return pa.table(columns)
