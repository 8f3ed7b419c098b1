"""Search: text, an example or nothing, and a filter, to time intervals with a score and its parts."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from jaxtyping import Float
from numpy import ndarray

from sceneminer.index.errors import IndexFault, QueryError
from sceneminer.index.head_files import filter_names
from sceneminer.index.store import Store
from sceneminer.index.where import parse_where, quote

MAX_TOP = 10_000
MAX_TEXT = 1000
CLIPS_AN_INTERVAL = 4
"""In a ranking, where every clip is a hit of some degree, the best ``top`` times this many may widen an interval."""
EXPLANATION = ("agent", "category", "time_us", "measure", "value")
"""Who, when and which measure is behind a risk: columns ``risk_<source>_<part>``."""
_SHOWN = [
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
]

TextEncoder = Callable[[list[str]], Float[ndarray, "n e"]]


@dataclass(frozen=True)
class Hit:
    """A time interval of one log, with its score and the parts behind it."""

    log_id: str
    log_name: str
    start_us: int
    end_us: int
    score: float | None
    """Cosine similarity to a text or example, else hardness; None where that is null."""
    best_clip_id: str
    clip_ids: tuple[str, ...]
    parts: dict[str, Any] = field(default_factory=dict)
    """Of the best clip: similarity, hardness, risk and its explanation; a part that is null is None."""


@dataclass(frozen=True)
class Index:
    """A handle on an index folder; reading it needs no model except to encode a text."""

    folder: Path
    store: Store = field(compare=False, repr=False)

    @property
    def manifest(self) -> dict[str, Any]:
        return self.store.manifest()


def open_index(folder: Path | str) -> Index:
    """Open an index for reading. IndexFault where there is none, or its format is another."""
    return Index(Path(folder), Store.open(Path(folder)))


def search(
    index: Index,
    text: str | None = None,
    *,
    like: str | None = None,
    where: str | None = None,
    top: int = 10,
    encode_text: TextEncoder | None = None,
) -> tuple[Hit, ...]:
    """The ``top`` intervals nearest to a text or to a clip, under a filter; with neither, by hardness.

    By filter alone, clips whose hardness is null are found too, last and with score None. ``top`` counts intervals
    after merging. ``encode_text`` defaults to the text tower named in the index. QueryError for a query that is
    empty, too long, names an unknown clip or filters on what is not allowed.
    """
    if not 1 <= top <= MAX_TOP:
        raise QueryError(f"expected top between 1 and {MAX_TOP}, found {top}")
    if text is not None and like is not None:
        raise QueryError("expected a text or a clip to be like, found both")
    condition = None if where is None else parse_where(where, added=filter_names(index.store))
    if text is None and like is None:
        if condition is None:
            raise QueryError("expected a text, a clip to be like, or a filter; found none")
        return _by_hardness(index, condition.sql, top=top, all_are_hits=True)
    if index.store.rows("clips", "stream_fingerprint IS NOT NULL") == 0:
        raise IndexFault("expected clips with images, found none in this index; search it by filter (--where)")
    vector, excluded = _query_vector(index, text, like, encode_text)
    filters = [part for part in (condition.sql if condition else None, excluded) if part]
    sql = " AND ".join(f"({part})" for part in filters) or None

    def fetch(limit: int) -> pa.Table:
        rows = index.store.nearest(vector, columns=_SHOWN, where=sql, limit=limit)
        similarity = 1.0 - rows["_distance"].to_numpy()
        return rows.drop_columns(["_distance"]).append_column("similarity", pa.array(similarity))

    return _intervals(index, fetch, score="similarity", top=top)


def hardest(index: Index, *, where: str | None = None, top: int = 10) -> tuple[Hit, ...]:
    """The ``top`` intervals of highest hardness, under a filter. IndexFault until hardness has been refreshed."""
    if not 1 <= top <= MAX_TOP:
        raise QueryError(f"expected top between 1 and {MAX_TOP}, found {top}")
    if "hardness" not in index.manifest:
        raise IndexFault("expected hardness in this index, found none yet; run sceneminer index optimize")
    condition = "true" if where is None else parse_where(where, added=filter_names(index.store)).sql
    return _by_hardness(index, f"hardness IS NOT NULL AND ({condition})", top=top)


def _by_hardness(index: Index, sql: str, *, top: int, all_are_hits: bool = False) -> tuple[Hit, ...]:
    rows = index.store.read("clips", columns=_SHOWN, where=sql)
    hardness = rows["hardness"].fill_null(-1.0).to_numpy()
    order = np.lexsort((np.array(rows["clip_id"].to_pylist(), dtype=str), -hardness))
    rows = rows.take(pa.array(order))

    def fetch(limit: int) -> pa.Table:
        return rows.slice(0, limit)

    return _intervals(index, fetch, score="hardness", top=top, all_are_hits=all_are_hits)


def _query_vector(
    index: Index, text: str | None, like: str | None, encode_text: TextEncoder | None
) -> tuple[ndarray, str | None]:
    """The vector to be near to, and a condition that leaves out the example itself."""
    if like is not None:
        columns = ["log_id", "start_us", "end_us", "embedding"]
        _require_utf8(like)
        rows = index.store.read("clips", columns=columns, where=f"clip_id = {quote(like)}").to_pylist()
        if not rows:
            raise QueryError(f"expected the id of a clip in this index, found {like!r}")
        if rows[0]["embedding"] is None:
            raise QueryError(f"expected a clip with images, found none in {like}")
        own = f"log_id = {quote(rows[0]['log_id'])}"
        overlaps = f"start_us < {rows[0]['end_us']} AND end_us > {rows[0]['start_us']}"
        return np.asarray(rows[0]["embedding"], np.float32), f"NOT ({own} AND {overlaps})"
    assert text is not None
    if not text.strip() or len(text) > MAX_TEXT:
        raise QueryError(f"expected a text of 1 to {MAX_TEXT} characters, found {len(text.strip())}")
    _require_utf8(text)
    encode = encode_text or text_encoder(index)
    return np.asarray(encode([text])[0], np.float32), None


def _require_utf8(text: str) -> None:
    """A command line hands on bytes that are no text as halves of surrogate pairs."""
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise QueryError(f"expected text in UTF-8, found {text!r}") from error


def text_encoder(index: Index) -> TextEncoder:
    """The text side of the tower that made this index's embeddings."""
    from sceneminer.model.zoo import load_model_tower

    model = index.manifest.get("model")
    if not model:
        raise IndexFault("expected an index with embeddings, found one without a model; search it by filter")
    tower = load_model_tower(model["source"])
    if tower.space != model["space"]:
        raise IndexFault(f"expected text space {model['space']}, found {tower.space} in {model['source']}")

    def encode(texts: list[str]) -> ndarray:
        return tower.encode_texts(texts).float().numpy()

    return encode


def _intervals(
    index: Index, fetch: Callable[[int], pa.Table], *, score: str, top: int, all_are_hits: bool = False
) -> tuple[Hit, ...]:
    """Clips in order of score, merged with their neighbours, until one more would open interval ``top`` + 1.

    Stopping there, rather than merging whatever a batch happened to fetch, keeps an interval to the clips that
    earned it: fetching more can never widen a hit. In a ranking the best ``CLIPS_AN_INTERVAL`` × ``top`` clips widen
    intervals and others only open them, or a small index would come back as whole logs; a filter's matches all count.
    """
    stride_us = int(index.manifest.get("mining", {}).get("stride_us", 1_000_000))
    limit = CLIPS_AN_INTERVAL * top
    widening = None if all_are_hits else limit
    while True:
        rows = fetch(limit)
        groups, complete = _merge(rows.to_pylist(), stride_us=stride_us, top=top, widening=widening)
        if complete or rows.num_rows < limit:
            hits = [_hit(group, score) for group in groups]
            return tuple(sorted(hits, key=_rank))
        limit *= 2


def _merge(
    rows: list[dict[str, Any]], *, stride_us: int, top: int, widening: int | None
) -> tuple[list[list[dict[str, Any]]], bool]:
    """Groups of same-log clips no further apart than the stride, and whether a clip was turned away.

    Clips after the first ``widening`` (None: all) that lie near a group are passed over.
    """
    by_log: dict[str, list[list[dict[str, Any]]]] = {}
    count = 0
    for rank, row in enumerate(rows):
        groups = by_log.setdefault(row["log_id"], [])
        near = [group for group in groups if _touches(group, row, stride_us)]
        if near and widening is not None and rank >= widening:
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


def _hit(group: list[dict[str, Any]], score: str) -> Hit:
    group = [{name: _finite(value) for name, value in row.items()} for row in group]
    best = max(group, key=lambda row: (row[score] is not None, row[score] or 0.0, row["clip_id"]))
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
            "hardness": best["hardness"],
            "risk": None if source is None else best[f"risk_{source}"],
            "risk_source": source,
            **{f"risk_{part}": None if source is None else best[f"risk_{source}_{part}"] for part in EXPLANATION},
            "risk_tracks": best["risk_tracks"],
            "risk_camera": best["risk_camera"],
            "ambiguity": best["ambiguity"],
            "rarity": best["rarity"],
            "location": best["location"],
        },
    )
