"""Video files (the extra ``sceneminer[video]``): ``ROOT/*.mp4`` each a log, ``ROOT/log/camera.mp4``, or one file.

A file is opened as what its first bytes say, out of MP4/QuickTime, Matroska/WebM and AVI only, from an open file
handle and never by name: playlists, scripts and links in containers are not followed. Opening a log reads packet
times and decodes nothing. A frame is found by its own presentation time, so variable frame rates are as they are.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import UInt8
from numpy import ndarray
from PIL import Image

from sceneminer.data.adapters.video_decoder import after_first_us, decoder_of, load_av, open_container, ticks_of
from sceneminer.data.adapters.video_log import (
    Timeline,
    created_us_of,
    iter_videos,
    left_out,
    log_id_of,
    readable,
    series_of,
    starts_us,
)
from sceneminer.data.errors import DataError, Issue, MediaError
from sceneminer.data.hdmap import HdMap
from sceneminer.data.log import Log, Points, Rig, Series
from sceneminer.data.media import MediaRoot, media_error
from sceneminer.data.options import LogSet, OpenOptions
from sceneminer.data.track import Track

NAME = "video"
describe = "video: ROOT/*.mp4 (each a log), ROOT/log/camera.mp4, or one file (mp4, m4v, mov, mkv, webm, avi)"
_SHORT_US = 400_000
_LONGEST_US = 24 * 3600 * 1_000_000


@dataclass(frozen=True)
class VideoStore:
    """Frames of video files below one root, decoded when asked for.

    ``starts`` has for each file the log time of its first frame (µs) and that frame's presentation time in the
    stream's own ticks. Decoders stay open in this process (``decoder_of``), none in the store.
    """

    media: MediaRoot
    starts: Mapping[str, tuple[int, int]]

    def read_image(self, series: Series, i: int, *, size: tuple[int, int] | None = None) -> UInt8[ndarray, "h w 3"]:
        name = series.files[i]
        path = self.media.path(name)
        if name not in self.starts:
            raise media_error("missing_file", name, "expected a video that was there on opening, found another")
        start_us, first = self.starts[name]
        stat = path.stat()
        decoder = decoder_of(os.getpid(), str(path), stat.st_size, stat.st_mtime_ns, name)
        rgb = decoder.read(int(series.times_us[i]) - start_us, first=first)
        if size is None or rgb.shape[1::-1] == size:
            return rgb
        return np.asarray(Image.fromarray(rgb).resize(size, Image.Resampling.BICUBIC, reducing_gap=2.0))

    def read_points(self, series: Series, i: int) -> Points:
        raise media_error("unsupported", series.files[i], "expected LiDAR points, found a video")

    def read_tracks(self) -> tuple[Track, ...]:
        return ()

    def read_map(self) -> HdMap | None:
        return None


def detect(root: Path) -> bool:
    """Whether the root is a video by its name, or has one in it or in a folder of it."""
    return any(True for _ in iter_videos(Path(root)))


def open_logs(root: Path, options: OpenOptions) -> LogSet:
    """One log a video in the root, one a folder of videos; DataError without PyAV or without a video."""
    root = Path(root)
    load_av()
    found: dict[str, dict[str, str]] = {}
    for name, camera, file in iter_videos(root):
        found.setdefault(name, {})[camera] = file
    if not found:
        raise DataError(f"expected {describe}; found no video at {root}")
    media = MediaRoot(root if root.is_dir() else root.parent)
    logs: list[Log] = []
    refused: list[tuple[str, Issue]] = []
    for name, files in found.items():
        if options.logs is not None and not any(n == name or n[:-9] == readable(name) for n in options.logs):
            continue
        try:
            log = _open_log(media, name, files)
        except MediaError as error:
            refused.append((name, error.issue))
            continue
        if options.logs is None or {log.name, log.log_id} & set(options.logs):
            logs.append(log)
    return LogSet(tuple(logs), tuple(refused), left_out(root))


def _open_log(media: MediaRoot, name: str, files: Mapping[str, str]) -> Log:
    lines: dict[str, Timeline] = {}
    issues: list[Issue] = []
    for camera, file in files.items():
        try:
            lines[camera] = _read_timeline(media, file)
            issues += lines[camera].issues
        except MediaError as error:
            issues.append(error.issue)
    if not lines:
        raise MediaError(issues[0])
    starts = starts_us({camera: line.created_us for camera, line in lines.items()})
    series = {camera: series_of(camera, files[camera], line, starts[camera]) for camera, line in lines.items()}
    return Log(
        log_id=log_id_of(media, name, {files[camera]: line for camera, line in lines.items()}),
        name=name,
        dataset=NAME,
        split=None,
        location=None,
        description="",
        licence=None,
        start_us=min(int(s.times_us[0]) for s in series.values()),
        end_us=max(int(s.times_us[-1]) for s in series.values()),
        rig=Rig({camera: s.calibrations[0] for camera, s in series.items()}, "none"),
        series=series,
        reference_times_us=max(series.values(), key=len).times_us,
        pose_times_us=np.zeros(0, np.int64),
        world_from_ego=np.zeros((0, 4, 4)),
        store=VideoStore(media, {files[c]: (starts[c], line.first) for c, line in lines.items()}),
        has_tracks=False,
        has_map=False,
        issues=tuple(issues),
    )


def _read_timeline(media: MediaRoot, name: str) -> Timeline:
    """Frame times by reading packets, without decoding."""
    av = load_av()
    container, stream = open_container(media.path(name), name)
    ticks: list[int] = []
    hidden = 0
    issues: list[Issue] = []
    with container:
        try:
            for packet in container.demux(stream):
                hidden += packet.is_discard
                if packet.size and not packet.is_discard and (at := ticks_of(packet, container)) is not None:
                    ticks.append(at)
        except (av.error.FFmpegError, OSError) as error:
            reason = f"expected packets to the end, found {type(error).__name__} after {len(ticks)}; the rest is lost"
            issues.append(Issue("broken_file", name, reason))
        created = created_us_of(container.metadata.get("creation_time") or stream.metadata.get("creation_time"))
        if not ticks:
            raise media_error("broken_file", name, "expected video frames, found none")
        offsets = sorted(after_first_us(t, min(ticks), stream) for t in ticks)
        if offsets[-1] > _LONGEST_US:
            raise media_error(
                "odd_time", name, f"expected times within 24 hours, found {offsets[-1] / 3.6e9:.0f} hours"
            )
        lacking = _lacking(container.duration or 0, stream.frames, offsets, hidden)
    if lacking and not issues:
        issues.append(Issue("broken_file", name, lacking))
    unique = tuple(dict.fromkeys(offsets))
    if len(unique) < len(offsets):
        reason = "expected each frame time once, found repeats; the first is kept"
        issues.append(Issue("odd_time", name, reason, len(offsets) - len(unique)))
    return Timeline(unique, min(ticks), created, tuple(issues))


def _lacking(declared_us: int, declared: int, offsets_us: list[int], hidden: int) -> str:
    """What a file says it has and has not: by frames where it counts them, else by duration."""
    last_us, count = offsets_us[-1], len(offsets_us)
    if declared > count + hidden:
        return f"expected {declared} frames as the file declares, found {count}"
    if declared == 0 and declared_us - last_us > _SHORT_US + 2 * last_us // max(count - 1, 1):
        return f"expected {declared_us / 1e6:.1f} s as the file declares, found the last frame at {last_us / 1e6:.1f} s"
    return ""
