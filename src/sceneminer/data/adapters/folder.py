"""Plain folders of images: ``ROOT/*.jpg``, ``ROOT/camera/*.jpg`` or ``ROOT/log/camera/*.jpg``.

Times come from ``timestamps.csv``, else from stamps in the file names, else from frame numbers and a given rate;
calibration from ``rig.json`` and poses from ``poses.csv`` where they are there (docs/reference/formats.md).
"""

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from jaxtyping import Float, Int, UInt8
from numpy import ndarray
from PIL import Image

from sceneminer.data.adapters.folder_clock import read_times
from sceneminer.data.adapters.folder_layout import Layout, find_layouts, has_image, iter_folders
from sceneminer.data.adapters.folder_tables import read_pose_table, read_rig_file
from sceneminer.data.errors import DataError, Issue, MediaError
from sceneminer.data.hdmap import HdMap
from sceneminer.data.log import Log, Points, Rig, Sensor, Series
from sceneminer.data.media import MediaRoot, existing_folder, media_error
from sceneminer.data.options import LogSet, OpenOptions
from sceneminer.data.track import Track

NAME = "folder"
describe = "folder: images as ROOT/*.jpg, ROOT/camera/*.jpg or ROOT/log/camera/*.jpg (jpg, jpeg, png)"

_DATES_FROM_US = 10**15
"""Times from 2001 on are dates, which no two drives of a name share; smaller ones only say where in a drive."""
_HEAD_BYTES = 2**20


@dataclass(frozen=True)
class FolderStore:
    """Images below one root; there are no points, tracks or maps."""

    media: MediaRoot

    def read_image(self, series: Series, i: int, *, size: tuple[int, int] | None = None) -> UInt8[ndarray, "h w 3"]:
        return self.media.read_image(series.files[i], size=size)

    def read_points(self, series: Series, i: int) -> Points:
        raise media_error("unsupported", series.files[i], "expected LiDAR points, found a folder of images")

    def read_tracks(self) -> tuple[Track, ...]:
        return ()

    def read_map(self) -> HdMap | None:
        return None


def detect(root: Path) -> bool:
    """Whether an image lies in the root, or one or two folders below it."""
    root = Path(root)
    return root.is_dir() and any(has_image(folder) for folder in iter_folders(root))


def open_logs(root: Path, options: OpenOptions) -> LogSet:
    """One log for images in the root or in folders of it, and one a child that holds such folders."""
    root = existing_folder(root, "a folder of images")
    layouts, issues = find_layouts(root)
    if not layouts:
        raise DataError(f"expected {describe}; found no such image at {root}")
    logs: list[Log] = []
    refused: list[tuple[str, Issue]] = []
    for layout in layouts:
        if options.logs is not None and not any(_asked(layout, name) for name in options.logs):
            continue
        try:
            log = _open_log(root, layout, options)
        except MediaError as error:
            refused.append((layout.name, error.issue))
            continue
        if options.logs is None or {log.name, log.log_id} & set(options.logs):
            logs.append(log)
    return LogSet(tuple(logs), tuple(refused), tuple(issues))


def _readable(layout: Layout) -> str:
    return re.sub(r"[^A-Za-z0-9._-]+", "-", layout.name).strip("-.")[:64] or "log"


def _asked(layout: Layout, name_or_id: str) -> bool:
    """Whether a log may be the one asked for, as far as its folder's name tells."""
    return name_or_id == layout.name or name_or_id[:-9] == _readable(layout)


def _open_log(root: Path, layout: Layout, options: OpenOptions) -> Log:
    media = MediaRoot(root)
    read = read_times(media, layout, options.fps)
    times = read.files
    cameras = tuple(name for name in layout.cameras if times[name])
    if not cameras:
        raise media_error("odd_time", layout.folder, "expected images with a time, found none")
    rig, rig_issues = _rig(media, layout, {name: next(iter(times[name].values())) for name in cameras})
    series = {name: _series(rig.sensors[name], times[name]) for name in cameras}
    pose_times, poses, pose_issues = _poses(media, layout, series)
    densest = max(series.values(), key=len)
    return Log(
        log_id=_log_id(media, layout, times, options.fps if read.counted else None),
        name=layout.name,
        dataset=NAME,
        split=None,
        location=None,
        description="",
        licence=None,
        start_us=min(int(s.times_us[0]) for s in series.values()),
        end_us=max(int(s.times_us[-1]) for s in series.values()),
        rig=rig,
        series=series,
        reference_times_us=densest.times_us,
        pose_times_us=pose_times,
        world_from_ego=poses,
        store=FolderStore(media),
        has_tracks=False,
        has_map=False,
        issues=(*layout.issues, *read.issues, *rig_issues, *pose_issues),
    )


def _log_id(media: MediaRoot, layout: Layout, times: Mapping[str, Mapping[int, str]], fps: float | None) -> str:
    """The name, and a digest of how the log begins: its first image's name, time and, unless that is a date, content.

    Clips are counted from the first image, so an id lasts as long as that does: through images that are added behind
    it or removed, and through moves of the root. frame_0000 of another drive, or at another rate, is another log.
    """
    start_us, file = min(((next(iter(files.items()))) for files in times.values() if files), key=lambda first: first[0])
    digest = hashlib.sha256(f"{file.removeprefix(layout.prefix)}\0{start_us}\0{fps}".encode("utf-8", "surrogateescape"))
    if start_us < _DATES_FROM_US:
        with media.path(file).open("rb") as image:
            digest.update(image.read(_HEAD_BYTES))
    return f"{_readable(layout)}-{digest.hexdigest()[:8]}"


def _series(sensor: Sensor, files: Mapping[int, str]) -> Series:
    return Series(
        name=sensor.name,
        modality="camera",
        times_us=np.fromiter(files, np.int64, len(files)),
        files=tuple(files.values()),
        keyframe=np.ones(len(files), bool),
        calibrations=(sensor,),
        calibration_index=np.zeros(len(files), np.int16),
    )


def _beside(media: MediaRoot, layout: Layout, file: str) -> str | None:
    """The log's own file of that name, else the root's."""
    return next((n for n in (f"{layout.prefix}{file}", file) if (media.folder / n).exists()), None)


def _rig(media: MediaRoot, layout: Layout, files: Mapping[str, str]) -> tuple[Rig, tuple[Issue, ...]]:
    """The rig beside the log, else beside the root, fitted to the first image of each camera."""
    name = _beside(media, layout, "rig.json")
    if name is None:
        return Rig({camera: Sensor(camera, "camera", np.eye(4)) for camera in files}, "none"), ()
    rig, issues = read_rig_file(media, name, tuple(files))
    fitted = {camera: _fitted(media, rig.sensors[camera], file) for camera, file in files.items()}
    sensors = {camera: sensor for camera, (sensor, _) in fitted.items()}
    others = {n: s for n, s in rig.sensors.items() if n not in sensors}
    return replace(rig, sensors={**sensors, **others}), (*issues, *(i for _, found in fitted.values() for i in found))


def _fitted(media: MediaRoot, sensor: Sensor, file: str) -> tuple[Sensor, tuple[Issue, ...]]:
    """A calibration brought to the size of an image of the same shape; of another shape, it is none."""
    camera = sensor.camera
    size = None if camera is None else _image_size(media, file)
    if camera is None or size is None or size == (camera.width_px, camera.height_px):
        return sensor, ()
    expected = f"expected images of {camera.width_px}×{camera.height_px} as in rig.json, found {size[0]}×{size[1]}"
    stretch = (size[0] / camera.width_px) / (size[1] / camera.height_px)
    if abs(stretch - 1) < 0.01:
        issue = Issue("no_calibration", file, f"{expected}; the calibration is scaled to them")
        return replace(sensor, camera=camera.resized(*size)), (issue,)
    return replace(sensor, camera=None), (Issue("no_calibration", file, f"{expected}; it is not calibrated"),)


def _image_size(media: MediaRoot, file: str) -> tuple[int, int] | None:
    """By its header; None where it cannot be read, which reading the image will say."""
    try:
        with Image.open(media.path(file), formats=("JPEG", "PNG")) as image:
            return image.size
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
        return None


def _poses(
    media: MediaRoot, layout: Layout, series: Mapping[str, Series]
) -> tuple[Int[ndarray, "p"], Float[ndarray, "p 4 4"], tuple[Issue, ...]]:
    """The log's own poses.csv; poses that share no time with the images are left out."""
    none = np.zeros(0, np.int64), np.zeros((0, 4, 4))
    name = f"{layout.prefix}poses.csv"
    if not (media.folder / name).exists():
        return *none, ()
    times, poses = read_pose_table(media, name)
    start, end = (pick(int(s.times_us[i]) for s in series.values()) for pick, i in ((min, 0), (max, -1)))
    if times[0] > end or times[-1] < start:
        reason = f"expected poses between {start} and {end} µs, found {times[0]} to {times[-1]}; left out"
        return *none, (Issue("no_pose", name, reason),)
    return times, poses, ()
