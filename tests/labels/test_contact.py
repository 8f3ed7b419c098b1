"""First touch and closest encounter: against closed forms and against a slow, obvious reference."""

import numpy as np
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st

from sceneminer.geometry.box import footprint, footprint_gap
from sceneminer.labels.bodies import Bodies, box_gap, overlap_m, roll_out
from sceneminer.labels.contact import closest_encounter, straight_contact_s, turning_contact_s

HORIZON_S = 4.0


def body(x, y, yaw=0.0, vx=0.0, vy=0.0, rate=0.0, length=4.0, width=2.0) -> Bodies:
    return Bodies(*(np.array([float(v)]) for v in (x, y, yaw, vx, vy, rate, length, width)))


def corners(b: Bodies) -> np.ndarray:
    return footprint(np.stack([b.x_m, b.y_m], -1), b.yaw_rad, np.stack([b.length_m, b.width_m], -1))


def slow_first_touch(a: Bodies, b: Bodies, step_s: float) -> tuple[float, float]:
    """First sampled time at which shapely polygons touch (inf if never), and their smallest distance."""
    times = np.arange(0.0, HORIZON_S + step_s, step_s)
    p, q = (shapely.polygons(corners(roll_out(o[:, None], times))[0]) for o in (a, b))
    distance = shapely.distance(p, q)
    touching = np.flatnonzero(distance == 0.0)
    return (float(times[touching[0]]) if len(touching) else np.inf), float(distance.min())


def touch(a, b) -> float:
    return float(straight_contact_s(a, b)[0])


def test_straight_contact_closed_forms():
    ego = body(0, 0, vx=10)
    assert touch(ego, body(24, 0, np.pi, vx=-10)) == pytest.approx(1.0)  # head-on: (24 - 4) / 20
    assert touch(ego, body(24, 0, vx=5)) == pytest.approx(4.0)  # rear-end: 20 / 5
    assert touch(ego, body(13, 0, np.pi / 2)) == pytest.approx(1.0)  # a car across the lane: (13 - 2 - 1) / 10
    # Crossing from the right at 45°: ego's front is at x = 2 + 10 t, the other's left side at 12 - 1 = 11 from 0.9 s
    # on; its nose reaches ego's flank (y = -1) when -13 + 2 + 10 t = -1, at 1.0 s.
    assert touch(ego, body(12, -13, np.pi / 2, vy=10)) == pytest.approx(1.0)
    assert touch(ego, body(-24, 0, vx=5)) == np.inf  # diverging
    assert touch(body(0, 0), body(3, 3)) == np.inf  # both stand
    assert touch(ego, body(3, 0, vx=10)) == 0.0  # overlapping
    assert touch(ego, body(0, 2.1, vx=15)) == np.inf  # parallel lanes
    assert touch(ego, body(4.0, 0, vx=10)) == 0.0  # touching
    diagonal = body(10, 10, np.pi / 4, length=2 * np.sqrt(2), width=2 * np.sqrt(2), vx=-2, vy=0)
    # A square on its corner, half diagonal 2, reaches down to y = 8; ego (half width 1) passes under it.
    assert touch(body(0, 0, vx=2), diagonal) == np.inf
    # 1.5 m further left its front left corner (2, 8.5) meets the square's edge x + y = 18 at x = 9.5.
    assert touch(body(0, 7.5, vx=2), diagonal) == pytest.approx((9.5 - 2) / 4)


number = st.floats(-1.0, 1.0, allow_nan=False)
sizes = st.floats(0.3, 9.0)


@st.composite
def pairs(draw, turning: bool):
    def one(distance):
        return body(
            distance * draw(number),
            distance * draw(number),
            np.pi * draw(number),
            12 * draw(number),
            12 * draw(number),
            0.7 * draw(number) if turning else 0.0,
            draw(sizes),
            draw(st.floats(0.3, 2.6)),
        )

    return one(3.0), one(25.0)


@settings(max_examples=40, deadline=None)
@given(pairs(turning=False))
def test_straight_contact_agrees_with_tiny_steps(pair):
    a, b = pair
    exact = touch(a, b)
    slow, _ = slow_first_touch(a, b, 0.01)
    if exact <= HORIZON_S - 0.01:
        # The reference can step over a graze, but never see a touch before it is there.
        assert slow >= exact - 1e-6
        assert slow <= exact + 0.01 + 1e-6 or grazes(a, b, exact)
    else:
        assert slow > HORIZON_S - 0.02


def grazes(a: Bodies, b: Bodies, at_s: float) -> bool:
    """Whether the rectangles run into each other by no more than they move in one step of the reference (34 m/s)."""
    later = at_s + np.linspace(0, 2.0, 401)
    depth = overlap_m(roll_out(a[:, None], later), roll_out(b[:, None], later))
    return float(depth.max()) < 0.35


@settings(max_examples=40, deadline=None)
@given(pairs(turning=True))
def test_turning_contact_and_encounter_agree_with_tiny_steps(pair):
    a, b = pair
    ttc = float(turning_contact_s(a, b, horizon_s=HORIZON_S, step_s=0.1)[0])
    slow, slow_gap = slow_first_touch(a, b, 0.002)
    gap = float(closest_encounter(a, b, horizon_s=HORIZON_S, step_s=0.1)[1][0])
    if np.isfinite(slow):
        # A touch that the reference sees is found, within a step's error; unless it is the merest graze.
        depth = overlap_m(*(roll_out(o[:, None], slow + np.linspace(0, 0.3, 31)) for o in (a, b))).max()
        assert abs(ttc - slow) < 0.05 or depth < 0.1
    else:
        assert ttc == np.inf or slow_gap < 0.1
        assert gap <= slow_gap + 0.02
        assert gap >= slow_gap - 0.12  # 10 ms at up to 24 m/s


@settings(max_examples=100, deadline=None)
@given(pairs(turning=False))
def test_gap_is_that_of_footprints(pair):
    a, b = pair
    assert float(box_gap(a, b)[0]) == pytest.approx(float(footprint_gap(corners(a), corners(b))[0]), abs=1e-9)


def test_roll_out_of_a_turning_body_stays_on_its_circle():
    speed, rate = 8.0, 0.4
    after = np.linspace(0, 5, 11)
    out = roll_out(body(0, 0, vx=speed, rate=rate)[:, None], after)
    radius = speed / rate
    np.testing.assert_allclose(np.hypot(out.x_m, out.y_m - radius), radius, atol=1e-12)
    np.testing.assert_allclose(np.hypot(out.vx_mps, out.vy_mps), speed)
    np.testing.assert_allclose(np.arctan2(out.vy_mps, out.vx_mps)[0], out.yaw_rad[0] % (2 * np.pi), atol=1e-12)


def test_encounter_of_crossing_paths():
    """Ego passes at 10 m/s; a walker comes to its lane from the right at 1 m/s and is late.

    Ego's tail (x = -2 + 10 t) leaves the walker's far side (x = 7.25) at 0.925 s, when the gap is 0.825 m. A moment s
    later it is √((10 s)² + (0.825 - s)²), smallest at s = 0.825 / 101.
    """
    ego, walker = body(0, 0, vx=10, length=4, width=2), body(7.0, -3.0, vy=1.0, length=0.5, width=0.5)
    when, gap = closest_encounter(ego, walker, horizon_s=HORIZON_S, step_s=0.1)
    assert float(gap[0]) == pytest.approx(8.25 / np.sqrt(101), abs=1e-4)
    assert float(when[0]) == pytest.approx(0.925 + 0.825 / 101, abs=2e-3)


def test_encounter_while_parallel_begins_when_the_gap_is_first_smallest():
    when, gap = closest_encounter(body(0, 0, vx=5), body(2, 3.0, vx=5), horizon_s=HORIZON_S, step_s=0.1)
    assert float(gap[0]) == pytest.approx(1.0)
    assert float(when[0]) == 0.0
