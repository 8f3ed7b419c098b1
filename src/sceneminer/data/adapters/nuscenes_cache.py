"""Joined nuScenes tables in the user's cache folder: written once, memory-mapped ever after."""

import hashlib
import os
import shutil
import tempfile
from functools import lru_cache
from pathlib import Path

import platformdirs
import pyarrow as pa

from sceneminer.data.adapters.nuscenes_join import join_tables
from sceneminer.data.adapters.nuscenes_tables import COLUMNS
from sceneminer.data.errors import DataError

FORMAT = 2
"""Raised when what is cached changes meaning, so that older caches are not read."""
CACHE_VARIABLE = "SCENEMINER_CACHE"
_TABLES = ("scenes", "samples", "calibrations", "measurements", "poses", "boxes", "issues")


def cache_folder() -> Path:
    """Where caches go: ``$SCENEMINER_CACHE``, else the platform's folder for user caches."""
    return Path(os.environ.get(CACHE_VARIABLE) or platformdirs.user_cache_dir("sceneminer"))


def open_tables(folder: Path) -> dict[str, pa.Table]:
    """The joined tables of a v1.0 folder, memory-mapped; they are built on the first call.

    A change of any table file makes a new cache; a damaged cache is built again. Two processes may race: each
    builds in a folder of its own and the first to finish wins.
    """
    target = cache_folder() / "nuscenes" / _key(folder)
    if target.is_dir():
        try:
            return _map(target)
        except (pa.ArrowException, OSError):
            shutil.rmtree(target, ignore_errors=True)
    _write(join_tables(folder), target)
    return _map(target)


def _key(folder: Path) -> str:
    """What the cached tables depend on: where the table files lie, their sizes and times, and our format."""
    facts = [f"format {FORMAT}", str(folder.resolve())]
    for name in COLUMNS:
        path = folder / f"{name}.json"
        if path.is_file():
            stat = path.stat()
            facts.append(f"{name} {stat.st_size} {stat.st_mtime_ns}")
    return hashlib.sha256("\n".join(facts).encode("utf-8", "surrogateescape")).hexdigest()[:32]


def _write(tables: dict[str, pa.Table], target: Path) -> None:
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        work = Path(tempfile.mkdtemp(prefix=f".{target.name}-", dir=target.parent))
    except OSError as error:
        raise DataError(
            f"expected a folder for caches that can be written, found {target.parent} ({error.strerror}); "
            f"name another in {CACHE_VARIABLE}"
        ) from error
    try:
        for name in _TABLES:
            with pa.OSFile(str(work / f"{name}.arrow"), "wb") as sink:
                table = tables[name].combine_chunks()
                with pa.ipc.new_file(sink, table.schema) as writer:
                    writer.write_table(table)
        try:
            work.rename(target)
        except OSError:
            # Another process was first; what it wrote has the same key, thus the same content.
            if not target.is_dir():
                raise
    finally:
        shutil.rmtree(work, ignore_errors=True)


@lru_cache(maxsize=16)
def _map(target: Path) -> dict[str, pa.Table]:
    return {name: pa.ipc.open_file(pa.memory_map(str(target / f"{name}.arrow"), "r")).read_all() for name in _TABLES}
