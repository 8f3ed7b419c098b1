"""Annotated boxes of nuScenes tables, with their category and attribute names, by scene, agent and time."""
# pyarrow.compute makes its functions on import:
# pyright: reportAttributeAccessIssue=false

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy import ndarray

from sceneminer.data.adapters.nuscenes_tables import Report, drop_rows, floats, is_rigid, lists, rows_of, sorted_rows
from sceneminer.geometry.pose import pose_from_quat


def join_boxes(raw: dict[str, pa.Table], sample_scene: ndarray, sample_time: ndarray, report: Report) -> pa.Table:
    """sample_annotation by scene, instance and time; size is length, width, height."""
    rows, table = raw["sample_annotation"], "sample_annotation"
    sample = rows_of(rows["sample_token"], raw["sample"]["token"])
    scene = np.where(sample < 0, -1, sample_scene[sample] if len(sample_scene) else -1)
    if np.any(scene < 0):
        reason = "rows dropped: expected a sample_token of a usable sample"
        report.add("bad_row", table, reason, count=int(np.sum(scene < 0)))
    translation, quat, size = floats(rows["translation"], 3), floats(rows["rotation"], 4), floats(rows["size"], 3)
    keep = scene >= 0
    why = (report, "bad_row", table, "expected a finite translation and a unit quaternion")
    keep = drop_rows(keep, ~is_rigid(translation, quat), scene, why)
    with np.errstate(invalid="ignore"):
        sized = np.all((size > 0) & (size < 1000), axis=-1)
    keep = drop_rows(keep, ~sized, scene, (report, "bad_row", table, "expected a size in metres above 0"))
    names = rows["instance_token"].combine_chunks().dictionary_encode()
    pose = np.full((len(keep), 4, 4), np.nan)
    pose[keep] = pose_from_quat(translation[keep], quat[keep])
    columns = {
        "scene": scene.astype(np.int32),
        "agent": names.indices.to_numpy().astype(np.int64),
        "timestamp": sample_time[sample] if len(sample_time) else np.zeros(len(sample), np.int64),
        "instance": rows["instance_token"],
        "category": _categories(raw, report),
        "pose": lists(pose.reshape(-1, 16)),
        "size": lists(size[:, [1, 0, 2]]),
        "attributes": _attribute_names(raw),
        "lidar_points": pc.fill_null(rows["num_lidar_pts"], -1),
    }
    boxes = sorted_rows(columns, keep, ("timestamp", "agent", "scene"))
    keys = [boxes[name].to_numpy() for name in ("scene", "agent", "timestamp")]
    same = np.logical_and.reduce([key[1:] == key[:-1] for key in keys])
    report.add_rows("odd_time", table, "rows dropped: this instance has a box at this time already", keys[0][1:][same])
    return boxes.filter(pa.array(np.concatenate([[True], ~same])[: boxes.num_rows]))


def _categories(raw: dict[str, pa.Table], report: Report) -> pa.Array | pa.ChunkedArray:
    """nuScenes' category name of each annotation; null where instance or category is unknown."""
    instance = rows_of(raw["sample_annotation"]["instance_token"], raw["instance"]["token"])
    category = rows_of(raw["instance"]["category_token"], raw["category"]["token"])
    row = np.where(instance < 0, -1, category[instance] if len(category) else -1)
    if np.any(row < 0):
        report.add("bad_row", "instance", "expected a category for each annotation", count=int(np.sum(row < 0)))
    return pc.take(raw["category"]["name"], pa.array(np.maximum(row, 0), mask=row < 0))


def _attribute_names(raw: dict[str, pa.Table]) -> pa.ListArray:
    """The names of each annotation's attributes; null inside a list where one is unknown."""
    tokens = pc.fill_null(raw["sample_annotation"]["attribute_tokens"].combine_chunks(), [])
    row = rows_of(pa.chunked_array([tokens.flatten()]), raw["attribute"]["token"])
    names = pc.take(raw["attribute"]["name"], pa.array(np.maximum(row, 0), mask=row < 0))
    lengths = pc.list_value_length(tokens).to_numpy(zero_copy_only=False)
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int32)
    return pa.ListArray.from_arrays(pa.array(offsets), names.combine_chunks())
