"""Tags of ego's own motion."""

import numpy as np
import shapely
from shapely import LineString

from sceneminer.data.track import VEHICLES
from sceneminer.labels.ego import agent_bodies
from sceneminer.labels.measures import headway_s
from sceneminer.labels.situation import RATE_HZ, Situation

TURN_RADIUS_M = 40.0
"""Turns at junctions have radii of 5 to 25 m; bends of city streets that one does not call turns, 60 m and more."""
TURN_RAD = np.deg2rad(12.0)
"""A quarter turn takes about 5 s: 2 s of it change the heading by 36°, a clip that holds a third of that by 12°."""
WAIT_MPS = 0.3
"""Below the noise of speeds from poses and the creep of an automatic gearbox."""
WAIT_SHARE = 0.5
HIGH_SPEED_MPS = 12.5
"""45 km/h: only arterial roads and highways allow it for a whole clip in city recordings."""
LANE_CHANGE_MARGIN_S = 1.0
"""A lane change takes 3 to 5 s; ego is over the divider only for an instant of it."""
LANE_CHANGE_MAX_RAD = np.deg2rad(20.0)
"""Ego crosses the divider at a small angle and keeps its heading, unlike where it turns off."""
FOLLOW_S = 3.0
"""Drivers further behind are free drivers (the Highway Capacity Manual's following threshold)."""
FOLLOW_FROM_MPS = 2.0
FOLLOW_LANE_M = 1.5
FOLLOW_SHARE = 0.5


def ego_turn_left(at: Situation, span: slice) -> bool | None:
    """Where ego's path is tighter than 40 m in radius, its heading turns left by at least 12°. None without poses."""
    turned = _turned_rad(at, span)
    return None if turned is None else bool(turned >= TURN_RAD)


def ego_turn_right(at: Situation, span: slice) -> bool | None:
    """Where ego's path is tighter than 40 m in radius, its heading turns right by at least 12°. None without poses."""
    turned = _turned_rad(at, span)
    return None if turned is None else bool(turned <= -TURN_RAD)


def ego_wait(at: Situation, span: slice) -> bool | None:
    """Ego stands (below 0.3 m/s) for at least half of the clip. None without poses."""
    if at.ego is None:
        return None
    return bool(np.mean(np.abs(at.ego.speed_mps[span]) < WAIT_MPS) >= WAIT_SHARE)


def high_speed(at: Situation, span: slice) -> bool | None:
    """Ego's median speed in the clip is at least 12.5 m/s (45 km/h). None without poses."""
    if at.ego is None:
        return None
    return bool(np.median(at.ego.speed_mps[span]) >= HIGH_SPEED_MPS)


def lane_change(at: Situation, span: slice) -> bool | None:
    """The middle of ego crosses a lane divider within the clip or a second beside it, at under 20°, while its heading
    stays within 20° and it is not in an intersection. None without poses or where the map has no lane dividers.
    """
    if at.ego is None or at.hdmap is None or "lane_divider" not in at.hdmap.lines:
        return None
    margin = round(LANE_CHANGE_MARGIN_S * RATE_HZ)
    around = np.arange(len(at.times_us))[max(span.start - margin, 0) : span.stop + margin]
    around = around[np.isfinite(at.ego.x_m[around])]
    body, yaw = at.ego.body(), np.unwrap(at.ego.yaw_rad[around])
    if np.ptp(yaw) > LANE_CHANGE_MAX_RAD:
        return False
    points = np.stack([body.x_m[around], body.y_m[around]], -1)
    junction = at.area("intersection")
    if junction is not None and np.any(shapely.contains_xy(junction, points[:, 0], points[:, 1])):
        return False
    path = LineString(points)
    return any(_crosses(path, divider) for divider in at.hdmap.lines["lane_divider"])


def following_lead(at: Situation, span: slice) -> bool | None:
    """For at least half of the clip a moving vehicle is ahead in ego's path at a headway of at most 3 s, while ego
    drives faster than 2 m/s. None without tracks or poses.
    """
    if at.ego is None or at.agents is None:
        return None
    bodies, _ = agent_bodies(at.agents, standing_mps=0.5)
    own, vehicles = at.ego.body()[span], at.of(*VEHICLES, "motorcycle")
    lead = bodies[(slice(None), span)][vehicles]
    headway = headway_s(own, lead, same_lane_m=FOLLOW_LANE_M, from_mps=FOLLOW_FROM_MPS, horizon_s=FOLLOW_S)
    return bool(np.mean(np.any(np.isfinite(headway), axis=0)) >= FOLLOW_SHARE)


def _turned_rad(at: Situation, span: slice) -> float | None:
    if at.ego is None:
        return None
    speed, rate = at.ego.speed_mps[span], at.ego.yaw_rate_rps[span]
    tight = (np.abs(speed) > WAIT_MPS) & (np.abs(rate) * TURN_RADIUS_M > np.abs(speed))
    return float(np.trapezoid(rate * tight) / RATE_HZ)


def _crosses(path: LineString, divider: LineString) -> bool:
    """Whether the path goes over the line at a small angle (a path along a line that only touches it does not)."""
    if not path.crosses(divider):
        return False
    at = path.intersection(divider).representative_point()
    angles = []
    for line in (path, divider):
        here = line.project(at)
        ends = [line.interpolate(max(here - 1.0, 0.0)), line.interpolate(min(here + 1.0, line.length))]
        angles.append(np.arctan2(ends[1].y - ends[0].y, ends[1].x - ends[0].x))
    between = abs((angles[0] - angles[1] + np.pi / 2) % np.pi - np.pi / 2)
    return bool(between < LANE_CHANGE_MAX_RAD)
