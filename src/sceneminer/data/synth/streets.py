"""The street plan: straight streets that divide a square, bent by a smooth map into the town's frame.

Dividing the square again and again gives blocks of varied size with T- and four-way junctions. The bend is a conformal
polynomial (junctions stay square whatever the curve) with shallow waves on top for streets that wind.
"""

import itertools
from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from sceneminer.data.synth.layout_bend import Bend, bent_line, draw_bend
from sceneminer.data.synth.scene import Style

RoadClass = Literal["arterial", "collector", "local", "lot"]
RANK = {"lot": 0, "local": 1, "collector": 2, "arterial": 3}
SPEED_LIMITS_MPS: dict[RoadClass, tuple[float, ...]] = {
    "arterial": (15.3, 16.7),
    "collector": (12.5, 13.9),
    "local": (8.3, 9.7, 11.1),
    "lot": (8.0,),
}
MIN_GAP_M = 62.0
"""Junctions on one street are at least this far apart in the plan, so that lanes fit between them."""
LOT_GAP_M = 46.0
"""The same for the ways in and out of parking lots."""
MAX_LOTS = 3
MAX_LOT_M = 125.0
LOT_SHARE = 0.5
"""Of the blocks that may hold a parking lot."""
SNAP_SHARE = 0.5
"""How often a street goes on where another one ends, so that four ways meet."""
EDGE_GAP_M = 40.0
"""The same from a junction to the edge of the town."""


@dataclass(frozen=True)
class Section:
    """Cross-section of a street; lateral offsets are positive to the left of its direction."""

    road_class: RoadClass
    lanes_forward: int
    lanes_backward: int
    lane_width_m: float
    median_m: float
    parking_left_m: float
    parking_right_m: float
    walk_m: float
    speed_limit_mps: float

    @property
    def one_way(self) -> bool:
        return self.lanes_backward == 0

    @property
    def left_lanes_m(self) -> float:
        """Offset of the left edge of the lanes, where parking may begin."""
        if self.one_way:
            return self.lanes_forward * self.lane_width_m / 2
        return self.median_m / 2 + self.lanes_backward * self.lane_width_m

    @property
    def right_lanes_m(self) -> float:
        """Offset of the right edge of the lanes, as a positive number."""
        if self.one_way:
            return self.lanes_forward * self.lane_width_m / 2
        return self.median_m / 2 + self.lanes_forward * self.lane_width_m

    @property
    def left_m(self) -> float:
        return self.left_lanes_m + self.parking_left_m

    @property
    def right_m(self) -> float:
        return self.right_lanes_m + self.parking_right_m

    def lane_offsets_m(self, *, forward: bool) -> list[float]:
        """Offsets of the lanes of one direction, leftmost first as its drivers see it."""
        w = self.lane_width_m
        if self.one_way:
            return [self.left_lanes_m - (i + 0.5) * w for i in range(self.lanes_forward)] if forward else []
        side = -1.0 if forward else 1.0
        count = self.lanes_forward if forward else self.lanes_backward
        return [side * (self.median_m / 2 + (i + 0.5) * w) for i in range(count)]


@dataclass(frozen=True)
class Street:
    """A straight line of the plan: at ``fixed`` on one axis, from ``low`` to ``high`` along the other."""

    along: Literal[0, 1]
    fixed: float
    low: float
    high: float
    section: Section
    reverse: bool

    def point(self, t: float) -> tuple[float, float]:
        return (t, self.fixed) if self.along == 0 else (self.fixed, t)


@dataclass(frozen=True)
class Edge:
    """A stretch of a street between two nodes, bent into the town's frame."""

    edge_id: int
    street: int
    section: Section
    start: int
    end: int
    line: Float[ndarray, "n 4"]
    """x, y, unwrapped yaw, station; every 0.25 m or so."""

    @property
    def length_m(self) -> float:
        return float(self.line[-1, 3])

    def at(self, station_m: ndarray | float, *, offset_m: float = 0.0) -> Float[ndarray, "*n 3"]:
        """x, y and yaw at stations along the edge, moved to the left by ``offset_m``."""
        x, y, yaw = (np.interp(station_m, self.line[:, 3], self.line[:, i]) for i in range(3))
        return np.stack([x - offset_m * np.sin(yaw), y + offset_m * np.cos(yaw), yaw], axis=-1)

    def curve(self, start_m: float, end_m: float, *, offset_m: float = 0.0, step_m: float = 0.9) -> ndarray:
        """Poses from one station to another (either way round), ``step_m`` apart or less along the edge itself."""
        count = max(2, int(np.ceil(abs(end_m - start_m) / step_m)) + 1)
        return self.at(np.linspace(start_m, end_m, count), offset_m=offset_m)


@dataclass(frozen=True)
class Node:
    """Where streets meet, or where one leaves the town (then it has one edge)."""

    xy: Float[ndarray, "2"]
    edges: tuple[tuple[int, bool], ...]
    """Edge id, and whether the edge starts here."""


@dataclass(frozen=True)
class Plan:
    streets: tuple[Street, ...]
    edges: tuple[Edge, ...]
    nodes: tuple[Node, ...]
    outline: Float[ndarray, "n 2"]
    """The edge of the town, counter-clockwise."""


Cell = tuple[float, float, float, float]


def draw_plan(style: Style, rng: np.random.Generator) -> Plan:
    """Draw the streets of a town: a plan in a square of about 340 to 420 m, bent by ``style.curvature``."""
    half_m = float(rng.uniform(172.0, 212.0))
    streets, cells = _arterials(style, half_m, rng)
    while cells:
        _split(cells.pop(0), streets, cells, style=style, half_m=half_m, rng=rng)
    return _bend_plan(streets, half_m, draw_bend(style.curvature, half_m, rng), style.curvature, rng)


def _arterials(style: Style, half_m: float, rng: np.random.Generator) -> tuple[list[Street], list[Cell]]:
    u, v = rng.uniform(-0.35, 0.35, 2) * half_m
    streets = [
        Street(1, float(u), -half_m, half_m, _draw_section("arterial", style, rng), False),
        Street(0, float(v), -half_m, half_m, _draw_section("arterial", style, rng), False),
    ]
    if rng.random() < 0.6:  # many towns have one big street only
        streets[1] = Street(0, float(v), -half_m, half_m, _draw_section("collector", style, rng), False)
    cells = [(a, b, c, d) for a, b in ((-half_m, u), (u, half_m)) for c, d in ((-half_m, v), (v, half_m))]
    return streets, [(float(a), float(b), float(c), float(d)) for a, b, c, d in cells]


def _split(
    cell: Cell, streets: list[Street], cells: list[Cell], *, style: Style, half_m: float, rng: np.random.Generator
) -> None:
    """Divide a cell by a street across its longer side (else across the other), or by a parking lot, or not at all."""
    u0, u1, v0, v1 = cell
    longer: Literal[0, 1] = 1 if (u1 - u0) > (v1 - v0) * rng.uniform(0.8, 1.25) else 0
    enough = style.block_m * float(rng.uniform(1.15, 1.55))
    for along in (longer, 1 - longer):
        low, high, *ends = (u0, u1, v0, v1) if along == 1 else (v0, v1, u0, u1)
        if high - low < enough:
            continue
        at = _place(streets, low, high, ends=(ends[0], ends[1]), along=along, half_m=half_m, snap=True, rng=rng)
        if at is None:
            continue
        section = _draw_section("collector" if rng.random() < 0.4 else "local", style, rng)
        reverse = section.one_way and rng.random() < 0.5
        streets.append(Street(1 if along else 0, at, ends[0], ends[1], section, bool(reverse)))
        cells += [(u0, at, v0, v1), (at, u1, v0, v1)] if along == 1 else [(u0, u1, v0, at), (u0, u1, at, v1)]
        return
    lots = sum(street.section.road_class == "lot" for street in streets)
    if lots < MAX_LOTS and rng.random() < LOT_SHARE:
        _add_lot(cell, streets, style=style, half_m=half_m, rng=rng)


def _add_lot(cell: Cell, streets: list[Street], *, style: Style, half_m: float, rng: np.random.Generator) -> None:
    u0, u1, v0, v1 = cell
    for along in (0, 1):
        low, high, *ends = (u0, u1, v0, v1) if along == 1 else (v0, v1, u0, u1)
        if half_m in (abs(ends[0]), abs(ends[1])) or ends[1] - ends[0] > MAX_LOT_M:
            continue
        at = _place(streets, low, high, ends=(ends[0], ends[1]), along=along, half_m=half_m, snap=False, rng=rng)
        if at is not None:
            section = _draw_section("lot", style, rng)
            streets.append(Street(1 if along else 0, at, ends[0], ends[1], section, rng.random() < 0.5))
            return


def _place(
    streets: list[Street],
    low: float,
    high: float,
    *,
    ends: tuple[float, float],
    along: int,
    half_m: float,
    snap: bool,
    rng: np.random.Generator,
) -> float | None:
    """Where a new street may run between ``low`` and ``high``; None where every try comes too near to a junction."""
    taken = [s.fixed for s in streets if s.along == along and {s.low, s.high} & {*ends} - {half_m, -half_m}]
    gap = MIN_GAP_M if snap else LOT_GAP_M
    first, last = (side + sign * (EDGE_GAP_M if abs(side) == half_m else gap) for side, sign in ((low, 1), (high, -1)))
    opposite = [t for t in taken if first <= t <= last] if snap else []
    free = [low + (high - low) * float(rng.uniform(0.28, 0.72)) for _ in range(16)]
    free = [t for t in free if first <= t <= last]
    for at in opposite + free if rng.random() < SNAP_SHARE else free + opposite:
        if all((snap and at == t) or abs(at - t) >= gap for t in taken):
            return at
    return None


def _draw_section(road_class: RoadClass, style: Style, rng: np.random.Generator) -> Section:
    limits = SPEED_LIMITS_MPS[road_class]
    limit = limits[int(rng.integers(len(limits)))]
    w, walk = style.lane_width_m, float(rng.uniform(2.6, 3.6))
    one_way, coin, other = rng.random() < 0.25, rng.random(), rng.random()
    if road_class == "arterial":
        median = float(rng.uniform(1.8, 3.5)) if coin < 0.45 else 0.0
        park = 2.5 if other < 0.6 else 0.0
        return Section(road_class, 2, 2, w, median, park, park, walk + 1.0, limit)
    if road_class == "collector":
        return Section(road_class, 2 if one_way else 1, 0 if one_way else 1, w, 0.0, 2.4, 2.4, walk + 0.5, limit)
    if road_class == "lot":
        return Section(road_class, 1, 0, 5.6, 0.0, 0.0, 0.0, 2.0, limit)
    narrow = max(2.7, w - 0.3)
    if one_way:
        return Section(road_class, 1, 0, narrow + 0.3, 0.0, 2.2 if coin < 0.5 else 0.0, 2.2, walk, limit)
    return Section(road_class, 1, 1, narrow, 0.0, 2.2 if coin < 0.35 else 0.0, 2.2 if other < 0.7 else 0.0, walk, limit)


def _bend_plan(streets: list[Street], half_m: float, bend: Bend, curvature: float, rng: np.random.Generator) -> Plan:
    places: dict[tuple[float, float], list[tuple[int, bool]]] = {}
    pieces: list[tuple[int, tuple[float, float], tuple[float, float]]] = []
    for i, street in enumerate(streets):
        stops = {street.low, street.high} | {
            other.fixed
            for other in streets
            if other.along != street.along
            and street.low <= other.fixed <= street.high
            and other.low <= street.fixed <= other.high
        }
        ordered = sorted(stops, reverse=street.reverse)
        pieces += [(i, street.point(a), street.point(b)) for a, b in itertools.pairwise(ordered)]
    for k, (_, a, b) in enumerate(pieces):
        places.setdefault(a, []).append((k, True))
        places.setdefault(b, []).append((k, False))
    index = {place: k for k, place in enumerate(places)}
    edges = tuple(
        Edge(
            k,
            i,
            streets[i].section,
            index[a],
            index[b],
            bent_line(np.array(a), np.array(b), bend, curvature=_bulge(streets[i], curvature), rng=rng),
        )
        for k, (i, a, b) in enumerate(pieces)
    )
    nodes = tuple(Node(bend(np.array([place]))[0], tuple(ends)) for place, ends in places.items())
    t = np.linspace(-half_m, half_m, 101)[:-1]
    h = np.full_like(t, half_m)
    outline = np.concatenate([np.stack(p, 1) for p in ((t, -h), (h, t), (-t, h), (-h, -t))])
    return Plan(tuple(streets), edges, nodes, bend(outline))


def _bulge(street: Street, curvature: float) -> float:
    return 0.0 if street.section.road_class == "lot" else curvature
