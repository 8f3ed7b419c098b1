"""Where agents are along and beside the path that ego in fact drives, which curves where the road does."""

from dataclasses import dataclass

import numpy as np
import shapely
from jaxtyping import Float
from numpy import ndarray

from sceneminer.data.track import AgentStates
from sceneminer.labels.ego import EgoStates

REACH_M = 70.0
"""Of path ahead of and behind ego that agents are seen against; a loop further on is another place."""
_CHUNK = 10
_STEP_M = 0.1


@dataclass(frozen=True, eq=False)
class PathFrame:
    """Agents against ego's path, [agents, times]; NaN where an agent or ego is unknown.

    The path is the line of ego's middle, before and after now, and goes on straight where the recording ends.
    """

    ahead_m: Float[ndarray, "a t"]
    """Along the path from ego's middle to the agent's; negative behind."""
    left_m: Float[ndarray, "a t"]
    """From the path to the agent's middle; negative to the right."""
    along_mps: Float[ndarray, "a t"]
    """The agent's velocity along the path there."""
    across_mps: Float[ndarray, "a t"]
    """Its velocity to the left of it."""
    heading_rad: Float[ndarray, "a t"]
    """The agent's yaw against the path's heading there, in [-π, π)."""


def path_frame(agents: AgentStates, ego: EgoStates) -> PathFrame:
    """All agents at all times against the path of ego's middle."""
    body = ego.body()
    line, travelled = _driven_line(body.x_m, body.y_m, body.yaw_rad)
    out = {name: np.full(agents.x_m.shape, np.nan) for name in ("ahead", "left", "heading")}
    for start in range(0, len(ego.times_us), _CHUNK):
        span = slice(start, start + _CHUNK)
        known = np.isfinite(travelled[span])
        rows, cols = np.nonzero(np.isfinite(agents.x_m[:, span]) & known)
        if not len(rows):
            continue
        here = travelled[span][known]
        low, high = float(here.min()) - REACH_M, float(here.max()) + REACH_M
        part = _part(line, low, high)
        x, y = agents.x_m[rows, cols + start], agents.y_m[rows, cols + start]
        s, left, heading = _against(part, x, y)
        out["ahead"][rows, cols + start] = s + max(low, 0.0) - travelled[cols + start]
        out["left"][rows, cols + start] = left
        out["heading"][rows, cols + start] = heading
    cos, sin = np.cos(out["heading"]), np.sin(out["heading"])
    vx, vy = agents.vx_mps, agents.vy_mps
    turned = (agents.yaw_rad - out["heading"] + np.pi) % (2 * np.pi) - np.pi
    return PathFrame(out["ahead"], out["left"], vx * cos + vy * sin, vy * cos - vx * sin, turned)


def _driven_line(x_m: ndarray, y_m: ndarray, yaw_rad: ndarray) -> tuple[Float[ndarray, "n 2"], Float[ndarray, "t"]]:
    """The path's points, and how far along it ego is at each time (NaN where that is unknown)."""
    known = np.flatnonzero(np.isfinite(x_m))
    if not len(known):
        return np.zeros((0, 2)), np.full(len(x_m), np.nan)
    points, kept = np.stack([x_m[known], y_m[known]], -1), [0]
    for k in range(1, len(points)):
        # A car that waits does not turn on the spot: jitter of its poses is no path.
        if np.hypot(*(points[k] - points[kept[-1]])) > _STEP_M:
            kept.append(k)
    first, last = (np.array([np.cos(a), np.sin(a)]) for a in (yaw_rad[known[0]], yaw_rad[known[-1]]))
    driven = points[kept]
    line = np.concatenate([driven[:1] - REACH_M * first, driven, driven[-1:] + REACH_M * last])
    travelled = np.full(len(x_m), np.nan)
    steps = np.concatenate([[0.0], np.cumsum(np.hypot(*np.diff(driven, axis=0).T))])
    travelled[known] = REACH_M + np.interp(np.arange(len(points)), kept, steps)
    return line, travelled


def _part(line: Float[ndarray, "n 2"], low_m: float, high_m: float) -> Float[ndarray, "m 2"]:
    """The line from one distance along it to another, as far as it goes."""
    s = np.concatenate([[0.0], np.cumsum(np.hypot(*np.diff(line, axis=0).T))])
    low, high = max(low_m, 0.0), min(high_m, float(s[-1]))
    inside = line[(s > low) & (s < high)]
    ends = [np.array([[np.interp(at, s, line[:, 0]), np.interp(at, s, line[:, 1])]]) for at in (low, high)]
    return np.concatenate([ends[0], inside, ends[1]])


def _against(part: ndarray, x_m: ndarray, y_m: ndarray) -> tuple[ndarray, ndarray, ndarray]:
    """Distance along a line, distance to its left, and the line's heading there."""
    shape = shapely.LineString(part)
    points = shapely.points(x_m, y_m)
    s = np.asarray(shapely.line_locate_point(shape, points))
    lengths = np.concatenate([[0.0], np.cumsum(np.hypot(*np.diff(part, axis=0).T))])
    a, b = (np.clip(s + d, 0.0, lengths[-1]) for d in (-0.5, 0.5))
    ax, ay, bx, by, px, py = (np.interp(at, lengths, part[:, c]) for at in (a, b, s) for c in (0, 1))
    heading = np.arctan2(by - ay, bx - ax)
    left = (y_m - py) * np.cos(heading) - (x_m - px) * np.sin(heading)
    away = np.hypot(x_m - px, y_m - py)
    # At a corner the nearest point is not straight aside; the distance is what it is, the side is the sign's.
    return s, np.where(left < 0, -away, away), heading
