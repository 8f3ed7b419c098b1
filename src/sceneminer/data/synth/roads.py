"""Carriageways and pavements: where streets are cut at junctions, and the areas that follow."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import shapely
from jaxtyping import Float
from numpy import ndarray
from shapely import MultiPolygon, Polygon
from shapely.ops import substring

from sceneminer.data.synth.streets import RANK, Edge, Plan, Section

KERB_RADIUS_M = {0: 4.5, 1: 5.0, 2: 6.0, 3: 7.5}
"""Radius of the kerb at a junction's corners, by the rank of its smallest road."""
CROSSING_M = 3.2
CROSSING_GAP_M = 1.3
"""From a crossing to the stop line before it."""
LOT_THROAT_M = 2.0
"""Between a street's pavement and the first stalls of a lot."""
GRID_M = 1e-5
MIN_EDGE_M = 9.0
"""What must be left of a street between two junctions."""


@dataclass(frozen=True)
class Leg:
    """One street at one junction, seen from the junction outwards: stations count from the node."""

    edge: Edge
    starts: bool
    angle_rad: float
    """Where it leads, from the node."""
    fillet_m: float
    """Station where the kerb is straight again."""
    cut_m: float
    """Station where the junction ends: lanes stop and start here."""
    crossing: bool

    @property
    def section(self) -> Section:
        return self.edge.section

    @property
    def left_m(self) -> float:
        """From the centre to the kerb on the left, looking out."""
        return self.section.left_m if self.starts else self.section.right_m

    @property
    def right_m(self) -> float:
        return self.section.right_m if self.starts else self.section.left_m

    @property
    def crossing_m(self) -> float:
        """Station of the middle of the crossing, or of the place where one would be."""
        return min(self.fillet_m + 0.2 + CROSSING_M / 2, self.cut_m)

    def station(self, from_node_m: float) -> float:
        return from_node_m if self.starts else self.edge.length_m - from_node_m

    def point(self, from_node_m: float, left_m: float) -> Float[ndarray, "2"]:
        """A point at a distance along the leg and to its left, looking out."""
        offset = left_m if self.starts else -left_m
        return self.edge.at(self.station(from_node_m), offset_m=offset)[:2]

    def strip(self, wider_m: float, *, end_m: float | None = None) -> Polygon:
        """The leg from its node to its cut, kerb to kerb, made wider on both sides."""
        end = self.station(self.cut_m if end_m is None else end_m)
        left, right = self.section.left_m + wider_m, self.section.right_m + wider_m
        return ribbon(self.edge, self.station(0.0), end, left_m=left, right_m=-right)


@dataclass(frozen=True)
class Junction:
    """An intersection: its legs counter-clockwise, its carriageway and the pavements at its corners."""

    node: int
    legs: tuple[Leg, ...]
    area: Polygon
    corners: tuple[Polygon, ...]
    radius_m: float


@dataclass(frozen=True)
class Stretch:
    """A street between its junctions or the edge of the town, by stations along its edge."""

    edge: Edge
    start_m: float
    end_m: float
    start_crossing_m: float
    """Station of the crossing at its start, where walk paths change from the corner to the side."""
    end_crossing_m: float


@dataclass(frozen=True)
class Roads:
    junctions: tuple[Junction, ...]
    stretches: tuple[Stretch, ...]
    """One for each edge of the plan, in its order."""


def ribbon(edge: Edge, start_m: float, end_m: float, *, left_m: float, right_m: float) -> Polygon:
    """The area between two offsets (positive to the left) and two stations of an edge."""
    low, high = sorted((start_m, end_m))
    right = edge.curve(low, high, offset_m=right_m)[:, :2]
    left = edge.curve(low, high, offset_m=left_m)[:, :2]
    return Polygon(np.concatenate([right, left[::-1]]))


def ring(polygon: Polygon) -> Float[ndarray, "n 2"]:
    """The outline of a polygon without holes as an open counter-clockwise ring."""
    assert not polygon.interiors, "an area of the town must not have holes"
    return np.asarray(shapely.orient_polygons(polygon).exterior.coords)[:-1, :2].copy()


def parts(shape: shapely.Geometry, *, min_area_m2: float = 0.5) -> list[Polygon]:
    """The polygons in a geometry, without slivers."""
    pieces = shapely.get_parts(shape)
    return [piece for piece in pieces if isinstance(piece, Polygon) and piece.area > min_area_m2]


def union(shapes: Sequence[shapely.Geometry]) -> Polygon | MultiPolygon:
    """The union of areas, exact to ``GRID_M``.

    Without a grid GEOS 3.14 at times loses a whole area whose border runs along another one's (libgeos issue 965).
    """
    joined = shapely.union_all(np.array(shapes, dtype=object), grid_size=GRID_M)
    assert isinstance(joined, Polygon | MultiPolygon)
    return joined.geoms[0] if isinstance(joined, MultiPolygon) and len(joined.geoms) == 1 else joined


def build_roads(plan: Plan, crossing_share: float, rng: np.random.Generator) -> Roads | None:
    """Junctions and stretches of a plan; None if two junctions lie so near that no lane fits between them."""
    junctions = [
        _build_junction(plan, k, crossing_share, rng) for k, node in enumerate(plan.nodes) if len(node.edges) > 1
    ]
    if any(junction is None for junction in junctions):
        return None
    legs = {(leg.edge.edge_id, leg.starts): leg for junction in junctions if junction for leg in junction.legs}
    stretches = []
    for edge in plan.edges:
        first, last = legs.get((edge.edge_id, True)), legs.get((edge.edge_id, False))
        start, end = first.cut_m if first else 0.0, edge.length_m - (last.cut_m if last else 0.0)
        if end - start < MIN_EDGE_M:
            return None
        a, b = first.crossing_m if first else 0.0, edge.length_m - (last.crossing_m if last else 0.0)
        stretches.append(Stretch(edge, start, end, a, b))
    return Roads(tuple(junction for junction in junctions if junction), tuple(stretches))


def _build_junction(plan: Plan, node: int, crossing_share: float, rng: np.random.Generator) -> Junction | None:
    bare = [_bare_leg(plan.edges[k], starts) for k, starts in plan.nodes[node].edges]
    bare.sort(key=lambda leg: leg.angle_rad)
    radius = KERB_RADIUS_M[min(RANK[leg.section.road_class] for leg in bare)]
    legs = []
    for i, leg in enumerate(bare):
        before, after = bare[i - 1], bare[(i + 1) % len(bare)]
        tangents = (_fillet_m(before, leg, radius)[1], _fillet_m(leg, after, radius)[0])
        fillet = max(tangents) + 0.6
        crossing = leg.section.road_class == "lot" or rng.random() < crossing_share
        cut = fillet + (0.2 + CROSSING_M + CROSSING_GAP_M if crossing else 1.0)
        cut += LOT_THROAT_M if leg.section.road_class == "lot" else 0.0
        if cut + 2.0 > leg.edge.length_m:
            return None
        legs.append(Leg(leg.edge, leg.starts, leg.angle_rad, fillet, cut, crossing))
    area = rounded_union([leg.strip(0.0) for leg in legs], radius)
    wide = union([leg.strip(leg.section.walk_m) for leg in legs])
    inner = max(0.5, radius - min(leg.section.walk_m for leg in legs))
    corners = parts(_without_slivers(shapely.difference(_rounded(wide, inner), area, grid_size=GRID_M)))
    if not isinstance(area, Polygon) or any(corner.interiors for corner in corners):
        return None
    return Junction(node, tuple(legs), area, tuple(corners), radius)


def _bare_leg(edge: Edge, starts: bool) -> Leg:
    # The direction a few car lengths out: kerbs meet there, not at the node.
    near = edge.at(0.0 if starts else edge.length_m)[:2]
    far = edge.at(14.0 if starts else edge.length_m - 14.0)[:2]
    return Leg(edge, starts, float(np.arctan2(*(far - near)[::-1])), 0.0, 0.0, False)


def _fillet_m(right: Leg, left: Leg, radius_m: float) -> tuple[float, float]:
    """Stations on two neighbouring legs, the second to the left of the first, where their kerb return ends."""
    turn = (left.angle_rad - right.angle_rad) % (2 * np.pi)
    if turn > np.deg2rad(150):  # straight on: no corner
        return 0.0, 0.0
    a, b = right.left_m, left.right_m
    tangent = radius_m / np.tan(turn / 2)
    return (
        float((b + a * np.cos(turn)) / np.sin(turn) + tangent),
        float((a + b * np.cos(turn)) / np.sin(turn) + tangent),
    )


def rounded_union(shapes: list[Polygon], radius_m: float) -> Polygon | MultiPolygon:
    """The union of areas with its inner corners rounded; outer corners stay as they are."""
    return _rounded(union(shapes), radius_m)


def _rounded(shape: shapely.Geometry, radius_m: float) -> Polygon | MultiPolygon:
    # Mitred out, round back in: exact at convex corners, an arc in the hollow ones.
    out = shapely.buffer(shape, radius_m, join_style="mitre", mitre_limit=10.0)
    back = shapely.buffer(out, -radius_m, join_style="round", quad_segs=10)
    return union([back, shape])


def _without_slivers(shape: shapely.Geometry) -> shapely.Geometry:
    # Where a pavement and a carriageway end on one line, the grid leaves a strip of some micrometres between them.
    thin = shapely.buffer(shape, -0.01, join_style="mitre")
    return shapely.buffer(thin, 0.01, join_style="mitre")


def corner_paths(junction: Junction) -> list[Float[ndarray, "_n 2"]]:
    """The middle of the pavement round each corner, from a leg's left side to the next leg's right side."""
    strips = [leg.strip(leg.section.walk_m / 2) for leg in junction.legs]
    walk = min(leg.section.walk_m for leg in junction.legs)
    middle = rounded_union(strips, max(0.5, junction.radius_m - walk / 2))
    assert isinstance(middle, Polygon)
    outline = shapely.orient_polygons(middle).exterior
    paths = []
    for i, leg in enumerate(junction.legs):
        after = junction.legs[(i + 1) % len(junction.legs)]
        a = leg.point(leg.crossing_m, leg.left_m + leg.section.walk_m / 2)
        b = after.point(after.crossing_m, -after.right_m - after.section.walk_m / 2)
        start, end = outline.project(shapely.Point(a)), outline.project(shapely.Point(b))
        if end > start:
            points = np.asarray(substring(outline, start, end).coords)
        else:  # over the ring's own start
            first, second = substring(outline, start, outline.length), substring(outline, 0.0, end)
            points = np.concatenate([first.coords, np.asarray(second.coords)[1:]])
        points[0], points[-1] = a, b
        paths.append(points)
    return paths
