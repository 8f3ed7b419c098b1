"""nuScenes v1.0 folders, whole or partial (Caesar et al., "nuScenes: A multimodal dataset for autonomous driving",
CVPR 2020; table layout at https://www.nuscenes.org/nuscenes#data-format).

A Log is one scene. Tables are joined once into the user's cache (``nuscenes_cache``); chains of prev and next tokens
are not needed, because every sample names its scene.
"""

import hashlib
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy import ndarray

from sceneminer.data.adapters.nuscenes_cache import open_tables
from sceneminer.data.adapters.nuscenes_media import find_missing, is_usable
from sceneminer.data.adapters.nuscenes_store import NuscenesStore, expansion_name
from sceneminer.data.adapters.nuscenes_tables import REQUIRED_TABLES
from sceneminer.data.errors import DataError, Issue, IssueKind
from sceneminer.data.log import Log, Modality, Rig, Sensor, Series
from sceneminer.data.media import MediaRoot, existing_folder
from sceneminer.data.options import LogSet, OpenOptions
from sceneminer.geometry.camera import Camera

NAME = "nuscenes"
describe = "nuScenes: a root with v1.0-*/scene.json (and samples/, sweeps/, maps/), or one v1.0-* folder of it"
LICENCE = "CC BY-NC-SA 4.0 (nuScenes terms of use)"
_VERSION = "v1.0-"


def detect(root: Path) -> bool:
    """Whether table files lie in v1.0-* folders under the root, or in the root itself."""
    return bool(_version_folders(root))


def open_logs(root: Path, options: OpenOptions) -> LogSet:
    """All scenes of all v1.0-* folders under a root, or of the one that ``options.split`` names."""
    existing_folder(root, "a nuScenes folder")
    folders = _version_folders(root)
    if not folders:
        raise DataError(f"expected {describe}; found neither at {root}")
    if options.split is not None:
        folders = [f for f in folders if f.name in (options.split, _VERSION + options.split)] or _no_split(
            folders, options
        )
    logs: list[Log] = []
    refused: list[tuple[str, Issue]] = []
    issues: list[Issue] = []
    for folder in folders:
        media = MediaRoot(existing_folder(options.media_root or folder.parent, "a media root"))
        opened = _open_version(folder, media, options)
        logs += opened.logs
        refused += opened.refused
        issues += opened.issues
    return LogSet(tuple(logs), tuple(refused), tuple(issues))


def _version_folders(root: Path) -> list[Path]:
    def has_tables(folder: Path) -> bool:
        return any((folder / f"{name}.json").is_file() for name in ("scene", "sample", "sample_data"))

    if root.name.startswith(_VERSION) and has_tables(root):
        return [root]
    return [folder for folder in sorted(root.glob(f"{_VERSION}*")) if folder.is_dir() and has_tables(folder)]


def _no_split(folders: list[Path], options: OpenOptions) -> list[Path]:
    names = ", ".join(folder.name for folder in folders)
    raise DataError(
        f"expected a split among the table folders {names}; found {options.split!r} "
        "(the devkit's lists of scene names are not part of this tool: name scenes instead)"
    )


@dataclass(frozen=True)
class _Version:
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
    pose_time_us: ndarray
    poses: ndarray
    sample_time_us: ndarray
    sensor_poses: ndarray
    lenses: ndarray
    channels: list[str]
    """Of each calibrated_sensor; empty where its sensor is unknown (no measurement has such a one)."""
    modalities: list[str]


def _open_version(folder: Path, media: MediaRoot, options: OpenOptions) -> LogSet:
    tables = open_tables(folder)
    version = _arrays(folder, tables, media)
    scenes = tables["scenes"].to_pylist()
    issues = _issues_by_scene(tables["issues"])
    broken = [i for i in issues.get(-1, ()) if i.kind in ("missing_table", "bad_table") and _is_required(i.subject)]
    if not scenes:
        subject = f"{folder.name}/scene.json"
        return LogSet((), ((folder.name, _no_data(subject, "scenes", broken)),), issues.get(-1, ()))
    logs: list[Log] = []
    refused: list[tuple[str, Issue]] = []
    for row, scene in enumerate(scenes):
        name = scene["name"] or f"scene-{scene['token'][:8]}"
        log_id = _log_id(name, scene["token"])
        if options.logs is not None and not {name, log_id} & set(options.logs):
            continue
        if scene["measurements_start"] == scene["measurements_stop"]:
            subject = f"{folder.name}/sample_data.json"
            refused.append((name, _no_data(subject, "measurements of this scene", broken)))
            continue
        log = _log(version, scene, media, (log_id, name, issues.get(row, ())), options)
        if log.series:
            logs.append(log)
        else:
            refused.append((name, _no_data(f"{folder.name}/sample_data.json", "sensors of this scene", log.issues)))
    return LogSet(tuple(logs), tuple(refused), issues.get(-1, ()))


def _arrays(folder: Path, tables: dict[str, pa.Table], media: MediaRoot) -> _Version:
    measured, poses, calibrations = tables["measurements"], tables["poses"], tables["calibrations"]

    def numbers(table: pa.Table, name: str) -> ndarray:
        return table[name].to_numpy()

    def lists(table: pa.Table, name: str) -> ndarray:
        width = table.schema.field(name).type.list_size
        chunks = [chunk.flatten().to_numpy() for chunk in table[name].chunks]
        return (chunks[0] if len(chunks) == 1 else np.concatenate([np.zeros(0), *chunks])).reshape(-1, width)

    return _Version(
        folder=folder,
        tables=tables,
        rank=numbers(measured, "rank"),
        time_us=numbers(measured, "timestamp"),
        calibration=numbers(measured, "calibration"),
        key=numbers(measured, "key"),
        size_px=np.stack([numbers(measured, "width"), numbers(measured, "height")], -1),
        missing=find_missing(measured["filename"], measured["folder"].combine_chunks(), media),
        pose_time_us=numbers(poses, "timestamp"),
        poses=lists(poses, "pose").reshape(-1, 4, 4),
        sample_time_us=numbers(tables["samples"], "timestamp"),
        sensor_poses=lists(calibrations, "pose").reshape(-1, 4, 4),
        lenses=lists(calibrations, "lens"),
        channels=[name or "" for name in calibrations["channel"].to_pylist()],
        modalities=[name or "" for name in calibrations["modality"].to_pylist()],
    )


def _log(
    version: _Version, scene: dict, media: MediaRoot, who: tuple[str, str, tuple[Issue, ...]], options: OpenOptions
) -> Log:
    log_id, name, issues = who
    start, stop = scene["measurements_start"], scene["measurements_stop"]
    found = [*issues]
    series = {s.name: s for s in _series(version, start, stop, options, found)}
    pose = slice(scene["poses_start"], scene["poses_stop"])
    if pose.start == pose.stop:
        found.append(Issue("no_pose", f"{version.folder.name}/ego_pose.json", "expected ego poses, found none"))
    samples = np.unique(version.sample_time_us[scene["samples_start"] : scene["samples_stop"]])
    times = np.concatenate([version.time_us[start:stop], samples])
    has_map = is_usable(media, expansion_name(scene["location"]))
    return Log(
        log_id=log_id,
        name=name,
        dataset=NAME,
        split=version.folder.name,
        location=scene["location"],
        description=scene["description"] or "",
        licence=scene["licence"] or LICENCE,
        start_us=int(times.min()),
        end_us=int(times.max()),
        rig=Rig({n: _main_sensor(s) for n, s in series.items()}),
        series=series,
        reference_times_us=samples,
        pose_times_us=version.pose_time_us[pose],
        world_from_ego=version.poses[pose],
        store=NuscenesStore(media, version.folder, scene["token"], scene["location"], scene["basemap"]),
        has_tracks=scene["boxes_start"] < scene["boxes_stop"],
        has_map=has_map,
        issues=tuple(found),
    )


def _series(version: _Version, start: int, stop: int, options: OpenOptions, found: list[Issue]) -> Iterator[Series]:
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
        if options.cameras is not None and modality == "camera" and channel not in options.cameras:
            continue
        rows = np.arange(low, high)
        if not options.sweeps:
            rows = rows[version.key[low:high]]
        if modality != "camera":
            rows = _with_pose(version, rows, channel, found)
        if len(rows) == 0:
            continue
        absent = int(version.missing[rows].sum())
        if absent:
            reason = f"expected {len(rows)} files, found {len(rows) - absent}"
            found.append(Issue("missing_file", channel, reason, absent))
        yield _one_series(version, rows, channel, modality, found)


def _with_pose(version: _Version, rows: ndarray, channel: str, found: list[Issue]) -> ndarray:
    """Rows of a range sensor that know where it is mounted: without that, its points mean nothing."""
    placed = np.isfinite(version.sensor_poses[version.calibration[rows], 0, 0])
    if not np.all(placed):
        reason = f"{channel}: rows dropped: expected a rigid sensor pose"
        found.append(_issue(version, "no_calibration", "calibrated_sensor", reason, int(np.sum(~placed))))
    return rows[placed]


def _one_series(version: _Version, rows: ndarray, channel: str, modality: Modality, found: list[Issue]) -> Series:
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


def _sensor(version: _Version, channel: str, modality: Modality, kind: ndarray) -> Sensor:
    row, width, height = (int(v) for v in kind)
    pose, lens = version.sensor_poses[row], version.lenses[row]
    placed = bool(np.isfinite(pose[0, 0]))
    camera = None
    if modality == "camera" and placed and np.isfinite(lens[0]) and 0 < width < 2**16 and 0 < height < 2**16:
        fx, fy, cx, cy = (float(v) for v in lens)
        camera = Camera(width, height, fx, fy, cx, cy)
    return Sensor(channel, modality, np.array(pose) if placed else np.eye(4), camera)


def _main_sensor(series: Series) -> Sensor:
    return series.calibrations[0]


def _issues_by_scene(table: pa.Table) -> dict[int, tuple[Issue, ...]]:
    result: dict[int, tuple[Issue, ...]] = {}
    for row in table.to_pylist():
        issue = Issue(row["kind"], row["subject"], row["reason"], row["count"])
        result[row["scene"]] = (*result.get(row["scene"], ()), issue)
    return result


def _is_required(subject: str) -> bool:
    return Path(subject).stem in REQUIRED_TABLES


def _no_data(subject: str, what: str, broken: Sequence[Issue]) -> Issue:
    why = "".join(f"; {issue.subject}: {issue.reason}" for issue in broken)
    return Issue("bad_table", subject, f"expected {what}, found none that can be used{why}")


def _issue(version: _Version, kind: IssueKind, table: str, reason: str, count: int) -> Issue:
    return Issue(kind, f"{version.folder.name}/{table}.json", reason, count)


def _log_id(name: str, token: str) -> str:
    """A readable name and 8 hex digits, safe in file names whatever the tables say."""
    readable = re.sub(r"[^A-Za-z0-9._-]+", "_", name)[:64].lstrip(".") or "scene"
    digits = token[:8].lower()
    if not re.fullmatch(r"[0-9a-f]{8}", digits):
        digits = hashlib.sha256(token.encode()).hexdigest()[:8]
    return f"{readable}-{digits}"
