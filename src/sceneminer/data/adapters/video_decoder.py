"""Video files opened from a handle within limits, and their frames, decoded when asked for (PyAV)."""

import functools
import heapq
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import UInt8
from numpy import ndarray

from sceneminer.data.errors import DataError, MediaError
from sceneminer.data.media import MAX_IMAGE_PIXELS, media_error

_CODECS = frozenset(
    ("h264", "hevc", "av1", "vp8", "vp9", "mpeg4", "mpeg2video", "mjpeg", "prores", "dnxhd", "ffv1", "rawvideo")
)
_BOXES = (b"ftyp", b"moov", b"mdat", b"free", b"skip", b"wide")
_OPEN_DECODERS = 8
_AHEAD_US = 1_000_000


def load_av() -> Any:
    try:
        import av
    except ImportError as error:
        raise DataError("expected PyAV to read video, found none; pip install 'sceneminer[video]'") from error
    av.logging.set_level(None)
    return av


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


def open_container(path: Path, name: str) -> tuple[Any, Any]:
    """An open container and its video stream, within limits."""
    av = load_av()
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


def ticks_of(packet: Any, container: Any) -> int | None:
    """When a packet's frame is shown. AVI stores order only, and guesses of it go wrong with B-frames: see _decoded."""
    return packet.dts if packet.pts is None or container.format.name == "avi" else packet.pts


def after_first_us(ticks: int, first: int, stream: Any) -> int:
    return (ticks - first) * stream.time_base.numerator * 1_000_000 // stream.time_base.denominator


@functools.lru_cache(maxsize=_OPEN_DECODERS)
def decoder_of(process: int, path: str, size: int, mtime_ns: int, name: str) -> "Decoder":
    """This process's open decoder of a file as it is now; the key keeps forks from sharing a file position."""
    return Decoder(Path(path), name)


class Decoder:
    """One open video. Frames asked for in order are decoded in order; others are reached from a keyframe."""

    def __init__(self, path: Path, name: str):
        self._name = name
        self._container, self._stream = open_container(path, name)
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
        last_us = None if self._last is None else after_first_us(self._last[0], first, self._stream)
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
        except load_av().error.FFmpegError:
            self._container.seek(0)  # no index that far: from the beginning
        self._frames, self._last = self._decoded(), None

    def _advance(self, offset_us: int, first: int) -> Any:
        """Decodes on until that time; None if it is not there."""
        for ticks, frame in self._frames:
            self._last = ticks, frame
            at = after_first_us(ticks, first, self._stream)
            if at >= offset_us:
                return frame if at == offset_us else None
        return None

    def _decoded(self) -> Iterator[tuple[int, Any]]:
        """Frames as they are shown, with their times; a packet that does not decode gives none.

        AVI's frames have the times of their packets; B-frames get them in ascending order, as they are shown.
        """
        av = load_av()
        is_avi = self._container.format.name == "avi"
        by_order = is_avi and self._stream.codec_context.has_b_frames
        waiting: list[int] = []
        packets = self._container.demux(self._stream)
        while True:
            try:
                packet = next(packets)
                ticks = ticks_of(packet, self._container)
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
