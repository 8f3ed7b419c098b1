"""Hits: clips in order of score, merged with their neighbours to intervals, each with the parts of its score.

Whether they are merged is a question of how hits are shown: a Query says nothing of it.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa

from sceneminer.index.snapshot import Snapshot
from sceneminer.labels.prompts import TAGS

CLIPS_AN_INTERVAL = 4
"""In a ranking, where every clip is a hit of some degree, the best ``top`` times this many may widen an interval."""
EXPLANATION = ("agent", "category", "time_us", "measure", "value")
"""Who, when and which measure is behind a risk: columns ``risk_<source>_<part>``."""
LIKENESS = "likeness to "
"""Before the name of a part of the query, in the parts of a score."""
SHOWN = (
    "clip_id",
    "log_id",
    "log_name",
    "start_us",
    "end_us",
    *(f"risk_{source}{part}" for source in ("tracks", "camera") for part in ("", *(f"_{p}" for p in EXPLANATION))),
    "ambiguity",
    "rarity",
    "hardness",
    "location",
    "ego_speed_mps",
    "cameras",
    *(f"tag_{tag}" for tag in TAGS),
)
"""Columns of clips that a Hit tells of."""
KEYS = ("clip_id", "log_id", "start_us", "end_us")
"""Columns by which clips are merged."""
AT = "_at"
"""Where a row is, in the numbers that ``Details`` takes."""
Details = Callable[[list[int]], pa.Table]
"""``SHOWN`` of the rows at these places, in this order."""


def shown(snapshot: Snapshot, at: list[int]) -> pa.Table:
    """``SHOWN`` of the rows at these positions, in this order."""
    return snapshot.take(np.array(at, np.int64), list(SHOWN))


@dataclass(frozen=True)
class Hit:
    """A time interval of one log, with its score and the parts behind it."""

    log_id: str
    log_name: str
    start_us: int
    end_us: int
    score: float | None
    """Likeness to the query (cosine similarity where it has one part, else as ``scoring`` says), else hardness; None
    where that is null."""
    best_clip_id: str
    clip_ids: tuple[str, ...]
    parts: dict[str, Any] = field(default_factory=dict)
    """Of the best clip: similarity, likeness to each part of the query, hardness, risk and its explanation; who met
    the filter's conditions on agents and when. A part that is null is None."""
    tags: dict[str, float | None] = field(default_factory=dict)
    """Of the best clip, as the model tells them."""
    cameras: int | None = None
    """With a usable image in the best clip."""


def intervals(
    fetch: Callable[[int], pa.Table],
    details: Details,
    *,
    stride_us: int,
    score: str,
    top: int,
    merge: bool = True,
) -> tuple[Hit, ...]:
    """Clips in order of score, merged with their neighbours, until one more would open interval ``top`` + 1.

    Stopping there, rather than merging whatever a batch happened to fetch, keeps an interval to the clips that
    earned it: fetching more can never widen a hit. The best ``CLIPS_AN_INTERVAL`` × ``top`` clips widen intervals and
    others only open them, or a small index would come back as whole logs.

    Without ``merge`` each of the ``top`` best clips is an interval of its own, whatever overlaps it.
    """
    if not merge:
        return _hits([[row] for row in fetch(top).to_pylist()], details, score)
    limit = widening = CLIPS_AN_INTERVAL * top
    # ``fetch`` gives KEYS, AT and the score with its parts; the rest is read of the best clip of each hit alone.
    while True:
        rows = fetch(limit)
        groups, complete = _merge(rows.to_pylist(), stride_us=stride_us, top=top, widening=widening)
        if complete or rows.num_rows < limit:
            return _hits(groups, details, score)
        limit *= 2


def whole_intervals(
    rows: pa.Table, details: Details, *, stride_us: int, score: str, top: int, merge: bool = True
) -> tuple[Hit, ...]:
    """The ``top`` intervals of the highest score where every row is a hit: each of them is in one, whatever ``top``."""
    coded = rows["log_id"].combine_chunks().dictionary_encode()
    names = coded.dictionary.to_pylist()
    log = np.argsort(np.argsort(np.array(names, dtype=str)))[coded.indices.to_numpy()] if names else np.zeros(0, int)
    start = rows["start_us"].to_numpy()
    value = rows[score].cast(pa.float64()).to_numpy(zero_copy_only=False)
    order = np.lexsort((start, log))
    opens = np.ones(len(order), bool)
    opens[1:] = (np.diff(log[order]) != 0) | (np.diff(start[order]) > stride_us) | (not merge)
    first = np.flatnonzero(opens)
    edges = np.append(first, len(order))
    best = np.maximum.reduceat(np.nan_to_num(value, nan=-np.inf)[order], first) if len(first) else np.zeros(0)
    chosen = np.argsort(-best, kind="stable")[:top]
    groups = [rows.take(pa.array(order[edges[k] : edges[k + 1]])).to_pylist() for k in chosen]
    return _hits(groups, details, score)


def _hits(groups: list[list[dict[str, Any]]], details: Details, score: str) -> tuple[Hit, ...]:
    best = [_best(group, score) for group in groups]
    rows = details([row[AT] for row in best]).to_pylist() if best else []
    return tuple(sorted((_hit(*told, score) for told in zip(groups, best, rows, strict=True)), key=_rank))


def _merge(
    rows: list[dict[str, Any]], *, stride_us: int, top: int, widening: int
) -> tuple[list[list[dict[str, Any]]], bool]:
    """Groups of same-log clips no further apart than the stride, and whether a clip was turned away.

    Clips after the first ``widening`` that lie near a group are passed over.
    """
    by_log: dict[str, list[list[dict[str, Any]]]] = {}
    count = 0
    for rank, row in enumerate(rows):
        groups = by_log.setdefault(row["log_id"], [])
        near = [group for group in groups if _touches(group, row, stride_us)]
        if near and rank >= widening:
            continue
        if not near and count == top:
            return [group for groups in by_log.values() for group in groups], True
        joined = sorted([row, *(clip for group in near for clip in group)], key=lambda r: r["start_us"])
        by_log[row["log_id"]] = [group for group in groups if not any(group is other for other in near)] + [joined]
        count += 1 - len(near)
    return [group for groups in by_log.values() for group in groups], False


def _touches(group: list[dict[str, Any]], row: dict[str, Any], stride_us: int) -> bool:
    first, last = group[0]["start_us"], group[-1]["start_us"]
    return first - stride_us <= row["start_us"] <= last + stride_us


def _finite(value: Any) -> Any:
    """What is not a number is unknown: NaN and infinity have no place in a Hit, nor in JSON."""
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _rank(hit: Hit) -> tuple[bool, float, str, int]:
    return hit.score is None, -(hit.score or 0.0), hit.log_id, hit.start_us


def risk_source(row: Mapping[str, Any]) -> str | None:
    """What the risk of a clip is made from, as ``where.RISK_RULE`` says."""
    return next((source for source in ("tracks", "camera") if row[f"risk_{source}"] is not None), None)


def _best(group: list[dict[str, Any]], score: str) -> dict[str, Any]:
    values = [(row, _finite(row[score])) for row in group]
    return max(values, key=lambda pair: (pair[1] is not None, pair[1] or 0.0, pair[0]["clip_id"]))[0]


def _hit(group: list[dict[str, Any]], ranked: dict[str, Any], row: dict[str, Any], score: str) -> Hit:
    best = {name: _finite(value) for name, value in {**row, **ranked}.items()}
    source = risk_source(best)
    return Hit(
        log_id=best["log_id"],
        log_name=best["log_name"],
        start_us=min(row["start_us"] for row in group),
        end_us=max(row["end_us"] for row in group),
        score=None if best[score] is None else float(best[score]),
        best_clip_id=best["clip_id"],
        clip_ids=tuple(row["clip_id"] for row in group),
        parts={
            "similarity": best.get("similarity"),
            **{name: value for name, value in best.items() if name.startswith(LIKENESS)},
            "hardness": best["hardness"],
            "risk": None if source is None else best[f"risk_{source}"],
            "risk_source": source,
            **{f"risk_{part}": None if source is None else best[f"risk_{source}_{part}"] for part in EXPLANATION},
            "risk_tracks": best["risk_tracks"],
            "risk_camera": best["risk_camera"],
            "ambiguity": best["ambiguity"],
            "rarity": best["rarity"],
            "location": best["location"],
            "ego_speed_mps": best["ego_speed_mps"],
        },
        tags={tag: best[f"tag_{tag}"] for tag in TAGS},
        cameras=best["cameras"],
    )
