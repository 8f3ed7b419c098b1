"""Greedy choice of clips: value and distance to what is chosen already, under quotas.

Each step takes the clip of greatest ``value + diversity · distance``, where distance is the least cosine distance to
any clip chosen so far over the mean distance of the pool, at most 1: with diversity alone this is the k-center rule
(farthest first; Gonzalez 1985, as in core-set selection, Sener and Savarese 2018).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int
from numpy import ndarray


@dataclass(frozen=True, eq=False)
class Group:
    """Clips of which at least or at most so many are to be chosen."""

    members: Bool[ndarray, "n"]
    least: int = 0
    most: int | None = None


@dataclass(frozen=True, eq=False)
class Pool:
    """What may be chosen, in a fixed order."""

    unit: Float[ndarray, "n e"]
    """Embeddings of length 1; zeros where there is none, which are far from everything."""
    value: Float[ndarray, "n"]
    start_us: Int[ndarray, "n"]
    end_us: Int[ndarray, "n"]
    log: Int[ndarray, "n"]


@dataclass(frozen=True, eq=False)
class Picked:
    """Rows in order of choice, with their gain and their distance to what was chosen before."""

    rows: tuple[int, ...]
    gain: tuple[float, ...]
    distance: tuple[float, ...]


def pick(
    pool: Pool, n: int, *, diversity: float, groups: Sequence[Group] = (), chosen: Float[ndarray, "m e"] | None = None
) -> Picked:
    """At most ``n`` rows; none that overlaps one picked before in time, none beyond what a group allows.

    ``chosen``: embeddings of clips picked earlier, of which the new ones should be different as well. Ties go to the
    earlier row. As long as a group lacks members, and no more places are left than are lacking, only its members
    are taken. Where what was taken before leaves no room for them, all is chosen anew with what groups lack first.
    """
    late = _pick(pool, n, diversity=diversity, groups=groups, chosen=chosen, first=False)
    if not _lack(groups, late):
        return late
    early = _pick(pool, n, diversity=diversity, groups=groups, chosen=chosen, first=True)
    return early if _lack(groups, early) < _lack(groups, late) else late


def _lack(groups: Sequence[Group], picked: Picked) -> int:
    """How many members groups have too few of."""
    rows = np.array(picked.rows, int)
    return sum(max(0, group.least - int(group.members[rows].sum())) for group in groups)


def _pick(
    pool: Pool,
    n: int,
    *,
    diversity: float,
    groups: Sequence[Group],
    chosen: Float[ndarray, "m e"] | None,
    first: bool,
) -> Picked:
    """``first``: while groups lack members, their members are taken before all others."""
    scale = mean_distance(pool.unit)
    nearest = np.full(len(pool.value), np.inf)
    if chosen is not None and len(chosen):
        for start in range(0, len(chosen), 1024):
            nearest = np.minimum(nearest, 1.0 - (pool.unit @ chosen[start : start + 1024].T).max(1))
    free = np.ones(len(pool.value), bool)
    counts = np.zeros(len(groups), int)
    rows: list[int] = []
    gains: list[float] = []
    distances: list[float] = []
    while len(rows) < n and free.any():
        far = np.minimum(np.where(np.isinf(nearest), scale, nearest) / scale, 1.0)
        gain = pool.value + diversity * far
        allowed = free & _allowed(groups, counts, n - len(rows), free)
        if first and allowed.any():
            allowed = _most_wanted(groups, counts, allowed)
        if not allowed.any():
            break
        row = int(np.argmax(np.where(allowed, gain, -np.inf)))
        rows.append(row)
        gains.append(float(gain[row]))
        distances.append(float(far[row]))
        counts += np.array([group.members[row] for group in groups], int)
        nearest = np.minimum(nearest, 1.0 - pool.unit @ pool.unit[row])
        same = pool.log == pool.log[row]
        free &= ~(same & (pool.start_us < pool.end_us[row]) & (pool.end_us > pool.start_us[row]))
        free[row] = False
    return Picked(tuple(rows), tuple(gains), tuple(distances))


def _allowed(groups: Sequence[Group], counts: ndarray, left: int, free: ndarray) -> Bool[ndarray, "n"]:
    allowed = np.ones(len(free), bool)
    lacking = np.zeros(len(free), bool)
    missing = 0
    for group, count in zip(groups, counts, strict=True):
        if group.most is not None and count >= group.most:
            allowed &= ~group.members
        if group.least > count:
            missing += min(group.least - count, int((group.members & free).sum()))
            lacking |= group.members
    # One clip may serve several groups; reserving a place for each lack errs on the safe side.
    return allowed & lacking if missing >= left and (allowed & lacking & free).any() else allowed


def _most_wanted(groups: Sequence[Group], counts: ndarray, allowed: Bool[ndarray, "n"]) -> Bool[ndarray, "n"]:
    """Of what is allowed, what most of the lacking groups share; all where none lacks, or none has any left."""
    wanted = np.zeros(len(allowed))
    for group, count in zip(groups, counts, strict=True):
        if group.least > count and (left := int((group.members & allowed).sum())):
            # The fewer there are to choose from, the sooner.
            wanted += group.members * ((group.least - count) / left)
    return allowed & (wanted == wanted[allowed].max())


def mean_distance(unit: Float[ndarray, "n e"]) -> float:
    """Of random pairs: with unit vectors it is one less the square of their mean's length."""
    return max(1.0 - float(np.sum(unit.mean(0) ** 2)), 1e-6) if len(unit) else 1.0
