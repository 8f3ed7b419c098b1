"""Where bodies get if they follow the paths that they in fact take, at the speed they have now.

A recording knows which way everybody went. Labels use it to tell a turn that goes on from one that ends.
"""

import numpy as np
from jaxtyping import Float, Int
from numpy import ndarray

from sceneminer.labels.bodies import Bodies, roll_out

_KNOT_M = 0.02
"""Knots closer than this say nothing about the direction of travel."""
_CURVE_FROM_MPS = 1.0


def follow_path(
    bodies: Bodies, rows: Int[ndarray, "n"], frames: Int[ndarray, "n"], after_s: Float[ndarray, "k"]
) -> Bodies:
    """The bodies [n, k] ``after_s`` after each (row, frame), along their own recorded paths at their present speed.

    ``bodies`` is [agents, times] with NaN where absent. A path ends where the body is absent or the recording ends;
    from there it goes on with the curvature it had, so that where nothing more is known this is ``roll_out``.
    """
    out = {name: np.empty((len(rows), len(after_s))) for name in ("x", "y", "yaw")}
    for row in np.unique(rows):
        mine = np.flatnonzero(rows == row)
        last = _last_known(bodies.x_m[row])
        for i in mine:
            x, y, yaw = _along(bodies, int(row), int(frames[i]), int(last[frames[i]]), after_s)
            out["x"][i], out["y"][i], out["yaw"][i] = x, y, yaw
    speed = bodies.speed_mps[rows, frames][:, None]
    vx, vy = np.gradient(out["x"], after_s, axis=1), np.gradient(out["y"], after_s, axis=1)
    scale = speed / np.maximum(np.hypot(vx, vy), 1e-9)
    full = np.ones_like(vx)
    return Bodies(
        x_m=out["x"],
        y_m=out["y"],
        yaw_rad=out["yaw"],
        vx_mps=vx * scale,
        vy_mps=vy * scale,
        yaw_rate_rps=0.0 * full,
        length_m=bodies.length_m[rows, frames][:, None] * full,
        width_m=bodies.width_m[rows, frames][:, None] * full,
    )


def _last_known(x_m: Float[ndarray, "t"]) -> Int[ndarray, "t"]:
    """For each frame the last one up to which the body is present without a break."""
    gone = np.flatnonzero(~np.isfinite(x_m))
    frames = np.arange(len(x_m))
    after = np.searchsorted(gone, frames)
    return np.append(gone, len(x_m))[after] - 1


def _along(bodies: Bodies, row: int, frame: int, last: int, after_s: ndarray) -> tuple[ndarray, ndarray, ndarray]:
    here = bodies[(row, slice(frame, frame + 1))]
    speed = float(here.speed_mps[0])
    path = bodies[(row, slice(frame, last + 1))]
    travelled = np.concatenate([[0.0], np.cumsum(np.hypot(np.diff(path.x_m), np.diff(path.y_m)))])
    knots = np.concatenate([[0], 1 + np.flatnonzero(np.diff(np.floor(travelled / _KNOT_M)) > 0)])
    if speed == 0.0 or len(knots) < 2:
        free = roll_out(here, after_s)
        return free.x_m, free.y_m, free.yaw_rad
    wanted, known, end = speed * after_s, travelled[knots], int(knots[-1])
    yaw = np.unwrap(path.yaw_rad)
    x, y, turned = (np.interp(wanted, known, values[knots]) for values in (path.x_m, path.y_m, yaw))
    beyond = np.maximum(wanted - known[-1], 0.0)
    free = roll_out(_going_on(path, end, yaw[end]), beyond)
    over = wanted > known[-1]
    return np.where(over, free.x_m, x), np.where(over, free.y_m, y), np.where(over, free.yaw_rad, turned)


def _going_on(path: Bodies, end: int, yaw_rad: float) -> Bodies:
    """The body at the end of its known path, as if it moved at 1 m/s along the curve it was on."""
    moving = np.flatnonzero(path.speed_mps[: end + 1] > _CURVE_FROM_MPS)
    at = int(moving[-1]) if len(moving) else 0
    speed = max(float(path.speed_mps[at]), 1e-6)
    unit = path[slice(end, end + 1)]
    swing = yaw_rad - path.yaw_rad[at]
    cos, sin = np.cos(swing), np.sin(swing)
    vx, vy = path.vx_mps[at] / speed, path.vy_mps[at] / speed
    return Bodies(
        x_m=unit.x_m,
        y_m=unit.y_m,
        yaw_rad=np.array([yaw_rad]),
        vx_mps=np.array([cos * vx - sin * vy]),
        vy_mps=np.array([sin * vx + cos * vy]),
        yaw_rate_rps=np.array([path.yaw_rate_rps[at] / speed]),
        length_m=unit.length_m,
        width_m=unit.width_m,
    )
