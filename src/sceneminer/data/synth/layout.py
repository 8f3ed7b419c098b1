"""One town from one seed: streets, lanes, rules, pavements, places to stand, and what stands around them.

``Lane.stop_line`` and ``Lane.signal`` sit on the lane that ends at them, never on the connector behind it. Opposite
approaches of a signal have green together: who turns left gives way. Spots of kind "kerb" and "bus_stop" lie beside
their lane; a "lot" spot is at a right angle to the aisle that is its lane. Medians are walkways without a path.
"""

from typing import get_args

import numpy as np
import shapely
from shapely import LineString, Polygon

from sceneminer.data.errors import DataError
from sceneminer.data.synth.layout_blocks import backdrop, block_areas, build_blocks
from sceneminer.data.synth.layout_control import Control, build_control
from sceneminer.data.synth.layout_lanes import LaneTable, build_lanes
from sceneminer.data.synth.layout_spots import Standing, build_standing, lot_area, shelter_props
from sceneminer.data.synth.layout_walks import build_dividers, build_walk_paths, build_walkways, carriageway
from sceneminer.data.synth.props import street_furniture, without_collisions
from sceneminer.data.synth.roads import Roads, build_roads, ring, union
from sceneminer.data.synth.scene import Prop, Split, Style, Town
from sceneminer.data.synth.streets import Plan, draw_plan
from sceneminer.data.synth.style import draw_style

TOWN_KEY = 0x70776E
"""Keeps the streams of towns apart from those of other users of the same seed."""
MAX_PLANS = 60
WALK_CLEARANCE_M = 0.35
"""Nothing stands so near to the line people walk along."""


def build_town(split: Split, seed: int) -> Town:
    """Build the town of a split and seed: the same numbers give the same arrays, others share nothing."""
    splits = get_args(Split)
    if split not in splits or seed < 0:
        raise DataError(f"expected a split of {splits} and a seed from 0 on, found {split!r} and {seed}")
    rng = np.random.default_rng(np.random.SeedSequence((TOWN_KEY, splits.index(split), seed)))
    style = draw_style(split, rng)
    plan, roads = _draw_roads(style, rng)
    table = build_lanes(roads)
    control = build_control(roads, table, rng)
    standing = build_standing(roads, table, control.mid_crossings, rng)
    return _assemble(
        split, seed, style, plan=plan, roads=roads, table=table, control=control, standing=standing, rng=rng
    )


def _draw_roads(style: Style, rng: np.random.Generator) -> tuple[Plan, Roads]:
    """Draw plans until one has room for all its lanes."""
    share = float(rng.uniform(0.6, 0.95))
    for _ in range(MAX_PLANS):
        plan = draw_plan(style, rng)
        if not any(street.section.road_class == "lot" for street in plan.streets):
            continue
        roads = build_roads(plan, share, rng)
        if roads is not None and _is_disjoint(roads):
            return plan, roads
    raise AssertionError(f"none of {MAX_PLANS} street plans had room for its lanes")


def _is_disjoint(roads: Roads) -> bool:
    """Whether no street, pavement or lot runs into another one, as they do where streets meet at a sharp angle."""
    areas = [area for stretch in roads.stretches for area in (*carriageway(stretch), *lot_area(stretch))]
    areas += [junction.area for junction in roads.junctions] + [Polygon(walk) for walk in build_walkways(roads)]
    return sum(area.area for area in areas) - union(areas).area < 0.5


def _street_ends(plan: Plan) -> np.ndarray:
    """x, y, outward yaw and half-width of each street that leaves the town."""
    found = []
    for node in plan.nodes:
        if len(node.edges) == 1:
            k, starts = node.edges[0]
            edge = plan.edges[k]
            x, y, yaw = edge.at(0.0 if starts else edge.length_m)
            half = max(edge.section.left_m, edge.section.right_m) + edge.section.walk_m
            found.append((x, y, yaw + np.pi if starts else yaw, half))
    return np.array(found).reshape(-1, 4)


def _assemble(
    split: Split,
    seed: int,
    style: Style,
    *,
    plan: Plan,
    roads: Roads,
    table: LaneTable,
    control: Control,
    standing: Standing,
    rng: np.random.Generator,
) -> Town:
    segments = [area for stretch in roads.stretches for area in carriageway(stretch)]
    crossings_areas = [junction.area for junction in roads.junctions]
    walkways = build_walkways(roads)
    paths = build_walk_paths(roads, control.mid_crossings)
    outline = Polygon(plan.outline)
    blocks = block_areas(outline, [*segments, *crossings_areas, *standing.lots, *map(Polygon, walkways)])
    props: list[Prop] = [*control.props, *shelter_props(standing, rng)]
    props += street_furniture(roads, standing, style, rng)
    props += build_blocks(blocks, style, rng)
    props += backdrop(outline, _street_ends(plan), style, rng)
    keep_off = [shapely.buffer(LineString(path), WALK_CLEARANCE_M) for path in paths]
    keep_off += [*segments, *crossings_areas, *standing.lots]
    return Town(
        name=f"town-{split}-{seed:03d}",
        split=split,
        seed=seed,
        style=style,
        bounds=(
            float(plan.outline[:, 0].min()),
            float(plan.outline[:, 1].min()),
            float(plan.outline[:, 0].max()),
            float(plan.outline[:, 1].max()),
        ),
        lanes=tuple(table.lanes),
        road_segments=tuple(map(ring, segments)),
        intersections=tuple(map(ring, crossings_areas)),
        walkways=tuple(walkways),
        parking_lots=tuple(map(ring, standing.lots)),
        crossings=tuple(control.crossings),
        dividers=tuple(build_dividers(roads, style, rng)),
        stop_lines=tuple(control.stop_lines),
        signals=tuple(control.signals),
        props=tuple(without_collisions(props, keep_off)),
        spots=tuple(standing.spots),
        construction=tuple(standing.construction),
        walk_paths=tuple(paths),
    )
