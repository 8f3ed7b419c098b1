"""Video files (the extra ``sceneminer[video]``): ``ROOT/*.mp4`` each a log, ``ROOT/log/camera.mp4``, or one file.

A file is opened as what its first bytes say, out of MP4/QuickTime, Matroska/WebM and AVI only, from an open file
handle and never by name: playlists, scripts and links in containers are not followed. Opening a log reads packet
times and decodes nothing. A frame is found by its own presentation time, so variable frame rates are as they are.
"""

import functools
import heapq
import os
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import UInt8
from numpy import ndarray
from PIL import Image

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
from sceneminer.data.media import MAX_IMAGE_PIXELS, MediaRoot, media_error
from sceneminer.data.options import LogSet, OpenOptions
from sceneminer.data.track import Track

NAME = "video"
describe = "video: ROOT/*.mp4 (each a log), ROOT/log/camera.mp4, or one file (mp4, m4v, mov, mkv, webm, avi)"
_CODECS = frozenset(
    ("h264", "hevc", "av1", "vp8", "vp9", "mpeg4", "mpeg2video", "mjpeg", "prores", "dnxhd", "ffv1", "rawvideo")
)
_BOXES = (b"ftyp", b"moov", b"mdat", b"free", b"skip", b"wide")
_OPEN_DECODERS = 8
_AHEAD_US = 1_000_000
_SHORT_US = 400_000
_LONGEST_US = 24 * 3600 * 1_000_000


@dataclass(frozen=True)
class VideoStore:
    """Frames of video files below one root, decoded when asked for.

    ``starts`` has for each file the log time of its first frame (µs) and that frame's presentation time in the
    stream's own ticks. Decoders stay open in this process (``_decoder``), none in the store.
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
        decoder = _decoder(os.getpid(), str(path), stat.st_size, stat.st_mtime_ns, name)
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
    _av()
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


def _av() -> Any:
    try:
        import av
    except ImportError as error:
        raise DataError("expected PyAV to read video, found none; install the extra: sceneminer[video]") from error
    av.logging.set_level(None)
    return av


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


def _format_of(head: bytes, name: str) -> str:
    """The demuxer for a file by its first bytes; MediaError for all that is not on the list."""
    if len(head) < 12:
        raise media_error("broken_file", name, f"expected a video, found {len(head)} bytes")
    if head[4:8] in _BOXES:
        return "mov"
    if head[:4] == b"\x1a\x45\xdf\xa3":
        return "matroska"
    if head[:4] == b"RIFF" and head[8:12] == b"AVI ":
        return "avi"
    raise media_error("unsupported", name, f"expected an MP4, Matroska or AVI file, found one that starts {head[:8]!r}")


def _refuse_nested(url: str, flags: int, options: Any) -> Any:
    raise PermissionError("containers may not open other files")


def _open_container(path: Path, name: str) -> tuple[Any, Any]:
    """An open container and its video stream, within limits."""
    av = _av()
    try:
        handle = path.open("rb")
        kind = _format_of(handle.read(12), name)
        handle.seek(0)
        container = av.open(
            handle,
            format=kind,
            io_open=_refuse_nested,
            options={"protocol_whitelist": "file"},
            metadata_errors="replace",
            buffer_size=2**18,
        )
    except (av.error.FFmpegError, OSError, ValueError) as error:
        if isinstance(error, MediaError):
            raise
        reason = f"expected a video that can be opened, found {type(error).__name__}"
        raise media_error("broken_file", name, reason) from error
    streams = [s for s in container.streams.video if not s.disposition & av.stream.Disposition.attached_pic]
    if not streams:
        raise media_error("broken_file", name, "expected a video stream, found none")
    context = streams[0].codec_context
    if context.name not in _CODECS and context.codec.canonical_name not in _CODECS:
        raise media_error("unsupported", name, f"expected codec {', '.join(sorted(_CODECS))}; found {context.name}")
    if context.width * context.height > MAX_IMAGE_PIXELS:
        found = f"found {context.width}×{context.height}"
        raise media_error("too_large", name, f"expected at most {MAX_IMAGE_PIXELS} pixels, {found}")
    # No threads of FFmpeg's own, here and in conversion: a fork that frees what it inherited would wait for them.
    context.thread_count = 1
    context.options = {"max_pixels": str(MAX_IMAGE_PIXELS)}
    return container, streams[0]


def _ticks(packet: Any, container: Any) -> int | None:
    """When a packet's frame is shown. AVI stores order only, and guesses of it go wrong with B-frames: see _decoded."""
    return packet.dts if packet.pts is None or container.format.name == "avi" else packet.pts


def _offset_us(ticks: int, first: int, stream: Any) -> int:
    return (ticks - first) * stream.time_base.numerator * 1_000_000 // stream.time_base.denominator


def _read_timeline(media: MediaRoot, name: str) -> Timeline:
    """Frame times by reading packets, without decoding."""
    av = _av()
    container, stream = _open_container(media.path(name), name)
    ticks: list[int] = []
    hidden = 0
    issues: list[Issue] = []
    with container:
        try:
            for packet in container.demux(stream):
                hidden += packet.is_discard
                if packet.size and not packet.is_discard and (at := _ticks(packet, container)) is not None:
                    ticks.append(at)
        except (av.error.FFmpegError, OSError) as error:
            reason = f"expected packets to the end, found {type(error).__name__} after {len(ticks)}; the rest is lost"
            issues.append(Issue("broken_file", name, reason))
        created = created_us_of(container.metadata.get("creation_time") or stream.metadata.get("creation_time"))
        if not ticks:
            raise media_error("broken_file", name, "expected video frames, found none")
        offsets = sorted(_offset_us(t, min(ticks), stream) for t in ticks)
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


@functools.lru_cache(maxsize=_OPEN_DECODERS)
def _decoder(process: int, path: str, size: int, mtime_ns: int, name: str) -> "_Decoder":
    """This process's open decoder of a file as it is now; the key keeps forks from sharing a file position."""
    return _Decoder(Path(path), name)


class _Decoder:
    """One open video. Frames asked for in order are decoded in order; others are reached from a keyframe."""

    def __init__(self, path: Path, name: str):
        self._name = name
        self._container, self._stream = _open_container(path, name)
        self._lock = threading.Lock()
        self._frames: Iterator[tuple[int, Any]] = iter(())
        self._last: tuple[int, Any] | None = None

    def read(self, offset_us: int, *, first: int) -> UInt8[ndarray, "h w 3"]:
        """The frame at exactly that time after the first; MediaError where it cannot be decoded."""
        with self._lock:  # conversion too: the next thread may be given the same frame
            frame = self._find(offset_us, first)
            if frame is None or frame.is_corrupt:
                at = f"at {offset_us / 1e6:.3f} s"
                raise media_error("broken_file", self._name, f"expected a frame {at} that decodes, found none")
            if frame.width * frame.height > MAX_IMAGE_PIXELS:
                found = f"found {frame.width}×{frame.height}"
                raise media_error("too_large", self._name, f"expected at most {MAX_IMAGE_PIXELS} pixels, {found}")
            rgb = frame.to_ndarray(format="rgb24", threads=1)
            turns = frame.rotation // 90 if frame.rotation % 90 == 0 else 0
        return np.ascontiguousarray(np.rot90(rgb, turns)) if turns else rgb

    def _find(self, offset_us: int, first: int) -> Any:
        last_us = None if self._last is None else _offset_us(self._last[0], first, self._stream)
        if self._last is not None and last_us == offset_us:
            return self._last[1]
        if last_us is not None and 0 < offset_us - last_us <= _AHEAD_US:
            frame = self._advance(offset_us, first)
            if frame is not None:
                return frame
        # A frame shown before its group's keyframe needs the group before: go back further until it appears.
        for back_us in (0, 2_000_000, 10_000_000):
            self._seek(max(offset_us - back_us, 0), first)
            frame = self._advance(offset_us, first)
            if frame is not None or back_us >= offset_us:
                return frame
        return None

    def _seek(self, offset_us: int, first: int) -> None:
        base = self._stream.time_base
        ticks = first + offset_us * base.denominator // (base.numerator * 1_000_000)
        try:
            self._container.seek(ticks, stream=self._stream, backward=True)
        except _av().error.FFmpegError:
            self._container.seek(0)  # no index that far: from the beginning
        self._frames, self._last = self._decoded(), None

    def _advance(self, offset_us: int, first: int) -> Any:
        """Decodes on until that time; None if it is not there."""
        for ticks, frame in self._frames:
            self._last = ticks, frame
            at = _offset_us(ticks, first, self._stream)
            if at >= offset_us:
                return frame if at == offset_us else None
        return None

    def _decoded(self) -> Iterator[tuple[int, Any]]:
        """Frames as they are shown, with their times; a packet that does not decode gives none.

        AVI's frames have the times of their packets; B-frames get them in ascending order, as they are shown.
        """
        av = _av()
        is_avi = self._container.format.name == "avi"
        by_order = is_avi and self._stream.codec_context.has_b_frames
        waiting: list[int] = []
        packets = self._container.demux(self._stream)
        while True:
            try:
                packet = next(packets)
                ticks = _ticks(packet, self._container)
                frames = packet.decode()
            except StopIteration:
                return
            except av.error.InvalidDataError:
                if by_order:
                    return  # which frames are lost is unknown; the next group starts anew
                continue
            except (av.error.FFmpegError, OSError):
                return
            if by_order and packet.size and ticks is not None:
                heapq.heappush(waiting, ticks)
            for frame in frames:
                ticks = heapq.heappop(waiting) if by_order and waiting else frame.dts if is_avi else frame.pts
                if ticks is not None:
                    yield ticks, frame
