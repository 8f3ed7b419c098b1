"""Argoverse 2: sensor logs and scenario-mining folders.

A log is a folder named by a UUID with ``city_SE3_egovehicle.feather``, ``annotations.feather`` (or, for scenario
mining, ``annotations_with_ego.feather``), ``calibration/``, ``map/`` and ``sensors/``; whatever is absent is left
out and said. Times become µs. Ego is moved from the rear axle to the ground below it (``argoverse2_tables``).
"""

import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float, Int, UInt8
from numpy import ndarray

from sceneminer.data.adapters.argoverse2_map import read_map_archive
from sceneminer.data.adapters.argoverse2_series import media_of, missing, open_series, rig_of
from sceneminer.data.adapters.argoverse2_tables import (
    LIDAR,
    lidar_sensor,
    read_annotations,
    read_poses,
    read_rig,
    read_sweep,
    tracks_of,
)
from sceneminer.data.errors import DataError, Issue, MediaError
from sceneminer.data.hdmap import HdMap
from sceneminer.data.log import Log, Points, Rig, Series
from sceneminer.data.media import MediaRoot, existing_folder, media_error
from sceneminer.data.options import LogSet, OpenOptions
from sceneminer.data.track import Track

NAME = "argoverse2"
describe = "Argoverse 2: log folders with city_SE3_egovehicle.feather, or a folder of them (sensor/val, val, ...)"
LICENCE = "CC BY-NC-SA 4.0 (Argoverse terms)"
SPLITS = ("train", "val", "test")

_POSES = "city_SE3_egovehicle.feather"
_ANNOTATIONS = ("annotations.feather", "annotations_with_ego.feather")
_CALIBRATION = "calibration/egovehicle_SE3_sensor.feather"
_SHELVES = ("sensor", "lidar", "tbv", "scenario_mining", "scenario-mining", *SPLITS)
_MAP_NAME = re.compile(r"log_map_archive_.*?(?:____([A-Z]{3})_city_\d+)?\.json")


@dataclass(frozen=True)
class Argoverse2Store:
    """The lazy side of one log. Table names are relative to the data root, media names to the media root."""

    tables: MediaRoot
    media: MediaRoot
    poses: str | None
    annotations: str | None
    map_archive: str | None
    location: str

    def read_image(self, series: Series, i: int, *, size: tuple[int, int] | None = None) -> UInt8[ndarray, "h w 3"]:
        return self.media.read_image(series.files[i], size=size)

    def read_points(self, series: Series, i: int) -> Points:
        return read_sweep(self.media, series.files[i])

    def read_tracks(self) -> tuple[Track, ...]:
        if self.annotations is None or self.poses is None:
            return ()
        times, world_from_ego, _ = read_poses(self.tables, self.poses)
        return tracks_of(read_annotations(self.tables, self.annotations, times), times, world_from_ego)

    def read_map(self) -> HdMap | None:
        if self.map_archive is None:
            return None
        return read_map_archive(self.tables, self.map_archive, self.location)


def detect(root: Path) -> bool:
    """Whether a log lies at the root, or below it on the shelves that Argoverse's downloads have."""
    return next(_log_folders(Path(root)), None) is not None


def open_logs(root: Path, options: OpenOptions) -> LogSet:
    """Every log under ``root``; DataError where there is none, or none that the options ask for."""
    root = existing_folder(root, "an Argoverse 2 folder")
    if options.split is not None and options.split not in SPLITS:
        raise DataError(f"expected split {', '.join(SPLITS)}; found {options.split}")
    folders = [f for f in _log_folders(root) if options.split is None or _split(root, f) == options.split]
    if not folders:
        raise DataError(f"expected {describe}; found no such log{_of_split(options)}")
    logs: list[Log] = []
    refused: list[tuple[str, Issue]] = []
    for folder in folders:
        name, log_id = _log_name(root, folder), _log_id(root, folder)
        if options.logs is not None and not {name, log_id} & set(options.logs):
            continue
        try:
            logs.append(_open_log(root, folder, options))
        except MediaError as error:
            refused.append((name, error.issue))
    other = root / "motion_forecasting"
    reason = "expected sensor or scenario-mining logs, found motion forecasting scenarios; left out"
    issues = (Issue("unsupported", other.name, reason),) if other.is_dir() else ()
    return LogSet(tuple(logs), tuple(refused), issues)


def _of_split(options: OpenOptions) -> str:
    return "" if options.split is None else f" of split {options.split}"


def _log_folders(folder: Path, depth: int = 0) -> Iterator[Path]:
    """Log folders in name order: the folder itself, its children, and those on shelves with known names."""
    if _is_log(folder):
        yield folder
        return
    if depth == 3 or not folder.is_dir():
        return
    for child in sorted(p for p in folder.iterdir() if p.is_dir()):
        if _is_log(child):
            yield child
        elif child.name in _SHELVES:
            yield from _log_folders(child, depth + 1)


def _is_log(folder: Path) -> bool:
    return any((folder / marker).is_file() for marker in (_POSES, *_ANNOTATIONS, _CALIBRATION))


def _relative(root: Path, folder: Path) -> str:
    return folder.relative_to(root).as_posix()


def _log_name(root: Path, folder: Path) -> str:
    return (folder if folder != root else root.resolve()).name


def _split(root: Path, folder: Path) -> str | None:
    parts = (root.resolve().name, *folder.relative_to(root).parts)
    return next((part for part in reversed(parts) if part in SPLITS), None)


def _log_id(root: Path, folder: Path) -> str:
    """``av2-`` (``av2sm-`` for scenario mining, which has the same UUIDs) and the first 8 digits of the UUID."""
    name = _log_name(root, folder)
    mining = (folder / _ANNOTATIONS[1]).is_file() and not (folder / _ANNOTATIONS[0]).is_file()
    token = name[:8].lower()
    if not re.fullmatch(r"[0-9a-f]{8}", token):
        token = hashlib.sha256(name.encode()).hexdigest()[:8]
    return f"{'av2sm' if mining else 'av2'}-{token}"


def _open_log(root: Path, folder: Path, options: OpenOptions) -> Log:
    tables = MediaRoot(root)
    where = _relative(root, folder)
    prefix = "" if where == "." else f"{where}/"
    motion = _read_motion(tables, folder, prefix)
    rig, rig_issues = _rig(tables, folder, prefix)
    media, base = media_of(root, where, log_name=_log_name(root, folder), media_root=options.media_root)
    series, series_issues = open_series(media, base, rig, motion.reference_us, options)
    map_archive, city, map_issues = _map_archive(folder, prefix)
    spans = [s.times_us for s in series.values() if len(s)] + (
        [motion.reference_us] if len(motion.reference_us) else []
    )
    spans = spans or ([motion.pose_times_us] if len(motion.pose_times_us) else [])
    if not spans:
        raise media_error("missing_table", where, "expected poses, annotations or sensor files, found none with a time")
    return Log(
        log_id=_log_id(root, folder),
        name=_log_name(root, folder),
        dataset=NAME,
        split=_split(root, folder),
        location=city,
        description=f"Argoverse 2 log{'' if city is None else f' in {city}'}",
        licence=LICENCE,
        start_us=min(int(t[0]) for t in spans),
        end_us=max(int(t[-1]) for t in spans),
        rig=rig_of(rig, series),
        series=series,
        reference_times_us=motion.reference_us if len(motion.reference_us) else _densest(series, motion.pose_times_us),
        pose_times_us=motion.pose_times_us,
        world_from_ego=motion.world_from_ego,
        store=Argoverse2Store(tables, media, motion.poses, motion.annotations, map_archive, city or ""),
        has_tracks=motion.annotations is not None,
        has_map=map_archive is not None,
        issues=(*motion.issues, *rig_issues, *series_issues, *map_issues),
    )


@dataclass(frozen=True, eq=False)
class _Motion:
    """Ego and agents of one log as far as opening needs them; names of tables that are there and have rows."""

    poses: str | None
    pose_times_us: Int[ndarray, "p"]
    world_from_ego: Float[ndarray, "p 4 4"]
    annotations: str | None
    reference_us: Int[ndarray, "k"]
    issues: tuple[Issue, ...]


def _read_motion(tables: MediaRoot, folder: Path, prefix: str) -> _Motion:
    issues: list[Issue] = []
    times, world_from_ego, poses = np.zeros(0, np.int64), np.zeros((0, 4, 4)), None
    if (folder / _POSES).is_file():
        poses = f"{prefix}{_POSES}"
        times, world_from_ego, found = read_poses(tables, poses)
        issues += found
    if not len(times):
        issues.append(Issue("no_pose", f"{prefix}{_POSES}", "expected ego poses, found none; no tracks without them"))
    annotated = next((name for name in _ANNOTATIONS if (folder / name).is_file()), None)
    if annotated is None:
        issues.append(missing(f"{prefix}{_ANNOTATIONS[0]}", "annotations", "no tracks"))
        return _Motion(poses, times, world_from_ego, None, np.zeros(0, np.int64), tuple(issues))
    annotations = read_annotations(tables, f"{prefix}{annotated}", times)
    issues += annotations.issues
    usable = f"{prefix}{annotated}" if len(annotations.columns["track_uuid"]) else None
    return _Motion(poses, times, world_from_ego, usable, annotations.times_us, tuple(issues))


def _rig(tables: MediaRoot, folder: Path, prefix: str) -> tuple[Rig, tuple[Issue, ...]]:
    if (folder / _CALIBRATION).is_file():
        return read_rig(tables, f"{prefix}calibration")
    issue = missing(f"{prefix}calibration", "calibration tables", "cameras are not calibrated", kind="no_calibration")
    return Rig({LIDAR: lidar_sensor()}, "none"), (issue,)


def _densest(series: dict[str, Series], pose_times_us: Int[ndarray, "p"]) -> Int[ndarray, "k"]:
    """Times of the camera with most images, else of the LiDAR, else of the poses."""
    filled = [s for s in series.values() if len(s)]
    if not filled:
        return pose_times_us
    return max(filled, key=lambda s: (s.modality == "camera", len(s))).times_us


def _map_archive(folder: Path, prefix: str) -> tuple[str | None, str | None, tuple[Issue, ...]]:
    """The map's name and its city, where the name has one."""
    for path in sorted((folder / "map").glob("log_map_archive_*.json")):
        match = _MAP_NAME.fullmatch(path.name)
        return f"{prefix}map/{path.name}", None if match is None else match.group(1), ()
    return None, None, (missing(f"{prefix}map", "one log_map_archive_*.json", "no map"),)
