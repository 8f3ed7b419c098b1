"""Near-duplicates among any number of clips, in bounded memory.

A clip is left out where a better one is as similar as ``at_least``: what stays are the best of their surroundings.
Rows are spread over cells around centroids, each row to its two nearest, and written to a scratch file cell by
cell; then each cell is compared with itself, block by block. Two rows that share no cell are not compared: of pairs
just above the threshold some are missed, of near-identical ones next to none (``docs/results/near_duplicates.md``).
"""

import tempfile
from collections.abc import Callable, Iterable
from itertools import pairwise
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float, Int
from numpy import ndarray

from sceneminer.index.vectors import unit_rows

CELL_ROWS = 2000
MAX_CELLS = 8192
SAMPLE = 32_768
_BLOCK = 4096
_ROUNDS = 8
_ROUNDING = 1e-6
"""Of a cosine in float32."""

Batches = Callable[[], Iterable[Float[ndarray, "n e"]]]


def near_duplicates(
    batches: Batches, value: Float[ndarray, "n"], *, at_least: float, scratch: Path | None = None
) -> Bool[ndarray, "n"]:
    """Which rows have a better row (higher value, or the same and earlier) at a cosine of ``at_least`` or more.

    ``batches`` is called three times and gives unit embeddings, in the order of ``value``; rows that are NaN are
    compared with none.
    """
    rows = len(value)
    better = np.empty(rows, np.int64)
    better[np.lexsort((np.arange(rows), -value))] = np.arange(rows)
    out = np.zeros(rows, bool)
    if rows < 2:
        return out
    centers = _centers(batches, rows)
    first, second = _assign(batches, centers, rows)
    with tempfile.TemporaryDirectory(dir=scratch) as folder:
        file = Path(folder) / "cells"
        members, bounds = _spill(batches, first, second, len(centers), centers.shape[1], file)
        del first, second
        for low, high in pairwise(bounds.tolist()):
            cell = np.fromfile(file, np.float16, (high - low) * centers.shape[1], offset=2 * low * centers.shape[1])
            _compare(cell.reshape(high - low, -1), members[low:high], better, out, at_least)
    return out


def _centers(batches: Batches, rows: int) -> Float[ndarray, "c e"]:
    """Spherical k-means on rows at equal distances."""
    wanted = np.unique(np.linspace(0, rows - 1, min(rows, SAMPLE)).astype(np.int64))
    parts, start = [], 0
    for batch in batches():
        low, high = np.searchsorted(wanted, [start, start + len(batch)])
        parts.append(batch[wanted[low:high] - start])
        start += len(batch)
    sample = np.concatenate(parts)
    sample = sample[np.isfinite(sample).all(1)].astype(np.float32)
    count = int(np.clip(rows // CELL_ROWS, 1, min(MAX_CELLS, max(len(sample) // 4, 1))))
    if not len(sample):
        return np.zeros((1, parts[0].shape[1]), np.float32)
    centers = sample[np.linspace(0, len(sample) - 1, count).astype(np.int64)].copy()
    for _ in range(_ROUNDS):
        nearest = np.argmax(sample @ centers.T, axis=1)
        sums = np.zeros_like(centers)
        np.add.at(sums, nearest, sample)
        norm = np.linalg.norm(sums, axis=1, keepdims=True)
        centers = np.where(norm > 0, sums / np.maximum(norm, 1e-12), centers)
    return centers


def _assign(batches: Batches, centers: Float[ndarray, "c e"], rows: int) -> tuple[ndarray, ndarray]:
    """The two nearest cells of each row; -1 for none."""
    first, second = (np.full(rows, -1, np.int32) for _ in range(2))
    start = 0
    for batch in batches():
        for low in range(0, len(batch), _BLOCK):
            block = batch[low : low + _BLOCK].astype(np.float32)
            fine = np.flatnonzero(np.isfinite(block).all(1))
            near = block[fine] @ centers.T
            at = start + low + fine
            first[at] = np.argmax(near, axis=1)
            if len(centers) > 1:
                near[np.arange(len(fine)), first[at]] = -np.inf
                second[at] = np.argmax(near, axis=1)
        start += len(batch)
    return first, second


def _spill(
    batches: Batches, first: ndarray, second: ndarray, cells: int, width: int, path: Path
) -> tuple[Int[ndarray, "m"], Int[ndarray, "bounds"]]:
    """All rows in the order of their cells, in a file; which rows they are, and where each cell begins."""
    rows = np.concatenate([np.flatnonzero(first >= 0), np.flatnonzero(second >= 0)])
    cell = np.concatenate([first[first >= 0], second[second >= 0]])
    order = np.argsort(cell, kind="stable")
    members, bounds = rows[order], np.searchsorted(cell[order], np.arange(cells + 1))
    place = np.empty(len(order), np.int64)
    place[order] = np.arange(len(order))
    at_first, at_second = (np.full(len(first), -1, np.int64) for _ in range(2))
    at_first[first >= 0] = place[: int((first >= 0).sum())]
    at_second[second >= 0] = place[int((first >= 0).sum()) :]
    shape, start, mode = (max(len(order), 1), width), 0, "w+"
    for batch in batches():
        # Mapped anew for each batch, so that pages written before do not count as this process's own.
        file = np.memmap(path, np.float16, mode, shape=shape)
        mode, span = "r+", slice(start, start + len(batch))
        for at in (at_first[span], at_second[span]):
            held = np.flatnonzero(at >= 0)
            sort = np.argsort(at[held])
            file[at[held][sort]] = batch[held[sort]].astype(np.float16)
        start += len(batch)
        del file
    return members, bounds


def _compare(cell: ndarray, members: ndarray, better: ndarray, out: ndarray, at_least: float) -> None:
    """Mark in ``out`` the rows of one cell that have a better near-duplicate in it."""
    for start in range(0, len(cell), _BLOCK):
        mine = members[start : start + _BLOCK]
        # Rounding to fp16 changes lengths: without this a row would not be one with its own copy.
        block = unit_rows(cell[start : start + _BLOCK])
        for other in range(0, len(cell), _BLOCK):
            theirs = members[other : other + _BLOCK]
            near = block @ unit_rows(cell[other : other + _BLOCK]).T >= at_least - _ROUNDING
            # Few pairs are near: whose is the better is asked of those alone.
            a, b = np.nonzero(near)
            out[mine[a[better[theirs[b]] < better[mine[a]]]]] = True
