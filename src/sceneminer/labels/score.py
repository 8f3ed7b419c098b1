"""How measures become parts of a risk: closing, braking, encounter, tailgating."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float
from numpy import ndarray

from sceneminer.labels.bodies import Bodies
from sceneminer.labels.measures import HORIZON_S, REACH_M, Encounters
from sceneminer.labels.rss import DEFAULT_RSS, RssParameters

PARTS: tuple[str, ...] = ("closing", "braking", "encounter", "tailgating")
MEASURE_OF_PART: Mapping[str, str] = {
    "closing": "ttc_turn_s",
    "braking": "drac_mps2",
    "encounter": "dce_m",
    "tailgating": "thw_s",
}
"""The measure that explains each part."""


@dataclass(frozen=True)
class RiskConfig:
    """The constants of the aggregation; the defaults are the label."""

    horizon_s: float = HORIZON_S
    step_s: float = 0.1
    reach_m: float = REACH_M
    standing_mps: float = 0.5
    """Slower agents stand: annotated boxes of parked cars jitter by some cm between keyframes."""
    smooth_s: float = 0.75
    """Agents' velocities come from positions within ± this; 0: as given."""
    closing_ttc_s: float = 2.5
    closing_drac_mps2: float = 4.0
    comfort_mps2: float = 2.5
    """Braking that drivers do without thinking; so much of the needed braking, once under way, relieves."""
    relief: float = 0.6
    """By how much a fully sufficient comfortable braking lowers closing."""
    braking_from_mps2: float = 2.0
    braking_span_mps2: float = 4.0
    encounter_s: float = 2.0
    encounter_width_m: float = 0.4
    encounter_width_crossing_m: float = 1.0
    """Between vehicles at right angles: 1 m there is some tenths of a second between one leaving and the other coming,
    while lanes side by side hold 1 m all day."""
    encounter_width_vulnerable_m: float = 0.8
    encounter_speed_mps: float = 8.0
    standing_share: float = 0.3
    graze_m: float = 0.4
    """Touches less deep than this are avoided by a little steering, or are annotation error."""
    headway_s: float = 1.2
    headway_span_s: float = 1.0
    tailgating_share: float = 0.6
    tailgating_from_mps: float = 3.0
    tailgating_full_mps: float = 10.0
    same_lane_m: float = 1.5
    opening_mps: float = 3.0
    """A lead that draws away this fast is not tailgated."""
    confirm: bool = True
    """Whether another future must bear out what a constant turn rate predicts (``confirmed``)."""
    steering_s: tuple[float, float] = (1.5, 3.0)
    """Steering away sooner before the touch than this is evasion; earlier than that, ordinary."""
    turning_rps: tuple[float, float] = (0.1, 0.25)
    """Below: corrections and bends; above: turns at junctions, which nobody leaves straight on."""
    vulnerable_power: float = 1.5
    rss: RssParameters = DEFAULT_RSS
    """Of ``rss_violation``, which no part reads."""


DEFAULT_RISK = RiskConfig()


def meeting_scores(
    meet: Encounters,
    vulnerable: Bool[ndarray, "n"],
    still: Bool[ndarray, "n"],
    brake_mps2: Float[ndarray, "n"],
    config: RiskConfig,
) -> Float[ndarray, "3 n"]:
    """Closing, braking and encounter of flat pairs, the vulnerable weighted."""
    deep = np.clip(meet.depth_m / config.graze_m, 0.0, 1.0)
    ttc = np.where(np.isfinite(meet.ttc_s), meet.ttc_s, config.horizon_s)
    eased = np.clip(np.minimum(brake_mps2, config.comfort_mps2) / np.maximum(meet.drac_mps2, 1e-6), 0.0, 1.0)
    closing = np.exp(-((ttc / config.closing_ttc_s) ** 2)) * np.clip(
        meet.drac_mps2 / config.closing_drac_mps2, 0.0, 1.0
    )
    closing *= deep * (1.0 - config.relief * eased)
    braking = np.clip((meet.drac_mps2 - config.braking_from_mps2) / config.braking_span_mps2, 0.0, 1.0)
    braking *= deep * np.clip(2.0 * (1.0 - ttc / config.horizon_s), 0.0, 1.0)
    beside, across = config.encounter_width_m, config.encounter_width_crossing_m
    width = np.where(vulnerable, config.encounter_width_vulnerable_m, beside + (across - beside) * meet.crossing)
    encounter = np.exp(-meet.ttce_s / config.encounter_s - (meet.dce_m / width) ** 2)
    encounter *= np.clip(meet.approach_mps / config.encounter_speed_mps, 0.0, 1.0) * (1.0 - deep)
    encounter *= np.where(still, config.standing_share, 1.0)
    scores = np.stack([closing, braking, encounter])
    return _weighted(scores, vulnerable, config)


def confirmed(
    meet: Encounters,
    turn_rps: Float[ndarray, "n"],
    *,
    total: Float[ndarray, "n"],
    straight: Float[ndarray, "n"],
    driven: Float[ndarray, "n"],
    config: RiskConfig,
) -> Float[ndarray, "n"]:
    """How much of the ``total`` risk under a constant turn rate another future bears out, 0 to 1.

    ``straight`` and ``driven`` are the risks if both drive straight on, and if both follow the paths they in fact
    take, at present speed. Soon, either will do: who swerves in the last second was in danger. Far ahead only the
    path taken does: there people steer round bends and parked cars as a matter of course. Nor does one who is well
    into a turn (``turn_rps``, the larger of both) go straight on.
    """
    soon, late = config.steering_s
    low, high = config.turning_rps
    urgent = np.clip((late - meet.ttce_s) / (late - soon), 0.0, 1.0)
    urgent *= np.clip((high - turn_rps) / (high - low), 0.0, 1.0)
    borne_out = np.maximum(urgent * np.minimum(straight, total), np.minimum(driven, total))
    return np.where(total > 1e-9, borne_out / np.maximum(total, 1e-9), 1.0)


def left_behind(ego: Bodies, agent: Bodies) -> Bool[ndarray, "n"]:
    dx, dy = agent.x_m - ego.x_m, agent.y_m - ego.y_m
    behind = dx * np.cos(ego.yaw_rad) + dy * np.sin(ego.yaw_rad) < 0
    return behind & (dx * (agent.vx_mps - ego.vx_mps) + dy * (agent.vy_mps - ego.vy_mps) >= 0)


def tailgating(
    headway_s: Float[ndarray, "*b"],
    ego: Bodies,
    agent: Bodies,
    vulnerable: Bool[ndarray, "*b"],
    config: RiskConfig,
) -> Float[ndarray, "*b"]:
    """The tailgating part; 0 where there is no headway."""
    span = config.tailgating_full_mps - config.tailgating_from_mps
    fast = np.clip((ego.speed_mps - config.tailgating_from_mps) / span, 0.0, 1.0)
    staying = np.clip(1.0 - (agent.speed_mps - ego.speed_mps) / config.opening_mps, 0.0, 1.0)
    near = np.clip((config.headway_s - headway_s) / config.headway_span_s, 0.0, 1.0)
    return np.nan_to_num(_weighted(config.tailgating_share * near * fast * staying, vulnerable, config))


def _weighted(score: ndarray, vulnerable: ndarray, config: RiskConfig) -> ndarray:
    return np.where(vulnerable, 1.0 - (1.0 - score) ** config.vulnerable_power, score)
