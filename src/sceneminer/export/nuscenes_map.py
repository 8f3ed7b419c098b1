"""Maps of an exported nuScenes folder: the source's own files, or an HdMap as map expansion and road mask."""

import hashlib
import itertools
import math
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from jaxtyping import Float
from numpy import ndarray
from shapely import LineString, Polygon

from sceneminer.data.adapters.nuscenes_media import is_usable
from sceneminer.data.adapters.nuscenes_store import NuscenesStore, expansion_name
from sceneminer.data.hdmap import HdMap, MapLane
from sceneminer.data.log import Log
from sceneminer.data.synth.basemap import PIXELS_PER_M, mask_png
from sceneminer.data.synth.map_expansion import MARGIN_M, VERSION
from sceneminer.data.synth.map_nodes import MapNodes
from sceneminer.data.synth.tables import Row, rounded, token, write_json
from sceneminer.export.nuscenes_media import MediaWriter, safe_name
from sceneminer.export.origin import clean

MAX_MASK_PIXELS = 150_000_000
"""A mask begins at the origin of the world: maps that lie far from it, as Argoverse 2's do, are not drawn."""
BLANK_EDGE_M = 1.0
LANE_WIDTH_M = 3.5
"""Of lanes that come without an outline; nuScenes' must have one."""
_AREAS = {
    "crossing": "ped_crossing",
    "walkway": "walkway",
    "parking": "carpark_area",
    "stop_line": "stop_line",
    "intersection": "road_segment",
}
_MASKED = ("drivable", "parking", "walkway", "crossing")


class MapWriter:
    """Writes each map once and keeps the rows of ``map``; a location's name leads to one map only."""

    def __init__(self, media: MediaWriter):
        self.media = media
        self.left_out: list[tuple[str, str]] = []
        self._rows: dict[str, Row] = {}
        self._content: dict[str, str] = {}
        """What lies behind each location's name: a digest of its files."""

    def add(self, log: Log, hdmap: HdMap | None, log_token: str) -> str:
        """Write the map of a log; returns the location that its row of ``log`` must name."""
        if isinstance(log.store, NuscenesStore):
            location = self._copy(log.store)
        elif hdmap is not None:
            location = self._draw(log, hdmap)
        else:
            location = self._place(clean(log.location or ""), "")
            if location not in self._rows:
                self._add_row(location, _blank())
        self._rows[location]["log_tokens"].append(log_token)
        return location

    def rows(self) -> list[Row]:
        return list(self._rows.values())

    def _copy(self, store: NuscenesStore) -> str:
        expansion = _file(store, expansion_name(store.location))
        mask = _file(store, store.basemap)
        content = "".join("" if path is None else _digest(path) for path in (expansion, mask))
        name = clean(store.location or "")
        location = self._place(safe_name(name) if expansion else name, content)
        if location in self._rows:
            return location
        if expansion is not None:
            self.media.copy(expansion, f"maps/expansion/{location}.json")
        self._add_row(location, mask or _blank())
        return location

    def _draw(self, log: Log, hdmap: HdMap) -> str:
        """Other data sets have a map for each drive, not one for a city: the log's id is part of its name."""
        location = self._place(safe_name(f"{log.location or 'map'}-{log.log_id}"), log.log_id)
        write_json(self.media.folder / "maps" / "expansion" / f"{location}.json", expansion_of(hdmap, location))
        self.media.files += 1
        areas = [area for name in _MASKED for area in hdmap.areas.get(name, ())]
        edge_m = canvas_edge_of(hdmap)
        if edge_m[0] * edge_m[1] * PIXELS_PER_M**2 > MAX_MASK_PIXELS:
            reason = f"expected a map within {MAX_MASK_PIXELS} pixels of the origin, found it further away; it is blank"
            self.left_out.append((f"{log.name} road mask", reason))
            areas, edge_m = [], (BLANK_EDGE_M, BLANK_EDGE_M)
        self._add_row(location, mask_png(areas, edge_m))
        return location

    def _place(self, name: str, content: str) -> str:
        """The name, unless another map has it."""
        if self._content.setdefault(name, content) == content:
            return name
        other = f"{name}-{hashlib.sha256(content.encode()).hexdigest()[:8]}"
        self._content[other] = content
        return other

    def _add_row(self, location: str, mask: Path | bytes) -> None:
        key = token("map", location)
        name = f"maps/{key}.png"
        if isinstance(mask, Path):
            self.media.copy(mask, name)
        else:
            self.media.write(name, mask)
        self._rows[location] = {"token": key, "category": "semantic_prior", "filename": name, "log_tokens": []}


def expansion_of(hdmap: HdMap, name: str) -> dict[str, object]:
    """An HdMap as the JSON values of a map expansion (version 1.3) that the devkit's NuScenesMap reads.

    Layers that the map lacks are empty. Centrelines are straights from point to point. Points are kept to 1 mm.
    """
    nodes = MapNodes(name, offset_m=(0.0, 0.0))
    drivable = [_polygon(nodes, area) for area in hdmap.areas.get("drivable", ())]
    layers: dict[str, list[Row]] = {theirs: [] for theirs in _AREAS.values()}
    for ours, theirs in _AREAS.items():
        for i, area in enumerate(hdmap.areas.get(ours, ())):
            row = {"token": token(name, theirs, i), "polygon_token": _polygon(nodes, area)}
            layers[theirs].append(row | _area_fields(theirs))
    for kind in ("road_divider", "lane_divider"):
        layers[kind] = [
            _line_row(nodes, line, token(name, kind, i)) for i, line in enumerate(hdmap.lines.get(kind, ()))
        ]
    lanes, connectors = [], []
    for lane in hdmap.lanes:
        (connectors if lane.is_connector else lanes).append(_lane_row(nodes, lane))
    return {
        "version": VERSION,
        "drivable_area": [{"token": token(name, "drivable_area"), "polygon_tokens": drivable}] if drivable else [],
        **layers,
        "road_block": [],
        "traffic_light": [],
        "lane": lanes,
        "lane_connector": connectors,
        **nodes.layers(),
        "arcline_path_3": {lane.lane_id: _straights(lane.centerline) for lane in hdmap.lanes},
        "connectivity": _connectivity(hdmap.lanes),
        "canvas_edge": list(canvas_edge_of(hdmap)),
    }


def canvas_edge_of(hdmap: HdMap) -> tuple[float, float]:
    """Width and height in metres of a map that begins at the world's origin."""
    shapes = [shape for layer in (*hdmap.areas.values(), *hdmap.lines.values()) for shape in layer]
    ends = np.array([shape.bounds[2:] for shape in shapes] or [(0.0, 0.0)])
    x, y = np.maximum(ends.max(0), 0.0)
    return float(math.ceil(x + MARGIN_M)), float(math.ceil(y + MARGIN_M))


def _area_fields(layer: str) -> Row:
    match layer:
        case "road_segment":
            return {"is_intersection": True, "drivable_area_token": ""}
        case "ped_crossing":
            return {"road_segment_token": ""}
        case "carpark_area":
            return {"orientation": 0.0, "road_block_token": ""}
        case "stop_line":
            none: Row = {"ped_crossing_tokens": [], "traffic_light_tokens": [], "road_block_token": ""}
            return {"stop_line_type": "TRAFFIC_LIGHT", **none}
        case _:
            return {}


def _polygon(nodes: MapNodes, area: Polygon) -> str:
    holes = [np.array(ring.coords)[:-1, :2] for ring in area.interiors]
    return nodes.polygon(np.array(area.exterior.coords)[:-1, :2], holes=holes)


def _line_row(nodes: MapNodes, line: LineString, key: str) -> Row:
    points = np.array(line.coords)[:, :2]
    segments = [{"node_token": node, "segment_type": "NIL"} for node in nodes.nodes(points)]
    row: Row = {"token": key, "line_token": nodes.line(points), "lane_divider_segments": segments}
    return row | {"road_segment_token": ""}


def _lane_row(nodes: MapNodes, lane: MapLane) -> Row:
    area = lane.polygon or LineString(lane.centerline).buffer(LANE_WIDTH_M / 2, cap_style="flat")
    area = max(getattr(area, "geoms", [area]), key=lambda piece: piece.area)
    return {
        "token": lane.lane_id,
        "polygon_token": _polygon(nodes, area),
        "lane_type": "CAR",
        "from_edge_line_token": nodes.line(lane.centerline[:2]),
        "to_edge_line_token": nodes.line(lane.centerline[-2:]),
        "left_lane_divider_segments": [],
        "right_lane_divider_segments": [],
    }


def _straights(centerline: Float[ndarray, "n 2"]) -> list[Row]:
    """A polyline as nuScenes' paths of three parts, of which the middle one is straight and the others nothing."""
    rows: list[Row] = []
    for start, end in itertools.pairwise(centerline):
        length, yaw = float(np.hypot(*(end - start))), float(np.arctan2(end[1] - start[1], end[0] - start[0]))
        if length > 0:
            poses = {"start_pose": rounded((*start, yaw), 6), "end_pose": rounded((*end, yaw), 6)}
            rows.append({**poses, "shape": "LSL", "radius": 999.999, "segment_length": [0.0, length, 0.0]})
    return rows


def _connectivity(lanes: Iterable[MapLane]) -> dict[str, dict[str, list[str]]]:
    known = {lane.lane_id: lane for lane in lanes}
    links: dict[str, dict[str, list[str]]] = {name: {"incoming": [], "outgoing": []} for name in known}
    for name, lane in known.items():
        for after in lane.successors:
            if after in known:
                links[name]["outgoing"].append(after)
                links[after]["incoming"].append(name)
    return links


def _file(store: NuscenesStore, name: str | None) -> Path | None:
    return store.media.path(name) if name is not None and is_usable(store.media, name) else None


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _blank() -> bytes:
    """The devkit wants a mask of every log."""
    return mask_png([], (BLANK_EDGE_M, BLANK_EDGE_M))
