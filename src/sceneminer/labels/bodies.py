"""Bodies seen from above: oriented rectangles that keep their speed and turn rate, and where that takes them."""

from dataclasses import dataclass, fields

import numpy as np
from jaxtyping import Float
from numpy import ndarray


@dataclass(frozen=True, eq=False)
class Bodies:
    """Rectangles with a velocity, one an element; all arrays have one shape."""

    x_m: Float[ndarray, "*b"]
    """Of the rectangle's centre."""
    y_m: Float[ndarray, "*b"]
    yaw_rad: Float[ndarray, "*b"]
    vx_mps: Float[ndarray, "*b"]
    """Of the centre; need not point along the yaw."""
    vy_mps: Float[ndarray, "*b"]
    yaw_rate_rps: Float[ndarray, "*b"]
    length_m: Float[ndarray, "*b"]
    width_m: Float[ndarray, "*b"]

    def __getitem__(self, index: ndarray | slice | tuple) -> "Bodies":
        return Bodies(**{f.name: getattr(self, f.name)[index] for f in fields(self)})

    @property
    def speed_mps(self) -> Float[ndarray, "*b"]:
        return np.hypot(self.vx_mps, self.vy_mps)

    @property
    def radius_m(self) -> Float[ndarray, "*b"]:
        """Of the circle around the centre that holds the rectangle."""
        return 0.5 * np.hypot(self.length_m, self.width_m)

    def straight(self) -> "Bodies":
        """The same bodies without their turn rate."""
        return Bodies(
            **{f.name: getattr(self, f.name) for f in fields(self) if f.name != "yaw_rate_rps"},
            yaw_rate_rps=np.zeros_like(self.yaw_rate_rps),
        )


def roll_out(bodies: Bodies, after_s: Float[ndarray, "..."]) -> Bodies:
    """The bodies ``after_s`` later at constant turn rate and velocity; ``after_s`` broadcasts against them.

    The centre's velocity turns with the body: v(τ) = R(ωτ) v(0), so that p(τ) = p(0) + ∫ R(ωs) v(0) ds, written
    with sinc so that ω = 0 is no special case. Exact for any point fixed to a body whose rear axle drives a circle.
    """
    turn = bodies.yaw_rate_rps * after_s
    ahead = after_s * np.sinc(turn / np.pi)
    aside = after_s * 0.5 * turn * np.sinc(0.5 * turn / np.pi) ** 2
    vx, vy = bodies.vx_mps, bodies.vy_mps
    cos, sin = np.cos(turn), np.sin(turn)
    still = np.zeros_like(turn)
    return Bodies(
        x_m=bodies.x_m + vx * ahead - vy * aside,
        y_m=bodies.y_m + vy * ahead + vx * aside,
        yaw_rad=bodies.yaw_rad + turn,
        vx_mps=cos * vx - sin * vy,
        vy_mps=sin * vx + cos * vy,
        yaw_rate_rps=bodies.yaw_rate_rps + still,
        length_m=bodies.length_m + still,
        width_m=bodies.width_m + still,
    )


def box_gap(a: Bodies, b: Bodies) -> Float[ndarray, "*b"]:
    """Distance in metres between the rectangles, exactly; 0 where they touch or overlap.

    Apart, the nearest pair of points of two convex polygons has a corner in it, and a corner's distance to a
    rectangle is that of its coordinates beyond the half sizes. Agrees with ``geometry.box.footprint_gap``.
    """
    nearest = np.sqrt(np.minimum(_corners_to_box(a, b), _corners_to_box(b, a)))
    return np.where(overlap_m(a, b) > 0, 0.0, nearest)


def overlap_m(a: Bodies, b: Bodies) -> Float[ndarray, "*b"]:
    """The smallest overlap over the four edge normals: negative where an axis separates the rectangles."""
    dx, dy = b.x_m - a.x_m, b.y_m - a.y_m
    return np.minimum(
        _least_overlap(dx, dy, a, b.yaw_rad - a.yaw_rad, b), _least_overlap(dx, dy, b, a.yaw_rad - b.yaw_rad, a)
    )


def _least_overlap(dx: ndarray, dy: ndarray, of: Bodies, turned: ndarray, other: Bodies) -> ndarray:
    along, across = reach(of, turned, other)
    cos, sin = np.cos(of.yaw_rad), np.sin(of.yaw_rad)
    return np.minimum(along - np.abs(dx * cos + dy * sin), across - np.abs(dy * cos - dx * sin))


def reach(of: Bodies, turned_rad: Float[ndarray, "..."], other: Bodies) -> tuple[ndarray, ndarray]:
    """Half sizes of both rectangles added up along the first one's length and across it."""
    cos, sin = np.abs(np.cos(turned_rad)), np.abs(np.sin(turned_rad))
    along = 0.5 * (of.length_m + cos * other.length_m + sin * other.width_m)
    across = 0.5 * (of.width_m + sin * other.length_m + cos * other.width_m)
    return along, across


def _corners_to_box(corners_of: Bodies, box: Bodies) -> ndarray:
    """Squared distance of the nearest of four corners to a rectangle."""
    cos, sin = np.cos(box.yaw_rad), np.sin(box.yaw_rad)
    dx, dy = corners_of.x_m - box.x_m, corners_of.y_m - box.y_m
    x, y = dx * cos + dy * sin, dy * cos - dx * sin
    turned = corners_of.yaw_rad - box.yaw_rad
    lx, ly = 0.5 * corners_of.length_m * np.cos(turned), 0.5 * corners_of.length_m * np.sin(turned)
    wx, wy = -0.5 * corners_of.width_m * np.sin(turned), 0.5 * corners_of.width_m * np.cos(turned)
    half_l, half_w = 0.5 * box.length_m, 0.5 * box.width_m
    best = None
    for s, t in ((1, 1), (1, -1), (-1, 1), (-1, -1)):
        out_x = np.maximum(np.abs(x + s * lx + t * wx) - half_l, 0.0)
        out_y = np.maximum(np.abs(y + s * ly + t * wy) - half_w, 0.0)
        square = out_x * out_x + out_y * out_y
        best = square if best is None else np.minimum(best, square)
    assert best is not None
    return best
