"""Tags of the place: intersections, parking lots, road works, what stands in the way."""

import numpy as np
import shapely
from shapely import Polygon

from sceneminer.data.hdmap import MapLane
from sceneminer.data.track import VEHICLES
from sceneminer.geometry.box import footprint
from sceneminer.labels.lanes import runs_along
from sceneminer.labels.situation import Situation

JUNCTION_AHEAD_M = 4.0
"""From ego's middle: the bumper is 2 m away, as of the first car at a stop line."""
JUNCTION_SHARE = 1 / 2
"""Of a clip's frames: ego is in the junction or about to be, rather than having just left it."""
PARKING_NEAR_M = 10.0
PLACE_SHARE = 1 / 3
"""Of a clip's frames: a place that is only brushed at the end does not name the clip."""
WORKS_RANGE_M = 30.0
WORKS_PROPS = 3
"""One or two cones or barriers stand everywhere; three make a row."""
BLOCK_AHEAD_M = (0.0, 30.0)
BLOCK_INTRUSION_M = 0.6
"""A kerb-parked car's mirror side is some dm off; 0.6 m of a 3.5 m lane leaves too little to pass within it."""
BLOCK_TRAVEL_M = 1.0
BLOCK_SHARE = 1 / 3


def intersection(at: Situation, span: slice) -> bool | None:
    """For at least half of the clip, ego's middle is in an intersection or has one at most 4 m straight ahead.

    One that ego has left does not count. Without poses or the map's intersections: True where the description speaks
    of one, else None.
    """
    area = at.area("intersection") if at.ego is not None else None
    if area is None or at.ego is None:
        return True if at.says("intersections?", "junctions?", "crossroads?") else None
    body = at.ego.body()
    here = np.stack([body.x_m[span], body.y_m[span]], -1)
    heading = np.stack([np.cos(body.yaw_rad[span]), np.sin(body.yaw_rad[span])], -1)
    view = shapely.linestrings(np.stack([here, here + JUNCTION_AHEAD_M * heading], 1))
    return bool(np.mean(shapely.intersects(area, view)) >= JUNCTION_SHARE)


def parking_lot(at: Situation, span: slice) -> bool | None:
    """Ego's middle is on a parking area, or within 10 m of one, for at least a third of the clip.

    Without poses or the map's parking areas: True where the description speaks of a parking lot, else None.
    """
    near = _near_area(at, span, "parking", PARKING_NEAR_M)
    if near is None:
        return True if at.says("parking lots?", "car ?parks?", "parking area") else None
    return near


def construction_zone(at: Situation, span: slice) -> bool | None:
    """Within 30 m of ego at some instant: three cones or temporary barriers (no bollards), or a construction
    vehicle or worker.

    Without tracks or poses: True where the description speaks of construction or road works, else None.
    """
    if at.ego is None or at.agents is None:
        return True if at.says("construction", "road ?works?") else None
    near = np.nan_to_num(at.distance_m[:, span], nan=np.inf) < WORKS_RANGE_M
    temporary = at.of("cone", "barrier") & ~at.seen_as("bollard")
    props = near & temporary[:, None]
    working = near & (at.of("construction_vehicle") | at.seen_as("construction_worker"))[:, None]
    return bool(np.any(props.sum(0) >= WORKS_PROPS) or np.any(working))


def parked_obstruction(at: Situation, span: slice) -> bool | None:
    """A vehicle that never moves reaches at least 0.6 m into the lane that ego is in, at most 30 m ahead, for a third
    of the clip, and ego gets past it later (else it may be a queue). None without tracks, poses or lane polygons.
    """
    if at.ego is None or at.agents is None or at.hdmap is None:
        return None
    lanes = [lane for lane in at.hdmap.lanes if lane.polygon is not None and not lane.is_connector]
    if not lanes:
        return None
    never_moves = at.of(*VEHICLES) & (at.travelled_m < BLOCK_TRAVEL_M)
    ahead = at.offsets_m[0]
    passed = np.any(np.nan_to_num(ahead[:, span.start :], nan=1.0) < 0, axis=1)
    frames = np.arange(len(at.times_us))[span][::2]
    blocked = 0
    for frame in frames:
        in_range = (ahead[:, frame] > BLOCK_AHEAD_M[0]) & (ahead[:, frame] < BLOCK_AHEAD_M[1])
        rows = np.flatnonzero(never_moves & passed & in_range)
        blocked += bool(len(rows)) and _blocks(at, lanes, int(frame), rows)
    return blocked >= max(1.0, BLOCK_SHARE * len(frames))


def _near_area(at: Situation, span: slice, layer: str, within_m: float) -> bool | None:
    area = at.area(layer) if at.ego is not None else None
    if area is None or at.ego is None:
        return None
    if area.is_empty:
        return False
    body = at.ego.body()
    distance = shapely.distance(area, shapely.points(body.x_m[span], body.y_m[span]))
    return bool(np.mean(distance <= within_m) >= PLACE_SHARE)


def _blocks(at: Situation, lanes: list[MapLane], frame: int, rows: np.ndarray) -> bool:
    assert at.ego is not None and at.agents is not None
    body, agents = at.ego.body(), at.agents
    here = shapely.Point(body.x_m[frame], body.y_m[frame])
    own = [
        lane
        for lane in lanes
        if lane.polygon is not None and lane.polygon.covers(here) and runs_along(lane, here, body.yaw_rad[frame])
    ]
    chain = {name for lane in own for name in (lane.lane_id, *lane.successors)}
    way = [lane.polygon for lane in lanes if lane.polygon is not None and lane.lane_id in chain]
    if not way:
        return False
    corners = footprint(
        np.stack([agents.x_m[rows, frame], agents.y_m[rows, frame]], -1),
        agents.yaw_rad[rows, frame],
        np.stack([agents.length_m[rows, frame], agents.width_m[rows, frame]], -1),
    )
    # A rectangle of length l that reaches w into a lane covers about l · w of it.
    return any(
        Polygon(box).intersection(polygon).area >= BLOCK_INTRUSION_M * agents.length_m[row, frame]
        for box, row in zip(corners, rows, strict=True)
        for polygon in way
    )
