"""The path a vehicle means to drive: a polyline with speed caps and the places where it may have to stop."""

from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from sceneminer.data.synth.scene import TICK_S
from sceneminer.data.synth.traffic_kernel import cap_backward
from sceneminer.data.synth.traffic_net import RoadNet, lane_length, lane_zebras, reach, stop_station

STEP_M = 0.5
"""Paths are sampled this finely, so that a station is an index."""
COMFORT_BRAKE = 1.9


@dataclass(frozen=True)
class Driver:
    """How somebody drives: choices that last for a whole Drive."""

    speed_factor: float
    lateral_mps2: float
    headway_s: float
    accel_mps2: float
    brake_mps2: float
    standstill_m: float
    gap_margin_s: float
    """Extra time wanted in a gap before crossing others' way."""
    politeness: float
    offset_m: float
    """Keeps this far left of the lane's centre."""
    top_mps: float = 60.0
    """Never faster than this: cyclists."""


@dataclass(frozen=True)
class Gate:
    """An intersection ahead: stop before ``stop_m`` until the connector may be entered."""

    stop_m: float
    start_m: float
    end_m: float
    approach: int
    connector: int


@dataclass(frozen=True)
class Mark:
    """Something on the way between two stations: a crossing, a squeeze past an obstacle, a stop to make."""

    kind: str
    """zebra, squeeze or dwell."""
    start_m: float
    end_m: float
    index: int
    """The crossing, the blocking actor, or -1."""
    value: float
    """zebra: metres along the crossing's axis. squeeze: offset to the left. dwell: seconds."""


@dataclass(frozen=True)
class Path:
    xy: Float[ndarray, "n 2"]
    lane: ndarray
    """Lane id per sample, int32."""
    cap_mps: Float[ndarray, "n"]
    gates: tuple[Gate, ...]
    marks: tuple[Mark, ...]

    @property
    def length_m(self) -> float:
        return (len(self.xy) - 1) * STEP_M


def draw_route(
    net: RoadNet, start: int, length_m: float, rng: np.random.Generator, *, turns: dict[str, float]
) -> list[int]:
    """Lane ids from ``start`` on, turning at random by the weights of ``turns`` and avoiding ways out of town."""
    route, total = [start], lane_length(net, start)
    while total < length_m:
        options = net.lanes[route[-1]].successors
        if not options:
            break
        room = np.array([min(reach(net, k), length_m - total) for k in options])
        weight = np.array([turns.get(net.lanes[k].turn, 1.0) for k in options]) * (room / room.max()) ** 4 + 1e-9
        route.append(int(options[int(rng.choice(len(options), p=weight / weight.sum()))]))
        total += lane_length(net, route[-1])
    return route


def build_path(
    net: RoadNet,
    route: list[int],
    driver: Driver,
    *,
    half_width_m: float = 0.95,
    start_m: float = 0.0,
    dwell: tuple[int, float, float, float] | None = None,
) -> Path:
    """The path along a route, shifted around whatever stands in the way.

    ``dwell`` is a stop to make: lane id, station in it, offset to the left, seconds.
    """
    line, lane_of, origin = _join(net, route)
    station = np.concatenate([[0.0], np.cumsum(np.hypot(*np.diff(line[:, :2], axis=0).T))])
    base = np.arange(0.0, station[-1], STEP_M)
    xy = np.stack([np.interp(base, station, line[:, k]) for k in range(2)], -1)
    yaw = np.interp(base, station, np.unwrap(line[:, 2]))
    offset, marks = _offsets(net, route, origin, base, driver, half_width_m=half_width_m, dwell=dwell)
    moved = xy + offset[:, None] * np.stack([-np.sin(yaw), np.cos(yaw)], -1)
    along = np.concatenate([[0.0], np.cumsum(np.hypot(*np.diff(moved, axis=0).T))])
    ids = lane_of[np.minimum(np.searchsorted(station, base, side="right"), len(lane_of)) - 1]
    path = resample(moved, ids, along)
    path = replace(path, cap_mps=speed_caps(net, path, driver))

    def at(u: float) -> float:
        return float(np.interp(u, base, along))

    gates = []
    for k, lane_id in enumerate(route):
        if net.lanes[lane_id].intersection is not None and k > 0:
            stop = at(origin[k - 1] + stop_station(net, route[k - 1]))
            gates.append(Gate(stop, at(origin[k]), at(origin[k] + lane_length(net, lane_id)), route[k - 1], lane_id))
        for zebra in lane_zebras(net, lane_id):
            u0, u1 = origin[k] + zebra.start_m, origin[k] + zebra.end_m
            marks.append(Mark("zebra", u0, u1, zebra.crossing, zebra.along_m))
    moved_marks = sorted(
        (replace(mark, start_m=at(mark.start_m), end_m=at(mark.end_m)) for mark in marks), key=lambda m: m.start_m
    )
    return replace(path, gates=tuple(gates), marks=tuple(_merge_zebras(moved_marks)))


def _merge_zebras(marks: list[Mark]) -> list[Mark]:
    """A crossing that lies over two lanes of a route is one crossing."""
    merged: list[Mark] = []
    for mark in marks:
        last = next((m for m in reversed(merged) if m.kind == "zebra" and m.index == mark.index), None)
        if mark.kind == "zebra" and last is not None and mark.start_m - last.end_m < 3.0:
            merged[merged.index(last)] = replace(last, end_m=max(last.end_m, mark.end_m))
        else:
            merged.append(mark)
    return merged


def resample(xy: Float[ndarray, "n 2"], lane: ndarray, along_m: Float[ndarray, "n"]) -> Path:
    """A path of even steps through points that are not evenly spaced; its caps are not set yet."""
    even = np.arange(0.0, along_m[-1], STEP_M)
    points = np.stack([np.interp(even, along_m, xy[:, k]) for k in range(2)], -1)
    near = np.minimum(np.searchsorted(along_m, even), len(lane) - 1)
    return Path(points, lane[near].astype(np.int32), np.full(len(even), np.inf), (), ())


def speed_caps(net: RoadNet, path: Path, driver: Driver) -> Float[ndarray, "n"]:
    """Speed a driver allows at each sample: the limit, comfort in bends, and what braking for both asks beforehand."""
    limit = {k: net.lanes[k].speed_limit_mps * driver.speed_factor for k in np.unique(path.lane).tolist()}
    cap = np.minimum(np.array([limit[k] for k in path.lane.tolist()]), driver.top_mps)
    reach_n = 4  # curvature over 4 m, or the corners of polylines would count as bends
    ahead = np.diff(path.xy, axis=0)
    yaw = np.unwrap(np.arctan2(ahead[:, 1], ahead[:, 0]))
    if len(yaw) > 2 * reach_n:
        bend = np.zeros(len(cap))
        turn = np.abs(yaw[2 * reach_n :] - yaw[: -2 * reach_n]) / (2 * reach_n * STEP_M)
        bend[reach_n : reach_n + len(turn)] = turn
        cap = np.minimum(cap, np.sqrt(driver.lateral_mps2 / np.maximum(bend, 1e-4)))
    return cap_backward(cap, STEP_M, COMFORT_BRAKE)


def splice(net: RoadNet, old: Path, new: Path, *, at_m: float, onto_m: float, over_m: float, driver: Driver) -> Path:
    """Leave ``old`` at ``at_m`` and be on ``new`` after ``over_m``; ``onto_m`` is where ``new`` starts beside that."""
    i, j, n = int(at_m / STEP_M), int(onto_m / STEP_M), int(over_m / STEP_M)
    n = max(1, min(n, len(old.xy) - i - 1, len(new.xy) - j - 1))
    t = np.arange(n) / n
    w = (t * t * t * (10.0 - 15.0 * t + 6.0 * t * t))[:, None]
    xy = np.concatenate([old.xy[:i], (1 - w) * old.xy[i : i + n] + w * new.xy[j : j + n], new.xy[j + n :]])
    lane = np.concatenate([old.lane[:i], old.lane[i : i + n // 2], new.lane[j + n // 2 :]])
    along = np.concatenate([[0.0], np.cumsum(np.hypot(*np.diff(xy, axis=0).T))])
    path = resample(xy, lane, along)
    shift = float(along[min(i + n, len(along) - 1)]) - (j + n) * STEP_M

    def later(mark: Gate | Mark) -> bool:
        return mark.start_m > onto_m

    gates = [
        replace(g, stop_m=g.stop_m + shift, start_m=g.start_m + shift, end_m=g.end_m + shift)
        for g in new.gates
        if later(g)
    ]
    marks = [replace(m, start_m=m.start_m + shift, end_m=m.end_m + shift) for m in new.marks if later(m)]
    past = tuple(g for g in old.gates if g.end_m <= at_m)
    return replace(path, gates=(*past, *gates), marks=tuple(marks), cap_mps=speed_caps(net, path, driver))


def _join(net: RoadNet, route: list[int]) -> tuple[ndarray, ndarray, list[float]]:
    """Centre lines end to end, the lane of each point, and where along the whole each lane starts."""
    lines, ids, origin, total = [], [], [], 0.0
    for k, lane_id in enumerate(route):
        line = net.lanes[lane_id].centerline
        origin.append(total)
        total += lane_length(net, lane_id)
        lines.append(line if k == 0 else line[1:])
        ids.append(np.full(len(lines[-1]), lane_id, np.int32))
    joined = np.concatenate(lines).copy()
    joined[:, 2] = np.unwrap(joined[:, 2])
    return joined, np.concatenate(ids), origin


def _offsets(
    net: RoadNet,
    route: list[int],
    origin: list[float],
    base: Float[ndarray, "n"],
    driver: Driver,
    *,
    half_width_m: float,
    dwell: tuple[int, float, float, float] | None,
) -> tuple[Float[ndarray, "n"], list[Mark]]:
    """Offset to the left along a route: the driver's habit, and room for what stands in the way."""
    offset = np.full(len(base), driver.offset_m)
    marks: list[Mark] = []
    for k, lane_id in enumerate(route):
        for block in net.blockages.get(lane_id, []):
            past_left = block.left_m + half_width_m + 0.6
            past_right = block.right_m - half_width_m - 0.6
            go_left = past_left <= -past_right
            aim = past_left if go_left else past_right
            if (aim <= driver.offset_m) if go_left else (aim >= driver.offset_m):
                continue
            beside = net.lanes[lane_id].left if go_left else net.lanes[lane_id].right
            if beside is not None and abs(aim) > 0.5:  # one does not straddle the line where there is a lane to use
                aim = float(np.sign(aim)) * max(abs(aim), net.lanes[lane_id].width_m)
            u0, u1 = origin[k] + block.start_m - 3.5, origin[k] + block.end_m + 2.5
            ramp = 6.0 + 4.0 * abs(aim - driver.offset_m)
            bump = driver.offset_m + (aim - driver.offset_m) * _plateau(base, u0, u1, ramp)
            offset = np.maximum(offset, bump) if go_left else np.minimum(offset, bump)
            if abs(aim) > 0.5:
                marks.append(Mark("squeeze", u0 - ramp, u1 + ramp, block.actor, aim))
        if dwell is not None and dwell[0] == lane_id:
            u = origin[k] + dwell[1]
            offset = offset + (dwell[2] - driver.offset_m) * _plateau(base, u - 8.0, u + 1.0, 16.0)
            marks.append(Mark("dwell", u, u + 1.0, -1, dwell[3]))
    return offset, marks


def _plateau(u: Float[ndarray, "n"], start: float, end: float, ramp: float) -> Float[ndarray, "n"]:
    rise = np.clip((u - start + ramp) / ramp, 0.0, 1.0)
    fall = np.clip((end + ramp - u) / ramp, 0.0, 1.0)
    t = np.minimum(rise, fall)
    return t * t * (3.0 - 2.0 * t)


TICKS_PER_PLAN = 2
"""Decisions are taken at half the rate of motion."""
PLAN_S = TICK_S * TICKS_PER_PLAN
