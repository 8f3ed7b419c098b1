"""Optional files beside plain images: ``timestamps.csv``, ``poses.csv`` and ``rig.json`` (docs/reference/formats.md).

All are written by people, so all are read strictly: every refusal names the file, the row or key, what was expected
and what was found.
"""

import csv
import io
import json
import math
import re
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from jaxtyping import Float, Int
from numpy import ndarray

from sceneminer.data.errors import Issue, MediaError
from sceneminer.data.log import Rig, Sensor
from sceneminer.data.media import MAX_IMAGE_PIXELS, MediaRoot, media_error
from sceneminer.geometry.camera import Camera
from sceneminer.geometry.pose import pose_from_quat

MAX_RIG_BYTES = 2**20
MAX_CSV_BYTES = 256 * 2**20
MAX_TIME_US = 2**62
_UNITS: Mapping[str, Callable[[str], int]] = {
    "time_us": lambda text: _whole(text),
    "time_ns": lambda text: _whole(text) // 1000,
    "time_s": lambda text: round(_finite(text) * 1e6),
}
_POSE = ("x", "y", "z", "qw", "qx", "qy", "qz")
_INTRINSICS = ("width", "height", "fx", "fy", "cx", "cy")
_SENSOR_KEYS = {*_INTRINSICS, "model", "distortion", "ego_from_sensor"}


def _whole(text: str) -> int:
    if not re.fullmatch(r"\s*[0-9]{1,19}\s*", text, re.ASCII):
        raise ValueError("a whole number of at most 19 digits")
    return int(text)


def _finite(text: str) -> float:
    try:
        value = float(text) if re.fullmatch(r"[\s0-9.eE+-]{1,40}", text, re.ASCII) else math.nan
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise ValueError("a finite number")
    return value


def _shown(value: object, most: int = 40) -> str:
    text = repr(value)
    return text if len(text) <= most else text[:most] + "…"


def _bad(name: str, where: str, expected: str, found: object) -> MediaError:
    return media_error("bad_table", name, f"{where}: expected {expected}, found {_shown(found)}")


def _rows(root: MediaRoot, name: str) -> tuple[list[str], list[list[str]]]:
    """Header and rows of a CSV file, every row as wide as the header."""
    data = root.read_bytes(name, limit=MAX_CSV_BYTES)
    try:
        rows = [row for row in csv.reader(io.StringIO(data.decode("utf-8-sig")), strict=True) if row]
    except (UnicodeDecodeError, csv.Error) as error:
        raise media_error("bad_table", name, f"expected comma-separated UTF-8 text, found {error}") from error
    if not rows:
        raise media_error("bad_table", name, "expected a header line, found an empty file")
    header = [column.strip() for column in rows[0]]
    for number, row in enumerate(rows[1:], start=1):
        if len(row) != len(header):
            raise _bad(name, f"row {number}", f"{len(header)} values", len(row))
    return header, rows[1:]


def _column(name: str, rows: list[list[str]], at: int, column: str, read: Callable[[str], Any]) -> list:
    values = []
    for number, row in enumerate(rows, start=1):
        try:
            values.append(read(row[at]))
        except ValueError as error:
            raise _bad(name, f"row {number}, column {column}", str(error), row[at]) from error
    return values


def read_timestamps(root: MediaRoot, name: str) -> dict[str, int]:
    """Time in µs by file, as the file is written there; ``name`` is relative to the root.

    Columns ``file`` and one of ``time_us``, ``time_ns``, ``time_s``. MediaError for anything else, for a file that
    comes twice and for a time that is no finite number of at least 0.
    """
    header, rows = _rows(root, name)
    unit = next((column for column in header if column in _UNITS), None)
    if unit is None or sorted(header) != sorted(["file", unit]):
        raise _bad(name, "header", "the columns file and one of time_us, time_ns, time_s", ",".join(header))
    files = _column(name, rows, header.index("file"), "file", str.strip)
    times = _column(name, rows, header.index(unit), unit, _UNITS[unit])
    result: dict[str, int] = {}
    for number, (file, time_us) in enumerate(zip(files, times, strict=True), start=1):
        if not 0 <= time_us < MAX_TIME_US:
            raise _bad(name, f"row {number}, column {unit}", "a time of at least 0", time_us)
        if file in result:
            raise _bad(name, f"row {number}, column file", "each file once", file)
        result[file] = time_us
    return result


def read_pose_table(root: MediaRoot, name: str) -> tuple[Int[ndarray, "p"], Float[ndarray, "p 4 4"]]:
    """Ego poses: times in µs and ``world_from_ego``; columns time_us, x, y, z (metres), qw, qx, qy, qz."""
    header, rows = _rows(root, name)
    if sorted(header) != sorted(["time_us", *_POSE]):
        raise _bad(name, "header", "the columns time_us," + ",".join(_POSE), ",".join(header))
    times = np.array(_column(name, rows, header.index("time_us"), "time_us", _whole), np.uint64)
    steps = np.flatnonzero(times[1:] <= times[:-1])
    if len(steps):
        raise _bad(name, f"row {steps[0] + 2}, column time_us", "ascending times", int(times[steps[0] + 1]))
    if len(times) == 0 or times[-1] >= MAX_TIME_US:
        raise _bad(name, "column time_us", "at least one time, none above 2^62", len(times))
    values = np.stack([_column(name, rows, header.index(c), c, _finite) for c in _POSE], -1).astype(np.float64)
    large = np.argwhere(np.abs(values) > 1e8)
    if len(large):
        row, column = large[0]
        raise _bad(name, f"row {row + 1}, column {_POSE[column]}", "at most 1e8", float(values[row, column]))
    flat = np.flatnonzero(np.abs(np.linalg.norm(values[:, 3:], axis=-1) - 1) > 0.01)
    if len(flat):
        raise _bad(name, f"row {flat[0] + 1}, columns qw to qz", "a unit quaternion", values[flat[0], 3:].tolist())
    return times.astype(np.int64), pose_from_quat(values[:, :3], values[:, 3:])


def read_rig_file(root: MediaRoot, name: str, cameras: tuple[str, ...]) -> tuple[Rig, tuple[Issue, ...]]:
    """The rig in ``rig.json``; cameras of the log that it lacks are in it uncalibrated, and named as Issues."""
    try:
        data = json.loads(
            root.read_bytes(name, limit=MAX_RIG_BYTES), object_pairs_hook=_unique, parse_constant=_no_constant
        )
    except (ValueError, RecursionError) as error:
        if isinstance(error, MediaError):
            raise
        found = str(error) if isinstance(error, _RigValueError) else type(error).__name__
        raise media_error("bad_table", name, f"expected JSON, found {found}") from error
    if not isinstance(data, dict) or set(data) != {"sensors"} or not isinstance(data["sensors"], dict):
        raise _bad(name, "top level", 'one key "sensors" with an object by sensor name', data)
    sensors = {key: _sensor(name, key, value) for key, value in data["sensors"].items()}
    issues = []
    for camera in (camera for camera in cameras if camera not in sensors):
        issues.append(Issue("no_calibration", name, f"expected a sensor {camera}, found none; it is not calibrated"))
        sensors[camera] = Sensor(camera, "camera", np.eye(4))
    calibrated = any(camera in data["sensors"] for camera in cameras)
    return Rig(sensors, "calibrated" if calibrated else "none"), tuple(issues)


class _RigValueError(ValueError):
    """What our own JSON hooks object to, in words."""


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) != len(pairs):
        raise _RigValueError("a key that comes twice")
    return result


def _no_constant(text: str) -> float:
    raise _RigValueError(text)


def _sensor(name: str, key: str, value: Any) -> Sensor:
    where = f"sensors.{key}"
    if not isinstance(value, dict):
        raise _bad(name, where, "an object", value)
    unknown = sorted(set(value) - _SENSOR_KEYS)
    if unknown:
        raise _bad(name, where, f"keys among {', '.join(sorted(_SENSOR_KEYS))}", unknown[0])
    missing = [k for k in (*_INTRINSICS, "ego_from_sensor") if k not in value]
    if missing:
        raise media_error("bad_table", name, f"{where}: expected the key {missing[0]}, found none")
    for k in ("width", "height"):
        if not isinstance(value[k], int) or isinstance(value[k], bool) or not 1 <= value[k] <= 65536:
            raise _bad(name, f"{where}.{k}", "a whole number of pixels from 1 to 65536", value[k])
    if value["width"] * value["height"] > MAX_IMAGE_PIXELS:
        raise _bad(name, where, f"at most {MAX_IMAGE_PIXELS} pixels", value["width"] * value["height"])
    fx, fy, cx, cy = (_number(name, f"{where}.{k}", value[k]) for k in ("fx", "fy", "cx", "cy"))
    distortion = _numbers(name, f"{where}.distortion", value.get("distortion", []), None)
    model = value.get("model", "pinhole")
    if model not in ("pinhole", "fisheye"):
        raise _bad(name, f"{where}.model", "pinhole or fisheye", model)
    try:
        camera = Camera(value["width"], value["height"], fx, fy, cx, cy, model, tuple(distortion))
    except ValueError as error:
        raise media_error("bad_table", name, f"{where}: {error}") from error
    return Sensor(key, "camera", _pose(name, f"{where}.ego_from_sensor", value["ego_from_sensor"]), camera)


def _number(name: str, where: str, value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not abs(value) < 1e8:
        raise _bad(name, where, "a finite number", value)
    return float(value)


def _numbers(name: str, where: str, value: Any, length: int | None) -> list[float]:
    if not isinstance(value, list) or len(value) != (len(value) if length is None else length) or len(value) > 8:
        raise _bad(name, where, f"a list of {'up to 8' if length is None else length} numbers", value)
    return [_number(name, f"{where}[{i}]", v) for i, v in enumerate(value)]


def _pose(name: str, where: str, value: Any) -> Float[ndarray, "4 4"]:
    if isinstance(value, dict):
        if set(value) != {"translation", "quaternion_wxyz"}:
            raise _bad(name, where, "the keys translation and quaternion_wxyz", ", ".join(sorted(value)))
        shift = _numbers(name, f"{where}.translation", value["translation"], 3)
        quat = np.array(_numbers(name, f"{where}.quaternion_wxyz", value["quaternion_wxyz"], 4))
        if abs(np.linalg.norm(quat) - 1) > 0.01:
            raise _bad(name, f"{where}.quaternion_wxyz", "a unit quaternion", quat.tolist())
        return pose_from_quat(np.array(shift), quat)
    if not isinstance(value, list) or len(value) != 4:
        raise _bad(name, where, "4 rows of 4 numbers, or translation and quaternion_wxyz", value)
    pose = np.array([_numbers(name, f"{where}[{i}]", row, 4) for i, row in enumerate(value)])
    rotation = pose[:3, :3]
    rigid = np.allclose(rotation @ rotation.T, np.eye(3), atol=1e-3) and np.linalg.det(rotation) > 0
    if not rigid or not np.allclose(pose[3], [0, 0, 0, 1], atol=1e-9):
        raise _bad(name, where, "a rotation and a shift above the row 0 0 0 1", np.round(pose, 3).tolist())
    return pose
