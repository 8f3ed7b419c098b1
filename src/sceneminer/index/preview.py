"""A head for relevance fitted on the spot to a few marked clips, and what it says of all others; nothing is written."""

from dataclasses import dataclass
from functools import partial

import numpy as np
import pyarrow as pa
import torch
from jaxtyping import Float
from numpy import ndarray

from sceneminer.index.examples import gather_examples
from sceneminer.index.hits import AT, KEYS, Hit, intervals, shown
from sceneminer.index.label_set import LabelSet
from sceneminer.index.resolve import Resolved
from sceneminer.index.schema import TOKEN_WIDTH
from sceneminer.index.search import Index, let_through, stream_of, stride_us
from sceneminer.index.streams import iter_streams
from sceneminer.model.added import AddedHead
from sceneminer.model.fit import fit_head
from sceneminer.model.held_out import HeldOut


@dataclass(frozen=True, eq=False)
class Preview:
    """What a head would say of every clip with a stream."""

    clip_ids: tuple[str, ...]
    relevance: Float[ndarray, "n"]
    held_out: dict[str, HeldOut]
    """On logs left out; empty where too few logs are marked."""
    clips: int
    weak: int
    """Clips nobody marked, taken for negatives of low weight."""


def preview_relevance(index: Index, labels: LabelSet, *, seed: int = 0) -> Preview:
    """Fit a head to marked clips from their stored streams; IndexFault as ``heads.add_head`` raises it."""
    stream = stream_of(index)
    head = AddedHead(
        "preview",
        task=labels.task,
        outputs=labels.outputs,
        stream_fingerprint=stream,
        embed_dim=index.manifest["embed_dim"],
        token_width=TOKEN_WIDTH,
    )
    found = gather_examples(index.store, labels, stream_fingerprint=stream, seed=seed)
    fitted = fit_head(head, found.examples, background=found.background, seed=seed)
    ids: list[str] = []
    parts: list[torch.Tensor] = []
    with torch.no_grad():
        for batch, streams in iter_streams(index.store, expected=stream):
            ids += batch
            parts.append(fitted.head(streams)[:, 0])
    values = torch.cat(parts).double().numpy() if parts else np.zeros(0)
    return Preview(tuple(ids), values, fitted.held_out, len(found.used.clip_ids), found.weak)


def preview_hits(
    index: Index, preview: Preview, resolved: Resolved, *, top: int, merge: bool = True
) -> tuple[Hit, ...]:
    """The ``top`` intervals of highest relevance among the clips that a filter lets through; see ``hits.intervals``."""
    snapshot, positions = let_through(index, resolved)
    ids = np.array(snapshot.read(["clip_id"])["clip_id"].to_pylist(), dtype=object)
    value = dict(zip(preview.clip_ids, preview.relevance.tolist(), strict=True))
    relevance = np.array([value.get(clip, np.nan) for clip in ids], float)
    positions = positions[np.isfinite(relevance[positions])]
    order = positions[np.lexsort((ids[positions].astype(str), -relevance[positions]))]

    def fetch(limit: int) -> pa.Table:
        rows = snapshot.take(order[:limit], list(KEYS)).append_column(AT, pa.array(order[:limit]))
        return rows.append_column("relevance", pa.array(relevance[order[:limit]]))

    told = {"stride_us": stride_us(index), "score": "relevance", "top": top, "merge": merge}
    return intervals(fetch, partial(shown, snapshot), **told)
