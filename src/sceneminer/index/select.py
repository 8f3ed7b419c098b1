"""Select: a few hundred clips out of millions, hard, to the point and unlike one another, as a frozen Selection."""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

import numpy as np
import pyarrow as pa
from jaxtyping import Bool, Float, Int
from numpy import ndarray

from sceneminer.index.errors import QueryError
from sceneminer.index.greedy import Group, Pool, mean_distance, pick
from sceneminer.index.hardness import index_version
from sceneminer.index.head_files import filter_names
from sceneminer.index.hits import EXPLANATION, risk_source
from sceneminer.index.near_duplicates import near_duplicates
from sceneminer.index.query import Query
from sceneminer.index.quota import FLAGS, HAS_TAG, PLACES, Quota, parse_quotas
from sceneminer.index.resolve import resolve
from sceneminer.index.search import Index, let_through, rank_query
from sceneminer.index.selection import Selected, Selection
from sceneminer.index.snapshot import Snapshot
from sceneminer.index.vectors import unit_matrix

MAX_N = 100_000
POOL = 50_000
"""So many of the best clips, by hardness and score, are looked at for their diversity."""
AUTO: Literal["auto"] = "auto"
NEAR_SHARE = 0.02
"""Of the mean distance between clips of the index: nearer ones are near-duplicates, unless a cosine is given."""
SPREAD_ROWS = 8192
"""By which that mean is estimated."""
NOT_THERE = -2
"""The number of a text that no clip has."""
_AT_ONCE = 16_384
_SHOWN = (
    "clip_id",
    "log_id",
    "log_name",
    "start_us",
    "end_us",
    "hardness",
    "ambiguity",
    "rarity",
    *(f"risk_{source}{part}" for source in ("tracks", "camera") for part in ("", *(f"_{p}" for p in EXPLANATION))),
)


@dataclass(frozen=True)
class Rule:
    """How clips are chosen; kept in the Selection."""

    n: int
    hardness: float = 1.0
    score: float = 1.0
    """Of likeness to the query's text, image and examples: a percentile among the clips of its filter."""
    diversity: float = 1.0
    quotas: tuple[str, ...] = ()
    near_duplicate: float | Literal["auto"] | None = AUTO
    """Cosine from which of two clips only the better is looked at; None: all are; ``auto``: ``near_cosine``."""
    exclude: tuple[tuple[str, int, int], ...] = ()
    """Intervals (log, start, end) of earlier Selections: left out, and what is like them counts less."""

    def as_json(self) -> dict[str, Any]:
        return asdict(self) | {"quotas": list(self.quotas), "exclude": [list(item) for item in self.exclude]}


@dataclass(frozen=True)
class Report:
    """What became of the clips that the query's filter let through."""

    selection: Selection
    matching: int
    excluded: int
    """They overlap an earlier Selection."""
    near_duplicates: int
    near_cosine: float | None
    """From which they were; None where they were not looked for."""
    beyond_pool: int
    unmet: tuple[str, ...]
    """Quotas of which there were too few clips, with how many were found."""


def excluding(*earlier: Selection) -> tuple[tuple[str, int, int], ...]:
    """For ``Rule.exclude``: everything in these Selections."""
    return tuple(sorted({(item.log_id, item.start_us, item.end_us) for one in earlier for item in one.items}))


def select(index: Index, query: Query | None, rule: Rule, *, encode_text: Callable[..., Any] | None = None) -> Report:
    """Choose ``rule.n`` clips among those of a query, or of the index; the same for the same index, query and rule.

    Values: hardness is in [0, 1] as in the index, 0 where null; score is a percentile. QueryError for a rule that
    cannot be meant. Fewer than ``n`` come back where there are no more.
    """
    _require_sound(rule)
    quotas = parse_quotas(rule.quotas)
    clips = _Candidates(index, query, encode_text)
    value = rule.hardness * np.nan_to_num(clips.hardness) + rule.score * clips.score
    keep = ~_overlapping(clips, rule.exclude)
    excluded = int((~keep).sum())
    at = np.flatnonzero(keep)
    duplicates = 0
    near = near_cosine(clips.snapshot) if rule.near_duplicate == AUTO else rule.near_duplicate
    if near is not None:
        worse = near_duplicates(lambda: clips.batches(at), value[at], at_least=near)
        duplicates, at = int(worse.sum()), at[~worse]
    order = at[_best_first(value[at], clips.clip_id.take(pa.array(at)))]
    pool = np.concatenate([order[:POOL], _for_quotas(clips, order[POOL:], quotas)])
    picked, unmet = _pick(clips, pool, value, rule, quotas)
    items = _items(clips, [int(pool[row]) for row in picked.rows], picked.gain, picked.distance)
    models = sorted({m for m in index.store.read_distinct("clips", "stream_fingerprint") if m})
    selection = Selection(
        items, index_version(index.store), tuple(models), {} if query is None else query.as_json(), rule.as_json()
    )
    return Report(selection, len(clips), excluded, duplicates, near, len(order) - min(len(order), POOL), unmet)


def near_cosine(clips: Snapshot) -> float:
    """The cosine at which two clips of an index are ``NEAR_SHARE`` of its mean distance apart, to 6 decimals.

    Towers differ in how close together they put all images: 0.98 for embeddings that point in all directions, 0.997
    where two clips have a cosine of 0.85 on average.
    """
    rows = np.unique(np.linspace(0, max(len(clips) - 1, 0), min(len(clips), SPREAD_ROWS)).astype(np.int64))
    unit = _unit_embeddings(clips, rows).astype(np.float64)
    known = unit[np.isfinite(unit).all(1)]
    distance = mean_distance(known) if len(known) else 1.0
    return round(1.0 - NEAR_SHARE * distance, 6)


def _unit_embeddings(clips: Snapshot, positions: Int[ndarray, "k"]) -> Float[ndarray, "k e"]:
    """Embeddings of length 1 of some rows; NaN where there is none."""
    return unit_matrix(clips.take(positions, ["embedding"])["embedding"], missing=np.nan)


class _Candidates:
    """Clips that the filter lets through, in the order of the table; embeddings are read again as they are needed."""

    def __init__(self, index: Index, query: Query | None, encode_text: Callable[..., Any] | None):
        self.index = index
        resolved = resolve(index.store, query.where if query else None, added=filter_names(index.store))
        self.snapshot, self.positions = let_through(index, resolved)
        keys = ["clip_id", "log_id", "start_us", "end_us", "hardness", *PLACES.values()]
        rows = self.snapshot.take(self.positions, list(dict.fromkeys(keys)))
        # Texts stay in Arrow, as numbers where they repeat: there may be ten million of them.
        self.clip_id: pa.StringArray = rows["clip_id"].combine_chunks()
        self.log, self.log_id = _coded(rows["log_id"])
        self.start_us, self.end_us = (rows[name].to_numpy() for name in ("start_us", "end_us"))
        self.hardness = rows["hardness"].cast(pa.float64()).to_numpy(zero_copy_only=False)
        self.places = {name: _coded(rows[column]) for name, column in PLACES.items()}
        self.likeness: ndarray | None = None
        self.score = np.zeros(len(self.positions))
        if query is not None and query.has_score:
            known = replace(resolved, sql=None, positions=self.positions, snapshot=self.snapshot)
            scored = rank_query(index, query, known, encode_text=encode_text).all_scores()
            self.likeness = np.full(len(self.positions), np.nan)
            self.likeness[np.searchsorted(self.positions, scored[0])] = scored[1]
            order = np.argsort(np.argsort(np.nan_to_num(self.likeness, nan=-np.inf), kind="stable"), kind="stable")
            self.score = np.where(np.isnan(self.likeness), 0.0, order / max(len(order) - 1, 1))

    def __len__(self) -> int:
        return len(self.positions)

    def batches(self, at: Int[ndarray, "k"]):
        """Unit embeddings of some candidates, a batch at a time; NaN where there is none."""
        for start in range(0, len(at), _AT_ONCE):
            yield self.unit(at[start : start + _AT_ONCE])

    def unit(self, at: Int[ndarray, "k"]) -> Float[ndarray, "k e"]:
        return _unit_embeddings(self.snapshot, self.positions[at])

    def flag(self, column: str, at: Int[ndarray, "k"]) -> Bool[ndarray, "k"]:
        values = self.snapshot.take(self.positions[at], [column])[column].cast(pa.float64())
        return np.nan_to_num(values.to_numpy(zero_copy_only=False).astype(np.float64)) >= HAS_TAG


def _coded(column: pa.ChunkedArray) -> tuple[Int[ndarray, "n"], list[str]]:
    """Texts as numbers, -1 where null, and the text of each number."""
    coded = column.combine_chunks().dictionary_encode()
    return coded.indices.fill_null(-1).to_numpy().astype(np.int64), coded.dictionary.to_pylist()


def _best_first(value: Float[ndarray, "n"], clip_id: pa.StringArray) -> Int[ndarray, "n"]:
    """Order of highest value, then of clip id."""
    keys = pa.table({"value": value, "clip_id": clip_id, "row": np.arange(len(value))})
    return keys.sort_by([("value", "descending"), ("clip_id", "ascending")])["row"].to_numpy()


def _require_sound(rule: Rule) -> None:
    if not 1 <= rule.n <= MAX_N:
        raise QueryError(f"expected to select between 1 and {MAX_N} clips, found {rule.n}")
    weights = (rule.hardness, rule.score, rule.diversity)
    if not all(np.isfinite(weight) and 0 <= weight <= 1000 for weight in weights) or not any(weights):
        raise QueryError(f"expected weights between 0 and 1000, not all 0; found {weights}")
    if isinstance(rule.near_duplicate, str):
        if rule.near_duplicate != AUTO:
            raise QueryError(f"expected a cosine or {AUTO!r} for near-duplicates, found {rule.near_duplicate!r}")
    elif rule.near_duplicate is not None and not 0.5 <= rule.near_duplicate <= 1.0:
        raise QueryError(f"expected a cosine between 0.5 and 1 for near-duplicates, found {rule.near_duplicate}")


def _overlapping(clips: _Candidates, intervals: Sequence[tuple[str, int, int]]) -> Bool[ndarray, "n"]:
    out = np.zeros(len(clips), bool)
    by_log: dict[str, list[tuple[int, int]]] = {}
    for log, start, end in intervals:
        by_log.setdefault(log, []).append((start, end))
    codes = {log: code for code, log in enumerate(clips.log_id)}
    for log, spans in by_log.items():
        rows = np.flatnonzero(clips.log == codes[log]) if log in codes else []
        for start, end in spans:
            out[rows] |= (clips.start_us[rows] < end) & (clips.end_us[rows] > start)
    return out


def _members(clips: _Candidates, at: ndarray, quota: Quota) -> list[Bool[ndarray, "k"]]:
    """One group, or one for each value where none is named."""
    if quota.group in FLAGS:
        return [clips.flag(quota.column, at)]
    codes, names = clips.places[quota.group]
    if quota.value is not None:
        return [codes[at] == (names.index(quota.value) if quota.value in names else NOT_THERE)]
    return [codes[at] == code for code in np.unique(codes[at]).tolist() if code >= 0]


def _for_quotas(clips: _Candidates, beyond: ndarray, quotas: Sequence[Quota]) -> Int[ndarray, "k"]:
    """Of the clips beyond the pool, the best that a quota of at least so many may need."""
    wanted = [np.zeros(0, np.int64)]
    for quota in quotas:
        if quota.least and len(beyond):
            (members,) = _members(clips, beyond, quota)
            wanted.append(beyond[np.flatnonzero(members)[: 4 * quota.least]])
    return np.unique(np.concatenate(wanted))


def _pick(clips: _Candidates, pool: ndarray, value: ndarray, rule: Rule, quotas: Sequence[Quota]):
    unit = np.nan_to_num(clips.unit(pool))
    groups, names = [], []
    for quota in quotas:
        for members in _members(clips, pool, quota):
            groups.append(Group(members, quota.least or 0, quota.most))
            names.append(str(quota))
    earlier = _earlier(clips, rule.exclude)
    places = Pool(unit, value[pool], clips.start_us[pool], clips.end_us[pool], clips.log[pool])
    picked = pick(places, rule.n, diversity=rule.diversity, groups=groups, chosen=earlier)
    rows = np.array(picked.rows, int)
    unmet = tuple(
        f"{name}: {int(group.members[rows].sum())} found"
        for name, group in zip(names, groups, strict=True)
        if group.members[rows].sum() < group.least
    )
    lacking = tuple(f"{quota}: 0 found" for quota in quotas if quota.least and str(quota) not in names)
    return picked, unmet + lacking


def _earlier(clips: _Candidates, intervals: Sequence[tuple[str, int, int]]) -> Float[ndarray, "m e"] | None:
    """Embeddings of what was selected before, as far as the query lets it through."""
    if not intervals:
        return None
    at = np.flatnonzero(_overlapping(clips, intervals))
    unit = clips.unit(at[:: max(1, len(at) // POOL)]) if len(at) else None
    return None if unit is None else unit[np.isfinite(unit).all(1)]


def _items(
    clips: _Candidates, chosen: Sequence[int], gain: Sequence[float], distance: Sequence[float]
) -> tuple[Selected, ...]:
    if not chosen:
        return ()
    at = np.array(chosen)
    rows = clips.snapshot.take(clips.positions[at], list(_SHOWN)).to_pylist()
    items = []
    for k, row in enumerate(rows):
        source = risk_source(row)
        likeness = None if clips.likeness is None else float(clips.likeness[at[k]])
        parts = {
            "likeness": likeness if likeness is None or np.isfinite(likeness) else None,
            "score": float(clips.score[at[k]]),
            "distance": distance[k],
            **{name: row[name] for name in ("hardness", "ambiguity", "rarity")},
            "risk": None if source is None else row[f"risk_{source}"],
            "risk_source": source,
            **{f"risk_{part}": None if source is None else row[f"risk_{source}_{part}"] for part in EXPLANATION},
        }
        ids = (row["clip_id"], row["log_id"], row["log_name"], row["start_us"], row["end_us"])
        items.append(Selected(*ids, gain[k], parts))
    return tuple(items)
