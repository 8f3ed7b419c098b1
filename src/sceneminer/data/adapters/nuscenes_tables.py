"""The nuScenes v1.0 tables, joined once: one sorted Arrow table each of scenes, measurements, poses and boxes.

Table layout: nuScenes schema, https://www.nuscenes.org/nuscenes#data-format. Everything is keyed by tokens there; here
rows of one scene lie together and in time order, so that opening a Log is slicing. What is unusable is dropped and
counted by scene, table and reason.
"""
# pyarrow.compute makes its functions on import:
# pyright: reportAttributeAccessIssue=false

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy import ndarray

from sceneminer.data.adapters.nuscenes_json import Column, read_table
from sceneminer.data.errors import IssueKind

_TEXT, _INT, _FLAG = pa.string(), pa.int64(), pa.bool_()
_VECTOR, _QUATERNION = pa.list_(pa.float64(), 3), pa.list_(pa.float64(), 4)
_TOKEN = {"token": Column(_TEXT, required=True)}
_POSE = {"translation": Column(_VECTOR), "rotation": Column(_QUATERNION)}


def _needs(kind: pa.DataType, *names: str) -> dict[str, Column]:
    return {name: Column(kind, required=True) for name in names}


def _may(kind: pa.DataType, *names: str) -> dict[str, Column]:
    return {name: Column(kind) for name in names}


REQUIRED_TABLES = ("scene", "sample", "sample_data", "sensor", "calibrated_sensor")
COLUMNS: dict[str, dict[str, Column]] = {
    "scene": _TOKEN | _may(_TEXT, "name", "description", "log_token"),
    "sample": _TOKEN | _needs(_TEXT, "scene_token") | _needs(_INT, "timestamp"),
    "sensor": _TOKEN | _needs(_TEXT, "channel", "modality"),
    "calibrated_sensor": _TOKEN
    | _needs(_TEXT, "sensor_token")
    | _POSE
    | _may(pa.list_(pa.list_(pa.float64())), "camera_intrinsic"),
    "sample_data": _TOKEN
    | _needs(_TEXT, "sample_token", "calibrated_sensor_token", "filename")
    | _needs(_INT, "timestamp")
    | _may(_TEXT, "ego_pose_token")
    | _may(_FLAG, "is_key_frame")
    | _may(_INT, "width", "height"),
    "ego_pose": _TOKEN | _may(_INT, "timestamp") | _POSE,
    "log": _TOKEN | _may(_TEXT, "location", "logfile", "licence"),
    "map": _TOKEN | _needs(_TEXT, "filename") | _may(pa.list_(_TEXT), "log_tokens"),
    "category": _TOKEN | _may(_TEXT, "name"),
    "attribute": _TOKEN | _may(_TEXT, "name"),
    "instance": _TOKEN | _may(_TEXT, "category_token"),
    "sample_annotation": _TOKEN
    | _needs(_TEXT, "sample_token", "instance_token")
    | _POSE
    | _may(_VECTOR, "size")
    | _may(pa.list_(_TEXT), "attribute_tokens")
    | _may(_INT, "num_lidar_pts"),
    "lidarseg": _TOKEN | _needs(_TEXT, "sample_data_token", "filename"),
}
_QUIET_WHEN_ABSENT = ("lidarseg",)
"""Tables of extensions that most data sets do not have."""

ISSUE_SCHEMA = pa.schema(
    [("scene", pa.int32()), ("kind", _TEXT), ("subject", _TEXT), ("reason", _TEXT), ("count", pa.int64())]
)


@dataclass
class Report:
    """Issues found while tables are read and joined; scene -1 stands for the whole table folder."""

    folder: str
    rows: list[tuple[int, str, str, str, int]] = field(default_factory=list)

    def add(self, kind: IssueKind, table: str, reason: str, *, count: int = 1, scene: int = -1) -> None:
        self.rows.append((scene, kind, f"{self.folder}/{table}.json", reason, count))

    def add_rows(self, kind: IssueKind, table: str, reason: str, scenes: ndarray) -> None:
        """One line for each scene among ``scenes``, which holds the scene of every row concerned."""
        for scene, count in zip(*np.unique(scenes, return_counts=True), strict=True):
            self.add(kind, table, reason, count=int(count), scene=int(scene))

    def to_arrow(self) -> pa.Table:
        columns = list(zip(*self.rows, strict=True)) if self.rows else [[]] * len(ISSUE_SCHEMA)
        return pa.table([pa.array(c, f.type) for c, f in zip(columns, ISSUE_SCHEMA, strict=True)], schema=ISSUE_SCHEMA)


def read_tables(folder: Path, report: Report) -> dict[str, pa.Table]:
    """Every table of a folder, empty where it is absent; rows with a repeated token are dropped after the first."""
    tables = {}
    for name, columns in COLUMNS.items():
        path = folder / f"{name}.json"
        if not path.is_file():
            tables[name] = pa.schema([(key, column.type) for key, column in columns.items()]).empty_table()
            if name not in _QUIET_WHEN_ABSENT:
                report.add("missing_table", name, "expected this table, found none")
            continue
        table, defects = read_table(path, columns)
        for reason, count in defects.rows.items():
            report.add("bad_row", name, f"rows dropped: {reason}", count=count)
        for reason, count in defects.values.items():
            report.add("bad_row", name, f"values left out: {reason}", count=count)
        if defects.table:
            report.add("bad_table", name, f"read {table.num_rows} rows, then {defects.table}")
        elif table.num_rows == 0 and not defects.rows:
            report.add("bad_table", name, "expected rows, found an empty list")
        tables[name] = _first_of_each_token(table, name, report)
    return tables


def _first_of_each_token(table: pa.Table, name: str, report: Report) -> pa.Table:
    first = pc.index_in(table["token"], value_set=table["token"].combine_chunks().unique())
    _, keep = np.unique(first.to_numpy(), return_index=True)
    if len(keep) == table.num_rows:
        return table
    report.add("bad_row", name, "rows dropped: their token was used before", count=table.num_rows - len(keep))
    return table.take(pa.array(np.sort(keep)))


def rows_of(tokens: pa.ChunkedArray, among: pa.ChunkedArray) -> ndarray:
    """For each token, its row in ``among``; -1 where there is none."""
    found = pc.index_in(tokens, value_set=among.combine_chunks(), skip_nulls=True)
    return pc.fill_null(found, -1).to_numpy().astype(np.int64)


def floats(column: pa.ChunkedArray, width: int) -> ndarray:
    """A fixed-size list column as [rows, width]; NaN where null."""
    array = column.combine_chunks()
    values = np.full((len(array), width), np.nan)
    valid = array.is_valid().to_numpy(zero_copy_only=False)
    values[valid] = array.drop_null().flatten().to_numpy(zero_copy_only=False).reshape(-1, width)
    return values


def integers(column: pa.ChunkedArray, *, null: int) -> ndarray:
    return pc.fill_null(column, null).to_numpy().astype(np.int64)


def is_rigid(translation: ndarray, quat: ndarray) -> ndarray:
    """Rows whose translation is finite and on this planet, and whose quaternion is of unit length within 1 %."""
    with np.errstate(invalid="ignore", over="ignore"):
        near = np.all(np.abs(translation) < 1e8, axis=-1)
        return near & (np.abs(np.linalg.norm(quat, axis=-1) - 1.0) < 0.01)


def sorted_rows(columns: dict, keep: ndarray, by: tuple[str, ...]) -> pa.Table:
    """A table of the kept rows, sorted stably by keys, the last being the primary one."""
    table = pa.table(columns).filter(pa.array(keep))
    order = np.lexsort([table[name].to_numpy() for name in by])
    return table.take(pa.array(order))


def lists(values: ndarray) -> pa.Array:
    return pa.FixedSizeListArray.from_arrays(pa.array(np.ascontiguousarray(values).reshape(-1)), values.shape[1])


def drop_rows(keep: ndarray, bad: ndarray, scene: ndarray, why: tuple) -> ndarray:
    report, kind, table, reason = why
    report.add_rows(kind, table, f"rows dropped: {reason}", scene[keep & bad])
    return keep & ~bad
