"""A Town as a nuScenes map expansion (version 1.3), and where the town lies on its map.

Every layer that the devkit's NuScenesMap loads is there. Points that coincide share one node, so that neighbouring
lanes and blocks are found by their common nodes as in nuScenes. Source: nuScenes map expansion schema 1.3.
"""

import math

import numpy as np
from jaxtyping import Float
from numpy import ndarray
from shapely import Polygon, unary_union

from sceneminer.data.synth.map_lanes import arcline_path, lane_edges, lane_polygon, paint_along
from sceneminer.data.synth.map_nodes import MapNodes
from sceneminer.data.synth.scene import Lane, Town
from sceneminer.data.synth.tables import Row, rounded, token

VERSION = "1.3"
MARGIN_M = 20.0
_WELD_M = 0.02
"""Gaps up to twice this between carriageway polygons are numerical and closed."""


def map_offset(town: Town) -> tuple[float, float]:
    """Shift in metres from the town frame to the map (global) frame: whole metres, everything positive."""
    digest = token("map_offset", town.name)
    x, y = 100 + int(digest[:4], 16) % 150, 100 + int(digest[4:8], 16) % 150
    return float(x - math.floor(town.bounds[0])), float(y - math.floor(town.bounds[1]))


def canvas_edge(town: Town) -> tuple[float, float]:
    """Width and height of the map in metres; its south-west corner is the origin."""
    x, y = map_offset(town)
    return float(math.ceil(town.bounds[2] + x + MARGIN_M)), float(math.ceil(town.bounds[3] + y + MARGIN_M))


def drivable_polygons(town: Town) -> tuple[Polygon, ...]:
    """Carriageway and parking lots as disjoint polygons with holes, in the town frame."""
    parts = [Polygon(ring) for ring in (*town.road_segments, *town.intersections, *town.parking_lots)]
    welded = unary_union([part.buffer(_WELD_M, join_style="mitre") for part in parts])
    area = welded.buffer(-_WELD_M, join_style="mitre")
    pieces = getattr(area, "geoms", [area])
    return tuple(sorted(pieces, key=lambda piece: piece.bounds))


def map_expansion(town: Town) -> dict[str, object]:
    """The map expansion of a town as JSON values, in global coordinates (metres)."""
    nodes = MapNodes(town.name, offset_m=map_offset(town))
    layers: dict[str, list[Row]] = {
        "drivable_area": _drivable_area(town, nodes),
        **_areas(town, nodes),
        **_roads(town, nodes),
        **_lanes(town, nodes),
        **_lines(town, nodes),
    }
    tokens = _lane_tokens(town)
    return {
        "version": VERSION,
        **nodes.layers(),
        **layers,
        "arcline_path_3": {tokens[lane.lane_id]: arcline_path(_shifted(lane.centerline, town)) for lane in town.lanes},
        "connectivity": {
            tokens[lane.lane_id]: {
                "incoming": [tokens[i] for i in lane.predecessors],
                "outgoing": [tokens[i] for i in lane.successors],
            }
            for lane in town.lanes
        },
        "canvas_edge": list(canvas_edge(town)),
    }


def _drivable_area(town: Town, nodes: MapNodes) -> list[Row]:
    polygons = [
        nodes.polygon(np.array(piece.exterior.coords)[:-1], holes=[np.array(h.coords)[:-1] for h in piece.interiors])
        for piece in drivable_polygons(town)
    ]
    return [{"token": token(town.name, "drivable_area"), "polygon_tokens": polygons}]


def _areas(town: Town, nodes: MapNodes) -> dict[str, list[Row]]:
    """Crossings, walkways and parking lots."""
    segments = len(town.road_segments)
    return {
        "ped_crossing": [
            {
                "token": token(town.name, "ped_crossing", i),
                "polygon_token": nodes.polygon(crossing.polygon),
                "road_segment_token": ""
                if crossing.intersection is None
                else token(town.name, "road_segment", segments + crossing.intersection),
            }
            for i, crossing in enumerate(town.crossings)
        ],
        "walkway": [
            {"token": token(town.name, "walkway", i), "polygon_token": nodes.polygon(ring)}
            for i, ring in enumerate(town.walkways)
        ],
        "carpark_area": [
            {
                "token": token(town.name, "carpark_area", i),
                "polygon_token": nodes.polygon(ring),
                "orientation": 0.0,
                "road_block_token": "",
            }
            for i, ring in enumerate(town.parking_lots)
        ],
    }


def _roads(town: Town, nodes: MapNodes) -> dict[str, list[Row]]:
    """Road segments (intersections after the streets) and road blocks: the lanes of one direction, side by side."""
    drivable = token(town.name, "drivable_area")
    rings = [*town.road_segments, *town.intersections]
    segments = [
        {
            "token": token(town.name, "road_segment", i),
            "polygon_token": nodes.polygon(ring),
            "is_intersection": i >= len(town.road_segments),
            "drivable_area_token": drivable,
        }
        for i, ring in enumerate(rings)
    ]
    blocks = []
    for lanes in _side_by_side(town).values():
        left, right = lane_edges(lanes[0])[0], lane_edges(lanes[-1])[1]
        area = unary_union([lane_polygon(lane).buffer(_WELD_M, join_style="mitre") for lane in lanes])
        area = area.buffer(-_WELD_M, join_style="mitre")
        area = max(getattr(area, "geoms", [area]), key=lambda piece: piece.area)
        road = lanes[0].road
        blocks.append(
            {
                "token": _block_token(town, lanes[0]),
                "polygon_token": nodes.polygon(np.array(area.exterior.coords)[:-1]),
                "from_edge_line_token": nodes.line(np.array([left[0], right[0]])),
                "to_edge_line_token": nodes.line(np.array([left[-1], right[-1]])),
                "road_segment_token": "" if road is None else token(town.name, "road_segment", road),
            }
        )
    return {"road_segment": segments, "road_block": blocks}


def _lanes(town: Town, nodes: MapNodes) -> dict[str, list[Row]]:
    lanes, connectors = [], []
    tokens = _lane_tokens(town)
    for lane in town.lanes:
        left, right = lane_edges(lane)
        row: Row = {
            "token": tokens[lane.lane_id],
            "polygon_token": nodes.polygon(np.array(lane_polygon(lane).exterior.coords)[:-1]),
            "lane_type": "CAR",
            "from_edge_line_token": nodes.line(np.array([left[0], right[0]])),
            "to_edge_line_token": nodes.line(np.array([left[-1], right[-1]])),
        }
        if lane.intersection is not None:
            connectors.append(row)
            continue
        for side, edge in (("left", left), ("right", right)):
            row[f"{side}_lane_divider_segments"] = [
                {"node_token": node, "segment_type": paint}
                for node, paint in zip(nodes.nodes(edge), paint_along(edge, town.dividers), strict=True)
            ]
        lanes.append(row)
    return {"lane": lanes, "lane_connector": connectors}


def _lines(town: Town, nodes: MapNodes) -> dict[str, list[Row]]:
    """Dividers, stop lines and traffic lights."""
    road, lane = [], []
    for i, divider in enumerate(town.dividers):
        row: Row = {"token": token(town.name, "divider", i), "line_token": nodes.line(divider.line)}
        if divider.kind == "road":
            road.append({**row, "road_segment_token": ""})
        else:
            paints = paint_along(divider.line, (divider,))
            points = zip(nodes.nodes(divider.line), paints, strict=True)
            lane.append({**row, "lane_divider_segments": [{"node_token": n, "segment_type": p} for n, p in points]})
    return {
        "road_divider": road,
        "lane_divider": lane,
        "stop_line": [_stop_line(town, i, nodes) for i in range(len(town.stop_lines))],
        "traffic_light": [_traffic_light(town, i, nodes) for i in range(len(town.signals))],
    }


def _stop_line(town: Town, index: int, nodes: MapNodes) -> Row:
    stop = town.stop_lines[index]
    area = Polygon(stop.polygon)
    lanes = [lane for lane in town.lanes if lane.stop_line == index]
    signals = sorted({lane.signal for lane in lanes if lane.signal is not None})
    near = [i for i, crossing in enumerate(town.crossings) if Polygon(crossing.polygon).distance(area) < 4.0]
    return {
        "token": token(town.name, "stop_line", index),
        "polygon_token": nodes.polygon(stop.polygon),
        "stop_line_type": stop.cue,
        "ped_crossing_tokens": [token(town.name, "ped_crossing", i) for i in near],
        "traffic_light_tokens": [token(town.name, "traffic_light", i) for i in signals],
        "road_block_token": next(
            (_block_token(town, _leftmost(lane, town)) for lane in lanes if lane.intersection is None), ""
        ),
    }


def _traffic_light(town: Town, index: int, nodes: MapNodes) -> Row:
    signal = town.signals[index]
    x, y, z = signal.position
    yaw = signal.facing_yaw_rad
    shift = map_offset(town)
    lamps = ("RED", 0.3), ("YELLOW", 0.0), ("GREEN", -0.3)
    blocks = {_block_token(town, _leftmost(lane, town)): None for lane in town.lanes if lane.signal == index}
    return {
        "token": token(town.name, "traffic_light", index),
        "line_token": nodes.line(np.array([[x, y], [x + math.cos(yaw), y + math.sin(yaw)]])),
        "traffic_light_type": "VERTICAL",
        "from_road_block_token": next(iter(blocks), ""),
        "items": [
            {
                "color": color,
                "shape": "CIRCLE",
                "rel_pos": {"tx": 0.0, "ty": 0.0, "tz": up, "rx": 0.0, "ry": 0.0, "rz": 0.0},
                "to_road_block_tokens": [],
            }
            for color, up in lamps
        ],
        "pose": dict(
            zip(
                ("tx", "ty", "tz", "rx", "ry", "rz"),
                rounded((x + shift[0], y + shift[1], z, 0.0, 0.0, yaw), 4),
                strict=True,
            )
        ),
    }


def _side_by_side(town: Town) -> dict[int, list[Lane]]:
    """Lanes (no connectors) that one may change between, leftmost first, by the leftmost lane's id."""
    groups: dict[int, list[Lane]] = {}
    by_id = {lane.lane_id: lane for lane in town.lanes}
    for lane in town.lanes:
        if lane.intersection is None and lane.left is None:
            row = [lane]
            while (right := row[-1].right) is not None and len(row) < 16:
                row.append(by_id[right])
            groups[lane.lane_id] = row
    return groups


def _leftmost(lane: Lane, town: Town) -> Lane:
    by_id = {other.lane_id: other for other in town.lanes}
    for _ in range(16):
        if lane.left is None:
            return lane
        lane = by_id[lane.left]
    return lane


def _block_token(town: Town, leftmost: Lane) -> str:
    return token(town.name, "road_block", leftmost.lane_id)


def _lane_tokens(town: Town) -> dict[int, str]:
    return {lane.lane_id: token(town.name, "lane", lane.lane_id) for lane in town.lanes}


def _shifted(centerline: Float[ndarray, "n 3"], town: Town) -> Float[ndarray, "n 3"]:
    return centerline + np.array([*map_offset(town), 0.0])
