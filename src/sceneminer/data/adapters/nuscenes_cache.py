"""What is made of nuScenes files once and kept in the user's cache folder: joined tables, road masks.

An entry is a folder of files that are memory-mapped ever after. Its name is a digest of all that it depends on; it is
written beside its place and renamed into it, so that it is there whole or not at all.
"""

import hashlib
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterable
from functools import lru_cache
from pathlib import Path
from typing import TypeVar

import platformdirs
import pyarrow as pa

from sceneminer.data.adapters.nuscenes_join import join_tables
from sceneminer.data.adapters.nuscenes_tables import COLUMNS
from sceneminer.data.errors import DataError

FORMAT = 4
"""Raised when what is cached changes meaning, so that older caches are not read."""
CACHE_VARIABLE = "SCENEMINER_CACHE"
_TABLES = ("scenes", "samples", "calibrations", "measurements", "poses", "boxes", "issues")
_TRIES = 3
_ABANDONED_S = 24 * 3600.0
"""A half-written entry of this age belongs to a process that was killed."""
T = TypeVar("T")


def cache_folder() -> Path:
    """Where caches go: ``$SCENEMINER_CACHE``, else the platform's folder for user caches."""
    return Path(os.environ.get(CACHE_VARIABLE) or platformdirs.user_cache_dir("sceneminer"))


def open_tables(folder: Path) -> dict[str, pa.Table]:
    """The joined tables of a v1.0 folder, memory-mapped; they are built on the first call."""
    files = [path for name in COLUMNS if (path := folder / f"{name}.json").is_file()]
    return through_cache("tables", files, make=lambda: join_tables(folder), write=_write_tables, read=_read_tables)


def through_cache(
    kind: str,
    files: Iterable[Path],
    *,
    make: Callable[[], T],
    write: Callable[[T, Path], None],
    read: Callable[[Path], T],
) -> T:
    """What was made of these files, read from the cache, where ``make`` and ``write`` put it if it is not there.

    A change of any file (also one that keeps its size and its time of modification) makes a new entry; a damaged
    entry is made again. Processes may race: each writes in a folder of its own and the first to finish wins. An
    entry of another user is not trusted. DataError where the cache folder cannot be used.
    """
    target = cache_folder() / "nuscenes" / f"{kind}-{_key(files)}"
    for _ in range(_TRIES):
        if _is_ours(target):
            try:
                return read(target)
            except (pa.ArrowException, OSError, ValueError, EOFError):
                _discard(target)
        _publish(make(), write, target)
    raise _unusable(target, "what was written there cannot be read")


def _key(files: Iterable[Path]) -> str:
    facts = [f"format {FORMAT}", f"user {_user()}"]
    for path in files:
        stat = path.stat()
        # The time of the last change of status cannot be set: it tells a changed file from one that looks the same.
        facts.append(f"{path.resolve()} {stat.st_size} {stat.st_mtime_ns} {stat.st_ctime_ns} {stat.st_ino}")
    return hashlib.sha256("\n".join(facts).encode("utf-8", "surrogateescape")).hexdigest()[:32]


def _user() -> int:
    return os.getuid() if hasattr(os, "getuid") else 0


def _is_ours(target: Path) -> bool:
    """Whether an entry is there; DataError where somebody else put one in its place."""
    try:
        stat = target.lstat()
    except OSError:
        return False
    if target.is_symlink() or (hasattr(os, "getuid") and stat.st_uid != os.getuid()):
        raise _unusable(target, "it belongs to another user")
    return True


def _unusable(target: Path, why: str | None) -> DataError:
    return DataError(
        f"expected a folder for caches that can be written, found {target.parent} ({why}); "
        f"name another in {CACHE_VARIABLE}"
    )


def _publish(content: T, write: Callable[[T, Path], None], target: Path) -> None:
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        _sweep(target.parent)
        work = Path(tempfile.mkdtemp(prefix=".", dir=target.parent))
    except OSError as error:
        raise _unusable(target, error.strerror) from error
    try:
        write(content, work)
        _flush(work)
        work.rename(target)
    except OSError as error:
        # Another process was first; what it wrote has the same key, thus the same content.
        if not target.is_dir():
            raise _unusable(target, error.strerror) from error
    finally:
        shutil.rmtree(work, ignore_errors=True)


def _flush(work: Path) -> None:
    """Files reach the disk before their folder gets its name: a power cut leaves no entry with holes."""
    for path in work.iterdir():
        with path.open("rb") as file:
            os.fsync(file.fileno())


def _discard(target: Path) -> None:
    """Takes a damaged entry away in one step, so that nobody finds half of it."""
    try:
        grave = Path(tempfile.mkdtemp(prefix=".", dir=target.parent))
        target.rename(grave / "damaged")
    except OSError as error:
        if target.exists():
            raise _unusable(target, error.strerror) from error
        return
    shutil.rmtree(grave, ignore_errors=True)


def _sweep(folder: Path) -> None:
    """Removes what killed processes left behind."""
    for path in folder.glob(".*"):
        try:
            if time.time() - path.lstat().st_mtime > _ABANDONED_S:
                shutil.rmtree(path, ignore_errors=True)
        except OSError:
            continue  # another process swept it


def _write_tables(tables: dict[str, pa.Table], work: Path) -> None:
    for name in _TABLES:
        table = tables[name].combine_chunks()
        with pa.OSFile(str(work / f"{name}.arrow"), "wb") as sink, pa.ipc.new_file(sink, table.schema) as writer:
            writer.write_table(table)


@lru_cache(maxsize=16)
def _read_tables(entry: Path) -> dict[str, pa.Table]:
    return {name: pa.ipc.open_file(pa.memory_map(str(entry / f"{name}.arrow"), "r")).read_all() for name in _TABLES}
