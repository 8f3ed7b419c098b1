"""How a straight plan becomes a winding town: one smooth map for all streets, and a bulge for each.

The map is a conformal polynomial (junctions stay square whatever the curve) with shallow waves on top. The bulge of a
street leaves its ends and their headings where they are.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from numpy import ndarray

MIN_BULGE_RADIUS_M = 55.0
POINT_M = 0.25


@dataclass(frozen=True)
class Bend:
    """A map of the plan's square into the town: z + sum of c_k z^k, and waves that shift lines sideways."""

    scale_m: float
    turn: complex
    powers: tuple[complex, ...]
    waves: Float[ndarray, "2 k 3"]
    """For x and y: amplitude, wave number, phase of each wave along the other axis."""

    def __call__(self, uv: Float[ndarray, "n 2"]) -> Float[ndarray, "n 2"]:
        z = (uv[:, 0] + 1j * uv[:, 1]) / self.scale_m
        bent = (z + sum(c * z ** (k + 2) for k, c in enumerate(self.powers))) * self.scale_m
        for axis, unit in ((0, 1.0), (1, 1j)):
            a, number, phase = self.waves[axis].T
            bent = bent + unit * (a * np.sin(number * uv[:, 1 - axis, None] + phase)).sum(axis=1)
        bent = bent * self.turn
        return np.stack([bent.real, bent.imag], axis=1)


def draw_bend(curvature: float, half_m: float, rng: np.random.Generator) -> Bend:
    """Draw the map of a town; at curvature 0 it only turns the plan."""
    powers = tuple(
        complex(limit * curvature * rng.uniform(0.4, 1.0) * np.exp(2j * np.pi * rng.random())) for limit in (0.07, 0.03)
    )
    lengths_m = rng.uniform(170.0, 320.0, (2, 2))
    slopes = 0.13 * curvature * rng.uniform(0.3, 1.0, (2, 2))
    numbers = 2 * np.pi / lengths_m
    waves = np.stack([slopes / numbers, numbers, rng.uniform(0, 2 * np.pi, (2, 2))], axis=2)
    return Bend(half_m, complex(np.exp(1j * rng.uniform(-0.25, 0.25))), powers, waves)


def bent_line(
    start_uv: Float[ndarray, "2"],
    end_uv: Float[ndarray, "2"],
    bend: Bend,
    *,
    curvature: float,
    rng: np.random.Generator,
) -> Float[ndarray, "n 4"]:
    """x, y, unwrapped yaw and station of a stretch of street, from one place of the plan to another."""
    length = float(np.linalg.norm(end_uv - start_uv))
    count = int(length / POINT_M) + 1
    share = np.linspace(-1 / count, 1 + 1 / count, count + 3)  # one point beyond each end, for the tangents there
    xy = bend(start_uv + share[:, None] * (end_uv - start_uv))
    tangent = _tangent(xy)
    limit = curvature * length**2 / (32 * MIN_BULGE_RADIUS_M)
    even, odd = rng.uniform(-limit, limit), rng.uniform(-1.2 * limit, 1.2 * limit)
    t = np.clip(share, 0.0, 1.0)
    bulge = 16 * (t * (1 - t)) ** 2 * (even + odd * (1 - 2 * t))
    xy = xy + np.column_stack([-tangent[:, 1], tangent[:, 0]]) * bulge[:, None]
    tangent = _tangent(xy)[1:-1]
    xy = xy[1:-1]
    yaw = np.unwrap(np.arctan2(tangent[:, 1], tangent[:, 0]))
    station = np.concatenate([[0.0], np.cumsum(np.hypot(*np.diff(xy, axis=0).T))])
    return np.column_stack([xy, yaw, station])


def _tangent(xy: ndarray) -> ndarray:
    along = np.gradient(xy, axis=0)
    return along / np.linalg.norm(along, axis=1, keepdims=True)
