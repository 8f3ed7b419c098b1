"""Selections of a small index, as a search would give them."""

from sceneminer.index.hardness import index_version
from sceneminer.index.search import Index
from sceneminer.index.selection import Selected, Selection


def make_selection(index: Index, *, items: int | None = None, extra: tuple[Selected, ...] = ()) -> Selection:
    """Every clip of the index, or the first few, each as an interval of its own, and ``extra`` behind them."""
    columns = ["clip_id", "log_id", "log_name", "start_us", "end_us", "risk_tracks"]
    rows = sorted(index.store.read("clips", columns=columns).to_pylist(), key=lambda row: row["clip_id"])[:items]
    chosen = [
        Selected(
            clip_id=row["clip_id"],
            log_id=row["log_id"],
            log_name=row["log_name"],
            start_us=row["start_us"],
            end_us=row["end_us"],
            score=0.75 - 0.125 * k,
            parts={"risk": row["risk_tracks"], "risk_source": "tracks", "novel": k == 0, "nothing": None},
        )
        for k, row in enumerate(rows)
    ]
    return Selection((*chosen, *extra), index_version(index.store), (), {"text": "a walker"}, {"n": len(chosen)})
