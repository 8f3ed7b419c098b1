"""nuScenes v1.0 folders, whole or partial (Caesar et al., "nuScenes: A multimodal dataset for autonomous driving",
CVPR 2020; table layout at https://www.nuscenes.org/nuscenes#data-format).

A Log is one scene. Tables are joined once into the user's cache (``nuscenes_cache``); chains of prev and next tokens
are not needed, because every sample names its scene.
"""

import hashlib
import re
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from sceneminer.data.adapters.nuscenes_cache import open_tables
from sceneminer.data.adapters.nuscenes_media import is_usable
from sceneminer.data.adapters.nuscenes_series import NuscenesVersion, iter_series, version_arrays
from sceneminer.data.adapters.nuscenes_store import NuscenesStore, expansion_name
from sceneminer.data.adapters.nuscenes_tables import REQUIRED_TABLES
from sceneminer.data.errors import DataError, Issue
from sceneminer.data.log import Log, Rig
from sceneminer.data.media import MediaRoot, existing_folder
from sceneminer.data.options import LogSet, OpenOptions

NAME = "nuscenes"
describe = "nuScenes: a root with v1.0-*/scene.json (and samples/, sweeps/, maps/), or one v1.0-* folder of it"
LICENCE = "CC BY-NC-SA 4.0 (nuScenes terms of use)"
_LOCAL_TIME = re.compile(r".*\d([+-])(\d\d)(\d\d)")
_CITIES = ("boston", "singapore")
"""Where nuScenes was recorded; other people's drives in its layout are under licences of their own."""
_VERSION = "v1.0-"
_REASONS = 6
"""So many of what is wrong with a scene are in the one line that refuses it."""


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


def _open_version(folder: Path, media: MediaRoot, options: OpenOptions) -> LogSet:
    tables = open_tables(folder)
    version = version_arrays(folder, tables, media)
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
            refused.append((name, _no_data(subject, "measurements of this scene", [*broken, *issues.get(row, ())])))
            continue
        who = (log_id, name, issues.get(row, ()))
        log = _log(version, scene, media, who=who, sweeps=options.sweeps)
        if log.series:
            logs.append(log)
        else:
            refused.append((name, _no_data(f"{folder.name}/sample_data.json", "sensors of this scene", log.issues)))
    return LogSet(tuple(logs), tuple(refused), issues.get(-1, ()))


def _log(
    version: NuscenesVersion,
    scene: dict[str, Any],
    media: MediaRoot,
    *,
    who: tuple[str, str, tuple[Issue, ...]],
    sweeps: bool,
) -> Log:
    log_id, name, issues = who
    start, stop = scene["measurements_start"], scene["measurements_stop"]
    found = [*issues]
    series = {s.name: s for s in iter_series(version, start, stop, found, sweeps=sweeps)}
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
        licence=scene["licence"] or _licence(scene["location"]),
        start_us=int(times.min()),
        end_us=int(times.max()),
        rig=Rig({n: s.calibrations[0] for n, s in series.items()}),
        series=series,
        reference_times_us=samples,
        pose_times_us=version.pose_time_us[pose],
        world_from_ego=version.poses[pose],
        store=NuscenesStore(media, version.folder, scene["token"], scene["location"], scene["basemap"]),
        has_tracks=scene["boxes_start"] < scene["boxes_stop"],
        has_map=has_map,
        issues=tuple(found),
        utc_offset_s=_utc_offset_s(scene["logfile"]),
    )


def _utc_offset_s(logfile: str | None) -> int | None:
    """nuScenes names a recording by car and local time: n015-2018-07-24-11-22-45+0800."""
    told = _LOCAL_TIME.fullmatch(logfile or "")
    if told is None:
        return None
    seconds = 3600 * int(told[2]) + 60 * int(told[3])
    return -seconds if told[1] == "-" else seconds


def _licence(location: str | None) -> str | None:
    """nuScenes' own where the drive is, or may be, one of its recordings."""
    return LICENCE if location is None or location.startswith(_CITIES) else None


def _issues_by_scene(table: pa.Table) -> dict[int, tuple[Issue, ...]]:
    result: defaultdict[int, list[Issue]] = defaultdict(list)
    for row in table.to_pylist():
        result[row["scene"]].append(Issue(row["kind"], row["subject"], row["reason"], row["count"]))
    return {scene: tuple(issues) for scene, issues in result.items()}


def _is_required(subject: str) -> bool:
    return Path(subject).stem in REQUIRED_TABLES


def _no_data(subject: str, what: str, broken: Sequence[Issue]) -> Issue:
    why = "".join(f"; {issue.subject}: {issue.reason}" for issue in broken[:_REASONS])
    why += f"; and {len(broken) - _REASONS} more" if len(broken) > _REASONS else ""
    return Issue("bad_table", subject, f"expected {what}, found none that can be used{why}")


def _log_id(name: str, token: str) -> str:
    """A readable name and 8 hex digits, safe in file names whatever the tables say."""
    readable = re.sub(r"[^A-Za-z0-9._-]+", "_", name)[:64].lstrip(".") or "scene"
    digits = token[:8].lower()
    if not re.fullmatch(r"[0-9a-f]{8}", digits):
        digits = hashlib.sha256(token.encode()).hexdigest()[:8]
    return f"{readable}-{digits}"
