"""The time of every image of a log: by table, by name or by count."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from sceneminer.data.adapters.folder_layout import Layout
from sceneminer.data.adapters.folder_tables import read_timestamps
from sceneminer.data.adapters.folder_times import frame_times_us, stamp_us
from sceneminer.data.errors import DataError, Issue
from sceneminer.data.media import MediaRoot, media_error


@dataclass(frozen=True)
class Times:
    """When the images of one log were taken."""

    files: Mapping[str, Mapping[int, str]]
    """Each camera's files by ascending time in µs."""
    counted: bool
    """Whether frames were counted at a given rate, for want of any time."""
    issues: tuple[Issue, ...]


def read_times(media: MediaRoot, layout: Layout, fps: float | None) -> Times:
    """From tables, else from stamps in names, else from frame numbers at ``fps``."""
    written, issues = _table_times(media, layout)
    result: dict[str, dict[int, str]] = {}
    counted: dict[str, tuple[str, ...]] = {}
    for camera, files in layout.cameras.items():
        known = written.get(camera) or {file: t for file in files if (t := stamp_us(Path(file).stem)) is not None}
        if not known:
            counted[camera] = files
            continue
        result[camera], found = _by_time(files, known)
        issues += found
    if counted and result:
        camera, known = next(iter(counted)), next(iter(result))
        raise media_error(
            "odd_time", camera, f"expected times as {known} has them, found names without; one clock a log"
        )
    if counted and fps is None:
        example = next(iter(counted.values()))[0]
        raise DataError(
            f"expected times of {layout.name}: a timestamps.csv, stamps in file names, or a frame rate (--fps); "
            f"found none, e.g. for {example}"
        )
    if counted and fps is not None:
        stems = {camera: [Path(file).stem for file in files] for camera, files in counted.items()}
        for camera, at in frame_times_us(stems, fps).items():
            result[camera], found = _by_time(counted[camera], dict(zip(counted[camera], at, strict=True)))
            issues += found
    return Times({camera: result[camera] for camera in layout.cameras}, bool(counted), tuple(issues))


def _table_times(media: MediaRoot, layout: Layout) -> tuple[dict[str, dict[str, int]], list[Issue]]:
    """What timestamps.csv of the log, or of a camera's own folder, says: time by file, by camera."""
    result: dict[str, dict[str, int]] = {}
    issues: list[Issue] = []
    camera_of = {file: camera for camera, files in layout.cameras.items() for file in files}
    folders = dict.fromkeys([layout.prefix, *(f"{Path(files[0]).parent}/" for files in layout.cameras.values())])
    for prefix in folders:
        prefix = "" if prefix == "./" else prefix
        name = f"{prefix}timestamps.csv"
        if not (media.folder / name).exists():
            continue
        absent, escaping = [], []
        for file, time_us in read_timestamps(media, name).items():
            camera = camera_of.get(f"{prefix}{file}")
            if camera is not None:
                result.setdefault(camera, {})[f"{prefix}{file}"] = time_us
            else:
                outside = Path(file).is_absolute() or ".." in Path(file).parts
                (escaping if outside else absent).append(file)
        if escaping:
            reason = f"expected files inside the folder, found {escaping[0][:80]!r}; not read"
            issues.append(Issue("escaping_path", name, reason, len(escaping)))
        if absent:
            reason = f"expected an image for each row, found none for {absent[0][:80]!r}"
            issues.append(Issue("missing_file", name, reason, len(absent)))
    return result, issues


def _by_time(files: tuple[str, ...], time_of: Mapping[str, int]) -> tuple[dict[int, str], list[Issue]]:
    """Files by ascending time; those without a time, or with a time that is taken, are left out and counted."""
    timed: dict[int, str] = {}
    without, twice = [], []
    for file in files:
        if file not in time_of:
            without.append(file)
        elif timed.setdefault(time_of[file], file) != file:
            twice.append(file)
    issues = []
    if without:
        reason = "expected a time for every image of the camera, found none for this one; left out"
        issues.append(Issue("odd_time", without[0], reason, len(without)))
    if twice:
        reason = "expected each time once a camera, found it twice; the first image is kept"
        issues.append(Issue("odd_time", twice[0], reason, len(twice)))
    return dict(sorted(timed.items())), issues
