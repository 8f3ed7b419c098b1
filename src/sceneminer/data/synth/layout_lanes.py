"""Lanes along streets and connectors through junctions, linked into one road graph."""

from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np
import shapely
from jaxtyping import Float
from numpy import ndarray

from sceneminer.data.synth.roads import Junction, Leg, Roads
from sceneminer.data.synth.scene import Lane
from sceneminer.data.synth.streets import Edge

Turn = Literal["straight", "left", "right"]
TURN_SPEED_MPS: dict[Turn, float] = {"straight": 17.0, "left": 8.0, "right": 8.0}
STEP_M = 0.9
KERB_CLEARANCE_M = 1.25
"""From a turning car's middle to the kerb; half a car and a hand's breadth."""
MIN_RADIUS_M = 5.4


@dataclass
class LaneTable:
    """Lanes as they are made: by id, and by edge and direction (leftmost first)."""

    lanes: list[Lane] = field(default_factory=list)
    by_edge: dict[tuple[int, bool], list[int]] = field(default_factory=dict)

    def arriving(self, leg: Leg) -> list[int]:
        """Lanes of a leg that lead into its junction, leftmost first."""
        return self.by_edge[leg.edge.edge_id, not leg.starts]

    def leaving(self, leg: Leg) -> list[int]:
        return self.by_edge[leg.edge.edge_id, leg.starts]


def build_lanes(roads: Roads) -> LaneTable:
    """All lanes and connectors, linked both ways; intersections are numbered as ``roads.junctions`` is."""
    table = LaneTable()
    for stretch in roads.stretches:
        for forward in (True, False):
            offsets = stretch.edge.section.lane_offsets_m(forward=forward)
            first = len(table.lanes)
            ids = [first + i for i in range(len(offsets))]
            table.by_edge[stretch.edge.edge_id, forward] = ids
            for i, offset in enumerate(offsets):
                ends = (stretch.start_m, stretch.end_m) if forward else (stretch.end_m, stretch.start_m)
                table.lanes.append(_make_lane(stretch.edge, ends, offset, ids=ids, i=i))
    for k, junction in enumerate(roads.junctions):
        for start, end, turn in _movements(junction, table):
            _connect(table, start, end, turn=turn, junction=junction, intersection=k)
    return table


def _make_lane(edge: Edge, ends: tuple[float, float], offset_m: float, *, ids: list[int], i: int) -> Lane:
    line = edge.curve(*ends, offset_m=offset_m, step_m=STEP_M * 0.9)
    if ends[0] > ends[1]:
        line[:, 2] += np.pi
    line[:, 2] = _wrapped(line[:, 2])
    return Lane(
        lane_id=ids[i],
        centerline=line,
        width_m=edge.section.lane_width_m,
        speed_limit_mps=edge.section.speed_limit_mps,
        successors=(),
        predecessors=(),
        left=ids[i - 1] if i > 0 else None,
        right=ids[i + 1] if i + 1 < len(ids) else None,
        intersection=None,
        road=edge.street,
    )


def _movements(junction: Junction, table: LaneTable) -> list[tuple[int, int, Turn]]:
    """Which lane leads to which at a junction, so that no lane is a dead end and none cannot be reached."""
    found: list[tuple[int, int, Turn]] = []
    for leg in junction.legs:
        sources = table.arriving(leg)
        others = [other for other in junction.legs if other is not leg and table.leaving(other)]
        options: list[tuple[Turn, list[int]]] = [(_turn(leg, other), table.leaving(other)) for other in others]
        for turn, targets in options:
            found += _pair(sources, targets, turn)
        for i, source in enumerate(sources):
            if not any(a == source for a, _, _ in found):
                wanted = ("right", "straight", "left") if i else ("left", "straight", "right")
                turn, targets = min(options, key=lambda option: wanted.index(option[0]))
                found.append((source, targets[min(i, len(targets) - 1)], turn))
    for leg in junction.legs:
        for i, target in enumerate(table.leaving(leg)):
            if any(b == target for _, b, _ in found):
                continue
            others = [other for other in junction.legs if other is not leg and table.arriving(other)]
            ways: list[tuple[Turn, list[int]]] = [(_turn(other, leg), table.arriving(other)) for other in others]
            turn, sources = min(ways, key=lambda option: ("straight", "right", "left").index(option[0]))
            found.append((sources[min(i, len(sources) - 1)], target, turn))
    return found


def _pair(sources: list[int], targets: list[int], turn: Turn) -> list[tuple[int, int, Turn]]:
    if not sources:
        return []
    if turn == "left":
        return [(sources[0], targets[0], turn)]
    if turn == "right":
        return [(sources[-1], targets[-1], turn)]
    if len(targets) < len(sources):  # the rightmost lanes go on, the others turn
        return [(source, target, turn) for source, target in zip(sources[-len(targets) :], targets, strict=True)]
    return [(source, targets[i], turn) for i, source in enumerate(sources)]


def _turn(coming: Leg, going: Leg) -> Turn:
    change = (going.angle_rad - (coming.angle_rad + np.pi) + np.pi) % (2 * np.pi) - np.pi
    return "straight" if abs(change) < np.deg2rad(45) else "left" if change > 0 else "right"


def _connect(table: LaneTable, start: int, end: int, *, turn: Turn, junction: Junction, intersection: int) -> None:
    a, b = table.lanes[start], table.lanes[end]
    lane_id = len(table.lanes)
    table.lanes.append(
        Lane(
            lane_id=lane_id,
            centerline=_connector_line(a.centerline[-1], b.centerline[0], junction),
            width_m=min(a.width_m, b.width_m),
            speed_limit_mps=min(a.speed_limit_mps, b.speed_limit_mps, TURN_SPEED_MPS[turn]),
            successors=(end,),
            predecessors=(start,),
            left=None,
            right=None,
            intersection=intersection,
            turn=turn,
        )
    )
    table.lanes[start] = replace(a, successors=(*a.successors, lane_id))
    table.lanes[end] = replace(b, predecessors=(*b.predecessors, lane_id))


def _connector_line(start: Float[ndarray, "3"], end: Float[ndarray, "3"], junction: Junction) -> Float[ndarray, "n 3"]:
    """A turn is straight, arc, straight with the widest arc that keeps off the kerb; a way on is one cubic curve."""
    d0, d1 = (np.array([np.cos(pose[2]), np.sin(pose[2])]) for pose in (start, end))
    gap = end[:2] - start[:2]
    cross = d0[0] * d1[1] - d0[1] * d1[0]
    if abs(cross) < 0.3:
        return _cubic_line(start[:2], d0, end[:2], d1)
    # The tangents meet: so far after the start, so far before the end.
    before = float(gap[0] * d1[1] - gap[1] * d1[0]) / cross
    after = float(gap[1] * d0[0] - gap[0] * d0[1]) / cross
    if min(before, after) < 1.0:
        return _cubic_line(start[:2], d0, end[:2], d1)
    turn = float(_wrapped(end[2] - start[2]))
    corners = shapely.MultiPolygon(list(junction.corners))
    narrow, radius = MIN_RADIUS_M, min(before, after) / np.tan(abs(turn) / 2)
    line = _arc_line(start, before, after, turn_rad=turn, radius_m=radius)
    while shapely.LineString(line[:, :2]).distance(corners) < KERB_CLEARANCE_M and radius > narrow:
        radius = max(narrow, radius - 0.5)
        line = _arc_line(start, before, after, turn_rad=turn, radius_m=radius)
    return line


def _arc_line(
    start: Float[ndarray, "3"], before_m: float, after_m: float, *, turn_rad: float, radius_m: float
) -> Float[ndarray, "n 3"]:
    """Straight, arc, straight from a pose to a turn; ``before_m`` and ``after_m`` lead to where the tangents meet."""
    reach = radius_m * np.tan(abs(turn_rad) / 2)
    arc = radius_m * abs(turn_rad)
    lead = before_m - reach
    total = lead + arc + after_m - reach
    s = np.linspace(0.0, total, max(3, int(np.ceil(total / STEP_M)) + 1))
    swept = np.clip(s - lead, 0.0, arc) / radius_m
    beyond = np.maximum(s - lead - arc, 0.0)
    sign = np.sign(turn_rad)
    ahead = np.minimum(s, lead) + radius_m * np.sin(swept) + beyond * np.cos(turn_rad)
    left = sign * radius_m * (1 - np.cos(swept)) + beyond * np.sin(turn_rad)
    c, n = np.cos(start[2]), np.sin(start[2])
    x, y = start[0] + ahead * c - left * n, start[1] + ahead * n + left * c
    return np.column_stack([x, y, _wrapped(start[2] + sign * swept)])


def _cubic_line(p0: ndarray, d0: ndarray, p3: ndarray, d3: ndarray) -> ndarray:
    t = np.linspace(0.0, 1.0, 400)[:, None]
    handle = float(np.hypot(*(p3 - p0))) / 3
    p1, p2 = p0 + handle * d0, p3 - handle * d3
    xy = (1 - t) ** 3 * p0 + 3 * (1 - t) ** 2 * t * p1 + 3 * (1 - t) * t**2 * p2 + t**3 * p3
    velocity = 3 * (1 - t) ** 2 * (p1 - p0) + 6 * (1 - t) * t * (p2 - p1) + 3 * t**2 * (p3 - p2)
    yaw = np.unwrap(np.arctan2(velocity[:, 1], velocity[:, 0]))
    station = np.concatenate([[0.0], np.cumsum(np.hypot(*np.diff(xy, axis=0).T))])
    s = np.linspace(0.0, station[-1], max(3, int(np.ceil(station[-1] / STEP_M)) + 1))
    line = np.stack([np.interp(s, station, column) for column in (xy[:, 0], xy[:, 1], yaw)], axis=1)
    line[:, 2] = _wrapped(line[:, 2])
    return line


def _wrapped(yaw: ndarray | float) -> ndarray | float:
    return np.pi - (np.pi - yaw) % (2 * np.pi)
