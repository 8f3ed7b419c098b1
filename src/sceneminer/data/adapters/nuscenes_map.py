"""The nuScenes map expansion (v1.2 and later; older ones lack lane centrelines) as an HdMap.

Layout: https://github.com/nutonomy/nuscenes-devkit/blob/master/docs/instructions_map_expansion.md. Every shape is a
list of node tokens; a lane's centreline is a path of three arcs or straights ("arcline"), as Dubins paths are.
"""

import json
from collections.abc import Callable, Iterable, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import shapely
from jaxtyping import Float
from numpy import ndarray
from shapely import LineString, Polygon

from sceneminer.data.errors import MediaError
from sceneminer.data.hdmap import HdMap, MapLane
from sceneminer.data.media import media_error

MAX_MAP_BYTES = 512 * 2**20
CENTERLINE_STEP_M = 1.0
_BOUNDARY_POINTS = 40
"""Boundary lines are cut to this many points, so that ``HdMap.near`` need not take a whole city's."""

# Our layer: nuScenes' layer, and which of its rows.
_AREAS: dict[str, tuple[str, Callable[[Mapping], bool]]] = {
    "drivable": ("drivable_area", lambda row: True),
    "intersection": ("road_segment", lambda row: row.get("is_intersection") is True),
    "crossing": ("ped_crossing", lambda row: True),
    "walkway": ("walkway", lambda row: True),
    "parking": ("carpark_area", lambda row: True),
    "stop_line": ("stop_line", lambda row: True),
}
_LINES = {"lane_divider": "lane_divider", "road_divider": "road_divider"}


def read_expansion(path: Path, name: str) -> HdMap:
    """The map of one location, in world coordinates; MediaError names a file that is no map.

    Layers that the file lacks are absent and named in ``missing``, as are shapes that cannot be drawn, with counts.
    """
    return _read(path, name, path.stat().st_mtime_ns)


@lru_cache(maxsize=4)
def _read(path: Path, name: str, _changed_ns: int) -> HdMap:
    size = path.stat().st_size
    if size > MAX_MAP_BYTES:
        raise media_error("too_large", name, f"expected at most {MAX_MAP_BYTES} bytes, found {size}")
    try:
        content = json.loads(path.read_bytes())
    except (ValueError, RecursionError) as error:
        raise _broken(name, f"expected UTF-8 JSON, found {type(error).__name__}") from error
    if not isinstance(content, dict):
        raise _broken(name, f"expected an object of layers, found {type(content).__name__}")
    return _Expansion(content).hdmap(Path(name).stem)


def _broken(name: str, reason: str) -> MediaError:
    return media_error("bad_table", name, reason)


class _Expansion:
    """One map file while its shapes are put together; counts what cannot be."""

    def __init__(self, content: dict[str, Any]):
        self.content = content
        self.missing: list[str] = []
        self.filled: set[str] = set()
        """Polygons of which a hole cannot be drawn."""
        self.nodes = {row["token"]: (row["x"], row["y"]) for row in self._rows("node") if _is_point(row)}
        self.polygons = {row["token"]: row for row in self._rows("polygon")}
        self.line_rows = {row["token"]: row for row in self._rows("line")}

    def hdmap(self, location: str) -> HdMap:
        areas = {}
        for ours, (theirs, wanted) in _AREAS.items():
            if self._has(theirs):
                areas[ours] = tuple(self._polygons(theirs, [row for row in self._rows(theirs) if wanted(row)]))
        lines = {ours: tuple(self._lines(theirs)) for ours, theirs in _LINES.items() if self._has(theirs)}
        if "drivable" in areas:
            lines["boundary"] = tuple(_boundary(areas["drivable"]))
        lanes = tuple(self._lanes())
        self._count(len(self.filled), "polygon", "with a hole that cannot be drawn, which is filled")
        return HdMap(location, areas, lines, lanes, tuple(self.missing))

    def _has(self, layer: str) -> bool:
        if isinstance(self.content.get(layer), list):
            return True
        self.missing.append(layer)
        return False

    def _rows(self, layer: str) -> list[dict[str, Any]]:
        """Rows of a layer that have a token."""
        rows = self.content.get(layer)
        if not isinstance(rows, list):
            return []
        good = [row for row in rows if isinstance(row, dict) and isinstance(row.get("token"), str)]
        self._count(len(rows) - len(good), layer, "without a token")
        return good

    def _count(self, bad: int, layer: str, why: str) -> None:
        if bad:
            self.missing.append(f"{bad} of {layer} {why}")

    def _points(self, tokens: Any) -> Float[ndarray, "n 2"]:
        """Nodes in order; empty where one is unknown."""
        if not isinstance(tokens, list) or not all(isinstance(t, str) and t in self.nodes for t in tokens):
            return np.zeros((0, 2))
        return np.array([self.nodes[t] for t in tokens], np.float64).reshape(-1, 2)

    def _polygon(self, token: Any) -> list[Polygon]:
        """The valid polygons that a row of ``polygon`` draws: one, or several where its outline crosses itself."""
        row = self.polygons.get(token, {}) if isinstance(token, str) else {}
        outline = self._points(row.get("exterior_node_tokens"))
        if len(outline) < 3:
            return []
        holes = row.get("holes")
        holes = holes if isinstance(holes, list) else []
        rings = [self._points(hole.get("node_tokens") if isinstance(hole, dict) else None) for hole in holes]
        whole = [ring for ring in rings if len(ring) >= 3]
        if len(whole) < len(rings):
            self.filled.add(str(token))
        return _valid_parts(Polygon(outline, whole))

    def _polygons(self, layer: str, rows: Iterable[Mapping]) -> list[Polygon]:
        found, bad = [], 0
        for row in rows:
            tokens = row.get("polygon_tokens") if "polygon_tokens" in row else [row.get("polygon_token")]
            parts = [self._polygon(token) for token in tokens] if isinstance(tokens, list) and tokens else [[]]
            bad += sum(not shapes for shapes in parts)
            found += [shape for shapes in parts for shape in shapes]
        self._count(bad, layer, "without an outline")
        return found

    def _lines(self, layer: str) -> list[LineString]:
        found, bad = [], 0
        for row in self._rows(layer):
            token = row.get("line_token")
            line = self.line_rows.get(token, {}) if isinstance(token, str) else {}
            points = self._points(line.get("node_tokens"))
            if len(points) >= 2:
                found.append(LineString(points))
            else:
                bad += 1
        self._count(bad, layer, "without a line")
        return found

    def _lanes(self) -> list[MapLane]:
        paths, links = self.content.get("arcline_path_3"), self.content.get("connectivity")
        if not isinstance(paths, dict):
            self.missing.append("arcline_path_3 (lane centrelines)")
            return []
        if not isinstance(links, dict):
            self.missing.append("connectivity (lane successors)")
            links = {}
        found = []
        for layer in ("lane", "lane_connector"):
            bad = 0
            for row in self._rows(layer):
                centerline = _centerline(paths.get(row["token"]))
                if len(centerline) < 2:
                    bad += 1
                    continue
                shapes = self._polygon(row.get("polygon_token"))
                shape = max(shapes, key=lambda s: s.area) if shapes else None
                link = links.get(row["token"])
                after = link.get("outgoing") if isinstance(link, dict) else None
                found.append(MapLane(row["token"], centerline, shape, layer == "lane_connector", _texts(after)))
            self._count(bad, layer, "without a centreline")
        return found


def _is_point(row: Mapping) -> bool:
    return all(isinstance(row.get(k), int | float) and abs(row[k]) < 1e8 for k in "xy")


def _texts(values: Any) -> tuple[str, ...]:
    return tuple(v for v in values if isinstance(v, str)) if isinstance(values, list) else ()


def _valid_parts(shape: Polygon) -> list[Polygon]:
    fixed = shape if shape.is_valid else shapely.make_valid(shape)
    return [p for p in shapely.get_parts(fixed) if isinstance(p, Polygon) and p.area > 0]


def _boundary(areas: Iterable[Polygon]) -> list[LineString]:
    """The outlines (holes too) of all drivable ground together, in short pieces."""
    union = shapely.union_all(list(areas))
    pieces = []
    for polygon in shapely.get_parts(union):
        for ring in (polygon.exterior, *polygon.interiors):
            points = shapely.get_coordinates(ring)
            starts = range(0, len(points) - 1, _BOUNDARY_POINTS)
            pieces += [LineString(points[i : i + _BOUNDARY_POINTS + 1]) for i in starts]
    return pieces


def _centerline(path: Any) -> Float[ndarray, "n 2"]:
    """The points of a lane's arclines, joined; empty where one is unusable."""
    parts: list[ndarray] = []
    for arcline in path if isinstance(path, list) else []:
        points = arcline_points(arcline, step_m=CENTERLINE_STEP_M) if _is_arcline(arcline) else np.zeros((0, 2))
        if len(points) == 0:
            return points
        parts.append(points if not parts else points[1:])
    return np.concatenate(parts) if parts else np.zeros((0, 2))


def _is_arcline(arcline: Any) -> bool:
    def numbers(key: str, n: int) -> bool:
        values = arcline.get(key)
        good = isinstance(values, list) and len(values) == n
        return good and all(isinstance(v, int | float) and abs(v) < 1e8 for v in values)

    if not isinstance(arcline, dict) or not numbers("start_pose", 3) or not numbers("segment_length", 3):
        return False
    radius, shape = arcline.get("radius"), arcline.get("shape")
    lengths = arcline["segment_length"]
    named = isinstance(shape, str) and len(shape) == 3 and set(shape) <= set("LSR")
    round_ = isinstance(radius, int | float) and 1e-3 < radius < 1e8
    return named and round_ and all(0 <= v < 1e5 for v in lengths)


def arcline_points(arcline: Mapping[str, Any], *, step_m: float) -> Float[ndarray, "n 2"]:
    """Points along one arcline, at most ``step_m`` apart, both ends included.

    ``start_pose`` (x, y, yaw), ``shape`` (three of L, S, R), ``radius`` and ``segment_length`` (metres) describe
    three arcs of that radius or straights; each is integrated exactly (Dubins, Am. J. Math. 79, 1957).
    """
    x, y, yaw = (float(v) for v in arcline["start_pose"])
    points = [np.array([[x, y]])]
    for turn, length in zip(arcline["shape"], arcline["segment_length"], strict=True):
        if length <= 0:
            continue
        curvature = {"L": 1.0, "S": 0.0, "R": -1.0}[turn] / float(arcline["radius"])
        along = np.linspace(0.0, float(length), max(int(np.ceil(length / step_m)), 1) + 1)[1:]
        # The chord of an arc: sin(κs/2)/(κs/2) long in relation to the arc, and turned by half its angle.
        half = curvature * along / 2
        chord = along * np.sinc(half / np.pi)
        piece = np.stack([x + chord * np.cos(yaw + half), y + chord * np.sin(yaw + half)], -1)
        points.append(piece)
        (x, y), yaw = piece[-1], yaw + curvature * float(length)
    return np.concatenate(points)
