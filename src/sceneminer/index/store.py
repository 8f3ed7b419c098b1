"""The one place that knows LanceDB: tables in, tables out, nearest vectors, upkeep.

Filters arrive as text that ``where`` or this package wrote; nothing a user typed is passed on as it is.
"""

import fcntl
import json
import re
import shutil
import uuid
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import lance
import lancedb
import numpy as np
import pyarrow as pa
from jaxtyping import Float
from lancedb.index import BTree, IvfSq
from numpy import ndarray

from sceneminer.index.errors import IndexFault, WriterBusyError
from sceneminer.index.schema import FORMAT_VERSION, TABLES, UNIT_TABLES, schema_of
from sceneminer.index.snapshot import Snapshot
from sceneminer.index.vectors import matrix, unit_rows
from sceneminer.index.where import quote

ANN_FROM_ROWS = 50_000
"""Below this many clips every search is exact."""
ROWS_A_PARTITION = 1000
"""Of the vector index."""
INDEXED: dict[str, tuple[str, ...]] = {
    "clips": ("clip_id", "log_id", "risk_tracks", "risk_camera", "hardness", "ego_speed_mps", "stream_fingerprint"),
    "tokens": ("clip_id",),
    "frames": ("log_id",),
    "agents": ("log_id",),
    "thumbs": ("clip_id",),
}
"""Columns with an ordered index, once there is a vector index."""
IDS_AT_ONCE = 500
"""In one condition."""
SMALL_FRAGMENTS = 24
"""Commits of a table after which its small files are merged."""
_OF_ENGINE = re.compile(r",? /[^ ]+\.rs:\d+")


class Store:
    """Tables of one index folder."""

    def __init__(self, folder: Path):
        self.folder = folder
        self._db = lancedb.connect(str(folder), read_consistency_interval=timedelta(0))
        self._open: dict[str, Any] = {}
        self._appends: dict[str, int] = {}
        self._snapshots: dict[str, Snapshot] = {}
        self._manifest: tuple[int, dict[str, str]] | None = None

    @staticmethod
    def exists(folder: Path) -> bool:
        """Whether an index was made here. The manifest is its last table: one that was cut short has none."""
        return _has_versions(folder, "manifest")

    @classmethod
    def create(cls, folder: Path, *, embed_dim: int, manifest: dict[str, Any] | None = None) -> "Store":
        """Empty tables and a manifest in a new or empty folder, or where an earlier creation was cut short."""
        folder.mkdir(parents=True, exist_ok=True)
        store = cls(folder)
        for name in TABLES[:-1]:
            if _has_versions(folder, name):
                if store.rows(name):
                    raise IndexFault(f"expected an empty folder at {folder}, found rows of {name} without a manifest")
                del store._open[name]
            # Also what has no version yet, which the engine can neither open nor drop.
            shutil.rmtree(folder / f"{name}.lance", ignore_errors=True)
            store._db.create_table(name, schema=schema_of(name, embed_dim))
        shutil.rmtree(folder / "manifest.lance", ignore_errors=True)
        entries = {"format_version": FORMAT_VERSION, "embed_dim": embed_dim, **(manifest or {})}
        store._db.create_table("manifest", data=_manifest_rows(entries))
        return store

    @classmethod
    def open(cls, folder: Path) -> "Store":
        """An existing index; IndexFault if there is none or its format is not ours."""
        if not cls.exists(folder):
            raise IndexFault(f"expected a sceneminer index at {folder}, found none; make one with sceneminer mine")
        store = cls(folder)
        found = store.manifest().get("format_version")
        if found != FORMAT_VERSION:
            raise IndexFault(
                f"expected index format {FORMAT_VERSION}, found {found} at {folder}: mine into another folder, "
                "or use the sceneminer that made it"
            )
        return store

    @contextmanager
    def table(self, name: str) -> Iterator[Any]:
        """A table to work on. What the engine cannot do with it becomes an IndexFault, in one line."""
        try:
            if name not in self._open:
                self._open[name] = self._db.open_table(name)
            yield self._open[name]
        except IndexFault:
            raise
        except (RuntimeError, OSError, ValueError) as error:
            # The engine raises many kinds, and names lines of its own source in them.
            said = _OF_ENGINE.split(str(error).strip() or type(error).__name__)[0].splitlines()[0]
            raise IndexFault(
                f"expected table {name} of the index at {self.folder} to be usable, found: {said}"
            ) from error

    # manifest

    def manifest(self) -> dict[str, Any]:
        with self.table("manifest") as table:
            if self._manifest is None or self._manifest[0] != table.version:
                rows = {row["key"]: row["value"] for row in table.to_arrow().to_pylist()}
                self._manifest = table.version, rows
            # Read anew each time: nobody's change of what is handed out reaches the next.
            return {key: json.loads(value) for key, value in self._manifest[1].items()}

    def set_manifest(self, entries: dict[str, Any]) -> None:
        self.upsert("manifest", "key", _manifest_rows(entries))

    # rows

    def rows(self, name: str, where: str | None = None) -> int:
        with self.table(name) as table:
            return table.count_rows(where)

    def read(
        self, name: str, *, columns: list[str] | None = None, where: str | None = None, limit: int | None = None
    ) -> pa.Table:
        with self.table(name) as table:
            return table.to_lance().to_table(columns=columns, filter=where, limit=limit)

    def read_distinct(self, name: str, column: str) -> set[Any]:
        """The values of a column."""
        found: set[Any] = set()
        for batch in self.iter_batches(name, columns=[column], rows=262_144):
            found.update(batch.column(0).unique().to_pylist())
        return found

    def iter_batches(
        self, name: str, *, columns: list[str], rows: int = 8192, where: str | None = None
    ) -> Iterator[pa.RecordBatch]:
        with self.table(name) as table:
            yield from table.to_lance().to_batches(columns=columns, batch_size=rows, filter=where)

    def take(self, name: str, positions: list[int], *, columns: list[str]) -> pa.Table:
        """Rows by their positions in the order of ``read``, while nobody writes."""
        with self.table(name) as table:
            return table.to_lance().take(positions, columns=columns)

    def rows_by_id(self, name: str, key: str, ids: Iterable[str], columns: list[str]) -> dict[str, dict[str, Any]]:
        """Rows of a table by an id, asked for a few hundred at a time; ids that are not there are left out."""
        wanted = list(dict.fromkeys(ids))
        found: dict[str, dict[str, Any]] = {}
        for start in range(0, len(wanted), IDS_AT_ONCE):
            names = ", ".join(map(quote, wanted[start : start + IDS_AT_ONCE]))
            rows = self.read(name, columns=columns, where=f"{key} IN ({names})").to_pylist()
            found |= {row[key]: row for row in rows}
        return found

    def version(self, name: str) -> int:
        """Of a table: another one after each change."""
        with self.table(name) as table:
            return int(table.version)

    def snapshot(self, name: str) -> Snapshot:
        """The table as it is now, whatever is written later; the same one as long as nothing is."""
        with self.table(name) as table:
            known = self._snapshots.get(name)
            if known is None or known.version != int(table.version):
                known = self._snapshots[name] = Snapshot(
                    table.to_lance(), remember=_remember, guard=lambda: self.table(name)
                )
            return known

    def keep_in_memory(self) -> None:
        """Hold ``clips`` in memory as it is now, so that what follows is quick: about 2 bytes a vector's number and
        300 bytes a clip. Once something is written the table is read from disk again until this is called again.
        """
        self.snapshot("clips").keep(vector="embedding")

    def append(self, name: str, rows: pa.Table) -> None:
        """One transaction. Small files are merged as they pile up, a few at a time, in bounded memory."""
        if rows.num_rows == 0:
            return
        with self.table(name) as table:
            table.add(rows)
        self._appends[name] = self._appends.get(name, 0) + 1
        if self._appends[name] % SMALL_FRAGMENTS == 0:
            self.compact(name)

    def delete(self, name: str, where: str) -> int:
        before = self.rows(name)
        with self.table(name) as table:
            table.delete(where)
        return before - self.rows(name)

    def merge_columns(self, name: str, key: str, rows: pa.Table) -> None:
        """Overwrite some columns of existing rows, in one transaction."""
        with self.table(name) as table:
            table.merge_insert(key).when_matched_update_all().execute(rows)

    def upsert(self, name: str, key: str, rows: pa.Table) -> None:
        with self.table(name) as table:
            table.merge_insert(key).when_matched_update_all().when_not_matched_insert_all().execute(rows)

    # columns

    def columns(self, name: str) -> dict[str, pa.DataType]:
        with self.table(name) as table:
            return {field.name: field.type for field in table.schema}

    def add_columns(self, name: str, columns: list[str]) -> None:
        """Columns of float32, null in every row; one transaction."""
        if columns:
            with self.table(name) as table:
                table.add_columns([pa.field(column, pa.float32()) for column in columns])

    def drop_columns(self, name: str, columns: list[str]) -> None:
        if columns:
            with self.table(name) as table:
                table.drop_columns(columns)

    # units

    def committed_units(self) -> dict[str, str]:
        """The log of each unit that is in the index."""
        units: dict[str, str] = {}
        for name in ("clips", "empty_units"):
            for batch in self.iter_batches(name, columns=["unit_id", "log_id"], rows=65536):
                pairs = pa.Table.from_batches([batch]).group_by(["unit_id", "log_id"]).aggregate([])
                units.update(zip(pairs["unit_id"].to_pylist(), pairs["log_id"].to_pylist(), strict=True))
        return units

    def drop_uncommitted(self, committed: Collection[str]) -> int:
        """Remove rows of units that never reached ``clips``; returns how many."""
        dropped = 0
        for name in UNIT_TABLES:
            present: set[str] = set()
            for batch in self.iter_batches(name, columns=["unit_id"], rows=65536):
                present.update(batch.column(0).unique().to_pylist())
            for unit in sorted(present.difference(committed)):
                dropped += self.delete(name, f"unit_id = '{unit}'")
        return dropped

    # vectors

    def sample_embeddings(self, rows: int = 4096) -> Float[ndarray, "n e"]:
        """Embeddings of so many clips at equal distances in the table, of length 1; all where there are fewer."""
        with self.table("clips") as table:
            dataset = table.to_lance()
            at = np.unique(np.linspace(0, max(dataset.count_rows() - 1, 0), rows).astype(np.int64))
            return unit_rows(matrix(dataset.take(pa.array(at), columns=["embedding"])["embedding"]))

    def has_ann(self) -> bool:
        with self.table("clips") as table:
            return any(index.columns == ["embedding"] for index in table.list_indices())

    def refresh_ann(self) -> None:
        """Let the vector index, if there is one, cover rows that have been written anew."""
        if self.has_ann():
            with self.table("clips") as table:
                table.optimize(cleanup_older_than=timedelta(hours=1))

    # upkeep

    def compact(self, name: str) -> None:
        """Merge small files and forget versions older than an hour (readers keep theirs until then)."""
        with self.table(name) as table:
            dataset = table.to_lance()
            dataset.optimize.compact_files(target_rows_per_fragment=262_144, num_threads=1, batch_size=1024)
            dataset.cleanup_old_versions(older_than=timedelta(hours=1))

    def optimize(self, *, ann_from_rows: int = ANN_FROM_ROWS) -> bool:
        """Compact all tables and build or refresh the vector index where it is due; True if there is one."""
        for name in TABLES:
            self.compact(name)
        self._open.clear()
        if self.rows("clips", "stream_fingerprint IS NOT NULL") < ann_from_rows:
            return False
        with self.table("clips") as table:
            if self.has_ann():
                table.optimize(cleanup_older_than=timedelta(hours=1))
            else:
                partitions = max(1, table.count_rows() // ROWS_A_PARTITION)
                table.create_index("embedding", config=IvfSq(distance_type="cosine", num_partitions=partitions))
        self._index_columns()
        return True

    def _index_columns(self) -> None:
        """Ordered indexes of what filters and look-ups ask for most, so that they need not read whole columns."""
        for name, columns in INDEXED.items():
            with self.table(name) as table:
                there = {index.columns[0] for index in table.list_indices()}
                for column in columns:
                    if column not in there and table.count_rows():
                        table.create_index(column, config=BTree())


def _remember(table: pa.Table) -> Any:
    """A small table as a dataset of the engine that lives in memory, for filters to be tried on."""
    return lance.write_dataset(table, f"memory://{uuid.uuid4().hex}")


def _has_versions(folder: Path, table: str) -> bool:
    return any((folder / f"{table}.lance" / "_versions").glob("*.manifest"))


def _manifest_rows(entries: dict[str, Any]) -> pa.Table:
    values = [json.dumps(value, sort_keys=True) for value in entries.values()]
    return pa.table({"key": list(entries), "value": values}, schema=schema_of("manifest", 0))


@contextmanager
def writer_lock(folder: Path) -> Iterator[None]:
    """Hold the index for writing; WriterBusyError at once if another process does. The lock dies with its process."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = (folder / ".writer.lock").open("w")
    except OSError as error:
        raise IndexFault(f"expected a folder to write to at {folder}, found {error.strerror}") from error
    with lock as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise WriterBusyError(f"expected to be the only writer of {folder}, found another one at work") from error
        yield
