"""Drives: the same each time, physically possible, and lawful where nothing is staged."""

from dataclasses import replace
from typing import get_args

import numpy as np
import pytest
import shapely

from sceneminer.data.errors import DataError
from sceneminer.data.synth.catalog import BODIES, COLOR_NAMES, PALETTE, body_style, color_name, draw_look
from sceneminer.data.synth.drive import ego_center, record_drive, run_world
from sceneminer.data.synth.environment import draw_environment
from sceneminer.data.synth.layout import build_town
from sceneminer.data.synth.scene import EGO_LEAD_S, TICK_S, Actor, Drive, Lane, Split, Town
from sceneminer.data.synth.traffic_lanes import change_lane
from sceneminer.data.synth.traffic_mood import draw_mood
from sceneminer.data.synth.traffic_net import build_road_net, to_lane
from sceneminer.data.synth.traffic_path import Driver, build_path, draw_route
from sceneminer.data.synth.traffic_rules import stops_ahead
from sceneminer.data.synth.traffic_spawn import EGO_LOOK, draw_driver
from sceneminer.data.synth.traffic_world import make_world
from sceneminer.data.synth.vehicles import Start, fleet_bodies, make_fleet, move, plan_step
from sceneminer.geometry.box import footprint, footprint_gap

EGO_LW = (4.084, 1.730)
LEAD = round(EGO_LEAD_S / TICK_S)


@pytest.fixture(scope="module")
def town() -> Town:
    return build_town("train", 1)


@pytest.fixture(scope="module")
def drives(town: Town) -> list[Drive]:
    return [record_drive(town, seed, duration_s=14.0, script="") for seed in range(4)]


def ticks(drive: Drive) -> np.ndarray:
    return np.arange(round(drive.duration_s / TICK_S) + 1)


def ego_box(drive: Drive) -> np.ndarray:
    rows = drive.ego[LEAD + ticks(drive)]
    return np.column_stack([ego_center(rows), rows[:, 3:]])


def actor_box(drive: Drive, actor: Actor) -> tuple[np.ndarray, np.ndarray]:
    n = len(ticks(drive))
    states, present = np.broadcast_to(actor.states, (n, 5)), np.broadcast_to(actor.present, (n,))
    return states[:, [0, 1, 3, 4]], present


def test_the_same_seed_gives_the_same_bits(town: Town):
    a, b = (record_drive(town, 7, duration_s=5.0) for _ in range(2))
    assert a.ego.tobytes() == b.ego.tobytes() and a.environment == b.environment and a.events == b.events
    assert [x.actor_id for x in a.actors] == [x.actor_id for x in b.actors]
    for x, y in zip(a.actors, b.actors, strict=True):
        assert x.states.tobytes() == y.states.tobytes() and x.present.tobytes() == y.present.tobytes()
        assert (x.category, x.size_lwh_m, x.rgb, x.rgb2, x.variant) == (
            y.category,
            y.size_lwh_m,
            y.rgb,
            y.rgb2,
            y.variant,
        )
    assert record_drive(town, 8, duration_s=5.0).ego.tobytes() != a.ego.tobytes()


def test_a_drive_is_as_its_contract_says(drives: list[Drive]):
    for drive in drives:
        n = round(drive.duration_s / TICK_S) + 1
        assert len(drive.ego) == len(drive.ego_lane) == n + 2 * LEAD
        ids = [actor.actor_id for actor in drive.actors]
        assert len(set(ids)) == len(ids) and min(ids) > 0
        assert {a.category for a in drive.actors} <= set(BODIES)
        for actor in drive.actors:
            assert len(actor.states) in (1, n) and len(actor.present) == len(actor.states)
            assert np.isfinite(actor.states).all() and min(actor.size_lwh_m) > 0.1
            assert actor.attachment is None or actor.attachment in ids
        for event in drive.events:
            assert 0.0 <= event.start_s <= event.end_s <= drive.duration_s + 1e-9
            assert set(event.actors) <= {*ids, -1}
        assert not any(event.scripted for event in drive.events)


def overlapping(drive: Drive, tolerance_m: float) -> list[tuple[str, str, float]]:
    """Pairs of boxes, one of them moving, that overlap by more than a tolerance at some quarter second."""
    rows = [a for a in drive.actors if a.role != "rack" and a.category != "static_object.bicycle_rack"]
    boxes = [(ego_box(drive), np.ones(len(ticks(drive)), bool))] + [actor_box(drive, a) for a in rows]
    size = np.array([EGO_LW, *(a.size_lwh_m[:2] for a in rows)]) - tolerance_m
    moving = np.array([True, *(len(a.states) > 1 for a in rows)])
    pulled = {a.actor_id: a.attachment for a in rows}
    ids, found = [-1, *(a.actor_id for a in rows)], []
    for t in range(0, len(ticks(drive)), 5):
        pose = np.stack([box[t, :3] for box, _ in boxes])
        here = np.array([present[t] for _, present in boxes])
        near = (
            np.hypot(*(pose[:, None, :2] - pose[None, :, :2]).T) < (np.hypot(*size.T)[:, None] + np.hypot(*size.T)) / 2
        )
        i, j = np.nonzero(np.triu(near & here[:, None] & here & (moving[:, None] | moving), 1))
        corners = footprint(pose[:, :2], pose[:, 2], size)
        for a, b in zip(i[hit := footprint_gap(corners[i], corners[j]) == 0.0], j[hit], strict=True):
            if pulled.get(ids[a]) != ids[b] and pulled.get(ids[b]) != ids[a]:
                found.append((str(ids[a]), str(ids[b]), t * TICK_S))
    return found


def test_nothing_runs_into_anything_in_ordinary_driving(drives: list[Drive]):
    for drive in drives:
        assert overlapping(drive, 0.05) == []


def test_vehicles_move_as_vehicles_can(drives: list[Drive]):
    moved = 0
    for drive in drives:
        tracks = [(ego_box(drive), np.ones(len(ticks(drive)), bool))]
        tracks += [actor_box(drive, a) for a in drive.actors if len(a.states) > 1 and a.category.startswith("vehicle.")]
        for box, present in tracks:
            on = present[1:] & present[:-1]
            speed, yaw = box[:, 3], np.unwrap(box[:, 2])
            step = np.hypot(*np.diff(box[:, :2], axis=0).T)[on]
            accel, turn = (np.diff(speed) / TICK_S)[on], (np.diff(yaw) / TICK_S)[on]
            assert np.all(np.abs(step / TICK_S - ((speed[1:] + speed[:-1]) / 2)[on]) < 0.8)
            assert np.all(np.abs(accel) <= 9.0) and np.all(speed <= 22.0) and np.all(speed >= 0.0)
            assert np.all(np.abs(turn * speed[1:][on]) <= 4.5)
            moved += int(step.sum() > 10.0)
    assert moved > 20


def test_people_walk_and_do_not_jump(drives: list[Drive]):
    for drive in drives:
        for actor in drive.actors:
            if len(actor.states) > 1 and actor.category.startswith("human."):
                step = np.hypot(*np.diff(actor.states[:, :2], axis=0).T)
                assert step.max() <= 6.5 * TICK_S


def farthest_off_road(town: Town, pose: np.ndarray) -> float:
    """How far any corner of ego's box gets from the carriageway, in metres."""
    areas = (*town.road_segments, *town.intersections, *town.parking_lots)
    road = shapely.union_all([shapely.Polygon(ring) for ring in areas])
    corners = footprint(pose[:, :2], pose[:, 2], np.broadcast_to(np.array(EGO_LW), (len(pose), 2)))
    return float(shapely.distance(road, shapely.points(corners.reshape(-1, 2))).max())


def test_ego_stays_on_the_carriageway(drives: list[Drive]):
    for drive in drives:
        assert farthest_off_road(drive.town, ego_box(drive)) < 0.2


@pytest.mark.parametrize("split", get_args(Split))
def test_ego_stays_on_the_carriageway_in_all_splits_and_on_all_trips(split: Split):
    town = build_town(split, 7)
    net = build_road_net(town)
    moved_m = 0.0
    for seed, trip in enumerate(("fast", "wide")):
        rng = np.random.default_rng(seed)
        mood = replace(draw_mood(town.style, draw_environment(split, rng), rng), trip=trip, pushy=1.0, walkers=0.3)
        world = make_world(net, replace(mood, vehicles_per_km=15.0), rng, duration_s=16.0)
        run = run_world(world, 16.0)
        moved_m += float(run.speed[:, 0].sum() * TICK_S)
        assert farthest_off_road(town, run.pose[:, 0]) < 0.2
    assert moved_m > 40.0


def test_a_lane_change_leaves_ego_a_way_through_town():
    changed = 0
    for split, seed in (("train", 1), ("val", 2), ("far", 1)):
        net = build_road_net(build_town(split, seed))
        driver = draw_driver(np.random.default_rng(0))
        for lane in net.town.lanes:
            for side, target in ((1, lane.left), (-1, lane.right)):
                if target is None or lane.length_m < 45.0:
                    continue
                route = draw_route(net, lane.lane_id, 480.0, np.random.default_rng(lane.lane_id), turns={})
                start = Start("vehicle.car", EGO_LOOK, driver, build_path(net, route, driver), 8.0, 8.0, False)
                fleet = make_fleet(net, [start])
                before = fleet.paths[0].length_m
                change_lane(fleet, 0, target, side, 0.0, need_m=330.0)
                assert fleet.paths[0].length_m - 8.0 > min(before - 8.0 - 12.0, 325.0)
                changed += bool(fleet.changes)
                # where a way ends all the same, ego stands before the edge of the town
                assert stops_ahead(fleet, [], 0.0, violators=frozenset())[0] <= fleet.paths[0].length_m
    assert changed > 10


def passes_of_lights(drive: Drive, states: np.ndarray, half_length_m: float) -> list[str]:
    """State of the light at each time that a vehicle's front crosses the end of a lane with a signal."""
    net, found = build_road_net(drive.town), []
    for lane in drive.town.lanes:
        if lane.signal is None or lane.intersection is not None:
            continue
        along, aside = to_lane(net, lane.lane_id, states[:, :2])
        past = along + half_length_m - lane.length_m
        same = (np.abs(aside) < 1.0) & (np.cos(states[:, 2] - lane.centerline[-1, 2]) > 0.95)
        for k in np.flatnonzero((past[:-1] < 0) & (past[1:] >= 0) & (past[1:] < 2.0) & same[1:]):
            found.append(drive.town.signals[lane.signal].state(float(k * TICK_S)))
    return found


def test_nobody_runs_a_red_light_in_ordinary_driving(drives: list[Drive]):
    seen = []
    for drive in drives:
        seen += passes_of_lights(drive, ego_box(drive), EGO_LW[0] / 2)
        for actor in drive.actors:
            if actor.category.startswith("vehicle.") and len(actor.states) > 1 and actor.attachment is None:
                box, present = actor_box(drive, actor)
                if present.all():
                    seen += passes_of_lights(drive, box, actor.size_lwh_m[0] / 2)
    assert seen.count("green") >= 5
    assert "red" not in seen


def straight_town(town: Town) -> Town:
    x = np.arange(0.0, 3000.0)
    lane = Lane(0, np.stack([x, 0 * x, 0 * x], -1), 3.4, 30.0, (), (), None, None, None)
    return replace(town, lanes=(lane,), crossings=(), stop_lines=(), signals=(), construction=())


def test_following_settles_at_the_gap_of_the_intelligent_driver_model(town: Town):
    net = build_road_net(straight_town(town))
    driver = Driver(1.0, 2.0, 1.4, 1.5, 2.0, 2.2, 1.0, 0.5, 0.0, top_mps=15.0)
    leader = replace(driver, top_mps=10.0)
    look = draw_look("vehicle.car", np.random.default_rng(0))
    starts = [
        Start("vehicle.car", look, who, build_path(net, [0], who), s, 10.0, False)
        for who, s in ((driver, 50.0), (leader, 90.0))
    ]
    fleet = make_fleet(net, starts)
    for tick in range(2400):
        if tick % 2 == 0:
            plan_step(fleet, fleet_bodies(fleet), np.full(2, 1e9), tick * TICK_S)
        move(fleet)
    gap = float(fleet.s[1] - fleet.s[0] - look.size_lwh_m[0])
    v = float(fleet.v[0])
    closed_form = (2.2 + 1.4 * v) / np.sqrt(1.0 - (v / 15.0) ** 4)
    assert v == pytest.approx(10.0, abs=0.05)
    assert gap == pytest.approx(closed_form, rel=0.03)


def test_lane_coordinates_come_back(town: Town):
    net = build_road_net(town)
    lane = next(x for x in town.lanes if x.intersection is None and x.length_m > 30)
    k = len(lane.centerline) // 2
    x, y, yaw = lane.centerline[k]
    point = np.array([[x - 1.2 * np.sin(yaw), y + 1.2 * np.cos(yaw)]])
    along, aside = to_lane(net, lane.lane_id, point)
    assert along[0] == pytest.approx(net.stations[lane.lane_id][k], abs=0.02)
    assert aside[0] == pytest.approx(1.2, abs=0.02)


def test_an_unknown_script_is_refused(town: Town):
    with pytest.raises(DataError, match=r"expected one of .*step_out.*found 'explosion'"):
        record_drive(town, 0, script="explosion")


def test_colours_have_names_and_no_class_owns_one():
    assert all(color_name(rgb) == name for name, rgb in PALETTE.items())
    rng = np.random.default_rng(0)
    seen = {c: {color_name(draw_look(c, rng).rgb) for _ in range(300)} for c in ("vehicle.car", "vehicle.bus.rigid")}
    seen["person"] = {color_name(draw_look("human.pedestrian.adult", rng).rgb) for _ in range(300)}
    seen["worker"] = {color_name(draw_look("human.pedestrian.construction_worker", rng).rgb) for _ in range(300)}
    for name in COLOR_NAMES:
        assert sum(name in names for names in seen.values()) != 1


def test_sizes_spread_and_styles_are_known():
    rng = np.random.default_rng(1)
    for category, bodies in BODIES.items():
        looks = [draw_look(category, rng) for _ in range(80)]
        assert len({look.size_lwh_m for look in looks}) > 70
        assert {body_style(category, look.variant) for look in looks} <= {body.name for body in bodies}
        middle = np.mean([look.size_lwh_m for look in looks], axis=0)
        low = np.min([b.size_lwh_m for b in bodies], axis=0)
        high = np.max([b.size_lwh_m for b in bodies], axis=0)
        assert np.all(middle > 0.85 * low) and np.all(middle < 1.15 * high)
