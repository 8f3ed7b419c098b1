"""What the risk says of everyday and of dangerous driving: orderings and bands, not exact values."""

import numpy as np
import pytest
from make_traffic import BUMPER_M, SIDE_M, WALKER_LW, Agent, ahead, beside, make_agents, make_ego, make_ego_drive

from sceneminer.data.track import Track, states_at
from sceneminer.geometry.pose import pose_from_yaw
from sceneminer.labels.risk import clip_risk, measure
from sceneminer.labels.score import RiskConfig


def risk(agents: list[Agent], speed: float, rate: float = 0.0) -> float:
    return float(measure(make_agents(agents), make_ego(speed, rate)).frame_risk[0])


def drive_risk(agents: list[Agent], speed, yaw, duration_s: float, config: RiskConfig | None = None) -> float:
    ego = make_ego_drive(speed, yaw, duration_s=duration_s)
    states = make_agents(agents, frames=len(ego.times_us))
    frames = measure(states, ego, config=config or RiskConfig())
    value = clip_risk(frames, 0, int(ego.times_us[-1])).risk
    assert value is not None
    return value


def walker(x: float, y: float, yaw: float, speed: float) -> Agent:
    return Agent(x, y, yaw, speed, lw=WALKER_LW, category="pedestrian")


UP = np.pi / 2
RADIUS_M = 60.0


def on_arc(along_m: float, outside_m: float, *, against: bool = False, speed: float = 0.0) -> Agent:
    """An agent on a left bend of ego's radius, ``outside_m`` further out than ego's own path."""
    turn, radius = along_m / RADIUS_M, RADIUS_M + outside_m
    return Agent(
        radius * np.sin(turn),
        RADIUS_M - radius * np.cos(turn),
        turn + (np.pi if against else 0.0),
        speed,
        (-1 if against else 1) * speed / radius,
    )


EVERYDAY = {
    "8 parked cars beside the lane": ([Agent(6.0 * i - 20, beside(0.9)) for i in range(8)], 10.0, 0.0),
    "a red-light queue": (
        [Agent(ahead(2.0), 0), Agent(0, beside(1.4)), Agent(-6, 0), Agent(6, -beside(1.4))],
        0.0,
        0.0,
    ),
    "walkers on the pavement": ([walker(3.0 * i + 2, -SIDE_M - 1.85, 0.0, 1.2) for i in range(6)], 8.0, 0.0),
    "a truck alongside": ([Agent(2.0, beside(0.7, (10, 2.5)), 0, 15.0, lw=(10, 2.5), category="truck")], 14.0, 0.0),
    "oncoming on a bend": ([on_arc(30.0, -3.5, against=True, speed=10.0)], 10.0, 10.0 / RADIUS_M),
    "a parked car outside a bend": ([on_arc(20.0, 2.9)], 10.0, 10.0 / RADIUS_M),
    "a walker passes before the stopped ego": ([walker(ahead(1.5, WALKER_LW), -2.0, UP, 1.4)], 0.0, 0.0),
    "following at 1.5 s": ([Agent(ahead(22.5), 0, 0, 15.0)], 15.0, 0.0),
    "behind and opening": ([Agent(-8.0, 0, 0, 5.0)], 12.0, 0.0),
    "oncoming in its lane": ([Agent(30.0, 3.5, np.pi, 14.0)], 14.0, 0.0),
    "nobody": ([], 14.0, 0.0),
}
RARE = {
    "a slow lead close ahead": ([Agent(ahead(8.0), 0, 0, 4.0)], 12.0, 0.0, (0.7, 1.0)),
    "a walker steps out": ([walker(ahead(12.0, WALKER_LW), -2.5, UP, 1.6)], 8.0, 0.0, (0.45, 0.9)),
    "a left turn across oncoming": ([Agent(26.0, 3.5, np.pi, 12.0)], 6.0, 0.35, (0.8, 1.0)),
    "head-on": ([Agent(ahead(30.0), 0, np.pi, 12.0)], 12.0, 0.0, (0.9, 1.0)),
    "tailgating at 0.4 s": ([Agent(ahead(6.0), 0, 0, 15.0)], 15.0, 0.0, (0.35, 0.6)),
    "a cut-in": ([Agent(ahead(2.0), 3.2, -np.arctan2(1.5, 9), np.hypot(1.5, 9))], 12.0, 0.0, (0.2, 0.7)),
    "a walker just clears the bumper": ([walker(ahead(8.0, WALKER_LW), 0.3, UP, 1.4)], 8.0, 0.0, (0.3, 0.7)),
    "already touching at speed": ([Agent(3.0, 0.5, 0, 0)], 5.0, 0.0, (0.95, 1.0)),
}


@pytest.mark.parametrize("name", EVERYDAY)
def test_everyday_driving_is_low(name):
    agents, speed, rate = EVERYDAY[name]
    assert risk(agents, speed, rate) < 0.1


@pytest.mark.parametrize("name", RARE)
def test_rare_events_are_high(name):
    agents, speed, rate, (low, high) = RARE[name]
    assert low <= risk(agents, speed, rate) <= high


def test_every_rare_event_ranks_above_everyday_driving():
    assert min(risk(*scene[:3]) for scene in RARE.values()) > 2 * max(risk(*scene) for scene in EVERYDAY.values())


def test_neighbours_do_not_add_up():
    one = [Agent(ahead(12.0), 0, 0, 6.0)]
    crowd = [walker(3.0 * i, -SIDE_M - 1.5, 0.0, 1.0) for i in range(10)]
    assert risk(one + crowd, 10.0) == pytest.approx(max(risk([agent], 10.0) for agent in one + crowd))


def test_risk_grows_as_the_gap_shrinks_and_the_walker_counts_more_than_the_cone():
    gaps = [risk([Agent(ahead(g), 0, 0, 4.0)], 12.0) for g in (30, 20, 14, 10, 6, 3)]
    assert np.all(np.diff(gaps) > -1e-9) and gaps[0] < 0.1 < gaps[-1]
    person = risk([walker(ahead(10.0, WALKER_LW), 0, 0, 0)], 8.0)
    cone = risk([Agent(ahead(10.0, WALKER_LW), 0, lw=WALKER_LW, category="cone")], 8.0)
    assert person > cone


def test_near_miss_and_touch_join_without_a_jump():
    """A parked car ever further into ego's way: risk rises steadily from passing closely to driving into it."""
    values = np.array([risk([Agent(20.0, beside(gap))], 10.0) for gap in np.arange(1.0, -1.5, -0.05)])
    assert np.all(np.diff(values) >= -0.02)
    assert np.max(np.abs(np.diff(values))) < 0.1
    assert values[0] < 0.02 and values[-1] > 0.2


def stop_behind(gap_m: float, speed_mps: float):
    """Speed of a driver of the intelligent driver model behind a standing car (Treiber et al. 2000)."""
    step, v, x, speeds = 0.002, speed_mps, 0.0, []
    for _ in range(round(6.0 / step)):
        wanted = 2.0 + max(0.0, 1.2 * v + v * v / (2 * np.sqrt(1.5 * 2.0)))
        a = 1.5 * (1 - (v / 12.0) ** 4 - (wanted / max(gap_m - x, 0.01)) ** 2)
        speeds.append(v)
        v = max(0.0, v + a * step)
        x += v * step
    return lambda t: speeds[min(round(t / step), len(speeds) - 1)]


def test_a_routine_stop_is_low_and_a_late_one_is_high():
    car = [Agent(ahead(9.0), 0)]
    routine = drive_risk(car, stop_behind(9.0, 6.0), lambda t: 0.0, 5.0)
    unaware = risk(car, 6.0)
    assert routine < 0.2 < unaware

    def late(t):
        return max(0.0, 12.0 - 7.0 * max(0.0, t - 1.0))

    emergency = drive_risk([Agent(ahead(23.0), 0)], late, lambda t: 0.0, 2.9)
    assert emergency > 0.8


@pytest.mark.parametrize("amplitude_rad", [0.01, 0.02, 0.03])
def test_a_lane_keepers_corrections_do_not_run_into_the_kerb(amplitude_rad):
    """Ego sways by 1 to 2° every 3 s past a row of parked cars and an oncoming column."""
    parked = [Agent(6.0 * i + 5, -beside(0.8)) for i in range(12)]
    oncoming = [Agent(80 + 6.0 * i, beside(1.2), np.pi, 10.0) for i in range(12)]
    sway = drive_risk(parked + oncoming, lambda t: 10.0, lambda t: amplitude_rad * np.sin(2.1 * t), 6.0)
    believed = RiskConfig(confirm=False)
    literal = drive_risk(parked + oncoming, lambda t: 10.0, lambda t: amplitude_rad * np.sin(2.1 * t), 6.0, believed)
    assert sway < 0.2
    assert literal > sway + 0.1


def test_noise_of_annotated_boxes_makes_no_risk():
    """Parked cars beside the lane, annotated at 2 Hz and up to 15 cm off, passed at 10 m/s."""
    rng = np.random.default_rng(0)
    times = np.arange(0, 8_000_001, 500_000)
    n = len(times)
    tracks = tuple(
        Track(
            f"car-{i}",
            "car",
            "car",
            times,
            pose_from_yaw(
                7.0 * i + rng.normal(0, 0.15, n), beside(0.8) + rng.normal(0, 0.07, n), rng.normal(0, 0.02, n)
            ),
            np.tile([4.5, 1.8, 1.5], (n, 1)),
        )
        for i in range(12)
    )
    ego = make_ego(10.0, frames=80)
    assert clip_risk(measure(states_at(tracks, ego.times_us), ego), 0, 8_000_000).risk < 0.1


def test_explanation_names_the_agent_the_instant_and_the_measure():
    agents = make_agents([Agent(40.0, 8.0), Agent(ahead(30.0), 0, 0, 2.0)], frames=21)
    frames = measure(agents, make_ego(12.0, frames=21))
    why = clip_risk(frames, 0, 2_000_000)
    assert why.track_id == "agent-1" and why.category == "car"
    assert why.time_us == 2_000_000
    # After 2 s the gap is 30 - 2 · 10 = 10 m, closing at 10 m/s: TTC 1 s, DRAC 100 / 20 = 5 m/s².
    assert frames.measures["ttc_s"][1, 20] == pytest.approx(1.0)
    assert frames.measures["drac_mps2"][1, 20] == pytest.approx(5.0)
    assert (why.measure, why.unit) == ("ttc_turn_s", "s")
    assert why.value == pytest.approx(1.0)
    assert why.part == "closing" and why.parts["closing"] > why.parts["tailgating"]


def test_time_headway_in_a_bend_is_that_of_the_lead_in_the_same_lane():
    turn = 20.0 / RADIUS_M
    lead, neighbour = on_arc(20.0, 0.0, speed=10.0), on_arc(20.0, 3.5, speed=10.0)
    frames = measure(make_agents([lead, neighbour]), make_ego(10.0, 10.0 / RADIUS_M))
    gap = RADIUS_M * np.sin(turn) - BUMPER_M - 2.25
    assert frames.measures["thw_s"][0, 0] == pytest.approx(gap / 10.0, abs=0.1)
    assert np.isnan(frames.measures["thw_s"][1, 0])


def test_a_parked_bicycle_is_no_vulnerable_road_user():
    """A bicycle that stands for the whole drive counts like a post; one that rides there later has a rider."""

    def passing(category: str, moves_at: int | None) -> float:
        frames = 51
        agents = make_agents([Agent(30.0, beside(0.3, (1.8, 0.6)), lw=(1.8, 0.6), category=category)], frames=frames)
        if moves_at is not None:
            agents.x_m[0, moves_at:] += np.linspace(0, 8, frames - moves_at)
        return float(np.nanmax(measure(agents, make_ego(8.0, frames=frames)).risk[0, :25]))

    assert passing("bicycle", None) == pytest.approx(passing("barrier", None))
    assert passing("bicycle", 45) > 1.2 * passing("bicycle", None)


def test_who_turns_off_at_a_junction_does_not_hit_who_stands_straight_ahead():
    """Ego turns right within 10 m of radius; a walker waits on the corner opposite, another where the turn would end
    up if it never ended."""
    waiting = [walker(13.0, 1.5, 0.0, 0.0), walker(10.0, -24.0, 0.0, 0.0)]

    def turn(t):
        return -min(0.5 * max(t - 0.5, 0.0), np.pi / 2)

    assert drive_risk(waiting[:1], lambda t: 5.0, turn, 6.0) < 0.35
    assert drive_risk([Agent(4.5, -15.0, UP)], lambda t: 5.0, turn, 6.0) < 0.1
