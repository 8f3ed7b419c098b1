"""What a staged event is, and the moments of a first run at which one may happen."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from sceneminer.data.synth.scene import EGO_LEAD_S, TICK_S
from sceneminer.data.synth.traffic_net import lane_length, lane_zebras, to_lane
from sceneminer.data.synth.traffic_record import Recording
from sceneminer.data.synth.traffic_world import Extras, World

OPEN_M = 7.0
"""From junctions and crossings; more would leave nothing of the short blocks of narrow towns."""


@dataclass(frozen=True)
class Script:
    """A staged event: whom it adds, and when who is cued."""

    kind: str
    at_s: float
    """When ego reaches the place, in the run without it."""
    place: Float[ndarray, "2"]
    """Where ways meet."""
    extras: Extras
    actor: int | None = None
    """The vehicle of the first run that plays a part, by index in the Fleet."""
    cue_s: float = 0.0
    """When who plays the part is cued."""
    blind_s: float = 0.0
    """Ego notices so long after the cue."""
    strength: float = 0.0
    """What the kind needs: a deceleration, or a side."""


@dataclass(frozen=True)
class EgoWay:
    """How far ego has come at each tick of the first run."""

    length_m: Float[ndarray, "t"]
    speed_mps: Float[ndarray, "t"]

    def before(self, time_s: float, short_m: float) -> tuple[float, float]:
        """When ego was ``short_m`` short of where it is at a time, and its speed then."""
        row = (time_s + EGO_LEAD_S) / TICK_S
        target = float(np.interp(row, np.arange(len(self.length_m)), self.length_m)) - short_m
        k = max(int(np.searchsorted(self.length_m, target)) - 1, 0)
        return k * TICK_S - EGO_LEAD_S, float(self.speed_mps[k])


@dataclass(frozen=True)
class Moment:
    """Ego at one time of the first run."""

    time_s: float
    way: EgoWay
    speed_mps: float
    lane: int
    lane_s: float
    yaw: float
    xy: Float[ndarray, "2"]


def moments_of(world: World, run: Recording) -> list[Moment]:
    """Ego every quarter of a second of the first run."""
    found, net = [], world.net
    length = np.concatenate([[0.0], np.cumsum(run.speed[1:, 0] * TICK_S)])
    way = EgoWay(length, run.speed[:, 0])
    skip = round(EGO_LEAD_S / TICK_S)
    for k in range(skip, len(run.pose) - skip, 5):
        lane, pose = int(run.ego_lane[k]), run.pose[k, 0]
        along = float(to_lane(net, lane, pose[None, :2])[0][0])
        found.append(
            Moment(k * TICK_S - EGO_LEAD_S, way, float(run.speed[k, 0]), lane, along, float(pose[2]), pose[:2].copy())
        )
    return found


def open_street(world: World, m: Moment, low: float, high: float) -> bool:
    """Whether ego drives freely on a stretch without junctions, crossings or works nearby."""
    net = world.net
    lane, length = net.lanes[m.lane], lane_length(net, m.lane)
    clear = lane.intersection is None and OPEN_M < m.lane_s < length - OPEN_M and lane.width_m < 5.0
    zebra = any(abs(m.lane_s - (z.start_m + z.end_m) / 2) < OPEN_M for z in lane_zebras(net, m.lane))
    works = any(b.start_m - 14.0 < m.lane_s < b.end_m + 14.0 for b in net.blockages.get(m.lane, []))
    return clear and not zebra and not works and low < m.speed_mps < high


def to_left(yaw: float) -> Float[ndarray, "2"]:
    return np.array([-np.sin(yaw), np.cos(yaw)])


def to_ahead(yaw: float) -> Float[ndarray, "2"]:
    return np.array([np.cos(yaw), np.sin(yaw)])
