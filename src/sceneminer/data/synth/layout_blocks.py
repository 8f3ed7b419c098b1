"""Blocks between the pavements: rows of buildings along the streets, parks, and what grows behind."""

import numpy as np
import shapely
from jaxtyping import Float
from numpy import ndarray
from shapely import MultiPolygon, Polygon
from shapely.geometry.base import BaseGeometry

from sceneminer.data.synth.props import Rgb, foot, make_tree, rectangle, varied
from sceneminer.data.synth.roads import GRID_M, parts, union
from sceneminer.data.synth.scene import Prop, Style

PARK_SHARE = 0.08
FRONT_SHARE = 0.86
"""Of the places along a street that hold a building; the rest are gaps."""
GATE_M = 34.0
"""Where a street leaves the town, nothing stands in its way for so long."""


def build_blocks(blocks: list[Polygon], style: Style, rng: np.random.Generator) -> list[Prop]:
    """Buildings, trees, hedges and fences on the blocks; nothing reaches over a block's edge on the ground."""
    props: list[Prop] = []
    for block in blocks:
        shapely.prepare(block)
        if block.area < 40.0:
            continue
        if rng.random() < PARK_SHARE or block.area < 300.0:
            props += _park(block, style, rng)
            continue
        houses = _row(block, style, rng)
        houses += _yard(block, houses, style, rng)
        props += houses
        props += _gaps(block, houses, style, rng)
    return props


def block_areas(outline: Polygon, taken: list[Polygon]) -> list[Polygon]:
    """What is left of a town between carriageways, pavements and lots."""
    rest = shapely.difference(outline, union(taken), grid_size=GRID_M)
    return list(parts(shapely.buffer(rest, -0.05, join_style="mitre"), min_area_m2=20.0))


def _row(block: Polygon, style: Style, rng: np.random.Generator) -> list[Prop]:
    """Houses side by side along the edge of a block, their fronts towards the street."""
    outline = shapely.orient_polygons(block).exterior
    tall = float(rng.lognormal(0.0, 0.25))  # some blocks are higher than others
    setback, depth = float(rng.choice([0.3, 1.0, 3.0, 5.5])), float(rng.uniform(10.0, 15.0))
    placed: list[Polygon] = []
    props: list[Prop] = []
    at = 0.0
    while at < outline.length:
        width = float(rng.uniform(8.0, 22.0))
        house = _house(outline, at, width, setback, depth, rng)
        if rng.random() > FRONT_SHARE or house is None or not block.contains(house[0]):
            at += 3.0
            continue
        if any(house[0].intersects(other) for other in placed):
            at += 3.0
            continue
        placed.append(house[0])
        props.append(_building(house, style, tall, rng))
        at += width + (0.4 if rng.random() < 0.7 else float(rng.uniform(2.0, 6.0)))
    return props


House = tuple[Polygon, Float[ndarray, "2"], float, float, float]


def _house(
    outline: shapely.LinearRing, at_m: float, width_m: float, setback_m: float, depth_m: float, rng: np.random.Generator
) -> House | None:
    """Footprint, middle, yaw of the front, depth and width of a house from ``at_m`` on along a block's edge."""
    depth = depth_m * float(rng.uniform(0.8, 1.25))
    a, b = (shapely.get_coordinates(outline.interpolate(s % outline.length))[0] for s in (at_m, at_m + width_m))
    chord = b - a
    if np.hypot(*chord) < 0.985 * width_m:  # round a corner
        return None
    ahead = chord / np.hypot(*chord)
    out = np.array([ahead[1], -ahead[0]])  # the block is on the left of its outline
    middle = (a + b) / 2 - out * (setback_m + 0.3 + depth / 2)
    yaw = float(np.arctan2(out[1], out[0]))
    return rectangle(middle, yaw, depth, width_m - 0.2), middle, yaw, depth, width_m - 0.2


def _building(house: House, style: Style, tall: float, rng: np.random.Generator) -> Prop:
    _, middle, yaw, depth, width = house
    height = style.building_height_m * tall * float(rng.lognormal(0.0, 0.28))
    if rng.random() < 0.05 and width > 12:
        height *= float(rng.uniform(2.0, 3.2))  # a tower
    height = float(np.clip(height, 3.6, 90.0))
    rgb: Rgb = varied(style.building_rgb[int(rng.integers(len(style.building_rgb)))], rng, 0.03)
    pose = np.array([middle[0], middle[1], 0.0, yaw])
    return Prop("building", pose, (depth, width, height), rgb, int(rng.integers(1 << 30)))


def _yard(block: Polygon, row: list[Prop], style: Style, rng: np.random.Generator) -> list[Prop]:
    """Houses behind the row of a deep block: workshops, garages, flats round a yard."""
    built = MultiPolygon([foot(house) for house in row])
    free = shapely.buffer(shapely.buffer(block, -4.0).difference(shapely.buffer(built, 5.0)), -6.0)
    turn = _main_direction(block)
    props: list[Prop] = []
    for xy in _scatter(free, 1 / 160.0, rng, apart_m=19.0):
        depth, width = rng.uniform(7.0, 12.0), rng.uniform(8.0, 14.0)
        yaw = turn + float(rng.integers(4)) * np.pi / 2
        area = rectangle(xy, yaw, depth, width)
        if not built.intersects(shapely.buffer(area, 3.0)):
            house = (area, xy, yaw, float(depth), float(width))
            props.append(_building(house, style, float(rng.uniform(0.3, 0.9)), rng))
    return props


def _main_direction(block: Polygon) -> float:
    """Heading of the longest side of a block's narrowest rectangle."""
    corners = shapely.get_coordinates(shapely.minimum_rotated_rectangle(block))
    sides = np.diff(corners, axis=0)
    return float(np.arctan2(*sides[np.argmax(np.hypot(*sides.T))][::-1]))


def backdrop(outline: Polygon, ends: Float[ndarray, "n 4"], style: Style, rng: np.random.Generator) -> list[Prop]:
    """Trees and houses round the town and beyond the ends of its streets, so that no view ends on bare ground.

    ``ends`` are x, y, outward yaw and half-width of each street that leaves the town.
    """
    props: list[Prop] = []
    gates = [rectangle(end[:2], float(end[2]), 2 * GATE_M, 2 * float(end[3]) + 4.0) for end in ends]
    kept_free = union([shapely.buffer(outline, 2.0), *gates])
    for distance, gap in ((9.0, 5.0), (GATE_M + 6.0, 7.0)):
        hull = shapely.orient_polygons(shapely.buffer(outline.convex_hull, distance)).exterior
        at = 0.0
        while at < hull.length:
            a, b = (shapely.get_coordinates(hull.interpolate((at + d) % hull.length))[0] for d in (0.0, 1.0))
            inward = np.array([a[1] - b[1], b[0] - a[0]])
            width = float(rng.uniform(10.0, 24.0))
            if rng.random() < 0.5:
                house = (outline, a, float(np.arctan2(inward[1], inward[0])), 12.0, width)
                prop = _building(house, style, 0.9, rng)
            else:
                width = 6.0
                prop = make_tree(a, style, big=True, z_m=0.0, rng=rng)
            if not kept_free.intersects(foot(prop)):
                props.append(prop)
            at += width + float(rng.uniform(0.5, gap))
    return props


def _gaps(block: Polygon, houses: list[Prop], style: Style, rng: np.random.Generator) -> list[Prop]:
    """Trees behind the houses; hedges and fences where a gap shows the yard."""
    built = MultiPolygon([foot(house) for house in houses])
    free = shapely.buffer(block, -1.5).difference(shapely.buffer(built, 1.2))
    props = [make_tree(xy, style, big=True, z_m=0.0, rng=rng) for xy in _scatter(free, style.tree_density / 110.0, rng)]
    outline = shapely.orient_polygons(block).exterior
    kind = "hedge" if rng.random() < 0.5 else "fence"
    props += _posters(outline, block, built, rng)
    length, at = 3.0, 0.0
    while at + length < outline.length:
        a, b = (shapely.get_coordinates(outline.interpolate(s))[0] for s in (at, at + length))
        at += length + 0.1
        chord = b - a
        if np.hypot(*chord) < 0.99 * length:
            continue
        inner = np.array([-chord[1], chord[0]]) / length
        middle, yaw = (a + b) / 2 + inner * 0.6, float(np.arctan2(chord[1], chord[0]))
        area = rectangle(middle, yaw, length, 0.7)
        if block.contains(area) and not shapely.intersects(built, shapely.buffer(area, 0.3)) and rng.random() < 0.7:
            props.append(_border(kind, middle, yaw, length, style, rng))
    return props


def _posters(outline: shapely.LinearRing, block: Polygon, built: BaseGeometry, rng: np.random.Generator) -> list[Prop]:
    """Now and then a poster board or column at the edge of a block, facing the street."""
    props: list[Prop] = []
    for at in rng.uniform(0.0, outline.length, int(rng.poisson(outline.length / 130.0))):
        a, b = (shapely.get_coordinates(outline.interpolate(s % outline.length))[0] for s in (at - 0.5, at + 0.5))
        out = np.array([b[1] - a[1], a[0] - b[0]])
        if np.hypot(*out) < 0.98:
            continue
        yaw, seed = float(np.arctan2(out[1], out[0])), int(rng.integers(1 << 30))
        rgb = varied((0.55, 0.5, 0.45), rng, 0.15)
        if rng.random() < 0.6:
            size, inset, kind = (0.3, float(rng.uniform(2.6, 5.0)), float(rng.uniform(2.8, 4.2))), 1.6, "billboard"
        else:
            size, inset, kind = (1.3, 1.3, 3.0), 1.0, "advert_column"
        middle = (a + b) / 2 - out * inset
        area = rectangle(middle, yaw, size[0], size[1])
        if block.contains(area) and not built.intersects(shapely.buffer(area, 0.5)):
            props.append(Prop(kind, np.array([middle[0], middle[1], 0.0, yaw]), size, rgb, seed))
    return props


def _border(
    kind: str, middle: Float[ndarray, "2"], yaw: float, length: float, style: Style, rng: np.random.Generator
) -> Prop:
    size = (length, 0.7, 1.3) if kind == "hedge" else (length, 0.12, 1.2)
    rgb = varied(style.tree_rgb, rng) if kind == "hedge" else varied((0.45, 0.36, 0.26), rng)
    return Prop(kind, np.array([middle[0], middle[1], 0.0, yaw]), size, rgb, int(rng.integers(1 << 30)))


def _park(block: Polygon, style: Style, rng: np.random.Generator) -> list[Prop]:
    free = shapely.buffer(block, -1.2)
    share = max(style.tree_density, 0.35)
    props = [make_tree(xy, style, big=True, z_m=0.0, rng=rng) for xy in _scatter(free, share / 75.0, rng)]
    for xy in _scatter(free, 1 / 250.0, rng):
        size = float(rng.uniform(0.8, 1.8))
        pose = np.array([*xy, 0.0, 0.0])
        props.append(
            Prop("shrub", pose, (size, size, 0.8 * size), varied(style.tree_rgb, rng), int(rng.integers(1 << 30)))
        )
    for xy in _scatter(free, 1 / 600.0, rng):
        pose = np.array([*xy, 0.0, rng.uniform(-np.pi, np.pi)])
        props.append(Prop("bench", pose, (0.5, 1.6, 0.85), varied((0.42, 0.28, 0.16), rng), int(rng.integers(1 << 30))))
    return props


def _scatter(
    area: BaseGeometry, per_m2: float, rng: np.random.Generator, *, apart_m: float = 3.0
) -> Float[ndarray, "n 2"]:
    """Random places in an area, some metres apart."""
    if area.is_empty:
        return np.zeros((0, 2))
    x0, y0, x1, y1 = area.bounds
    tries = rng.uniform((x0, y0), (x1, y1), (int(per_m2 * (x1 - x0) * (y1 - y0)) + 1, 2))
    kept: list[ndarray] = []
    for xy in tries[shapely.contains_xy(area, tries)]:
        if all(np.hypot(*(xy - other)) > apart_m for other in kept):
            kept.append(xy)
    return np.array(kept).reshape(-1, 2)
