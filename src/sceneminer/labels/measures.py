"""Criticality measures between ego and each agent: what each means, and how meetings and headways are computed.

Sources: TTC Hayward 1972; DRAC Cooper & Ferguson 1976; THW Vogel 2003; TTCE and DCE Eggert 2014; PET Allen, Shin &
Cooper 1978 (``encroachment``); required accelerations Jansson 2005 (``evasion``); RSS Shalev-Shwartz, Shammah &
Shashua 2017 (``rss``); the catalogue of Westhofen et al., "Criticality Metrics for Automated Driving", 2023. All are in
the plane, between rectangles. ``docs/reference/conventions.md`` shows them as a table.
"""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from math import inf
from typing import Literal

import numpy as np
from jaxtyping import Bool, Float
from numpy import ndarray

from sceneminer.labels.bodies import Bodies, box_gap, overlap_m, roll_out
from sceneminer.labels.contact import closest_encounter, sampled_contact_s, turning_contact_s
from sceneminer.labels.evasion import EVASION_CAP_MPS2

HORIZON_S = 4.0
"""How far a roll-out at constant turn rate and velocity is believed at all."""
REACH_M = 1.5
"""Agents whose swept rectangle stays further from ego's than this meet nobody."""
DRAC_CAP_MPS2 = 20.0
"""Twice what tyres can do; rectangles that touch now would need infinitely much."""
_DEPTH_WINDOW_S = 1.0
_CROSSING_MPS = 3.0

NanReason = Literal[
    "absent", "no_touch", "no_turning_touch", "far", "no_lead", "no_crossing", "run_into", "ego_stands", "no_vehicle"
]
NAN_REASONS: Mapping[NanReason, str] = {
    "absent": "the agent's box or ego's pose is unknown",
    "no_touch": "the rectangles do not touch within the horizon at constant velocity",
    "no_turning_touch": "the rectangles do not touch within the horizon at constant turn rate",
    "far": "the rectangles stay further apart than 1.5 m within the horizon",
    "no_lead": "the agent is no vehicle or rider ahead in ego's path and direction within the horizon, "
    "or ego is not faster than 3 m/s",
    "no_crossing": "the recorded paths do not cross, at 30° or more and both moving, within the horizon",
    "run_into": "the agent, level with ego's sides but not before it, drives into ego",
    "ego_stands": "ego is slower than 0.5 m/s",
    "no_vehicle": "the agent is a walker, an animal or a thing",
}
"""When a measure is NaN, with the constants of the default ``RiskConfig``."""


@dataclass(frozen=True)
class Measure:
    """What one number means."""

    name: str
    unit: str
    riskier: Literal["lower", "higher"]
    horizon_s: float
    """How far ahead it looks; inf: until both stand."""
    highest: float
    """Values lie in 0 to this."""
    nan_when: tuple[NanReason, ...]
    """It is NaN exactly where one of these holds."""
    meaning: str

    @property
    def nan_rule(self) -> str:
        return "NaN where " + "; or ".join(NAN_REASONS[reason] for reason in self.nan_when)


MEASURES: tuple[Measure, ...] = (
    Measure(
        name="ttc_s",
        unit="s",
        riskier="lower",
        horizon_s=HORIZON_S,
        highest=HORIZON_S,
        nan_when=("absent", "no_touch"),
        meaning="Time to first touch of the oriented rectangles if both keep velocity and yaw. 0: they overlap.",
    ),
    Measure(
        name="ttc_turn_s",
        unit="s",
        riskier="lower",
        horizon_s=HORIZON_S,
        highest=HORIZON_S,
        nan_when=("absent", "no_turning_touch"),
        meaning="Time to first touch if both keep speed and turn rate, in straight steps of 0.1 s.",
    ),
    Measure(
        name="drac_mps2",
        unit="m/s²",
        riskier="higher",
        horizon_s=HORIZON_S,
        highest=DRAC_CAP_MPS2,
        nan_when=("absent",),
        meaning="Relative deceleration that just avoids the touch of ttc_turn_s: speed of approach/(2 TTC); for a lead "
        "Δv²/(2 gap). 0 where no touch is predicted.",
    ),
    Measure(
        name="ttce_s",
        unit="s",
        riskier="lower",
        horizon_s=HORIZON_S,
        highest=HORIZON_S,
        nan_when=("absent", "far"),
        meaning="Time until the rectangles are closest if both keep speed and turn rate, to about 1 ms; ttc_turn_s "
        "where they touch.",
    ),
    Measure(
        name="dce_m",
        unit="m",
        riskier="lower",
        horizon_s=HORIZON_S,
        highest=REACH_M,
        nan_when=("absent", "far"),
        meaning="Gap between the rectangles at that time; 0 where they touch.",
    ),
    Measure(
        name="thw_s",
        unit="s",
        riskier="lower",
        horizon_s=HORIZON_S,
        highest=HORIZON_S,
        nan_when=("absent", "no_lead"),
        meaning="Time headway: gap along ego's path over ego's speed.",
    ),
    Measure(
        name="pet_s",
        unit="s",
        riskier="lower",
        horizon_s=HORIZON_S,
        highest=HORIZON_S,
        nan_when=("absent", "no_crossing"),
        meaning="Post-encroachment time: on the paths in fact taken from this frame on, the shortest time between "
        "one's leaving some ground and the other's coming there. Hindsight; 0: they touch.",
    ),
    Measure(
        name="a_long_req_mps2",
        unit="m/s²",
        riskier="higher",
        horizon_s=HORIZON_S,
        highest=EVASION_CAP_MPS2,
        nan_when=("absent", "run_into"),
        meaning="Smallest constant deceleration of ego, straight on, that keeps it behind the agent until ego stands; "
        "for a lead Δv²/(2 gap). 0 where ttc_s is NaN.",
    ),
    Measure(
        name="a_lat_req_mps2",
        unit="m/s²",
        riskier="higher",
        horizon_s=HORIZON_S,
        highest=EVASION_CAP_MPS2,
        nan_when=("absent", "ego_stands"),
        meaning="Smallest constant sideways acceleration of ego that takes it past the agent, on the easier side; "
        "along ego's way 2 (lacking clearance)/TTC². 0 where ttc_s is NaN.",
    ),
    Measure(
        name="rss_violation",
        unit="1",
        riskier="higher",
        horizon_s=inf,
        highest=1.0,
        nan_when=("absent", "no_vehicle"),
        meaning="Share by which the safe distance of responsibility-sensitive safety is fallen short of, the lesser of "
        "lengthwise and sideways. 0: safe.",
    ),
)
MEASURE_NAMES: tuple[str, ...] = tuple(measure.name for measure in MEASURES)


@dataclass(frozen=True, eq=False)
class Encounters:
    """How ego and one agent meet, one pair an element, if both keep speed and turn rate."""

    ttc_s: Float[ndarray, "n"]
    """inf where they do not touch."""
    drac_mps2: Float[ndarray, "n"]
    ttce_s: Float[ndarray, "n"]
    dce_m: Float[ndarray, "n"]
    approach_mps: Float[ndarray, "n"]
    """Relative speed at the closest encounter."""
    crossing: Float[ndarray, "n"]
    """|sin| of the angle between both directions of travel then: 1 at right angles, 0 along each other.

    Fades below 3 m/s: the direction of what hardly moves is noise.
    """
    depth_m: Float[ndarray, "n"]
    """How deep the rectangles run into each other in the second after they touch; 0 where they do not."""

    def __getitem__(self, index: ndarray) -> "Encounters":
        return Encounters(**{f.name: getattr(self, f.name)[index] for f in fields(self)})


def encounters(ego: Bodies, agent: Bodies, *, horizon_s: float = HORIZON_S, step_s: float = 0.1) -> Encounters:
    """Encounters of flat arrays of pairs."""
    ttc = turning_contact_s(ego, agent, horizon_s=horizon_s, step_s=step_s)
    touch = np.isfinite(ttc)
    ttce, dce = np.where(touch, ttc, 0.0), np.zeros_like(ttc)
    if not np.all(touch):
        apart = closest_encounter(ego[~touch], agent[~touch], horizon_s=horizon_s, step_s=step_s)
        ttce[~touch], dce[~touch] = apart
    at_ego, at_agent = roll_out(ego, ttce), roll_out(agent, ttce)
    approach, crossing = _approach(at_ego, at_agent)
    needed = approach / np.maximum(2.0 * ttce, 1e-3)
    depth = np.zeros_like(ttc)
    if np.any(touch):
        depth[touch] = _depth_m(ego[touch], agent[touch], ttc[touch])
    return Encounters(
        ttc_s=ttc,
        drac_mps2=np.where(touch, np.minimum(needed, DRAC_CAP_MPS2), 0.0),
        ttce_s=ttce,
        dce_m=dce,
        approach_mps=approach,
        crossing=crossing,
        depth_m=depth,
    )


def sampled_encounters(ego: Bodies, agent: Bodies, times_s: Float[ndarray, "k"]) -> Encounters:
    """Encounters of bodies [n, k] that are given at ``half_steps``, to a half step where they do not touch."""
    ttc = sampled_contact_s(ego, agent, times_s)
    touch = np.isfinite(ttc)
    gaps = box_gap(ego, agent)
    nearest = np.argmin(gaps, axis=1)
    rows = np.arange(len(ttc))
    at = np.where(touch, np.minimum(np.searchsorted(times_s, np.where(touch, ttc, 0.0)), len(times_s) - 1), nearest)
    ttce = np.where(touch, ttc, times_s[nearest])
    approach, crossing = _approach(ego[(rows, at)], agent[(rows, at)])
    soon = (times_s >= ttce[:, None]) & (times_s <= ttce[:, None] + _DEPTH_WINDOW_S)
    depth = np.max(np.where(soon, overlap_m(ego, agent), 0.0), axis=1)
    needed = np.minimum(approach / np.maximum(2.0 * ttce, 1e-3), DRAC_CAP_MPS2)
    return Encounters(
        ttc_s=ttc,
        drac_mps2=np.where(touch, needed, 0.0),
        ttce_s=ttce,
        dce_m=np.where(touch, 0.0, gaps[rows, nearest]),
        approach_mps=approach,
        crossing=crossing,
        depth_m=np.where(touch, np.maximum(depth, 0.0), 0.0),
    )


def _approach(ego: Bodies, agent: Bodies) -> tuple[ndarray, ndarray]:
    """Relative speed, and how far the directions of travel cross."""
    relative = np.hypot(agent.vx_mps - ego.vx_mps, agent.vy_mps - ego.vy_mps)
    speeds = np.maximum(ego.speed_mps * agent.speed_mps, 1e-6)
    sine = np.abs(ego.vx_mps * agent.vy_mps - ego.vy_mps * agent.vx_mps) / speeds
    return relative, sine * np.clip(np.minimum(ego.speed_mps, agent.speed_mps) / _CROSSING_MPS, 0.0, 1.0)


def _depth_m(ego: Bodies, agent: Bodies, ttc: ndarray) -> ndarray:
    times = ttc[:, None] + np.linspace(0.0, _DEPTH_WINDOW_S, 21)
    return np.maximum(np.max(overlap_m(roll_out(ego[:, None], times), roll_out(agent[:, None], times)), axis=1), 0.0)


def may_meet(
    ego: Bodies, agent: Bodies, *, horizon_s: float = HORIZON_S, reach_m: float = REACH_M
) -> Bool[ndarray, "n"]:
    """False only where the rectangles surely stay further than ``reach_m`` apart (circles, coarse steps)."""
    times = np.linspace(0.0, horizon_s, 17)
    a, b = roll_out(ego[:, None], times), roll_out(agent[:, None], times)
    nearest = np.min(np.hypot(b.x_m - a.x_m, b.y_m - a.y_m), axis=1)
    between = 0.5 * times[1] * (ego.speed_mps + agent.speed_mps)
    return nearest - between <= ego.radius_m + agent.radius_m + reach_m


def headway_s(
    ego: Bodies, agent: Bodies, *, same_lane_m: float, from_mps: float, horizon_s: float = HORIZON_S
) -> Float[ndarray, "*b"]:
    """Time headway to agents that drive ahead in ego's path; NaN for all others.

    In ego's path: the agent's centre lies within ``same_lane_m`` of the arc that ego drives, its heading of travel
    within 45° of ego's there.
    """
    cos, sin = np.cos(ego.yaw_rad), np.sin(ego.yaw_rad)
    dx, dy = agent.x_m - ego.x_m, agent.y_m - ego.y_m
    ahead, aside = dx * cos + dy * sin, dy * cos - dx * sin
    speed = ego.vx_mps * cos + ego.vy_mps * sin
    drives = speed > from_mps
    curvature = np.where(drives, ego.yaw_rate_rps / np.where(drives, speed, 1.0), 0.0)
    off_path = np.abs(aside - 0.5 * curvature * ahead * ahead)
    heading = ego.yaw_rad + curvature * ahead
    with_ego = agent.vx_mps * np.cos(heading) + agent.vy_mps * np.sin(heading)
    leads = drives & (ahead > 0) & (off_path < same_lane_m)
    leads &= (with_ego > 0) & (with_ego > agent.speed_mps * np.cos(np.pi / 4))
    gap = np.maximum(ahead - 0.5 * (ego.length_m + agent.length_m), 0.0)
    headway = gap / np.where(drives, speed, 1.0)
    return np.where(leads & (headway <= horizon_s), headway, np.nan)
