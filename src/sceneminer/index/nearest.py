"""Nearest clips under a filter: through the vector index, from memory, or by measuring all."""

import numpy as np
import pyarrow as pa
from numpy import ndarray

from sceneminer.index.store import Store

EXACT_BELOW_SHARE = 0.05
"""A filter that keeps less than this share of clips is answered by the exact scan: ANN loses recall there."""
PROBES = 40
"""Partitions of the vector index that a search looks into."""
REFINE = 4
"""Of so many times the rows asked for, distances are measured anew on the vectors as stored."""


def nearest(
    store: Store, vector: ndarray, *, columns: list[str], where: str | None, limit: int, exact: bool = False
) -> pa.Table:
    """Rows by cosine distance of ``embedding``, nearest first, with ``_distance`` and ``_rowid``; none without.

    With a vector index: no filter, or one that keeps a good share, goes through it and is filtered after; one
    that keeps few is answered by measuring all that it keeps. Measured in ``docs/results/search.md``.
    """
    if not exact and store.has_ann():
        share = 1.0 if where is None else store.snapshot("clips").share(where)
        if share >= EXACT_BELOW_SHARE:
            # What a filter takes away is asked for beforehand, with three standard deviations to spare.
            over = 1.0 if where is None else (1.0 + 3.0 / limit**0.5) / share
            rows = _by_ann(store, vector, columns, where, limit, over=over)
            if rows.num_rows == limit:
                return rows
            # Fewer than asked for: either there are no more, or the partitions looked into hold no more.
        if where is not None and store.snapshot("clips").in_memory:
            return _by_memory(store, vector, columns, where, limit)
    has = "stream_fingerprint IS NOT NULL"
    condition = has if where is None else f"({has}) AND ({where})"
    with store.table("clips") as table:
        query = table.search(vector, vector_column_name="embedding").distance_type("cosine").with_row_id(True)
        query = query.where(condition, prefilter=True).limit(limit).select([*columns, "_distance"])
        return query.bypass_vector_index().to_arrow()


def _by_ann(
    store: Store, vector: ndarray, columns: list[str], where: str | None, limit: int, *, over: float
) -> pa.Table:
    with store.table("clips") as table:
        query = table.search(vector, vector_column_name="embedding").distance_type("cosine").with_row_id(True)
        # Of many more rows than are wanted, fewer need be measured anew for the best to be among them.
        refine = REFINE if where is None else max(1, round(REFINE / over**0.5))
        query = query.limit(round(limit * over)).nprobes(PROBES).refine_factor(refine)
        if where is not None:
            query = query.where(where, prefilter=False)
        snapshot = store.snapshot("clips")
        rows = query.select(["_distance"] if snapshot.in_memory else [*columns, "_distance"]).to_arrow()
        # Rows not covered by the vector index yet come with a null distance where they have no embedding.
        rows = rows.filter(rows["_distance"].is_valid()).slice(0, limit)
        if not snapshot.in_memory:
            return rows
        found = snapshot.take(snapshot.positions(rows["_rowid"].cast(pa.int64()).to_numpy()), columns)
        return found.append_column("_distance", rows["_distance"]).append_column("_rowid", rows["_rowid"])


def _by_memory(store: Store, vector: ndarray, columns: list[str], where: str, limit: int) -> pa.Table:
    """All that a filter keeps, measured one by one."""
    snapshot = store.snapshot("clips")
    positions = snapshot.with_vector(snapshot.matching(where))
    cosine = snapshot.cosines(vector, positions)
    order = np.argsort(-cosine, kind="stable")[:limit]
    rows = snapshot.take(positions[order], columns)
    rows = rows.append_column("_distance", pa.array(1.0 - cosine[order]))
    return rows.append_column("_rowid", pa.array(snapshot.addresses(positions[order])))
