"""Ten thousand random scenes: no NaN that a measure does not declare, no value outside its range."""

from collections.abc import Iterator, Mapping

import numpy as np
import pytest
from numpy import ndarray

from sceneminer.data.track import CATEGORIES, AgentStates
from sceneminer.labels.bodies import Bodies, box_gap, overlap_m, roll_out
from sceneminer.labels.ego import EgoStates, agent_bodies, smoothed
from sceneminer.labels.measures import HORIZON_S, MEASURES, REACH_M, NanReason
from sceneminer.labels.risk import measure

SCENES, FRAMES, ROWS, BATCHES = 10_000, 4, 3, 25
WALKERS_AND_THINGS = {"pedestrian", "animal", "cone", "barrier", "debris", "bicycle_rack", "other"}
SAMPLES_S = np.linspace(0.0, HORIZON_S, 17)
SLACK = 1e-6


def random_batch(rng: np.random.Generator) -> tuple[AgentStates, EgoStates]:
    """Scenes of four frames one after the other, a minute apart and with nobody between them; 0 to 3 agents each.

    Boxes of all sizes that move along, across and onto ego, some without velocity, some absent for a frame; ego
    drives, reverses, stands, turns, and is lost now and then.
    """
    scenes = SCENES // BATCHES
    step = rng.choice([0.1, 0.5, 1.0], (1, scenes, 1))
    at = step * np.arange(FRAMES + 1)
    frames = scenes * (FRAMES + 1)
    times = np.round((at + 60.0 * np.arange(scenes)[None, :, None]) * 1e6).astype(np.int64).ravel()
    shape = (ROWS, scenes, 1)

    def draw(low: float, high: float, of: tuple[int, ...] = shape) -> ndarray:
        return rng.uniform(low, high, of)

    def choose(share: float, of: tuple[int, ...] = shape) -> ndarray:
        return rng.random(of) < share

    pace = draw(0, 14) * ~choose(0.2)
    course = draw(-np.pi, np.pi) * choose(0.7)
    rate = draw(-0.6, 0.6) * choose(0.5)
    yaw = course + rate * at
    there = np.broadcast_to(np.arange(FRAMES + 1) < FRAMES, (ROWS, scenes, FRAMES + 1)) & choose(0.85)
    there &= rng.random(there.shape) < 0.95
    silent = np.where(choose(0.1), np.nan, 1.0)

    def laid(value: ndarray) -> ndarray:
        return np.where(there, value, np.nan).reshape(ROWS, frames)

    agents = AgentStates(
        track_ids=tuple(map(str, range(ROWS))),
        categories=tuple(rng.choice(CATEGORIES, ROWS)),
        times_us=times,
        x_m=laid(draw(-15, 35) + pace * np.cos(course) * at),
        y_m=laid(draw(-8, 8) + pace * np.sin(course) * at),
        z_m=laid(0 * yaw),
        yaw_rad=laid(yaw + np.pi * choose(0.1)),
        vx_mps=laid(pace * np.cos(yaw) * silent),
        vy_mps=laid(pace * np.sin(yaw) * silent),
        yaw_rate_rps=laid(rate + 0 * yaw),
        length_m=laid(draw(0.05, 14) + 0 * yaw),
        width_m=laid(draw(0.05, 3) + 0 * yaw),
        present=there.reshape(ROWS, frames),
    )
    one = (1, scenes, 1)
    speed = draw(-3, 25, one) * ~choose(0.15, one) + 0 * at
    rate = draw(-0.6, 0.6, one) * choose(0.5, one)
    heading = draw(-np.pi, np.pi, one) * choose(0.3, one) + rate * at
    lost = np.where(rng.random((1, scenes, FRAMES + 1)) < 0.02, np.nan, 0.0)
    lost[..., FRAMES] = np.nan
    x, y = speed * np.cos(heading) * at, speed * np.sin(heading) * at
    ego = EgoStates(times, *((v + lost).ravel() for v in (x, y, heading, speed, rate + 0 * at)))
    return agents, ego


def batches() -> Iterator[tuple[AgentStates, EgoStates, Mapping[str, ndarray]]]:
    rng = np.random.default_rng(11)
    for _ in range(BATCHES):
        agents, ego = random_batch(rng)
        yield agents, ego, measure(agents, ego).measures


def holds(agents: AgentStates, ego: EgoStates, asked: ndarray) -> dict[NanReason, ndarray]:
    """Where each declared reason holds, or all but holds, [agents, frames], by other means than the measures'.

    ``asked`` says for whom it matters whether they run into ego.
    """
    others, stands = agent_bodies(smoothed(agents, window_s=0.75), standing_mps=0.5)
    own = ego.body()[np.tile(np.arange(len(ego.times_us)), (ROWS, 1))]
    absent = ~agents.present | np.isnan(own.x_m)
    things = np.array([c in WALKERS_AND_THINGS for c in agents.categories])[:, None] & np.ones_like(absent)
    known = np.nonzero(~absent)
    a, b = own[known], others[known]

    def spread(value: ndarray) -> ndarray:
        out = np.zeros(absent.shape, bool)
        out[known] = value
        return out

    straight, turning, nearest = sampled(a, b)
    return {
        "absent": absent,
        "no_touch": spread(straight < SLACK),
        "no_turning_touch": spread(turning < step_error_m(a) + step_error_m(b) + SLACK),
        "far": spread(nearest > REACH_M - 0.02),
        "no_lead": things | spread(~leads(a, b)),
        "no_crossing": ~crosses(ego, own, others, absent, stands),
        "run_into": spread(run_into(a, b, asked[known])),
        "ego_stands": own.speed_mps < 0.5,
        "no_vehicle": things,
    }


def sampled(a: Bodies, b: Bodies) -> tuple[ndarray, ndarray, ndarray]:
    """Deepest sampled overlap at constant velocity and at constant turn rate, and the smallest sampled gap then."""
    depth = np.full((2, len(a.x_m)), -np.inf)
    nearest = np.full(len(a.x_m), np.inf)
    # Far pairs cannot be close at any sample.
    travel = HORIZON_S * (a.speed_mps + b.speed_mps) + a.radius_m + b.radius_m + REACH_M
    close = np.flatnonzero(np.hypot(b.x_m - a.x_m, b.y_m - a.y_m) <= travel)
    for part in np.array_split(close, 10):
        p, q = a[part][:, None], b[part][:, None]
        depth[0, part] = overlap_m(roll_out(p.straight(), SAMPLES_S), roll_out(q.straight(), SAMPLES_S)).max(axis=1)
        p, q = roll_out(p, SAMPLES_S), roll_out(q, SAMPLES_S)
        depth[1, part] = overlap_m(p, q).max(axis=1)
        nearest[part] = box_gap(p, q).min(axis=1)
    return depth[0], depth[1], nearest


def step_error_m(body: Bodies) -> ndarray:
    """How far a corner can be off in ``ttc_turn_s``, whose steps of 0.1 s are straight and keep the middle's yaw."""
    return np.abs(body.yaw_rate_rps) * (0.05 * body.radius_m + 0.1**2 / 8 * body.speed_mps)


def leads(a: Bodies, b: Bodies) -> ndarray:
    """Clearly ahead, in ego's path and direction, within the horizon."""
    to = (b.x_m - a.x_m) + 1j * (b.y_m - a.y_m)
    heading = np.exp(1j * a.yaw_rad)
    seen = to / heading
    speed = ((a.vx_mps + 1j * a.vy_mps) / heading).real
    drives = speed > 3.0 + SLACK
    bend = np.where(drives, a.yaw_rate_rps, 0.0) / np.where(drives, speed, 1.0)
    way = (b.vx_mps + 1j * b.vy_mps) / heading / np.exp(1j * bend * seen.real)
    gap = np.maximum(seen.real - 0.5 * (a.length_m + b.length_m), 0.0)
    inside = drives & (seen.real > SLACK) & (np.abs(seen.imag - 0.5 * bend * seen.real**2) < 1.5 - SLACK)
    return (
        inside & (np.abs(way) > 0) & (np.abs(np.angle(way)) < np.pi / 4 - SLACK) & (gap < (HORIZON_S - SLACK) * speed)
    )


def run_into(a: Bodies, b: Bodies, asked: ndarray) -> ndarray:
    """Ego shifted back along its yaw (in reverse: forward) meets the agent, shifted on it does not."""
    shifts = np.linspace(0.0, 40.0, 161)[1:]
    way = np.where(a.vx_mps * np.cos(a.yaw_rad) + a.vy_mps * np.sin(a.yaw_rad) < 0, -1.0, 1.0)
    out = np.zeros(len(a.x_m), bool)
    for part in np.array_split(np.flatnonzero(asked), 4):
        p, q = a[part][:, None], b[part][:, None]
        depth = [np.max(overlap_m(_shifted(p, sign * way[part][:, None] * shifts), q), axis=1) for sign in (-1.0, 1.0)]
        out[part] = (depth[0] > -0.02) & (depth[1] < 0.02)
    return out


def _shifted(body: Bodies, by_m: ndarray) -> Bodies:
    parts = {name: value + 0 * by_m for name, value in vars(body).items()}
    x, y = parts["x_m"] + by_m * np.cos(body.yaw_rad), parts["y_m"] + by_m * np.sin(body.yaw_rad)
    return Bodies(**{**parts, "x_m": x, "y_m": y})


def crosses(ego: EgoStates, own: Bodies, others: Bodies, absent: ndarray, stands: ndarray) -> ndarray:
    """Whether middles of steps, later in the same scene and with nobody lost, clearly overlap at a clear angle."""
    t = ego.times_us.reshape(-1, FRAMES + 1) / 1e6
    p, q = (Bodies(**{k: v.reshape(ROWS, -1, FRAMES + 1) for k, v in vars(b).items()}) for b in (own, others))
    lost = absent.reshape(ROWS, -1, FRAMES + 1)
    still = (stands | (own.speed_mps < 0.5)).reshape(lost.shape)
    out = np.zeros(lost.shape, bool)
    for i in range(FRAMES - 1):
        for k in range(FRAMES - 1):
            a, b = _middle(p, i), _middle(q, k)
            low, high = min(i, k), max(i, k)
            angle = np.abs(np.angle((b.vx_mps + 1j * b.vy_mps) * (a.vx_mps - 1j * a.vy_mps)))
            meets = (overlap_m(a, b) > SLACK) & (angle > np.pi / 6 + SLACK)
            meets &= ~(still[..., i] | still[..., i + 1] | still[..., k] | still[..., k + 1])
            for frame in range(low + 1):
                whole = ~lost[..., frame : high + 2].any(axis=-1) & (t[:, high + 1] - t[:, frame] < HORIZON_S)
                out[..., frame] |= meets & whole
    return out.reshape(absent.shape)


def _middle(b: Bodies, step: int) -> Bodies:
    here, there = b[(..., step)], b[(..., step + 1)]
    mid = {k: 0.5 * (v + getattr(there, k)) for k, v in vars(here).items()}
    turn = (there.yaw_rad - here.yaw_rad + np.pi) % (2 * np.pi) - np.pi
    return Bodies(**{**mid, "yaw_rad": here.yaw_rad + 0.5 * turn})


@pytest.mark.slow
def test_every_nan_of_ten_thousand_scenes_is_declared_and_every_value_in_range():
    seen = {entry.name: [0, 0] for entry in MEASURES}
    for agents, ego, values in batches():
        reasons = holds(agents, ego, np.isnan(values["a_long_req_mps2"]))
        for entry in MEASURES:
            value = values[entry.name]
            unknown = np.isnan(value)
            declared = np.any([reasons[reason] for reason in entry.nan_when], axis=0)
            assert not np.any(unknown & ~declared), f"{entry.name} is NaN where none of {entry.nan_when} holds"
            for reason in {"absent", "ego_stands", "no_vehicle"} & set(entry.nan_when):
                assert np.all(unknown[reasons[reason]]), f"{entry.name} is a number where {reason} holds"
            finite = value[~unknown]
            assert np.all((finite >= 0) & (finite <= entry.highest)), entry.name
            seen[entry.name][0] += len(finite)
            seen[entry.name][1] += np.count_nonzero(unknown & ~reasons["absent"])
    assert all(count > 500 for count, _ in seen.values()), seen
    assert all(count > 100 for name, (_, count) in seen.items() if name != "drac_mps2"), seen
    assert seen["drac_mps2"][1] == 0
