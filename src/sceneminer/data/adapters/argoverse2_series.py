"""The sensor files of an Argoverse 2 log: ``sensors/cameras/<name>/<ns>.jpg`` and ``sensors/lidar/<ns>.feather``."""

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
from jaxtyping import Int
from numpy import ndarray

from sceneminer.data.adapters.argoverse2_tables import LIDAR
from sceneminer.data.errors import Issue, IssueKind
from sceneminer.data.log import Rig, Sensor, Series
from sceneminer.data.media import IMAGE_SUFFIXES, MediaRoot, existing_folder, outside_issue
from sceneminer.data.options import OpenOptions

_KEYFRAME_TOLERANCE_US = 30_000
_LONGEST_DRIVE_US = 12 * 3600 * 1_000_000


def missing(subject: str, expected: str, without: str, *, kind: IssueKind = "missing_table") -> Issue:
    """The Issue of something that a complete log has."""
    return Issue(kind, subject, f"expected {expected}, found none; {without}")


def media_of(root: Path, where: str, *, log_name: str, media_root: Path | None) -> tuple[MediaRoot, str]:
    """Where this log's sensor folder is: under the data root, or under the media root by path or by log name."""
    if media_root is None:
        return MediaRoot(root), where
    media = existing_folder(media_root, "a media root")
    base = next((b for b in (where, log_name) if (media / b / "sensors").is_dir()), where)
    return MediaRoot(media), base


def open_series(
    media: MediaRoot, base: str, rig: Rig, reference: Int[ndarray, "k"], options: OpenOptions
) -> tuple[dict[str, Series], list[Issue]]:
    """One series a sensor folder that has files, cameras in the rig's order."""
    sensors = media.folder / base / "sensors"
    cameras = [p.name for p in (sensors / "cameras").glob("*") if p.is_dir()]
    known = list(rig.sensors)
    cameras.sort(key=lambda name: (known.index(name) if name in known else len(known), name))
    prefix = "" if base == "." else f"{base}/"
    folders: dict[str, tuple[str, tuple[str, ...]]] = {
        name: (f"{prefix}sensors/cameras/{name}", IMAGE_SUFFIXES) for name in cameras
    }
    if (sensors / LIDAR).is_dir():
        folders[LIDAR] = (f"{prefix}sensors/{LIDAR}", (".feather",))
    result: dict[str, Series] = {}
    issues: list[Issue] = []
    for name, (folder, suffixes) in folders.items():
        stamped, found = _stamped(media.folder, folder, suffixes)
        issues += found
        sensor = rig.sensors.get(name) or Sensor(name, "camera", np.eye(4))
        series = _one_series(sensor, stamped, reference)
        series = series if options.sweeps else _keyframes(series)
        if not media.holds(folder):
            issues.append(outside_issue(folder, folder, len(series)))
        if len(series) == 0:
            issues.append(missing(folder, "files of this sensor", "the log is without it", kind="missing_file"))
            continue
        if name not in rig.sensors and rig.source == "calibrated":
            issues.append(missing(folder, f"calibration of {name}", "not calibrated", kind="no_calibration"))
        result[name] = series
    return result, issues


def _stamped(root: Path, folder: str, suffixes: tuple[str, ...]) -> tuple[dict[int, str], list[Issue]]:
    """Files by time in µs, and those whose names are no time, or one that is half a day from the others."""
    stamped: dict[int, str] = {}
    odd: list[str] = []
    for path in sorted((root / folder).iterdir()):
        if path.suffix.lower() not in suffixes:
            continue
        name = f"{folder}/{path.name}"
        if re.fullmatch(r"\d{10,19}", path.stem) and (time_us := int(path.stem) // 1000) not in stamped:
            stamped[time_us] = name
        else:
            odd.append(name)
    if stamped:
        middle = sorted(stamped)[len(stamped) // 2]
        far = [time_us for time_us in stamped if abs(time_us - middle) > _LONGEST_DRIVE_US]
        odd += [stamped.pop(time_us) for time_us in far]
    reason = "expected <time in ns> as the file name, each once and near the others; found others, left out"
    return stamped, [Issue("odd_time", odd[0], reason, len(odd))] if odd else []


def _one_series(sensor: Sensor, stamped: dict[int, str], reference: Int[ndarray, "k"]) -> Series:
    times = np.array(sorted(stamped), np.int64)
    keyframe = np.ones(len(times), bool)
    if len(reference) and len(times):
        right = np.clip(np.searchsorted(times, reference), 0, len(times) - 1)
        left = np.maximum(right - 1, 0)
        nearest = np.where(reference - times[left] <= times[right] - reference, left, right)
        keyframe[:] = False
        keyframe[nearest[np.abs(times[nearest] - reference) <= _KEYFRAME_TOLERANCE_US]] = True
    return Series(
        name=sensor.name,
        modality=sensor.modality,
        times_us=times,
        files=tuple(stamped[int(t)] for t in times),
        keyframe=keyframe,
        calibrations=(sensor,),
        calibration_index=np.zeros(len(times), np.int16),
    )


def _keyframes(series: Series) -> Series:
    keep = series.keyframe
    return replace(
        series,
        times_us=series.times_us[keep],
        files=tuple(np.array(series.files, object)[keep]),
        keyframe=keep[keep],
        calibration_index=series.calibration_index[keep],
    )


def rig_of(rig: Rig, series: dict[str, Series]) -> Rig:
    """The rig with every sensor that has a series: those without calibration too."""
    return replace(rig, sensors={**rig.sensors, **{n: s.calibrations[0] for n, s in series.items()}})
