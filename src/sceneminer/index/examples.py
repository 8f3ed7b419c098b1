"""From what was said of clips to examples that a head is fitted to: streams looked up, what cannot serve refused."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from sceneminer.index.errors import IndexFault
from sceneminer.index.label_set import NAMED, LabelSet
from sceneminer.index.store import Store
from sceneminer.index.streams import take_streams
from sceneminer.model.added import pool_stream
from sceneminer.model.examples import Examples

BACKGROUND = 2048
"""Clips, drawn once, by which features are standardised; those that nobody marked are weak negatives of relevance."""
MAX_EXAMPLES = 16_384
"""More labelled clips than these are thinned out, the rarer classes last."""


@dataclass(frozen=True, eq=False)
class Gathered:
    """Examples of an index, and what they stand for."""

    examples: Examples
    background: Float[Tensor, "b d"]
    used: LabelSet
    """What was said of the clips that serve as examples."""
    without_stream: int
    """Labelled clips without images: left out."""
    thinned: int
    """Labelled clips beyond MAX_EXAMPLES: left out."""
    weak: int


@dataclass(frozen=True, eq=False)
class _Rows:
    """Clips that are in the index and have a stream, by id."""

    position: dict[str, int]
    log: dict[str, str]
    span_us: dict[str, tuple[int, int]]
    clips: set[str]
    """Those without a stream as well."""


def gather_examples(
    store: Store, labels: LabelSet, *, stream_fingerprint: str, seed: int, earlier: LabelSet | None = None
) -> Gathered:
    """The examples for ``labels``; nothing is written.

    ``earlier`` is what the head that is continued was fitted to: its logs are never held out. IndexFault names ids that
    are not in the index, a label with an empty class, values that are all the same, and streams that are unsound.
    """
    rows = _read_rows(store)
    unknown = [clip for clip in labels.clip_ids if clip not in rows.clips]
    if unknown:
        raise IndexFault(
            f"expected ids of clips in this index, found {len(unknown)} of {len(labels.clip_ids)} that are not: "
            + ", ".join(unknown[:NAMED])
        )
    together = labels if earlier is None else _known(earlier, rows).updated(labels)
    with_stream = together.of_clips(i for i, clip in enumerate(together.clip_ids) if clip in rows.position)
    _require_classes(with_stream)
    used = _thin(with_stream, seed=seed)
    pool = sorted(rows.position)
    drawn = np.random.default_rng([seed, 3]).permutation(len(pool))[:BACKGROUND]
    background = [pool[i] for i in sorted(drawn)]
    weak = _unmarked(used, background, rows) if used.task == "relevance" else []
    if used.task == "relevance" and not weak and not (used.values == 0).any():
        raise IndexFault("expected clips that are not relevant, found none marked and none left in this index")
    seen = set() if earlier is None else {rows.log[clip] for clip in earlier.clip_ids if clip in rows.log}
    examples, pooled = _look_up(store, rows, used, weak, background, seen, stream_fingerprint)
    without = sum(clip not in rows.position for clip in labels.clip_ids)
    thinned = len(with_stream.clip_ids) - len(used.clip_ids)
    return Gathered(examples, pooled, used, without, thinned, len(weak))


def column_labels(store: Store, column: str) -> LabelSet:
    """The values of a column of ``clips``, where there are any; IndexFault where it holds no numbers."""
    numbers = [name for name, kind in store.columns("clips").items() if str(kind) == "float"]
    if column not in numbers:
        known = ", ".join(name for name in numbers if not name.startswith("tag_"))
        raise IndexFault(f"expected a column of numbers: {known} or tag_NAME; found {column!r}")
    rows = store.read("clips", columns=["clip_id", column], where=f"{column} IS NOT NULL")
    values = np.asarray(rows[column].to_numpy(), np.float64)
    fine = np.flatnonzero(np.isfinite(values))
    ids = rows["clip_id"].to_pylist()
    if not len(fine):
        raise IndexFault(f"expected values in column {column}, found it null in every clip")
    return LabelSet("value", (), tuple(ids[i] for i in fine), values[fine][:, None], f"column {column}")


def _read_rows(store: Store) -> _Rows:
    clips = store.read("clips", columns=["clip_id", "log_id", "start_us", "end_us"])
    ids, logs = clips["clip_id"].to_pylist(), clips["log_id"].to_pylist()
    spans = zip(clips["start_us"].to_pylist(), clips["end_us"].to_pylist(), strict=True)
    known = set(ids)
    stored = store.read("tokens", columns=["clip_id"])["clip_id"].to_pylist()
    position = {clip: i for i, clip in enumerate(stored) if clip in known}
    if not position:
        raise IndexFault("expected clips with a stored stream, found none in this index")
    return _Rows(position, dict(zip(ids, logs, strict=True)), dict(zip(ids, spans, strict=True)), known)


def _known(labels: LabelSet, rows: _Rows) -> LabelSet:
    """Without clips that have left the index since."""
    return labels.of_clips(i for i, clip in enumerate(labels.clip_ids) if clip in rows.clips)


def _require_classes(labels: LabelSet) -> None:
    if labels.task == "value":
        values = labels.values[:, 0]
        if len(values) < 2 or np.ptp(values) <= 1e-9 * max(1.0, float(np.abs(values).max())):
            raise IndexFault(f"expected at least two values that differ, found {len(values)} clips in {labels.source}")
        return
    for o, label in enumerate(labels.outputs or ("relevance",)):
        column = labels.values[:, o]
        for value, word in ((1.0, "with"), (0.0, "without")):
            if not (column == value).any() and not (labels.task == "relevance" and value == 0.0):
                raise IndexFault(
                    f"expected clips with and without {label} among those with images, found none {word} it "
                    f"in {labels.source}"
                )


def _thin(labels: LabelSet, *, seed: int) -> LabelSet:
    """Rows in order of their ids, at most MAX_EXAMPLES: rows of a label's rarer class first, the rest by lot."""
    order = np.argsort(np.array(labels.clip_ids, dtype=object), kind="stable")
    if len(order) <= MAX_EXAMPLES:
        return labels.of_clips(order.tolist())
    rare = np.zeros(len(order), bool)
    if labels.task != "value":
        for column in labels.values.T:
            fewer = 1.0 if (column == 1).sum() <= (column == 0).sum() else 0.0
            if (column == fewer).sum() <= MAX_EXAMPLES // (4 * len(labels.values.T)):
                rare |= column == fewer
    lot = np.random.default_rng([seed, 4]).permutation(len(order))
    kept = order[np.lexsort((lot, ~rare[order]))[:MAX_EXAMPLES]]
    return labels.of_clips(sorted(kept.tolist(), key=lambda i: labels.clip_ids[i]))


def _unmarked(labels: LabelSet, background: list[str], rows: _Rows) -> list[str]:
    """Background clips of which nothing was said and which share no moment with a relevant one."""
    marked = set(labels.clip_ids)
    relevant = [clip for clip, value in zip(labels.clip_ids, labels.values[:, 0], strict=True) if value == 1.0]
    taken: dict[str, list[tuple[int, int]]] = {}
    for clip in relevant:
        taken.setdefault(rows.log[clip], []).append(rows.span_us[clip])

    def apart(clip: str) -> bool:
        start, end = rows.span_us[clip]
        return all(end <= a or start >= b for a, b in taken.get(rows.log[clip], ()))

    return [clip for clip in background if clip not in marked and apart(clip)]


def _look_up(
    store: Store,
    rows: _Rows,
    used: LabelSet,
    weak: list[str],
    background: list[str],
    seen: set[str],
    stream_fingerprint: str,
) -> tuple[Examples, Tensor]:
    ids = [*used.clip_ids, *weak]
    wanted = sorted({*ids, *background}, key=rows.position.__getitem__)
    place = {clip: i for i, clip in enumerate(wanted)}
    keep = set(ids)
    pooled, tokens, kept = [], [], []
    for batch_ids, stream in take_streams(store, [rows.position[c] for c in wanted], expected=stream_fingerprint):
        pooled.append(pool_stream(stream))
        inside = [i for i, clip in enumerate(batch_ids) if clip in keep]
        tokens.append(stream.tokens[inside])
        kept += [batch_ids[i] for i in inside]
    features, by_id = torch.cat(pooled), {clip: i for i, clip in enumerate(kept)}
    examples = Examples(
        pooled=features[_places(ids, place)],
        tokens=torch.cat(tokens)[_places(ids, by_id)],
        log=np.unique([rows.log[clip] for clip in ids], return_inverse=True)[1].astype(np.int64),
        targets=np.concatenate([used.values, np.zeros((len(weak), used.values.shape[1]))]),
        weak=np.arange(len(ids)) >= len(used.clip_ids),
        scored=np.array([rows.log[clip] not in seen for clip in ids]),
    )
    return examples, features[_places(background, place)]


def _places(ids: Iterable[str], place: dict[str, int]) -> Tensor:
    return torch.tensor([place[clip] for clip in ids])
