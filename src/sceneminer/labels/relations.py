"""What each agent does relative to ego, its lane and its path, at each instant: columns that queries read.

Everything is told from tracks, ego's poses and, where there is one, the map; what cannot be told is None, never False.
"Path" is the line that ego in fact drives (``path_frame``), so that a curve is no lane change and a merge of ego's own
is no cut-in. Thresholds are constants here and are printed in the query guide.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import shapely
from jaxtyping import Bool, Float
from numpy import ndarray

from sceneminer.data.hdmap import HdMap
from sceneminer.data.track import AgentStates
from sceneminer.labels.ego import EgoStates, lane_users, slope
from sceneminer.labels.lanes import own_lanes
from sceneminer.labels.path_frame import PathFrame, path_frame

MOVES_MPS = 1.0
STANDS_MPS = 0.3
STANDS_S = 1.0
ALIGNED_COS = 0.7
"""Same direction: headings less than 45 degrees apart."""
IN_PATH_M = 1.5
"""Of an agent's middle beside the path, in a lane about 3.5 m wide."""
BESIDE_M = (1.0, 6.0)
"""Of one that passes in a lane beside."""
CROSS_AHEAD_M, CROSS_ASIDE_M, CROSS_S = 40.0, 6.0, 3.0
CROSS_SHARE = 0.5
"""Of an agent's speed that goes across the path."""
WALKS_ACROSS_MPS = 0.4
CUT_AHEAD_M, CUT_FROM_M, CUT_TO_M, CUT_S = 40.0, 2.0, 1.2, 3.0
PASS_M, PASS_S = 10.0, 6.0
FOLLOW_M, LEAD_M = 30.0, 50.0
TURN_S = 4.0
AT_CROSSING_M = 1.0
_CHAIN = 3
"""Lanes on from ego's own, ahead and behind, that still are its lane."""

FLAGS: Mapping[str, str] = {
    "crossing_in_front": "its path crosses ego's, ahead of ego: within 3 s it gets from one side to the other",
    "cutting_in": "it comes from beside into ego's path, at most 40 m ahead, in ego's direction",
    "overtaking": "it passes ego from behind in ego's direction, 1 to 6 m beside, while ego drives",
    "being_overtaken": "ego passes it, 1 to 6 m beside, while it drives in ego's direction",
    "following": "the nearest behind ego in its path, at most 30 m off, both driving",
    "leading": "the nearest ahead in ego's path, at most 50 m off, both driving",
    "stopped_in_lane": "a vehicle or rider that stands for at least 1 s on a lane and on no parking area (needs a map)",
    "at_crossing": "on a pedestrian crossing or within 1 m of one (needs a map)",
    "in_ego_lane": "on ego's lane or the lanes that lead to it and on from it (needs a map)",
}
"""Columns of true and false, and what they mean."""
RATES: Mapping[str, str] = {
    "acceleration_mps2": "change of speed, from a line through its speeds within 0.5 s",
    "turn_rad": "change of heading over 4 s around now, positive to the left",
}


@dataclass(frozen=True, eq=False)
class Relations:
    """Flags [a, t] by name, with which of them are known; rates [a, t], NaN where unknown."""

    flags: Mapping[str, Bool[ndarray, "a t"]]
    known: Mapping[str, Bool[ndarray, "a t"]]
    rates: Mapping[str, Float[ndarray, "a t"]]


def relations(agents: AgentStates, ego: EgoStates, hdmap: HdMap | None) -> Relations:
    """All relations at all times; times must be evenly spaced, at most 0.2 s apart."""
    frame = path_frame(agents, ego)
    step_s = float(np.median(np.diff(ego.times_us))) / 1e6 if len(ego.times_us) > 1 else 0.1
    drives = lane_users(agents)[:, None]
    seen = np.isfinite(frame.ahead_m)
    flags = {
        "crossing_in_front": _crossing(frame, step_s),
        "cutting_in": _cutting_in(frame, step_s) & drives,
        "overtaking": _passing(frame, ego, step_s, sign=1) & drives,
        "being_overtaken": _passing(frame, ego, step_s, sign=-1) & drives,
        "following": _nearest_in_path(frame, ego, drives, ahead=False),
        "leading": _nearest_in_path(frame, ego, drives, ahead=True),
    }
    known = dict.fromkeys(flags, seen)
    for name, (flag, there) in _on_map(agents, ego, hdmap, step_s).items():
        flags[name], known[name] = flag, there & agents.present
    rates = {"acceleration_mps2": _acceleration(agents, step_s), "turn_rad": _turn(agents, step_s)}
    return Relations(flags, known, rates)


def _crossing(frame: PathFrame, step_s: float) -> Bool[ndarray, "a t"]:
    """Around each change of side that lies ahead of ego, for as long as the agent goes the same way across."""
    left, ahead = frame.left_m, frame.ahead_m
    speed = np.hypot(frame.along_mps, frame.across_mps)
    goes = np.abs(frame.across_mps) >= np.maximum(WALKS_ACROSS_MPS, CROSS_SHARE * speed)
    usable = goes & (ahead > 0) & (ahead <= CROSS_AHEAD_M) & (np.abs(left) <= CROSS_ASIDE_M)
    out = np.zeros(left.shape, bool)
    reach = round(CROSS_S / step_s)
    changes = usable[:, 1:] & usable[:, :-1] & (np.sign(left[:, 1:]) != np.sign(left[:, :-1]))
    for row, k in zip(*np.nonzero(changes), strict=True):
        way = np.sign(frame.across_mps[row, k])
        same = usable[row] & (np.sign(frame.across_mps[row]) == way)
        low, high = _run(same, int(k), reach)
        side = left[row, low:high]
        # From at least a metre on one side to a metre on the other: not somebody who sways in ego's path.
        if np.nanmin(side) <= -1.0 and np.nanmax(side) >= 1.0:
            out[row, low:high] = True
    return out


def _cutting_in(frame: PathFrame, step_s: float) -> Bool[ndarray, "a t"]:
    """From where it begins to come in until a second after it is in."""
    aside = np.abs(frame.left_m)
    good = (frame.ahead_m > 0) & (frame.ahead_m <= CUT_AHEAD_M) & (frame.along_mps >= MOVES_MPS)
    good &= np.cos(frame.heading_rad) >= ALIGNED_COS
    out = np.zeros(aside.shape, bool)
    reach, second = round(CUT_S / step_s), round(1.0 / step_s)
    enters = good[:, 1:] & good[:, :-1] & (aside[:, 1:] < CUT_TO_M) & (aside[:, :-1] >= CUT_TO_M)
    for row, k in zip(*np.nonzero(enters), strict=True):
        before = aside[row, max(k + 1 - reach, 0) : k + 1]
        after, stays = aside[row, k + 1 : k + 1 + second], good[row, k + 1 : k + 1 + second]
        outside = np.flatnonzero(before >= CUT_FROM_M)
        if len(outside) and len(after) and np.all(after < CUT_TO_M + 0.3) and np.all(stays):
            start = max(k + 1 - reach, 0) + int(outside[-1])
            out[row, start : k + 1 + second] = good[row, start : k + 1 + second]
    return out


def _passing(frame: PathFrame, ego: EgoStates, step_s: float, *, sign: int) -> Bool[ndarray, "a t"]:
    """While one passes the other: within 10 m before and after being level."""
    ahead, aside = sign * frame.ahead_m, np.abs(frame.left_m)
    good = (frame.along_mps >= MOVES_MPS) & (ego.speed_mps >= MOVES_MPS)[None]
    good &= (np.cos(frame.heading_rad) >= ALIGNED_COS) & (np.abs(ahead) <= PASS_M)
    good &= (aside >= BESIDE_M[0]) & (aside <= BESIDE_M[1])
    out = np.zeros(aside.shape, bool)
    level = good[:, 1:] & good[:, :-1] & (ahead[:, :-1] < 0) & (ahead[:, 1:] >= 0)
    for row, k in zip(*np.nonzero(level), strict=True):
        low, high = _run(good[row], int(k), round(PASS_S / step_s))
        span = ahead[row, low:high]
        if span[0] <= -3.0 and span[-1] >= 3.0:
            out[row, low:high] = True
    return out


def _nearest_in_path(frame: PathFrame, ego: EgoStates, drives: ndarray, *, ahead: bool) -> Bool[ndarray, "a t"]:
    gap = frame.ahead_m if ahead else -frame.ahead_m
    good = drives & (gap > 0) & (gap <= (LEAD_M if ahead else FOLLOW_M)) & (np.abs(frame.left_m) <= IN_PATH_M)
    good &= np.cos(frame.heading_rad) >= ALIGNED_COS
    nearest = np.where(good, gap, np.inf)
    if not len(nearest):
        return good
    first = good & (nearest == nearest.min(0)[None])
    return first & (frame.along_mps >= MOVES_MPS) & (ego.speed_mps >= MOVES_MPS)[None]


def _on_map(
    agents: AgentStates, ego: EgoStates, hdmap: HdMap | None, step_s: float
) -> dict[str, tuple[Bool[ndarray, "a t"], Bool[ndarray, "a t"]]]:
    """The flags that need a map, and where they are known."""
    nothing = np.zeros(agents.x_m.shape, bool)
    names = ("stopped_in_lane", "at_crossing", "in_ego_lane")
    out: dict[str, tuple[ndarray, ndarray]] = dict.fromkeys(names, (nothing, nothing))
    if hdmap is None or agents.x_m.size == 0:
        return out
    rows, cols = np.nonzero(agents.present)
    points = np.asarray(shapely.points(agents.x_m[rows, cols], agents.y_m[rows, cols]))

    def spread(values: ndarray) -> ndarray:
        full = nothing.copy()
        full[rows, cols] = values
        return full

    if "crossing" in hdmap.areas:
        out["at_crossing"] = spread(_within(hdmap.areas["crossing"], points, AT_CROSSING_M)), ~nothing
    lanes = [lane for lane in hdmap.lanes if lane.polygon is not None]
    if lanes:
        parking = _within(hdmap.areas.get("parking", ()), points, 0.0)
        on_lane = spread(_within([lane.polygon for lane in lanes], points, 0.0) & ~parking)
        stands = _stands(agents, step_s) & lane_users(agents)[:, None]
        out["stopped_in_lane"] = stands & on_lane, ~nothing
        out["in_ego_lane"] = _in_ego_lane(agents, ego, lanes, rows, cols, points)
    return out


def _in_ego_lane(agents, ego, lanes, rows, cols, points) -> tuple[ndarray, ndarray]:
    """Whether a lane that holds the agent's middle is one of the chain through ego's lane; known where ego has one."""
    flag, known = (np.zeros(agents.x_m.shape, bool) for _ in range(2))
    tree = shapely.STRtree([lane.polygon for lane in lanes])
    number = {lane.lane_id: k for k, lane in enumerate(lanes)}
    onward = [[number[s] for s in lane.successors if s in number] for lane in lanes]
    backward: list[list[int]] = [[] for _ in lanes]
    for k, following in enumerate(onward):
        for s in following:
            backward[s].append(k)
    point, lane_of = tree.query(points, predicate="intersects")
    order = np.argsort(cols[point], kind="stable")
    point, lane_of = point[order], lane_of[order]
    edges = np.searchsorted(cols[point], np.arange(agents.x_m.shape[1] + 1))
    body = ego.body()
    for t in np.unique(cols):
        own = own_lanes(tree, lanes, body.x_m[t], body.y_m[t], body.yaw_rad[t])
        if own:
            known[:, t] = True
            chain = np.zeros(len(lanes), bool)
            chain[sorted(_reached(own, onward) | _reached(own, backward))] = True
            held = slice(edges[t], edges[t + 1])
            flag[rows[point[held][chain[lane_of[held]]]], t] = True
    return flag, known


def _reached(start: set[int], links: list[list[int]]) -> set[int]:
    found, edge = set(start), set(start)
    for _ in range(_CHAIN):
        edge = {n for k in edge for n in links[k]} - found
        found |= edge
    return found


def _within(shapes, points: ndarray, margin_m: float) -> Bool[ndarray, "n"]:
    out = np.zeros(len(points), bool)
    if len(shapes) and len(points):
        out[shapely.STRtree(list(shapes)).query(points, predicate="dwithin", distance=margin_m)[0]] = True
    return out


def _stands(agents: AgentStates, step_s: float) -> Bool[ndarray, "a t"]:
    """Part of a second or more of standing."""
    slow = agents.present & (np.hypot(agents.vx_mps, agents.vy_mps) < STANDS_MPS)
    out = np.zeros(slow.shape, bool)
    for row in np.flatnonzero(slow.any(1)):
        edges = np.flatnonzero(np.diff(np.concatenate([[0], slow[row].astype(np.int8), [0]])))
        for low, high in edges.reshape(-1, 2):
            out[row, low:high] = (high - low - 1) * step_s >= STANDS_S - 1e-6
    return out


def _acceleration(agents: AgentStates, step_s: float) -> Float[ndarray, "a t"]:
    speed = np.where(agents.present, np.hypot(agents.vx_mps, agents.vy_mps), np.nan)
    reach = max(round(0.5 / step_s), 1)
    around = np.arange(-reach, reach + 1)
    held = np.clip(np.arange(speed.shape[1])[:, None] + around, 0, max(speed.shape[1] - 1, 0))
    inside = held == np.arange(speed.shape[1])[:, None] + around
    near = np.where(inside, speed[:, held], np.nan)
    fit = slope(np.broadcast_to(around * step_s, near.shape), near)
    return np.where(agents.present, fit, np.nan)


def _turn(agents: AgentStates, step_s: float) -> Float[ndarray, "a t"]:
    """Over as much of the four seconds as the agent is seen without a break."""
    out = np.full(agents.x_m.shape, np.nan)
    reach = round(TURN_S / 2 / step_s)
    for row in range(len(out)):
        edges = np.flatnonzero(np.diff(np.concatenate([[0], agents.present[row].astype(np.int8), [0]])))
        for low, high in edges.reshape(-1, 2):
            yaw = np.unwrap(agents.yaw_rad[row, low:high])
            at = np.arange(high - low)
            out[row, low:high] = yaw[np.minimum(at + reach, high - low - 1)] - yaw[np.maximum(at - reach, 0)]
    return out


def _run(good: Bool[ndarray, "t"], at: int, reach: int) -> tuple[int, int]:
    """The unbroken run of True around ``at``, no further than ``reach`` from it."""
    low, high = at, at + 1
    while low > 0 and good[low - 1] and at - low < reach:
        low -= 1
    while high < len(good) and good[high] and high - at <= reach:
        high += 1
    return low, high
