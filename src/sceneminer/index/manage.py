"""Keeping an index: what is in it, deleting logs, telling where moved logs now lie, upkeep."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from sceneminer.index.errors import IndexFault
from sceneminer.index.hardness import Refreshed, index_version, refresh_hardness
from sceneminer.index.quarantine import Quarantine
from sceneminer.index.schema import TABLES, UNIT_TABLES
from sceneminer.index.search import Index
from sceneminer.index.store import ANN_FROM_ROWS, writer_lock
from sceneminer.index.where import RISK_RULE, quote


@dataclass(frozen=True)
class IndexInfo:
    """What ``sceneminer index info`` prints."""

    rows: dict[str, int]
    logs: int
    clips_with_images: int
    clips_with_risk_tracks: int
    clips_with_risk_camera: int
    index_version: str
    ann: bool
    risk_rule: str
    manifest: dict[str, Any]


@dataclass(frozen=True)
class Optimized:
    """What upkeep did."""

    ann: bool
    hardness: Refreshed


def index_info(index: Index) -> IndexInfo:
    store = index.store
    return IndexInfo(
        rows={name: store.rows(name) for name in TABLES},
        logs=store.rows("logs"),
        clips_with_images=store.rows("clips", "stream_fingerprint IS NOT NULL"),
        clips_with_risk_tracks=store.rows("clips", "risk_tracks IS NOT NULL"),
        clips_with_risk_camera=store.rows("clips", "risk_camera IS NOT NULL"),
        index_version=index_version(store),
        ann=store.has_ann(),
        risk_rule=RISK_RULE,
        manifest=store.manifest(),
    )


def hardness_words(index: Index) -> str:
    """What rarity and hardness were computed at, and whether clips have come or gone since."""
    made_at = index.manifest.get("hardness", {}).get("index_version")
    now = index_version(index.store)
    if made_at is None:
        return "not computed yet; run sceneminer index optimize"
    return f"computed at {made_at}" + (
        "" if made_at == now else f", the index is now {now}: run sceneminer index optimize"
    )


def find_logs(index: Index, names: tuple[str, ...]) -> tuple[dict[str, Any], ...]:
    """Rows of ``logs`` by id or by name; IndexFault names the ones that are not there or are ambiguous."""
    rows = index.store.read("logs").to_pylist()
    found: list[dict[str, Any]] = []
    for name in names:
        matches = [row for row in rows if row["log_id"] == name] or [row for row in rows if row["name"] == name]
        if len(matches) != 1:
            known = ", ".join(sorted(row["log_id"] for row in rows)[:10])
            how_many = f"{len(matches)} of that name" if matches else "none"
            raise IndexFault(f"expected one log {name!r}, found {how_many}; the index has {known}")
        found.extend(matches)
    return tuple(found)


def delete_logs(index: Index, names: tuple[str, ...]) -> dict[str, int]:
    """Remove logs from every table; returns the rows removed by table. ``clips`` goes first: it is the authority."""
    with writer_lock(index.folder):
        logs = find_logs(index, names)
        condition = f"log_id IN ({', '.join(quote(row['log_id']) for row in logs)})"
        removed = {name: index.store.delete(name, condition) for name in ("clips", *UNIT_TABLES, "empty_units")}
        Quarantine(index.folder).forget_logs({row["log_id"] for row in logs})
        # Last, so that what was cut short can be named and deleted again.
        return removed | {"logs": index.store.delete("logs", condition)}


def move_root(index: Index, old: Path, new: Path) -> int:
    """Say that data once under ``old`` now lies under ``new``; returns how many logs that concerns.

    Relative paths are taken from the working directory. Media roots move along.
    """
    old, new = old.expanduser().absolute(), new.expanduser().resolve()
    with writer_lock(index.folder):
        rows = index.store.read("logs")
        before = rows.to_pylist()
        after = [_moved(row, old, new) for row in before]
        changed = [row for row, was in zip(after, before, strict=True) if row != was]
        if not changed:
            known = ", ".join(sorted({row["root"] for row in before})[:5])
            raise IndexFault(f"expected logs under {old}, found none; roots in this index: {known}")
        index.store.upsert("logs", "log_id", pa.Table.from_pylist(changed, schema=rows.schema))
        return len(changed)


def optimize(index: Index, *, ann_from_rows: int = ANN_FROM_ROWS) -> Optimized:
    """Refresh rarity and hardness, merge small files, and build or refresh the vector index where it is due."""
    with writer_lock(index.folder):
        refreshed = refresh_hardness(index.store)
        return Optimized(index.store.optimize(ann_from_rows=ann_from_rows), refreshed)


def _moved(row: dict[str, Any], old: Path, new: Path) -> dict[str, Any]:
    def placed(text: str) -> str:
        path = Path(text)
        # Roots are stored with links resolved, and OLD may be a link or be gone.
        for start in (old, old.resolve()):
            if path.is_relative_to(start):
                return str(new / path.relative_to(start))
        return text

    told = json.loads(row["options"])
    if told.get("media_root") is not None:
        told["media_root"] = placed(told["media_root"])
    return row | {"root": placed(row["root"]), "options": json.dumps(told, sort_keys=True)}
