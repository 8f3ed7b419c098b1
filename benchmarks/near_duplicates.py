"""Near-duplicates among ten million rows: memory, time, and how many planted ones are found.

    python benchmarks/near_duplicates.py --rows 10000000 --width 64

Rows are drawn batch by batch and never held together. One in a hundred is a copy of an earlier row with a little noise:
half at a cosine of about 0.995, half at about 0.985; the threshold is 0.98.
"""

import argparse
import resource
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from sceneminer.evals.mining_report import machine
from sceneminer.index.near_duplicates import near_duplicates
from sceneminer.train.loop import git_commit

BATCH, EVERY = 16_384, 100


def rows_of(start: int, count: int, width: int) -> np.ndarray:
    """Rows by number; those that are copies are copies of the row half a batch before."""
    rng = np.random.default_rng([7, start])
    centres = np.random.default_rng(3).normal(size=(2000, width))
    rows = centres[rng.integers(2000, size=count)] + 0.8 * rng.normal(size=(count, width))
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    copies = copied(count)
    noise = rng.normal(size=(len(copies), width)) / np.sqrt(width)
    rows[copies] = rows[copies - count // 2] + np.where(np.arange(len(copies)) % 2, 0.1, 0.17)[:, None] * noise
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def copied(count: int) -> np.ndarray:
    return np.arange(count // 2 + 1, count, EVERY // 2)


def main() -> None:
    """Measure and print Markdown."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=10_000_000)
    parser.add_argument("--width", type=int, default=64)
    parser.add_argument("--scratch", type=Path)
    args = parser.parse_args()
    starts = range(0, args.rows, BATCH)

    def batches() -> Iterator[np.ndarray]:
        for start in starts:
            yield rows_of(start, min(BATCH, args.rows - start), args.width)

    value = np.zeros(args.rows)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    begun = time.perf_counter()
    found = near_duplicates(batches, value, at_least=0.98, scratch=args.scratch)
    took = time.perf_counter() - begun
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    near, far = planted(found, args.rows)
    print(
        f"{args.rows:,} rows of {args.width}: {took:.0f} s, {peak:.2f} GB at most ({before:.2f} before; the rows as "
        f"float32 are {args.rows * args.width * 4 / 1e9:.2f} GB); of planted near-duplicates at a cosine of 0.995 "
        f"{near:.4f} were found, at about 0.985 {far:.4f}; {int(found.sum()):,} rows left out. Commit {git_commit()}, "
        f"{datetime.now(UTC).date()}, {machine()}."
    )


def planted(found: np.ndarray, rows: int) -> tuple[float, float]:
    """Share of the copies that were found, near and far; ties go to the earlier row, so the copy is the worse one."""
    near, far = [], []
    for start in range(0, rows, BATCH):
        at = start + copied(min(BATCH, rows - start))
        near.append(found[at[1::2]])
        far.append(found[at[0::2]])
    return float(np.concatenate(near).mean()), float(np.concatenate(far).mean())


if __name__ == "__main__":
    main()
