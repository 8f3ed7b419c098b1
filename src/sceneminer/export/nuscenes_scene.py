"""One interval of a Log as rows of the nuScenes tables: a scene of its own, with tokens made from what it is."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Float, Int
from numpy import ndarray

from sceneminer.data.log import HELD_US, Log, Sensor, Series
from sceneminer.data.synth.tables import Row, chain, token
from sceneminer.data.track import Track
from sceneminer.export.nuscenes_boxes import annotation_tables
from sceneminer.export.nuscenes_media import MediaFile, MediaWriter
from sceneminer.export.origin import clean
from sceneminer.geometry.pose import rotation_to_quat
from sceneminer.index.selection import Selected

KEYFRAME_US = 250_000
"""A measurement further than this from every reference time belongs to no keyframe."""
VERSION = "v1.0-sceneminer"


@dataclass(frozen=True, eq=False)
class SceneSource:
    """An opened Log, and what is the same for every interval of it."""

    log: Log
    tracks: tuple[Track, ...]
    keyframes: Mapping[str, Int[ndarray, "n"]]
    """By sensor: which reference time each measurement is the keyframe of; -1 for those between keyframes."""
    log_token: str

    @property
    def shift_us(self) -> int:
        """Added to times of a log that begins at 0 or before, for 0 is no time in nuScenes' tables.

        It differs by log: the devkit cannot list two scenes that start at the same time.
        """
        if self.log.start_us > 0:
            return 0
        return 1_000_000 - self.log.start_us + int(self.log_token[:8], 16) % 1_000_000_000


@dataclass(frozen=True, eq=False)
class SceneRows:
    """Rows by table, and the sensors' labels by file name."""

    tables: dict[str, list[Row]]
    labels: dict[str, bytes] = field(default_factory=dict)


def open_source(log: Log, tracks: tuple[Track, ...]) -> SceneSource:
    keyframes = {name: keyframe_rows(series, log.reference_times_us) for name, series in log.series.items()}
    return SceneSource(log, tracks, keyframes, token("log", log.log_id))


def keyframe_rows(series: Series, reference_us: Int[ndarray, "k"]) -> Int[ndarray, "n"]:
    """For each measurement the reference time that it is the nearest keyframe of, by row; -1: it is none's."""
    owner = np.full(len(series), -1, np.int64)
    if len(reference_us) == 0 or len(series) == 0:
        return owner
    right = np.clip(np.searchsorted(reference_us, series.times_us), 0, len(reference_us) - 1)
    left = np.maximum(right - 1, 0)
    off_left, off_right = (np.abs(series.times_us - reference_us[side]) for side in (left, right))
    nearest, off = np.where(off_left <= off_right, left, right), np.minimum(off_left, off_right)
    order = np.lexsort([off, nearest])
    order = order[series.keyframe[order] & (off[order] <= KEYFRAME_US)]
    rows, first = np.unique(nearest[order], return_index=True)
    owner[order[first]] = rows
    return owner


def scene_rows(source: SceneSource, item: Selected, media: MediaWriter, *, description: str) -> SceneRows | str:
    """All rows of a scene, its media written; or why there is none.

    Samples are the reference times from start to end, both included. Each has the keyframes nearest to it, which may
    lie a little outside; between keyframes, measurements are those within the interval.
    """
    log = source.log
    scene = token("scene", log.log_id, item.start_us, item.end_us)
    chosen = np.flatnonzero((log.reference_times_us >= item.start_us) & (log.reference_times_us <= item.end_us))
    if len(chosen) == 0:
        return "expected keyframes in this interval, found none"
    times_us = log.reference_times_us[chosen]
    samples = chain([_sample(scene, int(time_us) + source.shift_us) for time_us in times_us])
    tokens = [row["token"] for row in samples]
    rows = SceneRows({"sample": samples, "sample_data": [], "ego_pose": [], "calibrated_sensor": [], "sensor": []})
    for series in log.series.values():
        _add_series(rows, source, series, item, chosen=chosen, samples=tokens, media=media, scene=scene)
    if not rows.tables["sample_data"]:
        return "expected images or sweeps that can be read in this interval, found none"
    rows.tables["scene"] = [
        {
            "token": scene,
            "log_token": source.log_token,
            "nbr_samples": len(samples),
            "first_sample_token": tokens[0],
            "last_sample_token": tokens[-1],
            "name": scene_name(log, item),
            "description": description,
            "source_start_us": item.start_us,
            "source_end_us": item.end_us,
            "source_time_shift_us": source.shift_us,
        }
    ]
    rows.tables.update(annotation_tables(source.tracks, log, scene, times_us=times_us, samples=tokens))
    return rows


def scene_name(log: Log, item: Selected) -> str:
    """The log's name and the interval in milliseconds since its start."""
    start_ms, end_ms = ((time_us - log.start_us) // 1000 for time_us in (item.start_us, item.end_us))
    return f"{clean(log.name)}+{start_ms:07d}-{end_ms:07d}"


def _sample(scene: str, time_us: int) -> Row:
    return {"token": token("sample", scene, time_us), "timestamp": time_us, "scene_token": scene}


def _add_series(
    rows: SceneRows,
    source: SceneSource,
    series: Series,
    item: Selected,
    *,
    chosen: Int[ndarray, "s"],
    samples: list[str],
    media: MediaWriter,
    scene: str,
) -> None:
    """One sensor's measurements, poses and calibrations."""
    log, owner = source.log, source.keyframes[series.name]
    is_key = np.isin(owner, chosen)
    inside = (series.times_us >= item.start_us) & (series.times_us <= item.end_us)
    picked = np.flatnonzero(is_key | inside)
    # As in nuScenes, what lies between keyframes belongs to the next one.
    after = np.clip(np.searchsorted(log.reference_times_us[chosen], series.times_us), 0, len(chosen) - 1)
    sample = np.where(is_key, np.searchsorted(chosen, owner), after)
    poses = _poses(log, series.times_us[picked])
    found: list[Row] = []
    for i, pose in zip(picked.tolist(), poses, strict=True):
        file = media.add(log, series, i, keyframe=bool(owner[i] >= 0))
        if file is None:
            continue
        calibration = _calibration(log, series, int(series.calibration_index[i]))
        time_us = int(series.times_us[i]) + source.shift_us
        row = _data_row(series, i, file, time_us, scene=scene, sample=samples[sample[i]], key=bool(is_key[i]))
        found.append(row | {"calibrated_sensor_token": calibration["token"]})
        rows.tables["calibrated_sensor"].append(calibration)
        rows.tables["ego_pose"].append({"token": row["token"], "timestamp": row["timestamp"], **_rigid(pose)})
        _add_labels(rows, file, row["token"])
    if found:
        rows.tables["sample_data"] += chain(found)
        name = clean(series.name)
        rows.tables["sensor"].append({"token": _sensor_token(series), "channel": name, "modality": series.modality})


def _data_row(series: Series, i: int, file: MediaFile, time_us: int, *, scene: str, sample: str, key: bool) -> Row:
    own = token("sample_data", scene, series.name, time_us)
    camera = series.sensor(i).camera
    size = (file.width_px, file.height_px) if camera is None else (camera.width_px, camera.height_px)
    return {
        "token": own,
        "sample_token": sample,
        "ego_pose_token": own,
        "timestamp": time_us,
        "fileformat": file.fileformat,
        "is_key_frame": key,
        "height": size[1],
        "width": size[0],
        "filename": file.name,
    }


def _add_labels(rows: SceneRows, file: MediaFile, data_token: str) -> None:
    if file.labels is None:
        return
    name = f"lidarseg/{VERSION}/{data_token}_lidarseg.bin"
    rows.labels[name] = file.labels.tobytes()
    row = {"token": data_token, "sample_data_token": data_token, "filename": name}
    rows.tables.setdefault("lidarseg", []).append(row)


def _sensor_token(series: Series) -> str:
    return token("sensor", series.name, series.modality)


def _calibration(log: Log, series: Series, k: int) -> Row:
    """nuScenes knows undistorted pinholes only: distortion stands beside, and a fisheye has no matrix."""
    sensor: Sensor = series.calibrations[k]
    camera = sensor.camera
    matrix = [] if camera is None or camera.model == "fisheye" else camera.matrix.tolist()
    row: Row = {"token": token("calibration", log.log_id, series.name, k), "sensor_token": _sensor_token(series)}
    row |= {**_rigid(sensor.ego_from_sensor), "camera_intrinsic": matrix}
    if camera is not None and (camera.model == "fisheye" or any(camera.distortion)):
        row["camera_model"], row["camera_distortion"] = camera.model, list(camera.distortion)
        row["camera_focal_and_centre"] = [camera.fx, camera.fy, camera.cx, camera.cy]
    return row


def _poses(log: Log, times_us: Int[ndarray, "n"]) -> list[Float[ndarray, "4 4"] | None]:
    """Ego's pose at times; None where it is unknown."""
    if not log.has_poses or len(times_us) == 0:
        return [None] * len(times_us)
    poses, held_us = log.poses_at(times_us)
    return [pose if held <= HELD_US else None for pose, held in zip(poses, held_us, strict=True)]


def _rigid(pose: Float[ndarray, "4 4"] | None) -> Row:
    """A pose in nuScenes' words; null where it is unknown, for a made-up one would be taken for true."""
    if pose is None:
        return {"rotation": None, "translation": None}
    return {"rotation": rotation_to_quat(pose[:3, :3]).tolist(), "translation": pose[:3, 3].tolist()}
