"""nuScenes maps: the vector expansion with its lane arcs, and the base map masks."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from nuscenes_tree import YAW_RAD, expansion, make_nuscenes_tree
from PIL import Image
from shapely import Point

from sceneminer.data.adapters.nuscenes_map import arcline_points
from sceneminer.data.errors import MediaError
from sceneminer.data.hdmap import HdMap
from sceneminer.data.log import Log
from sceneminer.data.open import open_log
from sceneminer.geometry.pose import pose_from_yaw

REAL = Path(__file__).parents[3].parent / "shared" / "data" / "nuscenes" / "dataroot"


@pytest.fixture(autouse=True)
def cache(tmp_path_factory, monkeypatch):
    monkeypatch.setenv("SCENEMINER_CACHE", str(tmp_path_factory.mktemp("cache")))


@pytest.fixture
def root(tmp_path) -> Path:
    return make_nuscenes_tree(tmp_path)


@pytest.fixture
def log(root) -> Log:
    return open_log(root, "scene-0001")


def read_map(root: Path, content: object) -> HdMap | None:
    path = root / "maps" / "expansion" / "smallville.json"
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return open_log(root, "scene-0001").store.read_map()


def test_layers_have_our_names(log):
    found = log.store.read_map()
    assert found.location == "smallville"
    assert {name: len(shapes) for name, shapes in found.areas.items()} == {
        "drivable": 1,
        "intersection": 1,
        "crossing": 1,
        "walkway": 1,
        "parking": 0,
        "stop_line": 0,
    }
    assert {name: len(shapes) for name, shapes in found.lines.items()} == {
        "lane_divider": 1,
        "road_divider": 0,
        "boundary": 2,
    }
    assert found.missing == ()


def test_holes_and_boundaries_of_drivable_ground(log):
    found = log.store.read_map()
    (road,) = found.areas["drivable"]
    assert road.area == pytest.approx(300 * 25 - 25)
    assert road.contains(Point(100, 200)) and not road.contains(Point(202, 202))
    assert sum(line.length for line in found.lines["boundary"]) == pytest.approx(2 * 325 + 4 * 5)


def test_lanes_run_in_driving_direction(log):
    (lane,) = log.store.read_map().lanes
    np.testing.assert_allclose(lane.centerline[[0, -1]], [[50, 197], [150, 197]])
    assert len(lane.centerline) == 101
    assert (lane.lane_id, lane.is_connector, lane.successors) == ("lane", False, ("other",))
    assert lane.polygon.area == pytest.approx(400)


def test_only_the_map_around_the_drive_is_read(root):
    content = expansion()
    for corner, (x, y) in {"a": (5000, 5000), "b": (5010, 5000), "c": (5010, 5010)}.items():
        content["node"].append({"token": corner, "x": x, "y": y})
    content["polygon"].append({"token": "far", "exterior_node_tokens": ["a", "b", "c"], "holes": []})
    content["ped_crossing"].append({"token": "far", "polygon_token": "far"})
    assert len(read_map(root, content).areas["crossing"]) == 1


def test_absent_layers_are_named_not_invented(root):
    content = expansion()
    for layer in ("lane_divider", "walkway", "arcline_path_3"):
        del content[layer]
    found = read_map(root, content)
    assert "lane_divider" not in found.lines and "walkway" not in found.areas and found.lanes == ()
    assert found.missing == ("walkway", "lane_divider", "arcline_path_3 (lane centrelines)")


def test_shapes_that_cannot_be_drawn_are_counted(root):
    content = expansion()
    content["node"][0]["x"] = "west"
    content["ped_crossing"] += [{"token": "p", "polygon_token": "nothing"}, {"token": "q", "polygon_token": []}, {}]
    content["lane_divider"].append({"token": "l", "line_token": [1]})
    content["arcline_path_3"]["lane"][0]["radius"] = 0
    found = read_map(root, content)
    assert found.missing == (
        "1 of drivable_area without an outline",
        "1 of ped_crossing without a token",
        "2 of ped_crossing without an outline",
        "1 of lane_divider without a line",
        "1 of lane without a centreline",
    )
    assert len(found.areas["crossing"]) == 1


def test_outlines_that_cross_themselves_are_mended(root):
    content = expansion()
    cross = next(row for row in content["polygon"] if row["token"] == "cross")
    a, b, c, d = cross["exterior_node_tokens"]
    cross["exterior_node_tokens"] = [a, c, b, d]
    crossings = read_map(root, content).areas["crossing"]
    assert len(crossings) == 2 and all(shape.is_valid for shape in crossings)
    assert sum(shape.area for shape in crossings) == pytest.approx(50)


@pytest.mark.parametrize("content", ["", "[]", "nul", "[" * 100_000, '"x"'])
def test_a_file_that_is_no_map_is_named(root, content):
    with pytest.raises(MediaError) as caught:
        read_map(root, content)
    assert caught.value.issue.subject == "maps/expansion/smallville.json"


def test_a_changed_map_is_read_again(root):
    content = expansion()
    assert len(read_map(root, content).areas["crossing"]) == 1
    content["ped_crossing"] = []
    assert len(read_map(root, content).areas["crossing"]) == 0


# ---- arcs


def arcline(shape: str, radius: float, lengths: list[float], start=(0.0, 0.0, 0.0)) -> dict:
    return {"start_pose": list(start), "shape": shape, "radius": radius, "segment_length": lengths}


def test_a_quarter_circle_to_the_left():
    points = arcline_points(arcline("LSR", 10.0, [5 * np.pi, 0.0, 0.0]), step_m=0.1)
    np.testing.assert_allclose(points[-1], [10, 10], atol=1e-12)
    np.testing.assert_allclose(np.linalg.norm(points - [0, 10], axis=1), 10, atol=1e-12)


def test_left_straight_right_ends_parallel():
    # 45° left on r = 10, 20 m straight, 45° right: displaced by the two arcs and the straight.
    points = arcline_points(arcline("LSR", 10.0, [2.5 * np.pi, 20.0, 2.5 * np.pi]), step_m=0.5)
    s = np.sqrt(0.5)
    np.testing.assert_allclose(points[-1], [20 * s + 20 * s, 20 * (1 - s) + 20 * s], atol=1e-12)
    last = points[-1] - points[-2]
    assert abs(np.arctan2(last[1], last[0])) < 0.03


@given(
    shape=st.sampled_from(["LSL", "LSR", "RSL", "RSR", "RLR", "LRL"]),
    radius=st.floats(3, 500),
    lengths=st.lists(st.floats(0, 60), min_size=3, max_size=3),
    start=st.tuples(st.floats(-1e3, 1e3), st.floats(-1e3, 1e3), st.floats(-3.1, 3.1)),
)
def test_arcs_agree_with_small_steps(shape, radius, lengths, start):
    exact = arcline_points(arcline(shape, radius, lengths, start), step_m=1.0)
    x, y, yaw = start
    for turn, length in zip(shape, lengths, strict=True):
        n = 4000
        curvature = {"L": 1, "S": 0, "R": -1}[turn] / radius
        middle = yaw + curvature * (np.arange(n) + 0.5) * length / n
        x, y = x + np.sum(np.cos(middle)) * length / n, y + np.sum(np.sin(middle)) * length / n
        yaw += curvature * length
    np.testing.assert_allclose(exact[-1], [x, y], atol=1e-4)
    assert np.all(np.linalg.norm(np.diff(exact, axis=0), axis=1) <= 1.0 + 1e-9)


# ---- base maps


def test_the_base_map_is_cut_around_a_pose_north_up(log):
    mask = log.store.read_basemap(pose_from_yaw(100.0, 200.0, YAW_RAD), half_extent_m=30.0)
    assert mask.shape == (600, 600) and set(np.unique(mask)) == {0, 255}
    # Road from y = 190 m (10 m below) to 215 m (15 m above).
    rows = np.flatnonzero(mask[:, 300])
    assert (rows[0], rows[-1]) == (150, 399)


def test_outside_the_base_map_there_is_no_road(log):
    mask = log.store.read_basemap(pose_from_yaw(-5.0, 202.0, 0.0), half_extent_m=20.0)
    assert np.all(mask[:, :250] == 0) and np.all(mask[100:270, 250:] == 255)
    assert not log.store.read_basemap(pose_from_yaw(1e6, -1e6, 0.0)).any()


def test_a_hole_or_a_part_that_cannot_be_drawn_is_counted(root):
    """Without its hole an area claims road where a house stands: that must not pass in silence."""
    content = expansion()
    content["polygon"][0]["holes"].append({"node_tokens": ["nowhere"]})
    content["drivable_area"][0]["polygon_tokens"].append("nowhere")
    found = read_map(root, content)
    assert len(found.areas["drivable"]) == 1
    assert found.missing == (
        "1 of drivable_area without an outline",
        "1 of polygon with a hole that cannot be drawn, which is filled",
    )


def test_the_base_map_is_decoded_once(log, monkeypatch):
    pose = pose_from_yaw(100.0, 200.0, 0.0)
    first = log.store.read_basemap(pose)

    def refuse(*_args):
        raise AssertionError("the base map was decoded again")

    monkeypatch.setattr("sceneminer.data.adapters.nuscenes_basemap._decode", refuse)
    np.testing.assert_array_equal(log.store.read_basemap(pose), first)


def test_a_broken_base_map_is_named(log, root):
    (root / "maps" / "smallville.png").write_bytes(b"no image")
    with pytest.raises(MediaError, match=r"maps/smallville\.png"):
        log.store.read_basemap(log.world_from_ego[0])


def test_a_base_map_of_too_many_pixels_is_refused(log, root, monkeypatch):
    monkeypatch.setattr("sceneminer.data.adapters.nuscenes_basemap.MAX_BASEMAP_PIXELS", 1000)
    with pytest.raises(MediaError, match="expected at most 1000 pixels"):
        log.store.read_basemap(log.world_from_ego[0])


def test_without_a_map_there_is_none(root):
    shutil.rmtree(root / "maps")
    log = open_log(root, "scene-0001")
    assert not log.has_map and log.store.read_map() is None
    assert log.store.read_basemap(log.world_from_ego[0]) is None


@pytest.mark.slow
@pytest.mark.skipif(not REAL.is_dir(), reason="no real recordings at ../shared/data/nuscenes")
def test_the_real_ego_drives_on_the_real_road():
    log = open_log(REAL, "scene-0061")
    here = [log.store.read_basemap(pose, half_extent_m=1.0).mean() / 255 for pose in log.world_from_ego]
    assert np.mean(here) > 0.95
    assert Image.MAX_IMAGE_PIXELS is not None and Image.MAX_IMAGE_PIXELS < 2e8
