"""Changing lanes: when it pays (MOBIL, Kesting et al. 2007), whether it is safe, and the path that does it."""

import numpy as np

from sceneminer.data.synth.traffic_kernel import idm_free, idm_interaction
from sceneminer.data.synth.traffic_net import RoadNet, lane_length, to_lane
from sceneminer.data.synth.traffic_path import STEP_M, Path, build_path, draw_route, splice
from sceneminer.data.synth.vehicles import Fleet, set_path

SAFE_BRAKE = 2.0
CHANGE_S = 2.7
"""Lane changes on city streets take 3 to 5 s, from first to last touch of steering; blocks are short here."""
SHORTER_M = 10.0
"""A path may always get so much shorter by a change, which itself takes some metres."""
ROOM_MPS = 12.0
"""Ego wants so much of a way before it for each second that is still to come; with lights few trips are faster."""
_GAIN = 0.35
_BLOCKED_M = 75.0
"""So far ahead drivers mind what stands in their lane."""
_ESCAPE = 0.8
"""What a free lane is worth to whoever sees the present one blocked, in m/s²."""


def consider_lane_changes(fleet: Fleet, plan: int, time_s: float, *, pushy: float, until_s: float) -> None:
    """Let some of the vehicles think about changing lanes; each does so about once a second, ego more often.

    ``until_s`` is when nothing is recorded any more: until then ego must not come to where its way leaves the town.
    """
    for i in np.flatnonzero(fleet.active).tolist():
        if (
            (i + plan) % (4 if i == 0 else 10)
            or fleet.v[i] < 3.0
            or time_s < fleet.changing_until[i] + 5.0
            or i in fleet.forced
        ):
            continue
        if fleet.category[i] in ("vehicle.bicycle", "vehicle.trailer") or fleet.tow[i] is not None:
            continue
        lane = fleet.net.lanes[fleet.lane_now(i)]
        for side, target in ((1, lane.left), (-1, lane.right)):
            if target is not None and _wants(fleet, i, target, pushy if i == 0 else 0.2):
                need_m = ROOM_MPS * (until_s - time_s) if i == 0 else 0.0
                change_lane(fleet, i, target, side, time_s, need_m=need_m)
                break


def _wants(fleet: Fleet, i: int, target: int, pushy: float) -> bool:
    """Whether the target lane lets one drive faster and nobody there has to brake hard."""
    net, v = fleet.net, float(fleet.v[i])
    along = float(to_lane(net, target, fleet.pose[i : i + 1, :2])[0][0])
    over = max(CHANGE_S * v, 14.0)
    if lane_length(net, target) - along < over + 4.0 or along < 3.0 or _busy_ahead(fleet, i, over + 6.0):
        return False
    if any(b.start_m - 25.0 < along + over and b.end_m > along - 5.0 for b in net.blockages.get(target, [])):
        return False
    driver = fleet.drivers[i]
    ahead, ahead_v, behind, behind_v = neighbours(fleet, i, target, along)
    gap_behind = behind - fleet.size[i, 0] / 2
    gap_ahead = ahead - fleet.size[i, 0] / 2
    if gap_ahead < 4.0 + 0.4 * v or gap_behind < 3.0 + 0.3 * behind_v:
        return False
    push = idm_interaction(behind_v, v, gap_behind, 1.2, 1.5, 2.0, 2.0)
    if push < -SAFE_BRAKE:
        return False
    v0 = float(fleet.paths[i].cap_mps[int(fleet.s[i] / STEP_M)])
    manner = fleet.manner[i]
    there = idm_free(v, v0, driver.accel_mps2) + idm_interaction(v, ahead_v, gap_ahead, *manner)
    now = idm_free(v, v0, driver.accel_mps2)
    if fleet.gap[i] < 1e8:
        now += idm_interaction(v, 0.8 * v, float(fleet.gap[i]), *manner)
    gain = there - now + (_ESCAPE if _lane_is_blocked(fleet, i) else 0.0)
    return gain > _GAIN - 1.1 * max(0.0, pushy - 0.35) + 0.3 * driver.politeness * max(0.0, -push)


def _lane_is_blocked(fleet: Fleet, i: int) -> bool:
    """Whether something stands in one's own lane not far ahead."""
    lane_id = fleet.lane_now(i)
    along = float(to_lane(fleet.net, lane_id, fleet.pose[i : i + 1, :2])[0][0])
    return any(0.0 < b.start_m - along < _BLOCKED_M for b in fleet.net.blockages.get(lane_id, []))


def _busy_ahead(fleet: Fleet, i: int, within_m: float) -> bool:
    s = fleet.s[i]
    return any(m.end_m > s and m.start_m < s + within_m for m in fleet.paths[i].marks)


def neighbours(fleet: Fleet, i: int, lane_id: int, along_m: float) -> tuple[float, float, float, float]:
    """Distance from one's middle to the rear of who is ahead in a lane, its speed, and the same for who is behind."""
    ahead, ahead_v, behind, behind_v = 1e3, 30.0, 1e3, 0.0
    for j in np.flatnonzero(fleet.active).tolist():
        if j == i or np.hypot(*(fleet.pose[j, :2] - fleet.pose[i, :2])) > 90.0:
            continue
        at, aside = to_lane(fleet.net, lane_id, fleet.pose[j : j + 1, :2])
        if abs(aside[0]) > 2.4 or not -15.0 < at[0] < lane_length(fleet.net, lane_id) + 15.0:
            continue
        if np.cos(fleet.pose[j, 2] - fleet.pose[i, 2]) < 0.3:
            continue
        gap = float(at[0]) - along_m
        if gap >= 0 and gap - (fleet.s[j] - fleet.rear[j]) < ahead:
            ahead, ahead_v = gap - float(fleet.s[j] - fleet.rear[j]), float(fleet.v[j])
        elif gap < 0 and -gap - fleet.size[j, 0] / 2 < behind:
            behind, behind_v = -gap - float(fleet.size[j, 0]) / 2, float(fleet.v[j])
    return ahead, ahead_v, behind, behind_v


def change_lane(
    fleet: Fleet,
    i: int,
    target: int,
    side: int,
    time_s: float,
    *,
    over_m: float | None = None,
    need_m: float = 0.0,
) -> None:
    """Put a vehicle on a path that moves over to the lane beside it.

    It stays where it is if that path were shorter than ``need_m`` and than the present one: lanes lead out of town.
    """
    net, driver, v = fleet.net, fleet.drivers[i], float(fleet.v[i])
    rng = np.random.default_rng([i, round(1000 * abs(time_s)), target])
    remaining = fleet.paths[i].length_m - float(fleet.s[i])
    along = float(to_lane(net, target, fleet.pose[i : i + 1, :2])[0][0])
    route = route_beside(net, fleet.paths[i], float(fleet.s[i]), target, max(remaining, 60.0) + along, rng)
    if sum(lane_length(net, k) for k in route) - along < min(remaining - SHORTER_M, need_m):
        return
    new = build_path(net, route, driver, half_width_m=float(fleet.size[i, 1]) / 2)
    at = float(fleet.s[i] + fleet.half_base[i]) + STEP_M
    point = fleet.paths[i].xy[min(int(at / STEP_M), len(fleet.paths[i].xy) - 1)]
    onto = int(np.argmin(np.sum((new.xy - point) ** 2, -1))) * STEP_M
    over = max(CHANGE_S * v, 14.0) if over_m is None else over_m
    set_path(fleet, i, splice(net, fleet.paths[i], new, at_m=at, onto_m=onto, over_m=over, driver=driver))
    fleet.gate[i] = sum(g.end_m <= at for g in fleet.paths[i].gates)
    fleet.granted[i] = False
    fleet.held[i].clear()
    fleet.changing_until[i] = time_s + over / max(v, 3.0)
    fleet.changes.append((i, time_s, time_s + over / max(v, 3.0), side))
    fleet.changing_side[i] = side


def route_beside(
    net: RoadNet, path: Path, s_m: float, target: int, length_m: float, rng: np.random.Generator
) -> list[int]:
    """A route from a lane beside a path on: along the same streets for as long as lanes allow, then at random."""
    ahead = list(dict.fromkeys(path.lane[max(int(s_m / STEP_M), 0) :].tolist()))
    route = [target]
    for lane_id in ahead[1:]:
        if net.lanes[lane_id].intersection is not None:
            continue
        same = side_by_side(net, lane_id)
        way = next((k for k in net.lanes[route[-1]].successors if net.lanes[k].successors[0] in same), None)
        if way is None:
            break
        route += [way, net.lanes[way].successors[0]]
    left_m = length_m - sum(lane_length(net, k) for k in route[:-1])
    return route[:-1] + draw_route(net, route[-1], left_m, rng, turns={})


def side_by_side(net: RoadNet, lane_id: int) -> set[int]:
    """A lane and all that run beside it the same way."""
    found, todo = {lane_id}, [lane_id]
    while todo:
        lane = net.lanes[todo.pop()]
        todo += [k for k in (lane.left, lane.right) if k is not None and k not in found]
        found |= set(todo)
    return found
