"""Tags of who is around: crowds, walkers on the road, riders, buses, lorries."""

import numpy as np
import shapely
from jaxtyping import Bool
from numpy import ndarray

from sceneminer.data.track import VEHICLES
from sceneminer.labels.situation import RATE_HZ, Situation

SEEN_RANGE_M = 40.0
"""A person is about 20 px high there in a 1600×900 camera with 70° view; annotators look hardly further."""
DENSE_RANGE_M = 40.0
DENSE_VEHICLES = 6
"""Of real nuScenes scenes, the one described as "busy intersection" has 6 most of the time, calm ones 1 to 3."""
DENSE_TRAVEL_M = 2.0
CROWD_RANGE_M = 30.0
CROWD_PEOPLE = 10
WALK_MPS = 0.5
"""Boxes of people who stand jitter by up to 0.3 m/s after smoothing."""
WALK_SHARE_S = 0.5
"""For so long in the clip: a box that brushes a polygon for one frame does not."""
KERB_M = 0.7
"""Into the carriageway: half a person and the error of map and box."""
CROSSING_MARGIN_M = 2.0
"""People who cut the corner of a crossing still use it."""
ACROSS_MPS = 0.4
RIDE_MPS = 1.0
LARGE_TRUCK_M = 7.0
"""Longer than pickups and vans (up to 6.5 m), which data sets call trucks too."""


def dense_traffic(at: Situation, span: slice) -> bool | None:
    """On average at least 6 vehicles that take part in traffic are within 40 m. A vehicle does if it moves by 2 m
    while it is seen or is annotated as moving or stopped (not parked). None without tracks or poses.
    """
    if at.ego is None or at.agents is None:
        return None
    active = (at.travelled_m >= DENSE_TRAVEL_M) | at.seen_as("vehicle.moving") | at.seen_as("vehicle.stopped")
    return _mean_count(at, span, at.of(*VEHICLES, "motorcycle") & active, DENSE_RANGE_M) >= DENSE_VEHICLES


def many_pedestrians(at: Situation, span: slice) -> bool | None:
    """On average at least 10 pedestrians are within 30 m. None without tracks or poses."""
    if at.ego is None or at.agents is None:
        return None
    return _mean_count(at, span, at.of("pedestrian"), CROWD_RANGE_M) >= CROWD_PEOPLE


def pedestrian_crossing(at: Situation, span: slice) -> bool | None:
    """A pedestrian within 40 m, not behind ego, walks over a marked crossing for half a second.

    Without the map's crossings: one walks from one side of ego's path ahead to the other. None without tracks or poses.
    """
    if at.ego is None or at.agents is None:
        return None
    crossings = at.area("crossing")
    walks = _walks_ahead(at, span)
    if crossings is None:
        return _changes_side(at, span, walks)
    return _long_enough(walks & _inside(at, span, crossings, walks))


def jaywalker(at: Situation, span: slice) -> bool | None:
    """A pedestrian (no construction worker) within 40 m, not behind ego, walks across the carriageway for 0.5 s,
    at least 0.7 m from its edge and 2 m from any crossing, not in a parking area. Across: at 0.4 m/s sideways to the
    nearest lane. None without tracks, poses, or the map's drivable areas and crossings.
    """
    if at.ego is None or at.agents is None:
        return None
    drivable, crossings = at.area("drivable"), at.area("crossing")
    if drivable is None or crossings is None:
        return None
    apart = shapely.union_all([crossings.buffer(CROSSING_MARGIN_M), *_areas(at, "walkway", "parking")])
    road = shapely.difference(drivable.buffer(-KERB_M), apart)
    walks = _walks_ahead(at, span) & ~at.seen_as("construction_worker")[:, None]
    on_road = walks & _inside(at, span, road, walks)
    return _long_enough(on_road & _goes_across(at, span, on_road))


def cyclist(at: Situation, span: slice) -> bool | None:
    """A bicycle within 40 m is ridden: it moves faster than 1 m/s or is annotated as with a rider.

    None without tracks or poses.
    """
    if at.ego is None or at.agents is None:
        return None
    ridden = (at.speed_mps[:, span] > RIDE_MPS) | at.seen_as("with_rider")[:, None]
    return bool(np.any(_near(at, span, at.of("bicycle"), SEEN_RANGE_M) & ridden))


def two_wheeler(at: Situation, span: slice) -> bool | None:
    """A motorcycle, scooter or personal mobility device is within 40 m, ridden or not. None without tracks or poses."""
    if at.ego is None or at.agents is None:
        return None
    return bool(np.any(_near(at, span, at.of("motorcycle", "personal_mobility"), SEEN_RANGE_M)))


def bus(at: Situation, span: slice) -> bool | None:
    """A bus is within 40 m. None without tracks or poses."""
    if at.ego is None or at.agents is None:
        return None
    return bool(np.any(_near(at, span, at.of("bus"), SEEN_RANGE_M)))


def large_truck(at: Situation, span: slice) -> bool | None:
    """A truck or trailer at least 7 m long is within 40 m. None without tracks or poses."""
    if at.ego is None or at.agents is None:
        return None
    near = _near(at, span, at.of("truck", "trailer"), SEEN_RANGE_M)
    return bool(np.any(near & (at.agents.length_m[:, span] >= LARGE_TRUCK_M)))


def _near(at: Situation, span: slice, who: Bool[ndarray, "a"], within_m: float) -> Bool[ndarray, "a s"]:
    return (np.nan_to_num(at.distance_m[:, span], nan=np.inf) < within_m) & who[:, None]


def _mean_count(at: Situation, span: slice, who: Bool[ndarray, "a"], within_m: float) -> float:
    return float(np.mean(_near(at, span, who, within_m).sum(axis=0)))


def _walks_ahead(at: Situation, span: slice) -> Bool[ndarray, "a s"]:
    near = _near(at, span, at.of("pedestrian"), SEEN_RANGE_M)
    return near & (at.speed_mps[:, span] > WALK_MPS) & (np.nan_to_num(at.offsets_m[0][:, span]) > 0)


def _inside(at: Situation, span: slice, area, which: Bool[ndarray, "a s"]) -> Bool[ndarray, "a s"]:
    """Which of the asked centres lie in an area."""
    assert at.agents is not None
    inside = np.zeros(which.shape, bool)
    shapely.prepare(area)
    inside[which] = shapely.contains_xy(area, at.agents.x_m[:, span][which], at.agents.y_m[:, span][which])
    return inside


def _areas(at: Situation, *layers: str) -> list:
    return [area for area in map(at.area, layers) if area is not None]


def _long_enough(which: Bool[ndarray, "a s"]) -> bool:
    return bool(np.any(which.sum(axis=1) >= WALK_SHARE_S * RATE_HZ))


def _changes_side(at: Situation, span: slice, walks: Bool[ndarray, "a s"]) -> bool:
    """Whether somebody who walks ahead gets from one side of ego's driven path to the other."""
    assert at.ego is not None and at.agents is not None
    body = at.ego.body()
    known = np.flatnonzero(np.isfinite(body.x_m))
    x, y = body.x_m[known], body.y_m[known]
    moved = np.concatenate([[True], np.hypot(np.diff(x), np.diff(y)) > 0.05])
    px, py = x[moved], y[moved]
    # The path goes on straight ahead for as far as anybody is looked at.
    last = known[-1]
    px = np.append(px, body.x_m[last] + SEEN_RANGE_M * np.cos(body.yaw_rad[last]))
    py = np.append(py, body.y_m[last] + SEEN_RANGE_M * np.sin(body.yaw_rad[last]))
    for row in np.flatnonzero(_rows(walks)):
        x, y = at.agents.x_m[row, span][walks[row]], at.agents.y_m[row, span][walks[row]]
        if len(x) > 1 and shapely.LineString(np.stack([x, y], -1)).crosses(shapely.LineString(np.stack([px, py], -1))):
            return True
    return False


def _rows(walks: Bool[ndarray, "a s"]) -> Bool[ndarray, "a"]:
    return walks.sum(axis=1) >= WALK_SHARE_S * RATE_HZ


def _goes_across(at: Situation, span: slice, which: Bool[ndarray, "a s"]) -> Bool[ndarray, "a s"]:
    """Which of the asked walk sideways to the lane nearest to them; all of them where the map has no lanes."""
    assert at.agents is not None and at.hdmap is not None
    if not at.hdmap.lanes or not np.any(which):
        return which
    lines = [shapely.LineString(lane.centerline) for lane in at.hdmap.lanes]
    points = shapely.points(at.agents.x_m[:, span][which], at.agents.y_m[:, span][which])
    nearest = np.array(lines)[shapely.STRtree(lines).nearest(points)]
    s = shapely.line_locate_point(nearest, points)
    ends = [
        shapely.get_coordinates(shapely.line_interpolate_point(nearest, np.maximum(s + d, 0.0))) for d in (-1.0, 1.0)
    ]
    heading = np.arctan2(*(ends[1] - ends[0]).T[::-1])
    vx, vy = at.agents.vx_mps[:, span][which], at.agents.vy_mps[:, span][which]
    across = np.zeros(which.shape, bool)
    across[which] = np.abs(vy * np.cos(heading) - vx * np.sin(heading)) >= ACROSS_MPS
    return across
