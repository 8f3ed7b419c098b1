"""Lanes as nuScenes' map expansion wants them: edges, polygons, the paint beside them, and arc-line paths."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float
from numpy import ndarray
from shapely import LineString, Point, Polygon

from sceneminer.data.synth.scene import Divider, Lane
from sceneminer.data.synth.tables import Row, rounded
from sceneminer.geometry.pose import wrap_angle

SEGMENT_TYPES = {
    "dashed_white": "DOUBLE_DASHED_WHITE",
    "solid_white": "SINGLE_SOLID_WHITE",
    "solid_yellow": "SINGLE_SOLID_YELLOW",
    "double_yellow": "SINGLE_SOLID_YELLOW",
    "none": "NIL",
}
"""nuScenes has one word for any dashed line between lanes, and none for a double yellow one."""
_NEAR_M = 0.6
_TOLERANCE_M = 0.02
_TOLERANCE_RAD = 0.01
_STRAIGHT_PER_M = 1e-5


def lane_edges(lane: Lane) -> tuple[Float[ndarray, "n 2"], Float[ndarray, "n 2"]]:
    """Left and right edge in driving direction."""
    center, yaw = lane.centerline[:, :2], lane.centerline[:, 2]
    left = np.stack([-np.sin(yaw), np.cos(yaw)], -1) * (lane.width_m / 2)
    return center + left, center - left


def lane_polygon(lane: Lane) -> Polygon:
    """The area of a lane; where a tight turn folds the inner edge over, the fold is cut off."""
    left, right = lane_edges(lane)
    area = Polygon(np.concatenate([right, left[::-1]]))
    if area.is_valid:
        return area
    whole = LineString(lane.centerline[:, :2]).buffer(lane.width_m / 2, cap_style="flat")
    return max(getattr(whole, "geoms", [whole]), key=lambda piece: piece.area)


def paint_along(edge: Float[ndarray, "n 2"], dividers: Sequence[Divider]) -> list[str]:
    """nuScenes' segment type at each point of a lane's edge: that of a divider within 0.6 m, else NIL."""
    low, high = edge.min(0) - _NEAR_M, edge.max(0) + _NEAR_M
    near = [d for d in dividers if np.all(d.line.max(0) >= low) and np.all(d.line.min(0) <= high)]
    lines = [(LineString(divider.line), SEGMENT_TYPES[divider.paint]) for divider in near]
    types = []
    for point in edge:
        reached = [(line.distance(Point(point)), paint) for line, paint in lines]
        distance, paint = min(reached, default=(np.inf, "NIL"))
        types.append(paint if distance <= _NEAR_M else "NIL")
    return types


def arcline_path(centerline: Float[ndarray, "n 3"]) -> list[Row]:
    """A centreline as arcs: each row one arc or straight, to 2 cm and 0.01 rad of the given points.

    Where curvature changes fast a row spans two points only: it meets both, its end yaw to a few hundredths.

    nuScenes stores Dubins paths (three parts each); here the arc is the first part, the straight the second, and
    the others have length 0. Every row starts anew from a given point, so errors do not add up.
    """
    rows, start = [], 0
    while start < len(centerline) - 1:
        end = start + 1
        while end + 1 < len(centerline) and _is_arc(centerline[start : end + 2]):
            end += 1
        rows.append(_arc_row(centerline[start], centerline[end]))
        start = end
    return rows


def _arc(start: ndarray, end: ndarray) -> tuple[float, float]:
    """Signed curvature and length of the arc that leaves ``start`` along its yaw and passes through ``end``."""
    c, s = np.cos(start[2]), np.sin(start[2])
    dx, dy = end[0] - start[0], end[1] - start[1]
    along, left = c * dx + s * dy, -s * dx + c * dy
    chord = np.hypot(along, left)
    curvature = 2.0 * left / max(chord * chord, 1e-12)
    if abs(curvature) < _STRAIGHT_PER_M:
        return 0.0, float(chord)
    turn = 2.0 * np.arctan2(left, along)
    return float(curvature), float(turn / curvature)


def _is_arc(points: Float[ndarray, "n 3"]) -> bool:
    curvature, _ = _arc(points[0], points[-1])
    x, y, yaw = points[0]
    distance = np.concatenate([[0.0], np.cumsum(np.hypot(*np.diff(points[:, :2], axis=0).T))])
    if curvature == 0.0:
        at = np.stack([x + distance * np.cos(yaw), y + distance * np.sin(yaw)], -1)
    else:
        turned = yaw + distance * curvature
        at = np.stack(
            [x + (np.sin(turned) - np.sin(yaw)) / curvature, y - (np.cos(turned) - np.cos(yaw)) / curvature], -1
        )
    off = np.hypot(*(at - points[:, :2]).T)
    bent = np.abs(wrap_angle(yaw + distance * curvature - points[:, 2]))
    return bool(off.max() < _TOLERANCE_M and bent.max() < _TOLERANCE_RAD)


def _arc_row(start: ndarray, end: ndarray) -> Row:
    curvature, length = _arc(start, end)
    lengths = [length, 0.0, 0.0] if curvature else [0.0, length, 0.0]
    return {
        "start_pose": rounded(start, 6),
        "end_pose": rounded(end, 6),
        "shape": "RSR" if curvature < 0 else "LSL",
        "radius": round(1.0 / abs(curvature), 6) if curvature else 999.999,
        "segment_length": rounded(lengths, 6),
    }
