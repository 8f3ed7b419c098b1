"""The slow, obvious reference: every ray against every triangle (Möller and Trumbore 1997), in NumPy."""

import numpy as np
from jaxtyping import Float, Int
from numpy import ndarray


def cast(
    xyz: Float[ndarray, "n 3 3"], origins: Float[ndarray, "r 3"], directions: Float[ndarray, "r 3"]
) -> tuple[Float[ndarray, "r"], Int[ndarray, "r"]]:
    """Distance along each ray, in units of its direction, to the first triangle, and its index; inf and -1 on a miss.

    Triangles have two sides.
    """
    corners = np.asarray(xyz, np.float64)
    a, e1, e2 = corners[:, 0], corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]
    best, which = np.full(len(origins), np.inf), np.full(len(origins), -1, np.int64)
    for k, (origin, way) in enumerate(zip(origins, directions, strict=True)):
        p = np.cross(way, e2)
        det = np.einsum("ij,ij->i", e1, p)
        flat = np.abs(det) < 1e-14
        inverse = 1.0 / np.where(flat, 1.0, det)
        s = origin - a
        u = np.einsum("ij,ij->i", s, p) * inverse
        q = np.cross(s, e1)
        v = q @ way * inverse
        t = np.einsum("ij,ij->i", e2, q) * inverse
        hit = ~flat & (u >= 0) & (v >= 0) & (u + v <= 1) & (t > 1e-9)
        distance = np.where(hit, t, np.inf)
        nearest = int(np.argmin(distance))
        if np.isfinite(distance[nearest]):
            best[k], which[k] = distance[nearest], nearest
    return best, which
