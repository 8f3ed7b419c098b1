"""What a filter lets through, in numbers: how many clips and logs, how many with each tag, and how values spread."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from jaxtyping import Float, Int
from numpy import ndarray

from sceneminer.index.head_files import filter_names
from sceneminer.index.quota import HAS_TAG
from sceneminer.index.resolve import resolve
from sceneminer.index.search import Index, let_through
from sceneminer.index.snapshot import Snapshot
from sceneminer.index.where import RISK_COLUMNS
from sceneminer.labels.prompts import TAGS

BINS = 24
SPREADS = {"risk": 1.0, "hardness": 1.0, "ego_speed_mps": 30.0}
"""Columns that are told as histograms from 0 to this; what lies above counts in the last bin."""
_AT_ONCE = 1 << 18


@dataclass(frozen=True)
class Facets:
    """Of the clips that meet a filter. What is null is counted nowhere but in ``clips`` and ``logs``."""

    clips: int
    logs: int
    tags: dict[str, int]
    heads: dict[str, int]
    """By column: ``head_NAME``. A clip has a tag, or is found by a head, from ``HAS_TAG`` up."""
    histograms: dict[str, tuple[int, ...]]


def facets(index: Index, where: str | None = None) -> Facets:
    """Count what a filter lets through, or the whole index. QueryError where the filter is not allowed."""
    added = filter_names(index.store)
    snapshot, positions = let_through(index, resolve(index.store, where, added=added))
    heads = sorted(set(added.values()))
    tags, found = dict.fromkeys(TAGS, 0), dict.fromkeys(heads, 0)
    spread = {name: np.zeros(BINS, np.int64) for name in SPREADS}
    logs: set[str] = set()
    for rows in _parts(snapshot, positions, heads):
        logs.update(rows["log_id"].unique().to_pylist())
        for tag in TAGS:
            tags[tag] += int(np.count_nonzero(_numbers(rows, f"tag_{tag}") >= HAS_TAG))
        for head in heads:
            found[head] += int(np.count_nonzero(_numbers(rows, head) >= HAS_TAG))
        for name, most in SPREADS.items():
            value = clip_values(rows, name)
            value = value[np.isfinite(value)]
            spread[name] += np.bincount(np.clip(value / most * BINS, 0, BINS - 1).astype(np.int64), minlength=BINS)
    histograms = {name: tuple(counts.tolist()) for name, counts in spread.items()}
    return Facets(len(positions), len(logs), tags, found, histograms)


def clip_columns(name: str) -> tuple[str, ...]:
    """The columns of ``clips`` that a name of a filter is made from."""
    return RISK_COLUMNS if name == "risk" else (name.replace("tag.", "tag_"),)


def clip_values(rows: pa.Table, name: str) -> Float[ndarray, "n"]:
    """A column as a filter names it, from rows with its ``clip_columns``; NaN where null."""
    first, *others = (_numbers(rows, column) for column in clip_columns(name))
    for other in others:
        first = np.where(np.isnan(first), other, first)
    return first


def _numbers(rows: pa.Table, column: str) -> Float[ndarray, "n"]:
    return rows[column].cast(pa.float64()).to_numpy(zero_copy_only=False)


def _parts(snapshot: Snapshot, positions: Int[ndarray, "n"], heads: list[str]) -> Iterator[pa.Table]:
    names = [column for name in SPREADS for column in clip_columns(name)]
    columns = ["log_id", *names, *(f"tag_{tag}" for tag in TAGS), *heads]
    if snapshot.in_memory and len(positions) == len(snapshot):
        yield snapshot.read(columns)
        return
    for start in range(0, len(positions), _AT_ONCE):
        yield snapshot.take(positions[start : start + _AT_ONCE], columns)
