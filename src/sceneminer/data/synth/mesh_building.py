"""Buildings: walls with textured facades, shop fronts with awnings, cornices, balconies, roofs."""

import numpy as np

from sceneminer.data.synth.mesh import RGB, Soup, box, drawn_rgb, joined, quad, soup_of, toned, tube
from sceneminer.data.synth.mesh_car import DARK
from sceneminer.data.synth.scene import Prop, Style

WALLS = {"brick": "brick", "plaster": "plaster", "concrete": "concrete"}
FLOOR_M = 3.1


def building(prop: Prop, style: Style) -> Soup:
    """A house or tower that fills its size; its front looks along +x."""
    rng = np.random.default_rng(prop.variant)
    l, w, h = prop.size_lwh_m
    facades = ("brick", "plaster", "concrete")
    wall = WALLS[style.facade if rng.random() < 0.7 else facades[int(rng.integers(3))]]
    grey = sum(prop.rgb) / 3
    rgb: RGB = toned(prop.rgb, 0.62, 0.38 * grey)  # paint on walls is duller than palettes
    trim: RGB = toned(rgb, 0.5, 0.42)
    gabled = h < 11.0 and w < 16.0 and rng.random() < 0.45
    eaves = h - min(3.2, 0.28 * w, 0.4 * h) if gabled else h
    parts = [_walls((l, w, eaves), wall, rgb)]
    if gabled:
        parts.append(_gable((l, w, h), eaves, wall, rgb, rng))
    else:
        parts += _flat_roof((l, w, h), wall, trim, rng)
    floors = int(eaves / FLOOR_M)
    if floors >= 2:
        parts.append(box((0.25, w, 0.35), (l / 2 + 0.05, 0, FLOOR_M + 0.75), wall, trim, skip="b"))
    if floors >= 3 and rng.random() < 0.45:
        parts += _balconies((l, w, eaves), floors, trim, rng)
    if rng.random() < 0.4:
        parts += _awnings((l, w), rng)
    door = (0.12, 1.3, 2.3)
    parts.append(
        box(
            door,
            (l / 2, float(rng.uniform(-0.35, 0.35)) * w, 1.2),
            "wood",
            toned(drawn_rgb(rng, 0.0, 0.12), 1.0, float(rng.uniform(0.06, 0.36))),
        )
    )
    return joined(parts)


def _walls(size: tuple[float, float, float], wall: str, rgb: RGB) -> Soup:
    l, w, h = size
    a, b = l / 2, w / 2
    ground = [[a, -b], [a, b], [-a, b], [-a, -b]]
    parts = []
    for k in range(4):
        (x0, y0), (x1, y1) = ground[k], ground[(k + 1) % 4]
        corners = np.array([[x0, y0, 0], [x1, y1, 0], [x1, y1, h], [x0, y0, h]])
        length = float(np.hypot(x1 - x0, y1 - y0))
        # A shift of 1000 m a side tells the shader which side it is.
        u = 1000.0 * k + np.array([0, length])
        uv = np.array([[u[0], 0], [u[1], 0], [u[1], h], [u[0], h]])
        parts.append(quad(corners, wall, rgb, part="facade", uv=uv))
    return joined(parts)


def _gable(size: tuple[float, float, float], eaves: float, wall: str, rgb: RGB, rng: np.random.Generator) -> Soup:
    l, w, h = size
    a, b = l / 2, w / 2 + 0.25
    tile: RGB = ((0.42, 0.2, 0.14), (0.25, 0.25, 0.27), (0.33, 0.22, 0.17))[int(rng.integers(3))]
    roof = [
        quad(
            np.array([[a + 0.4, -b, eaves - 0.15], [a + 0.4, b, eaves - 0.15], [0, b, h], [0, -b, h]]),
            "brick",
            tile,
            part="roof",
        ),
        quad(
            np.array([[-a - 0.4, b, eaves - 0.15], [-a - 0.4, -b, eaves - 0.15], [0, -b, h], [0, b, h]]),
            "brick",
            tile,
            part="roof",
        ),
    ]
    for s in (1, -1):
        tri = np.array([[s * a, s * w / 2, eaves], [-s * a, s * w / 2, eaves], [0, s * w / 2, h]])
        roof.append(soup_of(tri, wall, rgb))
    roof.append(box((0.6, 0.6, 1.0), (0.1 * l, 0.25 * w, h - 0.6), "brick", tile))
    return joined(roof)


def _flat_roof(size: tuple[float, float, float], wall: str, trim: RGB, rng: np.random.Generator) -> list[Soup]:
    l, w, h = size
    a, b = l / 2, w / 2
    top = np.array([[a, -b, h - 0.5], [a, b, h - 0.5], [-a, b, h - 0.5], [-a, -b, h - 0.5]])
    parts = [quad(top, "concrete", (0.35, 0.34, 0.33), part="roof")]
    for size_, at in (
        ((0.35, w + 0.2, 0.6), (a, 0)),
        ((0.35, w + 0.2, 0.6), (-a, 0)),
        ((l + 0.2, 0.35, 0.6), (0, b)),
        ((l + 0.2, 0.35, 0.6), (0, -b)),
    ):
        parts.append(box(size_, (*at, h - 0.3), wall, trim))
    for _ in range(int(rng.integers(0, 4))):
        s = rng.uniform(0.8, 2.4, 3)
        at = (rng.uniform(-0.3, 0.3) * l, rng.uniform(-0.3, 0.3) * w, h - 0.5 + s[2] / 2)
        parts.append(box(s, at, "metal", (0.5, 0.5, 0.5)))
    return parts


def _balconies(size: tuple[float, float, float], floors: int, trim: RGB, rng: np.random.Generator) -> list[Soup]:
    l, w, _ = size
    parts = []
    columns = np.arange(-w / 2 + 2.2, w / 2 - 2.0, float(rng.choice([4.2, 5.6, 7.0])))
    for floor in range(1, floors):
        for y in columns:
            z = floor * FLOOR_M + 0.9
            parts.append(box((1.1, 2.6, 0.16), (l / 2 + 0.55, y, z), "concrete", trim))
            parts.append(quad_rail(l / 2 + 1.08, float(y), z))
    return parts


def quad_rail(x: float, y: float, z: float) -> Soup:
    """The front of a balcony: a rail of bars."""
    corners = np.array([[x, y - 1.3, z], [x, y + 1.3, z], [x, y + 1.3, z + 1.05], [x, y - 1.3, z + 1.05]])
    return quad(corners, "metal", (0.2, 0.2, 0.21), part="mesh_fence")


def _awnings(size_lw: tuple[float, float], rng: np.random.Generator) -> list[Soup]:
    l, w = size_lw
    parts = []
    for y in np.arange(-w / 2 + 2.0, w / 2 - 1.8, 4.0):
        if rng.random() < 0.6:
            rgb: RGB = drawn_rgb(rng, 0.1, 0.75)
            x = l / 2
            corners = [[x + 1.2, y - 1.6, 2.55], [x + 1.2, y + 1.6, 2.55], [x, y + 1.6, 3.15], [x, y - 1.6, 3.15]]
            parts.append(quad(np.array(corners), "cloth", rgb, part="stripes" if rng.random() < 0.4 else "cloth"))
            flap = [
                [x + 1.2, y - 1.6, 2.3],
                [x + 1.2, y + 1.6, 2.3],
                [x + 1.2, y + 1.6, 2.55],
                [x + 1.2, y - 1.6, 2.55],
            ]
            parts.append(quad(np.array(flap), "cloth", rgb, part="cloth"))
    return parts


def billboard(prop: Prop) -> Soup:
    """A poster board on two legs, its face along +x."""
    _, w, h = prop.size_lwh_m
    face = np.array([[0.12, -w / 2, 0.35 * h], [0.12, w / 2, 0.35 * h], [0.12, w / 2, h], [0.12, -w / 2, h]])
    unit = np.array([[0, 0], [1, 0], [1, 1], [0, 1]])
    parts = [quad(face, "plastic", prop.rgb, part="billboard", uv=unit)]
    parts.append(box((0.16, w, 0.65 * h), (0.0, 0, 0.675 * h), "metal", (0.25, 0.25, 0.26)))
    for y in (-0.35 * w, 0.35 * w):
        parts.append(tube((0, y, 0), (0, y, 0.4 * h), 0.08, "metal", DARK, sides=6))
    return joined(parts)


def advert_column(prop: Prop) -> Soup:
    l, _, h = prop.size_lwh_m
    parts = [tube((0, 0, 0), (0, 0, 0.9 * h), 0.46 * l, "concrete", prop.rgb, sides=14, part="billboard")]
    parts.append(tube((0, 0, 0.9 * h), (0, 0, h), (0.5 * l, 0.1 * l), "metal", (0.2, 0.25, 0.22), sides=14))
    return joined(parts)
