"""Rays against planes and boxes."""

import numpy as np
from jaxtyping import Float
from numpy import ndarray


def ray_plane(
    origin: Float[ndarray, "*#b 3"], direction: Float[ndarray, "*#b 3"], *, height_m: float = 0.0
) -> Float[ndarray, "..."]:
    """Distance along each ray, in units of its direction, to the plane z = height_m; inf where it misses."""
    fall = direction[..., 2]
    flat = np.abs(fall) < 1e-12
    distance = (height_m - origin[..., 2]) / np.where(flat, 1.0, fall)
    return np.where(flat | (distance < 0), np.inf, distance)


def ray_box(
    origin: Float[ndarray, "*#b 3"],
    direction: Float[ndarray, "*#b 3"],
    a_from_box: Float[ndarray, "*#b 4 4"],
    size_lwh_m: Float[ndarray, "*#b 3"],
) -> Float[ndarray, "..."]:
    """Distance along each ray to where it enters the box (0 from inside); inf where it misses (slab method).

    Batch dimensions broadcast.
    """
    rotation = a_from_box[..., :3, :3]
    local_o = np.einsum("...ji,...j->...i", rotation, origin - a_from_box[..., :3, 3])
    local_d = np.einsum("...ji,...j->...i", rotation, direction)
    half = np.asarray(size_lwh_m) / 2
    parallel = np.abs(local_d) < 1e-12
    safe = np.where(parallel, 1.0, local_d)
    t1, t2 = (-half - local_o) / safe, (half - local_o) / safe
    inside_slab = np.abs(local_o) <= half
    near = np.where(parallel, np.where(inside_slab, -np.inf, np.inf), np.minimum(t1, t2)).max(-1)
    far = np.where(parallel, np.where(inside_slab, np.inf, -np.inf), np.maximum(t1, t2)).min(-1)
    hit = (near <= far) & (far >= 0)
    return np.where(hit, np.maximum(near, 0.0), np.inf)
