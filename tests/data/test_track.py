"""Tracks at common times: presence, gaps, velocities, turns across south."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sceneminer.data.track import Track, states_at
from sceneminer.geometry.pose import pose_from_yaw


def make_track(times_s, x, y=None, yaw=None, *, size=(4.0, 2.0, 1.5)) -> Track:
    n = len(times_s)
    y = np.zeros(n) if y is None else np.asarray(y, float)
    yaw = np.zeros(n) if yaw is None else np.asarray(yaw, float)
    return Track(
        track_id="a",
        category="car",
        source_category="vehicle.car",
        times_us=np.array([round(t * 1e6) for t in times_s], np.int64),
        world_from_box=pose_from_yaw(np.asarray(x, float), y, yaw, z_m=0.75),
        size_lwh_m=np.tile(np.array(size), (n, 1)),
    )


def seconds(*times) -> np.ndarray:
    return np.array([round(t * 1e6) for t in times], np.int64)


def test_steady_motion_is_interpolated():
    states = states_at((make_track([0, 0.5, 1.0], [0, 5, 10]),), seconds(-0.1, 0, 0.3, 0.75, 1.0, 1.1))
    assert states.present[0].tolist() == [False, True, True, True, True, False]
    np.testing.assert_allclose(states.x_m[0], [np.nan, 0, 3, 7.5, 10, np.nan])
    np.testing.assert_allclose(states.vx_mps[0], [np.nan, 10, 10, 10, 10, np.nan])
    np.testing.assert_allclose(states.vy_mps[0, 1:5], 0)
    np.testing.assert_allclose(states.length_m[0, 1:5], 4.0)
    np.testing.assert_allclose(states.z_m[0, 1:5], 0.75)


def test_braking_by_hand():
    # x = 10 t − t²: at 1 s spacing, central differences give 10 − 2 t, the ends one-sided 9 and 5.
    t = np.arange(4.0)
    states = states_at((make_track(t, 10 * t - t**2),), seconds(*t))
    np.testing.assert_allclose(states.vx_mps[0], [9, 8, 6, 5])


def test_a_track_is_absent_in_wide_gaps_but_not_at_their_ends():
    track = make_track([0, 1, 4, 5], [0, 1, 4, 5])
    states = states_at((track,), seconds(0.5, 1, 2.5, 4, 4.5))
    assert states.present[0].tolist() == [True, True, False, True, True]
    assert np.isnan(states.x_m[0, 2])
    assert states_at((track,), seconds(2.5), max_gap_us=3_000_000).x_m[0, 0] == pytest.approx(2.5)


def test_a_single_box_stands_still_at_its_own_time():
    states = states_at((make_track([1.0], [7.0], [3.0], [0.5]),), seconds(0.9, 1.0, 1.1))
    assert states.present[0].tolist() == [False, True, False]
    values = [states.x_m, states.y_m, states.yaw_rad, states.vx_mps, states.yaw_rate_rps]
    assert [value[0, 1] for value in values] == pytest.approx([7, 3, 0.5, 0, 0])


def test_a_turn_across_south_goes_the_short_way():
    track = make_track([0, 1], [0, 0], yaw=np.radians([170, 190]))
    states = states_at((track,), seconds(0, 0.5, 1))
    np.testing.assert_allclose(np.cos(states.yaw_rad[0]), np.cos(np.radians([170, 180, 190])), atol=1e-9)
    np.testing.assert_allclose(states.yaw_rate_rps[0], np.radians(20))


def test_agents_are_rows_in_order():
    states = states_at((make_track([0, 1], [0, 1]), make_track([2, 3], [0, 1])), seconds(0.5, 2.5))
    assert states.present.tolist() == [[True, False], [False, True]]
    none = states_at((), seconds(0, 1))
    assert none.x_m.shape == (0, 2) and none.track_ids == ()


@given(
    data=st.data(),
    gaps=st.lists(st.integers(1, 3_000_000), min_size=0, max_size=6),
    at=st.lists(st.integers(-2_000_000, 12_000_000), min_size=1, max_size=8),
)
def test_values_are_there_exactly_where_an_agent_is(data, gaps, at):
    times = np.concatenate([[0], np.cumsum(gaps)]) / 1e6
    x = data.draw(st.lists(st.floats(-100, 100), min_size=len(times), max_size=len(times)))
    track = make_track(times, x)
    states = states_at((track,), np.array(at, np.int64))
    for name in ("x_m", "yaw_rad", "vx_mps", "width_m"):
        np.testing.assert_array_equal(np.isfinite(getattr(states, name)), states.present)
    inside = (np.array(at) >= track.times_us[0]) & (np.array(at) <= track.times_us[-1])
    assert not np.any(states.present[0] & ~inside)
    assert np.all(states.present[0][np.isin(at, track.times_us)])
    known = states.x_m[0][states.present[0]]
    assert np.all((known >= min(x) - 1e-9) & (known <= max(x) + 1e-9))
