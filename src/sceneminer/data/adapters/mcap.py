"""MCAP recordings (the extra ``sceneminer[mcap]``): ROS 2 in CDR, Foxglove's schemas in protobuf or JSON.

Opening reads each file's summary and message indexes, all transforms, odometry and boxes, one camera info and one
image a topic, and of the other images and points the first bytes, where their stamps stand; no image is decoded. Where
even that would mean to decompress a lot, stamps are sampled (``mcap_clock``). Images and points are read one message at
a time through the index, and boxes once more when tracks are asked for (docs/reference/formats.md).
"""

import functools
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from jaxtyping import UInt8
from numpy import ndarray

from sceneminer.data.adapters.mcap_clock import Clock
from sceneminer.data.adapters.mcap_log import (
    Part,
    find_parts,
    has_recording,
    iter_folders,
    left_out,
    log_id_of,
    readable,
)
from sceneminer.data.adapters.mcap_messages import Kind, read_cloud, read_picture, said
from sceneminer.data.adapters.mcap_pixels import cloud_points, picture_pixels
from sceneminer.data.adapters.mcap_recording import open_recording
from sceneminer.data.adapters.mcap_records import load_mcap
from sceneminer.data.adapters.mcap_rig import read_motion
from sceneminer.data.adapters.mcap_series import open_sensors, read_topics
from sceneminer.data.adapters.mcap_tracks import find_tracks
from sceneminer.data.errors import DataError, Issue, MediaError
from sceneminer.data.hdmap import HdMap
from sceneminer.data.log import Log, Points, Series
from sceneminer.data.media import MediaRoot, media_error
from sceneminer.data.options import LogSet, OpenOptions
from sceneminer.data.track import Track

NAME = "mcap"
_FOR_TRACKS: frozenset[Kind] = frozenset(("transform", "pose", "scene"))
describe = (
    "mcap: ROOT/*.mcap, ROOT/log/*.mcap or one file (ROS 2 or Foxglove messages); files whose names differ by a last "
    "number and that continue one another in time are one log"
)


@dataclass(frozen=True)
class McapStore:
    """Images, points and boxes in recordings below one root. Files are opened in this process, the store holds none.

    ``sizes`` are those of the files on opening, in the order of their times: message numbers mean nothing in a file
    that has changed.
    """

    media: MediaRoot
    topics: Mapping[str, str]
    """By series."""
    sizes: Mapping[str, int]
    tracks_by_stamps: bool | None
    """Whether boxes are dated by their stamps, else by log times; None where the recording has no tracks."""

    def read_image(self, series: Series, i: int, *, size: tuple[int, int] | None = None) -> UInt8[ndarray, "h w 3"]:
        channel, data = self._message(series, i)
        return picture_pixels(said(series.files[i], read_picture, channel, data), series.files[i], size)

    def read_points(self, series: Series, i: int) -> Points:
        if series.modality != "lidar":
            raise media_error("unsupported", series.files[i], f"expected LiDAR points, found a {series.modality}")
        channel, data = self._message(series, i)
        return said(series.files[i], lambda c, d: cloud_points(read_cloud(c, d), series.files[i]), channel, data)

    def read_tracks(self) -> tuple[Track, ...]:
        if self.tracks_by_stamps is None:
            return ()
        files = tuple((name, self._unchanged(name)) for name in self.sizes)
        return _tracks_of(os.getpid(), self.media, files, self.tracks_by_stamps)

    def read_map(self) -> HdMap | None:
        return None

    def _message(self, series: Series, i: int):
        name = series.files[i]
        self.media.path(name)
        if name not in self.sizes or series.name not in self.topics or series.video_index is None:
            raise media_error("missing_file", name, "expected a recording that was there on opening, found another")
        self._unchanged(name)
        return open_recording(self.media, name).read(self.topics[series.name], int(series.video_index[i]))

    def _unchanged(self, name: str) -> int:
        """When a file was last written, in ns; MediaError where it has another size than on opening."""
        found = self.media.path(name).stat()
        if found.st_size != self.sizes[name]:
            reason = f"expected the {self.sizes[name]} bytes that were there on opening, found {found.st_size}"
            raise media_error("broken_file", name, reason)
        return found.st_mtime_ns


@functools.lru_cache(maxsize=2)
def _tracks_of(process: int, media: MediaRoot, files: tuple[tuple[str, int], ...], stamped: bool) -> tuple[Track, ...]:
    """Mining asks for the tracks of a log several times over; the key names the files as they are now."""
    recordings = [open_recording(media, name) for name, _ in files]
    topics, _ = read_topics(recordings, _FOR_TRACKS)
    clock = Clock(stamped, {}, ())
    motion, _ = read_motion(recordings, topics, clock)
    return find_tracks(recordings, topics, clock, motion)[0]


def detect(root: Path) -> bool:
    """Whether the root is an MCAP file by its name, or has one in it or in a folder of it."""
    return has_recording(Path(root))


def open_logs(root: Path, options: OpenOptions) -> LogSet:
    """One log a run of files; DataError without the extra or without a recording."""
    root = Path(root)
    load_mcap()
    if root.is_file():
        media, folders = MediaRoot(root.parent), [("", [root.name])] if has_recording(root) else []
    else:
        media, folders = MediaRoot(root), iter_folders(root)
    if not folders:
        raise DataError(f"expected {describe}; found no recording at {root}")
    logs: list[Log] = []
    refused: list[tuple[str, Issue]] = []
    for folder, files in folders:
        parts, unreadable = find_parts(media, folder, files)
        refused += unreadable
        for part in parts:
            if options.logs is not None and not any(
                n == part.name or n[:-9] == readable(part.name) for n in options.logs
            ):
                continue
            try:
                log = _open_log(media, part)
            except MediaError as error:
                refused.append((part.name, error.issue))
                continue
            if options.logs is None or {log.name, log.log_id} & set(options.logs):
                logs.append(log)
    return LogSet(tuple(logs), tuple(refused), left_out(root))


def _open_log(media: MediaRoot, part: Part) -> Log:
    recordings = [open_recording(media, name) for name in part.files]
    topics, issues = read_topics(recordings)
    sensors = open_sensors(recordings, topics)
    if not sensors.series:
        found = "; ".join(issue.reason for issue in sensors.issues[:3]) or "none"
        raise media_error("unsupported", part.files[0], f"expected topics of images or points, found {found}")
    series, motion = sensors.series, sensors.motion
    tracks, lost = find_tracks(recordings, topics, sensors.clock, motion)
    densest = max(series.values(), key=lambda s: (s.modality == "camera", len(s)))
    read = [issue for recording in recordings for issue in (*recording.index.issues, *recording.left_out())]
    return Log(
        log_id=log_id_of(part.name, {sensors.topics[name]: int(s.times_us[0]) for name, s in series.items()}),
        name=part.name,
        dataset=NAME,
        split=None,
        location=None,
        description="",
        licence=None,
        start_us=min(int(s.times_us[0]) for s in series.values()),
        end_us=max(int(s.times_us[-1]) for s in series.values()),
        rig=sensors.rig,
        series=series,
        reference_times_us=densest.times_us,
        pose_times_us=motion.times_us,
        world_from_ego=motion.world_from_ego,
        store=McapStore(
            media,
            sensors.topics,
            {name: media.path(name).stat().st_size for name in part.files},
            tracks_by_stamps=sensors.clock.stamped if tracks else None,
        ),
        has_tracks=bool(tracks),
        has_map=False,
        issues=(*read, *issues, *sensors.issues, *lost),
    )
