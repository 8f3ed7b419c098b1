"""Following recorded paths at present speed, and velocities from noisy boxes."""

from dataclasses import replace

import numpy as np
import pytest
from make_labelled_log import make_log, make_track
from make_traffic import Agent, make_agents, make_ego_drive

from sceneminer.data.track import states_at
from sceneminer.labels.bodies import Bodies, roll_out
from sceneminer.labels.driven import follow_path
from sceneminer.labels.ego import EGO_SIZE, agent_bodies, ego_states, slope, smoothed
from sceneminer.labels.risk import log_risk

AFTER_S = np.linspace(0.0, 4.0, 9)


def bodies_of(agents: list[Agent], frames: int) -> Bodies:
    return agent_bodies(make_agents(agents, frames=frames), standing_mps=0.5)[0]


def at(bodies: Bodies, frame: int) -> Bodies:
    return follow_path(bodies, np.array([0]), np.array([frame]), AFTER_S)


def test_a_steady_body_follows_its_own_roll_out_even_beyond_the_recording():
    for agent in (Agent(3, 2, 0.7, 8.0, 0.2), Agent(3, 2, 0.7, 8.0, 0.0), Agent(3, 2, 0.7, 0.0, 0.0)):
        for frames in (1, 11, 81):
            bodies = bodies_of([agent], frames)
            path, free = at(bodies, 0), roll_out(bodies[(slice(None), slice(0, 1))], AFTER_S)
            for name in ("x_m", "y_m", "yaw_rad"):
                np.testing.assert_allclose(getattr(path, name), getattr(free, name), atol=0.03)
            if agent.speed:
                np.testing.assert_allclose(path.speed_mps, agent.speed)


def test_a_turn_that_ends_is_left_where_the_path_leaves_it():
    """Ego turns right for a quarter circle of 10 m radius, then slows; at its present speed it goes on straight."""
    drive = make_ego_drive(lambda t: 5.0 if t < 3.5 else 2.5, lambda t: -min(0.5 * t, np.pi / 2), duration_s=8.0)
    bodies = drive.body()
    grid = Bodies(**{name: value[None] for name, value in vars(bodies).items()})
    path = at(grid, 20)
    # 2 s in, 1.142 s of turning are left; then straight down. After 4 s ego is 20 m on: 5.71 m of arc, 14.29 m down.
    assert path.yaw_rad[0, -1] == pytest.approx(-np.pi / 2, abs=0.02)
    assert path.x_m[0, -1] == pytest.approx(10.0, abs=0.15)
    assert path.y_m[0, -1] == pytest.approx(-10.0 - 14.29 - EGO_SIZE.rear_axle_to_center_m, abs=0.3)
    ends = roll_out(grid[(slice(None), slice(20, 21))], AFTER_S)
    assert ends.yaw_rad[0, -1] < -2.9  # the turn rate alone would take it round


def test_a_gap_in_the_track_ends_the_path():
    agents = make_agents([Agent(0, 0, 0, 10.0)], frames=41)
    gone = replace(agents, y_m=agents.y_m + np.where(agents.x_m > 15, 5.0, 0.0))
    hole = (agents.x_m > 10) & (agents.x_m < 14)
    gone = replace(gone, x_m=np.where(hole, np.nan, gone.x_m), present=~hole)
    path = at(agent_bodies(gone, standing_mps=0.5)[0], 0)
    np.testing.assert_allclose(path.y_m, 0.0, atol=1e-9)
    np.testing.assert_allclose(path.x_m[0], 10 * AFTER_S, atol=1e-6)


def test_smoothing_keeps_steady_motion_and_calms_noise():
    times = np.arange(0, 6_000_001, 100_000)
    clean = make_track("a", "car", lambda t: (8 * t, 0.5 * t), duration_s=6.0)
    kept = smoothed(states_at((clean,), times), window_s=0.75)
    np.testing.assert_allclose(kept.vx_mps, 8.0, atol=1e-9)
    np.testing.assert_allclose(kept.vy_mps, 0.5, atol=1e-9)
    rng = np.random.default_rng(0)
    noisy = tuple(
        make_track(f"{i}", "car", lambda t: (8 * t + rng.normal(0, 0.1), rng.normal(0, 0.1)), duration_s=6.0)
        for i in range(50)
    )
    given = states_at(noisy, times)
    calm = smoothed(given, window_s=0.75)
    assert np.std(calm.vy_mps) < 0.85 * np.std(given.vy_mps)
    single = make_track("one", "car", lambda t: (3.0, 4.0), duration_s=0.0)
    alone = smoothed(states_at((single,), times), window_s=0.75)
    assert alone.vx_mps[0, 0] == 0.0 and np.all(np.isnan(alone.vx_mps[0, 1:]))


def test_slope_is_that_of_a_line_through_what_is_known():
    seconds = np.array([[0.0, 1.0, 2.0, 3.0]] * 3)
    values = np.array([[1.0, 3.0, np.nan, 7.0], [5.0, np.nan, np.nan, np.nan], [np.nan] * 4])
    np.testing.assert_allclose(slope(seconds, values), [2.0, 0.0, 0.0])


def test_ego_states_come_from_poses():
    rate, speed = 0.25, 6.0
    log = make_log((), lambda t: (speed / rate * np.sin(rate * t), speed / rate * (1 - np.cos(rate * t)), rate * t))
    ego = ego_states(log, np.arange(0, 4_000_001, 100_000))
    np.testing.assert_allclose(ego.speed_mps, speed, rtol=0.01)
    np.testing.assert_allclose(ego.yaw_rate_rps, rate, rtol=0.01)
    body = ego.body()
    np.testing.assert_allclose(np.hypot(body.x_m - ego.x_m, body.y_m - ego.y_m), EGO_SIZE.rear_axle_to_center_m)


def test_log_risk_reads_a_log_and_says_why_it_cannot():
    lead = make_track("lead", "car", lambda t: (30 + 4 * t, 0.0))
    log = make_log((lead,), lambda t: (12 * t, 0.0, 0.0))
    frames = log_risk(log)
    assert len(frames.times_us) == 41 and frames.null_reason == ""
    # Bumpers meet when 30 + 4 t - 2.25 = 12 t + 3.427, at 3.04 s; a second before that risk is high.
    assert frames.measures["ttc_s"][0, 20] == pytest.approx((30 - 2.25 - 3.427) / 8 - 2.0, abs=0.01)
    assert frames.frame_risk[5] < 0.2 < 0.7 < frames.frame_risk[21]
    for broken, why in ((make_log(None, lambda t: (t, 0.0, 0.0)), "no tracks"), (make_log((lead,)), "no ego poses")):
        unknown = log_risk(broken)
        assert why in unknown.null_reason and np.all(np.isnan(unknown.frame_risk))
    assert np.all(log_risk(make_log((), lambda t: (t, 0.0, 0.0))).frame_risk == 0)


def test_ego_is_the_car_of_its_data_set():
    """Argoverse's Ford is 0.8 m longer than nuScenes' Renault: a lead 10 m ahead is nearer to its bumper."""
    lead = (make_track("lead", "car", lambda t: (10.0 + 8.0 * t, 0.0)),)
    headway = {}
    for dataset in ("nuscenes", "argoverse2", "folder"):
        log = make_log(lead, lambda t: (8.0 * t, 0.0, 0.0), dataset=dataset)
        headway[dataset] = log_risk(log).measures["thw_s"][0, 10]
    assert headway["nuscenes"] == headway["folder"] == pytest.approx((10 - 2.25 - 1.385 - 2.042) / 8, abs=1e-3)
    assert headway["argoverse2"] == pytest.approx((10 - 2.25 - 1.425 - 2.436) / 8, abs=1e-3)
