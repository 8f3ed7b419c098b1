"""Opening anybody's recordings: the adapter is found by what lies in the folder."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import numpy as np

from sceneminer.data.adapters import argoverse2, folder, mcap, nuscenes, video
from sceneminer.data.errors import DataError, Issue
from sceneminer.data.log import HELD_US, MAX_POSE_GAP_US, Log
from sceneminer.data.options import LogSet, OpenOptions

# Most telling first: a nuScenes folder also holds plain folders of images, and a recording may have pictures beside it.
ADAPTERS: tuple[ModuleType, ...] = (nuscenes, argoverse2, mcap, folder, video)


def open_logs(root: Path | str, options: OpenOptions | None = None, *, adapter: str | None = None) -> LogSet:
    """All Logs under a root, as cheap handles; no image is decoded.

    ``adapter`` names one (``nuscenes``, ``argoverse2``, ``mcap``, ``folder``, ``video``); None: the first that fits.
    DataError if none fits, or if ``options`` ask for logs or cameras that are nowhere under the root.
    """
    options = options or OpenOptions()
    path = Path(root).expanduser()
    if not path.exists():
        raise DataError(f"expected a folder or file of recordings at {path}, found nothing there")
    found = _only_cameras(_unique(_open(path, options, adapter)), options.cameras)
    _require_names(found, options.logs)
    return replace(found, logs=tuple(_with_pose_gaps(log) for log in found.logs))


def open_log(
    root: Path | str,
    name_or_id: str | None = None,
    options: OpenOptions | None = None,
    *,
    adapter: str | None = None,
) -> Log:
    """One Log by name or id; without a name, the only one. DataError lists the names where that is not clear."""
    options = options or OpenOptions()
    if name_or_id is not None:
        options = replace(options, logs=(name_or_id,))
    found = open_logs(root, options, adapter=adapter)
    if len(found.logs) == 1:
        return found.logs[0]
    if not found.logs:
        why = "; ".join(f"{name}: {issue.reason}" for name, issue in found.refused[:5])
        raise DataError(f"expected one log, found none that can be used ({why or 'none at all'})")
    wanted = "one log" if name_or_id is None else f"one log called {name_or_id}"
    raise DataError(f"expected {wanted}, found {len(found.logs)}: {_listing([log.log_id for log in found.logs])}")


def _open(path: Path, options: OpenOptions, adapter: str | None) -> LogSet:
    """By the adapter; where that fails on a folder above a data set's own, the message names that."""
    try:
        return _adapter(path, adapter).open_logs(path, options)
    except DataError as error:
        inner = _data_sets_in(path) if adapter is None and path.is_dir() else []
        if not inner:
            raise
        raise DataError(f"{error}\nopen a data set in it by itself: {_listing(inner)}") from error


def _data_sets_in(path: Path) -> list[str]:
    """Folders right below that are nuScenes' or Argoverse's."""
    folders = sorted(child for child in path.iterdir() if child.is_dir() and not child.name.startswith("."))
    return [str(child) for child in folders if any(module.detect(child) for module in (nuscenes, argoverse2))]


def _adapter(path: Path, name: str | None) -> ModuleType:
    if name is not None:
        for module in ADAPTERS:
            if name == module.NAME:
                return module
        raise DataError(f"expected an adapter among {', '.join(m.NAME for m in ADAPTERS)}; found {name}")
    for module in ADAPTERS:
        if module.detect(path):
            return module
    known = "\n".join(f"  {module.describe}" for module in ADAPTERS)
    raise DataError(f"found no recordings at {path} in a known layout; expected one of\n{known}")


def _unique(found: LogSet) -> LogSet:
    """The first Log of each id; a later one of the same id is refused by name."""
    logs: dict[str, Log] = {}
    refused = list(found.refused)
    for log in found.logs:
        first = logs.setdefault(log.log_id, log)
        if first is not log:
            where = f"{first.split} and {log.split}" if first.split != log.split else "the same root"
            reason = f"expected each log once, found {log.log_id} twice (in {where}); the first is kept"
            refused.append((log.name, Issue("bad_table", log.log_id, reason)))
    return replace(found, logs=tuple(logs.values()), refused=tuple(refused))


def _only_cameras(found: LogSet, cameras: tuple[str, ...] | None) -> LogSet:
    """Logs with just the asked cameras; a Log that lacks one says so, a camera that no Log has is an error."""
    if cameras is None or not found.logs:
        return found
    known = sorted({name for log in found.logs for name in log.cameras()})
    unknown = [name for name in cameras if name not in known]
    if unknown:
        raise DataError(f"expected cameras among {_listing(known)}; found {_listing(unknown)}")
    logs = []
    for log in found.logs:
        here = tuple(name for name in cameras if name in log.cameras())
        said = [issue for issue in log.issues if issue.subject not in log.cameras() or issue.subject in here]
        said += [
            Issue("missing_file", n, "asked for, but this log has no such camera") for n in cameras if n not in here
        ]
        logs.append(replace(log.only(here), issues=tuple(said)))
    return replace(found, logs=tuple(logs))


def _with_pose_gaps(log: Log) -> Log:
    """The Log, with an Issue where ego's pose is unknown for a part of the drive."""
    if not log.has_poses:
        return log
    times = np.clip(log.pose_times_us, log.start_us, log.end_us)
    inner = np.diff(times)
    outer = np.array([times[0] - log.start_us, log.end_us - times[-1]]) - HELD_US
    unknown_us = np.concatenate([np.where(inner > MAX_POSE_GAP_US, inner - 2 * HELD_US, 0), np.maximum(outer, 0)])
    if not np.any(unknown_us):
        return log
    lacking, whole = unknown_us.sum() / 1e6, (log.end_us - log.start_us) / 1e6
    reason = f"expected them over all {whole:.1f} s, found none for {lacking:.1f} s, where what needs them is unknown"
    return replace(log, issues=(*log.issues, Issue("no_pose", "ego poses", reason, int(np.sum(unknown_us > 0)))))


def _require_names(found: LogSet, names: tuple[str, ...] | None) -> None:
    known = {name for log in found.logs for name in (log.name, log.log_id)} | {name for name, _ in found.refused}
    unknown = [name for name in names or () if name not in known]
    if unknown:
        raise DataError(f"expected names or ids of logs under this root, found none called {_listing(unknown)}")


def _listing(names: Sequence[str], most: int = 12) -> str:
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more
