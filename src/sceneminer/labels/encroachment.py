"""Post-encroachment time: how soon after one has left some ground the other comes there, on the paths in fact taken.

Source: Allen, Shin and Cooper, "Analysis of Traffic Conflicts and Collisions", Transportation Research Record 667,
1978. They measure it at the point of collision; here it is the smallest over all ground that both rectangles cover,
which for paths that cross at right angles is the time between the first's leaving and the second's entering the area
in which the paths cross. Ground taken one after the other in nearly one direction (following, merging) is left to the
headway.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int
from numpy import ndarray

from sceneminer.geometry.pose import wrap_angle
from sceneminer.labels.bodies import Bodies, reach

CROSSING_RAD = np.pi / 6
"""Directions of travel that differ by less do not cross but follow or merge."""
_PARALLEL = 1e-12


@dataclass(frozen=True, eq=False)
class _Steps:
    """A body between two frames, one step an element: it moves straight on, its yaw that of the middle."""

    body: Bodies
    """At the step's beginning, its velocity the straight line's."""
    way_x: ndarray
    way_y: ndarray
    """Direction of travel, from the velocities at both ends."""
    duration_s: ndarray
    moves: ndarray
    """False where the body stands, or is absent, at either end."""

    def __getitem__(self, index: ndarray | tuple) -> "_Steps":
        return _Steps(self.body[index], *(v[index] for v in (self.way_x, self.way_y, self.duration_s, self.moves)))


def post_encroachment_s(
    times_us: Int[ndarray, "t"],
    ego: Bodies,
    agents: Bodies,
    *,
    ego_known: Bool[ndarray, "t"],
    agents_known: Bool[ndarray, "a t"],
    ego_moves: Bool[ndarray, "t"],
    agents_move: Bool[ndarray, "a t"],
    horizon_s: float,
) -> Float[ndarray, "a t"]:
    """Post-encroachment time in seconds of ego [t] and each agent [a, t]; NaN where their paths do not cross.

    At frame t: the smallest |τ₂ - τ₁| for which ego at τ₁ and the agent at τ₂ would overlap, travelling in directions
    that differ by at least ``CROSSING_RAD``. Both times lie in steps between frames that begin at t or later and end
    within the horizon, up to which the body is known without a break and in which it does not stand. Exact for
    bodies that move straight on from frame to frame with the yaw of the step's middle; 0 where they overlap in fact.
    """
    out = np.full(agents_known.shape, np.inf)
    if len(times_us) < 2:
        return np.full(agents_known.shape, np.nan)
    own = _steps(ego, ego_known & ego_moves, times_us)
    others = _steps(agents, agents_known & agents_move, times_us)
    horizon_us = round(horizon_s * 1e6)
    rows, theirs = np.nonzero(others.moves)
    rows, mine, theirs = _candidates(own, others, rows, theirs, times_us, horizon_us)
    lead_s = (times_us[theirs] - times_us[mine]) / 1e6
    lag = _smallest_lag_s(own[mine], others[(rows, theirs)], lead_s)
    meets = np.isfinite(lag)
    rows, mine, theirs, lag = rows[meets], mine[meets], theirs[meets], lag[meets]
    # Every frame counts from which on both paths are known, and lie within the horizon.
    last = np.minimum(mine, theirs)
    ends_us = times_us[np.maximum(mine, theirs) + 1]
    first = np.searchsorted(times_us, ends_us - horizon_us)
    first = np.maximum(first, _run_start(ego_known)[mine])
    first = np.maximum(first, _run_start(agents_known)[rows, theirs])
    count = np.maximum(last - first + 1, 0)
    each = np.repeat(np.arange(len(count)), count)
    frame = np.arange(len(each)) - np.repeat(np.cumsum(count) - count, count) + first[each]
    np.minimum.at(out, (rows[each], frame), lag[each])
    return np.where(np.isfinite(out), out, np.nan)


def _steps(bodies: Bodies, moves: ndarray, times_us: ndarray) -> _Steps:
    here, there = bodies[(..., slice(None, -1))], bodies[(..., slice(1, None))]
    duration = np.diff(times_us) / 1e6 + np.zeros_like(here.x_m)
    return _Steps(
        body=Bodies(
            x_m=here.x_m,
            y_m=here.y_m,
            yaw_rad=here.yaw_rad + 0.5 * wrap_angle(there.yaw_rad - here.yaw_rad),
            vx_mps=(there.x_m - here.x_m) / duration,
            vy_mps=(there.y_m - here.y_m) / duration,
            yaw_rate_rps=np.zeros_like(here.x_m),
            length_m=0.5 * (here.length_m + there.length_m),
            width_m=0.5 * (here.width_m + there.width_m),
        ),
        way_x=here.vx_mps + there.vx_mps,
        way_y=here.vy_mps + there.vy_mps,
        duration_s=duration,
        moves=moves[..., :-1] & moves[..., 1:],
    )


def _candidates(
    own: _Steps, others: _Steps, rows: ndarray, theirs: ndarray, times_us: ndarray, horizon_us: int
) -> tuple[ndarray, ndarray, ndarray]:
    """Agents' rows, ego's steps and agents' steps that may share ground, by circles around both, and cross."""
    steps = len(times_us) - 1
    flat = others[(rows, theirs)]
    x, y, radius = _circle(flat)
    own_x, own_y, own_radius = _circle(own)
    bounds = np.cos(CROSSING_RAD)
    found = []
    furthest = np.searchsorted(times_us, times_us + horizon_us, side="right") - np.arange(len(times_us))
    for shift in range(2 - int(furthest.max()), int(furthest.max()) - 1):
        mine = theirs - shift
        inside = np.flatnonzero((mine >= 0) & (mine < steps))
        i = mine[inside]
        near = (x[inside] - own_x[i]) ** 2 + (y[inside] - own_y[i]) ** 2 <= (radius[inside] + own_radius[i]) ** 2
        pick = inside[near & own.moves[i]]
        i, k = mine[pick], theirs[pick]
        dot = flat.way_x[pick] * own.way_x[i] + flat.way_y[pick] * own.way_y[i]
        most = bounds * np.hypot(flat.way_x[pick], flat.way_y[pick]) * np.hypot(own.way_x[i], own.way_y[i])
        within = times_us[np.maximum(i, k) + 1] - times_us[np.minimum(i, k)] <= horizon_us
        crosses = (dot <= most) & within
        found.append((rows[pick[crosses]], i[crosses], k[crosses]))
    none = np.zeros(0, np.int64)
    return tuple(np.concatenate(part) for part in zip((none, none, none), *found, strict=True))  # type: ignore[return-value]


def _circle(steps: _Steps) -> tuple[ndarray, ndarray, ndarray]:
    """Around all that a body covers in a step."""
    body, half = steps.body, 0.5 * steps.duration_s
    return body.x_m + half * body.vx_mps, body.y_m + half * body.vy_mps, body.radius_m + half * body.speed_mps


def _smallest_lag_s(ego: _Steps, agent: _Steps, lead_s: Float[ndarray, "n"]) -> Float[ndarray, "n"]:
    """The smallest |τ₂ - τ₁| at which two steps overlap; inf where they never do. The agent's begins ``lead_s`` later.

    With s seconds into ego's step and s + m into the agent's, overlap on each edge normal, and either step's
    beginning and end, are bands A s + B m + C in [low, high]. s is eliminated (Fourier and Motzkin): every lower bound
    on s must lie below every upper one, which leaves an interval of m.
    """
    bands = _bands(ego, agent)
    slope, low, high = [], [], []
    least, most = np.full(lead_s.shape, -np.inf), np.full(lead_s.shape, np.inf)
    for of_s, of_m, offset, lowest, highest in bands:
        bounds = np.abs(of_s) > _PARALLEL
        scale = np.where(bounds, of_s, 1.0)
        first, second = (lowest - offset) / scale, (highest - offset) / scale
        slope.append(np.where(bounds, -of_m / scale, 0.0))
        low.append(np.where(bounds, np.minimum(first, second), -np.inf))
        high.append(np.where(bounds, np.maximum(first, second), np.inf))
        for sign, limit in ((1.0, highest - offset), (-1.0, offset - lowest)):
            least, most = _narrowed(least, most, sign * of_m, np.where(bounds, np.inf, limit))
    for i in range(len(bands)):
        for k in range(len(bands)):
            if i != k:
                least, most = _narrowed(least, most, slope[i] - slope[k], high[k] - low[i])
    shortest = np.maximum(np.maximum(lead_s + least, -(lead_s + most)), 0.0)
    return np.where(least <= most, shortest, np.inf)


def _bands(ego: _Steps, agent: _Steps) -> list[tuple[ndarray, ndarray, ndarray, ndarray, ndarray]]:
    a, b = ego.body, agent.body
    x, y, one, none = b.x_m - a.x_m, b.y_m - a.y_m, np.ones_like(a.x_m), np.zeros_like(a.x_m)
    bands = [(one, none, none, none, ego.duration_s), (one, one, none, none, agent.duration_s)]
    for of, other in ((a, b), (b, a)):
        along, across = reach(of, other.yaw_rad - of.yaw_rad, other)
        cos, sin = np.cos(of.yaw_rad), np.sin(of.yaw_rad)
        for nx, ny, extent in ((cos, sin, along), (-sin, cos, across)):
            theirs = nx * b.vx_mps + ny * b.vy_mps
            bands.append((theirs - nx * a.vx_mps - ny * a.vy_mps, theirs, nx * x + ny * y, -extent, extent))
    return bands


def _narrowed(least: ndarray, most: ndarray, factor: ndarray, limit: ndarray) -> tuple[ndarray, ndarray]:
    """The interval of those m in it for which factor · m ≤ limit."""
    bounds = np.abs(factor) > _PARALLEL
    at = limit / np.where(bounds, factor, 1.0)
    most = np.where(bounds & (factor > 0), np.minimum(most, at), most)
    least = np.where(bounds & (factor < 0), np.maximum(least, at), least)
    return np.where(~bounds & (limit < 0), np.inf, least), most


def _run_start(known: Bool[ndarray, "*b t"]) -> Int[ndarray, "*b t"]:
    """For each frame the first from which on the body is known without a break."""
    return np.maximum.accumulate(np.where(known, 0, np.arange(1, known.shape[-1] + 1)), axis=-1)
