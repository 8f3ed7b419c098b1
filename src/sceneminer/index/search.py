"""Search: texts, an image, clips to be like and unlike, or nothing, under a filter; to time intervals with a score."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from jaxtyping import Float, Int
from numpy import ndarray

from sceneminer.index.encoders import Encoders, TextEncoder
from sceneminer.index.errors import IndexFault, QueryError
from sceneminer.index.head_files import filter_names
from sceneminer.index.hits import AT, KEYS, Hit, intervals, shown, whole_intervals
from sceneminer.index.moments import Moments
from sceneminer.index.query import ImageExample, Query, make_query
from sceneminer.index.rank import Ranking, Target
from sceneminer.index.resolve import Resolved, moments_of, resolve
from sceneminer.index.scoring import UNLIKE_WEIGHT, Scorer, make_scorer
from sceneminer.index.snapshot import Snapshot
from sceneminer.index.store import Store
from sceneminer.index.vectors import unit_rows
from sceneminer.index.where import quote
from sceneminer.index.where_text import parse_text

MAX_TOP = 10_000
NAMED_AGENTS = 5


@dataclass(frozen=True)
class Index:
    """A handle on an index folder; reading it needs no model except to encode a text or an image."""

    folder: Path
    store: Store = field(compare=False, repr=False)

    @property
    def manifest(self) -> dict[str, Any]:
        return self.store.manifest()

    @cached_property
    def encoders(self) -> Encoders:
        return Encoders(self.manifest)


def open_index(folder: Path | str) -> Index:
    """Open an index for reading. IndexFault where there is none, or its format is another."""
    return Index(Path(folder), Store.open(Path(folder)))


def search(
    index: Index,
    text: str | None = None,
    *,
    image: ImageExample | Path | str | bytes | None = None,
    like: str | Sequence[str] | None = None,
    unlike: str | Sequence[str] | None = None,
    where: str | None = None,
    top: int = 10,
    merge: bool = True,
    encode_text: TextEncoder | None = None,
) -> tuple[Hit, ...]:
    """The ``top`` intervals most like all that is given, under a filter; with a filter alone, by hardness.

    ``text`` may join quoted texts: ``"a bus" and not "rain"``. ``image`` is a file, its bytes, or an example made of
    it; ``like`` and ``unlike`` are ids of clips. By filter alone, clips whose hardness is null are found too, last and
    with score None. ``top`` counts intervals after merging; without ``merge`` each clip is a hit of its own.
    ``encode_text`` defaults to the text tower named in the index. QueryError for a query that is empty, too long,
    names an unknown clip or filters on what is not allowed.
    """
    if isinstance(image, Path | str | bytes):
        image = index.encoders.image(Path(image) if isinstance(image, str) else image)
    query = make_query(text, image=image, like=like, unlike=unlike, where=where)
    return run_query(index, query, top=top, merge=merge, encode_text=encode_text)


def run_query(
    index: Index, query: Query, *, top: int = 10, merge: bool = True, encode_text: TextEncoder | None = None
) -> tuple[Hit, ...]:
    """The ``top`` intervals of a Query: see ``search``."""
    _require_top(top)
    resolved = resolve(index.store, query.where, added=filter_names(index.store))
    if not query.has_score:
        hits = hits_of(index, *let_through(index, resolved), top=top, merge=merge, nulls_too=True)
    else:
        ranking = rank_query(index, query, resolved, encode_text=encode_text)
        told = {"stride_us": stride_us(index), "score": ranking.score_name, "top": top, "merge": merge}
        hits = intervals(ranking.fetch, ranking.details, **told)
    return _with_moments(index, hits, resolved)


def hardest(index: Index, *, where: str | None = None, top: int = 10, merge: bool = True) -> tuple[Hit, ...]:
    """The ``top`` intervals of highest hardness, under a filter; without ``merge`` each clip is one.

    IndexFault until hardness has been refreshed.
    """
    _require_top(top)
    if "hardness" not in index.manifest:
        raise IndexFault("expected hardness in this index, found none yet; run sceneminer index optimize")
    resolved = resolve(index.store, where, added=filter_names(index.store))
    hits = hits_of(index, *let_through(index, resolved), top=top, merge=merge)
    return _with_moments(index, hits, resolved)


def rank_query(index: Index, query: Query, resolved: Resolved, *, encode_text: TextEncoder | None = None) -> Ranking:
    """Clips in order of likeness to a Query's texts, image and examples, among those that a filter lets through."""
    if not index.store.snapshot("clips").holds("stream_fingerprint IS NOT NULL"):
        raise IndexFault("expected clips with images, found none in this index; search it by filter (--where)")
    examples, apart = _examples(index, (*query.like, *query.unlike))
    return Ranking(index.store, _scorer(index, query, examples, encode_text), Target(resolved, apart))


def stream_of(index: Index) -> str:
    """Fingerprint of the stream that the index's clips have; IndexFault where they have none."""
    model = index.manifest.get("model")
    if not model:
        raise IndexFault(f"expected an index with streams at {index.folder}, found one without a model")
    return str(model["stream_fingerprint"])


def stride_us(index: Index) -> int:
    """Between the starts of neighbouring clips."""
    return int(index.manifest.get("mining", {}).get("stride_us", 1_000_000))


def _require_top(top: int) -> None:
    if not 1 <= top <= MAX_TOP:
        raise QueryError(f"expected top between 1 and {MAX_TOP}, found {top}")


def _scorer(index: Index, query: Query, examples: dict[str, ndarray], encode_text: TextEncoder | None) -> Scorer:
    text = None if query.text is None else parse_text(query.text)
    vectors = None
    if text is not None:
        vectors = np.asarray((encode_text or index.encoders.texts)(list(text.texts)), np.float32)
    others: list[tuple[str, float, Float[ndarray, e]]] = []
    if query.image is not None:
        others.append((f"image {query.image.name}", 1.0, _image_vector(index, query.image)))
    for name, weight, ids in (("like", 1.0, query.like), ("unlike", -UNLIKE_WEIGHT, query.unlike)):
        if ids:
            others.append((name, weight, unit_rows(np.stack([examples[clip] for clip in ids])).mean(0)))
    sample = (
        index.store.sample_embeddings()
        if len(others) + (len(text.texts) if text else 0) > 1
        else np.zeros((0, index_width(index)))
    )
    return make_scorer(text, vectors, others, sample.astype(np.float32))


def index_width(index: Index) -> int:
    """Width of the index's embeddings."""
    return int(index.manifest["embed_dim"])


def _image_vector(index: Index, image: ImageExample) -> Float[ndarray, "e"]:
    vector, model = image.vector(), index.manifest.get("model", {})
    if len(vector) != index_width(index) or image.space != model.get("space", image.space):
        raise QueryError(
            f"expected an image embedded in space {model.get('space')} with {index_width(index)} numbers, "
            f"found {image.name} in {image.space} with {len(vector)}"
        )
    return vector


def _examples(index: Index, ids: Sequence[str]) -> tuple[dict[str, Float[ndarray, "e"]], str | None]:
    """Embeddings of clips given as examples, and a condition that leaves out what overlaps them."""
    if not ids:
        return {}, None
    columns = ["clip_id", "log_id", "start_us", "end_us", "embedding"]
    rows = index.store.rows_by_id("clips", "clip_id", ids, columns)
    unknown = [clip for clip in ids if clip not in rows]
    if unknown:
        raise QueryError(f"expected the id of a clip in this index, found {unknown[0]!r}")
    blind = [clip for clip in ids if rows[clip]["embedding"] is None]
    if blind:
        raise QueryError(f"expected a clip with images, found none in {blind[0]}")
    overlaps = [
        f"(log_id = {quote(row['log_id'])} AND start_us < {row['end_us']} AND end_us > {row['start_us']})"
        for row in rows.values()
    ]
    vectors = {clip: np.asarray(row["embedding"], np.float32) for clip, row in rows.items()}
    return vectors, f"NOT ({' OR '.join(overlaps)})"


def let_through(index: Index, resolved: Resolved) -> tuple[Snapshot, Int[ndarray, "k"]]:
    """The clips that a filter lets through: positions in one version of the table."""
    snapshot = resolved.snapshot or index.store.snapshot("clips")
    positions = resolved.positions
    if positions is None:
        positions = np.arange(len(snapshot)) if resolved.sql in (None, "true") else snapshot.matching(resolved.sql)
    return snapshot, positions


def hits_of(
    index: Index,
    snapshot: Snapshot,
    positions: Int[ndarray, "k"],
    *,
    top: int,
    merge: bool = True,
    nulls_too: bool = False,
) -> tuple[Hit, ...]:
    """The ``top`` intervals of highest hardness among some clips, as far as it is known.

    With ``nulls_too`` every one of the clips counts: each is in an interval, also where hardness is null.
    """
    rows = snapshot.take(positions, [*KEYS, "hardness"]).append_column(AT, pa.array(positions))
    value = rows["hardness"].cast(pa.float64()).to_numpy(zero_copy_only=False)
    told = {"stride_us": stride_us(index), "score": "hardness", "top": top, "merge": merge}
    if nulls_too:
        return whole_intervals(rows, partial(shown, snapshot), **told)
    kept = np.flatnonzero(~np.isnan(value))
    rows, value = rows.take(pa.array(kept)), value[kept]

    def fetch(limit: int) -> pa.Table:
        # Only what may be among the first is put in order: of a million clips that is what takes long.
        at = np.arange(len(value))
        if limit < len(value):
            at = np.flatnonzero(value >= -np.partition(-value, limit - 1)[limit - 1])
        ids = np.array(rows["clip_id"].take(pa.array(at)).to_pylist(), dtype=str)
        return rows.take(pa.array(at[np.lexsort((ids, -value[at]))[:limit]]))

    return intervals(fetch, partial(shown, snapshot), **told)


def _with_moments(index: Index, hits: tuple[Hit, ...], resolved: Resolved) -> tuple[Hit, ...]:
    """Hits that say who met the filter's conditions on agents, and from when to when."""
    if resolved.condition is None or not hits:
        return hits
    found = moments_of(index.store, resolved.condition, frozenset(hit.log_id for hit in hits))
    return tuple(_told(hit, found.get(hit.log_id)) for hit in hits)


def _told(hit: Hit, moments: Moments | None) -> Hit:
    inside = None if moments is None else moments.between(hit.start_us, hit.end_us)
    if inside is None or not len(inside):
        return hit
    agents = list(dict.fromkeys(zip(inside.track_id, inside.category, strict=True)))
    named = ", ".join(f"{category} {track}" for track, category in agents[:NAMED_AGENTS])
    more = f" and {len(agents) - NAMED_AGENTS} more" if len(agents) > NAMED_AGENTS else ""
    told = {
        "agents": named + more,
        "agents_start_us": int(inside.time_us[0]),
        "agents_end_us": int(inside.time_us[-1]),
    }
    return replace(hit, parts={**hit.parts, **told})
