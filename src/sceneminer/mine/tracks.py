"""What is known without a model: ego motion, risk from given tracks, tags by rule."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from jaxtyping import Float, Int
from numpy import ndarray

from sceneminer.data.errors import Issue, MediaError
from sceneminer.data.hdmap import HdMap
from sceneminer.data.log import Log
from sceneminer.data.track import AgentStates, Track, states_at
from sceneminer.geometry.pose import wrap_angle, yaw_of
from sceneminer.index.schema import AGENTS_SCHEMA, FRAMES_SCHEMA
from sceneminer.labels.ego import EgoStates, ego_states, smoothed
from sceneminer.labels.relations import relations
from sceneminer.labels.risk import RiskFrames, clip_risk, measure
from sceneminer.labels.tags import label_tags_with
from sceneminer.mine.units import Unit

RISK_STEP_US = 100_000
AGENT_REACH_M = 80.0
_MEASURES = (
    "ttc_s",
    "drac_mps2",
    "ttce_s",
    "dce_m",
    "thw_s",
    "pet_s",
    "a_long_req_mps2",
    "a_lat_req_mps2",
    "rss_violation",
)


@dataclass(frozen=True, eq=False)
class _Scene:
    """Agents and ego on the 10 Hz clock."""

    agents: AgentStates
    ego: EgoStates


@dataclass(frozen=True, eq=False)
class TrackSignals:
    """Per clip: columns of ``clips`` by name. And the unit's rows of ``frames`` and ``agents``."""

    clips: tuple[dict[str, Any], ...]
    frames: pa.Table
    agents: pa.Table
    unusable_map: Issue | None = None
    """Why the log's map was left out, so that tags by rule were made without it."""


def track_signals(unit: Unit) -> TrackSignals:
    """Everything about a unit that needs no image. DataError where its tables turn out to be unusable."""
    log = unit.log
    end_us = max(unit.clips[-1].end_us, min(unit.end_us, log.end_us + 1))
    first = -(-(unit.start_us - log.start_us) // RISK_STEP_US)
    last = (end_us - log.start_us) // RISK_STEP_US
    times = log.start_us + np.arange(first, last + 1, dtype=np.int64) * RISK_STEP_US
    times = times[times <= log.end_us]
    tracks = _overlapping(log.store.read_tracks(), times) if log.has_tracks else ()
    scene = _Scene(states_at(tracks, times), ego_states(log, times)) if log.has_tracks and log.has_poses else None
    risk = None if scene is None else measure(scene.agents, scene.ego)
    speed, distance = _ego_motion(log, times)
    hdmap, unusable_map = _read_map(log)
    tags = label_tags_with(hdmap, log, unit.clips)
    clips = []
    for clip, labels in zip(unit.clips, tags, strict=True):
        inside = (times >= clip.start_us) & (times <= clip.end_us)
        row: dict[str, Any] = {f"label_tag_{name}": value for name, value in labels.items()}
        row["ego_speed_mps"] = _mean(speed[inside])
        row["ego_distance_m"] = _driven(distance[inside])
        if risk is not None:
            row.update(_explained(risk, clip.start_us, clip.end_us))
        clips.append(row)
    frames = _frame_rows(unit, times, speed, risk)
    agents = _agent_rows(unit, tracks, scene, hdmap)
    return TrackSignals(tuple(clips), frames, agents, unusable_map)


def _read_map(log: Log) -> tuple[HdMap | None, Issue | None]:
    """The map, or why it cannot be used."""
    try:
        return (log.store.read_map() if log.has_map else None), None
    except MediaError as error:
        return None, error.issue


def _explained(risk: RiskFrames, start_us: int, end_us: int) -> dict[str, Any]:
    found = clip_risk(risk, start_us, end_us)
    return {
        "risk_tracks": found.risk,
        "risk_tracks_agent": found.track_id,
        "risk_tracks_category": found.category,
        "risk_tracks_time_us": found.time_us,
        "risk_tracks_measure": found.measure,
        "risk_tracks_value": found.value,
    }


def _overlapping(tracks: tuple[Track, ...], times: ndarray) -> tuple[Track, ...]:
    if len(times) == 0:
        return ()
    return tuple(t for t in tracks if t.times_us[0] <= times[-1] and t.times_us[-1] >= times[0])


def _ego_motion(log: Log, times: ndarray) -> tuple[Float[ndarray, "t"], Float[ndarray, "t"]]:
    """Speed in m/s and distance driven in m at each time; NaN without poses."""
    if not log.has_poses or len(times) < 2:
        return np.full(len(times), np.nan), np.full(len(times), np.nan)
    poses, held = log.poses_at(times)
    steps = np.hypot(*np.diff(poses[:, :2, 3], axis=0).T)
    speed = np.interp(times, (times[1:] + times[:-1]) / 2, steps / (np.diff(times) / 1e6))
    speed[held > RISK_STEP_US] = np.nan
    return speed, np.concatenate([[0.0], np.cumsum(steps)])


def _frame_rows(unit: Unit, times: ndarray, speed: ndarray, risk: RiskFrames | None) -> pa.Table:
    log = unit.log
    own = (times >= unit.start_us) & (times < unit.end_us)
    poses = log.poses_at(times)[0] if log.has_poses and len(times) else None
    known = log.pose_known(times)
    rows = []
    for k in np.flatnonzero(own):
        row: dict[str, Any] = {"log_id": log.log_id, "unit_id": unit.unit_id, "time_us": int(times[k])}
        if poses is not None and known[k]:
            row.update(
                x_m=poses[k, 0, 3], y_m=poses[k, 1, 3], yaw_rad=float(yaw_of(poses[k])), speed_mps=_known(speed[k])
            )
        if risk is not None:
            row["risk_tracks"] = _known(risk.frame_risk[k])
            if risk.riskiest[k] >= 0:
                instant = clip_risk(risk, int(times[k]), int(times[k]))
                row["risk_tracks_agent"] = instant.track_id
                row["risk_tracks_measure"] = instant.measure
                row["risk_tracks_value"] = instant.value
        rows.append(row)
    return pa.Table.from_pylist(rows, schema=FRAMES_SCHEMA)


def _agent_rows(unit: Unit, tracks: tuple[Track, ...], scene: _Scene | None, hdmap: HdMap | None) -> pa.Table:
    log = unit.log
    times = log.reference_times_us
    times = times[(times >= unit.start_us) & (times < unit.end_us)]
    if not tracks or scene is None or len(times) == 0:
        return pa.Table.from_pylist([], schema=AGENTS_SCHEMA)
    agents = states_at(tracks, times)
    frames = measure(agents, ego_states(log, times))
    poses, _ = log.poses_at(times)
    dx, dy = agents.x_m - poses[:, 0, 3], agents.y_m - poses[:, 1, 3]
    yaw = yaw_of(poses)
    cos, sin = np.cos(yaw), np.sin(yaw)

    def turned(x: ndarray, y: ndarray) -> tuple[ndarray, ndarray]:
        return cos * x + sin * y, cos * y - sin * x

    x, y = turned(dx, dy)
    vx, vy = turned(agents.vx_mps, agents.vy_mps)
    columns = {"x_m": x, "y_m": y, "yaw_rad": wrap_angle(agents.yaw_rad - yaw), "vx_mps": vx, "vy_mps": vy}
    columns |= {"length_m": agents.length_m, "width_m": agents.width_m, "risk": frames.risk}
    columns |= {name: frames.measures[name] for name in _MEASURES}
    near = agents.present & log.pose_known(times) & (np.hypot(x, y) <= AGENT_REACH_M)
    t, a = np.nonzero(near.T)  # time-major, as they are read
    table: dict[str, Any] = {
        "log_id": pa.array([log.log_id] * len(t), pa.string()),
        "unit_id": pa.array([unit.unit_id] * len(t), pa.string()),
        "time_us": pa.array(times[t]),
        "track_id": pa.array([agents.track_ids[i] for i in a], pa.string()),
        "category": pa.array([agents.categories[i] for i in a], pa.string()),
    }
    for name, values in columns.items():
        picked = values[a, t].astype(np.float32)
        table[name] = pa.array(picked, mask=~np.isfinite(picked))
    table |= _relation_columns(scene, hdmap, rows=a, times_us=times[t])
    return pa.table(table, schema=AGENTS_SCHEMA)


def _relation_columns(scene: _Scene, hdmap: HdMap | None, *, rows: ndarray, times_us: ndarray) -> dict[str, pa.Array]:
    """Relations of some agents at some times: told on the finer clock, at the instant next to each time."""
    found = relations(smoothed(scene.agents), scene.ego, hdmap)
    at = _instants(scene.agents, rows, times_us)
    columns = {}
    for name, rate in found.rates.items():
        picked = rate[rows, at].astype(np.float32)
        columns[name] = pa.array(picked, mask=~np.isfinite(picked))
    for name, flag in found.flags.items():
        columns[name] = pa.array(flag[rows, at], mask=~found.known[name][rows, at])
    return columns


def _instants(agents: AgentStates, rows: ndarray, times_us: ndarray) -> Int[ndarray, "n"]:
    """Of each agent and time the nearest instant of the clock, or the one across where the agent is only seen there.

    An agent is seen from its first box to its last one, which seldom lie on the clock.
    """
    steps = (times_us - agents.times_us[0]) / RISK_STEP_US
    near = np.round(steps).astype(int)
    across = np.where(near > steps, near - 1, near + 1)
    near, across = (np.clip(at, 0, len(agents.times_us) - 1) for at in (near, across))
    return np.where(agents.present[rows, near], near, across)


def _mean(values: ndarray) -> float | None:
    known = values[np.isfinite(values)]
    return float(known.mean()) if len(known) else None


def _known(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None


def _driven(distance: ndarray) -> float | None:
    known = distance[np.isfinite(distance)]
    return float(known[-1] - known[0]) if len(known) else None
