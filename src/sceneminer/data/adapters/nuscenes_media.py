"""nuScenes media files: which are absent, LiDAR sweeps, point labels."""
# pyarrow.compute makes its functions on import:
# pyright: reportAttributeAccessIssue=false

import os
from pathlib import PurePosixPath

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from jaxtyping import Int, UInt8
from numpy import ndarray

from sceneminer.data.errors import DataError
from sceneminer.data.log import Points
from sceneminer.data.media import MediaRoot, is_text, media_error

MAX_POINT_BYTES = 64 * 2**20
MAX_LISTED = 50_000
"""Folders of which the tables name more files than this are not listed on opening; reading names what is absent."""


def folders_of(names: pa.ChunkedArray) -> pa.DictionaryArray:
    """The folder of each media name, up to its last slash."""
    return pc.replace_substring_regex(names, r"[^/]*$", "").combine_chunks().dictionary_encode()


def find_missing(names: pa.ChunkedArray, folders: pa.DictionaryArray, media: MediaRoot) -> ndarray:
    """Which measurements' files are known to be absent: each folder is listed once, no file is opened."""
    missing = np.zeros(len(names), bool)
    if len(names) == 0:
        return missing
    index = folders.indices.to_numpy()
    counts = np.bincount(index, minlength=len(folders.dictionary))
    for code, folder in enumerate(folders.dictionary.to_pylist()):
        present = _listing(media, folder) if counts[code] <= MAX_LISTED else None
        if present is None:
            # Not listed: absent as a whole, or too large to look into.
            missing[index == code] = not (media.folder / folder).is_dir()
            continue
        rows = np.flatnonzero(index == code)
        here = pc.is_in(names.take(pa.array(rows)), value_set=pa.array(present, pa.string()))
        missing[rows] = ~here.to_numpy()
    return missing


def find_outside(folders: pa.DictionaryArray, media: MediaRoot) -> ndarray:
    """Which measurements' folders are links out of the media root: reading them will be refused."""
    outside = np.array([not media.holds(folder) for folder in folders.dictionary.to_pylist()], bool)
    return outside[folders.indices.to_numpy()] if len(outside) else np.zeros(len(folders), bool)


def _listing(media: MediaRoot, folder: str) -> list[str] | None:
    """Media names of everything in a folder; None where there is no such folder."""
    try:
        with os.scandir(media.folder / folder) as entries:
            return [folder + entry.name for entry in entries if is_text(entry.name)]
    except OSError:
        return None


def read_points(media: MediaRoot, name: str, labels_name: str | None) -> Points:
    """One .pcd.bin sweep: little-endian float32 rows of x, y, z, intensity, ring (nuScenes devkit, LidarPointCloud)."""
    if not name.endswith(".bin"):
        found = PurePosixPath(name).suffix
        raise media_error("unsupported", name, f"expected a LiDAR sweep in .pcd.bin, found {found or 'no suffix'}")
    data = media.read_bytes(name, limit=MAX_POINT_BYTES)
    if len(data) == 0 or len(data) % 20:
        raise media_error("broken_file", name, f"expected points of 20 bytes each, found {len(data)} bytes")
    values = np.frombuffer(data, "<f4").reshape(-1, 5)
    if not np.all(np.isfinite(values)):
        raise media_error("broken_file", name, "expected finite points, found NaN or infinity")
    labels = None if labels_name is None else _read_labels(media, labels_name, len(values))
    return Points(
        xyz_m=values[:, :3].astype(np.float64),
        intensity=values[:, 3].astype(np.float64),
        ring=np.clip(values[:, 4], -1, 2**15).astype(np.int64),
        labels=labels,
    )


def _read_labels(media: MediaRoot, name: str, points: int) -> Int[ndarray, "n"]:
    data = media.read_bytes(name, limit=MAX_POINT_BYTES)
    labels: UInt8[ndarray, n] = np.frombuffer(data, np.uint8)
    if len(labels) != points:
        raise media_error("broken_file", name, f"expected {points} labels, one a point; found {len(labels)}")
    return labels.astype(np.int64)


def is_usable(media: MediaRoot, name: str | None) -> bool:
    """Whether a media name leads to a file inside the media root."""
    if name is None:
        return False
    try:
        media.path(name)
    except DataError:
        return False
    return True
