"""Relations on hand-made traffic whose answers anybody can see, straight and around a curve."""

import numpy as np
import pytest
import shapely

from sceneminer.data.hdmap import HdMap, MapLane
from sceneminer.data.track import AgentStates
from sceneminer.labels.ego import EGO_SIZE, EgoStates
from sceneminer.labels.path_frame import path_frame
from sceneminer.labels.relations import FLAGS, relations

T = np.arange(121) * 0.1
EGO_MPS = 8.0


def ego(speed=EGO_MPS, radius=None) -> EgoStates:
    s = speed * T if np.ndim(speed) == 0 else np.concatenate([[0], np.cumsum(speed[:-1] * 0.1)])
    if radius is None:
        x, y, yaw = s, np.zeros_like(s), np.zeros_like(s)
    else:
        x, y, yaw = radius * np.sin(s / radius), radius * (1 - np.cos(s / radius)), s / radius
    # ego_states gives the rear axle; its middle is what paths are of.
    ahead = EGO_SIZE.rear_axle_to_center_m
    rate = np.zeros_like(s) if radius is None else speed / radius * np.ones_like(s)
    return EgoStates(
        (T * 1e6).astype(np.int64),
        x - ahead * np.cos(yaw),
        y - ahead * np.sin(yaw),
        yaw,
        np.broadcast_to(speed, T.shape).astype(float),
        rate,
    )


def agents(*paths) -> AgentStates:
    """Each path: category, x(t), y(t); heading along the motion, or along x where it stands."""
    x, y = (np.stack([np.broadcast_to(p[k], T.shape).astype(float) for p in paths]) for k in (1, 2))
    vx, vy = np.gradient(x, 0.1, axis=1), np.gradient(y, 0.1, axis=1)
    yaw = np.where(np.hypot(vx, vy) > 0.05, np.arctan2(vy, vx), 0.0)
    full = np.ones_like(x)
    return AgentStates(
        track_ids=tuple(f"t{k}" for k in range(len(paths))),
        categories=tuple(p[0] for p in paths),
        times_us=(T * 1e6).astype(np.int64),
        x_m=x,
        y_m=y,
        z_m=0 * full,
        yaw_rad=yaw,
        vx_mps=vx,
        vy_mps=vy,
        yaw_rate_rps=0 * full,
        length_m=4.5 * full,
        width_m=1.8 * full,
        present=np.isfinite(x),
    )


def when(flag) -> tuple[float, float] | None:
    """The only run of True, in seconds."""
    at = np.flatnonzero(flag)
    if not len(at):
        return None
    assert at[-1] - at[0] == len(at) - 1, "more than one run"
    return float(T[at[0]]), float(T[at[-1]])


def test_path_coordinates_of_a_curve_are_arc_length_and_distance():
    radius = 60.0
    s, d = 20.0 + 5.0 * T, 2.0
    found = path_frame(
        agents(("car", (radius - d) * np.sin(s / radius), radius - (radius - d) * np.cos(s / radius))),
        ego(radius=radius),
    )
    assert np.allclose(found.left_m[0], d, atol=0.02)
    inside = s < EGO_MPS * T[-1] - 1
    assert np.allclose(found.ahead_m[0, inside], (s - EGO_MPS * T)[inside], atol=0.1)
    assert np.allclose(found.along_mps[0, 2:60], 5.0 * (radius - d) / radius, atol=0.02)
    assert np.allclose(found.across_mps[0, 2:60], 0.0, atol=0.05)
    assert np.allclose(found.heading_rad[0, 2:60], 0.0, atol=0.02)


def test_somebody_who_walks_across_ahead_crosses_and_one_behind_or_beside_does_not():
    y = -5.0 + 1.25 * T
    found = relations(
        agents(
            ("pedestrian", 60.0, y),  # crosses y = 0 at 4 s, when ego is at 32 m
            ("pedestrian", 10.0, y - 3.0),  # at 6.4 s, when ego is 40 m further
            ("pedestrian", 60.0 + T, -3.0),  # walks along
            ("pedestrian", 60.0, -2.0 + 0.5 * np.sin(3 * T)),  # sways on the kerb
        ),
        ego(),
        None,
    ).flags["crossing_in_front"]
    start, end = when(found[0])
    assert start == pytest.approx(2.5, abs=0.2) and end == pytest.approx(7.0, abs=0.5)
    assert not found[1:].any()


def test_a_car_that_comes_into_egos_lane_cuts_in_and_one_that_egos_lane_curves_to_does_not():
    left = 3.5 * (1 - np.clip((T - 4) / 3, 0, 1))
    flag = relations(
        agents(("car", 15 + 9 * T, left), ("car", 30 + 9 * T, 3.5), ("pedestrian", 15 + 9 * T, left)), ego(), None
    ).flags["cutting_in"]
    start, end = when(flag[0])
    assert start == pytest.approx(5.2, abs=0.3) and end == pytest.approx(7.0, abs=0.4)
    assert not flag[1:].any()
    radius, s = 50.0, 20 + 8.0 * T
    leader = ("car", radius * np.sin(s / radius), radius * (1 - np.cos(s / radius)))
    assert not relations(agents(leader), ego(radius=radius), None).flags["cutting_in"].any()


def test_passing_is_told_by_who_is_faster():
    found = relations(
        agents(("car", -20 + 12 * T, 3.5), ("car", 20 + 4 * T, -3.5), ("car", 40.0, -3.5), ("car", 70 - 8 * T, 3.5)),
        ego(),
        None,
    ).flags
    assert when(found["overtaking"][0]) == pytest.approx((2.5, 7.5), abs=0.2)
    assert when(found["being_overtaken"][1]) == pytest.approx((2.5, 7.5), abs=0.2)
    assert not found["overtaking"][1:].any()
    assert not found["being_overtaken"][[0, 2, 3]].any(), "one that is parked or oncoming is not overtaken"


def test_only_the_nearest_in_the_path_leads_and_follows_also_in_a_curve():
    radius = 80.0

    def on_curve(start):
        s = start + EGO_MPS * T
        return "car", radius * np.sin(s / radius), radius * (1 - np.cos(s / radius))

    found = relations(agents(on_curve(15), on_curve(30), on_curve(-12), on_curve(-25)), ego(radius=radius), None).flags
    middle = slice(30, 60)
    assert found["leading"][0, middle].all() and not found["leading"][1:].any()
    assert found["following"][2, middle].all() and not found["following"][[0, 1, 3]].any()


@pytest.fixture
def street() -> HdMap:
    """Two lanes along x, the second one on from the first; a lane beside; a crossing and a parking area."""

    def lane(name, x0, x1, y, successors=()):
        return MapLane(
            name,
            np.array([[x0, y], [x1, y]], float),
            shapely.box(x0, y - 1.75, x1, y + 1.75),
            False,
            successors,
        )

    return HdMap(
        "here",
        {"crossing": (shapely.box(50, -4, 54, 4),), "parking": (shapely.box(0, -6, 100, -3.5),)},
        {},
        (lane("a", -30, 60, 0.0, ("b",)), lane("b", 60, 300, 0.0), lane("c", -30, 300, 3.5)),
    )


def test_the_map_tells_lanes_crossings_and_who_stands_on_a_lane(street):
    found = relations(
        agents(
            ("car", 90.0, 0.2),
            ("car", 90.0, 3.4),
            ("car", 90.0, -5.0),
            ("pedestrian", 52.0, 4.8),
            ("car", np.where(T < 6, 20.0, np.nan), 0.0),
        ),
        ego(),
        street,
    )
    assert found.flags["in_ego_lane"][:4].any(1).tolist() == [True, False, False, False]
    assert found.flags["stopped_in_lane"][:4].all(1).tolist() == [True, True, False, False]
    assert found.flags["at_crossing"].any(1).tolist() == [False, False, False, True, False]
    assert not found.known["in_ego_lane"][4, 61:].any()
    moves = relations(agents(("car", 20 + 5 * T, 0.0)), ego(), street)
    assert not moves.flags["stopped_in_lane"].any()


def test_without_a_map_what_needs_one_is_unknown_and_nobody_is_nobody():
    found = relations(agents(("car", 20.0, 0.0)), ego(), None)
    needs_map = {name for name, words in FLAGS.items() if "needs a map" in words}
    assert {name for name in FLAGS if not found.known[name].any()} == needs_map
    assert set(found.flags) == set(FLAGS)
    nobody = AgentStates(
        (), (), (T * 1e6).astype(np.int64), *(np.zeros((0, len(T))) for _ in range(9)), np.zeros((0, len(T)), bool)
    )
    assert all(flag.shape == (0, len(T)) for flag in relations(nobody, ego(), None).flags.values())


def test_rates_are_those_of_the_motion():
    turning = ("car", 10 * np.sin(0.3 * T), 10 * (1 - np.cos(0.3 * T)))
    found = relations(agents(("car", 0.75 * T**2, 3.5), turning), ego(), None).rates
    assert np.allclose(found["acceleration_mps2"][0, 10:-10], 1.5, atol=0.05)
    assert np.allclose(found["turn_rad"][1, 25:-25], 1.2, atol=0.02)
    assert found["turn_rad"][1, 0] == pytest.approx(0.6, abs=0.05), "over what is seen of it"
