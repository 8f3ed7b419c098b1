"""The static town: a road graph one can drive on, areas that do not overlap, rules that do not contradict."""

from collections import Counter
from dataclasses import fields, is_dataclass, replace
from itertools import combinations

import numpy as np
import pytest
import shapely
from shapely import LineString, Point, Polygon, STRtree

from sceneminer.data.errors import DataError
from sceneminer.data.synth.lane_path import lane_at, lane_polygon, lane_stations
from sceneminer.data.synth.layout import build_town
from sceneminer.data.synth.layout_spots import spot_polygon
from sceneminer.data.synth.props import PROP_KINDS, foot
from sceneminer.data.synth.roads import union
from sceneminer.data.synth.scene import Town

TOWNS = [("train", 0), ("train", 1), ("val", 3), ("test", 3), ("far", 1)]


@pytest.fixture(scope="module", params=TOWNS, ids=lambda p: f"{p[0]}-{p[1]}")
def town(request) -> Town:
    return build_town(*request.param)


def angle_between(a, b):
    return np.abs((a - b + np.pi) % (2 * np.pi) - np.pi)


def leaves_town(town, xy):
    """Lanes that end at the edge of the town have nothing but the backdrop beyond; the graph's own ends are there."""
    x0, y0, x1, y1 = town.bounds
    return min(xy[0] - x0, x1 - xy[0], xy[1] - y0, y1 - xy[1]) < 0.32 * min(x1 - x0, y1 - y0)


def same(a, b):
    if isinstance(a, np.ndarray):
        return a.dtype == b.dtype and np.array_equal(a, b)
    if is_dataclass(a):
        return type(a) is type(b) and all(same(getattr(a, f.name), getattr(b, f.name)) for f in fields(a))
    if isinstance(a, tuple):
        return len(a) == len(b) and all(map(same, a, b))
    return a == b


def test_a_split_and_a_seed_give_the_same_town_bit_for_bit(town):
    assert same(town, build_town(town.split, town.seed))


def test_other_seeds_and_other_splits_share_nothing():
    towns = [build_town(split, seed) for split, seed in (("train", 0), ("train", 1), ("val", 0), ("val", 1))]
    for a, b in combinations(towns, 2):
        assert a.style != b.style
        first = {lane.centerline.tobytes() for lane in a.lanes}
        assert not first & {lane.centerline.tobytes() for lane in b.lanes}
        assert not {prop.pose.tobytes() for prop in a.props} & {prop.pose.tobytes() for prop in b.props}


@pytest.mark.parametrize(("split", "seed"), [("trian", 0), ("train", -1)])
def test_a_wrong_split_or_seed_says_what_was_expected(split, seed):
    with pytest.raises((DataError, TypeError), match="split"):
        build_town(split, seed)


def test_size_and_landmarks(town):
    x0, y0, x1, y1 = town.bounds
    assert 320 < x1 - x0 < 560
    assert 320 < y1 - y0 < 560
    kinds = Counter(spot.kind for spot in town.spots)
    assert 1 <= len(town.parking_lots) <= 3
    assert 1 <= len(town.construction) <= 4
    assert kinds["bus_stop"] >= 2
    assert kinds["kerb"] > 20
    assert kinds["lot"] > 10
    assert len(town.signals) >= 3
    assert sum(prop.kind == "bus_shelter" for prop in town.props) >= 2
    assert sum(prop.kind == "building" for prop in town.props) > 60


# The road graph


def test_lanes_are_numbered_in_order_and_sampled_every_metre(town):
    for i, lane in enumerate(town.lanes):
        assert lane.lane_id == i
        steps = np.hypot(*np.diff(lane.centerline[:, :2], axis=0).T)
        assert steps.max() <= 1.0
        assert steps.min() > 0.1
        assert 8.0 <= lane.speed_limit_mps <= 17.0
        assert lane.length_m >= 5.0


def test_yaw_is_the_direction_of_travel(town):
    for lane in town.lanes:
        step = np.diff(lane.centerline[:, :2], axis=0)
        chord = np.arctan2(step[:, 1], step[:, 0])
        assert angle_between(chord, lane.centerline[:-1, 2]).max() < np.deg2rad(7)


def test_links_go_both_ways_and_only_the_edge_of_town_has_loose_ends(town):
    areas = union([Polygon(ring) for ring in town.intersections])
    for lane in town.lanes:
        assert all(lane.lane_id in town.lanes[k].predecessors for k in lane.successors)
        assert all(lane.lane_id in town.lanes[k].successors for k in lane.predecessors)
        if not lane.successors:
            assert leaves_town(town, lane.centerline[-1])
            assert areas.distance(Point(lane.centerline[-1, :2])) > 5.0
        if not lane.predecessors:
            assert leaves_town(town, lane.centerline[0])


def test_every_lane_can_be_reached_from_outside_and_leads_out_again(town):
    def reached(starts, links):
        seen, todo = set(starts), list(starts)
        while todo:
            fresh = [k for k in links(town.lanes[todo.pop()]) if k not in seen]
            seen.update(fresh)
            todo += fresh
        return seen

    every = {lane.lane_id for lane in town.lanes}
    assert reached([i for i in every if not town.lanes[i].predecessors], lambda lane: lane.successors) == every
    assert reached([i for i in every if not town.lanes[i].successors], lambda lane: lane.predecessors) == every


def test_a_connector_goes_on_where_its_lanes_end_and_start(town):
    for lane in town.lanes:
        for k in lane.successors:
            end, start = lane.centerline[-1], town.lanes[k].centerline[0]
            assert np.hypot(*(end - start)[:2]) < 0.01
            assert angle_between(end[2], start[2]) < np.deg2rad(2)


def test_turns_are_wide_enough_for_a_car(town):
    for lane in town.lanes:
        steps = np.hypot(*np.diff(lane.centerline[:, :2], axis=0).T)
        bend = angle_between(lane.centerline[1:, 2], lane.centerline[:-1, 2])
        assert (steps / np.maximum(bend, 1e-9)).min() > (5.0 if lane.intersection is not None else 30.0)


def test_turns_are_named_for_where_they_lead_and_keep_right(town):
    for lane in town.lanes:
        if lane.intersection is not None:
            change = (lane.centerline[-1, 2] - lane.centerline[0, 2] + np.pi) % (2 * np.pi) - np.pi
            expected = "straight" if abs(change) < np.pi / 4 else "left" if change > 0 else "right"
            assert lane.turn == expected


def test_traffic_keeps_right(town):
    streets = [lane for lane in town.lanes if lane.intersection is None]
    ends = np.array([lane.centerline[-1] for lane in streets])
    starts = np.array([lane.centerline[0] for lane in streets])
    pairs = 0
    for lane, (x, y, yaw) in zip(streets, ends, strict=True):
        # Where a lane ends, the lanes that come the other way start: to its left.
        gap = starts[:, :2] - (x, y)
        ahead, left = gap @ (np.cos(yaw), np.sin(yaw)), gap @ (-np.sin(yaw), np.cos(yaw))
        oncoming = (np.abs(ahead) < 1.5) & (np.hypot(*gap.T) < 18) & (angle_between(starts[:, 2], yaw) > 2.8)
        oncoming &= np.array([other.road == lane.road for other in streets])
        assert (left[oncoming] > 2.5).all()
        pairs += int(oncoming.sum())
    assert pairs > 20


def test_neighbours_run_side_by_side(town):
    found = 0
    for lane in town.lanes:
        if lane.left is None:
            continue
        found += 1
        other = town.lanes[lane.left]
        assert other.right == lane.lane_id
        x, y, yaw = lane.centerline[len(lane.centerline) // 2]
        gap = other.centerline[:, :2] - (x, y)
        k = int(np.argmin(np.hypot(*gap.T)))
        to_left = -np.sin(yaw) * gap[k, 0] + np.cos(yaw) * gap[k, 1]
        assert to_left == pytest.approx(lane.width_m, abs=0.1)
        assert angle_between(other.centerline[k, 2], yaw) < 0.1
    assert found > 3


# Areas


def rings(town):
    yield from ((name, ring) for name in ("road_segments", "intersections", "walkways") for ring in getattr(town, name))
    yield from (("lot", ring) for ring in town.parking_lots)


def test_areas_are_valid_counter_clockwise_and_do_not_overlap(town):
    areas = []
    for name, ring in rings(town):
        area = Polygon(ring)
        assert area.is_valid, name
        assert area.exterior.is_ccw, name
        assert not np.array_equal(ring[0], ring[-1]), name
        areas.append(area)
    assert sum(area.area for area in areas) - union(areas).area < 0.5
    others = [item.polygon for item in (*town.crossings, *town.stop_lines, *town.construction)]
    others += [lane_polygon(lane) for lane in town.lanes]
    for ring in others:
        assert Polygon(ring).is_valid
        assert Polygon(ring).exterior.is_ccw


def carriageway(town):
    return union([Polygon(ring) for name, ring in rings(town) if name != "walkways"])


def test_lanes_crossings_stop_lines_and_works_lie_on_the_carriageway(town):
    road = shapely.buffer(carriageway(town), 0.05)
    for ring in [lane_polygon(lane) for lane in town.lanes if lane.intersection is None]:
        assert Polygon(ring).difference(road).area < 0.5
    for lane in town.lanes:
        assert road.contains(LineString(lane.centerline[:, :2]))
    for item in (*town.crossings, *town.stop_lines, *town.construction):
        assert Polygon(item.polygon).difference(road).area < 0.1


def test_crossings_lead_from_pavement_to_pavement(town):
    pavement = union([Polygon(ring) for ring in town.walkways])
    for crossing in town.crossings:
        area = shapely.buffer(Polygon(crossing.polygon), 0.02)
        assert area.contains(LineString(crossing.axis))
        for end in crossing.axis:
            assert pavement.distance(Point(end)) < 0.05
        if crossing.intersection is not None:
            inside = Polygon(town.intersections[crossing.intersection]).intersection(area).area
            assert inside > 0.9 * Polygon(crossing.polygon).area


def test_walk_paths_keep_to_the_pavement_and_meet(town):
    pavement = shapely.buffer(union([Polygon(ring) for ring in town.walkways]), 0.05)
    ends = np.array([path[k] for path in town.walk_paths for k in (0, -1)])
    axes = np.concatenate([crossing.axis for crossing in town.crossings])
    for path in town.walk_paths:
        assert LineString(path).difference(pavement).length < 0.3
    for end in ends:
        meets = (np.hypot(*(ends - end).T) < 0.01).sum() > 1 or np.hypot(*(axes - end).T).min() < 0.01
        assert meets or leaves_town(town, end)
    for axis_end in axes:
        assert np.hypot(*(ends - axis_end).T).min() < 0.01


# Rules


def approaches(town):
    """Lanes that end at a junction, by the junction."""
    found = {}
    for lane in town.lanes:
        if lane.intersection is None and lane.successors:
            found.setdefault(town.lanes[lane.successors[0]].intersection, []).append(lane)
    return found


def test_conflicting_approaches_are_never_both_green(town):
    pairs = 0
    for lanes in approaches(town).values():
        signalled = [lane for lane in lanes if lane.signal is not None]
        assert len(signalled) in (0, len(lanes)), "all approaches of a junction have lights, or none has"
        for a, b in combinations(signalled, 2):
            turn = angle_between(a.centerline[-1, 2], b.centerline[-1, 2])
            if not np.deg2rad(40) < turn < np.deg2rad(140):
                continue
            pairs += 1
            first, second = town.signals[a.signal], town.signals[b.signal]
            assert first.cycle_s == second.cycle_s
            for t in np.arange(0.0, first.cycle_s, 0.25):
                assert "red" in (first.state(t), second.state(t))
    assert pairs > 0


def test_every_light_turns_green_and_stands_off_the_road_before_its_drivers(town):
    poles = np.array([prop.pose[:2] for prop in town.props if prop.kind == "traffic_light"])
    for lane in town.lanes:
        if lane.signal is None:
            continue
        signal = town.signals[lane.signal]
        assert {signal.state(t) for t in np.arange(0, signal.cycle_s, 0.5)} == {"green", "amber", "red"}
        ahead = signal.position[:2] - lane.centerline[-1, :2]
        yaw = lane.centerline[-1, 2]
        assert 5 < ahead @ (np.cos(yaw), np.sin(yaw)) < 60
        assert angle_between(signal.facing_yaw_rad, yaw + np.pi) < np.deg2rad(25)
        assert np.hypot(*(poles - signal.position[:2]).T).min() < 0.01


def test_stop_lines_lie_across_the_end_of_their_lanes(town):
    for lane in town.lanes:
        assert lane.signal is None or lane.stop_line is not None
        if lane.stop_line is None:
            continue
        line = town.stop_lines[lane.stop_line]
        assert lane.intersection is None
        assert Polygon(line.polygon).distance(Point(lane.centerline[-1, :2])) < 0.05
        assert (line.cue == "TRAFFIC_LIGHT") == (lane.signal is not None)


# Things that stand


def test_nothing_stands_on_the_road_or_where_people_walk(town):
    road = STRtree([Polygon(ring) for name, ring in rings(town) if name != "walkways"])
    paths = STRtree([LineString(path) for path in town.walk_paths])
    for prop in town.props:
        assert prop.kind in PROP_KINDS
        assert min(prop.size_lwh_m) > 0
        place = foot(prop)
        assert not road.query(place, predicate="intersects").size, prop
        assert not paths.query(shapely.buffer(place, 0.3), predicate="intersects").size, prop


def test_buildings_stand_apart_from_each_other_and_from_pavements(town):
    feet = [foot(prop) for prop in town.props if prop.kind == "building"]
    pavements = [Polygon(ring) for ring in town.walkways]
    for i, j in STRtree(feet).query(feet, predicate="intersects").T:
        assert i == j
    assert not STRtree(pavements).query(feet, predicate="intersects").size


def test_spots_lie_beside_their_lane_apart_from_each_other_and_off_crossings(town):
    areas = [spot_polygon(spot) for spot in town.spots]
    lots = union([Polygon(ring) for ring in town.parking_lots])
    lanes = STRtree([shapely.buffer(Polygon(lane_polygon(lane)), -0.15) for lane in town.lanes])
    kept_free = STRtree([Polygon(item.polygon) for item in (*town.crossings, *town.construction)])
    for spot, area in zip(town.spots, areas, strict=True):
        assert not lanes.query(area, predicate="intersects").size
        assert not kept_free.query(area, predicate="intersects").size
        lane = town.lanes[spot.lane]
        gap = np.hypot(*(lane.centerline[:, :2] - (spot.x_m, spot.y_m)).T)
        along = angle_between(lane.centerline[int(gap.argmin()), 2], spot.yaw_rad)
        assert gap.min() < 6.5
        if spot.kind == "lot":
            assert shapely.buffer(lots, 0.01).contains(area)
            assert abs(along - np.pi / 2) < 0.1
        else:
            assert along < 0.15
    shrunk = [shapely.buffer(area, -0.05) for area in areas]
    for i, j in STRtree(shrunk).query(shrunk, predicate="intersects").T:
        assert i == j


def test_construction_covers_its_lane_where_it_says(town):
    for zone in town.construction:
        lane, area = town.lanes[zone.lane], Polygon(zone.polygon)
        assert 0 < zone.start_m < zone.end_m < lane.length_m
        strip = Polygon(lane_polygon(lane))
        assert area.intersection(strip).area > 0.3 * (zone.end_m - zone.start_m)
        s = np.array([project(lane, xy) for xy in zone.polygon])
        assert s.min() == pytest.approx(zone.start_m, abs=1.0)
        assert s.max() == pytest.approx(zone.end_m, abs=1.0)


def project(lane, xy):
    gap = np.hypot(*(lane.centerline[:, :2] - xy).T)
    return lane_stations(lane)[int(gap.argmin())]


# Paths along lanes


def test_poses_by_arc_length_follow_the_centerline():
    town = build_town("far", 1)
    for lane in town.lanes[:: max(1, len(town.lanes) // 40)]:
        stations = lane_stations(lane)
        assert stations[-1] == pytest.approx(lane.length_m)
        x, y, yaw = lane_at(lane, stations)
        assert np.allclose(np.stack([x, y], 1), lane.centerline[:, :2])
        assert angle_between(yaw, lane.centerline[:, 2]).max() < 1e-9
        x, y, yaw = lane_at(lane, np.array([[-3.0, lane.length_m + 3.0]]))
        assert x.shape == (1, 2)
        start, end = lane.centerline[0], lane.centerline[-1]
        assert x[0, 0] == pytest.approx(start[0] - 3 * np.cos(start[2]))
        assert y[0, 1] == pytest.approx(end[1] + 3 * np.sin(end[2]))


def test_yaw_does_not_jump_where_a_lane_heads_west():
    town = build_town("train", 0)
    line = np.array([[0.0, 0.0, np.pi - 0.01], [-1.0, 0.0, -np.pi + 0.01], [-2.0, 0.0, np.pi - 0.01]])
    lane = replace(town.lanes[0], centerline=line)
    _, _, yaw = lane_at(lane, np.linspace(0.0, 2.0, 21))
    assert angle_between(yaw, np.pi).max() <= 0.01 + 1e-9


@pytest.mark.slow
@pytest.mark.parametrize("split", ["train", "val", "test", "far"])
def test_landmarks_vary_between_towns(split):
    towns = [build_town(split, seed) for seed in range(100, 103)]
    assert len({(len(town.parking_lots), len(town.construction)) for town in towns}) > 1
    trees = [sum(prop.kind == "tree" for prop in town.props) for town in towns]
    assert max(trees) > 1.2 * min(trees)
    tallest = [max(prop.size_lwh_m[2] for prop in town.props if prop.kind == "building") for town in towns]
    assert max(tallest) > 1.2 * min(tallest)
    classes = {
        (lane.speed_limit_mps, lane.left is None) for town in towns for lane in town.lanes if lane.road is not None
    }
    assert len(classes) > 4
