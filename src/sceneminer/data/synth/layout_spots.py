"""Places to stand: beside the kerb, in parking lots, at bus stops; and where the road is dug up."""

from dataclasses import dataclass, field

import numpy as np
from shapely import Polygon, STRtree

from sceneminer.data.synth.layout_lanes import LaneTable
from sceneminer.data.synth.roads import Roads, Stretch, ribbon, ring
from sceneminer.data.synth.scene import KERB_M, ConstructionZone, Prop, Spot

STALL_DEPTH_M = 5.2
STALL_WIDTH_M = 2.6
KERB_SPOT_M = 6.3
CLEAR_M = 7.0
"""No parking so near to the cut of a junction or a crossing."""
BUS_STOP_M = 15.0
MIN_BUS_BAY_M = 2.4
MAX_BUS_BOW_M = 0.2
"""How far the kerb of a bus stop may bow: a bus must stand beside its lane, not in it."""
MIN_BUS_STOPS = 3


@dataclass
class Standing:
    """Where vehicles may stand, and what takes their place."""

    spots: list[Spot] = field(default_factory=list)
    lots: list[Polygon] = field(default_factory=list)
    construction: list[ConstructionZone] = field(default_factory=list)
    shelters: list[tuple[Stretch, float, int]] = field(default_factory=list)
    """Street, station and side (1 left, -1 right) of each bus stop."""


def build_standing(
    roads: Roads, table: LaneTable, mid_crossings: dict[int, float], rng: np.random.Generator
) -> Standing:
    """Parking lots, kerb parking, bus stops and 1 to 4 construction zones."""
    standing = Standing()
    for stretch in roads.stretches:
        if stretch.edge.section.road_class == "lot":
            _add_lot(standing, stretch, table)
    _add_construction(standing, roads, table, mid_crossings=mid_crossings, rng=rng)
    sides = [(s, side) for s in roads.stretches for side in (1, -1) if s.edge.section.road_class != "lot"]
    buses = _bus_stops(sides, mid_crossings, rng)
    blocked = STRtree([Polygon(zone.polygon) for zone in standing.construction])
    for stretch, side in sides:
        section = stretch.edge.section
        depth = section.parking_left_m if side > 0 else section.parking_right_m
        if depth == 0:
            continue
        bus = buses.get((stretch.edge.edge_id, side))
        middle = mid_crossings.get(stretch.edge.edge_id)
        taken = [(bus - BUS_STOP_M / 2 - 1.0, bus + BUS_STOP_M / 2 + 1.0)] if bus is not None else []
        taken += [(middle - CLEAR_M, middle + CLEAR_M)] if middle is not None else []
        if bus is not None:
            spot = _kerb_spot(stretch, table, bus, side=side, depth_m=depth, length_m=BUS_STOP_M)
            if not blocked.query(spot_polygon(spot), predicate="intersects").size:
                standing.spots.append(spot)
                standing.shelters.append((stretch, bus, side))
        pitch = KERB_SPOT_M * _inner_stretch(stretch, side * (section.left_m if side > 0 else section.right_m))
        for at in np.arange(stretch.start_m + CLEAR_M + pitch / 2, stretch.end_m - CLEAR_M - pitch / 2, pitch):
            spot = _kerb_spot(stretch, table, float(at), side=side, depth_m=depth, length_m=KERB_SPOT_M - 0.3)
            free = all(at + pitch / 2 < a or at - pitch / 2 > b for a, b in taken)
            if free and not blocked.query(spot_polygon(spot), predicate="intersects").size:
                standing.spots.append(spot)
    return standing


def _inner_stretch(stretch: Stretch, offset_m: float) -> float:
    """How much longer a street's middle is than a line beside it, at most: 1 on the outside of a curve."""
    line = stretch.edge.line
    bend = np.gradient(line[:, 2], line[:, 3])[(line[:, 3] >= stretch.start_m) & (line[:, 3] <= stretch.end_m)]
    return 1.0 / (1.0 - max(0.0, float(np.max(bend * offset_m))))


def spot_polygon(spot: Spot) -> Polygon:
    """The ground a spot takes."""
    c, s = np.cos(spot.yaw_rad), np.sin(spot.yaw_rad)
    corners = np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]]) * [spot.length_m / 2, spot.width_m / 2]
    return Polygon(corners @ np.array([[c, s], [-s, c]]) + [spot.x_m, spot.y_m])


def _kerb_spot(
    stretch: Stretch, table: LaneTable, station_m: float, *, side: int, depth_m: float, length_m: float
) -> Spot:
    """A spot beside the lane that is nearest; who parks looks the way that lane goes."""
    section, edge = stretch.edge.section, stretch.edge
    kerb = section.left_m if side > 0 else -section.right_m
    x, y, yaw = edge.at(station_m, offset_m=kerb - side * depth_m / 2)
    along = side < 0 or section.one_way
    lanes = table.by_edge[edge.edge_id, along]
    lane = lanes[0] if section.one_way and side > 0 else lanes[-1]
    yaw = float(np.pi - (np.pi - (yaw if along else yaw + np.pi)) % (2 * np.pi))
    kind = "bus_stop" if length_m == BUS_STOP_M else "kerb"
    return Spot(float(x), float(y), yaw, length_m, depth_m - 0.2, kind, lane)


def _bus_stops(
    sides: list[tuple[Stretch, int]], mid_crossings: dict[int, float], rng: np.random.Generator
) -> dict[tuple[int, int], float]:
    """Stations of bus stops by edge and side: on bigger roads, just after the junction that the bus leaves."""
    found: dict[tuple[int, int], float] = {}
    for stretch, side in sides:
        section = stretch.edge.section
        parking = section.parking_left_m if side > 0 else section.parking_right_m
        wrong_side = section.one_way and side > 0  # doors are on the right
        room = stretch.end_m - stretch.start_m - 2 * CLEAR_M - BUS_STOP_M
        if wrong_side or parking < MIN_BUS_BAY_M or room < 8.0:
            continue
        lead = CLEAR_M + BUS_STOP_M / 2 + 2.0
        at = stretch.end_m - lead if side > 0 else stretch.start_m + lead
        middle = mid_crossings.get(stretch.edge.edge_id)
        yaws = stretch.edge.at(np.array([at - BUS_STOP_M / 2, at + BUS_STOP_M / 2]))[:, 2]
        straight = abs(float(yaws[1] - yaws[0])) * BUS_STOP_M / 8 < MAX_BUS_BOW_M
        if straight and (middle is None or abs(at - middle) > CLEAR_M + BUS_STOP_M / 2 + 1):
            found[stretch.edge.edge_id, side] = at
    count = max(MIN_BUS_STOPS, round(float(rng.uniform(0.2, 0.5)) * len(found)))
    places = list(found)
    return {places[k]: found[places[k]] for k in sorted(rng.permutation(len(places))[:count])}


def lot_area(stretch: Stretch) -> list[Polygon]:
    """A lot is an aisle with stalls at right angles on both sides, between two streets; other streets have none."""
    if stretch.edge.section.road_class != "lot":
        return []
    reach = stretch.edge.section.left_m + STALL_DEPTH_M
    return [ribbon(stretch.edge, stretch.start_m, stretch.end_m, left_m=reach, right_m=-reach)]


def _add_lot(standing: Standing, stretch: Stretch, table: LaneTable) -> None:
    edge, half = stretch.edge, stretch.edge.section.left_m
    standing.lots += lot_area(stretch)
    lane = table.by_edge[edge.edge_id, True][0]
    room = stretch.end_m - stretch.start_m - 2.0
    reach = half + STALL_DEPTH_M
    pitch = STALL_WIDTH_M * max(_inner_stretch(stretch, reach), _inner_stretch(stretch, -reach))
    count = int(room // pitch)
    first = (stretch.start_m + stretch.end_m - (count - 1) * pitch) / 2
    for i in range(count):
        for side in (1, -1):
            x, y, yaw = edge.at(first + i * pitch, offset_m=side * (half + STALL_DEPTH_M / 2))
            nose = float(np.pi - (np.pi - (yaw + side * np.pi / 2)) % (2 * np.pi))
            standing.spots.append(Spot(float(x), float(y), nose, 5.0, 2.5, "lot", lane))


def _add_construction(
    standing: Standing,
    roads: Roads,
    table: LaneTable,
    *,
    mid_crossings: dict[int, float],
    rng: np.random.Generator,
) -> None:
    long = [s for s in roads.stretches if s.end_m - s.start_m > 46 and s.edge.section.road_class != "lot"]
    long = [s for s in long if s.edge.edge_id not in mid_crossings]
    chosen = rng.permutation(len(long))[: int(rng.integers(1, 5))]
    for k in chosen:
        stretch = long[int(k)]
        section, edge = stretch.edge.section, stretch.edge
        forward = section.one_way or rng.random() < 0.5
        lanes = table.by_edge[edge.edge_id, bool(forward)]
        length = float(rng.uniform(13.0, min(32.0, stretch.end_m - stretch.start_m - 32.0)))
        room = stretch.end_m - stretch.start_m - length
        begin = stretch.start_m + float(rng.uniform(0.4, 0.6)) * room
        # Closed where another lane leads past, else narrowed from the kerb.
        into = section.lane_width_m if len(lanes) > 1 else float(rng.uniform(0.4, 0.8))
        kerb = -section.right_m if forward else section.left_m
        inner = -section.right_lanes_m + into if forward else section.left_lanes_m - into
        area = ribbon(edge, begin, begin + length, left_m=max(kerb, inner), right_m=min(kerb, inner))
        start = begin - stretch.start_m if forward else stretch.end_m - begin - length
        lane = table.lanes[lanes[-1]]
        scale = lane.length_m / (stretch.end_m - stretch.start_m)  # a lane on the outside of a curve is longer
        zone = ConstructionZone(ring(area), lane.lane_id, start * scale, (start + length) * scale)
        standing.construction.append(zone)


def shelter_props(standing: Standing, rng: np.random.Generator) -> list[Prop]:
    """A shelter at each bus stop, at the back of the pavement and open to the street."""
    props = []
    for stretch, station, side in standing.shelters:
        section = stretch.edge.section
        kerb = section.left_m if side > 0 else section.right_m
        x, y, yaw = stretch.edge.at(station, offset_m=side * (kerb + section.walk_m - 0.5))
        facing = yaw - side * np.pi / 2
        gray = float(rng.uniform(0.25, 0.5))
        pose = np.array([x, y, KERB_M, facing])
        props.append(Prop("bus_shelter", pose, (1.1, 4.0, 2.6), (gray, gray, gray + 0.03), int(rng.integers(1 << 30))))
    return props
