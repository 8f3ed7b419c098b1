"""Risk in [0, 1] for every agent, frame and clip, with the agent, the instant and the measure behind it.

Each agent's risk is the largest of four parts, of physics measures under constant turn rate and velocity:

* closing     exp(-(TTC/2.5)²) · clip(DRAC/4), less where the two are already braking as comfortably needed
* braking     clip((DRAC - 2)/4), believed less the further the touch lies ahead
* encounter   exp(-TTCE/2) · exp(-(DCE/w)²) · clip(Δv/8), a third of it where one of the two stands
* tailgating  0.6 · clip((1.2 - THW)/1.0), from 3 m/s on, full from 10 m/s

A touch that only grazes counts as an encounter, one deeper than ``graze_m`` as closing and braking. A turn
may end or be a lane keeper's correction: risk counts only as far as driving straight on, or the paths that both in
fact take, lead to it too (``confirmed``). A clip's risk is the 95th percentile over its frames, a frame's the maximum
over agents (neighbours do not add up).
``docs/results/risk_real.md`` has the evidence for each choice.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int
from numpy import ndarray

from sceneminer.data.log import Log
from sceneminer.data.track import AgentStates, Category, states_at
from sceneminer.labels.bodies import Bodies
from sceneminer.labels.contact import half_steps, straight_contact_s
from sceneminer.labels.driven import follow_path
from sceneminer.labels.ego import (
    EgoSize,
    EgoStates,
    agent_bodies,
    ego_states,
    lane_users,
    smoothed,
    vulnerable_agents,
)
from sceneminer.labels.measures import (
    MEASURE_NAMES,
    MEASURES,
    Encounters,
    encounters,
    headway_s,
    may_meet,
    sampled_encounters,
)
from sceneminer.labels.score import (
    DEFAULT_RISK,
    MEASURE_OF_PART,
    PARTS,
    RiskConfig,
    confirmed,
    left_behind,
    meeting_scores,
    tailgating,
)
from sceneminer.labels.unscored import unscored

_UNITS = {measure.name: measure.unit for measure in MEASURES}
_DOUBT_FROM = 1e-3
"""Smaller risks need no second opinion."""
_PAIRS_AT_ONCE = 4096
"""Roll-outs of this many pairs fit the cache."""


@dataclass(frozen=True, eq=False)
class RiskFrames:
    """Measures, parts and risk of every agent at every frame; arrays are [agents, times], NaN where absent."""

    track_ids: tuple[str, ...]
    categories: tuple[Category, ...]
    times_us: Int[ndarray, "t"]
    measures: Mapping[str, Float[ndarray, "a t"]]
    """By name, as ``MEASURES`` declares them."""
    parts: Mapping[str, Float[ndarray, "a t"]]
    """By name in ``PARTS``; the largest is the risk."""
    risk: Float[ndarray, "a t"]
    frame_risk: Float[ndarray, "t"]
    """Largest over agents, 0 where nobody is near; NaN where unknown (``null_reason``, or ego's pose is NaN)."""
    riskiest: Int[ndarray, "t"]
    """Row of the riskiest agent; -1 where the frame's risk is 0 or unknown."""
    null_reason: str = ""
    """Why there is no risk at all, e.g. that the Log has no tracks; empty where there is."""


@dataclass(frozen=True)
class ClipRisk:
    """A clip's risk, and who, when and which measure is behind it."""

    risk: float | None
    """95th percentile over frames; None where unknown."""
    parts: Mapping[str, float]
    """95th percentile of each part's maximum over agents; empty where unknown."""
    track_id: str | None = None
    """The riskiest agent at the riskiest instant; None where the risk is 0 or unknown."""
    category: str | None = None
    time_us: int | None = None
    part: str | None = None
    measure: str | None = None
    value: float | None = None
    unit: str | None = None
    null_reason: str = ""


def measure(agents: AgentStates, ego: EgoStates, *, config: RiskConfig = DEFAULT_RISK) -> RiskFrames:
    """Every measure, part and risk of all agents at all frames.

    ``agents`` and ``ego`` share their times. Agents without velocity stand. Agents or ego with NaN pose or size at
    a time count as absent then.
    """
    if not np.array_equal(agents.times_us, ego.times_us):
        raise ValueError(
            f"expected agents and ego on the same times, found {len(agents.times_us)} and {len(ego.times_us)}"
        )
    steady = smoothed(agents, window_s=config.smooth_s) if config.smooth_s > 0 else agents
    bodies, stands = agent_bodies(steady, standing_mps=config.standing_mps)
    own = _tiled(ego.body(), len(agents.track_ids))
    ego_known = np.isfinite(own.x_m + own.y_m + own.yaw_rad + own.vx_mps + own.vy_mps + own.yaw_rate_rps)
    boxes = bodies.x_m + bodies.y_m + bodies.yaw_rad + bodies.length_m + bodies.width_m
    there = agents.present & np.isfinite(boxes)
    known = there & ego_known
    pairs = np.nonzero(known)
    near = may_meet(own[pairs], bodies[pairs], horizon_s=config.horizon_s, reach_m=config.reach_m)
    pairs = (pairs[0][near], pairs[1][near])
    values = _empty(known, MEASURE_NAMES, np.nan)
    values["drac_mps2"] = np.where(known, 0.0, np.nan)
    parts = _empty(known, PARTS, 0.0)
    straight = straight_contact_s(own[known], bodies[known])
    values["ttc_s"][known] = np.where(straight <= config.horizon_s, straight, np.nan)
    still = stands | (own.speed_mps < config.standing_mps)
    vulnerable = vulnerable_agents(agents)
    brake = _closing_brake(steady, own)
    _add_meetings(values, parts, pairs, own, bodies, still, brake, vulnerable, config)
    _add_tailgating(values, parts, known, own, bodies, agents, vulnerable, config)
    risk = np.max(np.stack([parts[name] for name in PARTS]), axis=0)
    values |= unscored(
        agents,
        own,
        bodies,
        there=there,
        ego_known=ego_known,
        stands=stands,
        vehicles=lane_users(agents),
        ttc_s=values["ttc_s"],
        config=config,
    )
    return _frames(agents, values, parts, risk, _ego_known(ego))


def clip_risk(frames: RiskFrames, start_us: int, end_us: int) -> ClipRisk:
    """The risk of the frames with start_us ≤ time ≤ end_us, and its explanation."""
    low = int(np.searchsorted(frames.times_us, start_us, side="left"))
    high = int(np.searchsorted(frames.times_us, end_us, side="right"))
    inside = frames.frame_risk[low:high]
    if frames.null_reason or len(inside) == 0 or np.all(np.isnan(inside)):
        why = frames.null_reason or "no frame with a known ego pose lies in this span"
        return ClipRisk(None, {}, null_reason=why)
    parts = {}
    for name in PARTS:
        largest = np.max(np.nan_to_num(frames.parts[name][:, low:high]), axis=0, initial=0.0)
        parts[name] = float(np.percentile(largest, 95))
    risk = float(np.nanpercentile(inside, 95))
    at = low + int(np.nanargmax(inside))
    row = int(frames.riskiest[at])
    if row < 0 or risk == 0.0:
        return ClipRisk(risk, parts)
    part = max(PARTS, key=lambda name: frames.parts[name][row, at])
    name = MEASURE_OF_PART[part]
    return ClipRisk(
        risk=risk,
        parts=parts,
        track_id=frames.track_ids[row],
        category=frames.categories[row],
        time_us=int(frames.times_us[at]),
        part=part,
        measure=name,
        value=float(frames.measures[name][row, at]),
        unit=_UNITS[name],
    )


def log_risk(
    log: Log, *, rate_hz: float = 10.0, config: RiskConfig = DEFAULT_RISK, ego_size: EgoSize | None = None
) -> RiskFrames:
    """Risk of a whole Log at ``rate_hz``, from its tracks and poses; unknown, with the reason, where it lacks one."""
    times = np.arange(log.start_us, log.end_us + 1, round(1e6 / rate_hz), dtype=np.int64)
    missing = [what for what, there in (("tracks", log.has_tracks), ("ego poses", log.has_poses)) if not there]
    if missing:
        return _unknown(times, f"the log has no {' and no '.join(missing)}")
    return measure(states_at(log.store.read_tracks(), times), ego_states(log, times, size=ego_size), config=config)


def _add_meetings(
    values: dict[str, ndarray],
    parts: dict[str, ndarray],
    pairs: tuple[ndarray, ndarray],
    own: Bodies,
    bodies: Bodies,
    still: Bool[ndarray, "a t"],
    brake_mps2: Float[ndarray, "a t"],
    vulnerable: Bool[ndarray, "a"],
    config: RiskConfig,
) -> None:
    """Fills in what comes of roll-outs, for the pairs (agent, time) that may meet."""
    for first in range(0, len(pairs[0]), _PAIRS_AT_ONCE):
        index = (pairs[0][first : first + _PAIRS_AT_ONCE], pairs[1][first : first + _PAIRS_AT_ONCE])
        ego, agent = own[index], bodies[index]

        def score(meet: Encounters, of: ndarray | slice, index: tuple[ndarray, ndarray] = index) -> ndarray:
            rows, times = index[0][of], index[1][of]
            return meeting_scores(meet, vulnerable[rows], still[rows, times], brake_mps2[rows, times], config)

        meet = encounters(ego, agent, horizon_s=config.horizon_s, step_s=config.step_s)
        reached = meet.dce_m <= config.reach_m
        scores = score(meet, slice(None)) * (reached & ~left_behind(ego, agent))
        doubt = np.flatnonzero(scores.max(axis=0) > _DOUBT_FROM) if config.confirm else np.zeros(0, np.int64)
        if len(doubt):
            straight = encounters(ego[doubt].straight(), agent[doubt].straight(), horizon_s=config.horizon_s)
            driven = _driven_encounters(own, bodies, (index[0][doubt], index[1][doubt]), config)
            scores[:, doubt] *= confirmed(
                meet[doubt],
                np.maximum(np.abs(ego.yaw_rate_rps), np.abs(agent.yaw_rate_rps))[doubt],
                total=scores[:, doubt].max(axis=0),
                straight=score(straight, doubt).max(axis=0),
                driven=score(driven, doubt).max(axis=0),
                config=config,
            )
        values["ttc_turn_s"][index] = np.where(np.isfinite(meet.ttc_s), meet.ttc_s, np.nan)
        values["drac_mps2"][index] = meet.drac_mps2
        values["ttce_s"][index] = np.where(reached, meet.ttce_s, np.nan)
        values["dce_m"][index] = np.where(reached, meet.dce_m, np.nan)
        for name, part in zip(PARTS, scores, strict=False):
            parts[name][index] = part


def _driven_encounters(own: Bodies, bodies: Bodies, index: tuple[ndarray, ndarray], config: RiskConfig) -> Encounters:
    """How the pairs meet if both follow the paths that they in fact take, at their present speeds."""
    times = half_steps(config.horizon_s, config.step_s)
    frames, back = np.unique(index[1], return_inverse=True)
    ego = follow_path(own, np.zeros_like(frames), frames, times)[back]
    return sampled_encounters(ego, follow_path(bodies, *index, times), times)


def _closing_brake(agents: AgentStates, own: Bodies) -> Float[ndarray, "a t"]:
    """How fast the relative speed falls, m/s²: whoever of the two is braking; 0 where unknown."""
    ux, uy = agents.vx_mps - own.vx_mps, agents.vy_mps - own.vy_mps
    if ux.shape[1] < 2:
        return np.zeros(ux.shape)
    seconds = (agents.times_us - agents.times_us[0]) / 1e6
    speed = np.hypot(ux, uy)
    along = (np.gradient(ux, seconds, axis=1) * ux + np.gradient(uy, seconds, axis=1) * uy) / np.maximum(speed, 0.1)
    return np.maximum(np.nan_to_num(-along), 0.0)


def _add_tailgating(
    values: dict[str, ndarray],
    parts: dict[str, ndarray],
    known: Bool[ndarray, "a t"],
    own: Bodies,
    bodies: Bodies,
    agents: AgentStates,
    vulnerable: Bool[ndarray, "a"],
    config: RiskConfig,
) -> None:
    headway = headway_s(
        own, bodies, same_lane_m=config.same_lane_m, from_mps=config.tailgating_from_mps, horizon_s=config.horizon_s
    )
    values["thw_s"] = np.where(known & lane_users(agents)[:, None], headway, np.nan)
    score = tailgating(values["thw_s"], own, bodies, vulnerable[:, None] & known, config)
    parts["tailgating"] = np.where(known, score, np.nan)


def _empty(known: Bool[ndarray, "a t"], names: tuple[str, ...], value: float) -> dict[str, ndarray]:
    return {name: np.where(known, value, np.nan) for name in names}


def _tiled(body: Bodies, rows: int) -> Bodies:
    return body[np.tile(np.arange(len(body.x_m)), (rows, 1))]


def _ego_known(ego: EgoStates) -> Bool[ndarray, "t"]:
    return np.isfinite(ego.x_m + ego.y_m + ego.yaw_rad + ego.speed_mps + ego.yaw_rate_rps)


def _frames(agents: AgentStates, values, parts, risk: ndarray, ego_known: ndarray) -> RiskFrames:
    filled = np.nan_to_num(risk)
    largest = np.max(filled, axis=0, initial=0.0)
    row = np.argmax(filled, axis=0) if len(filled) else np.zeros(len(largest), np.int64)
    return RiskFrames(
        track_ids=agents.track_ids,
        categories=agents.categories,
        times_us=agents.times_us,
        measures=values,
        parts=parts,
        risk=risk,
        frame_risk=np.where(ego_known, largest, np.nan),
        riskiest=np.where(largest > 0, row, -1),
    )


def _unknown(times: ndarray, why: str) -> RiskFrames:
    none = np.zeros((0, len(times)))
    return RiskFrames(
        track_ids=(),
        categories=(),
        times_us=times,
        measures=dict.fromkeys(MEASURE_NAMES, none),
        parts=dict.fromkeys(PARTS, none),
        risk=none,
        frame_risk=np.full(len(times), np.nan),
        riskiest=np.full(len(times), -1, np.int64),
        null_reason=why,
    )
