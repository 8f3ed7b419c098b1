"""Ego's way: of routes drawn at random, the one that suits the trip as empty roads would let one drive it.

Looking at lengths alone does not do: half of the time in town is spent before red lights, and a fast trip is one that
meets green ones.
"""

from dataclasses import dataclass, replace

import numpy as np
import shapely
from jaxtyping import Bool, Float
from numpy import ndarray

from sceneminer.data.synth.scene import EGO_LEAD_S, Town
from sceneminer.data.synth.traffic_kernel import idm_free
from sceneminer.data.synth.traffic_mood import Mood
from sceneminer.data.synth.traffic_net import RoadNet, lane_length, lane_zebras
from sceneminer.data.synth.traffic_path import COMFORT_BRAKE, STEP_M, Driver, Gate, Path, build_path, draw_route
from sceneminer.data.synth.traffic_rules import signal_of
from sceneminer.data.synth.traffic_spawn import EGO_LOOK, blocked, draw_driver

CANDIDATES = 64
WARM_S = 8.0
"""Traffic runs for so long before anything is recorded."""
LOOK_S = 0.25
LATE_S = (0.0, 3.0)
"""A way should do also where others hold ego up for so long before it comes to a light."""
FAST_MPS, FLOWS_MPS = 13.0, 5.0
LOT_NEAR_M = 10.0
HARD_BRAKE = 3.0
"""Whoever would have to brake harder for a light that turns amber drives on."""
JUNCTION_AHEAD_M = 4.0
JUNCTIONS = 40.0
"""How much ways are liked that spend little time in junctions: these are half of the town's road area, but not of what
one drives."""
END_M = 8.0
"""Ego never comes nearer to the end of its path, which is the edge of the town."""


@dataclass(frozen=True)
class Outlook:
    """What driving a path alone would be like while it is recorded, at even times."""

    xy: Float[ndarray, "t 2"]
    speed_mps: Float[ndarray, "t"]
    lane: ndarray
    junction: Bool[ndarray, "t"]
    """In an intersection, or just before one."""
    leaves: bool
    """Whether the path is over before the recording is."""


def choose_ego(
    net: RoadNet, mood: Mood, rng: np.random.Generator, *, seconds: float
) -> tuple[list[int], float, Driver]:
    """Ego's route, the station on it where it starts, and how it is driven."""
    fast = mood.trip == "fast"
    driver = replace(
        draw_driver(rng),
        offset_m=0.0,
        headway_s=float(rng.uniform(1.0, 1.8)),
        speed_factor=float(rng.uniform(1.03, 1.15) if fast else rng.uniform(0.9, 1.08)),
    )
    turns = {"left": mood.turn_left, "right": mood.turn_right, "straight": 1.0}
    plain = [k for k, lane in net.lanes.items() if lane.intersection is None and lane_length(net, k) > 25.0]
    plain = [k for k in plain if not blocked(net, k, 10.0)]
    best: tuple[float, list[int], float] | None = None
    for _ in range(CANDIDATES * (4 if fast else 1)):
        first = plain[int(rng.integers(len(plain)))]
        start_m = 6.0 + float(rng.uniform(0.0, max(8.0, 0.5 * lane_length(net, first)) if fast else 8.0))
        route = draw_route(net, first, 18.0 * seconds, rng, turns=turns)
        path = build_path(net, route, driver)
        score = float(rng.normal(0.0, 0.6))
        for late_s in LATE_S:
            look = foresee(net, path, driver, start_m=start_m, seconds=seconds, late_s=late_s)
            score += (_score(net, route, look, mood) - 1e3 * look.leaves) / len(LATE_S)
        if best is None or score > best[0]:
            best = (score, route, start_m)
    assert best is not None
    return best[1], best[2], driver


def foresee(
    net: RoadNet, path: Path, driver: Driver, *, start_m: float, seconds: float, late_s: float = 0.0
) -> Outlook:
    """Drive a path with nobody else on the road, minding limits, bends, stop signs and, ``late_s`` late, lights."""
    s, v = start_m, 0.7 * float(path.cap_mps[int(start_m / STEP_M)])
    room, stood, k, leaves = 0.0, 0.0, 0, False
    rows: list[tuple[float, float]] = []
    held = False
    for time_s in np.arange(-WARM_S - EGO_LEAD_S, seconds - WARM_S - EGO_LEAD_S, LOOK_S):
        front = s + EGO_LOOK.size_lwh_m[0] / 2
        while k < len(path.gates) and front > path.gates[k].stop_m + 1.0:
            k, stood, held = k + 1, 0.0, False
        top = float(path.cap_mps[min(int((s + 0.5 * v) / STEP_M), len(path.cap_mps) - 1)])
        if k < len(path.gates):
            room = max(path.gates[k].stop_m - front, 0.0)
            stood += LOOK_S if room < 1.5 and v < 0.5 else 0.0
            can_stop = held or v * v < 2.0 * HARD_BRAKE * room
            held = can_stop and _is_closed(net, path.gates[k], float(time_s) + late_s, stood)
            top = min(top, float(np.sqrt(2.0 * COMFORT_BRAKE * room)), room / LOOK_S) if held else top
        v = max(v + LOOK_S * max(float(idm_free(v, top, driver.accel_mps2)), -4.0), 0.0)
        v = min(v, room / LOOK_S) if held else v
        s += LOOK_S * v
        if s > path.length_m - END_M:
            leaves = True
            break
        if time_s >= 0.0:
            rows.append((s, v))
    station, speed = np.array(rows).reshape(-1, 2).T
    at = np.minimum((station / STEP_M).astype(np.int64), len(path.lane) - 1)
    ahead = path.lane[np.minimum(at + round(JUNCTION_AHEAD_M / STEP_M), len(path.lane) - 1)]
    inside = np.array([k for k, lane in net.lanes.items() if lane.intersection is not None])
    junction = np.isin(path.lane[at], inside) | np.isin(ahead, inside)
    return Outlook(path.xy[at], speed, path.lane[at], junction, leaves)


def _is_closed(net: RoadNet, gate: Gate, time_s: float, stood_s: float) -> bool:
    """Whether a light, or a stop sign before which one has not stood yet, keeps one from entering an intersection."""
    signal = signal_of(net, gate)
    if signal is not None:
        return signal.state(time_s) != "green"
    line = net.lanes[gate.approach].stop_line
    return line is not None and net.town.stop_lines[line].cue == "STOP_SIGN" and stood_s < 0.75


def _score(net: RoadNet, route: list[int], look: Outlook, mood: Mood) -> float:
    """How well a way suits a trip."""
    if not len(look.lane):
        return -1e3
    lanes = [net.lanes[k] for k in route]
    score = 0.5 * float(np.mean(look.speed_mps)) - JUNCTIONS * float(np.mean(look.junction))
    wide = np.array([k for k, lane in net.lanes.items() if lane.left is not None or lane.right is not None])
    on_wide = float(np.mean(np.isin(look.lane, wide) & (look.speed_mps > (FLOWS_MPS if mood.trip == "wide" else 0.0))))
    if mood.trip == "fast":
        return score + 110.0 * float(np.mean(look.speed_mps > FAST_MPS))
    if mood.trip == "wide":
        return score + 40.0 * on_wide
    if mood.trip == "rush":
        return score + 8.0 * on_wide + 0.6 * float(np.mean([net.lanes[k].speed_limit_mps for k in look.lane.tolist()]))
    if mood.trip == "turns":
        return score + 2.4 * sum(lane.turn != "straight" for lane in lanes[:9])
    if mood.trip == "lot":
        return score + 80.0 * min(_near_lots(net.town, look), 0.3)
    if mood.trip == "works":
        return score + 8.0 * sum(zone.lane in route[:7] for zone in net.town.construction)
    if mood.trip == "busy":
        return score + 1.0 * sum(len(lane_zebras(net, k)) for k in route[:8])
    return score


def _near_lots(town: Town, look: Outlook) -> float:
    """Share of the time in parking lots or beside them."""
    lots = shapely.union_all([shapely.Polygon(ring) for ring in town.parking_lots])
    return float(np.mean(shapely.distance(lots, shapely.points(look.xy)) < LOT_NEAR_M))
