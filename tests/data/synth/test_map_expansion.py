"""The town's map as a nuScenes map expansion, and its semantic prior picture."""

import io

import numpy as np
import pytest
from PIL import Image
from shapely import LineString, Point, Polygon

from sceneminer.data.synth.basemap import PIXELS_PER_M, basemap_png
from sceneminer.data.synth.layout import build_town
from sceneminer.data.synth.map_expansion import canvas_edge, map_expansion, map_offset
from sceneminer.data.synth.map_lanes import arcline_path
from sceneminer.data.synth.map_nodes import MapNodes

LAYERS = {
    *("node", "line", "polygon", "drivable_area", "road_segment", "road_block", "lane", "lane_connector"),
    *("ped_crossing", "walkway", "stop_line", "carpark_area", "road_divider", "lane_divider", "traffic_light"),
    *("arcline_path_3", "connectivity", "canvas_edge", "version"),
}


@pytest.fixture(scope="module")
def town():
    return build_town("val", 1)


@pytest.fixture(scope="module")
def expansion(town):
    return map_expansion(town)


@pytest.fixture(scope="module")
def polygons(expansion):
    at = {node["token"]: (node["x"], node["y"]) for node in expansion["node"]}

    def polygon(row):
        holes = [[at[t] for t in hole["node_tokens"]] for hole in row["holes"]]
        return Polygon([at[t] for t in row["exterior_node_tokens"]], holes)

    return {row["token"]: polygon(row) for row in expansion["polygon"]}


def test_all_layers_of_version_1_3(expansion):
    assert set(expansion) == LAYERS
    assert expansion["version"] == "1.3"
    for layer in ("lane", "lane_connector", "ped_crossing", "walkway", "lane_divider", "traffic_light", "stop_line"):
        assert expansion[layer], layer


def test_tokens_are_unique_and_references_resolve(expansion):
    by_layer = {}
    for layer in LAYERS - {"arcline_path_3", "connectivity", "canvas_edge", "version"}:
        tokens = [row["token"] for row in expansion[layer]]
        assert len(set(tokens)) == len(tokens), layer
        by_layer[layer] = set(tokens)
    nodes = by_layer["node"]
    for layer in by_layer:
        for row in expansion[layer]:
            assert row.get("polygon_token") in {None, *by_layer["polygon"]}
            assert row.get("line_token") in {None, *by_layer["line"]}
            for side in ("from", "to"):
                assert row.get(f"{side}_edge_line_token") in {None, *by_layer["line"]}
            assert row.get("road_block_token", "") in {"", *by_layer["road_block"]}
            assert row.get("road_segment_token", "") in {"", *by_layer["road_segment"]}
            assert nodes.issuperset(row.get("node_tokens", row.get("exterior_node_tokens", ())))
            for side in ("left", "right"):
                assert nodes.issuperset(s["node_token"] for s in row.get(f"{side}_lane_divider_segments", ()))
    for row in expansion["stop_line"]:
        assert by_layer["ped_crossing"].issuperset(row["ped_crossing_tokens"])
        assert by_layer["traffic_light"].issuperset(row["traffic_light_tokens"])
    lanes = by_layer["lane"] | by_layer["lane_connector"]
    assert set(expansion["connectivity"]) == set(expansion["arcline_path_3"]) == lanes
    for row in expansion["connectivity"].values():
        assert lanes.issuperset([*row["incoming"], *row["outgoing"]])


def test_everything_lies_on_the_canvas(expansion):
    xy = np.array([(node["x"], node["y"]) for node in expansion["node"]])
    assert xy.min() > 0
    assert np.all(xy.max(0) < expansion["canvas_edge"])


def test_polygons_are_valid_because_the_devkit_skips_others(polygons):
    assert all(polygon.is_valid for polygon in polygons.values())


def test_a_notch_thinner_than_the_rounding_is_mended():
    notch = 2e-4
    ring = np.array([[0, 0], [10, 0], [10, 10], [5, 10], [5.0001, 1], [5 - notch, 10.0002], [0, 10]], float)
    nodes = MapNodes("t", offset_m=(100.0, 100.0))
    nodes.polygon(ring)
    layers = nodes.layers()
    at = {node["token"]: (node["x"], node["y"]) for node in layers["node"]}
    area = Polygon([at[t] for t in layers["polygon"][0]["exterior_node_tokens"]])
    assert area.is_valid
    assert area.area == pytest.approx(100.0, rel=0.01)


def test_lanes_lie_on_the_drivable_area_and_hold_their_centreline(town, expansion, polygons):
    area = polygons[expansion["drivable_area"][0]["polygon_tokens"][0]].buffer(0.3)
    for token in expansion["drivable_area"][0]["polygon_tokens"][1:]:
        area = area.union(polygons[token].buffer(0.3))
    lanes = [lane for lane in town.lanes if lane.intersection is None]
    for lane, row in zip(lanes, expansion["lane"], strict=True):
        polygon = polygons[row["polygon_token"]]
        line = LineString(lane.centerline[:, :2] + map_offset(town))
        assert polygon.buffer(0.01).covers(line)
        assert polygon.intersection(area).area > 0.98 * polygon.area


def test_the_left_edge_of_a_lane_is_on_its_left(town, expansion):
    at = {node["token"]: (node["x"], node["y"]) for node in expansion["node"]}
    lanes = [lane for lane in town.lanes if lane.intersection is None]
    for lane, row in zip(lanes, expansion["lane"], strict=True):
        x, y, yaw = lane.centerline[0]
        edge = np.subtract(at[row["left_lane_divider_segments"][0]["node_token"]], map_offset(town))
        assert np.allclose(edge, [x - np.sin(yaw) * lane.width_m / 2, y + np.cos(yaw) * lane.width_m / 2], atol=2e-3)


def arc_points(row, steps=20):
    """Points of one row of an arc-line path by the schema's own definition, in small steps."""
    x, y, yaw = row["start_pose"]
    points = [(x, y)]
    signs = {"L": 1.0, "R": -1.0, "S": 0.0}
    for turn, length in zip(row["shape"], row["segment_length"], strict=True):
        step = length / steps
        for _ in range(steps):
            middle = yaw + 0.5 * step * signs[turn] / row["radius"]
            x, y, yaw = x + step * np.cos(middle), y + step * np.sin(middle), yaw + step * signs[turn] / row["radius"]
            points.append((x, y))
    return np.array(points), yaw


def test_arcline_paths_follow_the_centrelines(town, expansion):
    tokens = [*expansion["lane"], *expansion["lane_connector"]]
    plain = [lane for lane in town.lanes if lane.intersection is None]
    order = [*plain, *(lane for lane in town.lanes if lane.intersection is not None)]
    for lane, row in zip(order, tokens, strict=True):
        line = LineString(lane.centerline[:, :2] + map_offset(town))
        for path in expansion["arcline_path_3"][row["token"]]:
            points, yaw = arc_points(path)
            assert max(line.distance(Point(p)) for p in points[::5]) < 0.05
            assert np.hypot(*(points[-1] - path["end_pose"][:2])) < 0.03
            assert abs((yaw - path["end_pose"][2] + np.pi) % (2 * np.pi) - np.pi) < 0.06


def test_a_straight_and_an_arc_each_become_one_row():
    s = np.linspace(0, 20, 21)
    straight = np.stack([s, 0 * s, 0 * s], -1)
    arc = np.stack([10 * np.sin(s / 10), 10 * (np.cos(s / 10) - 1), -s / 10], -1)
    (one,) = arcline_path(straight)
    assert one["segment_length"] == [0.0, 20.0, 0.0]
    (turn,) = arcline_path(arc)
    assert turn["shape"] == "RSR"
    assert turn["radius"] == pytest.approx(10.0, abs=1e-3)
    assert turn["segment_length"][0] == pytest.approx(20.0, abs=1e-3)


def test_the_basemap_shows_where_one_may_go(town):
    image = Image.open(io.BytesIO(basemap_png(town)))
    pixels = np.array(image)
    assert image.mode == "L"
    assert image.size == tuple(round(edge * PIXELS_PER_M) for edge in canvas_edge(town))
    assert set(np.unique(pixels)) == {0, 255}

    def at(xy):
        x, y = (np.asarray(xy) + map_offset(town)) * PIXELS_PER_M
        return pixels[int(pixels.shape[0] - y), int(x)]

    assert all(at(p) == 255 for lane in town.lanes for p in lane.centerline[2:-2:7, :2])
    assert all(at(np.mean(crossing.axis, 0)) == 255 for crossing in town.crossings)
    x_min, y_min, x_max, y_max = town.bounds
    inner = [p for p in town.props if x_min < p.pose[0] < x_max and y_min < p.pose[1] < y_max]
    buildings = [prop for prop in inner if prop.kind == "building"]
    assert buildings
    assert all(at(prop.pose[:2]) == 0 for prop in buildings)


def test_towns_have_maps_of_their_own(town):
    far = build_town("far", 1)
    assert far.name != town.name
    assert map_offset(far) != map_offset(town)
