"""The measures agree with slow references that look at one pair at a time (``slow_measures``)."""

from dataclasses import replace

import numpy as np
import pytest
import slow_measures as slow
from make_traffic import CAR_LW, WALKER_LW, Agent, make_agents

from sceneminer.data.track import AgentStates
from sceneminer.labels.bodies import Bodies
from sceneminer.labels.ego import EgoStates, agent_bodies
from sceneminer.labels.risk import measure
from sceneminer.labels.score import RiskConfig

EXACT = 1e-9
# speed (m/s), turn rate (rad/s), yaw: towns, motorways, reverse, standing, walking pace.
EGOS = ((9.0, 0.0, 0.3), (12.0, 0.11, -2.0), (5.0, -0.4, 1.2), (24.0, 0.02, 0.0), (-2.5, 0.2, 0.7), (0.0, 0.0, 2.9))


def ego_of(speed: float, rate: float, yaw: float) -> EgoStates:
    return EgoStates(np.zeros(1, np.int64), *(np.array([v]) for v in (0.0, 0.0, yaw, speed, rate)))


def random_agents(rng: np.random.Generator, ego: tuple[float, float, float], count: int) -> AgentStates:
    """Cars and walkers about ego, a good half of them on courses that come near it."""
    speed, _, yaw = ego
    agents = []
    for i in range(count):
        lw, category = ((CAR_LW, "car"), (WALKER_LW, "pedestrian"), ((9.0, 2.5), "truck"))[i % 3]
        meets_s, pace = rng.uniform(0.0, 5.0), rng.choice([0.0, 1.5, rng.uniform(1.0, 15.0)])
        course = yaw + rng.choice([0.0, np.pi, rng.uniform(-np.pi, np.pi)]) + rng.normal(0, 0.1)
        spread = rng.choice([0.5, 3.0])
        x = (speed * np.cos(yaw) - pace * np.cos(course)) * meets_s + rng.normal(0, spread)
        y = (speed * np.sin(yaw) - pace * np.sin(course)) * meets_s + rng.normal(0, spread)
        agents.append(Agent(x, y, course, pace, rng.choice([0.0, rng.uniform(-0.5, 0.5)]), lw, category))
    return make_agents(agents)


def bodies_at(bodies: Bodies, row: int, frame: int = 0) -> slow.Body:
    return {name: float(value[row, frame]) for name, value in vars(bodies).items()}


def pairs(seed: int, count: int = 90):
    """Values of all measures, and ego and agent of each pair."""
    rng = np.random.default_rng(seed)
    for speed, rate, yaw in EGOS:
        ego = ego_of(speed, rate, yaw)
        agents = random_agents(rng, (speed, rate, yaw), count)
        values = measure(agents, ego).measures
        own = {name: float(value[0]) for name, value in vars(ego.body()).items()}
        others, _ = agent_bodies(agents, standing_mps=0.5)
        for row, category in enumerate(agents.categories):
            yield {k: float(v[row, 0]) for k, v in values.items()}, own, bodies_at(others, row), category


def assert_same(found: list[float], wanted: list[float], *, least: int, tolerance: float = EXACT) -> None:
    """Equal, NaN where NaN; at least so many are neither NaN nor 0."""
    np.testing.assert_allclose(found, wanted, rtol=0, atol=tolerance)
    assert np.count_nonzero(np.nan_to_num(wanted)) >= least


@pytest.mark.parametrize(
    ("name", "reference", "least"),
    [
        ("ttc_s", slow.ttc_s, 150),
        ("ttc_turn_s", slow.ttc_turn_s, 150),
        ("drac_mps2", slow.drac_mps2, 150),
        ("a_long_req_mps2", slow.a_long_req_mps2, 100),
        ("a_lat_req_mps2", slow.a_lat_req_mps2, 100),
    ],
)
def test_agrees_pair_by_pair(name: str, reference, least: int):
    rows = list(pairs(1))
    assert_same([v[name] for v, *_ in rows], [reference(e, a) for _, e, a, _ in rows], least=least)


@pytest.mark.parametrize(
    ("name", "reference", "least"), [("thw_s", slow.thw_s, 20), ("rss_violation", slow.rss_violation, 100)]
)
def test_agrees_pair_by_pair_where_it_speaks_of_vehicles(name: str, reference, least: int):
    rows = list(pairs(2, count=180))
    wanted = [reference(e, a) if kind != "pedestrian" else np.nan for _, e, a, kind in rows]
    assert_same([v[name] for v, *_ in rows], wanted, least=least)


def test_closest_encounters_follow_their_procedure_exactly_and_their_definition_to_a_millisecond():
    rows = list(pairs(3))
    procedure = [slow.encounter(e, a) for _, e, a, _ in rows]
    times = [v["ttce_s"] for v, *_ in rows]
    assert np.array_equal(np.isnan(times), [np.isnan(t) for t, _ in procedure])
    for time, (first, gap), (_, ego, agent, _) in zip(times, procedure, rows, strict=True):
        # Where the smallest gap lasts, rounding decides which of its instants is taken for the first.
        level = abs(time - first) <= EXACT or np.isnan(time)
        assert level or abs(slow.gap(slow.moved(ego, time), slow.moved(agent, time)) - gap) <= EXACT
    assert_same([v["dce_m"] for v, *_ in rows], [gap for _, gap in procedure], least=60)
    checked = 0
    for values, ego, agent, _ in rows:
        straight = ego["yaw_rate_rps"] == agent["yaw_rate_rps"] == 0.0
        if straight and values["dce_m"] > 0 and slow.hypot(agent["vx_mps"], agent["vy_mps"]) > 0:
            time, gap = slow.closest(ego, agent)
            speed = slow.hypot(ego["vx_mps"] - agent["vx_mps"], ego["vy_mps"] - agent["vy_mps"])
            assert gap - 1e-9 <= values["dce_m"] <= gap + 1e-3 * speed
            # Where the gap hardly changes its least place is not defined to a millisecond, but the gap is.
            assert abs(values["ttce_s"] - time) < 1.1e-3 or values["dce_m"] < gap + 1e-6
            checked += 1
    assert checked > 10


def crossing_drive(rng: np.random.Generator) -> tuple[AgentStates, EgoStates, Bodies]:
    """Ego and eight agents for 5 s in uneven steps, on bent courses through the same square, with gaps and stops."""
    steps = rng.choice([100_000, 250_000, 400_000], 18)
    times = np.concatenate([[0], np.cumsum(steps)]).astype(np.int64)
    seconds = times / 1e6
    base = make_agents([Agent(0, 0, lw=(CAR_LW, WALKER_LW)[i % 2]) for i in range(8)], frames=len(times))
    course = rng.uniform(-np.pi, np.pi, (8, 1)) + rng.normal(0, 0.2, (8, 1)) * seconds
    pace = rng.uniform(1.0, 12.0, (8, 1)) * np.where(rng.random((8, len(times))) < 0.1, 0.0, 1.0)
    vx, vy = pace * np.cos(course), pace * np.sin(course)
    dt = np.diff(seconds, prepend=0.0)
    x, y = np.cumsum(vx * dt, axis=1), np.cumsum(vy * dt, axis=1)
    at = rng.integers(4, 14, 8)
    rows = np.arange(8)
    x += rng.normal(12, 3, (8, 1)) - x[rows, at][:, None]
    y += rng.normal(0, 3, (8, 1)) - y[rows, at][:, None]
    present = rng.random((8, len(times))) < 0.97

    def known(value: np.ndarray) -> np.ndarray:
        return np.where(present, value, np.nan)

    agents = replace(
        base,
        times_us=times,
        x_m=known(x),
        y_m=known(y),
        yaw_rad=known(course),
        vx_mps=known(vx),
        vy_mps=known(vy),
        yaw_rate_rps=known(0 * x),
        length_m=known(base.length_m),
        width_m=known(base.width_m),
        present=present,
    )
    speed = np.full(len(times), rng.uniform(4, 10))
    yaw = rng.normal(0, 0.1) * seconds
    ego = EgoStates(
        times,
        np.cumsum(speed * np.cos(yaw) * dt),
        np.cumsum(speed * np.sin(yaw) * dt),
        yaw,
        speed,
        np.gradient(yaw, seconds),
    )
    return agents, ego, agent_bodies(agents, standing_mps=0.5)[0]


def test_post_encroachment_agrees_step_by_step():
    rng = np.random.default_rng(4)
    found, wanted = [], []
    for _ in range(12):
        agents, ego, bodies = crossing_drive(rng)
        values = measure(agents, ego, config=RiskConfig(smooth_s=0.0)).measures["pet_s"]
        times = [t / 1e6 for t in agents.times_us.tolist()]
        own = [{name: float(value[k]) for name, value in vars(ego.body()).items()} for k in range(len(times))]
        for row in range(8):
            there = [bodies_at(bodies, row, k) if agents.present[row, k] else None for k in range(len(times))]
            for frame in (0, 2, 5, 9):
                found.append(float(values[row, frame]))
                wanted.append(slow.pet_s(times, own, there, frame) if there[frame] else np.nan)
    assert_same(found, wanted, least=60)
