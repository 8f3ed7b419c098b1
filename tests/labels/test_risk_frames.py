"""The promises of RiskFrames: shapes, NaN rules, nulls, and agreement of vectorised with single pairs."""

from dataclasses import replace

import numpy as np
import pytest
from make_traffic import Agent, ahead, make_agents, make_ego

from sceneminer.data.track import CATEGORIES, AgentStates
from sceneminer.labels.ego import EgoStates
from sceneminer.labels.measures import DRAC_CAP_MPS2, MEASURE_NAMES, MEASURES
from sceneminer.labels.risk import clip_risk, measure
from sceneminer.labels.score import PARTS


def random_scene(rng: np.random.Generator) -> tuple[AgentStates, EgoStates]:
    """Agents and ego that jump about, with gaps, single boxes, and missing velocities."""
    rows, frames = int(rng.integers(0, 7)), int(rng.integers(1, 20))
    shape = (rows, frames)
    present = rng.random(shape) < 0.8

    def field(low, high, missing=0.0):
        value = rng.uniform(low, high, shape)
        value[rng.random(shape) < missing] = np.nan
        return np.where(present, value, np.nan)

    times = np.cumsum(rng.integers(10_000, 600_000, frames)).astype(np.int64)
    agents = AgentStates(
        track_ids=tuple(map(str, range(rows))),
        categories=tuple(rng.choice(CATEGORIES, rows)) if rows else (),
        times_us=times,
        x_m=field(-15, 40),
        y_m=field(-10, 10),
        z_m=field(-1, 1),
        yaw_rad=field(-4, 4),
        vx_mps=field(-15, 15, 0.1) * (rng.random() < 0.9),
        vy_mps=field(-15, 15, 0.1) * (rng.random() < 0.9),
        yaw_rate_rps=field(-2, 2, 0.1),
        length_m=field(0.05, 15),
        width_m=field(0.05, 3),
        present=present,
    )
    ego = EgoStates(
        times,
        rng.uniform(-1, 1, frames),
        rng.uniform(-1, 1, frames),
        rng.uniform(-4, 4, frames),
        rng.uniform(-3, 25, frames) * (rng.random() < 0.9),
        rng.uniform(-0.8, 0.8, frames),
    )
    return agents, ego


@pytest.mark.slow
def test_a_thousand_random_scenes_keep_every_promise():
    rng = np.random.default_rng(7)
    for _ in range(100):
        agents, ego = random_scene(rng)
        frames = measure(agents, ego)
        known = agents.present
        assert np.array_equal(np.isnan(frames.risk), ~known)
        assert np.all((frames.frame_risk >= 0) & (frames.frame_risk <= 1))
        for name in PARTS:
            part = frames.parts[name]
            assert np.array_equal(np.isnan(part), ~known)
            assert np.all((part[known] >= 0) & (part[known] <= 1))
        for name in MEASURE_NAMES:
            assert np.all(np.isnan(frames.measures[name][~known]))
        drac = frames.measures["drac_mps2"][known]
        assert np.all((drac >= 0) & (drac <= DRAC_CAP_MPS2))
        assert np.array_equal(np.isnan(frames.measures["ttce_s"]), np.isnan(frames.measures["dce_m"]))
        touch = np.isfinite(frames.measures["ttc_turn_s"])
        assert np.all(frames.measures["dce_m"][touch] == 0)
        explained = np.isfinite(frames.measures["dce_m"]) | np.isfinite(frames.measures["thw_s"])
        assert np.all(explained[known] | (frames.risk[known] == 0))
        clip = clip_risk(frames, int(agents.times_us[0]), int(agents.times_us[-1]))
        assert clip.risk is not None and 0 <= clip.risk <= 1
        assert (clip.track_id is None) or np.isfinite(clip.value)


def test_all_at_once_is_the_same_as_one_by_one():
    rng = np.random.default_rng(3)
    for _ in range(10):
        agents, ego = random_scene(rng)
        whole = measure(agents, ego)
        for row in range(len(agents.track_ids)):
            pick = slice(row, row + 1)
            fields = {k: v[pick] for k, v in vars(agents).items() if isinstance(v, np.ndarray) and v.ndim == 2}
            one = replace(agents, track_ids=agents.track_ids[pick], categories=agents.categories[pick], **fields)
            np.testing.assert_allclose(measure(one, ego).risk[0], whole.risk[row], atol=1e-12)


def test_agents_without_velocity_stand():
    agents = make_agents([Agent(ahead(6.0), 0, 0, 0.0)])
    unknown = replace(agents, vx_mps=agents.vx_mps * np.nan, vy_mps=agents.vy_mps * np.nan)
    assert measure(unknown, make_ego(8.0)).frame_risk[0] == measure(agents, make_ego(8.0)).frame_risk[0] > 0.3


def test_zero_when_nothing_is_near_and_null_when_unknown():
    far = measure(make_agents([Agent(500.0, 300.0)], frames=5), make_ego(10.0, frames=5))
    assert np.all(far.frame_risk == 0) and np.all(far.riskiest == -1)
    assert clip_risk(far, 0, 400_000).risk == 0.0
    outside = clip_risk(far, 10**9, 2 * 10**9)
    assert outside.risk is None and "span" in outside.null_reason
    ego = make_ego(10.0, frames=5)
    lost = measure(make_agents([Agent(20.0, 0.0)], frames=5), replace(ego, x_m=ego.x_m * np.nan))
    assert np.all(np.isnan(lost.frame_risk))
    assert clip_risk(lost, 0, 400_000).risk is None


def test_times_must_agree():
    with pytest.raises(ValueError, match="same times"):
        measure(make_agents([Agent(20, 0)], frames=3), make_ego(5.0, frames=4))


def test_every_measure_says_what_it_is():
    assert len(set(MEASURE_NAMES)) == len(MEASURES)
    for entry in MEASURES:
        assert "NaN" in entry.nan_rule and entry.unit and entry.meaning.endswith(".") and entry.horizon_s > 0
