"""Which lanes of a map somebody is on, going their way."""

from collections.abc import Sequence

import numpy as np
import shapely

from sceneminer.data.hdmap import MapLane

LANE_HEADING_RAD = np.deg2rad(40.0)
"""A lane that crosses somebody's way by more than this is not theirs."""


def runs_along(lane: MapLane, here: shapely.Point, yaw_rad: float) -> bool:
    """Whether the lane goes the way of somebody who is there and heads there, within 40 degrees."""
    line = shapely.LineString(lane.centerline)
    s = line.project(here)
    a, b = line.interpolate(max(s - 1.0, 0.0)), line.interpolate(min(s + 1.0, line.length))
    heading = np.arctan2(b.y - a.y, b.x - a.x)
    return bool(abs((heading - yaw_rad + np.pi) % (2 * np.pi) - np.pi) < LANE_HEADING_RAD)


def own_lanes(tree: shapely.STRtree, lanes: Sequence[MapLane], x_m: float, y_m: float, yaw_rad: float) -> set[int]:
    """Numbers of the lanes, with their polygons in ``tree``, that somebody is on and that go their way."""
    if not np.isfinite(x_m):
        return set()
    here = shapely.Point(x_m, y_m)
    return {int(k) for k in tree.query(here, predicate="intersects") if runs_along(lanes[k], here, yaw_rad)}
