"""One version of a table: rows by position stay where they are; it can be held in memory for a server's sake."""

import threading
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

import numpy as np
import pyarrow as pa
from jaxtyping import Float, Int
from numpy import ndarray

from sceneminer.index.vectors import unit_matrix

SAMPLE_ROWS = 8192
"""By which the share of rows that a filter keeps is estimated."""
MAX_SHARES, MAX_REMEMBERED = 10_000, 4_000_000
"""Filters whose share is remembered, and positions of rows that met some."""
_AT_ONCE = 16_384


class Snapshot:
    """A dataset of the engine at one version.

    ``remember`` makes a small dataset of a table, in memory; ``guard`` turns what the engine raises into our errors.
    """

    def __init__(
        self, dataset: Any, *, remember: Callable[[pa.Table], Any], guard: Callable[[], AbstractContextManager[Any]]
    ):
        self._dataset, self._remember, self._guard = dataset, remember, guard
        self._addresses: ndarray | None = None
        self._table: pa.Table | None = None
        self._vectors: ndarray | None = None
        self._has: ndarray | None = None
        self._sample: Any = None
        self._holds: dict[str, bool] = {}
        self._shares: dict[str, float] = {}
        self._met: dict[str, ndarray] = {}
        # A server's threads ask at the same time.
        self._remembering = threading.Lock()

    @property
    def version(self) -> int:
        return int(self._dataset.version)

    @property
    def in_memory(self) -> bool:
        return self._table is not None

    def __len__(self) -> int:
        return int(self._dataset.count_rows()) if self._table is None else self._table.num_rows

    def keep(self, *, vector: str) -> None:
        """Hold all columns in memory; the one of vectors in fp16, of length 1, zeros where null."""
        names = [name for name in self._dataset.schema.names if name != vector]
        with self._guard():
            table = self._dataset.to_table(columns=names).combine_chunks()
        width = self._dataset.schema.field(vector).type.list_size
        vectors = np.zeros((table.num_rows, width), np.float16)
        start = 0
        for batch in self._dataset.to_batches(columns=[vector], batch_size=_AT_ONCE):
            vectors[start : start + batch.num_rows] = unit_matrix(batch.column(0), missing=0.0)
            start += batch.num_rows
        self._vectors, self._has = vectors, np.any(vectors != 0, axis=1).astype(bool)
        self._all_addresses()
        self._sample = self._remember(table.take(_spread(table.num_rows, SAMPLE_ROWS)))
        self._table = table

    def read(self, columns: list[str]) -> pa.Table:
        """All rows, in order."""
        if self._table is not None and set(columns) <= set(self._table.column_names):
            return self._table.select(columns)
        with self._guard():
            return self._dataset.to_table(columns=columns)

    def matching(self, where: str) -> Int[ndarray, "k"]:
        """Positions of the rows that meet a condition, ascending."""
        if self._table is None:
            return self.positions(np.sort(self._row_ids(where)))
        # Who looks for one thing after another under one filter need not wait for the filter each time.
        known = self._met.get(where)
        if known is None:
            known = self.positions(np.sort(self._row_ids(where)))
            with self._remembering:
                self._met[where] = known
                while len(self._met) > 1 and sum(map(len, self._met.values())) > MAX_REMEMBERED:
                    self._met.pop(next(iter(self._met)))
        return known

    def positions(self, addresses: Int[ndarray, "k"]) -> Int[ndarray, "k"]:
        """Of rows by the engine's own addresses."""
        return np.searchsorted(self._all_addresses(), addresses)

    def addresses(self, positions: Int[ndarray, "k"]) -> Int[ndarray, "k"]:
        """The engine's own addresses of rows."""
        return self._all_addresses()[positions]

    def take(self, positions: Int[ndarray, "k"], columns: list[str]) -> pa.Table:
        """Some rows, in this order."""
        if self._table is not None and set(columns) <= set(self._table.column_names):
            return self._table.select(columns).take(pa.array(positions))
        with self._guard():
            return self._dataset.take(pa.array(positions), columns=columns)

    def holds(self, where: str) -> bool:
        """Whether any row meets a condition; looked up once."""
        if where not in self._holds:
            with self._guard():
                rows = self._dataset.to_table(columns=[], filter=where, limit=1, with_row_id=True)
            self._holds[where] = rows.num_rows > 0
        return self._holds[where]

    def share(self, where: str) -> float:
        """About which share of rows meets a condition; exact unless held in memory."""
        if self._sample is not None:
            known = self._shares.get(where)
            if known is None:
                if len(self._shares) > MAX_SHARES:
                    self._shares.clear()
                known = self._shares[where] = self._sample.count_rows(where) / max(min(len(self), SAMPLE_ROWS), 1)
            return known
        with self._guard():
            return self._dataset.count_rows(where) / max(self._dataset.count_rows(), 1)

    def with_vector(self, positions: Int[ndarray, "k"]) -> Int[ndarray, "k"]:
        """Those of some rows that have one; only of a table held in memory."""
        assert self._has is not None
        return positions[self._has[positions]]

    def cosines(self, vector: Float[ndarray, "e"], positions: Int[ndarray, "k"]) -> Float[ndarray, "k"]:
        """Cosine similarities of some rows to a vector, exact to about 0.0001; only of a table held in memory."""
        assert self._vectors is not None
        # NumPy turns halves into floats several times as slowly.
        import torch

        unit = torch.from_numpy(np.asarray(vector, np.float32) / max(float(np.linalg.norm(vector)), 1e-12))
        held, at = torch.from_numpy(self._vectors), torch.from_numpy(np.ascontiguousarray(positions))
        parts = [held.index_select(0, some).float() @ unit for some in at.split(_AT_ONCE)]
        return torch.cat(parts).numpy() if parts else np.zeros(0, np.float32)

    def _all_addresses(self) -> Int[ndarray, "n"]:
        if self._addresses is None:
            self._addresses = self._row_ids(None)
        return self._addresses

    def _row_ids(self, where: str | None) -> Int[ndarray, "k"]:
        """The engine's addresses are fragment and row in one number, far below 2^63."""
        with self._guard():
            rows = self._dataset.to_table(columns=[], filter=where, with_row_id=True)["_rowid"]
        return rows.to_numpy().astype(np.int64)


def _spread(rows: int, wanted: int) -> pa.Array:
    return pa.array(np.linspace(0, max(rows - 1, 0), min(wanted, rows)).astype(np.int64))
