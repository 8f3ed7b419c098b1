"""Boxes that run into each other: found exactly, and the people among them left out of the Drive."""

from typing import no_type_check

import numpy as np
from jaxtyping import Float
from numba import njit
from numpy import ndarray

from sceneminer.data.synth.scene import Actor

EXEMPT_ROLE, EXEMPT_CATEGORY = "rack", "static_object.bicycle_rack"


@njit(cache=True)
@no_type_check
def _apart(ax, ay, ayaw, al, aw, bx, by, byaw, bl, bw):
    """Whether two rectangles have a separating axis."""
    dx, dy = bx - ax, by - ay
    ca, sa, cb, sb = np.cos(ayaw), np.sin(ayaw), np.cos(byaw), np.sin(byaw)
    c, s = abs(np.cos(byaw - ayaw)), abs(np.sin(byaw - ayaw))
    return (
        abs(dx * ca + dy * sa) > (al + bl * c + bw * s) / 2
        or abs(-dx * sa + dy * ca) > (aw + bl * s + bw * c) / 2
        or abs(dx * cb + dy * sb) > (bl + al * c + aw * s) / 2
        or abs(-dx * sb + dy * cb) > (bw + al * s + aw * c) / 2
    )


@njit(cache=True)
@no_type_check
def _touching(pose: ndarray, present: ndarray, size: ndarray, moves: ndarray):
    """Pairs of bodies that overlap at some time, where at least one of them moves."""
    n, ticks = pose.shape[0], pose.shape[1]
    hit = np.zeros((n, n), np.bool_)
    radius = np.sqrt(size[:, 0] ** 2 + size[:, 1] ** 2) / 2
    for i in range(n):
        if not moves[i]:
            continue
        for j in range(n):
            if i == j or (moves[j] and j < i):
                continue
            for t in range(ticks):
                if not (present[i, t] and present[j, t]):
                    continue
                dx, dy = pose[i, t, 0] - pose[j, t, 0], pose[i, t, 1] - pose[j, t, 1]
                if dx * dx + dy * dy > (radius[i] + radius[j]) ** 2:
                    continue
                a, b = pose[i, t], pose[j, t]
                if not _apart(a[0], a[1], a[2], size[i, 0], size[i, 1], b[0], b[1], b[2], size[j, 0], size[j, 1]):
                    hit[i, j] = hit[j, i] = True
                    break
    return hit


def touching_pairs(
    ego: Float[ndarray, "t 3"], ego_size: tuple[float, float], actors: tuple[Actor, ...], *, tolerance_m: float
) -> list[tuple[int, int]]:
    """Ids of actors whose boxes overlap by more than a tolerance at some tick (-1 is ego).

    ``ego`` is x, y and yaw of the middle of its box at each tick of the actors. What is pulled may touch what pulls
    it, and bicycles stand in their racks.
    """
    rows = [a for a in actors if a.role != EXEMPT_ROLE and a.category != EXEMPT_CATEGORY]
    ticks = len(ego)
    pose, present = np.zeros((len(rows) + 1, ticks, 3)), np.ones((len(rows) + 1, ticks), bool)
    pose[0] = ego
    for k, actor in enumerate(rows, 1):
        pose[k], present[k] = actor.states[:, [0, 1, 3]], actor.present
    size = np.array([ego_size, *(a.size_lwh_m[:2] for a in rows)]) - tolerance_m
    hit = _touching(pose, present, size, np.array([True, *(len(a.states) > 1 for a in rows)]))
    ids, pulled = [-1, *(a.actor_id for a in rows)], {a.actor_id: a.attachment for a in rows}
    pairs = [(ids[i], ids[j]) for i, j in zip(*np.nonzero(np.triu(hit)), strict=True)]
    return [(a, b) for a, b in pairs if pulled.get(a) != b and pulled.get(b) != a]


def drop_walkers(pairs: list[tuple[int, int]], actors: tuple[Actor, ...], keep: frozenset[int]) -> set[int]:
    """Ids of walking people to leave out so that none of them is in a pair any more; those in ``keep`` stay."""
    walkers = {
        a.actor_id for a in actors if len(a.states) > 1 and a.category.startswith(("human.", "animal")) and not a.rider
    } - keep
    dropped: set[int] = set()
    left = [pair for pair in pairs if walkers & set(pair)]
    while left:
        count: dict[int, int] = {}
        for pair in left:
            for actor_id in walkers & set(pair):
                count[actor_id] = count.get(actor_id, 0) + 1
        worst = max(sorted(count), key=lambda k: count[k])
        dropped.add(worst)
        left = [pair for pair in left if worst not in pair]
    return dropped
