"""Each measure in cases that can be computed by hand, and its declaration."""

from dataclasses import replace
from math import isinf
from pathlib import Path

import numpy as np
import pytest
from make_traffic import BUMPER_M, CAR_LW, SIDE_M, WALKER_LW, Agent, ahead, beside, make_agents, make_ego

from sceneminer.data.track import AgentStates
from sceneminer.labels.ego import EGO_SIZE, EgoStates
from sceneminer.labels.measures import MEASURE_NAMES, MEASURES, NAN_REASONS
from sceneminer.labels.risk import measure
from sceneminer.labels.rss import along_arc

UP = np.pi / 2
DOWN = -np.pi / 2
REAR_M = BUMPER_M - EGO_SIZE.length_m
HALF_CAR_M = CAR_LW[1] / 2
EXACT = 1e-9


def of(agent: Agent, speed: float, name: str, rate: float = 0.0) -> float:
    return float(measure(make_agents([agent]), make_ego(speed, rate)).measures[name][0, 0])


def drive(agent: Agent, speed: float, name: str, seconds: float = 4.0) -> np.ndarray:
    frames = round(seconds / 0.1) + 1
    return measure(make_agents([agent], frames=frames), make_ego(speed, frames=frames)).measures[name][0]


def lead(gap_m: float, speed: float, **other) -> Agent:
    return Agent(ahead(gap_m), 0.0, 0.0, speed, **other)


def oncoming(gap_m: float, speed: float, y: float = 0.0) -> Agent:
    return Agent(ahead(gap_m), y, np.pi, speed)


@pytest.mark.parametrize("name", ["ttc_s", "ttc_turn_s"])
def test_time_to_collision(name: str):
    assert of(lead(8.0, 4.0), 12.0, name) == pytest.approx(1.0, abs=EXACT)
    assert of(oncoming(20.0, 8.0), 12.0, name) == pytest.approx(1.0, abs=EXACT)
    assert of(lead(-1.0, 4.0), 12.0, name) == 0.0
    assert np.isnan(of(lead(8.0, 13.0), 12.0, name))
    assert np.isnan(of(lead(33.0, 4.0), 12.0, name))  # 4.1 s


def test_time_to_collision_on_a_circle():
    """Ego turns left; a barrier lies along a radius, its near side 1.2 rad ahead of the rear axle. The inner front
    corner meets it."""
    speed, rate, angle, thick = 6.0, 0.3, 1.2, 0.4
    radius = speed / rate
    center = (
        radius * np.sin(angle) + 0.5 * thick * np.cos(angle),
        radius * (1 - np.cos(angle)) + 0.5 * thick * np.sin(angle),
    )
    barrier = Agent(*center, yaw=angle + UP, lw=(5.0, thick), category="barrier")
    corner = np.arctan2(BUMPER_M, radius - SIDE_M)
    # In a step of 0.1 s the yaw is that of its middle, up to 0.015 rad off: 13 mm at a corner 0.87 m off the axis.
    assert of(barrier, speed, "ttc_turn_s", rate) == pytest.approx((angle - corner) / rate, abs=0.013 / speed)


def test_deceleration_rate_to_avoid_collision():
    assert of(lead(8.0, 4.0), 12.0, "drac_mps2") == pytest.approx(8.0**2 / (2 * 8.0), abs=EXACT)
    assert of(oncoming(40.0, 8.0), 12.0, "drac_mps2") == pytest.approx(20.0**2 / (2 * 40.0), abs=EXACT)
    assert of(lead(8.0, 13.0), 12.0, "drac_mps2") == 0.0
    assert of(lead(0.1, 0.0), 12.0, "drac_mps2") == of(lead(-1.0, 4.0), 12.0, "drac_mps2") == 20.0


def test_closest_encounter():
    """An oncoming car passes 0.9 m to the left: closest from when the bumpers are level until the tails are."""
    passing = oncoming(20.0, 8.0, beside(0.9))
    assert of(passing, 12.0, "dce_m") == pytest.approx(0.9, abs=EXACT)
    assert of(passing, 12.0, "ttce_s") == pytest.approx(1.0, abs=1e-3)
    assert of(lead(8.0, 4.0), 12.0, "dce_m") == 0.0
    assert of(lead(8.0, 4.0), 12.0, "ttce_s") == pytest.approx(1.0, abs=EXACT)
    assert np.isnan(of(oncoming(20.0, 8.0, beside(1.6)), 12.0, "dce_m"))


def test_time_headway():
    assert of(lead(12.0, 10.0), 12.0, "thw_s") == pytest.approx(1.0, abs=EXACT)
    assert np.isnan(of(lead(12.0, 10.0), 2.9, "thw_s"))
    assert np.isnan(of(lead(49.0, 10.0), 12.0, "thw_s"))  # 4.1 s
    assert np.isnan(of(oncoming(12.0, 10.0), 12.0, "thw_s"))
    assert np.isnan(of(lead(12.0, 3.0, category="pedestrian"), 12.0, "thw_s"))


def test_required_braking_for_what_is_ahead():
    assert of(lead(8.0, 4.0), 12.0, "a_long_req_mps2") == pytest.approx(8.0**2 / (2 * 8.0), abs=EXACT)
    assert of(lead(20.0, 0.0), 12.0, "a_long_req_mps2") == pytest.approx(12.0**2 / (2 * 20.0), abs=EXACT)
    # Ego stands after v/d; by then it has driven v²/2d, and what comes towards it u v/d.
    v, u, gap = 12.0, 3.0, 40.0
    assert of(oncoming(gap, u), v, "a_long_req_mps2") == pytest.approx(v * (v + 2 * u) / (2 * gap), abs=EXACT)
    assert of(lead(8.0, 12.5), 12.0, "a_long_req_mps2") == 0.0
    assert of(lead(0.1, 0.0), 12.0, "a_long_req_mps2") == of(lead(-1.0, 0.0), 12.0, "a_long_req_mps2") == 20.0


def test_required_braking_in_reverse():
    behind = Agent(REAR_M - 5.0 - CAR_LW[0] / 2, 0.0)
    assert of(behind, -3.0, "a_long_req_mps2") == pytest.approx(3.0**2 / (2 * 5.0), abs=EXACT)


def test_required_braking_lets_a_walker_cross():
    """A walker is in ego's lane for 2 s, its flank 14.65 m before the bumper: ego must not be there before."""
    v, pace = 10.0, 1.5
    leaves_s = 2.0
    walker = Agent(ahead(14.65, WALKER_LW), SIDE_M + WALKER_LW[1] / 2 - pace * leaves_s, UP, pace, lw=WALKER_LW)
    # Still moving then: 2 (v t - gap)/t² = 2.675, with which ego stands only after 3.7 s.
    assert of(walker, v, "a_long_req_mps2") == pytest.approx(2 * (v * leaves_s - 14.65) / leaves_s**2, abs=EXACT)


def test_no_braking_helps_against_one_from_behind():
    follower = Agent(REAR_M - 6.0 - CAR_LW[0] / 2, 0.0, 0.0, 14.0)
    assert of(follower, 8.0, "ttc_s") == pytest.approx(1.0, abs=EXACT)
    assert np.isnan(of(follower, 8.0, "a_long_req_mps2"))
    assert np.isfinite(of(follower, 8.0, "a_lat_req_mps2"))


def test_required_swerve():
    width = SIDE_M + HALF_CAR_M
    assert of(lead(20.0, 2.0), 12.0, "a_lat_req_mps2") == pytest.approx(2 * width / 2.0**2, abs=EXACT)
    for y in (0.5, -0.5):
        off = replace(lead(20.0, 2.0), y=y)
        assert of(off, 12.0, "a_lat_req_mps2") == pytest.approx(2 * (width - 0.5) / 2.0**2, abs=EXACT)
    # One that drifts into ego from beside, 1 m of room, at 2 m/s: it is matched when the room is gone, w²/2y.
    merging = Agent(0.0, beside(1.0), np.arctan2(-2.0, 10.0), np.hypot(2.0, 10.0))
    tilted = of(merging, 10.0, "a_lat_req_mps2")
    room = merging.y - SIDE_M - HALF_CAR_M * np.cos(merging.yaw) + CAR_LW[0] / 2 * np.sin(merging.yaw)
    assert tilted == pytest.approx(2.0**2 / (2 * room), abs=EXACT)
    assert of(lead(20.0, 13.0), 12.0, "a_lat_req_mps2") == 0.0
    assert of(lead(-1.0, 0.0), 12.0, "a_lat_req_mps2") == 20.0
    assert np.isnan(of(oncoming(20.0, 12.0), 0.4, "a_lat_req_mps2"))


def crossing(x: float, leaves_s: float, speed: float, yaw: float = UP) -> Agent:
    """A car across ego's way whose rear leaves the ground that ego drives over ``leaves_s`` from now."""
    way = np.sign(np.sin(yaw))
    return Agent(x, way * (SIDE_M + CAR_LW[0] / 2 - speed * leaves_s), yaw, speed)


@pytest.mark.parametrize("yaw", [UP, DOWN])
def test_post_encroachment_time_at_right_angles(yaw: float):
    v, x, leaves = 10.0, 30.0, 1.6
    reaches = (x - HALF_CAR_M - BUMPER_M) / v
    values = drive(crossing(x, leaves, 8.0, yaw), v, "pet_s")
    assert values[0] == pytest.approx(reaches - leaves, abs=EXACT)
    assert values[12] == pytest.approx(reaches - leaves, abs=EXACT)
    assert np.isnan(values[17])  # the other has left: nothing is crossed any more


def test_post_encroachment_time_where_ego_is_first():
    v, x, pace, comes = 10.0, 15.0, 8.0, 2.5
    other = Agent(x, -(SIDE_M + CAR_LW[0] / 2 + pace * comes), UP, pace)
    leaves = (x + HALF_CAR_M - REAR_M) / v
    values = drive(other, v, "pet_s")
    assert values[0] == pytest.approx(comes - leaves, abs=EXACT)
    assert np.isnan(drive(other, v, "pet_s", seconds=2.4)).all()  # the recording ends before the other comes


def test_post_encroachment_time_of_those_who_touch_follow_or_pass():
    assert drive(crossing(20.0, 2.0, 8.0), 10.0, "pet_s")[0] == 0.0
    for other in (lead(10.0, 10.0), oncoming(30.0, 10.0, 3.5), Agent(20.0, 0.0), Agent(20.0, 3.0, 0.3, 10.0)):
        assert np.isnan(drive(other, 10.0, "pet_s")).all()


def test_post_encroachment_ends_at_a_gap_of_the_track():
    agents = make_agents([crossing(30.0, 1.6, 8.0)], frames=41)
    lost = agents.present & (np.arange(41) != 8)
    columns = {
        k: np.where(lost, v, np.nan) for k, v in vars(agents).items() if k.endswith(("_m", "_rad", "_mps", "_rps"))
    }
    values = measure(replace(agents, present=lost, **columns), make_ego(10.0, frames=41)).measures["pet_s"][0]
    assert np.isnan(values[:9]).all() and np.isfinite(values[9:16]).all()


def stops(speed: float, response_s: float, accel: float, brake: float) -> float:
    return speed * response_s + accel * response_s**2 / 2 + (speed + accel * response_s) ** 2 / (2 * brake)


def test_responsibility_sensitive_safety_lengthwise():
    asked = stops(12.0, 1.0, 3.5, 4.0) - 10.0**2 / (2 * 8.0)
    assert of(lead(15.0, 10.0), 12.0, "rss_violation") == pytest.approx(1 - 15.0 / asked, abs=EXACT)
    assert of(lead(asked + 0.01, 10.0), 12.0, "rss_violation") == 0.0
    asked = stops(12.0, 1.0, 3.5, 3.0) + stops(10.0, 2.0, 3.5, 4.0)
    assert of(oncoming(30.0, 10.0), 12.0, "rss_violation") == pytest.approx(1 - 30.0 / asked, abs=EXACT)
    follower = Agent(REAR_M - 5.0 - CAR_LW[0] / 2, 0.0, 0.0, 10.0)
    asked = stops(10.0, 2.0, 3.5, 4.0) - 12.0**2 / (2 * 8.0)
    assert of(follower, 12.0, "rss_violation") == pytest.approx(1 - 5.0 / asked, abs=EXACT)
    assert of(replace(follower, yaw=np.pi), 12.0, "rss_violation") == 0.0  # they drive apart
    assert np.isnan(of(lead(15.0, 2.0, category="pedestrian"), 12.0, "rss_violation"))


def test_responsibility_sensitive_safety_sideways():
    still = stops(0.0, 1.0, 0.2, 0.8) + stops(0.0, 2.0, 0.2, 0.8) + 0.1  # 0.725 m
    assert of(Agent(0.0, beside(0.9), 0.0, 12.0), 12.0, "rss_violation") == 0.0
    level = of(Agent(0.0, -beside(0.5), 0.0, 12.0), 12.0, "rss_violation")
    assert level == pytest.approx(1 - 0.5 / still, abs=EXACT)
    # One who comes nearer at 0.5 m/s needs more room, one who leaves at 0.5 m/s only the margin.
    yaw = np.arctan2(-0.5, 12.0)
    wide = HALF_CAR_M * np.cos(yaw) - CAR_LW[0] / 2 * np.sin(yaw)
    nearer = Agent(0.0, SIDE_M + wide + 0.6, yaw, np.hypot(0.5, 12.0))
    asked = stops(0.0, 1.0, 0.2, 0.8) + stops(0.5, 2.0, 0.2, 0.8) + 0.1
    assert of(nearer, 12.0, "rss_violation") == pytest.approx(1 - 0.6 / asked, abs=EXACT)
    assert of(replace(nearer, yaw=-yaw, y=SIDE_M + wide + 0.11), 12.0, "rss_violation") == 0.0


def test_responsibility_sensitive_safety_knows_the_lane_in_a_bend():
    """A lead 40 m on in ego's own lane of a 60 m bend: straight on it would be far beside it."""
    speed, radius = 12.0, 60.0
    rate, turn = speed / radius, 40.0 / radius
    middle = EGO_SIZE.rear_axle_to_center_m
    x, y = middle + radius * np.sin(turn), radius * (1 - np.cos(turn))
    values = [of(Agent(x, y, turn, v), speed, "rss_violation", rate) for v in (10.0, 0.0)]
    gap = 40.0 - (EGO_SIZE.length_m + CAR_LW[0]) / 2
    asked = [stops(12.0, 1.0, 3.5, 4.0) - v**2 / (2 * 8.0) for v in (10.0, 0.0)]
    assert values == pytest.approx([max(1 - gap / far, 0.0) for far in asked], abs=1e-9)


@pytest.mark.parametrize("curvature", [0.0, 1e-12, 1e-4, 0.02, -0.02])
def test_points_of_an_arc_lie_on_it(curvature: float):
    along, left = np.array([0.0, 5.0, 30.0, -12.0]), np.array([0.0, 1.5, -2.0, 3.0])
    turn = curvature * along
    x = along * np.sinc(turn / np.pi) - left * np.sin(turn)
    y = along * 0.5 * turn * np.sinc(0.5 * turn / np.pi) ** 2 + left * np.cos(turn)
    found = along_arc(x, y, np.full(4, curvature))
    np.testing.assert_allclose(found, [along, left, turn], rtol=0, atol=1e-9)


def test_a_declaration_is_complete():
    assert len(set(MEASURE_NAMES)) == len(MEASURES) == 10
    for entry in MEASURES:
        assert entry.name.endswith(("_s", "_m", "_mps2")) or entry.unit == "1"
        assert entry.nan_when[0] == "absent" and set(entry.nan_when) <= set(NAN_REASONS)
        assert entry.nan_rule.startswith("NaN where ") and all(NAN_REASONS[r] in entry.nan_rule for r in entry.nan_when)
        assert 0 < entry.highest < 1e3 and entry.horizon_s > 0 and entry.meaning.endswith(".")


def table() -> str:
    """The measures as the documentation shows them."""
    lines = [
        "| measure | unit | riskier | looks ahead | values | what it is | unknown (null) where |",
        "|---|---|---|---|---|---|---|",
    ]
    for entry in MEASURES:
        horizon = "until both stand" if isinf(entry.horizon_s) else f"{entry.horizon_s:g} s"
        rule = entry.nan_rule.removeprefix("NaN where ")
        cells = (f"`{entry.name}`", entry.unit, entry.riskier, horizon, f"0 to {entry.highest:g}", entry.meaning, rule)
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def test_the_documentation_shows_every_measure_as_declared():
    page = Path(__file__).parents[2] / "docs" / "reference" / "conventions.md"
    assert table() in page.read_text(), f"expected this table in {page.name}:\n{table()}"


def test_measures_of_nobody_are_empty():
    agents: AgentStates = make_agents([], frames=3)
    ego: EgoStates = make_ego(5.0, frames=3)
    assert {name: value.shape for name, value in measure(agents, ego).measures.items()} == dict.fromkeys(
        MEASURE_NAMES, (0, 3)
    )
