"""Who goes first: crossings, stop lines, traffic lights and signs at junctions, and crossings between them."""

from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np
import shapely
from jaxtyping import Float
from numpy import ndarray
from shapely import Point

from sceneminer.data.synth.layout_lanes import LaneTable
from sceneminer.data.synth.roads import CROSSING_M, Junction, Leg, Roads, Stretch, ribbon, ring
from sceneminer.data.synth.scene import KERB_M, Crossing, Prop, Signal, StopLine
from sceneminer.data.synth.streets import RANK

Cue = Literal["TRAFFIC_LIGHT", "STOP_SIGN", "YIELD", "PED_CROSSING", "TURN_STOP"]
AMBER_S = 3.0
"""As in ``Signal.state``."""
ALL_RED_S = 2.0
STOP_LINE_M = 0.45
SIGN_RGB = {"stop_sign": (0.70, 0.08, 0.08), "yield_sign": (0.85, 0.85, 0.82)}
POLE_RGB = (0.28, 0.29, 0.30)


@dataclass
class Control:
    """What rules the traffic; lanes in the table get their stop line and signal."""

    crossings: list[Crossing] = field(default_factory=list)
    stop_lines: list[StopLine] = field(default_factory=list)
    signals: list[Signal] = field(default_factory=list)
    props: list[Prop] = field(default_factory=list)
    mid_crossings: dict[int, float] = field(default_factory=dict)
    """Station of a crossing between junctions, by edge."""


def build_control(roads: Roads, table: LaneTable, rng: np.random.Generator) -> Control:
    """Crossings, stop lines, signals and their poles and signs; conflicting approaches never have green together."""
    control = Control()
    for k, junction in enumerate(roads.junctions):
        cues = _cues(junction, rng)
        control.crossings += [_leg_crossing(leg, k) for leg in junction.legs if leg.crossing]
        signals = _add_signals(control, junction, rng) if "TRAFFIC_LIGHT" in cues else [None] * len(cues)
        for leg, cue, signal in zip(junction.legs, cues, signals, strict=True):
            if cue and table.arriving(leg):
                _add_stop_line(control, table, leg, cue=cue, signal=signal)
                _add_sign(control, junction, leg, cue)
    for stretch in roads.stretches:
        _maybe_cross_between(control, stretch, rng)
    return control


def _cues(junction: Junction, rng: np.random.Generator) -> list[Cue | None]:
    """What makes drivers stop on each leg: lights at big junctions, else the smaller road gives way."""
    ranks = [RANK[leg.section.road_class] for leg in junction.legs]
    streets = {leg.edge.street: rank for leg, rank in zip(junction.legs, ranks, strict=True)}
    second = sorted(ranks)[-3] if len(ranks) > 2 else 0
    chance = {3: 1.0, 2: 0.3}.get(max(ranks), 0.0) * {3: 1.0, 2: 1.0, 1: 0.4}.get(second, 0.0)
    if len(streets) > 1 and rng.random() < chance:
        return ["TRAFFIC_LIGHT"] * len(ranks)
    minor: Cue = "STOP_SIGN" if rng.random() < 0.65 else "YIELD"
    if len(ranks) == 4 and min(ranks) == max(ranks):
        return ["STOP_SIGN"] * 4
    main = _main_street(junction)
    return [("PED_CROSSING" if leg.crossing else None) if leg.edge.street in main else minor for leg in junction.legs]


def _main_street(junction: Junction) -> set[int]:
    """The street that has the right of way: the biggest that runs through, the stem of a T never."""
    through = [leg for leg in junction.legs if any(_opposite(leg, other) for other in junction.legs)]
    best = max(through, key=lambda leg: RANK[leg.section.road_class])
    return {leg.edge.street for leg in through if leg is best or _opposite(leg, best)}


def _opposite(a: Leg, b: Leg) -> bool:
    return bool(abs((a.angle_rad - b.angle_rad) % (2 * np.pi) - np.pi) < np.deg2rad(40))


def _leg_crossing(leg: Leg, intersection: int) -> Crossing:
    low, high = leg.crossing_m - CROSSING_M / 2, leg.crossing_m + CROSSING_M / 2
    section = leg.section
    area = ribbon(leg.edge, leg.station(low), leg.station(high), left_m=section.left_m, right_m=-section.right_m)
    axis = np.stack([leg.point(leg.crossing_m, -leg.right_m), leg.point(leg.crossing_m, leg.left_m)])
    return Crossing(ring(area), axis, intersection)


def _add_stop_line(control: Control, table: LaneTable, leg: Leg, *, cue: Cue, signal: int | None) -> None:
    ids = table.arriving(leg)
    ends = np.stack([table.lanes[i].centerline[-1] for i in ids])
    half = table.lanes[ids[0]].width_m / 2 - 0.1
    yaw = ends[0, 2]
    ahead, to_left = np.array([np.cos(yaw), np.sin(yaw)]), np.array([-np.sin(yaw), np.cos(yaw)])
    left, right = ends[0, :2] + half * to_left, ends[-1, :2] - half * to_left
    area = np.stack([right - STOP_LINE_M * ahead, right, left, left - STOP_LINE_M * ahead])
    for i in ids:
        table.lanes[i] = replace(table.lanes[i], stop_line=len(control.stop_lines), signal=signal)
    control.stop_lines.append(StopLine(area, cue))


def _add_signals(control: Control, junction: Junction, rng: np.random.Generator) -> list[int]:
    """Two phases: opposite legs have green together (who turns left waits), the others then."""
    first = [leg is junction.legs[0] or _opposite(leg, junction.legs[0]) for leg in junction.legs]
    greens = [float(rng.uniform(14.0, 26.0)), float(rng.uniform(10.0, 20.0))]
    cycle = sum(greens) + 2 * (AMBER_S + ALL_RED_S)
    offset = float(rng.uniform(0.0, cycle))
    ids = []
    for leg, is_first in zip(junction.legs, first, strict=True):
        green = greens[0] if is_first else greens[1]
        shift = offset if is_first else offset - (greens[0] + AMBER_S + ALL_RED_S)
        yaw = float(leg.angle_rad)
        ids.append(len(control.signals))
        for right in (True, False)[: 2 if leg.section.road_class == "arterial" else 1]:
            place = _pole_place(control, junction, leg, right=right)
            height = 5.2 if leg.section.road_class == "arterial" else 3.4
            at = np.array([*place, height])
            control.signals.append(Signal(at, yaw, cycle, green, float(shift % cycle)))
            pose = np.array([*place, KERB_M, yaw])
            control.props.append(Prop("traffic_light", pose, (0.35, 0.35, height + 0.6), POLE_RGB, len(ids)))
    return ids


def _pole_place(control: Control, junction: Junction, leg: Leg, *, right: bool) -> Float[ndarray, "2"]:
    """On the pavement beyond the junction, to the right or left of the approach."""
    inward = -np.array([np.cos(leg.angle_rad), np.sin(leg.angle_rad)])
    to_right = np.array([inward[1], -inward[0]])
    node = leg.point(0.0, 0.0)
    across = max(max(other.left_m, other.right_m) for other in junction.legs if not _opposite(leg, other))
    side = max(leg.left_m, leg.right_m) + 1.0
    return _on_pavement(control, junction, node + inward * (across + 1.5) + to_right * (side if right else -side))


def _on_pavement(control: Control, junction: Junction, wish: Float[ndarray, "2"]) -> Float[ndarray, "2"]:
    """The nearest place on a junction's pavements off the kerb, off the ways of walkers and apart from other poles."""
    corners = shapely.MultiPolygon(list(junction.corners))
    room = corners.difference(shapely.buffer(junction.area, 0.4)).intersection(shapely.buffer(junction.area, 0.7))
    axes = [shapely.LineString(crossing.axis) for crossing in control.crossings]
    taken = [shapely.buffer(axis, 2.2) for axis in axes if corners.distance(axis) < 0.1]
    poles = [Point(prop.pose[:2]) for prop in control.props]
    taken += [shapely.buffer(pole, 0.6) for pole in poles if corners.distance(pole) < 0.1]
    for area in taken:
        room = shapely.difference(room, area)
    return shapely.get_coordinates(shapely.shortest_line(Point(wish), room))[-1]


def _add_sign(control: Control, junction: Junction, leg: Leg, cue: Cue) -> None:
    kind = {"STOP_SIGN": "stop_sign", "YIELD": "yield_sign"}.get(cue)
    if kind is None:
        return
    # Drivers come in on the left of the leg as seen from the junction: their right is that kerb.
    x, y = _on_pavement(control, junction, leg.point(leg.cut_m, leg.left_m + 0.55))
    pose = np.array([x, y, KERB_M, leg.angle_rad])
    control.props.append(Prop(kind, pose, (0.1, 0.75, 2.6), SIGN_RGB[kind], len(control.props)))


def _maybe_cross_between(control: Control, stretch: Stretch, rng: np.random.Generator) -> None:
    """A zebra in the middle of a long street, now and then; not where a median is in the way."""
    section, edge = stretch.edge.section, stretch.edge
    coin, share = rng.random(), rng.uniform(0.4, 0.6)
    length = stretch.end_m - stretch.start_m
    if length < 70.0 or coin > 0.3 or section.median_m > 0 or section.road_class == "lot":
        return
    middle = stretch.start_m + share * length
    area = ribbon(
        edge, middle - CROSSING_M / 2, middle + CROSSING_M / 2, left_m=section.left_m, right_m=-section.right_m
    )
    axis = np.stack([edge.at(middle, offset_m=-section.right_m)[:2], edge.at(middle, offset_m=section.left_m)[:2]])
    control.crossings.append(Crossing(ring(area), axis, None))
    control.mid_crossings[edge.edge_id] = middle
