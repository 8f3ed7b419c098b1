"""Pavements, the paths people walk on them, and the painted lines between lanes."""

import itertools

import numpy as np
from jaxtyping import Float
from numpy import ndarray
from shapely import Polygon

from sceneminer.data.synth.roads import Roads, Stretch, corner_paths, ribbon, ring
from sceneminer.data.synth.scene import Divider, Style

SOLID_BEFORE_STOP_M = 18.0
"""Lanes may not be changed so near to a junction: the dashes close up."""


def build_walkways(roads: Roads) -> list[Float[ndarray, "_n 2"]]:
    """Pavements beside streets, round corners, and raised medians: none overlaps a carriageway."""
    found = [ring(corner) for junction in roads.junctions for corner in junction.corners]
    for stretch in roads.stretches:
        section, ends = stretch.edge.section, (stretch.start_m, stretch.end_m)
        if section.median_m > 0:
            half = section.median_m / 2
            found.append(ring(ribbon(stretch.edge, *ends, left_m=half, right_m=-half)))
        if section.road_class == "lot":
            continue
        left, right, walk = section.left_m, section.right_m, section.walk_m
        found.append(ring(ribbon(stretch.edge, *ends, left_m=left + walk, right_m=left)))
        found.append(ring(ribbon(stretch.edge, *ends, left_m=-right, right_m=-right - walk)))
    return found


def carriageway(stretch: Stretch) -> list[Polygon]:
    """The carriageway of a street between junctions: one area, or one each side of a median; a lot has none."""
    section, ends = stretch.edge.section, (stretch.start_m, stretch.end_m)
    if section.road_class == "lot":
        return []
    if section.median_m == 0:
        return [ribbon(stretch.edge, *ends, left_m=section.left_m, right_m=-section.right_m)]
    half = section.median_m / 2
    return [
        ribbon(stretch.edge, *ends, left_m=section.left_m, right_m=half),
        ribbon(stretch.edge, *ends, left_m=-half, right_m=-section.right_m),
    ]


def build_walk_paths(roads: Roads, mid_crossings: dict[int, float]) -> list[Float[ndarray, "_n 2"]]:
    """Lines people walk along; they meet at their ends, and short spurs lead to the ends of crossings' axes."""
    paths = []
    for junction in roads.junctions:
        paths += corner_paths(junction)
        for leg in junction.legs:
            if leg.crossing:
                for side in (leg.left_m, -leg.right_m):
                    middle = side + np.sign(side) * leg.section.walk_m / 2
                    paths.append(np.stack([leg.point(leg.crossing_m, middle), leg.point(leg.crossing_m, side)]))
    for stretch in roads.stretches:
        section, edge = stretch.edge.section, stretch.edge
        if section.road_class == "lot":
            continue
        stations = [stretch.start_crossing_m, stretch.end_crossing_m]
        middle = mid_crossings.get(edge.edge_id)
        if middle is not None:
            stations.insert(1, middle)
        for kerb in (section.left_m, -section.right_m):
            along = kerb + np.sign(kerb) * section.walk_m / 2
            for a, b in itertools.pairwise(stations):
                paths.append(edge.curve(a, b, offset_m=along, step_m=2.0)[:, :2])
            if middle is not None:
                paths.append(np.stack([edge.at(middle, offset_m=along)[:2], edge.at(middle, offset_m=kerb)[:2]]))
    return paths


def build_dividers(roads: Roads, style: Style, rng: np.random.Generator) -> list[Divider]:
    """Lines between lanes and between directions; small streets often have none left to see."""
    found: list[Divider] = []
    for stretch in roads.stretches:
        section = stretch.edge.section
        if section.road_class == "lot":
            continue
        for forward in (True, False):
            offsets = section.lane_offsets_m(forward=forward)
            for a, b in itertools.pairwise(offsets):
                found += _lane_line(stretch, (a + b) / 2, forward=forward)
        if not section.one_way:
            paint = _center_paint(section.road_class, style, rng)
            for offset in (section.median_m / 2, -section.median_m / 2) if section.median_m else (0.0,):
                # Beside a median the line keeps off the kerb.
                kept_off = offset + np.sign(offset) * 0.25
                line = stretch.edge.curve(stretch.start_m, stretch.end_m, offset_m=kept_off)[:, :2]
                edge_paint = "solid_yellow" if style.yellow_center_line else "solid_white"
                found.append(Divider(line, "road", edge_paint if section.median_m else paint))
    return found


def _lane_line(stretch: Stretch, offset_m: float, *, forward: bool) -> list[Divider]:
    start, end = (stretch.start_m, stretch.end_m) if forward else (stretch.end_m, stretch.start_m)
    ahead = 1.0 if forward else -1.0
    length = abs(end - start)
    solid = min(SOLID_BEFORE_STOP_M, length / 3)
    turn = end - ahead * solid
    return [
        Divider(stretch.edge.curve(start, turn, offset_m=offset_m)[:, :2], "lane", "dashed_white"),
        Divider(stretch.edge.curve(turn, end, offset_m=offset_m)[:, :2], "lane", "solid_white"),
    ]


def _center_paint(road_class: str, style: Style, rng: np.random.Generator):
    coin = rng.random()
    if road_class == "local":
        worn = 0.3 + 0.5 * style.paint_wear
        return "none" if coin < worn else "solid_yellow" if style.yellow_center_line else "dashed_white"
    if style.yellow_center_line:
        return "double_yellow" if road_class == "arterial" or coin < 0.6 else "solid_yellow"
    return "solid_white" if road_class == "arterial" or coin < 0.5 else "dashed_white"
