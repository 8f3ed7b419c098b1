"""Which videos make which log, and when their frames were, apart from any decoder."""

import hashlib
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import numpy as np

from sceneminer.data.errors import Issue
from sceneminer.data.log import Sensor, Series
from sceneminer.data.media import MediaRoot, is_text

CAMERA = "camera"
"""The name of the only camera of a video that is a log by itself."""
SUFFIXES = (".mp4", ".m4v", ".mov", ".mkv", ".webm", ".avi")
_FIRST_YEAR = 2000
"""Cameras without a clock write 1904 or 1970."""


@dataclass(frozen=True)
class Timeline:
    """What one file's packets say."""

    offsets_us: tuple[int, ...]
    first: int
    """Presentation time of the first frame, in ticks of the stream."""
    created_us: int | None
    issues: tuple[Issue, ...]


def iter_videos(root: Path) -> Iterator[tuple[str, str, str]]:
    """(log, camera, file relative to the root) of every video by name."""
    if root.is_file():
        if root.suffix.lower() in SUFFIXES:
            yield root.stem, CAMERA, root.name
        return
    for name, path in _named(_videos(root)):
        yield path.name if path.with_suffix("").is_dir() else name, CAMERA, path.name
    for folder in _folders(root):
        for name, path in _named(_videos(folder)):
            yield folder.name, name, f"{folder.name}/{path.name}"


def left_out(root: Path) -> tuple[Issue, ...]:
    """What looks like video and is not taken: names that are not UTF-8, links that lead nowhere, closed folders."""
    issues = []
    for folder in (root, *_folders(root)) if root.is_dir() else ():
        prefix = "" if folder == root else f"{folder.name}/"
        paths = _entries(folder)
        if paths is None:
            issues.append(Issue("broken_file", folder.name, "expected a folder that can be read, found none; left out"))
        for path in paths or ():
            if path.suffix.lower() not in SUFFIXES or path.name[0] == "." or path.is_dir():
                continue
            if not is_text(path.name):
                reason = "expected a file name in UTF-8, found other bytes; left out"
                issues.append(Issue("unsupported", f"{prefix}{path.name!a}", reason))
            elif not path.is_file():
                reason = "expected a file, found a link that leads to none, or no plain file; left out"
                issues.append(Issue("missing_file", f"{prefix}{path.name}", reason))
    return tuple(issues)


def _entries(folder: Path) -> list[Path] | None:
    try:
        return sorted(folder.iterdir())
    except OSError:
        return None


def _folders(root: Path) -> list[Path]:
    return [p for p in _entries(root) or () if p.name[0] != "." and is_text(p.name) and p.is_dir()]


def _videos(folder: Path) -> list[Path]:
    return [
        p
        for p in _entries(folder) or ()
        if p.suffix.lower() in SUFFIXES and p.name[0] != "." and is_text(p.name) and p.is_file()
    ]


def _named(videos: list[Path]) -> list[tuple[str, Path]]:
    """Each by its stem; those that share it with another (``front.mp4``, ``front.mkv``) by their whole names."""
    stems = Counter(path.stem for path in videos)
    return [(path.stem if stems[path.stem] == 1 else path.name, path) for path in videos]


def readable(name: str) -> str:
    return re.sub(r"[^A-Za-z0-9._-]+", "-", name).strip("-.")[:64] or "log"


def log_id_of(media: MediaRoot, name: str, lines: Mapping[str, Timeline]) -> str:
    """The name, and a digest of file names, sizes and frame times: moving the root keeps it."""
    digest = hashlib.sha256()
    for file, line in sorted(lines.items()):
        digest.update(f"{Path(file).name}\0{media.path(file).stat().st_size}\0{line.offsets_us}\n".encode())
    return f"{readable(name)}-{digest.hexdigest()[:8]}"


def starts_us(created_us: Mapping[str, int | None]) -> dict[str, int]:
    """When each camera's first frame was: by creation times if all have one, else 0.

    Creation times are whole seconds, so cameras that agree within one are taken to have started together.
    """
    known = [t for t in created_us.values() if t is not None]
    if len(known) < len(created_us):
        return dict.fromkeys(created_us, 0)
    if max(known) - min(known) <= 1_000_000:
        return dict.fromkeys(created_us, min(known))
    return {camera: t for camera, t in created_us.items() if t is not None}


def series_of(camera: str, file: str, line: Timeline, start_us: int) -> Series:
    count = len(line.offsets_us)
    return Series(
        name=camera,
        modality="camera",
        times_us=np.array(line.offsets_us, np.int64) + start_us,
        files=(file,) * count,
        keyframe=np.ones(count, bool),
        calibrations=(Sensor(camera, "camera", np.eye(4)),),
        calibration_index=np.zeros(count, np.int16),
        video_index=np.arange(count, dtype=np.int64),
    )


def created_us_of(text: str | None) -> int | None:
    try:
        moment = datetime.fromisoformat(text or "")
    except ValueError:
        return None
    if moment.tzinfo is None or moment.year < _FIRST_YEAR:
        return None
    return int(moment.timestamp() * 1e6)
