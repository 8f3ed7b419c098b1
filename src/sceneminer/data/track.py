"""A Track is one agent through time; categories are one list for every data set."""

from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from jaxtyping import Bool, Float, Int
from numpy import ndarray

from sceneminer.geometry.pose import yaw_of

Category = Literal[
    "car",
    "truck",
    "bus",
    "trailer",
    "construction_vehicle",
    "emergency_vehicle",
    "motorcycle",
    "bicycle",
    "pedestrian",
    "personal_mobility",
    "animal",
    "cone",
    "barrier",
    "debris",
    "bicycle_rack",
    "other",
]
CATEGORIES: tuple[str, ...] = get_args(Category)
VULNERABLE = frozenset({"pedestrian", "bicycle", "motorcycle", "personal_mobility", "animal"})
VEHICLES = frozenset({"car", "truck", "bus", "trailer", "construction_vehicle", "emergency_vehicle"})


@dataclass(frozen=True, eq=False)
class Track:
    """One agent: oriented boxes at its own times, in world coordinates."""

    track_id: str
    category: Category
    source_category: str
    """The data set's own name for it, e.g. human.pedestrian.adult."""
    times_us: Int[ndarray, "t"]
    """Strictly ascending."""
    world_from_box: Float[ndarray, "t 4 4"]
    """Pose of the box centre, x along its length."""
    size_lwh_m: Float[ndarray, "t 3"]
    attributes: tuple[frozenset[str], ...] = ()
    """The data set's attributes at each time (e.g. vehicle.parked); empty where it has none."""
    lidar_points: Int[ndarray, "t"] | None = None
    """Points in the box; -1 where unknown."""


@dataclass(frozen=True, eq=False)
class AgentStates:
    """All agents of a Log on common times: arrays are [agents, times], NaN where an agent is absent."""

    track_ids: tuple[str, ...]
    categories: tuple[Category, ...]
    times_us: Int[ndarray, "t"]
    x_m: Float[ndarray, "a t"]
    y_m: Float[ndarray, "a t"]
    z_m: Float[ndarray, "a t"]
    yaw_rad: Float[ndarray, "a t"]
    vx_mps: Float[ndarray, "a t"]
    vy_mps: Float[ndarray, "a t"]
    yaw_rate_rps: Float[ndarray, "a t"]
    length_m: Float[ndarray, "a t"]
    width_m: Float[ndarray, "a t"]
    present: Bool[ndarray, "a t"]


def states_at(tracks: tuple[Track, ...], times_us: Int[ndarray, "t"], *, max_gap_us: int = 1_500_000) -> AgentStates:
    """Every track interpolated at common times.

    A track is present between its first and last box, except in gaps wider than ``max_gap_us``. Velocity is the
    central difference of neighbouring boxes (one-sided at the ends), zero for a track of a single box.
    """
    times = np.asarray(times_us, np.int64)
    shape = (len(tracks), len(times))
    names = ("x", "y", "z", "yaw", "vx", "vy", "rate", "length", "width")
    out = {name: np.full(shape, np.nan) for name in names}
    present = np.zeros(shape, bool)
    for row, track in enumerate(tracks):
        inside, values = _sample(track, times, max_gap_us)
        present[row] = inside
        for name, value in zip(names, values, strict=True):
            out[name][row, inside] = value[inside]
    return AgentStates(
        track_ids=tuple(t.track_id for t in tracks),
        categories=tuple(t.category for t in tracks),
        times_us=times,
        x_m=out["x"],
        y_m=out["y"],
        z_m=out["z"],
        yaw_rad=out["yaw"],
        vx_mps=out["vx"],
        vy_mps=out["vy"],
        yaw_rate_rps=out["rate"],
        length_m=out["length"],
        width_m=out["width"],
        present=present,
    )


def _sample(track: Track, at_us: ndarray, max_gap_us: int) -> tuple[ndarray, list[ndarray]]:
    times = np.asarray(track.times_us, np.int64)
    n = len(times)
    center = track.world_from_box[:, :3, 3]
    yaw = np.unwrap(yaw_of(track.world_from_box))
    if n == 1:
        inside = at_us == times[0]
        still = np.zeros(len(at_us))
        values = [np.full(len(at_us), v) for v in (*center[0], yaw[0])]
        values += [still, still, still, *(np.full(len(at_us), s) for s in track.size_lwh_m[0, :2])]
        return inside, values
    seconds = (times - times[0]) / 1e6
    at = (at_us - times[0]) / 1e6
    right = np.clip(np.searchsorted(times, at_us), 1, n - 1)
    exact = times[right] == at_us
    exact |= times[right - 1] == at_us
    inside = (at_us >= times[0]) & (at_us <= times[-1])
    inside &= exact | (times[right] - times[right - 1] <= max_gap_us)
    rates = [_difference(seconds, v) for v in (center[:, 0], center[:, 1], yaw)]
    columns = [*center.T, yaw, *rates, *track.size_lwh_m[:, :2].T]
    return inside, [np.interp(at, seconds, column) for column in columns]


def _difference(seconds: ndarray, value: ndarray) -> ndarray:
    """Central differences over neighbours, one-sided at the ends."""
    low = np.maximum(np.arange(len(seconds)) - 1, 0)
    high = np.minimum(np.arange(len(seconds)) + 1, len(seconds) - 1)
    return (value[high] - value[low]) / (seconds[high] - seconds[low])
