"""Heads that join an index later: added, upgraded, dropped, listed, taken from a checkpoint and given to one."""

from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np

from sceneminer.index.backfill import Backfilled, backfilled, commit_values, ensure_columns, head_values, require_entry
from sceneminer.index.errors import IndexFault
from sceneminer.index.examples import Gathered, column_labels, gather_examples
from sceneminer.index.head_files import (
    HeadEntry,
    load_from_checkpoint,
    load_head,
    read_entries,
    read_examples,
    remove_unnamed,
    write_entries,
    write_head,
)
from sceneminer.index.label_set import LabelSet
from sceneminer.index.schema import TOKEN_WIDTH
from sceneminer.index.search import Index, stream_of
from sceneminer.index.store import Store, writer_lock
from sceneminer.index.where import column_names
from sceneminer.model.added import AddedHead, Task
from sceneminer.model.checkpoint import is_scene_model
from sceneminer.model.fingerprint import head_fingerprint
from sceneminer.model.fit import Fitted, fit_head
from sceneminer.model.held_out import HeldOut

OnStep = Callable[[str, int, int], None]


@dataclass(frozen=True)
class HeadReport:
    """What came of adding or upgrading a head."""

    name: str
    task: Task
    columns: tuple[str, ...]
    fingerprint: str
    stream_fingerprint: str
    reader: str
    """``pooled``: a linear map; ``tokens``: with a reader that attends to the tokens as well."""
    source: str
    clips: int
    """Labelled clips that it was fitted to."""
    weak: int
    """Clips that nobody marked, taken for negatives of low weight."""
    without_stream: int
    """Labelled clips without images: left out."""
    thinned: int
    """Labelled clips beyond what is used at most: left out."""
    held_out: dict[str, HeldOut]
    before: dict[str, HeldOut]
    """Of the head that was upgraded, on the same clips."""
    backfilled: Backfilled | None
    """None: a dry run, nothing was written."""


@dataclass(frozen=True)
class ListedHead:
    """A head as ``sceneminer heads list`` shows it."""

    name: str
    task: str
    columns: tuple[str, ...]
    fingerprint: str
    stream_fingerprint: str
    whole: bool
    """Its columns have been written for all clips."""
    trained: dict[str, Any] = field(default_factory=dict)


def add_head(
    index: Index,
    name: str,
    source: LabelSet | str,
    *,
    seed: int = 0,
    dry_run: bool = False,
    on_step: OnStep | None = None,
) -> HeadReport:
    """Fit a new head to what ``source`` says of clips, and write its columns for all of them; no image is opened.

    source: labels, values or marks (``read_labels``, ``read_values``, ``mark``), or the name of a column of numbers.
    IndexFault, with nothing written, for a name that is taken, ids that are not in the index, an empty class, or
    streams that are another model's or not finite.
    """
    with writer_lock(index.folder):
        store, stream = index.store, stream_of(index)
        labels = column_labels(store, source) if isinstance(source, str) else source
        head = AddedHead(
            name,
            task=labels.task,
            outputs=labels.outputs,
            stream_fingerprint=stream,
            embed_dim=index.manifest["embed_dim"],
            token_width=TOKEN_WIDTH,
        )
        _require_free(store, head)
        found = gather_examples(store, labels, stream_fingerprint=stream, seed=seed)
        fitted = fit_head(head, found.examples, background=found.background, seed=seed, on_step=on_step)
        return _keep(index, fitted, found, seed=seed, dry_run=dry_run, before=None, on_step=on_step)


def upgrade_head(
    index: Index,
    name: str,
    source: LabelSet | str,
    *,
    seed: int = 0,
    dry_run: bool = False,
    on_step: OnStep | None = None,
) -> HeadReport:
    """Continue a head with more labels: it starts as it is, bit for bit, and moves as far as the labels pull it.

    What it was fitted to before is taken along, where it was fitted here. Figures are measured on logs it had not seen.
    """
    with writer_lock(index.folder):
        store, stream = index.store, stream_of(index)
        entry = require_entry(store, name)
        old, _ = load_head(index.folder, name, entry.in_force, stream_fingerprint=stream)
        labels = column_labels(store, source) if isinstance(source, str) else source
        labels = _aligned(labels, old)
        earlier = read_examples(index.folder, old, entry.in_force)
        found = gather_examples(store, labels, stream_fingerprint=stream, seed=seed, earlier=earlier)
        fitted = fit_head(old, found.examples, background=None, seed=seed, on_step=on_step)
        return _keep(index, fitted, found, seed=seed, dry_run=dry_run, before=entry, on_step=on_step)


def adopt_head(index: Index, name: str, folder: Path, *, on_step: OnStep | None = None) -> Backfilled:
    """Take a head from a scene model or another index, and write its columns.

    IndexFault, with both fingerprints, where it was trained on another stream than this index holds.
    """
    with writer_lock(index.folder):
        store, stream = index.store, stream_of(index)
        if Store.exists(folder):
            other = Store.open(folder)
            entry = require_entry(other, name)
            head, trained = load_head(folder, name, entry.in_force, stream_fingerprint=stream)
        elif (folder / "config.json").is_file() and is_scene_model(folder):
            head, trained = load_from_checkpoint(folder, name, stream_fingerprint=stream), {"source": "a checkpoint"}
        else:
            raise IndexFault(f"expected a scene model or an index that holds head {name} at {folder}, found neither")
        _require_free(store, head)
        values = head_values(store, head, on_step=on_step)
        fingerprint = write_head(index.folder, head, trained=trained, labels=None)
        commit_values(store, HeadEntry(name, head.columns, None, fingerprint), values)
        return backfilled(store, head, values)


def drop_head(index: Index, name: str) -> tuple[str, ...]:
    """Remove a head, its columns and its files; returns the columns. Nothing else in the index changes."""
    with writer_lock(index.folder):
        store, entry = index.store, require_entry(index.store, name)
        there = store.columns("clips")
        store.drop_columns("clips", [column for column in entry.columns if column in there])
        write_entries(store, [e for e in read_entries(store).values() if e.name != name])
        remove_unnamed(store)
        return entry.columns


def list_heads(index: Index) -> tuple[ListedHead, ...]:
    """The heads that were added to an index, by name; CheckpointError where the files of one are damaged."""
    return tuple(
        ListedHead(
            entry.name,
            head.task,
            head.columns,
            entry.in_force,
            head.stream_fingerprint,
            entry.next is None,
            trained,
        )
        for entry, (head, trained) in (
            (e, load_head(index.folder, e.name, e.in_force, stream_fingerprint=stream_of(index)))
            for e in sorted(read_entries(index.store).values(), key=lambda e: e.name)
        )
    )


def load_heads(store: Store, *, stream_fingerprint: str) -> tuple[AddedHead, ...]:
    """The heads that clips mined into this index are to have; their columns are there afterwards."""
    entries = sorted(read_entries(store).values(), key=lambda entry: entry.name)
    heads = [load_head(store.folder, e.name, e.in_force, stream_fingerprint=stream_fingerprint)[0] for e in entries]
    ensure_columns(store)
    return tuple(heads)


def install_heads(folder: Path, heads: tuple[AddedHead, ...]) -> tuple[HeadEntry, ...]:
    """Write heads that a checkpoint brings to an index about to be made; returns what its manifest is to say."""
    trained = {"source": "the checkpoint"}
    return tuple(
        HeadEntry(head.user_name, head.columns, write_head(folder, head, trained=trained, labels=None))
        for head in heads
    )


def _require_free(store: Store, head: AddedHead) -> None:
    """IndexFault where the name means something already, as a head, a column, or in a filter."""
    if head.user_name in read_entries(store):
        raise IndexFault(f"expected a new name, found head {head.user_name} in the index: upgrade or drop it")
    fixed = {name.split(".")[0] for name in column_names()}
    taken = [name for name in (head.user_name, *head.columns) if name in fixed or name in store.columns("clips")]
    if taken or head.user_name in ("tags", "embedding", "forecast"):
        raise IndexFault(f"expected a name that no column has, found {(taken or [head.user_name])[0]}")


def _aligned(labels: LabelSet, head: AddedHead) -> LabelSet:
    """The labels in the order of the head's outputs; IndexFault where they are for another kind of head."""
    if labels.task != head.task or not set(labels.outputs) <= set(head.outputs):
        wanted = ", ".join(head.outputs) or head.task
        found = ", ".join(labels.outputs) or labels.task
        raise IndexFault(f"expected {wanted} for head {head.user_name}, found {found}: add it as a head of its own")
    if not head.outputs:
        return labels
    values = np.full((len(labels.clip_ids), len(head.outputs)), np.nan)
    for o, label in enumerate(labels.outputs):
        values[:, head.outputs.index(label)] = labels.values[:, o]
    return replace(labels, outputs=head.outputs, values=values)


def _keep(
    index: Index,
    fitted: Fitted,
    found: Gathered,
    *,
    seed: int,
    dry_run: bool,
    before: HeadEntry | None,
    on_step: OnStep | None,
) -> HeadReport:
    """Everything is worked out before anything is written: files, then columns, then what the manifest says."""
    head, written = fitted.head, None
    fingerprint = head_fingerprint(head)
    if not dry_run:
        values = head_values(index.store, head, on_step=on_step)
        trained = _trained(fitted, found, seed=seed, before=before)
        write_head(index.folder, head, trained=trained, labels=found.used)
        entry = before or HeadEntry(head.user_name, head.columns, None)
        commit_values(index.store, replace(entry, next=fingerprint), values)
        written = backfilled(index.store, head, values)
    return HeadReport(
        name=head.user_name,
        task=head.task,
        columns=head.columns,
        fingerprint=fingerprint,
        stream_fingerprint=head.stream_fingerprint,
        reader=head.reader,
        source=found.used.source,
        clips=len(found.used.clip_ids),
        weak=found.weak,
        without_stream=found.without_stream,
        thinned=found.thinned,
        held_out=fitted.held_out,
        before=fitted.before,
        backfilled=written,
    )


def _trained(fitted: Fitted, found: Gathered, *, seed: int, before: HeadEntry | None) -> dict[str, Any]:
    return {
        "source": found.used.source,
        "seed": seed,
        "clips": len(found.used.clip_ids),
        "weak": found.weak,
        "without_stream": found.without_stream,
        "penalties": list(fitted.penalties),
        "held_out": {name: asdict(figures) for name, figures in fitted.held_out.items()},
        "before": {name: asdict(figures) for name, figures in fitted.before.items()},
        "continues": before.in_force if before else None,
        "date": datetime.now(UTC).strftime("%Y-%m-%d"),
        "sceneminer": metadata.version("sceneminer"),
    }
