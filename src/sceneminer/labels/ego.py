"""Ego and the agents as bodies with smoothed velocities, from poses and annotated boxes."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Bool, Float, Int
from numpy import ndarray

from sceneminer.data.log import Log
from sceneminer.data.track import VULNERABLE, AgentStates
from sceneminer.geometry.pose import yaw_of
from sceneminer.labels.bodies import Bodies

MAX_YAW_RATE_RPS = 0.8
"""No road vehicle turns faster at a speed that matters here; beyond it lies annotation noise."""
_NEVER_TURN = frozenset({"pedestrian", "animal", "cone", "barrier", "debris", "bicycle_rack", "other"})
"""A walker's heading says nothing about a steady turn, and props have none. Nor do they keep to lanes."""
_TWO_WHEELERS = frozenset({"bicycle", "motorcycle", "personal_mobility"})
_PARKED_S, _PARKED_M = 3.0, 1.0
"""What is seen for this long and stays within this is parked; boxes of parked cars wander by some dm."""


@dataclass(frozen=True)
class EgoSize:
    """The recording car seen from above."""

    length_m: float
    width_m: float
    rear_axle_to_center_m: float
    """The ego frame's origin lies under the rear axle; this far ahead of it is the middle of the car."""


EGO_SIZE = EgoSize(4.084, 1.730, 1.385)
"""Renault Zoe, the car of nuScenes: 4.084 × 1.730 m (as nuScenes planning code has it), wheelbase 2.588 m (data sheet);
the rear overhang of 0.657 m is the data sheet's length less wheelbase and front overhang, to about 5 cm."""
_EGO_SIZES: Mapping[str, EgoSize] = {"argoverse2": EgoSize(4.872, 1.852, 1.425)}
"""Ford Fusion (data sheet, without mirrors, as the Renault; Argoverse's own boxes of ego are 4.877 × 2.0 m); its middle
is taken to lie half the wheelbase of 2.850 m ahead of the rear axle."""


def ego_size_for(dataset: str) -> EgoSize:
    """The recording car of a data set; ``EGO_SIZE`` where it is not known."""
    return _EGO_SIZES.get(dataset, EGO_SIZE)


@dataclass(frozen=True, eq=False)
class EgoStates:
    """Ego's rear axle on common times; NaN where it is unknown."""

    times_us: Int[ndarray, "t"]
    x_m: Float[ndarray, "t"]
    y_m: Float[ndarray, "t"]
    yaw_rad: Float[ndarray, "t"]
    speed_mps: Float[ndarray, "t"]
    """Along the yaw; negative in reverse."""
    yaw_rate_rps: Float[ndarray, "t"]
    size: EgoSize = EGO_SIZE

    def body(self) -> Bodies:
        """Ego's rectangle; its centre also swings sideways where the car turns."""
        cos, sin = np.cos(self.yaw_rad), np.sin(self.yaw_rad)
        ahead, swing = self.size.rear_axle_to_center_m, self.size.rear_axle_to_center_m * self.yaw_rate_rps
        full = np.ones_like(self.x_m)
        return Bodies(
            x_m=self.x_m + ahead * cos,
            y_m=self.y_m + ahead * sin,
            yaw_rad=self.yaw_rad,
            vx_mps=self.speed_mps * cos - swing * sin,
            vy_mps=self.speed_mps * sin + swing * cos,
            yaw_rate_rps=self.yaw_rate_rps,
            length_m=self.size.length_m * full,
            width_m=self.size.width_m * full,
        )


def ego_states(
    log: Log, times_us: Int[ndarray, "t"], *, window_s: float = 0.3, size: EgoSize | None = None
) -> EgoStates:
    """Ego at common times, of the size of its data set's car if none is given.

    Speed and turn rate are slopes of straight lines fitted to poses within ±``window_s``.
    NaN where ego's pose is unknown (``Log.pose_known``). Raises ValueError where the Log has no poses.
    """
    times = np.asarray(times_us, np.int64)
    offsets = np.arange(-3, 4) / 3.0 * window_s
    around = times[:, None] + np.round(offsets * 1e6).astype(np.int64)
    around = np.clip(around, log.pose_times_us[0], log.pose_times_us[-1])
    poses = log.poses_at(around.ravel())[0].reshape(*around.shape, 4, 4)
    seconds = (around - times[:, None]) / 1e6
    yaw = np.unwrap(yaw_of(poses), axis=1)
    vx, vy, rate = (slope(seconds, v) for v in (poses[..., 0, 3], poses[..., 1, 3], yaw))
    now = log.poses_at(times)[0]
    unknown = np.where(log.pose_known(times), 0.0, np.nan)
    heading = yaw_of(now) + unknown
    return EgoStates(
        times_us=times,
        x_m=now[:, 0, 3] + unknown,
        y_m=now[:, 1, 3] + unknown,
        yaw_rad=heading,
        speed_mps=vx * np.cos(heading) + vy * np.sin(heading),
        yaw_rate_rps=np.clip(rate, -MAX_YAW_RATE_RPS, MAX_YAW_RATE_RPS) + unknown,
        size=size or ego_size_for(log.dataset),
    )


def slope(seconds: Float[ndarray, "*b k"], value: Float[ndarray, "*b k"]) -> Float[ndarray, "*b"]:
    """Slope of the least-squares line through the finite samples of each row; 0 where fewer than two times differ."""
    known = np.isfinite(value)
    count = np.maximum(known.sum(-1), 1)
    s, v = np.where(known, seconds, 0.0), np.where(known, value, 0.0)
    centered = np.where(known, s - (s.sum(-1) / count)[..., None], 0.0)
    spread = np.sum(centered * centered, -1)
    fit = np.sum(centered * v, -1) / np.where(spread > 1e-9, spread, 1.0)
    return np.where(spread > 1e-9, fit, 0.0)


def smoothed(agents: AgentStates, *, window_s: float = 0.5) -> AgentStates:
    """The same states with velocity and turn rate from straight lines through positions within ±``window_s``.

    Positions stay. Boxes annotated at 2 Hz and a few cm off give velocities that are wrong by some dm/s, and jump
    at each keyframe where they are interpolated; a line over a second halves that. Needs at least two times that
    lie within the window; where there are none the given velocities stay.
    """
    seconds = agents.times_us / 1e6
    steps = np.diff(seconds)
    if len(steps) == 0 or steps.min() > window_s:
        return agents
    reach = int(np.floor(window_s / steps.min() + 1e-6))
    index = np.arange(len(seconds))[:, None] + np.arange(-reach, reach + 1)
    held = np.clip(index, 0, len(seconds) - 1)
    offset = seconds[held] - seconds[:, None]
    usable = (index == held) & (np.abs(offset) <= window_s + 1e-6)

    def line(value: ndarray, given: ndarray) -> ndarray:
        around = np.where(usable, value[:, held], np.nan)
        single = np.isfinite(around).sum(-1) < 2
        fit = slope(np.broadcast_to(offset, around.shape), around)
        return np.where(agents.present, np.where(single, given, fit), np.nan)

    yaw = np.where(agents.present, agents.yaw_rad, 0.0)
    yaw = np.where(agents.present, np.unwrap(yaw, axis=1), np.nan)
    return replace(
        agents,
        vx_mps=line(agents.x_m, agents.vx_mps),
        vy_mps=line(agents.y_m, agents.vy_mps),
        yaw_rate_rps=line(yaw, agents.yaw_rate_rps),
    )


def parked(agents: AgentStates) -> Bool[ndarray, "a"]:
    """Which agents never leave their place while they are seen, and are seen for at least 3 s."""
    if agents.x_m.size == 0:
        return np.zeros(len(agents.track_ids), bool)
    there = np.isfinite(agents.x_m) & np.isfinite(agents.y_m)
    last = np.max(np.where(there, agents.times_us, agents.times_us[0]), axis=1)
    first = np.min(np.where(there, agents.times_us, agents.times_us[-1]), axis=1)
    wide = [
        np.max(np.where(there, v, -np.inf), axis=1) - np.min(np.where(there, v, np.inf), axis=1)
        for v in (agents.x_m, agents.y_m)
    ]
    return there.any(axis=1) & (last - first >= _PARKED_S * 1e6) & (np.hypot(*wide) < _PARKED_M)


def agent_bodies(agents: AgentStates, *, standing_mps: float) -> tuple[Bodies, Bool[ndarray, "a t"]]:
    """Agents as bodies, and which of them stand: slower than ``standing_mps``, of unknown velocity, or parked.

    A standing agent has no velocity and no turn rate. Turn rates of walkers and props are dropped, those of
    others are limited to ``MAX_YAW_RATE_RPS``.
    """
    vx, vy = np.nan_to_num(agents.vx_mps), np.nan_to_num(agents.vy_mps)
    stands = (np.hypot(vx, vy) < standing_mps) | parked(agents)[:, None]
    turns = np.array([category not in _NEVER_TURN for category in agents.categories], bool)[:, None] & ~stands
    rate = np.clip(np.nan_to_num(agents.yaw_rate_rps), -MAX_YAW_RATE_RPS, MAX_YAW_RATE_RPS)
    bodies = Bodies(
        x_m=agents.x_m,
        y_m=agents.y_m,
        yaw_rad=agents.yaw_rad,
        vx_mps=np.where(stands, 0.0, vx),
        vy_mps=np.where(stands, 0.0, vy),
        yaw_rate_rps=np.where(turns, rate, 0.0),
        length_m=agents.length_m,
        width_m=agents.width_m,
    )
    return bodies, stands & agents.present


def vulnerable_agents(agents: AgentStates) -> Bool[ndarray, "a"]:
    """People and animals, on foot or riding; a two-wheeler that never moves has no rider."""
    vulnerable = np.array([c in VULNERABLE for c in agents.categories], bool)
    wheels = np.array([c in _TWO_WHEELERS for c in agents.categories], bool)
    return vulnerable & ~(wheels & parked(agents))


def lane_users(agents: AgentStates) -> Bool[ndarray, "a"]:
    """Vehicles and riders, who drive in lanes."""
    return np.array([category not in _NEVER_TURN for category in agents.categories], bool)
