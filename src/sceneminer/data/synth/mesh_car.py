"""Cars: a lofted lower body, a glass house, wheels and lamps, in seven body styles."""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy import ndarray

from sceneminer.data.synth.mesh import RGB, Pair, Soup, box, disc, joined, quad, soup_of, toned, tube

DARK: RGB = (0.06, 0.06, 0.065)
GLASS: RGB = (0.10, 0.12, 0.13)
RED: RGB = (0.55, 0.03, 0.03)
AMBER: RGB = (0.85, 0.45, 0.08)
CLEAR: RGB = (0.85, 0.87, 0.88)
PLATE: RGB = (0.85, 0.85, 0.80)


@dataclass(frozen=True)
class CarShape:
    """Where the glass house stands, as shares of the length from the nose, and heights as shares of the height."""

    cowl: float
    roof_front: float
    roof_rear: float
    rear_base: float
    belt: float
    nose: float
    tail: float
    roof_width: float = 0.78


CAR_SHAPES: dict[str, CarShape] = {
    "sedan": CarShape(0.27, 0.42, 0.70, 0.86, 0.62, 0.42, 0.60),
    "hatch": CarShape(0.25, 0.40, 0.84, 0.965, 0.60, 0.44, 0.56),
    "suv": CarShape(0.25, 0.38, 0.86, 0.97, 0.61, 0.50, 0.60, 0.82),
    "estate": CarShape(0.27, 0.41, 0.86, 0.975, 0.61, 0.43, 0.58),
    "van": CarShape(0.13, 0.30, 0.95, 0.985, 0.55, 0.38, 0.55, 0.88),
    "pickup": CarShape(0.27, 0.39, 0.55, 0.59, 0.58, 0.48, 0.57, 0.80),
    "coupe": CarShape(0.33, 0.48, 0.63, 0.90, 0.64, 0.40, 0.60),
}


def car(size: tuple[float, float, float], rgb: RGB, *, style: str, variant: int) -> Soup:
    """A car of about ``size`` (the caller fits it to the box exactly)."""
    shape = CAR_SHAPES[style]
    l, w, h = size
    parts = [_lower_body(shape, size, rgb), _glass_house(shape, size, rgb), *_lamps(shape, size)]
    radius = 0.225 * h if h < 1.6 else 0.205 * h
    parts += wheels(size, (0.175, 0.815), radius_m=radius)
    for side in (1, -1):
        x = l * (0.5 - shape.cowl - 0.03)
        parts.append(box((0.16, 0.14, 0.12), (x, side * (w / 2 + 0.05), (shape.belt + 0.03) * h), "car_paint", rgb))
    if style == "pickup":
        parts.append(box((l * 0.34, w * 0.78, 0.02), (-l * 0.31, 0, (shape.belt + 0.004) * h), "plastic", DARK))
    if style in ("suv", "estate") and variant % 2:
        for side in (1, -1):
            rail = (l * 0.42, 0.05, 0.05)
            parts.append(box(rail, (-l * 0.12, side * w * 0.33, h), "metal", (0.35, 0.35, 0.36)))
    return joined(parts)


def wheels(
    size: tuple[float, float, float], axles: tuple[float, ...], *, radius_m: float, arches: bool = True
) -> list[Soup]:
    """Tyres with rims at the given shares of the length, and dark arches around them."""
    l, w, _ = size
    out = []
    for share in axles:
        x = l * (0.5 - share)
        for side in (1, -1):
            y = side * w / 2
            out.append(tube((x, y * 0.72, radius_m), (x, y * 0.99, radius_m), radius_m, "tyre", DARK, sides=14))
            face = disc((x, y * 1.001, radius_m), (0, side, 0), radius_m * 0.97, "tyre", DARK, sides=14, part="wheel")
            out.append(face)
            if arches:
                out.append(disc((x, y * 0.994, radius_m * 1.08), (0, side, 0), radius_m * 1.2, "plastic", DARK))
    return out


def _lower_body(shape: CarShape, size: tuple[float, float, float], rgb: RGB) -> Soup:
    l, w, h = size
    share = np.array([0.0, 0.025, 0.09, shape.cowl, 0.5, shape.rear_base, 0.965, 1.0])
    share = np.unique(np.clip(share, 0, 1))
    half = np.interp(share, [0, 0.025, 0.09, 0.25, 0.75, 0.92, 0.975, 1], [0.74, 0.88, 0.97, 1, 1, 0.97, 0.91, 0.84])
    half = half * w / 2
    top = np.interp(
        share,
        [0, 0.025, shape.cowl, shape.rear_base, max(0.955, shape.rear_base + 0.002), 1],
        [shape.nose - 0.08, shape.nose, shape.belt, shape.belt, shape.tail, shape.tail - 0.08],
    )
    bottom = np.interp(share, [0, 0.06, 0.94, 1], [0.17, 0.13, 0.13, 0.18]) * h
    x, top = l * (0.5 - share), top * h
    mid = bottom + 0.55 * (top - bottom)
    rail = [
        np.stack([x, half * 0.93, bottom], -1),
        np.stack([x, half * 0.99, bottom + 0.10 * h], -1),
        np.stack([x, half, mid], -1),
        np.stack([x, half * 0.94, top], -1),
    ]
    parts = []
    for k, (low, high) in enumerate(pairwise(rail)):
        for side in (1, -1):
            flip = np.array([1.0, side, 1.0])
            a, b = (low * flip, high * flip) if side > 0 else (high * flip, low * flip)
            if k == 0:
                parts.append(_strip(a, b, "plastic", toned(rgb, 0.35, 0.03), part="plain"))
            else:
                parts.append(_strip(a, b, "car_paint", rgb, part="body_side"))
    for i in range(len(x) - 1):
        hood = x[i] > l * (0.5 - shape.cowl) - 1e-6 and x[i + 1] >= l * (0.5 - shape.cowl) - 1e-6
        a, b = rail[3][i], rail[3][i + 1]
        mirror = np.array([1.0, -1.0, 1.0])
        material = "engine_hood" if hood else "car_paint"
        parts.append(quad(np.array([a, b, b * mirror, a * mirror]), material, rgb, part="body"))
    for i, order in ((0, 1), (-1, -1)):
        ring = np.array([r[i] for r in rail])
        other = ring * np.array([1.0, -1.0, 1.0])
        for k in range(3):
            corners = np.array([other[k], ring[k], ring[k + 1], other[k + 1]])[::order]
            tone = toned(rgb, 0.35, 0.03) if k == 0 else rgb
            parts.append(quad(corners, "car_paint" if k else "plastic", tone, part="body" if k else "plain"))
    return joined(parts)


def _strip(low: ndarray, high: ndarray, material: str, rgb: RGB, *, part: str) -> Soup:
    """A strip between two rails, normals smooth along it; u and v are x and z in metres."""
    edge = np.cross(high[:-1] - low[:-1], low[1:] - low[:-1])
    edge /= np.maximum(np.linalg.norm(edge, axis=1, keepdims=True), 1e-9)
    normal = np.concatenate([edge[:1], edge[:-1] + edge[1:], edge[-1:]])
    normal *= np.sign(normal[:, 1:2] * low[:, 1:2] + 1e-12)
    normal /= np.linalg.norm(normal, axis=1, keepdims=True)
    i, j = np.arange(len(low) - 1), np.arange(1, len(low))
    xyz = np.stack([low[i], low[j], high[j], low[i], high[j], high[i]], 1)
    n = np.stack([normal[i], normal[j], normal[j], normal[i], normal[j], normal[i]], 1)
    return soup_of(xyz, material, rgb, part=part, normal=n, uv=xyz[..., [0, 2]])


def _glass_house(shape: CarShape, size: tuple[float, float, float], rgb: RGB) -> Soup:
    l, w, h = size
    wb, wt = w * 0.465, w * 0.5 * shape.roof_width
    zb, zt, zr = shape.belt * h - 0.01, h, 0.975 * h

    def at(share: float, y: float, z: float) -> list[float]:
        return [l * (0.5 - share), y, z]

    c, a, b, d = shape.cowl, shape.roof_front, shape.roof_rear, shape.rear_base
    parts = [
        quad(np.array([at(a, -wt, zt), at(a, wt, zt), at(b, wt, zr), at(b, -wt, zr)]), "car_paint", rgb, part="body")
    ]
    unit = np.array([[0, 0], [1, 0], [1, 1], [0, 1]])
    front = np.array([at(c, -wb, zb), at(c, wb, zb), at(a, wt, zt), at(a, -wt, zt)])
    back = np.array([at(d, wb, zb), at(d, -wb, zb), at(b, -wt, zr), at(b, wt, zr)])
    parts.append(quad(front, "car_glass", rgb, part="glass", uv=unit))
    parts.append(quad(back, "car_glass", rgb, part="glass", uv=unit))
    for side in (1, -1):
        y0, y1 = side * wb, side * wt
        # Two shares along the side: 0 at the tail, 1 at the nose.
        corners = np.array([at(d, y0, zb), at(c, y0, zb), at(a, y1, zt), at(b, y1, zr)])
        middle = np.array([(corners[0] + corners[1]) / 2, (corners[3] + corners[2]) / 2])
        for k, (p, q, r, s, u0) in enumerate(
            ((corners[0], middle[0], middle[1], corners[3], 0.0), (middle[0], corners[1], corners[2], middle[1], 0.5))
        ):
            uv = np.array([[u0, 0], [u0 + 0.5, 0], [u0 + 0.5, 1], [u0, 1]])
            points = np.array([p, q, r, s])
            if side > 0:
                points, uv = points[[1, 0, 3, 2]], uv[[1, 0, 3, 2]]
            parts.append(quad(points, "car_glass", rgb, part="side_glass", uv=uv))
            assert k < 2
    return joined(parts)


def _lamps(shape: CarShape, size: tuple[float, float, float]) -> list[Soup]:
    l, w, h = size
    front, rear = l / 2, -l / 2
    out = [
        quad_facing(front + 0.008, (0, (shape.nose - 0.17) * h), (0.46 * w, 0.10 * h), "plastic", DARK, part="grille"),
        quad_facing(front + 0.010, (0, 0.22 * h), (0.5, 0.11), "plastic", PLATE, part="plate"),
        quad_facing(rear - 0.008, (0, (shape.tail - 0.22) * h), (0.5, 0.11), "plastic", PLATE, part="plate"),
    ]
    for side in (1, -1):
        turn = "indicator_left" if side > 0 else "indicator_right"
        z = (shape.nose - 0.075) * h
        lamp = (0.03 * l, 0.16 * w, 0.075 * h)
        out.append(box(lamp, (front - 0.018 * l, side * 0.335 * w, z), "head_lamp", CLEAR, part="head_lamp"))
        corner = (0.03 * l, 0.05 * w, 0.07 * h)
        out.append(box(corner, (front - 0.028 * l, side * 0.425 * w, z), "head_lamp", AMBER, part=turn))
        z = (shape.tail - 0.10) * h
        lamp = (0.03 * l, 0.15 * w, 0.10 * h)
        out.append(box(lamp, (rear + 0.013 * l, side * 0.355 * w, z), "tail_lamp", RED, part="tail_lamp"))
        corner = (0.03 * l, 0.14 * w, 0.035 * h)
        out.append(box(corner, (rear + 0.013 * l, side * 0.355 * w, z - 0.07 * h), "tail_lamp", AMBER, part=turn))
    return out


def quad_facing(
    x_m: float,
    centre_yz: Pair,
    size_wh: Pair,
    material: str,
    rgb: RGB,
    *,
    part: str = "plain",
) -> Soup:
    """An upright rectangle that looks forward (x > 0) or back, u and v from 0 to 1."""
    (y, z), (w, h), s = centre_yz, size_wh, np.sign(x_m)
    corners = [[x_m, y - s * w / 2, z - h / 2], [x_m, y + s * w / 2, z - h / 2]]
    corners += [[x_m, y + s * w / 2, z + h / 2], [x_m, y - s * w / 2, z + h / 2]]
    return quad(np.array(corners), material, rgb, part=part, uv=np.array([[0, 0], [1, 0], [1, 1], [0, 1]]))


def quad_side(
    y_m: float,
    centre_xz: Pair,
    size_lh: Pair,
    material: str,
    rgb: RGB,
    *,
    part: str = "plain",
) -> Soup:
    """An upright rectangle that looks left (y > 0) or right, u and v in metres."""
    (x, z), (l, h), s = centre_xz, size_lh, np.sign(y_m)
    corners = [[x + s * l / 2, y_m, z - h / 2], [x - s * l / 2, y_m, z - h / 2]]
    corners += [[x - s * l / 2, y_m, z + h / 2], [x + s * l / 2, y_m, z + h / 2]]
    return quad(np.array(corners), material, rgb, part=part)
