"""The ground of a town: carriageways at z = 0, everything else at kerb height, kerb faces between, as triangles.

What is on it (paint, grass, wear) is a texture, see ``ground_paint``. Yards are level with the pavements.
"""

import numpy as np
import shapely
from numpy import ndarray
from shapely import Polygon

from sceneminer.data.synth.mesh import RGB, Soup, joined, soup_of
from sceneminer.data.synth.scene import KERB_M, Town

TILE_M = 24.0
MARGIN_M = 80.0
APRON_M = 1500.0
KERB_RGB: RGB = (0.62, 0.61, 0.58)


def carriageway(town: Town) -> shapely.Geometry:
    """The union of roads, junctions and parking lots."""
    areas = [Polygon(p) for p in (*town.road_segments, *town.intersections, *town.parking_lots)]
    grown = shapely.union_all([shapely.buffer(a, 0.02, join_style="mitre") for a in areas])
    return shapely.simplify(shapely.buffer(grown, -0.015, join_style="mitre"), 0.01)


def ground_mesh(town: Town, road: shapely.Geometry) -> Soup:
    """Triangles of the whole ground, an apron out to the horizon included."""
    x0, y0, x1, y1 = town.bounds
    x0, y0, x1, y1 = x0 - MARGIN_M, y0 - MARGIN_M, x1 + MARGIN_M, y1 + MARGIN_M
    low: list[ndarray] = []
    high: list[ndarray] = []
    shapely.prepare(road)
    for x in np.arange(x0, x1, TILE_M):
        for y in np.arange(y0, y1, TILE_M):
            tile = shapely.box(x, y, min(x + TILE_M, x1), min(y + TILE_M, y1))
            low.append(_triangles(shapely.intersection(tile, road)))
            high.append(_triangles(shapely.difference(tile, road)))
    parts = [_level(np.concatenate(low), 0.0, "asphalt", town.style.asphalt_rgb)]
    parts.append(_level(np.concatenate(high), KERB_M, "pavement", (0.52, 0.51, 0.49)))
    parts.append(_apron(x0, y0, x1, y1))
    parts.append(kerb_faces(road))
    return joined(parts)


def _triangles(area: shapely.Geometry) -> ndarray:
    if shapely.is_empty(area):
        return np.zeros((0, 3, 2))
    pieces = [p for p in shapely.get_parts(area) if p.geom_type == "Polygon" and p.area > 1e-6]
    cut = [t for p in pieces for t in shapely.get_parts(shapely.constrained_delaunay_triangles(p))]
    if not cut:
        return np.zeros((0, 3, 2))
    return np.array([shapely.get_coordinates(t)[:3] for t in cut])


def _level(xy: ndarray, z: float, material: str, rgb: RGB) -> Soup:
    a, b, c = xy[:, 0], xy[:, 1], xy[:, 2]
    turn = (b[:, 0] - a[:, 0]) * (c[:, 1] - a[:, 1]) - (b[:, 1] - a[:, 1]) * (c[:, 0] - a[:, 0])
    xy = np.where((turn < 0)[:, None, None], xy[:, ::-1], xy)[np.abs(turn) > 1e-7]
    xyz = np.concatenate([xy, np.full((*xy.shape[:2], 1), z)], -1)
    return soup_of(xyz, material, rgb, part="ground", normal=np.broadcast_to([0.0, 0.0, 1.0], xyz.shape), uv=xy)


def _apron(x0: float, y0: float, x1: float, y1: float) -> Soup:
    a0, b0, a1, b1 = x0 - APRON_M, y0 - APRON_M, x1 + APRON_M, y1 + APRON_M
    quads = [(a0, b0, a1, y0), (a0, y1, a1, b1), (a0, y0, x0, y1), (x1, y0, a1, y1)]
    tri = []
    for p, q, r, s in quads:
        tri += [[[p, q], [r, q], [r, s]], [[p, q], [r, s], [p, s]]]
    return _level(np.array(tri, np.float64), KERB_M, "grass", (0.3, 0.33, 0.2))


def kerb_faces(road: shapely.Geometry) -> Soup:
    """Upright faces along the edge of the carriageway; u runs along the kerb."""
    quads, along = [], []
    for part in shapely.get_parts(road):
        for ring in (part.exterior, *part.interiors):
            xy = shapely.get_coordinates(shapely.segmentize(ring, 6.0))
            step = np.hypot(*np.diff(xy, axis=0).T)
            at = np.concatenate([[0.0], np.cumsum(step)])
            for k in np.flatnonzero(step > 1e-4):
                (ax, ay), (bx, by) = xy[k], xy[k + 1]
                quads.append([[ax, ay, 0], [bx, by, 0], [bx, by, KERB_M], [ax, ay, KERB_M]])
                along.append([[at[k], 0], [at[k + 1], 0], [at[k + 1], KERB_M], [at[k], KERB_M]])
    pick = [0, 2, 1, 0, 3, 2]
    xyz, uv = np.array(quads)[:, pick].reshape(-1, 3, 3), np.array(along)[:, pick].reshape(-1, 3, 2)
    return soup_of(xyz, "concrete", KERB_RGB, part="kerb", uv=uv)
