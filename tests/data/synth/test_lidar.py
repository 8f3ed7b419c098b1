"""LiDAR ranges agree with brute force, points with boxes and ground, and losses with the weather."""

from dataclasses import replace

import numpy as np
import pytest
from small_street import DAY, LIDAR, make_actor, make_drive, make_town

from sceneminer.data.synth.caster import cast
from sceneminer.data.synth.lidar import FAR_M, RINGS, SWEEP_S, cast_beams, lidar_sweep, make_beams
from sceneminer.data.synth.render import Renderer
from sceneminer.data.synth.returns import LIDARSEG_ID
from sceneminer.data.synth.scene import MATERIAL_ID, ego_at
from sceneminer.data.synth.stage import town_from_actor
from sceneminer.geometry.box import points_in_box
from sceneminer.geometry.pose import pose_from_yaw, transform


@pytest.fixture(scope="module")
def renderer() -> Renderer:
    return Renderer(make_town())


def in_town(drive, time_s: float, points: np.ndarray) -> np.ndarray:
    x, y, z, yaw, _ = ego_at(drive, time_s)
    return transform(pose_from_yaw(x, y, yaw, z_m=z) @ LIDAR, points.astype(np.float64))


def test_ranges_agree_with_brute_force(renderer: Renderer) -> None:
    drive = make_drive(renderer.town)
    beams = make_beams(drive, 1.0, ego_from_lidar=LIDAR)
    hits, posed = cast_beams(renderer, drive, beams, 1.0)
    rng = np.random.default_rng(0)
    on_actors = np.flatnonzero(hits.owner >= 0)
    rays = np.concatenate([rng.integers(0, len(beams.ring), 260), rng.choice(on_actors, 60)])
    still, _ = cast(renderer.scenery.soup.xyz, beams.origins[rays], beams.ways[rays])
    for k, ray in enumerate(rays):
        # Everyone at this ray's own time.
        for p in posed:
            time_s = 1.0 - SWEEP_S * (1.0 - beams.share[ray])
            xyz, _ = town_from_actor(p.mesh, p.actor.at(time_s)[0])
            moving, _ = cast(xyz, beams.origins[[ray]], beams.ways[[ray]])
            still[k] = min(still[k], moving[0])
    assert np.abs(np.minimum(still, FAR_M) - hits.distance_m[rays]).max() < 1e-3
    assert (still < FAR_M).sum() > 150


def test_points_lie_in_boxes_and_on_the_ground(renderer: Renderer) -> None:
    drive = make_drive(renderer.town)
    sweep = lidar_sweep(renderer, drive, 1.0, ego_from_lidar=LIDAR, noise=False)
    town = in_town(drive, 1.0, sweep.points)
    for actor in drive.actors:
        mine = sweep.actor_id == actor.actor_id
        assert mine.sum() >= 10
        state, _ = actor.at(1.0)
        pose = pose_from_yaw(state[0], state[1], state[3], z_m=state[2] + actor.size_lwh_m[2] / 2)
        # It moved for at most the 50 ms before the box's time.
        margin = 0.02 + abs(state[4]) * SWEEP_S
        assert np.all(points_in_box(pose, np.array(actor.size_lwh_m), town[mine], margin_m=margin))
        assert np.all(sweep.label[mine] == LIDARSEG_ID[actor.category])
    road = sweep.label == LIDARSEG_ID["flat.driveable_surface"]
    assert road.sum() > 2000 and np.abs(town[road, 2]).max() < 0.01 and np.abs(town[road, 1]).max() < 4.05
    walk = sweep.label == LIDARSEG_ID["flat.sidewalk"]
    assert walk.sum() > 300 and town[walk, 2].min() > -0.01
    assert (sweep.label == LIDARSEG_ID["static.vegetation"]).sum() > 50


def test_sweep_looks_like_a_hdl32(renderer: Renderer) -> None:
    sweep = lidar_sweep(renderer, make_drive(renderer.town), 1.0, ego_from_lidar=LIDAR)
    n = len(sweep.points)
    assert 15000 < n < 34689
    assert set(np.unique(sweep.ring)) <= set(range(RINGS))
    reach = np.linalg.norm(sweep.points, axis=1)
    assert reach.min() > 0.9 and reach.max() < 101.0
    elevation = np.rad2deg(np.arcsin(sweep.points[:, 2] / reach))
    assert elevation.min() > -33.0 and elevation.max() < 12.5
    assert np.all(np.diff(sweep.time_s) >= 0) and sweep.time_s.min() >= -SWEEP_S and sweep.time_s.max() <= 0
    assert sweep.intensity.min() >= 0 and sweep.intensity.max() <= 255 and np.all(sweep.intensity % 1 == 0)
    # It starts at the sensor's left and turns clockwise through the front.
    early = sweep.points[sweep.time_s < -0.049]
    assert np.median(early[:, 0]) < -1.0
    quarter = sweep.points[np.abs(sweep.time_s + 0.75 * SWEEP_S) < 0.0005]
    assert np.median(quarter[:, 1]) > 1.0


def test_same_time_same_bytes(renderer: Renderer) -> None:
    drive = make_drive(renderer.town)
    first, again = (lidar_sweep(renderer, drive, 1.0, ego_from_lidar=LIDAR) for _ in range(2))
    assert np.array_equal(first.points, again.points) and np.array_equal(first.intensity, again.intensity)
    later = lidar_sweep(renderer, drive, 1.05, ego_from_lidar=LIDAR)
    assert len(later.points) != len(first.points) or not np.array_equal(later.points, first.points)


def test_range_noise_is_two_centimetres(renderer: Renderer) -> None:
    drive = make_drive(renderer.town, actors=())
    sweep = lidar_sweep(renderer, drive, 1.0, ego_from_lidar=LIDAR)
    town = in_town(drive, 1.0, sweep.points)
    road = (sweep.label == LIDARSEG_ID["flat.driveable_surface"]) & (sweep.range_m < 12.0)
    down = (1.84 - 0.0) / sweep.range_m[road]
    assert np.std(town[road, 2] / down) == pytest.approx(0.022, abs=0.005)


def test_wet_asphalt_and_fog_return_less(renderer: Renderer) -> None:
    counts, far = [], []
    for sky in (DAY, replace(DAY, wetness=0.9), replace(DAY, fog_m=60.0)):
        sweep = lidar_sweep(renderer, make_drive(renderer.town, sky), 1.0, ego_from_lidar=LIDAR)
        counts.append(int((sweep.material_id == MATERIAL_ID["asphalt"]).sum()))
        far.append(int((sweep.range_m > 25.0).sum()))
    assert counts[1] < 0.85 * counts[0]
    assert far[2] < 0.6 * far[0]


def test_paint_and_signs_shine(renderer: Renderer) -> None:
    sweep = lidar_sweep(renderer, make_drive(renderer.town), 1.0, ego_from_lidar=LIDAR)
    paint, asphalt = (
        sweep.intensity[(sweep.material_id == MATERIAL_ID[m]) & (sweep.range_m < 20.0)]
        for m in ("road_paint", "asphalt")
    )
    assert len(paint) > 20 and np.median(paint) > 2.0 * np.median(asphalt)


def test_rain_clutter_is_noise_near_the_sensor(renderer: Renderer) -> None:
    rain = replace(DAY, rain_mm_h=8.0, wetness=0.8)
    sweep = lidar_sweep(renderer, make_drive(renderer.town, rain), 1.0, ego_from_lidar=LIDAR)
    noise = sweep.label == 0
    assert 20 < noise.sum() < 0.05 * len(noise)
    assert np.median(sweep.range_m[noise]) < 10.0 and np.median(sweep.intensity[noise]) < 5.0
    dry = lidar_sweep(renderer, make_drive(renderer.town), 1.0, ego_from_lidar=LIDAR)
    assert (dry.label == 0).sum() == 0


def test_moving_target_is_caught_at_each_columns_time(renderer: Renderer) -> None:
    fast = make_actor(31, "vehicle.car", (-5.0, 2.0, 0.0, 0.0), speed_mps=20.0)
    drive = make_drive(renderer.town, actors=(fast,))
    sweep = lidar_sweep(renderer, drive, 1.0, ego_from_lidar=LIDAR, noise=False)
    mine = sweep.actor_id == 31
    town = in_town(drive, 1.0, sweep.points)[mine]
    at_end, _ = fast.at(1.0)
    lag = float(np.median(sweep.time_s[mine]))
    rear = at_end[0] - 2.25
    # Its tail is where it was then, not where it is at the end of the sweep.
    assert town[:, 0].min() == pytest.approx(rear + 20.0 * lag, abs=0.12)
