"""What a predicted touch demands of ego: how hard it must brake, or move aside.

Sources: the required accelerations of Westhofen et al., "Criticality Metrics for Automated Driving", 2023, after
Jansson, "Collision Avoidance Theory", 2005; derived here for oriented rectangles rather than for points. Ego keeps its
yaw, the agent its velocity and yaw. An agent's own braking is not counted on: second differences of boxes that are
10 cm off are wrong by about 1 m/s². ``rss_violation`` supposes the hardest braking instead.

Ground that the agent covers is, at each time, an interval of ego's displacement between bounds that are straight
lines of time (one an edge normal). An acceleration a moves ego by a t²/2, so that each bound asks for one in closed
form, and the most that is asked for lies at one of few times: where the interval begins or ends, where two bounds
meet, or where one is at its most demanding.
"""

from dataclasses import dataclass
from itertools import combinations

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from sceneminer.labels.bodies import Bodies, reach

EVASION_CAP_MPS2 = 20.0
"""Twice what tyres can do; rectangles that touch now would need infinitely much."""
_FOREVER_S = 1e6
_SOON_S = 1e-9
_ALIGNED = 1e-9
"""An edge normal this close to right angles bounds nothing that the other rectangle's sides don't."""


@dataclass(frozen=True, eq=False)
class _View:
    """The agent seen from ego, x the way that ego drives (backwards in reverse), y to the left of it."""

    x_m: ndarray
    y_m: ndarray
    ahead_mps: ndarray
    """Of the agent, over ground."""
    aside_mps: ndarray
    """Of the agent, relative to ego."""
    ego_mps: ndarray
    along_m: ndarray
    """Half lengths of both, added up along x."""
    across_m: ndarray
    normals: tuple[tuple[ndarray, ndarray, ndarray], ...]
    """Of the agent's edges: x, y, and how far apart the centres are along it when the rectangles touch."""


def required_braking_mps2(
    ego: Bodies, agent: Bodies, touch_s: Float[ndarray, "n"], *, cap_mps2: float = EVASION_CAP_MPS2
) -> Float[ndarray, "n"]:
    """The smallest constant deceleration in m/s² that keeps ego behind the agent until ego stands.

    Behind: wherever the agent is level with ego's sides, ego's front has not reached it. For a lead this is
    Δv²/(2 gap), for one that stands v²/(2 gap), for one that comes towards ego at u, v (v + 2u)/(2 gap). 0 where no
    touch is predicted (``touch_s``, that of ``straight_contact_s``, is not finite), ``cap_mps2`` at most and where they
    touch now; NaN where the agent is level with ego's sides already and not before it: it drives into ego, and no
    braking helps.
    """
    view = _seen(ego, agent)
    begin, end = _span(view.y_m, view.aside_mps, view.across_m)
    across = (np.ones_like(view.x_m), np.zeros_like(view.x_m), view.along_m)
    start, rate = _bounds(view.x_m, view.y_m, view.ahead_mps, view.aside_mps, (across, *view.normals))
    needed = _most(start, rate, view.ego_mps, begin, end, stops=True)
    touches = np.isfinite(touch_s)
    helpless = touches & (touch_s > 0) & (begin == 0) & (np.max(start, axis=0) <= 0)
    needed = np.where(touch_s > 0, np.clip(needed, 0.0, cap_mps2), cap_mps2)
    return np.where(helpless, np.nan, np.where(touches, needed, 0.0))


def required_swerve_mps2(
    ego: Bodies, agent: Bodies, touch_s: Float[ndarray, "n"], *, cap_mps2: float = EVASION_CAP_MPS2
) -> Float[ndarray, "n"]:
    """The smallest constant sideways acceleration in m/s² that takes ego past the agent, on the easier side.

    For an agent that moves along ego's way this is 2 (what is lacking beside it)/TTC². 0 where no touch is predicted
    (``touch_s`` is not finite), ``cap_mps2`` at most and where they touch now.
    """
    view = _seen(ego, agent)
    closing = view.ahead_mps - view.ego_mps
    begin, end = _span(view.x_m, closing, view.along_m)
    sides = []
    for side in (1.0, -1.0):
        beside = (side * np.ones_like(view.x_m), np.zeros_like(view.x_m), view.across_m)
        normals = (beside, *((side * y, x, extent) for x, y, extent in view.normals))
        start, rate = _bounds(side * view.y_m, view.x_m, side * view.aside_mps, closing, normals)
        sides.append(_most(start, rate, np.zeros_like(begin), begin, end, stops=False))
    needed = np.clip(np.minimum(*sides), 0.0, cap_mps2)
    return np.where(np.isfinite(touch_s), np.where(touch_s > 0, needed, cap_mps2), 0.0)


def _seen(ego: Bodies, agent: Bodies) -> _View:
    cos, sin = np.cos(ego.yaw_rad), np.sin(ego.yaw_rad)
    way = np.where(ego.vx_mps * cos + ego.vy_mps * sin < 0, -1.0, 1.0)
    cos, sin = way * cos, way * sin
    dx, dy = agent.x_m - ego.x_m, agent.y_m - ego.y_m
    turned = agent.yaw_rad - ego.yaw_rad
    along, across = reach(ego, turned, agent)
    lengthwise, crosswise = reach(agent, -turned, ego)
    c, s = np.cos(turned), np.sin(turned)
    return _View(
        x_m=dx * cos + dy * sin,
        y_m=dy * cos - dx * sin,
        ahead_mps=agent.vx_mps * cos + agent.vy_mps * sin,
        aside_mps=(agent.vy_mps - ego.vy_mps) * cos - (agent.vx_mps - ego.vx_mps) * sin,
        ego_mps=ego.vx_mps * cos + ego.vy_mps * sin,
        along_m=along,
        across_m=across,
        normals=((c, s, lengthwise), (-s, c, crosswise)),
    )


def _span(offset: ndarray, speed: ndarray, extent: ndarray) -> tuple[ndarray, ndarray]:
    """From when until when |offset + speed t| ≤ extent, from now on; all the time where it does not change."""
    moves = np.abs(speed) > 1e-12
    rate = np.where(moves, speed, 1.0)
    t1, t2 = (-extent - offset) / rate, (extent - offset) / rate
    begin = np.where(moves, np.clip(np.minimum(t1, t2), 0.0, _FOREVER_S), 0.0)
    end = np.where(moves, np.clip(np.maximum(t1, t2), 0.0, _FOREVER_S), _FOREVER_S)
    return begin, end


def _bounds(
    x: ndarray, y: ndarray, x_mps: ndarray, y_mps: ndarray, normals: tuple[tuple[ndarray, ndarray, ndarray], ...]
) -> tuple[Float[ndarray, "3 n"], Float[ndarray, "3 n"]]:
    """Where the ground that the agent covers begins along x, as lines of time: the furthest of them counts."""
    start, rate = [], []
    for along, across, extent in normals:
        bounds = np.abs(along) > _ALIGNED
        along = np.where(bounds, along, 1.0)
        slope = across / along
        start.append(np.where(bounds, x + slope * y - extent / np.abs(along), -np.inf))
        rate.append(np.where(bounds, x_mps + slope * y_mps, 0.0))
    return np.stack(start), np.stack(rate)


def _most(start: ndarray, rate: ndarray, speed: ndarray, begin: ndarray, end: ndarray, *, stops: bool) -> ndarray:
    """The largest over time of the acceleration that keeps ego, at ``speed``, short of the furthest bound.

    With ``stops`` it is enough to stand by then: v/t.
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        times = [begin, end, *(2.0 * start / (speed - rate))]
        times += [(start[k] - start[i]) / (rate[i] - rate[k]) for i, k in combinations(range(len(start)), 2)]
        if stops:
            times += [*(2.0 * start / (speed - 2.0 * rate))]
    most = np.full(begin.shape, -np.inf)
    for time in times:
        t = np.maximum(np.clip(np.where(np.isfinite(time), time, begin), begin, end), _SOON_S)
        needed = 2.0 * (speed * t - np.max(start + rate * t, axis=0)) / (t * t)
        most = np.maximum(most, np.minimum(needed, speed / t) if stops else needed)
    return most
