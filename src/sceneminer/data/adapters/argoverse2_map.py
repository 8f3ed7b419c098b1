"""The vector map of an Argoverse 2 log (``log_map_archive_*.json``), as an HdMap in city coordinates.

Format: av2-api's map module. Layers that Argoverse does not draw itself are derived and said here: the
``intersection`` area is the union of lane segments marked ``is_intersection``; a painted line is a
``road_divider`` where it is yellow (in the United States yellow parts opposite directions), a ``lane_divider``
where a lane of the same direction lies beyond it, and a ``boundary`` (road edge) where none does. Bicycle lanes
give lines, not lanes.
"""

import json
from collections.abc import Mapping

import numpy as np
from jaxtyping import Float
from numpy import ndarray
from shapely import LineString, Polygon, make_valid, union_all

from sceneminer.data.hdmap import HdMap, MapLane
from sceneminer.data.media import MediaRoot, media_error

MAX_MAP_BYTES = 128 * 2**20
_UNPAINTED = ("NONE", "UNKNOWN")
_LAYERS = ("drivable_areas", "lane_segments", "pedestrian_crossings")


def read_map_archive(root: MediaRoot, name: str, location: str) -> HdMap:
    """The map of one archive; MediaError ``bad_table`` names the element that is not as expected."""
    try:
        archive = json.loads(root.read_bytes(name, limit=MAX_MAP_BYTES))
    except (ValueError, RecursionError) as error:
        raise media_error("bad_table", name, f"expected JSON, found {type(error).__name__}") from error
    if not isinstance(archive, dict):
        raise media_error("bad_table", name, f"expected an object of layers, found {type(archive).__name__}")
    layers = {key: _elements(name, archive, key) for key in _LAYERS}
    segments = {
        str(segment.get("id", key)): _Segment(f"{name}: lane_segments {key}", segment)
        for key, segment in layers["lane_segments"].items()
    }
    drivable = [
        _polygon(points)
        for key, area in layers["drivable_areas"].items()
        if len(points := _points(f"{name}: drivable_areas {key}", area, "area_boundary")) >= 3
    ]
    crossings = [_crossing(f"{name}: pedestrian_crossings {k}", c) for k, c in layers["pedestrian_crossings"].items()]
    crossing_parts = [segment.polygon for segment in segments.values() if segment.is_intersection]
    junctions = union_all(crossing_parts) if crossing_parts else Polygon()
    return HdMap(
        location=location,
        areas={"drivable": _parts(drivable), "intersection": _parts([junctions]), "crossing": _parts(crossings)},
        lines=_lines(segments),
        lanes=tuple(segment.lane(key, segments) for key, segment in segments.items() if segment.for_cars),
        missing=tuple(key for key in _LAYERS if key not in archive),
    )


class _Segment:
    """One lane segment, checked: its two boundaries in driving direction and what is painted on them."""

    def __init__(self, where: str, segment: Mapping):
        self.left = _points(where, segment, "left_lane_boundary")
        self.right = _points(where, segment, "right_lane_boundary")
        if min(len(self.left), len(self.right)) < 2:
            raise media_error("bad_table", where, "expected boundaries of two points or more, found fewer")
        self.is_intersection = segment.get("is_intersection") is True
        self.for_cars = segment.get("lane_type") != "BIKE"
        self.marks = tuple(
            (line, str(segment.get(f"{side}_lane_mark_type", "NONE")), segment.get(f"{side}_neighbor_id") is not None)
            for side, line in (("left", self.left), ("right", self.right))
        )
        successors = segment.get("successors", [])
        self.successors = tuple(map(str, successors)) if isinstance(successors, list) else ()
        self.polygon = _polygon(np.concatenate([self.left, self.right[::-1]]))

    def lane(self, key: str, known: Mapping[str, object]) -> MapLane:
        spine = self.polygon if isinstance(self.polygon, Polygon) else None
        ahead = tuple(s for s in self.successors if s in known)
        return MapLane(key, _middle(self.left, self.right), spine, self.is_intersection, ahead)


def _middle(left: Float[ndarray, "n 2"], right: Float[ndarray, "m 2"]) -> Float[ndarray, "k 2"]:
    """The mean of both boundaries, each cut into equal steps of about a metre along its own length."""
    lengths = [np.concatenate([[0], np.cumsum(np.linalg.norm(np.diff(s, axis=0), axis=-1))]) for s in (left, right)]
    count = int(np.clip(np.ceil(max(length[-1] for length in lengths)) + 1, 2, 10_000))
    sides = []
    for side, length in zip((left, right), lengths, strict=True):
        at = np.linspace(0, length[-1], count)
        sides.append(np.stack([np.interp(at, length, side[:, k]) for k in range(2)], -1))
    return (sides[0] + sides[1]) / 2


def _lines(segments: Mapping[str, _Segment]) -> dict[str, tuple[LineString, ...]]:
    """Painted lines by layer; one that two lanes share counts once."""
    layers: dict[str, list[LineString]] = {"lane_divider": [], "road_divider": [], "boundary": []}
    seen: set[tuple] = set()
    for segment in segments.values():
        for line, mark, has_neighbour in segment.marks:
            ends = [tuple(np.round(line[i], 1)) for i in (0, -1)]
            key = (*sorted(ends), round(float(np.linalg.norm(np.diff(line, axis=0), axis=-1).sum()), 0))
            if mark in _UNPAINTED or key in seen:
                continue
            seen.add(key)
            layer = "road_divider" if "YELLOW" in mark else "lane_divider" if has_neighbour else "boundary"
            layers[layer].append(LineString(line))
    return {name: tuple(lines) for name, lines in layers.items()}


def _elements(name: str, archive: Mapping, key: str) -> Mapping[str, Mapping]:
    layer = archive.get(key, {})
    if not isinstance(layer, dict) or not all(isinstance(v, dict) for v in layer.values()):
        raise media_error("bad_table", name, f"expected {key} to be an object of objects, found {type(layer).__name__}")
    return layer


def _points(where: str, element: Mapping, key: str) -> Float[ndarray, "n 2"]:
    try:
        points = np.array([(p["x"], p["y"]) for p in element[key]], np.float64).reshape(-1, 2)
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise media_error("bad_table", where, f"expected {key} as points with x and y, found none") from error
    if not np.all(np.abs(points) < 1e8):
        raise media_error("bad_table", where, f"expected finite coordinates in {key}, found others")
    return points


def _crossing(where: str, element: Mapping):
    """Both edges run the same way in the format; where they do not, the other order gives the simple polygon."""
    edge1, edge2 = _points(where, element, "edge1"), _points(where, element, "edge2")
    if len(edge1) + len(edge2) < 3:
        raise media_error("bad_table", where, "expected a polygon of three points or more, found fewer")
    straight = Polygon(np.concatenate([edge1, edge2[::-1]]))
    turned = Polygon(np.concatenate([edge1, edge2]))
    return straight if straight.is_valid or not turned.is_valid else turned


def _polygon(points: Float[ndarray, "n 2"]):
    """A valid shape; self-crossing outlines, which the real maps have, are split rather than refused."""
    polygon = Polygon(points)
    if polygon.is_valid:
        return polygon
    parts = _parts([make_valid(polygon)])
    return parts[0] if len(parts) == 1 else union_all(parts)


def _parts(shapes) -> tuple[Polygon, ...]:
    """Every polygon with an area among shapes and collections of shapes."""
    flat: list[Polygon] = []
    for shape in shapes:
        if isinstance(shape, Polygon):
            flat.extend([shape] if shape.area > 0 else [])
        else:
            flat.extend(_parts(getattr(shape, "geoms", ())))
    return tuple(flat)
