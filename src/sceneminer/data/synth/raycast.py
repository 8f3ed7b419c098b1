"""Fast ray casting for the LiDAR: static triangles in a grid over x and y, actors by their boxes."""

from dataclasses import dataclass
from typing import no_type_check

import numpy as np
from jaxtyping import Float32, Int32
from numba import njit
from numpy import ndarray

CELL_M = 2.5


@dataclass(frozen=True)
class Grid:
    """Which triangles meet each cell, sorted by cell, and how high and low they reach there."""

    start: Int32[ndarray, "s"]
    """First entry of each cell in ``entries``; one more than there are cells."""
    entries: Int32[ndarray, "e"]
    low: Float32[ndarray, "c"]
    high: Float32[ndarray, "c"]
    columns: int
    rows: int
    x_m: float
    y_m: float


@njit(cache=True, nogil=True)
@no_type_check
def _meets(t: ndarray, x0: float, y0: float, x1: float, y1: float) -> bool:
    """Whether a triangle seen from above meets a cell (separating axes of its edges; its box is checked outside)."""
    for k in range(3):
        ax, ay = t[k, 0], t[k, 1]
        nx, ny = t[(k + 1) % 3, 1] - ay, ax - t[(k + 1) % 3, 0]
        other = nx * (t[(k + 2) % 3, 0] - ax) + ny * (t[(k + 2) % 3, 1] - ay)
        c0 = nx * ((x0 if nx < 0 else x1) - ax) + ny * ((y0 if ny < 0 else y1) - ay)
        c1 = nx * ((x1 if nx < 0 else x0) - ax) + ny * ((y1 if ny < 0 else y0) - ay)
        low, high = min(0.0, other), max(0.0, other)
        if c0 < low - 1e-6 or c1 > high + 1e-6:
            return False
    return True


@njit(cache=True, nogil=True)
@no_type_check
def _fill_grid(
    xyz: ndarray, x0: float, y0: float, cell: float, columns: int, rows: int,
    count: ndarray, entries: ndarray, fill: bool,
) -> None:  # fmt: skip
    for t in range(len(xyz)):
        i0 = int(np.floor((min(xyz[t, 0, 0], xyz[t, 1, 0], xyz[t, 2, 0]) - x0 - 1e-3) / cell))
        i1 = int(np.floor((max(xyz[t, 0, 0], xyz[t, 1, 0], xyz[t, 2, 0]) - x0 + 1e-3) / cell))
        j0 = int(np.floor((min(xyz[t, 0, 1], xyz[t, 1, 1], xyz[t, 2, 1]) - y0 - 1e-3) / cell))
        j1 = int(np.floor((max(xyz[t, 0, 1], xyz[t, 1, 1], xyz[t, 2, 1]) - y0 + 1e-3) / cell))
        for j in range(max(j0, 0), min(j1, rows - 1) + 1):
            for i in range(max(i0, 0), min(i1, columns - 1) + 1):
                x, y = x0 + i * cell, y0 + j * cell
                if (i0 != i1 or j0 != j1) and not _meets(xyz[t], x - 1e-3, y - 1e-3, x + cell + 1e-3, y + cell + 1e-3):
                    continue
                if fill:
                    entries[count[j * columns + i]] = t
                count[j * columns + i] += 1


@njit(cache=True, nogil=True)
@no_type_check
def _reach(xyz: ndarray, start: ndarray, entries: ndarray, low: ndarray, high: ndarray) -> None:
    for c in range(len(low)):
        low[c], high[c] = 1e9, -1e9
        for e in range(start[c], start[c + 1]):
            for k in range(3):
                low[c] = min(low[c], xyz[entries[e], k, 2])
                high[c] = max(high[c], xyz[entries[e], k, 2])


def build_grid(xyz: Float32[ndarray, "n 3 3"], bounds: tuple[float, float, float, float]) -> Grid:
    """The grid over a town's bounds; what lies outside is not in it."""
    x0, y0, x1, y1 = bounds
    columns, rows = int(np.ceil((x1 - x0) / CELL_M)), int(np.ceil((y1 - y0) / CELL_M))
    count = np.zeros(columns * rows, np.int64)
    _fill_grid(xyz, x0, y0, CELL_M, columns, rows, count, np.zeros(1, np.int32), False)
    start = np.concatenate([[0], np.cumsum(count)])
    entries = np.empty(start[-1], np.int32)
    _fill_grid(xyz, x0, y0, CELL_M, columns, rows, start[:-1].copy(), entries, True)
    low, high = np.empty(columns * rows, np.float32), np.empty(columns * rows, np.float32)
    _reach(xyz, start, entries, low, high)
    return Grid(start.astype(np.int32), entries, low, high, columns, rows, x0, y0)


@njit(cache=True, nogil=True)
@no_type_check
def _hit(t: ndarray, ox: float, oy: float, oz: float, dx: float, dy: float, dz: float, far: float) -> float:
    """Distance to a two-sided triangle, or ``far``."""
    ax, ay, az = np.float64(t[0, 0]), np.float64(t[0, 1]), np.float64(t[0, 2])
    e1x, e1y, e1z = t[1, 0] - ax, t[1, 1] - ay, t[1, 2] - az
    e2x, e2y, e2z = t[2, 0] - ax, t[2, 1] - ay, t[2, 2] - az
    px, py, pz = dy * e2z - dz * e2y, dz * e2x - dx * e2z, dx * e2y - dy * e2x
    det = e1x * px + e1y * py + e1z * pz
    if abs(det) < 1e-14:
        return far
    inverse = 1.0 / det
    sx, sy, sz = ox - ax, oy - ay, oz - az
    u = (sx * px + sy * py + sz * pz) * inverse
    if u < 0.0 or u > 1.0:
        return far
    qx, qy, qz = sy * e1z - sz * e1y, sz * e1x - sx * e1z, sx * e1y - sy * e1x
    v = (dx * qx + dy * qy + dz * qz) * inverse
    if v < 0.0 or u + v > 1.0:
        return far
    d = (e2x * qx + e2y * qy + e2z * qz) * inverse
    return d if d > 1e-9 and d < far else far


@njit(cache=True, nogil=True)
@no_type_check
def cast_still(
    xyz: ndarray, start: ndarray, entries: ndarray, low: ndarray, high: ndarray, columns: int, rows: int,
    corner: ndarray, origins: ndarray, ways: ndarray, far: float, distance: ndarray, triangle: ndarray,
) -> None:  # fmt: skip
    """The first static triangle on each ray (unit ``ways``), walking the grid cell by cell."""
    for r in range(len(origins)):
        ox, oy, oz = origins[r, 0], origins[r, 1], origins[r, 2]
        dx, dy, dz = ways[r, 0], ways[r, 1], ways[r, 2]
        best, which, t = far, -1, 0.0
        i, j = int(np.floor((ox - corner[0]) / CELL_M)), int(np.floor((oy - corner[1]) / CELL_M))
        sx, sy = (1 if dx > 0 else -1), (1 if dy > 0 else -1)
        step_x = CELL_M / abs(dx) if abs(dx) > 1e-12 else 1e18
        step_y = CELL_M / abs(dy) if abs(dy) > 1e-12 else 1e18
        next_x = (corner[0] + (i + (sx > 0)) * CELL_M - ox) / dx if abs(dx) > 1e-12 else 1e18
        next_y = (corner[1] + (j + (sy > 0)) * CELL_M - oy) / dy if abs(dy) > 1e-12 else 1e18
        while t < best and i >= 0 and j >= 0 and i < columns and j < rows:
            leave = min(next_x, next_y)
            c = j * columns + i
            z0, z1 = oz + t * dz, oz + min(leave, far) * dz
            if max(z0, z1) >= low[c] - 1e-3 and min(z0, z1) <= high[c] + 1e-3:
                for e in range(start[c], start[c + 1]):
                    d = _hit(xyz[entries[e]], ox, oy, oz, dx, dy, dz, best)
                    if d < best:
                        best, which = d, entries[e]
            t = leave
            if next_x < next_y:
                i += sx
                next_x += step_x
            else:
                j += sy
                next_y += step_y
        distance[r], triangle[r] = best, which


@njit(cache=True, nogil=True)
@no_type_check
def cast_moving(
    xyz: ndarray, first: int, end: int, number: int, size: ndarray, begin: ndarray, final: ndarray, share: ndarray,
    origins: ndarray, ways: ndarray, distance: ndarray, triangle: ndarray, owner: ndarray, incidence: ndarray,
) -> None:  # fmt: skip
    """Rays against one actor's own-frame triangles, at its pose of each ray's time; nearer hits replace what is there.

    ``begin`` and ``final`` are x, y, z, yaw at the sweep's two ends, ``share`` how far each ray lies between them.
    """
    turn = (final[3] - begin[3] + np.pi) % (2 * np.pi) - np.pi
    radius = 0.5 * np.sqrt(size[0] ** 2 + size[1] ** 2) + 0.05
    for r in range(len(origins)):
        f = share[r]
        x, y = begin[0] + f * (final[0] - begin[0]), begin[1] + f * (final[1] - begin[1])
        gx, gy = x - origins[r, 0], y - origins[r, 1]
        dx, dy, dz = ways[r, 0], ways[r, 1], ways[r, 2]
        side = gx * dy - gy * dx
        flat2 = dx * dx + dy * dy
        if side * side > radius * radius * flat2 or gx * dx + gy * dy < -radius:
            continue
        yaw = begin[3] + f * turn
        c, s = np.cos(yaw), np.sin(yaw)
        oz = origins[r, 2] - begin[2] - f * (final[2] - begin[2])
        ox, oy = -(c * gx + s * gy), s * gx - c * gy
        wx, wy = c * dx + s * dy, -s * dx + c * dy
        near, leave = 0.0, distance[r]
        for k in range(3):
            o, d = (ox, oy, oz)[k], (wx, wy, dz)[k]
            a = -0.5 * size[k] - 1e-3 if k < 2 else -1e-3
            b = 0.5 * size[k] + 1e-3 if k < 2 else size[2] + 1e-3
            if abs(d) < 1e-12:
                if o < a or o > b:
                    leave = -1.0
            else:
                p, q = (a - o) / d, (b - o) / d
                near, leave = max(near, min(p, q)), min(leave, max(p, q))
        if near > leave:
            continue
        for t in range(first, end):
            d = _hit(xyz[t], ox, oy, oz, wx, wy, dz, distance[r])
            if d < distance[r]:
                distance[r], triangle[r], owner[r] = d, t, number
                e1x, e1y, e1z = xyz[t, 1, 0] - xyz[t, 0, 0], xyz[t, 1, 1] - xyz[t, 0, 1], xyz[t, 1, 2] - xyz[t, 0, 2]
                e2x, e2y, e2z = xyz[t, 2, 0] - xyz[t, 0, 0], xyz[t, 2, 1] - xyz[t, 0, 1], xyz[t, 2, 2] - xyz[t, 0, 2]
                nx, ny, nz = e1y * e2z - e1z * e2y, e1z * e2x - e1x * e2z, e1x * e2y - e1y * e2x
                incidence[r] = abs(nx * wx + ny * wy + nz * dz) / (np.sqrt(nx * nx + ny * ny + nz * nz) + 1e-12)
