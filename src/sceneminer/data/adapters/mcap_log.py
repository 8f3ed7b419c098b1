"""Which MCAP files make which log, and what its cameras are called."""

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from sceneminer.data.adapters.mcap_messages import kind_of
from sceneminer.data.adapters.mcap_recording import Recording, open_recording
from sceneminer.data.adapters.video_log import readable
from sceneminer.data.errors import Issue, MediaError
from sceneminer.data.media import MediaRoot, is_text

SUFFIX = ".mcap"
CAMERA = "camera"
"""The name of a camera whose topic has only image parts."""
_NUMBERED = re.compile(r"(.+?)[_.-](\d{1,9})")
_IMAGE_PART = re.compile(r"image(_.*)?|compressed|raw|color|rgb|video", re.IGNORECASE)
_SMALL_PART = re.compile(r"camera_info|calibration|camera_calibration|info|intrinsics", re.IGNORECASE)
_MAX_GAP_NS = 10 * 10**9
_MAX_OVERLAP_NS = 10**9


@dataclass(frozen=True)
class Part:
    """The files of one log, in the order of their times, relative to the root."""

    name: str
    files: tuple[str, ...]


def iter_folders(root: Path) -> list[tuple[str, list[str]]]:
    """(folder, file names) of the root and the folders in it that have MCAP files by name; the root's own is ``""``."""
    found = [("", _files(root))] + [(p.name, _files(p)) for p in _entries(root) if _is_shown(p) and p.is_dir()]
    return [(folder, files) for folder, files in found if files]


def has_recording(root: Path) -> bool:
    """Whether the root is an MCAP file by its name, or has one in it or in a folder of it."""
    return root.suffix.lower() == SUFFIX if root.is_file() else bool(iter_folders(root))


def left_out(root: Path) -> tuple[Issue, ...]:
    """What looks like a recording and is not taken: names that are not UTF-8, and bags that are no MCAP."""
    issues = []
    for folder in [root, *(p for p in _entries(root) if _is_shown(p) and p.is_dir())] if root.is_dir() else ():
        prefix = "" if folder == root else f"{folder.name}/"
        for path in _entries(folder):
            if not is_text(path.name) and path.name.lower().endswith(SUFFIX):
                reason = "expected a file name in UTF-8, found other bytes; left out"
                issues.append(Issue("unsupported", f"{prefix}{path.name!a}", reason))
            elif path.suffix.lower() in (".db3", ".bag"):
                reason = f"expected recordings as .mcap, found {path.suffix}; left out"
                issues.append(Issue("unsupported", f"{prefix}{path.name}", reason))
    return tuple(issues)


def _entries(folder: Path) -> list[Path]:
    try:
        return sorted(folder.iterdir())
    except OSError:
        return []


def _is_shown(path: Path) -> bool:
    return path.name[0] != "." and is_text(path.name)


def _files(folder: Path) -> list[str]:
    return [p.name for p in _entries(folder) if p.suffix.lower() == SUFFIX and _is_shown(p) and not p.is_dir()]


def find_parts(media: MediaRoot, folder: str, files: Sequence[str]) -> tuple[list[Part], list[tuple[str, Issue]]]:
    """The logs of one folder: each file is one, but files that continue one another in time are one together.

    They do if their names differ only in a number at the end (``drive_0.mcap``, ``drive_1.mcap``), their topics are
    alike, and each begins where the one before it ends (within 10 s after, 1 s before). Files that cannot be read are
    refused by name.
    """
    prefix = f"{folder}/" if folder else ""
    runs: list[tuple[str, list[Recording]]] = []
    refused: list[tuple[str, Issue]] = []
    for name in sorted(files, key=_order):
        try:
            recording = open_recording(media, f"{prefix}{name}")
        except MediaError as error:
            refused.append((f"{prefix}{name[: -len(SUFFIX)]}", error.issue))
            continue
        if runs and _stem(name) == runs[-1][0] and _continues(runs[-1][1][-1], recording):
            runs[-1][1].append(recording)
        else:
            runs.append((_stem(name), [recording]))
    stems = [stem for stem, _ in runs]
    parts = []
    for stem, run in runs:
        own = stem if len(run) > 1 and stems.count(stem) == 1 else Path(run[0].name).stem
        name = folder if folder and len(runs) == 1 and not refused else f"{prefix}{own}"
        parts.append(Part(name, tuple(recording.name for recording in run)))
    return parts, refused


def _stem(name: str) -> str:
    stem = name[: -len(SUFFIX)]
    match = _NUMBERED.fullmatch(stem)
    return match[1] if match else stem


def _order(name: str) -> tuple[str, int, str]:
    stem = name[: -len(SUFFIX)]
    match = _NUMBERED.fullmatch(stem)
    return (match[1], int(match[2]), name) if match else (stem, -1, name)


def _continues(before: Recording, after: Recording) -> bool:
    first, second = ({(t, c.schema) for t, c in r.topics().items() if kind_of(c) == "image"} for r in (before, after))
    alike = bool(first & second) and (first <= second or second <= first)
    return alike and -_MAX_OVERLAP_NS <= after.index.start_ns - before.index.end_ns <= _MAX_GAP_NS


def path_of(topic: str) -> tuple[str, ...]:
    """A topic without its last parts that only say what is sent: ``/cam_front/image_raw/compressed`` → cam_front."""
    parts = [part for part in topic.split("/") if part]
    while parts and (_IMAGE_PART.fullmatch(parts[-1]) or _SMALL_PART.fullmatch(parts[-1])):
        parts.pop()
    return tuple(parts)


def camera_names(counts: Mapping[str, int]) -> tuple[dict[str, str], list[Issue]]:
    """Camera by topic, in the order of names; of topics that show one camera, the one with most images is taken."""
    cameras: dict[tuple[str, ...], list[str]] = {}
    for topic in counts:
        cameras.setdefault(path_of(topic), []).append(topic)
    names: dict[str, str] = {}
    issues = []
    for path, topics in sorted(cameras.items()):
        best = min(topics, key=lambda t: (-counts[t], not t.endswith("compressed"), t))
        base = "_".join(path) or CAMERA
        taken = set(names.values())
        names[best] = next(n for n in (base, *(f"{base}_{k}" for k in range(2, len(counts) + 2))) if n not in taken)
        others = sorted(set(topics) - {best})
        if others:
            reason = f"expected one topic a camera, found {', '.join(others)} too; {best} is taken"
            issues.append(Issue("unsupported", names[best], reason, len(others)))
    return names, issues


def log_id_of(name: str, firsts_us: Mapping[str, int]) -> str:
    """The name, and a digest of how the drive begins: each sensor and the time of its first measurement."""
    digest = hashlib.sha256(repr(sorted(firsts_us.items())).encode())
    return f"{readable(name)}-{digest.hexdigest()[:8]}"
