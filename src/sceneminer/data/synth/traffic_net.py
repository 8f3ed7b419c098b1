"""The road network as traffic sees it: which connectors cross, where to stop, where a lane meets a crossing."""

from dataclasses import dataclass, field, replace

import numpy as np
import shapely
from jaxtyping import Float
from numpy import ndarray

from sceneminer.data.synth.lane_path import lane_at, lane_stations
from sceneminer.data.synth.scene import Lane, Town

CONFLICT_M = 2.6
"""Two connectors conflict where their centre lines come this close."""
Span = tuple[float, float]


@dataclass(frozen=True)
class Zebra:
    """Where a lane runs over a pedestrian crossing."""

    start_m: float
    end_m: float
    crossing: int
    along_m: float
    """How far along the crossing's axis the lane's centre line passes."""


@dataclass(frozen=True)
class Blockage:
    """Something that stands still in or beside a lane, in that lane's coordinates (lateral: positive to the left)."""

    start_m: float
    end_m: float
    right_m: float
    left_m: float
    kind: str
    """parked_obstruction, construction or kerb."""
    actor: int


@dataclass
class RoadNet:
    """A Town's lanes with what drivers must know about them; answers are worked out when first asked for."""

    town: Town
    lanes: dict[int, Lane]
    stations: dict[int, Float[ndarray, "_n"]]
    mid_xy: Float[ndarray, "n 2"]
    ids: ndarray
    blockages: dict[int, list[Blockage]] = field(default_factory=dict)
    _zebras: dict[int, tuple[Zebra, ...]] = field(default_factory=dict)
    _conflicts: dict[tuple[int, int], tuple[Span, Span] | None] = field(default_factory=dict)
    _stops: dict[int, float] = field(default_factory=dict)
    _reach: dict[int, float] = field(default_factory=dict)


def build_road_net(town: Town) -> RoadNet:
    """Index the lanes of a town."""
    lanes = {lane.lane_id: lane for lane in town.lanes}
    stations = {lane.lane_id: lane_stations(lane) for lane in town.lanes}
    mid = np.array([lane.centerline[len(lane.centerline) // 2, :2] for lane in town.lanes])
    return RoadNet(town, lanes, stations, mid, np.array([lane.lane_id for lane in town.lanes], np.int32))


def without_blockages(net: RoadNet) -> RoadNet:
    """The same roads with nothing standing on them; what was worked out about them is shared."""
    return replace(net, blockages={})


def lane_length(net: RoadNet, lane_id: int) -> float:
    return float(net.stations[lane_id][-1])


def lane_pose(net: RoadNet, lane_id: int, station_m: float) -> tuple[float, float, float]:
    """x, y and yaw at one station of a lane."""
    x, y, yaw = lane_at(net.lanes[lane_id], np.array([station_m]))
    return float(x[0]), float(y[0]), float(yaw[0])


def to_lane(net: RoadNet, lane_id: int, xy: Float[ndarray, "n 2"]) -> tuple[Float[ndarray, "n"], Float[ndarray, "n"]]:
    """Arc length along a lane and offset to its left of points near it; past its ends the lane goes on straight."""
    line, stations = net.lanes[lane_id].centerline, net.stations[lane_id]
    nearest = np.argmin(np.sum((xy[:, None] - line[None, :, :2]) ** 2, -1), axis=1)
    yaw = line[nearest, 2]
    delta = xy - line[nearest, :2]
    c, s = np.cos(yaw), np.sin(yaw)
    return stations[nearest] + delta[:, 0] * c + delta[:, 1] * s, -delta[:, 0] * s + delta[:, 1] * c


def lane_zebras(net: RoadNet, lane_id: int) -> tuple[Zebra, ...]:
    """The crossings that a lane or connector runs over, in order."""
    if lane_id not in net._zebras:
        line, stations = net.lanes[lane_id].centerline, net.stations[lane_id]
        found = []
        middles = np.array([crossing.axis.mean(0) for crossing in net.town.crossings]).reshape(-1, 2)
        close = np.min(np.sum((line[:, None, :2] - middles[None]) ** 2, -1), axis=0) < 30.0**2
        for k in np.flatnonzero(close).tolist():
            crossing = net.town.crossings[k]
            axis = crossing.axis
            span = float(np.linalg.norm(axis[1] - axis[0]))
            if np.min(np.sum((line[:, :2] - axis.mean(0)) ** 2, -1)) > (span / 2 + 3.0) ** 2:
                continue
            inside = np.flatnonzero(shapely.contains_xy(shapely.Polygon(crossing.polygon), line[:, 0], line[:, 1]))
            if len(inside):
                middle = line[inside[len(inside) // 2], :2]
                along = float((middle - axis[0]) @ (axis[1] - axis[0]) / max(span, 1e-6))
                found.append(Zebra(float(stations[inside[0]]), float(stations[inside[-1]]), k, along))
        net._zebras[lane_id] = tuple(sorted(found, key=lambda z: z.start_m))
    return net._zebras[lane_id]


def stop_station(net: RoadNet, lane_id: int) -> float:
    """Where, along an approach lane, a car's front should stop before the intersection."""
    if lane_id not in net._stops:
        lane, length = net.lanes[lane_id], lane_length(net, lane_id)
        stop = length - 0.8
        if lane.stop_line is not None:
            along, aside = to_lane(net, lane_id, net.town.stop_lines[lane.stop_line].polygon)
            near = along[np.abs(aside) < lane.width_m + 1.0]
            if len(near) and near.min() > 0.3 * length:
                stop = min(stop, float(near.min()) - 0.5)
        for zebra in lane_zebras(net, lane_id):
            if zebra.start_m > length - 18.0:
                stop = min(stop, zebra.start_m - 0.8)
        net._stops[lane_id] = max(stop, 0.0)
    return net._stops[lane_id]


def conflict(net: RoadNet, a: int, b: int) -> tuple[Span, Span] | None:
    """Where two connectors come too close: the span along each of them, or None."""
    key = (min(a, b), max(a, b))
    if key not in net._conflicts:
        net._conflicts[key] = _find_conflict(net, *key)
    spans = net._conflicts[key]
    return spans if spans is None or a == key[0] else (spans[1], spans[0])


def _find_conflict(net: RoadNet, a: int, b: int) -> tuple[Span, Span] | None:
    if a == b or set(net.lanes[a].predecessors) & set(net.lanes[b].predecessors):
        return None  # from one lane they part: following distance is enough
    la, lb = net.lanes[a].centerline, net.lanes[b].centerline
    close = np.hypot(la[:, None, 0] - lb[None, :, 0], la[:, None, 1] - lb[None, :, 1]) < CONFLICT_M
    if not close.any():
        return None
    at_a, at_b = np.flatnonzero(close.any(1)), np.flatnonzero(close.any(0))
    sa, sb = net.stations[a], net.stations[b]
    return (float(sa[at_a[0]]), float(sa[at_a[-1]])), (float(sb[at_b[0]]), float(sb[at_b[-1]]))


def right_of_way(net: RoadNet, approach: int, connector: int) -> float:
    """Rank of a movement: larger goes first. Left turns yield to oncoming traffic, minor roads to major ones."""
    lane, link = net.lanes[approach], net.lanes[connector]
    cue = "" if lane.stop_line is None else net.town.stop_lines[lane.stop_line].cue
    rank = {"STOP_SIGN": 0.0, "YIELD": 1.0}.get(cue, 2.0)
    return rank + {"straight": 0.5, "right": 0.4, "left": 0.0}[link.turn]


def reach(net: RoadNet, lane_id: int, *, depth: int = 7) -> float:
    """How far one can drive from the start of a lane before leaving the town, in metres, looking ``depth`` lanes on."""
    key = lane_id * 16 + depth
    if key not in net._reach:
        onward = [reach(net, n, depth=depth - 1) for n in net.lanes[lane_id].successors] if depth else []
        net._reach[key] = lane_length(net, lane_id) + max(onward, default=0.0)
    return net._reach[key]


def block_lanes(net: RoadNet, corners: Float[ndarray, "k 2"], *, kind: str, actor: int) -> None:
    """Tell every lane near a standing obstacle where it stands."""
    middle = corners.mean(0)
    ring = np.concatenate([corners, (corners + np.roll(corners, -1, 0)) / 2])
    for lane_id, lane in net.lanes.items():
        line = lane.centerline
        if np.min(np.sum((line[:, :2] - middle) ** 2, -1)) > (3.0 + np.ptp(corners, axis=0).max()) ** 2:
            continue
        along, aside = to_lane(net, lane_id, ring)
        near = (along > -6.0) & (along < lane_length(net, lane_id) + 6.0)
        if near.any() and aside[near].min() < 1.6 and aside[near].max() > -1.6:
            spot = Blockage(
                float(along[near].min()),
                float(along[near].max()),
                float(aside[near].min()),
                float(aside[near].max()),
                kind,
                actor,
            )
            net.blockages.setdefault(lane_id, []).append(spot)
