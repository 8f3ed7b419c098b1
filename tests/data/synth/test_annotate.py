"""Visibility and capture times on cases that can be worked out by hand."""

import numpy as np
import pytest

from sceneminer.data.synth.annotate import Sightings, add_camera, add_lidar, annotation_tables, attribute_of
from sceneminer.data.synth.rig import CHANNELS, rig_sensors
from sceneminer.data.synth.scene import Actor, Drive, Environment, Style, Town
from sceneminer.data.synth.tables import visibility_token
from sceneminer.data.synth.write_schedule import schedule
from sceneminer.geometry.camera import Camera
from sceneminer.geometry.pose import pose_from_rotation

SKY = Environment(12.0, 0.2, 0.0, 0.0, 20000.0, 15.0, 1.0, 0.0)
STYLE = Style(3.2, 80.0, 0.0, 12.0, (), "brick", (0.0,) * 3, 0.0, (0.0,) * 3, 0.0, False, 0.0, 0.0, 0.0)
CAMERA = Camera(width_px=200, height_px=100, fx=100.0, fy=100.0, cx=99.5, cy=49.5)
FORWARD = pose_from_rotation(np.array([0.0, 0.0, 1.0]), np.array([[0.0, 0, 1], [-1, 0, 0], [0, -1, 0]]))


def make_actor(actor_id=0, x=10.0, y=0.0, *, size=(2.0, 2.0, 2.0), category="vehicle.car", **more):
    states, present = np.array([[x, y, 0.0, 0.0, 0.0]]), np.ones(1, bool)
    return Actor(actor_id, category, size, (0.5,) * 3, (0.5,) * 3, 0, states, present, **more)


def make_drive(*actors):
    town = Town("t", "val", 0, STYLE, (-50.0, -50.0, 50.0, 50.0), *((),) * 13)
    ego = np.zeros((61, 5))
    return Drive("d", town, 0, SKY, 1.0, ego, np.zeros(61, np.int32), actors, ())


def look(drive, actor_id, depth_m):
    seen = Sightings()
    depth = np.asarray(depth_m, np.float32)
    ids = np.asarray(actor_id, np.int32)
    add_camera(seen, drive, 0.0, actor_id=ids, depth_m=depth, ego_from_camera=FORWARD, camera=CAMERA)
    return seen


def silhouette():
    """Pixels of the front face of a 2 m cube whose face is 9 m away, 1 m above ground at its middle."""
    v, u = np.mgrid[0:100, 0:200]
    return (np.abs(u - 99.5) < 100 / 9) & (np.abs(v - 49.5) < 100 / 9)


def test_an_object_in_the_open_is_wholly_visible():
    mine = silhouette()
    seen = look(make_drive(make_actor()), np.where(mine, 0, -1), np.where(mine, 9.0, 200.0))
    assert seen.visible_share(0) == 1.0
    assert seen.through_px[0] == 0


@pytest.mark.parametrize(("columns", "level"), [(99, "2"), (106, "1"), (94, "3"), (89, "4")])
def test_what_stands_in_front_lowers_the_level(columns, level):
    """The silhouette spans 22 columns, 89 to 110; an occluder covers those left of ``columns``."""
    mine = silhouette()
    hidden = mine & (np.arange(200) < columns)[None]
    ids = np.where(hidden, 7, np.where(mine, 0, -1))
    seen = look(make_drive(make_actor()), ids, np.where(hidden, 4.0, np.where(mine, 9.0, 200.0)))
    assert seen.visible_share(0) == pytest.approx((111 - columns) / 22)
    assert visibility_token(seen.visible_share(0)) == level


def test_a_thin_object_is_not_hidden_by_what_lies_behind_it():
    mine = silhouette() & (np.arange(200) % 3 == 0)[None]
    seen = look(make_drive(make_actor()), np.where(mine, 0, -1), np.where(mine, 9.5, 200.0))
    assert seen.visible_share(0) == 1.0


def test_a_thin_object_half_hidden_is_half_visible():
    thin = silhouette() & (np.arange(200) % 2 == 0)[None]
    hidden = silhouette() & (np.arange(100) < 50)[:, None]
    mine = thin & ~hidden
    depth = np.where(hidden, 3.0, np.where(mine, 9.5, 200.0))
    assert look(make_drive(make_actor()), np.where(mine, 0, -1), depth).visible_share(0) == pytest.approx(0.5)


def test_what_no_camera_sees_has_the_lowest_level():
    behind = make_actor(x=-10.0)
    seen = look(make_drive(behind), np.full((100, 200), -1), np.full((100, 200), 200.0))
    assert seen.visible_share(0) == 0.0
    assert visibility_token(0.0) == "1"


def test_only_near_present_and_sensed_actors_are_annotated():
    actors = [make_actor(0), make_actor(1, x=79.0), make_actor(2, x=81.0), make_actor(3)]
    gone = Actor(4, "vehicle.car", (4.0, 2.0, 1.5), (0.5,) * 3, (0.5,) * 3, 0, np.zeros((1, 5)), np.zeros(1, bool))
    seen = Sightings()
    add_lidar(seen, np.array([0, 0, 1, 2, 4, -1], np.int32))
    drive = make_drive(*actors, gone)
    tables = annotation_tables(drive, "k", times_s=[0.5], samples=["s"], sightings={0: seen})
    assert [row["num_lidar_pts"] for row in tables["sample_annotation"]] == [2, 1]
    assert len(tables["instance"]) == 2


def test_boxes_are_centred_and_sized_as_in_nuscenes():
    seen = Sightings()
    add_lidar(seen, np.zeros(1, np.int32))
    drive = make_drive(make_actor(size=(4.0, 2.0, 1.5)))
    (row,) = annotation_tables(drive, "k", times_s=[0.5], samples=["s"], sightings={0: seen})["sample_annotation"]
    assert row["size"] == [2.0, 4.0, 1.5]
    assert row["translation"][2] == 0.75
    assert row["rotation"] == [1.0, 0.0, 0.0, 0.0]
    assert row["num_radar_pts"] == 0


@pytest.mark.parametrize(
    ("actor", "attribute"),
    [
        (make_actor(), "vehicle.parked"),
        (make_actor(category="vehicle.bicycle", rider=True), "cycle.with_rider"),
        (make_actor(category="vehicle.motorcycle"), "cycle.without_rider"),
        (make_actor(category="human.pedestrian.adult", standing=True), "pedestrian.standing"),
        (make_actor(category="human.pedestrian.adult"), "pedestrian.sitting_lying_down"),
        (make_actor(category="movable_object.barrier"), None),
    ],
)
def test_attributes_by_kind_and_state(actor, attribute):
    assert attribute_of(actor, 0.0) == attribute


def draw(rate, channels=CHANNELS, seed=0, duration_s=20.0):
    rng = np.random.default_rng(seed)
    return schedule(duration_s, start_us=1_000_000, channels=channels, rate=rate, rng=rng)


def test_a_full_schedule_has_the_rates_of_nuscenes():
    plan = draw("full")
    assert len(plan.keyframes_us) == 40
    steps = np.diff(plan.keyframes_us) / 1e6
    assert steps.min() > 0.39
    assert steps.max() < 0.71
    assert not np.allclose(steps, 0.5, atol=1e-3)
    for channel in CHANNELS:
        times = np.array([c.time_s for c in plan.captures if c.channel == channel])
        keys = [c.sample for c in plan.captures if c.channel == channel and c.is_keyframe]
        lidar = channel == "LIDAR_TOP"
        assert len(times) == (400 if lidar else 240)
        assert keys == list(range(40))
        assert np.diff(times).min() > 0.045
        assert np.diff(times).max() < (0.055 if lidar else 0.105)


def test_keyframes_are_the_same_at_either_rate_and_with_any_sensors():
    full = [c for c in draw("full").captures if c.is_keyframe]
    assert full == list(draw("keyframes").captures)
    front = [c for c in full if c.channel == "CAM_FRONT"]
    assert front == list(draw("keyframes", ("CAM_FRONT",)).captures)
    assert draw("full", seed=1).keyframes_us != draw("full", seed=0).keyframes_us


def test_cameras_look_where_those_of_nuscenes_look():
    rig = rig_sensors((900, 1600))
    yaws = {"CAM_FRONT": 0, "CAM_FRONT_LEFT": 55, "CAM_FRONT_RIGHT": -55, "CAM_BACK_LEFT": 108, "CAM_BACK_RIGHT": -110}
    for channel, yaw in {**yaws, "CAM_BACK": 180}.items():
        axis = rig.sensors[channel].ego_from_sensor[:3, 2]
        found = np.rad2deg(np.arctan2(axis[1], axis[0]))
        assert abs((found - yaw + 180) % 360 - 180) < 2.0
        assert abs(axis[2]) < 0.03
    front, back = rig.sensors["CAM_FRONT"].camera, rig.sensors["CAM_BACK"].camera
    assert np.rad2deg(2 * np.arctan(800 / front.fx)) == pytest.approx(64.5, abs=1.0)
    assert np.rad2deg(2 * np.arctan(800 / back.fx)) == pytest.approx(89.4, abs=1.0)
