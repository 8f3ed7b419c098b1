"""Keeping an index: what is in it, deleting logs, telling where moved logs now lie, upkeep."""

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
        order = ("clips", *UNIT_TABLES, "empty_units", "logs")
        removed = {name: index.store.delete(name, condition) for name in order}
        Quarantine(index.folder).forget_logs({row["log_id"] for row in logs})
        return removed


def move_root(index: Index, old: Path, new: Path) -> int:
    """Say that data once under ``old`` now lies under ``new``; returns how many logs that concerns."""
    with writer_lock(index.folder):
        rows = index.store.read("logs")
        roots = [_moved(root, old, new) for root in rows["root"].to_pylist()]
        changed = sum(a != b for a, b in zip(roots, rows["root"].to_pylist(), strict=True))
        if not changed:
            known = ", ".join(sorted(set(rows["root"].to_pylist()))[:5])
            raise IndexFault(f"expected logs under {old}, found none; roots in this index: {known}")
        column = rows.schema.get_field_index("root")
        index.store.upsert("logs", "log_id", rows.set_column(column, "root", pa.array(roots)))
        return changed


def optimize(index: Index, *, ann_from_rows: int = ANN_FROM_ROWS) -> Optimized:
    """Refresh rarity and hardness, merge small files, and build or refresh the vector index where it is due."""
    with writer_lock(index.folder):
        refreshed = refresh_hardness(index.store)
        return Optimized(index.store.optimize(ann_from_rows=ann_from_rows), refreshed)


def _moved(root: str, old: Path, new: Path) -> str:
    path = Path(root)
    return str(new / path.relative_to(old)) if path.is_relative_to(old) else root
