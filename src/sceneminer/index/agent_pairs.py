"""Relations between two agents, or an agent and ego, at one instant: left, right, ahead, behind, near."""

import numpy as np
from jaxtyping import Bool, Int
from numpy import ndarray

from sceneminer.index.agent_terms import Placed, Rows, Truth
from sceneminer.labels.bodies import Bodies, box_gap
from sceneminer.labels.ego import EgoSize

_BOX = ("agent.x_m", "agent.y_m", "agent.yaw_rad", "agent.length_m", "agent.width_m")
PAIRS_AT_ONCE = 2_000_000


def place_rows(rows: Rows, relation: Placed, asked: Bool[ndarray, "n"], *, ego: EgoSize) -> Truth:
    """For which of the asked rows the relation holds with anybody it may hold with, within its distance.

    "Left" and "right" are beside the length of the one whose direction counts, beyond its side; "ahead" and "behind"
    before and after its width; the other's middle decides, and distances are between boxes. As in RefAV's
    ``has_objects_in_relative_direction`` (Davidson et al. 2025).
    """
    boxes = _bodies(rows, np.arange(len(rows)))
    known = np.isfinite(boxes.x_m) & np.isfinite(boxes.yaw_rad)
    yes = np.zeros(len(rows), bool)
    subjects = np.flatnonzero(asked & known)
    if relation.of is None:
        yes[subjects] = _holds(relation, boxes[subjects], _ego_body(len(subjects), ego))
        return Truth(yes, known & ~yes)
    category = rows.texts["agent.category"]
    objects = np.flatnonzero(known & np.isin(category, sorted(relation.of)))
    order = objects[np.argsort(rows.instant[objects], kind="stable")]
    for part in _chunks(rows, subjects, order):
        a, b = part
        met = _holds(relation, boxes[a], boxes[b]) & (rows.track[a] != rows.track[b])
        yes[a[met]] = True
    return Truth(yes, known & ~yes)


def hold_rows(rows: Rows, found: Truth, seconds: float, *, gap_us: int) -> Truth:
    """True over each unbroken stretch of one agent's instants that lasts at least ``seconds``."""
    order = np.lexsort((rows.time_us, rows.track))
    track, time, yes = rows.track[order], rows.time_us[order], found.yes[order]
    breaks = np.ones(len(order), bool)
    breaks[1:] = (track[1:] != track[:-1]) | (time[1:] - time[:-1] > gap_us) | ~yes[1:] | ~yes[:-1]
    run = np.cumsum(breaks) - 1
    first = np.flatnonzero(breaks)
    last = np.append(first[1:], len(order)) - 1 if len(first) else first
    enough = (time[last] - time[first] >= seconds * 1e6 - 1) if len(first) else np.zeros(0, bool)
    held = np.zeros(len(order), bool)
    held[order] = yes & enough[run] if len(order) else yes
    # Part of a stretch too short is false, not unknown; where the condition is unknown, so is how long it held.
    return Truth(held, (found.no | found.yes) & ~held)


def _chunks(rows: Rows, subjects: Int[ndarray, "s"], objects: Int[ndarray, "o"]):
    """Pairs of rows of the same instant, so many at a time; ``objects`` are sorted by instant."""
    at = rows.instant[objects]
    low, high = (np.searchsorted(at, rows.instant[subjects], side) for side in ("left", "right"))
    counts = high - low
    ends = np.cumsum(counts)
    start = 0
    while start < len(subjects):
        done = ends[start - 1] if start else 0
        stop = max(int(np.searchsorted(ends, done + PAIRS_AT_ONCE, "right")), start + 1)
        many = counts[start:stop]
        a = np.repeat(subjects[start:stop], many)
        offset = np.arange(many.sum()) - np.repeat(np.cumsum(many) - many, many)
        yield a, objects[np.repeat(low[start:stop], many) + offset]
        start = stop


def _holds(relation: Placed, agent: Bodies, other: Bodies) -> Bool[ndarray, "n"]:
    word = relation.relation
    if word == "near":
        return box_gap(agent, other) <= relation.within_m
    # "has_left": the other is to the agent's left; "left_of": the agent is to the other's left.
    base, side = (agent, other) if word.startswith("has_") else (other, agent)
    word = word.removeprefix("has_").removesuffix("_of")
    cos, sin = np.cos(base.yaw_rad), np.sin(base.yaw_rad)
    dx, dy = side.x_m - base.x_m, side.y_m - base.y_m
    along, left = dx * cos + dy * sin, dy * cos - dx * sin
    beside, in_line = np.abs(along) < base.length_m / 2, np.abs(left) < base.width_m / 2
    met = {
        "left": beside & (left > base.width_m / 2),
        "right": beside & (left < -base.width_m / 2),
        "ahead": in_line & (along > base.length_m / 2),
        "behind": in_line & (along < -base.length_m / 2),
    }[word]
    return met & (box_gap(agent, other) <= relation.within_m)


def _bodies(rows: Rows, at: ndarray) -> Bodies:
    x, y, yaw, length, width = (rows.numbers[name][at] for name in _BOX)
    still = np.zeros(len(at))
    return Bodies(x, y, yaw, still, still, still, length, width)


def _ego_body(count: int, ego: EgoSize) -> Bodies:
    full, still = np.ones(count), np.zeros(count)
    return Bodies(
        ego.rear_axle_to_center_m * full, still, still, still, still, still, ego.length_m * full, ego.width_m * full
    )
