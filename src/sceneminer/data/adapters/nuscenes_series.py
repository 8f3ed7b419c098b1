"""All scenes of a nuScenes table folder as arrays, and one scene's Series as slices of them."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy import ndarray

from sceneminer.data.adapters.nuscenes_media import find_missing, find_outside
from sceneminer.data.errors import Issue, IssueKind
from sceneminer.data.log import Modality, Sensor, Series
from sceneminer.data.media import MediaRoot, outside_issue
from sceneminer.geometry.camera import Camera


@dataclass(frozen=True)
class NuscenesVersion:
    """The joined tables of one v1.0 folder as arrays over all scenes: opening a scene is slicing them."""

    folder: Path
    tables: dict[str, pa.Table]
    rank: ndarray
    time_us: ndarray
    calibration: ndarray
    key: ndarray
    size_px: ndarray
    missing: ndarray
    """Whether each measurement's file is known to be absent."""
    outside: ndarray
    """Whether each measurement's folder is a link out of the media root."""
    pose_time_us: ndarray
    poses: ndarray
    sample_time_us: ndarray
    sensor_poses: ndarray
    lenses: ndarray
    channels: list[str]
    """Of each calibrated_sensor; empty where its sensor is unknown (no measurement has such a one)."""
    modalities: list[str]


def version_arrays(folder: Path, tables: dict[str, pa.Table], media: MediaRoot) -> NuscenesVersion:
    """Views of the memory-mapped tables; which files are absent is looked up here."""
    measured, poses, calibrations = tables["measurements"], tables["poses"], tables["calibrations"]
    folders = measured["folder"].combine_chunks()

    def numbers(table: pa.Table, name: str) -> ndarray:
        return table[name].to_numpy()

    def lists(table: pa.Table, name: str) -> ndarray:
        width = table.schema.field(name).type.list_size
        chunks = [chunk.flatten().to_numpy() for chunk in table[name].chunks]
        return (chunks[0] if len(chunks) == 1 else np.concatenate([np.zeros(0), *chunks])).reshape(-1, width)

    return NuscenesVersion(
        folder=folder,
        tables=tables,
        rank=numbers(measured, "rank"),
        time_us=numbers(measured, "timestamp"),
        calibration=numbers(measured, "calibration"),
        key=numbers(measured, "key"),
        size_px=np.stack([numbers(measured, "width"), numbers(measured, "height")], -1),
        missing=find_missing(measured["filename"], folders, media),
        outside=find_outside(folders, media),
        pose_time_us=numbers(poses, "timestamp"),
        poses=lists(poses, "pose").reshape(-1, 4, 4),
        sample_time_us=numbers(tables["samples"], "timestamp"),
        sensor_poses=lists(calibrations, "pose").reshape(-1, 4, 4),
        lenses=lists(calibrations, "lens"),
        channels=[name or "" for name in calibrations["channel"].to_pylist()],
        modalities=[name or "" for name in calibrations["modality"].to_pylist()],
    )


def iter_series(
    version: NuscenesVersion, start: int, stop: int, found: list[Issue], *, sweeps: bool
) -> Iterator[Series]:
    """One Series a channel, in the data set's order; what is wrong with one goes to ``found``."""
    rank = version.rank[start:stop]
    bounds = start + np.concatenate([[0], np.flatnonzero(np.diff(rank)) + 1, [stop - start]])
    for low, high in pairwise(bounds):
        first = int(version.calibration[low])
        channel, modality = version.channels[first], version.modalities[first]
        if modality not in ("camera", "lidar", "radar"):
            reason = f"expected modality camera, lidar or radar, found {modality!r}"
            found.append(_issue(version, "unsupported", "sensor", reason, int(high - low)))
            continue
        rows = np.arange(low, high)
        if not sweeps:
            rows = rows[version.key[low:high]]
        if modality != "camera":
            rows = _with_pose(version, rows, channel, found)
        if len(rows) == 0:
            continue
        absent = int(version.missing[rows].sum())
        if absent:
            reason = f"expected {len(rows)} files, found {len(rows) - absent}"
            found.append(Issue("missing_file", channel, reason, absent))
        outside = rows[version.outside[rows]]
        if len(outside):
            folder = version.tables["measurements"]["folder"][int(outside[0])].as_py().rstrip("/")
            found.append(outside_issue(channel, folder, len(outside)))
        yield _one_series(version, rows, channel, modality, found)


def _with_pose(version: NuscenesVersion, rows: ndarray, channel: str, found: list[Issue]) -> ndarray:
    """Rows of a range sensor that know where it is mounted: without that, its points mean nothing."""
    placed = np.isfinite(version.sensor_poses[version.calibration[rows], 0, 0])
    if not np.all(placed):
        reason = f"{channel}: rows dropped: expected a rigid sensor pose"
        found.append(_issue(version, "no_calibration", "calibrated_sensor", reason, int(np.sum(~placed))))
    return rows[placed]


def _one_series(
    version: NuscenesVersion, rows: ndarray, channel: str, modality: Modality, found: list[Issue]
) -> Series:
    kinds = np.column_stack([version.calibration[rows], version.size_px[rows]])
    unique, index, counts = _by_use(kinds)
    sensors = tuple(_sensor(version, channel, modality, kind) for kind in unique)
    blind = sum(int(n) for n, s in zip(counts, sensors, strict=True) if modality == "camera" and not s.camera)
    if blind:
        reason = f"{channel}: expected intrinsics, a sensor pose and an image size; its images are used without"
        found.append(_issue(version, "no_calibration", "calibrated_sensor", reason, blind))
    names = version.tables["measurements"]["filename"]
    whole = len(rows) == rows[-1] - rows[0] + 1
    files = names.slice(rows[0], len(rows)) if whole else names.take(pa.array(rows))
    return Series(
        name=channel,
        modality=modality,
        times_us=version.time_us[rows],
        files=tuple(files.to_pylist()),
        keyframe=version.key[rows],
        calibrations=sensors,
        calibration_index=index.astype(np.int16),
    )


def _by_use(kinds: ndarray) -> tuple[ndarray, ndarray, ndarray]:
    """Distinct rows, the most frequent first (it is what the Rig shows); which of them each row is; how often."""
    if np.all(kinds == kinds[0]):
        return kinds[:1], np.zeros(len(kinds), np.int64), np.array([len(kinds)])
    unique, index, counts = np.unique(kinds, axis=0, return_inverse=True, return_counts=True)
    order = np.argsort(-counts, kind="stable")
    return unique[order], np.argsort(order)[index.reshape(-1)], counts[order]


def _sensor(version: NuscenesVersion, channel: str, modality: Modality, kind: ndarray) -> Sensor:
    row, width, height = (int(v) for v in kind)
    pose, lens = version.sensor_poses[row], version.lenses[row]
    placed = bool(np.isfinite(pose[0, 0]))
    camera = None
    if modality == "camera" and placed and np.isfinite(lens[0]) and 0 < width < 2**16 and 0 < height < 2**16:
        fx, fy, cx, cy = (float(v) for v in lens)
        camera = Camera(width, height, fx, fy, cx, cy)
    return Sensor(channel, modality, np.array(pose) if placed else np.eye(4), camera)


def _issue(version: NuscenesVersion, kind: IssueKind, table: str, reason: str, count: int) -> Issue:
    return Issue(kind, f"{version.folder.name}/{table}.json", reason, count)
