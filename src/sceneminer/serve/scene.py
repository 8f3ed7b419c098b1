"""A clip from above, as numbers: ego, agents and map in world coordinates, and what the forecast head expects."""

import threading
from typing import Any

import numpy as np
import shapely
import torch
from jaxtyping import Int
from numpy import ndarray

from sceneminer.data.errors import MediaError
from sceneminer.data.hdmap import HdMap
from sceneminer.data.log import Log
from sceneminer.data.track import states_at
from sceneminer.export.words import measure_words
from sceneminer.geometry.pose import yaw_of
from sceneminer.index.hits import risk_source
from sceneminer.index.schema import TOKEN_WIDTH, TOKENS
from sceneminer.index.search import Index
from sceneminer.index.where import quote
from sceneminer.labels.ego import ego_size_for, ego_states
from sceneminer.labels.risk import measure
from sceneminer.model.forecast import KINDS
from sceneminer.model.forecast_risk import BEFORE_S, LEAST_BELIEF
from sceneminer.model.stream import Stream
from sceneminer.serve.clips import plain

STEP_US = 100_000
REACH_M = 80.0
_AREAS = ("drivable", "walkway", "crossing", "parking")
_SIMPLE_M = 0.1


def scene_json(index: Index, row: dict[str, Any], log: Log, forecaster: "Forecaster") -> dict[str, Any]:
    """What a canvas needs; parts that the log does not have are null."""
    times = np.arange(row["start_us"], row["end_us"] + 1, STEP_US, dtype=np.int64)
    if not log.has_poses:
        return {"times_us": times.tolist(), "ego": None, "agents": [], "map": None, "forecast": None, "focus": None}
    poses = log.poses_at(times)[0]
    known = log.pose_known(times)
    size = ego_size_for(log.dataset)
    ego = [
        [pose[0, 3], pose[1, 3], float(yaw_of(pose))] if good else None for pose, good in zip(poses, known, strict=True)
    ]
    middle = poses[len(poses) // 2, :2, 3]
    return plain(
        {
            "times_us": times.tolist(),
            "ego": {
                "length_m": size.length_m,
                "width_m": size.width_m,
                "ahead_m": size.rear_axle_to_center_m,
                "poses": ego,
            },
            "agents": _agents(log, times, middle),
            "map": _map(log, middle),
            "forecast": forecaster.futures(index, row, log),
            "focus": _focus(row, log),
        }
    )


def _agents(log: Log, times: Int[ndarray, "t"], middle: ndarray) -> list[dict[str, Any]]:
    if not log.has_tracks:
        return []
    near = [t for t in log.store.read_tracks() if t.times_us[0] <= times[-1] and t.times_us[-1] >= times[0]]
    states = states_at(tuple(near), times)
    risk = measure(states, ego_states(log, times)).risk
    found = []
    for a in range(len(near)):
        seen = states.present[a]
        away = np.hypot(states.x_m[a, seen] - middle[0], states.y_m[a, seen] - middle[1])
        if not len(away) or away.min() > REACH_M:
            continue
        xyw = np.stack([states.x_m[a], states.y_m[a], states.yaw_rad[a]], -1)
        found.append(
            {
                "track_id": states.track_ids[a],
                "category": states.categories[a],
                "length_m": float(np.nanmedian(states.length_m[a])),
                "width_m": float(np.nanmedian(states.width_m[a])),
                "states": [state.tolist() if there else None for state, there in zip(xyw, seen, strict=True)],
                "risk": [float(value) if there else None for value, there in zip(risk[a], seen, strict=True)],
            }
        )
    return found


def _map(log: Log, middle: ndarray) -> dict[str, Any] | None:
    try:
        hdmap = log.store.read_map() if log.has_map else None
    except MediaError:
        return None
    if hdmap is None:
        return None
    near = hdmap.near(float(middle[0]), float(middle[1]), REACH_M)
    window = shapely.box(*(middle - REACH_M), *(middle + REACH_M))
    areas = {name: _rings(near, name, window) for name in _AREAS if name in near.areas}
    lines = {
        name: [part for shape in shapes for part in _coordinates(shape.intersection(window))]
        for name, shapes in near.lines.items()
    }
    lines["centerline"] = [
        part for lane in near.lanes for part in _coordinates(shapely.LineString(lane.centerline).intersection(window))
    ]
    return {"areas": areas, "lines": lines}


def _rings(near: HdMap, name: str, window: shapely.Polygon) -> list[list[Any]]:
    """Polygons as lists of rings, the outline first."""
    found = []
    for shape in near.areas[name]:
        cut = shapely.make_valid(shape).intersection(window).simplify(_SIMPLE_M)
        for polygon in getattr(cut, "geoms", [cut]):
            if isinstance(polygon, shapely.Polygon) and not polygon.is_empty:
                rings = [polygon.exterior, *polygon.interiors]
                found.append([np.round(shapely.get_coordinates(ring), 2).tolist() for ring in rings])
    return found


def _coordinates(shape: Any) -> list[Any]:
    parts = [part for part in getattr(shape, "geoms", [shape]) if isinstance(part, shapely.LineString)]
    simple = (shapely.get_coordinates(part.simplify(_SIMPLE_M)) for part in parts if not part.is_empty)
    return [np.round(line, 2).tolist() for line in simple]


def _focus(row: dict[str, Any], log: Log) -> dict[str, Any] | None:
    """The riskiest pair: who, where, when and by which measure."""
    source = risk_source(row)
    if source is None or not row[f"risk_{source}"] or row[f"risk_{source}_time_us"] is None:
        return None
    at, name, value = (row[f"risk_{source}_{part}"] for part in ("time_us", "measure", "value"))
    told = {"time_us": at, "measure": name, "value": value, "source": source, "words": measure_words(name, value)}
    if source == "tracks":
        return told | {"track_id": row["risk_tracks_agent"], "x": None, "y": None}
    if row["risk_camera_x_m"] is None:
        return None
    world_from_ego = log.poses_at(np.array([last_frame_us(row)]))[0][0]
    place = world_from_ego @ np.array([row["risk_camera_x_m"], row["risk_camera_y_m"], 0.0, 1.0])
    return told | {"track_id": None, "x": float(place[0]), "y": float(place[1])}


def last_frame_us(row: dict[str, Any]) -> int:
    """When a clip's last Frame is, in whose ego frame its forecast is."""
    return min(row["start_us"] + round(BEFORE_S * 1e6), row["end_us"])


class Forecaster:
    """The forecast head of an index's model, run on stored streams; loaded when it is first asked.

    ``loading``: held meanwhile; libraries of models break where two threads load them at the same time.
    """

    def __init__(self, loading: threading.Lock) -> None:
        self._loading = loading
        self._head: Any = None
        self._looked = False

    def futures(self, index: Index, row: dict[str, Any], log: Log) -> dict[str, Any] | None:
        """Agents that the head believes in and their futures, in world coordinates; None without such a head."""
        head = self._of(index)
        if head is None:
            return None
        where = f"clip_id = {quote(row['clip_id'])}"
        rows = index.store.read("tokens", columns=["tokens", "mean_embedding"], where=where, limit=1)
        if rows.num_rows == 0:
            return None
        tokens = np.asarray(rows["tokens"][0].as_py(), np.float16).reshape(1, TOKENS, TOKEN_WIDTH)
        embedding = np.asarray(rows["mean_embedding"][0].as_py(), np.float16)[None]
        with torch.no_grad():
            signal = head(Stream(torch.from_numpy(tokens), torch.from_numpy(embedding)))
        said = {name: value[0].numpy() for name, value in signal.items()}
        at = last_frame_us(row)
        pose = log.poses_at(np.array([at]))[0][0]
        turn, shift = pose[:2, :2], pose[:2, 3]
        agents = []
        for a in np.flatnonzero(said["agents"][:, 8] >= LEAST_BELIEF):
            x, y, _, vx, vy = said["agents"][a, :5]
            paths = np.concatenate([said["starts"][a][:, None], said["futures"][a]], 1) @ turn.T + shift
            place, velocity = turn @ np.array([x, y]) + shift, turn @ np.array([vx, vy])
            agents.append(
                {
                    "x": float(place[0]),
                    "y": float(place[1]),
                    "vx": float(velocity[0]),
                    "vy": float(velocity[1]),
                    "category": KINDS[int(np.argmax(said["kind"][a]))],
                    "existence": float(said["agents"][a, 8]),
                    "futures": [
                        {"odds": float(odds), "path": np.round(path, 2).tolist()}
                        for odds, path in zip(said["odds"][a], paths, strict=True)
                    ],
                }
            )
        return {"at_us": at, "agents": agents}

    def _of(self, index: Index) -> Any:
        if not self._looked:
            with self._loading:
                if not self._looked:
                    self._head, self._looked = _load(index), True
        return self._head


def _load(index: Index) -> Any:
    """The forecast head of the scene model that the index was made with, where it was made with one that has it."""
    from sceneminer.model.checkpoint import is_scene_model
    from sceneminer.model.scene_model import SceneModel
    from sceneminer.model.zoo import resolve_model

    model = index.manifest.get("model")
    folder = resolve_model(model["source"]) if model else None
    if folder is None or not is_scene_model(folder):
        return None
    heads = dict(SceneModel.from_pretrained(folder).heads.items())
    return heads.get("forecast")
