"""A Situation is all that tag rules read of a Log, on one clock: ego, agents around it, the map, the description."""

import re
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import shapely
from jaxtyping import Bool, Float, Int
from numpy import ndarray
from shapely.geometry.base import BaseGeometry

from sceneminer.data.hdmap import HdMap
from sceneminer.data.log import Log
from sceneminer.data.track import AgentStates, Track, states_at
from sceneminer.labels.ego import EgoStates, ego_states, smoothed

RATE_HZ = 10.0
DESCRIBED = frozenset({"nuscenes"})
"""Data sets whose descriptions somebody wrote who saw the drive; elsewhere their silence says nothing."""
_MAP_MARGIN_M = 80.0


@dataclass(frozen=True, eq=False)
class Situation:
    """What is known of a Log. None: the Log does not have it, and rules that need it answer None."""

    description: str
    """In lower case; empty where the data set has none that a person wrote."""
    times_us: Int[ndarray, "t"]
    ego: EgoStates | None
    agents: AgentStates | None
    tracks: tuple[Track, ...]
    hdmap: HdMap | None

    @cached_property
    def offsets_m(self) -> tuple[Float[ndarray, "a t"], Float[ndarray, "a t"]]:
        """Agents' centres ahead and to the left of ego's."""
        assert self.ego is not None and self.agents is not None
        body = self.ego.body()
        cos, sin = np.cos(body.yaw_rad), np.sin(body.yaw_rad)
        dx, dy = self.agents.x_m - body.x_m, self.agents.y_m - body.y_m
        return dx * cos + dy * sin, dy * cos - dx * sin

    @cached_property
    def distance_m(self) -> Float[ndarray, "a t"]:
        return np.hypot(*self.offsets_m)

    @cached_property
    def speed_mps(self) -> Float[ndarray, "a t"]:
        """Of agents; 0 where unknown."""
        assert self.agents is not None
        return np.nan_to_num(np.hypot(self.agents.vx_mps, self.agents.vy_mps))

    @cached_property
    def travelled_m(self) -> Float[ndarray, "a"]:
        """How far each agent gets from where it is first seen."""
        assert self.agents is not None
        x, y = self.agents.x_m, self.agents.y_m
        if x.size == 0:
            return np.zeros(len(x))
        first = np.argmax(self.agents.present, axis=1)
        rows = np.arange(len(first))
        away = np.hypot(x - x[rows, first][:, None], y - y[rows, first][:, None])
        return np.max(np.nan_to_num(away), axis=1)

    def of(self, *categories: str) -> Bool[ndarray, "a"]:
        """Which agents are of these categories."""
        assert self.agents is not None
        return np.array([c in categories for c in self.agents.categories], bool)

    def seen_as(self, part: str) -> Bool[ndarray, "a"]:
        """Which agents have ``part`` in the data set's own category name or in one of their attributes."""
        words = [" ".join((t.source_category, *frozenset().union(*t.attributes))).lower() for t in self.tracks]
        return np.array([part in text for text in words], bool)

    def area(self, layer: str) -> BaseGeometry | None:
        """All shapes of a map layer as one; None where the map does not have the layer."""
        if self.hdmap is None or layer not in self.hdmap.areas:
            return None
        if layer not in self._areas:
            union = shapely.union_all([shapely.make_valid(shape) for shape in self.hdmap.areas[layer]])
            shapely.prepare(union)
            self._areas[layer] = union
        return self._areas[layer]

    @cached_property
    def _areas(self) -> dict[str, BaseGeometry]:
        return {}

    def says(self, *patterns: str) -> bool:
        """Whether the description has one of these regular expressions, as whole words, in any case."""
        return any(re.search(rf"\b(?:{pattern})\b", self.description) for pattern in patterns)


def situation_of(log: Log, hdmap: HdMap | None) -> Situation:
    """Reads tracks of a Log and puts them, ego and its map on one clock."""
    times = np.arange(log.start_us, log.end_us + 1, round(1e6 / RATE_HZ), dtype=np.int64)
    tracks = log.store.read_tracks() if log.has_tracks else ()
    ego = ego_states(log, times) if np.any(log.pose_known(times)) else None
    if hdmap is not None and ego is not None:
        (west, east), (south, north) = ((np.nanmin(v), np.nanmax(v)) for v in (ego.x_m, ego.y_m))
        reach = max(east - west, north - south) / 2 + _MAP_MARGIN_M
        hdmap = hdmap.near(float(west + east) / 2, float(south + north) / 2, float(reach))
    return Situation(
        description=log.description.lower() if log.dataset in DESCRIBED else "",
        times_us=times,
        ego=ego,
        agents=smoothed(states_at(tracks, times)) if log.has_tracks else None,
        tracks=tracks,
        hdmap=hdmap,
    )
