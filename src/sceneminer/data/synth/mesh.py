"""Triangles with what a sensor needs to know about each: normal, colour, material, texture kind.

A mesh is built in its own frame: x forward, y left, z up, origin at the bottom centre, so that a pose puts it on the
ground. Textures are procedural (``texture``): a triangle carries a ``PART``, which says how to read its ``uv``.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache

import numpy as np
from jaxtyping import Float32, UInt8
from numpy import ndarray

from sceneminer.data.synth.scene import MATERIAL_ID

RGB = tuple[float, float, float]
Point = ndarray | Sequence[float | int]
"""x, y, z (or a size along them)."""
Pair = tuple[float | int, float | int]

PARTS = (
    "plain",
    "ground",
    "kerb",
    "facade",
    "roof",
    "foliage",
    "body",
    "body_side",
    "side_glass",
    "glass",
    "head_lamp",
    "tail_lamp",
    "indicator_left",
    "indicator_right",
    "plate",
    "stripes",
    "sign",
    "billboard",
    "signal_red",
    "signal_amber",
    "signal_green",
    "street_lamp",
    "bus_side",
    "grille",
    "bark",
    "bricks",
    "beacon",
    "wheel",
    "cargo",
    "cloth",
    "mesh_fence",
)
"""How the shader textures a triangle."""
PART = {name: i for i, name in enumerate(PARTS)}


@dataclass(frozen=True)
class Soup:
    """Triangles without shared vertices."""

    xyz: Float32[ndarray, "n 3 3"]
    normal: Float32[ndarray, "n 3 3"]
    """Per corner, outward, unit length."""
    uv: Float32[ndarray, "n 3 2"]
    """Metres along the surface, unless the part says otherwise."""
    rgb: Float32[ndarray, "n 3"]
    """Display colour 0 to 1."""
    material: UInt8[ndarray, "n"]
    part: UInt8[ndarray, "n"]

    def __len__(self) -> int:
        return len(self.xyz)


def soup_of(
    xyz: ndarray,
    material: str,
    rgb: RGB,
    *,
    part: str = "plain",
    uv: ndarray | None = None,
    normal: ndarray | None = None,
) -> Soup:
    """Triangles of one surface; without normals they are flat, without uv it is 0."""
    xyz = np.asarray(xyz, np.float64).reshape(-1, 3, 3)
    n = len(xyz)
    if normal is None:
        p, q = (xyz[:, 1] - xyz[:, 0]).T, (xyz[:, 2] - xyz[:, 0]).T
        face = np.stack([p[1] * q[2] - p[2] * q[1], p[2] * q[0] - p[0] * q[2], p[0] * q[1] - p[1] * q[0]], -1)
        face /= np.maximum(np.sqrt((face**2).sum(1, keepdims=True)), 1e-12)
        normal = np.repeat(face[:, None], 3, 1)
    return Soup(
        xyz.astype(np.float32),
        np.asarray(normal, np.float32).reshape(n, 3, 3),
        np.zeros((n, 3, 2), np.float32) if uv is None else np.asarray(uv, np.float32).reshape(n, 3, 2),
        np.broadcast_to(np.asarray(rgb, np.float32), (n, 3)).copy(),
        np.full(n, MATERIAL_ID[material], np.uint8),
        np.full(n, PART[part], np.uint8),
    )


def toned(rgb: RGB, gain: float, lift: float = 0.0) -> RGB:
    """A colour made lighter or darker, at most white."""
    r, g, b = (min(1.0, gain * c + lift) for c in rgb)
    return r, g, b


def drawn_rgb(rng: np.random.Generator, low: float, high: float) -> RGB:
    r, g, b = (float(c) for c in rng.uniform(low, high, 3))
    return r, g, b


def vec(x: float | int, y: float | int, z: float | int) -> ndarray:
    return np.array([x, y, z], np.float64)


def joined(soups: Sequence[Soup]) -> Soup:
    """All triangles of several meshes of one frame."""
    fields = ("xyz", "normal", "uv", "rgb", "material", "part")
    return Soup(*(np.concatenate([getattr(s, f) for s in soups]) for f in fields))


def moved(soup: Soup, shift: Point, *, yaw_rad: float | int = 0.0, pitch_rad: float = 0.0) -> Soup:
    """The mesh pitched about y (nose down is positive), then turned about z, then shifted."""
    cy, sy, cp, sp = np.cos(yaw_rad), np.sin(yaw_rad), np.cos(pitch_rad), np.sin(pitch_rad)
    turn = np.array([[cy, -sy, 0], [sy, cy, 0], [0, 0, 1]]) @ np.array([[cp, 0, sp], [0, 1, 0], [-sp, 0, cp]])
    xyz = soup.xyz.astype(np.float64) @ turn.T + np.asarray(shift, np.float64)
    return replace(soup, xyz=xyz.astype(np.float32), normal=(soup.normal @ turn.T.astype(np.float32)))


def fitted(soup: Soup, size_lwh_m: Point) -> Soup:
    """The mesh stretched so that it fills the box exactly, bottom at z = 0, centred in x and y."""
    corners = soup.xyz.reshape(-1, 3)
    return stretched(soup, corners.min(0), corners.max(0), size_lwh_m)


def stretched(soup: Soup, low: ndarray, high: ndarray, size_lwh_m: Point) -> Soup:
    """The mesh mapped so that the box from ``low`` to ``high`` becomes one of this size on the ground."""
    low, high = np.asarray(low, np.float64), np.asarray(high, np.float64)
    scale = np.asarray(size_lwh_m, np.float64) / np.maximum(high - low, 1e-9)
    centre = np.array([(low[0] + high[0]) / 2, (low[1] + high[1]) / 2, low[2]])
    normal = soup.normal / scale
    normal /= np.maximum(np.sqrt((normal**2).sum(-1, keepdims=True)), 1e-12)
    return replace(soup, xyz=((soup.xyz - centre) * scale).astype(np.float32), normal=normal.astype(np.float32))


def quad(
    corners: ndarray,
    material: str,
    rgb: RGB,
    *,
    part: str = "plain",
    uv: ndarray | None = None,
) -> Soup:
    """Two triangles of a planar quadrilateral, counter-clockwise seen from outside.

    Without uv, u and v are metres from the first corner along its first and last edge.
    """
    c = np.asarray(corners, np.float64)
    if uv is None:
        width, height = np.linalg.norm(c[1] - c[0]), np.linalg.norm(c[3] - c[0])
        uv = np.array([[0, 0], [width, 0], [width, height], [0, height]])
    pick = [0, 1, 2, 0, 2, 3]
    return soup_of(c[pick], material, rgb, part=part, uv=np.asarray(uv)[pick])


def box(
    size: Point,
    centre: Point,
    material: str,
    rgb: RGB,
    *,
    part: str = "plain",
    top: Pair = (1.0, 1.0),
    top_shift_m: float | int = 0.0,
    skip: str = "",
) -> Soup:
    """A box around ``centre``; its top may be narrower (``top`` scales x and y) and shifted along x.

    ``skip`` names faces left out: f(ront) b(ack) l(eft) r(ight) t(op) u(nderside).
    """
    l, w, h = np.asarray(size, np.float64) / 2
    tx, ty, s = l * top[0], w * top[1], top_shift_m
    low = [[l, w, -h], [-l, w, -h], [-l, -w, -h], [l, -w, -h]]
    high = [[tx + s, ty, h], [-tx + s, ty, h], [-tx + s, -ty, h], [tx + s, -ty, h]]
    v = np.array([*low, *high]) + np.asarray(centre, np.float64)
    faces = {"f": (3, 0, 4, 7), "b": (1, 2, 6, 5), "l": (0, 1, 5, 4), "r": (2, 3, 7, 6), "t": (7, 4, 5, 6)}
    faces["u"] = (0, 3, 2, 1)
    c = v[np.array([f for k, f in faces.items() if k not in skip])]
    wide, tall = (np.sqrt(((c[:, k] - c[:, 0]) ** 2).sum(1)) for k in (1, 3))
    zero = np.zeros(len(c))
    uv = np.stack([np.stack(t, -1) for t in ((zero, zero), (wide, zero), (wide, tall), (zero, tall))], 1)
    pick = [0, 1, 2, 0, 2, 3]
    return soup_of(c[:, pick], material, rgb, part=part, uv=uv[:, pick])


def tube(
    start: Point,
    end: Point,
    radius_m: float | Pair,
    material: str,
    rgb: RGB,
    *,
    sides: int = 8,
    part: str = "plain",
    caps: bool = True,
) -> Soup:
    """A cylinder or cone between two points, with smooth sides."""
    a, b = np.asarray(start, np.float64), np.asarray(end, np.float64)
    r0, r1 = radius_m if isinstance(radius_m, tuple) else (radius_m, radius_m)
    length = max(float(np.sqrt(((b - a) ** 2).sum())), 1e-9)
    axis = (b - a) / length
    side = _perpendicular(axis)
    flat, pick, caps_pick = _tube_table(sides)
    ring = flat[:, :1] * side + flat[:, 1:] * _cross(axis, side)
    rails = np.concatenate([a + r0 * ring, b + r1 * ring, [a], [b]])
    around = np.arange(sides + 1) * (2 * np.pi / sides * max(r0, r1))
    rail_uv = np.stack([np.tile(around, 2), np.repeat([0.0, length], sides + 1)], -1)
    normals = np.concatenate([ring, ring])
    wall = soup_of(rails[pick], material, rgb, part=part, normal=normals[pick], uv=rail_uv[pick])
    if not caps:
        return wall
    face = np.repeat(np.stack([-axis, axis]), 3 * sides, 0)
    return joined([wall, soup_of(rails[caps_pick], material, rgb, normal=face)])


@cache
def _tube_table(sides: int) -> tuple[ndarray, ndarray, ndarray]:
    """The unit circle, and which ring points make the sides and the two caps of a tube."""
    angle = np.linspace(0, 2 * np.pi, sides + 1)
    i, n = np.arange(sides), sides + 1
    pick = np.stack([i, i + 1, n + i + 1, i, n + i + 1, n + i], 1).reshape(-1)
    low = np.stack([np.full(sides, 2 * n), i + 1, i], 1)
    high = np.stack([np.full(sides, 2 * n + 1), n + i, n + i + 1], 1)
    return np.stack([np.cos(angle), np.sin(angle)], -1), pick, np.concatenate([low, high]).reshape(-1)


def _cross(a: ndarray, b: ndarray) -> ndarray:
    """np.cross for single vectors, without its overhead."""
    return np.array([a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]])


def _perpendicular(axis: ndarray) -> ndarray:
    side = _cross(axis, np.array([0.0, 0.0, 1.0] if abs(axis[2]) < 0.9 else [1.0, 0.0, 0.0]))
    return side / np.sqrt((side**2).sum())


def disc(
    centre: Point,
    facing: Point,
    radius_m: float | int,
    material: str,
    rgb: RGB,
    *,
    sides: int = 12,
    part: str = "plain",
) -> Soup:
    """A flat disc that looks along ``facing``; uv runs from -1 to 1 across it."""
    n = np.asarray(facing, np.float64) / np.linalg.norm(facing)
    side = np.cross([0.0, 0.0, 1.0] if abs(n[2]) < 0.9 else [0.0, 1.0, 0.0], n)
    side /= np.linalg.norm(side)
    angle = np.linspace(0, 2 * np.pi, sides + 1)
    flat = np.stack([np.cos(angle), np.sin(angle)], -1)
    ring = np.asarray(centre) + radius_m * (flat[:, :1] * side + flat[:, 1:] * np.cross(n, side))
    i = np.arange(sides)
    tri = np.stack([np.broadcast_to(np.asarray(centre, np.float64), (sides, 3)), ring[i], ring[i + 1]], 1)
    uv = np.stack([np.zeros((sides, 2)), flat[i], flat[i + 1]], 1)
    return soup_of(tri, material, rgb, part=part, uv=uv)


def _icosphere() -> tuple[ndarray, ndarray]:
    g = (1 + 5**0.5) / 2
    v = np.array([[-1, g, 0], [1, g, 0], [-1, -g, 0], [1, -g, 0]], np.float64)
    v = np.concatenate([v, np.roll(v, 1, 1), np.roll(v, 2, 1)])
    v /= np.linalg.norm(v[0])
    faces = [
        [a, b, c]
        for a in range(12)
        for b in range(a + 1, 12)
        for c in range(b + 1, 12)
        if max(np.linalg.norm(v[a] - v[b]), np.linalg.norm(v[b] - v[c]), np.linalg.norm(v[a] - v[c])) < 1.2
    ]
    tri = v[np.array(faces)]
    flip = np.einsum("ij,ij->i", np.cross(tri[:, 1] - tri[:, 0], tri[:, 2] - tri[:, 0]), tri[:, 0]) < 0
    tri[flip] = tri[flip][:, [0, 2, 1]]
    a, b, c = tri[:, 0], tri[:, 1], tri[:, 2]
    ab, bc, ca = (m / np.linalg.norm(m, axis=1, keepdims=True) for m in (a + b, b + c, c + a))
    fine = np.concatenate([np.stack(t, 1) for t in ((a, ab, ca), (b, bc, ab), (c, ca, bc), (ab, bc, ca))])
    return tri, fine


_COARSE, _FINE = _icosphere()


def ball(
    centre: Point,
    radii_m: Point,
    material: str,
    rgb: RGB,
    *,
    part: str = "plain",
    fine: bool = True,
    lumps: float = 0.0,
    seed: int = 0,
) -> Soup:
    """An ellipsoid (80 triangles, or 20), its radius varying by ``lumps``."""
    unit = _FINE if fine else _COARSE
    wave = np.random.default_rng(seed).normal(size=(3, 3)) * 2.2
    bump = 1 + lumps * np.sin(1.6 * unit @ wave + seed).sum(-1, keepdims=True) / 2
    xyz = unit * bump * np.asarray(radii_m) + np.asarray(centre)
    normal = unit / np.asarray(radii_m)
    normal /= np.linalg.norm(normal, axis=-1, keepdims=True)
    return soup_of(xyz, material, rgb, part=part, normal=normal)
