"""Which folders of images make which log."""

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from sceneminer.data.adapters.folder_times import natural_key
from sceneminer.data.errors import Issue, IssueKind
from sceneminer.data.media import IMAGE_SUFFIXES, is_text

CAMERA = "camera"
"""The name of the only camera where images lie in the root itself."""

_PICTURES = (".bmp", ".gif", ".tif", ".tiff", ".webp", ".heic", ".avif", ".jp2", ".ppm", ".pgm", ".exr", ".raw", ".dng")
_MOVIES = (".mp4", ".mkv", ".mov", ".avi", ".webm", ".m4v", ".ts")
_OTHER_MEDIA = frozenset({*_PICTURES, *_MOVIES})


@dataclass(frozen=True)
class Layout:
    """One log: where it lies, and its cameras' files, all relative to the root."""

    name: str
    folder: str
    """``.`` for the root itself, else the child's name."""
    cameras: Mapping[str, tuple[str, ...]]
    """In natural order."""
    issues: tuple[Issue, ...]

    @property
    def prefix(self) -> str:
        return "" if self.folder == "." else f"{self.folder}/"


def iter_folders(root: Path) -> Iterator[Path]:
    yield root
    children = _subfolders(root)
    yield from children
    for child in children:
        yield from _subfolders(child)


def _subfolders(folder: Path) -> list[Path]:
    """Folders that can be looked into, in natural order; ``_images`` says of each what cannot be read."""
    try:
        with os.scandir(folder) as entries:
            found = [e.name for e in entries if e.name[0] != "." and is_text(e.name) and _is_dir(e)]
    except OSError:
        return []
    return [folder / name for name in sorted(found, key=natural_key)]


def has_image(folder: Path) -> bool:
    try:
        with os.scandir(folder) as entries:
            return any(_is_named_image(entry.name) and _is_file(entry) for entry in entries)
    except OSError:
        return False


def _is_named_image(name: str) -> bool:
    return name.lower().endswith(IMAGE_SUFFIXES) and not name.startswith(".")


def _is_file(entry: os.DirEntry) -> bool:
    try:
        return entry.is_file()
    except OSError:  # a link to itself
        return False


def _is_dir(entry: os.DirEntry) -> bool:
    try:
        return entry.is_dir()
    except OSError:
        return False


def find_layouts(root: Path) -> tuple[list[Layout], list[Issue]]:
    """The logs under a root. Images in the root itself make it one log of one camera, and nothing else is looked at."""
    name = root.resolve().name or "root"
    inside, issues = _within(root, [root, *_subfolders(root)])
    direct, found = _images(root, root)
    if direct:
        beside = [folder.name for folder in inside[1:] if has_image(folder)]
        if beside:
            reason = "expected images in the root or in folders, found both; folders are left out"
            found.append(Issue("unsupported", beside[0], reason, len(beside)))
        return [Layout(name, ".", {CAMERA: direct}, tuple(found))], issues
    layouts = [_layout(root, name, ".", inside[1:])]
    for child in inside[1:]:
        below, escaping = _within(root, _subfolders(child))
        issues += escaping
        layouts.append(_layout(root, child.name, child.name, below))
    unused = [issue for layout in layouts if not layout.cameras for issue in layout.issues]
    return [layout for layout in layouts if layout.cameras], [*issues, *found, *unused]


def _layout(root: Path, name: str, folder: str, children: list[Path]) -> Layout:
    cameras: dict[str, tuple[str, ...]] = {}
    issues: list[Issue] = []
    for child in children:
        files, found = _images(root, child)
        issues += found
        if files:
            cameras[child.name] = files
    return Layout(name, folder, cameras, tuple(issues))


def _within(root: Path, folders: list[Path]) -> tuple[list[Path], list[Issue]]:
    """Folders that lie inside the root, links followed, and an Issue for each other."""
    real = root.resolve()
    inside, issues = [], []
    for folder in folders:
        if not folder.is_symlink() or folder.resolve().is_relative_to(real):
            inside.append(folder)
        else:
            reason = "expected a folder inside the root, found a link out of it; left out"
            issues.append(Issue("escaping_path", folder.relative_to(root).as_posix(), reason))
    return inside, issues


def _images(root: Path, folder: Path) -> tuple[tuple[str, ...], list[Issue]]:
    """Image files of one folder in natural order, relative to the root; what else looks like media is counted."""
    where = folder.relative_to(root).as_posix()
    prefix = "" if where == "." else f"{where}/"
    images, real = list[str](), root.resolve()
    left_out: dict[tuple[IssueKind, str], list[str]] = {}
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                why = _unusable(entry, real)
                if why is not None:
                    left_out.setdefault(why, []).append(entry.name if is_text(entry.name) else ascii(entry.name))
                elif _is_named_image(entry.name) and not _is_dir(entry):
                    images.append(entry.name)
    except OSError as error:
        reason = f"expected a folder that can be read, found {error.strerror}; left out"
        return (), [Issue("broken_file", where, reason)]
    issues = [
        Issue(kind, f"{prefix}{min(names)}", f"{reason}; left out", len(names))
        for (kind, reason), names in left_out.items()
    ]
    return tuple(f"{prefix}{name}" for name in sorted(images, key=natural_key)), issues


def _unusable(entry: os.DirEntry, root: Path) -> tuple[IssueKind, str] | None:
    """Why what looks like media is not taken; None where it is, or where it is no media."""
    if not is_text(entry.name):
        return "unsupported", "expected file names in UTF-8, found other bytes"
    if _is_named_image(entry.name) and not _is_dir(entry):
        if not _is_file(entry):
            return "missing_file", "expected an image file, found a link that leads to none, or no plain file"
        if entry.is_symlink() and not Path(entry.path).resolve().is_relative_to(root):
            return "escaping_path", "expected an image inside the root, found a link out of it"
    elif Path(entry.name).suffix.lower() in _OTHER_MEDIA and _is_file(entry):
        return "unsupported", f"expected {', '.join(IMAGE_SUFFIXES)}, found other media"
    return None
