"""What stands in a town, by kind, and the furniture of its pavements."""

from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
import shapely
from jaxtyping import Float
from numpy import ndarray
from shapely import Polygon

from sceneminer.data.synth.layout_spots import Standing
from sceneminer.data.synth.roads import Roads, Stretch
from sceneminer.data.synth.scene import KERB_M, Prop, Style

Rgb = tuple[float, float, float]


@dataclass(frozen=True)
class PropKind:
    """What a kind of prop is, and the ground it takes."""

    meaning: str
    """What ``size_lwh_m`` (x, y, z in the prop's own frame), yaw and ``rgb`` stand for."""
    foot_m: tuple[float, float] | None = None
    """Length and width of what touches the ground; None: all of its size."""


PROP_KINDS: MappingProxyType[str, PropKind] = MappingProxyType(
    {
        "building": PropKind("House or tower; +x is the front towards its street, rgb the walls."),
        "tree": PropKind(
            "Crown and trunk; length and width are the crown's, height the whole; rgb the leaves.", (0.4, 0.4)
        ),
        "shrub": PropKind("A round bush; rgb the leaves."),
        "hedge": PropKind("A cut hedge, long along x; rgb the leaves."),
        "fence": PropKind("A fence or low wall, long along x; rgb its boards."),
        "street_lamp": PropKind("A mast whose arm reaches along +x over the road; length is the arm's.", (0.2, 0.2)),
        "traffic_light": PropKind(
            "The pole below a Signal, whose lamps look along +x; height to the pole's top.", (0.2, 0.2)
        ),
        "stop_sign": PropKind("Red octagon on a pole; its face looks along +x.", (0.1, 0.1)),
        "yield_sign": PropKind("White triangle with a red rim, point down, on a pole; looks along +x.", (0.1, 0.1)),
        "speed_sign": PropKind("White disc with a number and a red rim on a pole; looks along +x.", (0.1, 0.1)),
        "street_sign": PropKind("Blade with a street's name on a pole, across x.", (0.1, 0.1)),
        "bus_shelter": PropKind("Roof, back and side panes over a bench; open along +x, long along y."),
        "bench": PropKind("A seat that looks along +x, long along y."),
        "bin": PropKind("A litter bin."),
        "planter": PropKind("A concrete tub with plants; rgb the plants."),
        "hydrant": PropKind("A fire hydrant, knee-high; rgb its paint."),
        "mailbox": PropKind("A letter box on the pavement; rgb its paint."),
        "cabinet": PropKind("A grey box of the power or telephone company."),
        "billboard": PropKind("A poster board on two legs; its face looks along +x, long along y.", (0.3, 2.0)),
        "advert_column": PropKind("A round column with posters."),
    }
)
"""Every kind of Prop a town may hold."""

GREEN: Rgb = (0.20, 0.33, 0.14)
LAMP_GAP_M = 29.0
FURNITURE_M = 0.5
"""From the kerb to the middle of trees, lamps and the like."""


def foot(prop: Prop) -> Polygon:
    """The ground that a prop takes."""
    length, width = PROP_KINDS[prop.kind].foot_m or prop.size_lwh_m[:2]
    return rectangle(prop.pose[:2], float(prop.pose[3]), length, width)


def rectangle(center: Float[ndarray, "2"], yaw_rad: float, length_m: float, width_m: float) -> Polygon:
    """A rectangle by its middle and heading."""
    c, s = np.cos(yaw_rad), np.sin(yaw_rad)
    corners = np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]]) * [length_m / 2, width_m / 2]
    return Polygon(corners @ np.array([[c, s], [-s, c]]) + center)


def varied(rgb: Rgb, rng: np.random.Generator, spread: float = 0.05) -> Rgb:
    """A colour near another one: lighter or darker, and a little off in hue."""
    shade = rng.uniform(1 - 3 * spread, 1 + 3 * spread)
    r, g, b = np.clip(np.array(rgb) * shade + rng.uniform(-spread, spread, 3), 0.02, 0.98)
    return float(r), float(g), float(b)


def make_tree(xy: Float[ndarray, "2"], style: Style, *, big: bool, z_m: float, rng: np.random.Generator) -> Prop:
    """A tree of the town's colour; street trees are slimmer than those in parks."""
    height = float(rng.uniform(6.0, 13.0) if big else rng.uniform(4.5, 8.5))
    crown = height * float(rng.uniform(0.4, 0.7) if big else rng.uniform(0.35, 0.55))
    pose = np.array([xy[0], xy[1], z_m, rng.uniform(-np.pi, np.pi)])
    return Prop("tree", pose, (crown, crown, height), varied(style.tree_rgb, rng), int(rng.integers(1 << 30)))


def street_furniture(roads: Roads, standing: Standing, style: Style, rng: np.random.Generator) -> list[Prop]:
    """Lamps, street trees and what else stands between kerb and walkers; medians carry trees and hedges."""
    props: list[Prop] = []
    stops = {(stretch.edge.edge_id, side): station for stretch, station, side in standing.shelters}
    for stretch in roads.stretches:
        if stretch.edge.section.road_class == "lot":
            continue
        for side in (1, -1):
            props += _kerb_row(stretch, side, style, bus_m=stops.get((stretch.edge.edge_id, side)), rng=rng)
        props += _median_row(stretch, style, rng)
    return props


def _kerb_row(
    stretch: Stretch, side: int, style: Style, *, bus_m: float | None, rng: np.random.Generator
) -> list[Prop]:
    section, props = stretch.edge.section, []
    kerb = section.left_m if side > 0 else section.right_m
    leafy = rng.random() < style.tree_density
    step, at = 0.0, stretch.start_m + 3.0
    next_lamp = at + float(rng.uniform(0.0, LAMP_GAP_M))
    while at < stretch.end_m - 3.0:
        clear = bus_m is None or abs(at - bus_m) > 9.0
        x, y, yaw = stretch.edge.at(at, offset_m=side * (kerb + FURNITURE_M))
        inward = yaw - side * np.pi / 2  # towards the road
        if at >= next_lamp:
            props.append(_lamp(x, y, inward, section.road_class == "arterial", rng))
            next_lamp += LAMP_GAP_M
            step = 3.0
        elif clear and leafy and rng.random() < 0.75:
            props.append(make_tree(np.array([x, y]), style, big=False, z_m=KERB_M, rng=rng))
            step = float(rng.uniform(6.0, 10.0))
        else:
            if clear and rng.random() < 0.3:
                props.append(_small_thing(x, y, inward, rng))
            step = float(rng.uniform(4.0, 9.0))
        at += step
    # The limit, told to who just came in from the junction: on their right.
    along = side < 0 or section.one_way
    if rng.random() < 0.35 and stretch.end_m - stretch.start_m > 40 and not (section.one_way and side > 0):
        station = stretch.start_m + 1.5 if along else stretch.end_m - 1.5
        x, y, yaw = stretch.edge.at(station, offset_m=side * (kerb + 0.45))
        facing = yaw + np.pi if along else yaw
        pose = np.array([x, y, KERB_M, facing])
        props.append(Prop("speed_sign", pose, (0.1, 0.65, 2.6), (0.85, 0.85, 0.85), round(section.speed_limit_mps)))
    return props


def _lamp(x: float, y: float, yaw: float, tall: bool, rng: np.random.Generator) -> Prop:
    height, arm = (8.5, 2.4) if tall else (6.2, 1.2)
    gray = float(rng.uniform(0.2, 0.4))
    return Prop("street_lamp", np.array([x, y, KERB_M, yaw]), (arm, 0.2, height), (gray, gray, gray), 0)


def _small_thing(x: float, y: float, yaw: float, rng: np.random.Generator) -> Prop:
    kinds = ("bin", "hydrant", "planter", "mailbox", "cabinet", "street_sign", "bench")
    kind = str(rng.choice(kinds, p=(0.25, 0.15, 0.15, 0.08, 0.12, 0.1, 0.15)))
    size, rgb = {
        "bin": ((0.45, 0.45, 0.95), (0.18, 0.25, 0.20)),
        "hydrant": ((0.3, 0.3, 0.75), (0.70, 0.18, 0.10)),
        "planter": ((0.6, 1.2, 0.8), GREEN),
        "mailbox": ((0.45, 0.5, 1.2), (0.15, 0.22, 0.50)),
        "cabinet": ((0.4, 0.9, 1.2), (0.45, 0.47, 0.45)),
        "street_sign": ((0.1, 0.8, 2.9), (0.10, 0.35, 0.25)),
        "bench": ((0.5, 1.6, 0.85), (0.42, 0.28, 0.16)),
    }[kind]
    return Prop(kind, np.array([x, y, KERB_M, yaw]), size, varied(rgb, rng), int(rng.integers(1 << 30)))


def _median_row(stretch: Stretch, style: Style, rng: np.random.Generator) -> list[Prop]:
    section, props = stretch.edge.section, []
    if section.median_m == 0:
        return props
    hedged, at = rng.random() < 0.4, stretch.start_m + 6.0
    while at < stretch.end_m - 6.0:
        x, y, yaw = stretch.edge.at(at)
        if hedged:
            pose = np.array([x, y, KERB_M, yaw])
            props.append(Prop("hedge", pose, (4.6, 0.8, 0.9), varied(style.tree_rgb, rng), int(rng.integers(1 << 30))))
            at += 5.0
        else:
            if rng.random() < style.tree_density:
                props.append(make_tree(np.array([x, y]), style, big=False, z_m=KERB_M, rng=rng))
            at += float(rng.uniform(7.0, 12.0))
    return props


def without_collisions(props: list[Prop], keep_off: list[Polygon]) -> list[Prop]:
    """Props in order, less those whose foot meets an earlier one or an area to keep off."""
    tree = shapely.STRtree(keep_off) if keep_off else None
    feet = [foot(prop) for prop in props]
    index = shapely.STRtree(feet)
    dropped: set[int] = set()
    for i, place in enumerate(feet):
        near = (int(j) for j in index.query(place, predicate="intersects"))
        if any(j < i and j not in dropped for j in near) or (
            tree is not None and tree.query(place, predicate="intersects").size
        ):
            dropped.add(i)
    return [prop for i, prop in enumerate(props) if i not in dropped]
