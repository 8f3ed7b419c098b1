"""Media files of an exported nuScenes folder: images and sweeps as files have them, or written anew where none does."""

import hashlib
import os
import re
import shutil
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import UInt8
from numpy import ndarray

from sceneminer.data.adapters.nuscenes_media import MAX_POINT_BYTES
from sceneminer.data.adapters.nuscenes_store import NuscenesStore
from sceneminer.data.adapters.video_log import readable
from sceneminer.data.errors import MediaError
from sceneminer.data.log import Log, Points, Series
from sceneminer.data.media import IMAGE_SUFFIXES, MediaRoot, media_error
from sceneminer.export.images import encoded_image

_OWN_NAME = re.compile(r"(samples|sweeps)/[A-Za-z0-9][A-Za-z0-9_.+-]*/[A-Za-z0-9][A-Za-z0-9_.+-]*")
UNKNOWN_RING = -1.0


@dataclass(frozen=True)
class MediaFile:
    """One measurement as a row of ``sample_data`` names it."""

    name: str
    fileformat: str
    width_px: int = 0
    height_px: int = 0
    labels: UInt8[ndarray, "n"] | None = None
    """lidarseg labels of a keyframe sweep of nuScenes."""


class MediaWriter:
    """Writes each measurement once, however many intervals hold it; counts what is unusable."""

    def __init__(self, folder: Path, *, link: bool):
        self.folder, self.link = folder, link
        self.files = 0
        self.unusable: Counter[tuple[str, str]] = Counter()
        """How many measurements of a (log and sensor, reason) could not be written."""
        self.not_linked = 0
        self._written: dict[tuple[str, str, int], MediaFile | None] = {}
        self._names: set[str] = set()

    def add(self, log: Log, series: Series, i: int, *, keyframe: bool) -> MediaFile | None:
        """The measurement's file in the export; None where it is unusable."""
        key = (log.log_id, series.name, int(series.times_us[i]))
        if key not in self._written:
            try:
                self._written[key] = self._write(log, series, i, keyframe)
            except MediaError as error:
                self.unusable[(f"{log.name} {series.name}", error.issue.reason)] += 1
                self._written[key] = None
        return self._written[key]

    def copy(self, source: Path, name: str) -> None:
        """A file as it is: linked where asked for and possible, else copied; never a symbolic link."""
        target = self._target(name)
        if self.link:
            try:
                os.link(source, target)
                return
            except OSError:
                self.not_linked += 1
        shutil.copyfile(source, target)

    def write(self, name: str, data: bytes) -> None:
        self._target(name).write_bytes(data)

    def left_out(self) -> list[tuple[str, str]]:
        found = [(what, f"{count} not written: {why}") for (what, why), count in self.unusable.items()]
        if self.not_linked:
            reason = f"expected to link them, found it not possible; {self.not_linked} files are copied"
            found.append(("links", reason))
        return found

    def _write(self, log: Log, series: Series, i: int, keyframe: bool) -> MediaFile:
        match series.modality:
            case "camera":
                return self._image(log, series, i, keyframe)
            case "lidar":
                return self._sweep(log, series, i, keyframe)
            case "radar":
                return self._radar(log, series, i, keyframe)

    def _image(self, log: Log, series: Series, i: int, keyframe: bool) -> MediaFile:
        image = encoded_image(log, series, i)
        source = _image_file(log, series, i)
        name = self._name(log, series, i, keyframe, image.suffix)
        if source is not None:
            self.copy(source, name)
        else:
            self.write(name, image.data)
        return MediaFile(name, image.suffix[1:], image.width_px, image.height_px)

    def _sweep(self, log: Log, series: Series, i: int, keyframe: bool) -> MediaFile:
        points = log.store.read_points(series, i)
        name = self._name(log, series, i, keyframe, ".pcd.bin")
        if isinstance(log.store, NuscenesStore):
            self.copy(log.store.media.path(series.files[i]), name)
        else:
            self.write(name, _point_rows(points).tobytes())
        labels = None if points.labels is None or not keyframe else points.labels.astype(np.uint8)
        return MediaFile(name, "pcd", labels=labels)

    def _radar(self, log: Log, series: Series, i: int, keyframe: bool) -> MediaFile:
        file = series.files[i]
        if not isinstance(log.store, NuscenesStore) or not file.endswith(".pcd"):
            raise media_error("unsupported", file, "expected radar returns in .pcd as nuScenes has them, found others")
        source = log.store.media.path(file)
        if source.stat().st_size > MAX_POINT_BYTES:
            raise media_error("too_large", file, f"expected at most {MAX_POINT_BYTES} bytes, found more")
        name = self._name(log, series, i, keyframe, ".pcd")
        self.copy(source, name)
        return MediaFile(name, "pcd")

    def _name(self, log: Log, series: Series, i: int, keyframe: bool, suffix: str) -> str:
        """nuScenes' own name where it is one and not taken by another log, else one of log, sensor and time."""
        own = series.files[i]
        if isinstance(log.store, NuscenesStore) and _OWN_NAME.fullmatch(own) and own not in self._names:
            return own
        folder, channel = ("samples" if keyframe else "sweeps"), safe_name(series.name)
        name = f"{folder}/{channel}/{safe_name(log.log_id)}__{channel}__{int(series.times_us[i])}"
        while name + suffix in self._names:
            name += "_"
        return name + suffix

    def _target(self, name: str) -> Path:
        assert name not in self._names, name
        self._names.add(name)
        self.files += 1
        target = self.folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        return target


def _image_file(log: Log, series: Series, i: int) -> Path | None:
    """The file that is one image and nothing else; None for a frame of a video and the like."""
    name, media = series.files[i], getattr(log.store, "media", None)
    if series.video_index is not None or Path(name).suffix.lower() not in IMAGE_SUFFIXES:
        return None
    return media.path(name) if isinstance(media, MediaRoot) else None


def safe_name(text: str) -> str:
    """A text as a file name; what had to be changed is told apart from others by a digest."""
    plain = readable(text)
    return plain if plain == text else f"{plain}-{hashlib.sha256(text.encode(errors='replace')).hexdigest()[:8]}"


def _point_rows(points: Points) -> ndarray:
    """Rows of x, y, z, intensity, ring as little-endian float32 (nuScenes devkit, LidarPointCloud)."""
    ring = np.full(len(points.xyz_m), UNKNOWN_RING) if points.ring is None else points.ring
    return np.column_stack([points.xyz_m, points.intensity, ring]).astype("<f4")
