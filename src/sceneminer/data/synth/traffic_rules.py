"""Who may go: signals, signs, gaps in crossing traffic, people on crossings, and squeezes past obstacles."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from sceneminer.data.synth.scene import Signal
from sceneminer.data.synth.traffic_net import RoadNet, conflict, right_of_way
from sceneminer.data.synth.traffic_path import PLAN_S, STEP_M, Gate
from sceneminer.data.synth.vehicles import Fleet

NEVER = 1e9
EGO_END_M = 1.0


@dataclass(frozen=True)
class CrossingUse:
    """Somebody on a crossing, or waiting at its kerb: how far along its axis, with which signed speed."""

    crossing: int
    along_m: float
    speed_mps: float
    on_road: bool


def stops_ahead(
    fleet: Fleet, uses: list[CrossingUse], time_s: float, *, violators: frozenset[int]
) -> Float[ndarray, "n"]:
    """For each vehicle the nearest station where its front must stop now (1e9: nowhere)."""
    stop = np.full(len(fleet.s), NEVER)
    _release(fleet)
    by_crossing: dict[int, list[CrossingUse]] = {}
    for use in uses:
        by_crossing.setdefault(use.crossing, []).append(use)
    front = fleet.front
    todo = []
    for i in np.flatnonzero(fleet.active).tolist():
        stop[i] = _marks_ahead(fleet, i, float(front[i]), by_crossing)
        gates = fleet.paths[i].gates
        if fleet.gate[i] < len(gates):
            todo.append((gates[fleet.gate[i]].stop_m - front[i], i))
    for room, i in sorted(todo):
        gate = fleet.paths[i].gates[fleet.gate[i]]
        if i in violators and room < 40.0:
            _grant(fleet, i, gate)
        elif room < max(16.0, 0.28 * fleet.v[i] ** 2 + 1.2 * fleet.v[i] + 5.0) and not fleet.granted[i]:
            if _may_enter(fleet, i, gate, float(room), time_s):
                _grant(fleet, i, gate)
            else:
                stop[i] = min(stop[i], max(gate.stop_m, front[i] if room < -2.5 else gate.stop_m))
        elif fleet.granted[i] and _must_stop_for_signal(fleet, i, gate, float(room), time_s):
            fleet.granted[i] = False
            fleet.held[i].pop(gate.connector, None)
            stop[i] = min(stop[i], gate.stop_m)
    # others leave at the edge of the town; where ego's path ends there is nothing to be recorded any more
    stop[0] = min(stop[0], fleet.paths[0].length_m - EGO_END_M)
    return stop


def signal_of(net: RoadNet, gate: Gate) -> Signal | None:
    """The traffic light that governs a movement."""
    index = net.lanes[gate.connector].signal
    index = net.lanes[gate.approach].signal if index is None else index
    return None if index is None else net.town.signals[index]


def _release(fleet: Fleet) -> None:
    front, rear = fleet.front, fleet.rear
    for i in np.flatnonzero(fleet.active).tolist():
        gates = fleet.paths[i].gates
        for connector, k in list(fleet.held[i].items()):
            if k >= len(gates) or rear[i] > gates[k].end_m:
                del fleet.held[i][connector]
        while fleet.gate[i] < len(gates) and front[i] > gates[fleet.gate[i]].start_m + 1.0:
            fleet.held[i][gates[fleet.gate[i]].connector] = int(fleet.gate[i])
            fleet.gate[i] += 1
            fleet.granted[i] = False
            fleet.halted_s[i] = 0.0


def _grant(fleet: Fleet, i: int, gate: Gate) -> None:
    fleet.granted[i] = True
    fleet.held[i][gate.connector] = int(fleet.gate[i])


def _must_stop_for_signal(fleet: Fleet, i: int, gate: Gate, room: float, time_s: float) -> bool:
    signal = signal_of(fleet.net, gate)
    if signal is None:
        return False
    state = signal.state(time_s)
    if state == "green" or room < -1.0:
        return False
    need = fleet.v[i] ** 2 / (2.0 * max(room, 0.1))
    hurry = 3.0 + 1.2 * (1.0 - fleet.drivers[i].politeness)
    return bool(need < hurry if state == "amber" else need < 6.0)


def _may_enter(fleet: Fleet, i: int, gate: Gate, room: float, time_s: float) -> bool:
    net, driver = fleet.net, fleet.drivers[i]
    if _must_stop_for_signal(fleet, i, gate, room, time_s):
        return False
    lane = net.lanes[gate.approach]
    cue = "" if lane.stop_line is None else net.town.stop_lines[lane.stop_line].cue
    if room < 3.0 and fleet.v[i] < 0.4:
        fleet.halted_s[i] += PLAN_S
    if cue == "STOP_SIGN" and fleet.halted_s[i] < 0.6 and driver.politeness > 0.1:
        return False
    if _exit_full(fleet, i, gate) or _way_held(fleet, i, gate):
        return False
    return _gap_is_enough(fleet, i, gate, room, time_s)


def _exit_full(fleet: Fleet, i: int, gate: Gate) -> bool:
    """Whether a queue beyond the intersection leaves no room."""
    path = fleet.paths[i]
    at = min(int(gate.end_m / STEP_M), len(path.xy) - 1)
    exit_lane, point = int(path.lane[min(at + 2, len(path.lane) - 1)]), path.xy[at]
    need = fleet.size[i, 0] + 3.0 + (0.0 if fleet.tow[i] is None else 9.0)
    for j in np.flatnonzero(fleet.active & (fleet.v < 2.0)).tolist():
        if j != i and fleet.lane_now(j) == exit_lane:
            gap = float(np.hypot(*(fleet.pose[j, :2] - point))) - fleet.front[j] + fleet.rear[j] + fleet.size[j, 0] / 2
            if gap < need:
                return True
    return False


def _way_held(fleet: Fleet, i: int, gate: Gate) -> bool:
    """Whether somebody who may go has not yet cleared the place where the ways meet."""
    inter = fleet.net.lanes[gate.connector].intersection
    for j in np.flatnonzero(fleet.active).tolist():
        if j == i:
            continue
        for connector, k in fleet.held[j].items():
            if fleet.net.lanes[connector].intersection != inter:
                continue
            spans = conflict(fleet.net, gate.connector, connector)
            gates = fleet.paths[j].gates
            if spans is not None and k < len(gates) and fleet.rear[j] - gates[k].start_m < spans[1][1] + 1.0:
                return True
    return False


def _gap_is_enough(fleet: Fleet, i: int, gate: Gate, room: float, time_s: float) -> bool:
    """Whether everyone with more right leaves enough time to clear their way."""
    net, driver = fleet.net, fleet.drivers[i]
    inter, rank = net.lanes[gate.connector].intersection, right_of_way(net, gate.approach, gate.connector)
    for j in np.flatnonzero(fleet.active).tolist():
        gates = fleet.paths[j].gates
        if j == i or fleet.gate[j] >= len(gates):
            continue
        other = gates[fleet.gate[j]]
        if net.lanes[other.connector].intersection != inter or other.connector in fleet.held[j]:
            continue
        spans = conflict(net, gate.connector, other.connector)
        if spans is None or right_of_way(net, other.approach, other.connector) <= rank:
            continue
        signal = signal_of(net, other)
        to_line = other.stop_m - fleet.front[j]
        if signal is not None and signal.state(time_s) != "green":
            continue
        if fleet.v[j] < 0.5 and to_line > 6.0:
            continue
        pace = max(fleet.v[j], 3.0)
        arrives_s = (to_line + other.start_m - other.stop_m + spans[1][0] - 2.0) / pace
        leaves_s = _time_to(room + gate.start_m - gate.stop_m + spans[0][1] + fleet.size[i, 0], float(fleet.v[i]))
        hurry = min(0.8, 0.04 * fleet.halted_s[i])
        if arrives_s < leaves_s + driver.gap_margin_s - hurry:
            return False
    return True


def _time_to(distance_m: float, v: float) -> float:
    """Seconds for a distance when pulling away at 1.8 m/s² up to 8 m/s."""
    accel, top = 1.8, max(v, 8.0)
    ramp_s = (top - v) / accel
    ramp_m = v * ramp_s + 0.5 * accel * ramp_s**2
    if distance_m <= ramp_m:
        return (-v + np.sqrt(v * v + 2 * accel * max(distance_m, 0.0))) / accel
    return ramp_s + (distance_m - ramp_m) / top


def _marks_ahead(fleet: Fleet, i: int, front: float, uses: dict[int, list[CrossingUse]]) -> float:
    """The nearest crossing, squeeze or dwell that asks a vehicle to stop."""
    nearest, v = NEVER, float(fleet.v[i])
    for mark in fleet.paths[i].marks:
        if mark.end_m < front - 1.0:
            continue
        if mark.start_m > front + 50.0:
            break
        key = (mark.kind, mark.index, round(mark.start_m))
        if mark.kind == "zebra":
            line = mark.start_m - 1.0
            if front < mark.start_m + 0.8 and _someone_crosses(uses.get(mark.index, []), mark.value, line - front, v):
                nearest = min(nearest, line)
        elif mark.kind == "squeeze" and key not in fleet.passed[i]:
            if front > mark.start_m + 0.5:
                fleet.passed[i].add(key)
            elif mark.start_m - front < 3.0 + 0.25 * v * v + v and not _way_is_free(fleet, i, mark.start_m, mark.end_m):
                nearest = min(nearest, mark.start_m - 0.5)
            elif mark.start_m - front < 2.0:
                fleet.passed[i].add(key)
        elif mark.kind == "dwell" and key not in fleet.passed[i]:
            fleet.halted_s[i] += PLAN_S if v < 0.3 and mark.start_m - front < 2.0 else 0.0
            if fleet.halted_s[i] > mark.value:
                fleet.passed[i].add(key)
                fleet.halted_s[i] = 0.0
            else:
                nearest = min(nearest, mark.start_m)
    return nearest


def _someone_crosses(uses: list[CrossingUse], along_m: float, room: float, v: float) -> bool:
    """Whether to stop for people on a crossing: whoever is or soon will be in the lane, if one can still stop."""
    if v * v / (2 * max(room, 0.3)) > 5.0:
        return False
    arrives_s = max(room, 0.0) / max(v, 1.5)
    for use in uses:
        gap = along_m - use.along_m
        heading_here = gap * use.speed_mps > 0 or abs(gap) < 2.2
        if use.on_road and heading_here and abs(gap) < 2.6 + abs(use.speed_mps) * (arrives_s + 1.5):
            return True
        if not use.on_road and use.speed_mps != 0.0 and abs(gap) < 7.0:
            return True
    return False


def _way_is_free(fleet: Fleet, i: int, start_m: float, end_m: float) -> bool:
    """Whether nobody else will be where a squeeze swings out, for as long as it takes."""
    path = fleet.paths[i]
    zone = path.xy[int(max(start_m, 0.0) / STEP_M) : int(end_m / STEP_M) : 3]
    lane, seconds = fleet.lane_now(i), min(8.0, _time_to(end_m - fleet.front[i], float(fleet.v[i])) + 1.0)
    for j in np.flatnonzero(fleet.active).tolist():
        if j == i or fleet.v[j] < 0.3 or np.hypot(*(fleet.pose[j, :2] - zone.mean(0))) > 110.0:
            continue
        same_way = np.cos(fleet.pose[j, 2] - fleet.pose[i, 2]) > 0.5
        if same_way and fleet.lane_now(j) == lane:
            continue
        reach_m = min(seconds, 2.5) * fleet.v[j] + 2.0 if same_way else seconds * fleet.v[j] + 4.0
        k0, k1 = int(fleet.rear[j] / STEP_M), int((fleet.front[j] + reach_m) / STEP_M)
        ahead = fleet.paths[j].xy[max(k0, 0) : k1 : 3]
        if len(ahead) and len(zone):
            gap = np.sqrt(
                np.min((ahead[:, None, 0] - zone[None, :, 0]) ** 2 + (ahead[:, None, 1] - zone[None, :, 1]) ** 2)
            )
            if gap < (fleet.size[i, 1] + fleet.size[j, 1]) / 2 + 0.3:
                return False
    return True
