"""Physics on a forecast: the criticality measures of ``labels`` run on every future of every agent that a head names.

Ego drives as the head says that it has driven and will. Each agent's risk at each instant is the mean over its futures
by their odds, times the belief that the agent is there; from there on it is as for given tracks: a frame's risk is the
largest, a clip's the 95th percentile over its frames (``labels.risk``).
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from sceneminer.data.track import AgentStates, Category
from sceneminer.labels.ego import MAX_YAW_RATE_RPS, EgoStates
from sceneminer.labels.risk import RiskFrames, measure
from sceneminer.labels.score import MEASURE_OF_PART, PARTS
from sceneminer.model.forecast import EGO_KNOTS_S, KINDS, STEP_S

CLIP_S, BEFORE_S, AFTER_S, RATE_S = 2.0, 1.5, 4.0, 0.1
"""A clip, how much of it lies before its last Frame, how far futures reach after it, and the step of the physics."""
_FRAMES = round(CLIP_S / RATE_S) + 1
_CATEGORY: Mapping[str, Category] = {"vehicle": "car", "vulnerable": "pedestrian", "static": "barrier"}
LEAST_BELIEF = 0.02
"""Agents believed less than this are left out: they could not matter."""
_TURNS_FROM_MPS = 1.0


@dataclass(frozen=True)
class CameraRisk:
    """A clip's risk by a forecast, who is behind it, and how much its futures differ."""

    risk: float
    ambiguity_m: float
    """Largest spread of an agent's futures after 4 s (root mean square distance from their mean), times its belief."""
    agent: int | None = None
    """Row of ``agents``; None where the risk is 0."""
    kind: str | None = None
    x_m: float | None = None
    y_m: float | None = None
    """Where the agent is at the instant, in the ego frame of the clip's last Frame."""
    after_s: float | None = None
    """The instant, from the clip's start."""
    measure: str | None = None
    value: float | None = None


def camera_risk(forecast: Mapping[str, Float[ndarray, "..."]], *, before_s: float = BEFORE_S) -> CameraRisk:
    """The risk of one clip; ``forecast`` is its part of the signal of ``model.forecast.ForecastHead``.

    ``before_s``: from the clip's start to its last Frame.
    """
    believed = np.flatnonzero(forecast["agents"][:, 8] >= LEAST_BELIEF)
    ambiguity = ambiguity_m(forecast)
    if len(believed) == 0:
        return CameraRisk(0.0, ambiguity)
    frames = forecast_frames(forecast, believed, before_s=before_s)
    k = forecast["odds"].shape[1]
    each = np.nan_to_num(frames.risk[:, :_FRAMES]).reshape(len(believed), k, _FRAMES)
    weight = forecast["agents"][believed, 8, None] * forecast["odds"][believed]
    agent = np.sum(weight[..., None] * each, 1)
    total = float(np.percentile(agent.max(0), 95))
    row, at = np.unravel_index(int(np.argmax(agent)), agent.shape)
    if agent[row, at] <= 0.0:
        return CameraRisk(total, ambiguity)
    future = row * k + int(np.argmax(weight[row] * each[row, :, at]))
    part = max(PARTS, key=lambda name: np.nan_to_num(frames.parts[name][future, at]))
    name = MEASURE_OF_PART[part]
    x, y = trajectories(forecast, believed[row : row + 1], before_s=before_s)[0, int(future - row * k), at]
    return CameraRisk(
        risk=total,
        ambiguity_m=ambiguity,
        agent=int(believed[row]),
        kind=KINDS[int(np.argmax(forecast["kind"][believed[row]]))],
        x_m=float(x),
        y_m=float(y),
        after_s=float(at) * RATE_S,
        measure=name,
        value=float(frames.measures[name][future, at]),
    )


def clip_risks(forecast: Mapping[str, Float[ndarray, "..."]], *, before_s: float = BEFORE_S) -> Float[ndarray, "a k f"]:
    """Risk of every future of every agent at each instant of the clip, whatever is believed of it."""
    frames = forecast_frames(forecast, np.arange(len(forecast["agents"])), before_s=before_s)
    a, k = forecast["futures"].shape[:2]
    return np.nan_to_num(frames.risk[:, :_FRAMES]).reshape(a, k, _FRAMES)


def ambiguity_m(forecast: Mapping[str, Float[ndarray, "..."]]) -> float:
    """How far the futures of an agent spread; see ``CameraRisk``."""
    end, odds = forecast["futures"][:, :, -1], forecast["odds"]
    mean = np.sum(odds[..., None] * end, 1, keepdims=True)
    spread = np.sqrt(np.sum(odds * np.sum((end - mean) ** 2, -1), 1))
    return float(np.max(forecast["agents"][:, 8] * spread, initial=0.0))


def forecast_frames(
    forecast: Mapping[str, Float[ndarray, "..."]], rows: ndarray, *, before_s: float = BEFORE_S
) -> RiskFrames:
    """Measures of every future of some agents, futures innermost, from the clip's start to the end of the futures."""
    times = _times(before_s)
    paths = trajectories(forecast, rows, before_s=before_s)
    a, k, t = paths.shape[:3]
    xy = paths.reshape(a * k, t, 2)
    velocity = np.asarray(np.gradient(xy, RATE_S, axis=1))
    present = np.repeat(forecast["agents"][rows], k, 0)
    moving = np.hypot(*np.moveaxis(velocity, -1, 0)) > _TURNS_FROM_MPS
    yaw = np.where(moving, np.arctan2(velocity[..., 1], velocity[..., 0]), present[:, 2, None])
    kinds: list[Category] = [_CATEGORY[KINDS[int(i)]] for i in np.argmax(forecast["kind"][rows], 1)]
    full = np.ones((1, t))
    agents = AgentStates(
        track_ids=tuple(f"{row}/{j}" for row in rows for j in range(k)),
        categories=tuple(kind for kind in kinds for _ in range(k)),
        times_us=np.round((times + before_s) * 1e6).astype(np.int64),
        x_m=xy[..., 0],
        y_m=xy[..., 1],
        z_m=np.zeros(xy.shape[:2]),
        yaw_rad=yaw,
        vx_mps=velocity[..., 0],
        vy_mps=velocity[..., 1],
        yaw_rate_rps=np.asarray(np.gradient(np.unwrap(yaw, axis=1), RATE_S, axis=1)),
        length_m=present[:, 6, None] * full,
        width_m=present[:, 7, None] * full,
        present=np.ones(xy.shape[:2], bool),
    )
    return measure(agents, ego_path(forecast["ego"], agents.times_us, times))


def trajectories(
    forecast: Mapping[str, Float[ndarray, "..."]], rows: ndarray, *, before_s: float = BEFORE_S
) -> Float[ndarray, "a k t 2"]:
    """Where some agents are over the whole span: straight back from each future's start, and along it."""
    times = _times(before_s)
    agents, futures = forecast["agents"][rows].astype(np.float64), forecast["futures"][rows].astype(np.float64)
    now, velocity = forecast["starts"][rows].astype(np.float64)[:, :, None], agents[:, None, None, 3:5]
    back = now + velocity * np.minimum(times, 0.0)[:, None]
    knots = np.concatenate([now, futures], 2)
    place = np.clip(times / STEP_S, 0.0, knots.shape[2] - 1.0)
    low = np.minimum(place.astype(np.int64), knots.shape[2] - 2)
    share = (place - low)[:, None]
    along = knots[:, :, low] * (1 - share) + knots[:, :, low + 1] * share
    return np.where((times <= 0)[:, None], back, along)


def ego_path(ego: Float[ndarray, "s 2"], times_us: ndarray, times_s: Float[ndarray, "t"]) -> EgoStates:
    """Ego's drive from its speeds and turn rates at ``EGO_KNOTS_S``, linear between them and constant outside, at the
    origin and along x at second 0."""
    speed, rate = (np.interp(times_s, EGO_KNOTS_S, ego[:, k]) for k in (0, 1))
    rate = np.clip(rate, -MAX_YAW_RATE_RPS, MAX_YAW_RATE_RPS)
    step = np.diff(times_s)
    turned = step * (rate[1:] + rate[:-1]) / 2
    yaw = np.concatenate([[0.0], np.cumsum(turned)])
    # Along the chord of each step: exact where speed and turn rate are constant.
    chord = step * (speed[1:] + speed[:-1]) / 2 * np.sinc(turned / 2 / np.pi)
    middle = (yaw[1:] + yaw[:-1]) / 2
    now = int(np.argmin(np.abs(times_s)))
    yaw_now = yaw[now]
    x, y = (np.concatenate([[0.0], np.cumsum(chord * f(middle - yaw_now))]) for f in (np.cos, np.sin))
    return EgoStates(
        times_us=times_us,
        x_m=x - x[now],
        y_m=y - y[now],
        yaw_rad=yaw - yaw_now,
        speed_mps=speed,
        yaw_rate_rps=rate,
    )


def _times(before_s: float) -> Float[ndarray, "t"]:
    """Seconds from the last Frame."""
    return np.round(np.arange(-before_s, AFTER_S + RATE_S / 2, RATE_S), 6)
