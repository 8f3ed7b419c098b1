"""Moments: the instants at which an agent meets a condition, found on the ``agents`` table log by log."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import pyarrow as pa
from jaxtyping import Bool, Float, Int
from numpy import ndarray

from sceneminer.index import agent_words as words
from sceneminer.index.agent_pairs import hold_rows, place_rows
from sceneminer.index.agent_terms import Condition, Rows, Truth, truth_of
from sceneminer.index.store import Store
from sceneminer.index.where import quote
from sceneminer.labels.ego import ego_size_for

MAX_LOGS_NAMED = 400
"""Up to so many logs are asked for by name; beyond, the whole table is read through."""
_KEYS = ("log_id", "time_us", "track_id", "category")
_STORED = (
    *("x_m", "y_m", "yaw_rad", "vx_mps", "vy_mps", "length_m", "width_m", "risk"),
    *words.RATES,
    *words.MEASURES,
    "rss_violation",
    *words.FLAGS,
)


@dataclass(frozen=True, eq=False)
class Moments:
    """Agents at instants of one log, in order of time."""

    log_id: str
    time_us: Int[ndarray, "n"]
    track_id: tuple[str, ...]
    category: tuple[str, ...]

    def between(self, start_us: int, end_us: int) -> "Moments":
        """Those with start_us ≤ time ≤ end_us."""
        low, high = np.searchsorted(self.time_us, start_us, "left"), np.searchsorted(self.time_us, end_us, "right")
        part = slice(int(low), int(high))
        return Moments(self.log_id, self.time_us[part], self.track_id[part], self.category[part])

    def __len__(self) -> int:
        return len(self.time_us)


def iter_moments(store: Store, condition: Condition, *, logs: frozenset[str] | None = None) -> Iterator[Moments]:
    """Every log with a moment; of ``logs`` at least, if given. Memory holds one log's agents at a time.

    A log whose rows do not lie together comes in pieces, and nothing lasts from one piece into the next.
    """
    datasets = {row["log_id"]: row["dataset"] for row in store.read("logs", columns=["log_id", "dataset"]).to_pylist()}
    for log_id, table in _by_log(store, logs):
        rows = _rows(table)
        ego = ego_size_for(datasets.get(log_id) or "")

        def hold(found: Truth, seconds: float, rows: Rows = rows) -> Truth:
            return hold_rows(rows, found, seconds, gap_us=words.LASTING_GAP_US)

        met = truth_of(
            condition, rows, place=lambda node, asked, r=rows, e=ego: place_rows(r, node, asked, ego=e), hold=hold
        ).yes
        at = np.flatnonzero(met)
        if len(at):
            tracks, categories = (rows.texts[name] for name in ("agent.track", "agent.category"))
            yield Moments(log_id, rows.time_us[at], tuple(tracks[at].tolist()), tuple(categories[at].tolist()))


def _by_log(store: Store, logs: frozenset[str] | None) -> Iterator[tuple[str, pa.Table]]:
    """Rows of one log after another, as they lie: units that were mined again later come as another piece."""
    where = None
    if logs is not None and len(logs) <= MAX_LOGS_NAMED:
        where = f"log_id IN ({', '.join(map(quote, sorted(logs)))})" if logs else "false"
    held: list[pa.RecordBatch] = []
    current = ""
    for batch in store.iter_batches("agents", columns=[*_KEYS, *_STORED], rows=65_536, where=where):
        ids = batch.column("log_id").to_numpy(zero_copy_only=False)
        edges = [0, *(np.flatnonzero(ids[1:] != ids[:-1]) + 1).tolist(), len(ids)]
        for low, high in pairwise(edges):
            if low == high:
                continue
            if ids[low] != current and held:
                yield current, pa.Table.from_batches(held)
                held = []
            current = ids[low]
            held.append(batch.slice(low, high - low))
    if held:
        yield current, pa.Table.from_batches(held)


def _rows(table: pa.Table) -> Rows:
    """Columns as conditions read them, in order of time."""
    order = np.argsort(table["time_us"].to_numpy(), kind="stable")
    table = table.take(pa.array(order))
    number = {name: _floats(table[name]) for name in _STORED if name not in words.FLAGS}
    numbers = {f"agent.{name}": value for name, value in number.items()}
    numbers["agent.distance_m"] = np.hypot(number["x_m"], number["y_m"])
    numbers["agent.speed_mps"] = np.hypot(number["vx_mps"], number["vy_mps"])
    numbers |= {name: number[name.removeprefix("measure.")] for name in words.NUMBERS if name.startswith("measure.")}
    tracks, categories = (table[name].fill_null("").to_numpy() for name in ("track_id", "category"))
    times = table["time_us"].to_numpy()
    return Rows(
        numbers=numbers,
        texts={"agent.track": tracks.astype(str), "agent.category": categories.astype(str)},
        flags={f"agent.{name}": _flags(table[name]) for name in words.FLAGS},
        instant=np.unique(times, return_inverse=True)[1],
        track=np.unique(tracks.astype(str), return_inverse=True)[1],
        time_us=times,
    )


def _floats(column: pa.ChunkedArray) -> Float[ndarray, "n"]:
    return column.cast(pa.float64()).to_numpy(zero_copy_only=False).astype(np.float64)


def _flags(column: pa.ChunkedArray) -> tuple[Bool[ndarray, "n"], Bool[ndarray, "n"]]:
    known = ~column.is_null().to_numpy()
    return column.fill_null(False).to_numpy(), known
