"""Where bodies get if they follow the paths that they in fact take, at the speed they have now.

A recording knows which way everybody went. Labels use it to tell a turn that goes on from one that ends.
"""

import numpy as np
from jaxtyping import Float, Int
from numpy import ndarray

from sceneminer.labels.bodies import Bodies, roll_out

_CURVE_FROM_MPS = 1.0
"""Below this, turn rate over speed is no curvature but noise."""


def follow_path(
    bodies: Bodies, rows: Int[ndarray, "n"], frames: Int[ndarray, "n"], after_s: Float[ndarray, "k"]
) -> Bodies:
    """The bodies [n, k] ``after_s`` after each (row, frame), along their own recorded paths at their present speed.

    ``bodies`` is [agents, times] with NaN where absent. A path ends where the body is absent or the recording ends;
    from there it goes on with the curvature it had, so that where nothing more is known this is ``roll_out``.
    """
    speed = bodies.speed_mps[rows, frames][:, None]
    x, y, yaw = (np.empty((len(rows), len(after_s))) for _ in range(3))
    last = _last_known(bodies.x_m)[rows, frames]
    for row, end in {*zip(rows.tolist(), last.tolist(), strict=True)}:
        mine = np.flatnonzero((rows == row) & (last == end))
        start = int(frames[mine].min())
        x[mine], y[mine], yaw[mine] = _along(
            bodies[(row, slice(start, end + 1))], frames[mine] - start, speed[mine] * after_s
        )
    vx, vy = np.gradient(x, after_s, axis=1), np.gradient(y, after_s, axis=1)
    scale = speed / np.maximum(np.hypot(vx, vy), 1e-9)
    full = np.ones_like(x)
    return Bodies(
        x_m=x,
        y_m=y,
        yaw_rad=yaw,
        vx_mps=vx * scale,
        vy_mps=vy * scale,
        yaw_rate_rps=np.zeros_like(x),
        length_m=bodies.length_m[rows, frames][:, None] * full,
        width_m=bodies.width_m[rows, frames][:, None] * full,
    )


def _last_known(x_m: Float[ndarray, "a t"]) -> Int[ndarray, "a t"]:
    """For each frame the last one up to which the body is present without a break."""
    frames = np.arange(x_m.shape[1])
    gone = np.where(np.isfinite(x_m), x_m.shape[1], frames)
    return np.minimum.accumulate(gone[:, ::-1], axis=1)[:, ::-1] - 1


def _along(path: Bodies, frames: ndarray, ahead_m: ndarray) -> tuple[ndarray, ndarray, ndarray]:
    """Places [n, k] that lie ``ahead_m`` further along one unbroken path than each of its frames."""
    travelled = np.concatenate([[0.0], np.cumsum(np.hypot(np.diff(path.x_m), np.diff(path.y_m)))])
    yaw = np.unwrap(path.yaw_rad)
    wanted = travelled[frames][:, None] + ahead_m
    over = wanted > travelled[-1]
    free = roll_out(_going_on(path, float(yaw[-1])), np.maximum(wanted - travelled[-1], 0.0))
    ends = (free.x_m, free.y_m, free.yaw_rad)
    columns = (path.x_m, path.y_m, yaw)
    x, y, turned = (
        np.where(over, end, np.interp(wanted, travelled, column)) for column, end in zip(columns, ends, strict=True)
    )
    return x, y, turned


def _going_on(path: Bodies, yaw_rad: float) -> Bodies:
    """The body at the end of its path, as if it moved at 1 m/s along the curve it was last on."""
    moving = np.flatnonzero(path.speed_mps > _CURVE_FROM_MPS)
    at = int(moving[-1]) if len(moving) else len(path.x_m) - 1
    speed = max(float(path.speed_mps[at]), 1e-6)
    swing = yaw_rad - float(path.yaw_rad[at])
    cos, sin = np.cos(swing), np.sin(swing)
    vx, vy = path.vx_mps[at] / speed, path.vy_mps[at] / speed
    columns = (path.x_m[-1], path.y_m[-1], yaw_rad, cos * vx - sin * vy, sin * vx + cos * vy)
    rest = (path.yaw_rate_rps[at] / speed, path.length_m[-1], path.width_m[-1])
    return Bodies(*(np.array([[float(value)]]) for value in (*columns, *rest)))
