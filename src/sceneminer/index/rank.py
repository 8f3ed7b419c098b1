"""Clips in order of their likeness to a query: by the vector index where that orders them, else scored one by one."""

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from jaxtyping import Float, Int
from numpy import ndarray

from sceneminer.index.hits import AT, KEYS, LIKENESS, shown
from sceneminer.index.nearest import nearest
from sceneminer.index.resolve import Resolved
from sceneminer.index.scoring import Scorer
from sceneminer.index.store import ANN_FROM_ROWS, Store
from sceneminer.index.vectors import matrix, unit_rows

CANDIDATES = 2000
"""At least so many near each part of a query are scored as a whole, where there are too many clips to score all."""
_AT_ONCE = 16_384


@dataclass(frozen=True)
class Target:
    """Among which clips to rank: those of a filter, less what overlaps the examples."""

    resolved: Resolved
    apart: str | None


class Ranking:
    """``fetch(limit)`` gives the best clips of all, best first, with their score and its parts."""

    def __init__(self, store: Store, scorer: Scorer, target: Target):
        self.store, self.scorer, self.target = store, scorer, target
        self._scored: tuple[Int[ndarray, k], Float[ndarray, k]] | None = None

    @property
    def score_name(self) -> str:
        return "similarity" if self.scorer.is_cosine else "score"

    def fetch(self, limit: int) -> pa.Table:
        if self.target.resolved.positions is not None:
            return self._among(limit)
        probes = self.scorer.probes()
        if len(probes) == 1:
            return self._told(self._nearest(probes[0], limit), limit)
        many = max(CANDIDATES, 8 * limit)
        if self.store.rows("clips") <= ANN_FROM_ROWS:
            many = ANN_FROM_ROWS
            probes = probes[-1:]
        rows = pa.concat_tables([self._nearest(probe, many) for probe in probes])
        return self._told(_distinct(rows), limit)

    def _nearest(self, vector: Float[ndarray, "e"], limit: int) -> pa.Table:
        parts = [part for part in (self.target.resolved.sql, self.target.apart) if part]
        where = " AND ".join(f"({part})" for part in parts) or None
        columns = [*KEYS] if self.scorer.is_cosine else [*KEYS, "embedding"]
        rows = nearest(self.store, vector, columns=columns, where=where, limit=limit)
        at = self.store.snapshot("clips").positions(rows["_rowid"].cast(pa.int64()).to_numpy())
        return rows.drop_columns(["_rowid"]).append_column(AT, pa.array(at))

    def details(self, at: list[int]) -> pa.Table:
        """What hits tell, of the rows at these positions."""
        return shown(self.target.resolved.snapshot or self.store.snapshot("clips"), at)

    def _told(self, rows: pa.Table, limit: int) -> pa.Table:
        """Rows with their score and its parts, best first."""
        if self.scorer.is_cosine and "_distance" in rows.column_names:
            scores = 1.0 - rows["_distance"].to_numpy().astype(np.float64)
            parts = scores[:, None]
        else:
            unit = unit_rows(matrix(rows["embedding"]))
            scores, parts = self.scorer.score(unit), self.scorer.parts(unit)
        order = _order(scores, rows["clip_id"])[:limit]
        out = rows.select([*KEYS, AT]).take(pa.array(order))
        out = out.append_column(self.score_name, pa.array(scores[order].astype(np.float64)))
        if not self.scorer.is_cosine:
            for k, name in enumerate(self.scorer.names):
                out = out.append_column(LIKENESS + name, pa.array(parts[order, k].astype(np.float64)))
        return out

    def _among(self, limit: int) -> pa.Table:
        """Of clips that are known one by one, all are scored, once."""
        at, scores = self.all_scores()
        snapshot = self.target.resolved.snapshot
        assert snapshot is not None
        best = at[np.lexsort((at, -scores))[:limit]]
        rows = snapshot.take(best, [*KEYS, "embedding"])
        return self._told(rows.append_column(AT, pa.array(best)), limit)

    def all_scores(self) -> tuple[Int[ndarray, "k"], Float[ndarray, "k"]]:
        """Positions and scores of all clips that are known one by one and have an embedding, in order of position."""
        snapshot, positions = self.target.resolved.snapshot, self.target.resolved.positions
        assert snapshot is not None and positions is not None
        if self._scored is None:
            if self.target.apart:
                positions = np.intersect1d(positions, snapshot.matching(self.target.apart))
            kept, scores = [np.zeros(0, np.int64)], [np.zeros(0)]
            for start in range(0, len(positions), _AT_ONCE):
                some = positions[start : start + _AT_ONCE]
                column = snapshot.take(some, ["embedding"])["embedding"]
                kept.append(some[column.is_valid().to_numpy()])
                scores.append(self.scorer.score(unit_rows(matrix(column))))
            self._scored = np.concatenate(kept), np.concatenate(scores)
        return self._scored


def _distinct(rows: pa.Table) -> pa.Table:
    ids = np.array(rows["clip_id"].to_pylist(), dtype=object)
    return rows.take(pa.array(np.sort(np.unique(ids.astype(str), return_index=True)[1])))


def _order(scores: Float[ndarray, "n"], ids: pa.ChunkedArray) -> Int[ndarray, "n"]:
    return np.lexsort((np.array(ids.to_pylist(), dtype=str), -scores))
