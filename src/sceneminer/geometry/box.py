"""Oriented boxes: corners, membership, and gaps between their footprints.

A box is a pose of its centre (x along its length) and a size (length, width, height) in metres.
"""

import numpy as np
from jaxtyping import Bool, Float
from numpy import ndarray

# Corners in order: bottom face counter-clockwise from front left, then the top face.
_CORNERS = 0.5 * np.array(
    [[1, 1, -1], [-1, 1, -1], [-1, -1, -1], [1, -1, -1], [1, 1, 1], [-1, 1, 1], [-1, -1, 1], [1, -1, 1]]
)
_FOOTPRINT = _CORNERS[:4, :2]


def box_corners(a_from_box: Float[ndarray, "*b 4 4"], size_lwh_m: Float[ndarray, "*b 3"]) -> Float[ndarray, "*b 8 3"]:
    """The eight corners in frame a: bottom face counter-clockwise from front left, then the top face."""
    local = _CORNERS * np.asarray(size_lwh_m, np.float64)[..., None, :]
    return local @ np.swapaxes(a_from_box[..., :3, :3], -1, -2) + a_from_box[..., None, :3, 3]


def footprint(
    center_xy_m: Float[ndarray, "*b 2"], yaw_rad: Float[ndarray, "*b"] | float, size_lw_m: Float[ndarray, "*b 2"]
) -> Float[ndarray, "*b 4 2"]:
    """The four corners seen from above, counter-clockwise from front left."""
    local = _FOOTPRINT * np.asarray(size_lw_m, np.float64)[..., None, :]
    c, s = (np.asarray(f(yaw_rad))[..., None] for f in (np.cos, np.sin))
    x, y = local[..., 0], local[..., 1]
    return np.stack([c * x - s * y, s * x + c * y], -1) + np.asarray(center_xy_m)[..., None, :]


def points_in_box(
    a_from_box: Float[ndarray, "4 4"],
    size_lwh_m: Float[ndarray, "3"],
    points_a: Float[ndarray, "n 3"],
    *,
    margin_m: float = 0.0,
) -> Bool[ndarray, "n"]:
    """Which points lie in the box grown by ``margin_m`` on every side."""
    local = (points_a - a_from_box[:3, 3]) @ a_from_box[:3, :3]
    return np.all(np.abs(local) <= np.asarray(size_lwh_m) / 2 + margin_m, axis=-1)


def footprint_gap(a: Float[ndarray, "*#b 4 2"], b: Float[ndarray, "*#b 4 2"]) -> Float[ndarray, "..."]:
    """Distance in metres between two convex footprints, exactly; 0 where they touch or overlap.

    Either the footprints overlap (no separating axis), or the gap is from a corner of one to an edge of the
    other. Footprints have a length and a width. Batch dimensions broadcast; NaN corners give NaN.
    """
    a, b = np.broadcast_arrays(np.asarray(a, np.float64), np.asarray(b, np.float64))
    shape = a.shape[:-2]
    a, b = a.reshape(-1, 4, 2), b.reshape(-1, 4, 2)
    gap = np.minimum(_corner_to_edge(a, b), _corner_to_edge(b, a))
    apart = _separated(a, b) | _separated(b, a)
    return np.where(np.isnan(gap), np.nan, np.where(apart, gap, 0.0)).reshape(shape)


def _separated(a: ndarray, b: ndarray) -> ndarray:
    """True where an edge normal of a (counter-clockwise) has all of b strictly outside."""
    edge = np.roll(a, -1, -2) - a
    normal = np.stack([edge[..., 1], -edge[..., 0]], -1)
    outside = np.einsum("...ed,...ecd->...ec", normal, b[..., None, :, :] - a[..., :, None, :])
    return np.any(np.all(outside > 0, -1), -1)


def _corner_to_edge(corners: ndarray, of: ndarray) -> ndarray:
    start = of[..., None, :, :]
    edge = np.roll(of, -1, -2)[..., None, :, :] - start
    to = corners[..., :, None, :] - start
    length2 = np.maximum(np.sum(edge * edge, -1), 1e-18)
    along = np.clip(np.sum(to * edge, -1) / length2, 0.0, 1.0)
    return np.sqrt(np.min(np.sum((to - along[..., None] * edge) ** 2, -1), axis=(-2, -1)))
