"""The columns of an added head for clips that are in the index already: from their stored streams, without an image."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa
import torch

from sceneminer.index.errors import IndexFault
from sceneminer.index.head_files import HeadEntry, load_head, read_entries, remove_unnamed, write_entries
from sceneminer.index.search import Index
from sceneminer.index.store import Store, writer_lock
from sceneminer.index.streams import iter_streams
from sceneminer.model.added import AddedHead
from sceneminer.model.fingerprint import head_fingerprint

OnStep = Callable[[str, int, int], None]


@dataclass(frozen=True)
class Backfilled:
    """What a backfill wrote."""

    name: str
    columns: tuple[str, ...]
    clips: int
    """That have a value now."""
    without_stream: int
    """Clips without images: null."""
    fingerprint: str


def backfill(index: Index, name: str, *, on_step: OnStep | None = None) -> Backfilled:
    """Write the columns of a head for all clips, in one transaction: the bits that mining with that head gives.

    IndexFault, with nothing written, where a row is of another stream than the head was trained on (both fingerprints
    are shown) or its stream is not finite; CheckpointError where the head's files are damaged.
    """
    with writer_lock(index.folder):
        entry = require_entry(index.store, name)
        stream = index.manifest["model"]["stream_fingerprint"]
        head, _ = load_head(index.folder, name, entry.in_force, stream_fingerprint=stream)
        values = head_values(index.store, head, on_step=on_step)
        commit_values(index.store, replace(entry, next=entry.in_force), values)
        return backfilled(index.store, head, values)


def require_entry(store: Store, name: str) -> HeadEntry:
    """What the manifest says of a head; IndexFault where there is none of that name."""
    entries = read_entries(store)
    if name not in entries:
        known = ", ".join(entries) or "none"
        raise IndexFault(f"expected a head of the index at {store.folder}, found no {name!r}; it has {known}")
    return entries[name]


@torch.no_grad()
def head_values(store: Store, head: AddedHead, *, on_step: OnStep | None = None) -> pa.Table:
    """``clip_id`` and the head's columns for every clip with a stored stream; nothing is written.

    One clip at a time, as mining does: in a batch the last bits would depend on its neighbours.
    """
    clips = set(store.read("clips", columns=["clip_id"])["clip_id"].to_pylist())
    total, done = store.rows("tokens"), 0
    ids: list[str] = []
    parts: list[torch.Tensor] = []
    for batch_ids, stream in iter_streams(store, expected=head.stream_fingerprint):
        for i, clip in enumerate(batch_ids):
            if clip in clips:
                ids.append(clip)
                parts.append(head(stream[i : i + 1]))
        done += len(batch_ids)
        if on_step:
            on_step("applying", done, total)
    values = torch.cat(parts).numpy() if parts else np.zeros((0, len(head.columns)), np.float32)
    if not np.isfinite(values).all():
        bad = ids[int(np.flatnonzero(~np.isfinite(values).all(1))[0])]
        raise IndexFault(f"expected finite values of head {head.user_name}, found NaN or infinity for clip {bad}")
    return pa.table({"clip_id": ids} | {name: values[:, k].copy() for k, name in enumerate(head.columns)})


def commit_values(store: Store, entry: HeadEntry, values: pa.Table) -> None:
    """Write the columns of ``entry.next`` and put it in force. Cut short anywhere, ``backfill`` finishes it."""
    others = [e for e in read_entries(store).values() if e.name != entry.name]
    write_entries(store, [*others, entry])
    ensure_columns(store)
    if values.num_rows:
        store.merge_columns("clips", "clip_id", values)
        store.refresh_ann()
    write_entries(store, [*others, replace(entry, fingerprint=entry.next, next=None)])
    remove_unnamed(store)


def ensure_columns(store: Store) -> None:
    """Columns of the manifest's heads that a run cut short has not made yet."""
    there = store.columns("clips")
    missing = [c for entry in read_entries(store).values() for c in entry.columns if c not in there]
    store.add_columns("clips", missing)


def backfilled(store: Store, head: AddedHead, values: pa.Table) -> Backfilled:
    without = store.rows("clips") - values.num_rows
    return Backfilled(head.user_name, head.columns, values.num_rows, without, head_fingerprint(head))
