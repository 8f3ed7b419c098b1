"""Risky events that are staged: where and when in a Drive that was first run without them, and what they add to it.

The first run shows where ego will be. A script picks a moment of it, adds whom it needs, and cues them by ego's actual
distance in the second run, in which ego reacts late, as people do.
"""

from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from sceneminer.data.synth.catalog import draw_look
from sceneminer.data.synth.lane_path import lane_at
from sceneminer.data.synth.pedestrians import ANYWHERE, WalkStart, lay_walk
from sceneminer.data.synth.scene import EGO_LEAD_S, TICK_S
from sceneminer.data.synth.traffic_net import conflict, lane_length, lane_zebras, to_lane
from sceneminer.data.synth.traffic_path import STEP_M, build_path, draw_route, resample, speed_caps
from sceneminer.data.synth.traffic_record import Recording
from sceneminer.data.synth.traffic_spawn import draw_driver, kerb_distance
from sceneminer.data.synth.traffic_static import Still
from sceneminer.data.synth.traffic_world import Extras, World
from sceneminer.data.synth.vehicles import Start

EGO_HALF_M, EGO_HALF_LENGTH_M = 0.865, 2.042
CLEAR_WAY_M = 2.4
OPEN_M = 7.0
"""From junctions and crossings; more would leave nothing of the short blocks of narrow towns."""
LONGEST_GLANCE_S = 2.6
"""Glances off the road of more than 2 s are what crashes are made of (Klauer et al. 2006); few last longer."""
FARTHEST_M = {"jaywalk": 8.2, "near_miss": 8.2}
"""From ego's middle to the kerb where somebody comes from, at most; less where something hides them there."""
KINDS = (
    "step_out",
    "jaywalk",
    "occluded_cyclist",
    "door_side_cyclist",
    "near_miss",
    "cut_in",
    "hard_brake",
    "run_red",
    "oncoming_left_turn",
)


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
class Moment:
    """Ego at one time of the first run."""

    time_s: float
    way: "EgoWay"
    speed_mps: float
    lane: int
    lane_s: float
    yaw: float
    xy: Float[ndarray, "2"]


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


def stage(kind: str, world: World, run: Recording, rng: np.random.Generator, *, ease: float) -> Script | None:
    """A script of a kind that fits this Drive, or None; ``ease`` (0 and up) gives everyone more time."""
    moments = [m for m in _moments(world, run) if 3.0 < m.time_s < TICK_S * len(run.pose) - 2 * EGO_LEAD_S - 2.5]
    if kind in ("step_out", "jaywalk", "occluded_cyclist", "door_side_cyclist", "near_miss"):
        return _stage_beside(kind, world, moments, rng, ease)
    if kind == "cut_in":
        return _stage_cut_in(world, run, moments, rng, ease)
    if kind == "hard_brake":
        return _stage_hard_brake(run, moments, rng, ease)
    return _stage_cross(kind, world, run, moments, rng, ease)


def _moments(world: World, run: Recording) -> list[Moment]:
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


def _open_street(world: World, m: Moment, low: float, high: float) -> bool:
    """Whether ego drives freely on a stretch without junctions, crossings or works nearby."""
    net = world.net
    lane, length = net.lanes[m.lane], lane_length(net, m.lane)
    clear = lane.intersection is None and OPEN_M < m.lane_s < length - OPEN_M and lane.width_m < 5.0
    zebra = any(abs(m.lane_s - (z.start_m + z.end_m) / 2) < OPEN_M for z in lane_zebras(net, m.lane))
    works = any(b.start_m - 14.0 < m.lane_s < b.end_m + 14.0 for b in net.blockages.get(m.lane, []))
    return clear and not zebra and not works and low < m.speed_mps < high


def _stage_beside(
    kind: str, world: World, moments: list[Moment], rng: np.random.Generator, ease: float
) -> Script | None:
    """Somebody comes from the side of the road into ego's lane."""
    low, high = {"jaywalk": (5.0, 14.0), "door_side_cyclist": (5.5, 14.0)}.get(kind, (4.5, 12.0))
    fit = [m for m in moments if _open_street(world, m, low, high)]
    rng.shuffle(fit)  # type: ignore[arg-type]
    for m in fit[:16]:
        right = kerb_distance(world.net, m.xy, _left(m.yaw) * -1.0)
        if right > FARTHEST_M.get(kind, 6.2):  # somebody from so far off would be seen for long
            continue
        if kind == "door_side_cyclist":
            script = _door_side(world, m, rng, ease)
        else:
            script = _from_side(kind, m, right, kerb_distance(world.net, m.xy, _left(m.yaw)), rng, ease)
        if script is not None:
            return script
    return None


def _left(yaw: float) -> Float[ndarray, "2"]:
    return np.array([-np.sin(yaw), np.cos(yaw)])


def _ahead(yaw: float) -> Float[ndarray, "2"]:
    return np.array([np.cos(yaw), np.sin(yaw)])


def _from_side(
    kind: str, m: Moment, right_m: float, left_m: float, rng: np.random.Generator, ease: float
) -> Script | None:
    """A person or cyclist who starts at the right-hand kerb, hidden by a parked van or not."""
    pace = {"step_out": (1.7, 2.6), "jaywalk": (1.1, 1.7), "occluded_cyclist": (2.8, 4.2), "near_miss": (2.6, 3.4)}[
        kind
    ]
    speed, margin = float(rng.uniform(*pace)), (float(rng.uniform(0.45, 0.85)), float(rng.random()))
    hidden = kind in ("step_out", "occluded_cyclist")
    ahead, left = _ahead(m.yaw), _left(m.yaw)
    start_right = max(right_m + 0.5, 3.0) + (1.6 if kind == "occluded_cyclist" else 0.0)
    points = np.array(
        [
            m.xy - start_right * left,
            m.xy - 1.4 * left,
            m.xy + 1.6 * left + rng.uniform(-0.3, 0.8) * ahead,
            m.xy + (left_m + 1.3) * left + rng.uniform(0.0, 2.0) * ahead,
            m.xy + (left_m + 1.5) * left + (8.0 if kind == "occluded_cyclist" else 14.0) * ahead,
        ]
    )
    walk = lay_walk([points[:4], points[3:]], [ANYWHERE, -1])
    category = "vehicle.bicycle" if kind == "occluded_cyclist" else "human.pedestrian.adult"
    category = "human.pedestrian.child" if kind == "step_out" and rng.random() < 0.35 else category
    look = draw_look(category, rng)
    who = WalkStart(
        category, look, walk, 0.0, speed, 0.0, role=kind, rider=category == "vehicle.bicycle", cued=True, heed=0.0
    )
    things = (_hiding_van(m, right_m, rng),) if hidden else ()
    to_edge_s = (start_right - EGO_HALF_M - 0.3) / speed + (
        0.05 if kind == "occluded_cyclist" else 0.35
    )  # the last for picking up speed
    over_s = (2 * EGO_HALF_M + (1.9 if kind == "occluded_cyclist" else 0.8)) / speed
    entry_m = v = m.speed_mps
    for _ in range(3):  # ego's speed where its way gets this short, not where the ways meet
        if kind in ("near_miss", "occluded_cyclist"):  # over just before ego comes, unless ego brakes
            spare_s = 0.25 * margin[0] if kind == "occluded_cyclist" else 0.75 * margin[0]
            entry_m, blind = v * (over_s + spare_s + 0.3 * ease), 0.8 * over_s
        elif kind == "jaywalk":
            blind = 0.6 + 0.5 * margin[1]
            entry_m = v * blind + v * v / (2 * (3.3 + 1.9 * margin[1])) + 2.2 + 4.0 * ease
        else:
            blind = 0.45 + 0.25 * margin[1]
            entry_m = v * blind + v * v / (2 * (4.6 + 1.8 * margin[1])) + 1.6 + 3.0 * ease
        entry_s, v = m.way.before(m.time_s, entry_m + EGO_HALF_LENGTH_M)
    cue_s = entry_s - to_edge_s
    if cue_s < 0.6 or v < 4.0 or (kind in ("step_out", "occluded_cyclist") and entry_m > 21.0 + 4.0 * ease):
        return None
    clear = [(walk.xy, 0.6), *((_spine(thing), 1.3) for thing in things)]
    extras = Extras((), (who,), things, tuple(clear))
    return Script(kind, m.time_s, m.xy, extras, cue_s=cue_s, blind_s=to_edge_s + blind)


def _hiding_van(m: Moment, right_m: float, rng: np.random.Generator) -> Still:
    """A parked van beside ego's lane, just before the place where somebody comes out."""
    look = draw_look("vehicle.car", rng, style="van")
    aside = min(max(EGO_HALF_M + 0.75 + look.size_lwh_m[1] / 2, right_m - look.size_lwh_m[1] / 2 - 0.2), 4.2)
    at = m.xy - (look.size_lwh_m[0] / 2 + 0.9) * _ahead(m.yaw) - aside * _left(m.yaw)
    return Still("vehicle.car", look, (float(at[0]), float(at[1]), 0.0, m.yaw), "parked")


def _spine(item: Still) -> Float[ndarray, "2 2"]:
    """The line down the middle of a thing."""
    half = item.look.size_lwh_m[0] / 2 * _ahead(item.pose[3])
    return np.array(item.pose[:2]) + np.stack([-half, half])


def _door_side(world: World, m: Moment, rng: np.random.Generator, ease: float) -> Script | None:
    """A cyclist rides along the edge ahead of ego and swerves in front of it, as if a car door had opened."""
    net = world.net
    length = lane_length(net, m.lane)
    speed, edge = float(rng.uniform(2.6, 3.8)), 0.5 * net.lanes[m.lane].width_m - 0.2
    back = min(m.lane_s - 4.0, speed * float(rng.uniform(4.0, 6.5)))
    if back < 9.0 or length - m.lane_s < 16.0:
        return None
    stations = np.arange(m.lane_s - back, min(m.lane_s + 34.0, length - 3.0), 1.0)
    x, y, yaw = lane_at(net.lanes[m.lane], stations)
    swerve = np.clip((stations - m.lane_s + 3.0) / 4.0, 0.0, 1.0) * np.clip(
        (m.lane_s + 14.0 - stations) / 7.0, 0.0, 1.0
    )
    aside = -edge + (edge - 0.25) * swerve * swerve * (3 - 2 * swerve)
    line = np.stack([x - aside * np.sin(yaw), y + aside * np.cos(yaw)], -1)
    look = draw_look("vehicle.bicycle", rng)
    who = WalkStart(
        "vehicle.bicycle",
        look,
        lay_walk([line], [ANYWHERE]),
        0.0,
        speed,
        0.0,
        role="door_side_cyclist",
        rider=True,
        cued=True,
    )
    ride_s = (back - 1.0) / speed + 0.8
    tail_m = (m.speed_mps - speed) * float(rng.uniform(0.8, 1.4) + 0.5 * ease) + 2.9
    swerve_s, v = m.way.before(m.time_s, tail_m)
    if swerve_s - ride_s < 0.6 or v < speed + 1.5:
        return None
    blind = ride_s + float(rng.uniform(0.25, 0.45))
    extras = Extras((), (who,), (), ((line, 0.5),))
    return Script("door_side_cyclist", m.time_s, m.xy, extras, cue_s=swerve_s - ride_s, blind_s=blind)


def _stage_cut_in(
    world: World, run: Recording, moments: list[Moment], rng: np.random.Generator, ease: float
) -> Script | None:
    """Somebody in the next lane moves over just ahead of ego, or a parked car pulls out."""
    order = rng.permutation(len(moments))
    for k in order.tolist():
        m = moments[k]
        lane = world.net.lanes[m.lane]
        row = round((m.time_s + EGO_LEAD_S) / TICK_S)
        if lane.intersection is not None or m.speed_mps < 5.0 or lane_length(world.net, m.lane) - m.lane_s < 45.0:
            continue
        delta = run.pose[row, :, :2] - m.xy
        ahead, left = delta @ _ahead(m.yaw), delta @ _left(m.yaw)
        beside = (np.abs(np.abs(left) - lane.width_m) < 1.0) & run.active[row] & (ahead > 4.5) & (ahead < 13.0)
        same = np.cos(run.pose[row, :, 2] - m.yaw) > 0.9
        slow = (run.speed[row] < m.speed_mps + 1.0) & (run.speed[row] > 3.0)
        tows = np.array([tow is not None for tow in world.fleet.tow])
        for i in np.flatnonzero(beside & same & slow & ~tows).tolist():
            target = lane.left if left[i] > 0 else lane.right
            if i > 0 and target is not None and world.fleet.category[i] != "vehicle.bicycle":
                side = -1.0 if left[i] > 0 else 1.0
                return Script(
                    "cut_in", m.time_s, m.xy, Extras(), actor=i, cue_s=m.time_s, blind_s=1.5 - 0.6 * ease, strength=side
                )
    return _stage_pull_out(world, moments, rng, ease)


def _stage_pull_out(world: World, moments: list[Moment], rng: np.random.Generator, ease: float) -> Script | None:
    """A car leaves the kerb just ahead of ego."""
    fit = [m for m in moments if _open_street(world, m, 6.0, 13.5)]
    rng.shuffle(fit)  # type: ignore[arg-type]
    net = world.net
    fit = [m for m in fit if lane_length(net, m.lane) - m.lane_s > 26.0]
    for m in fit[:16]:
        right = kerb_distance(net, m.xy, _left(m.yaw) * -1.0)
        if right < 3.3 or right > 6.2:
            continue
        look, driver = draw_look("vehicle.car", rng, style="hatchback"), draw_driver(rng)
        driver = replace(driver, offset_m=0.0, accel_mps2=2.2)
        aside = right - look.size_lwh_m[1] / 2 - 0.2
        route = draw_route(net, m.lane, 260.0, rng, turns={})
        path = build_path(net, route, driver)
        u = np.arange(len(path.xy)) * STEP_M - m.lane_s
        t = np.clip((u - 1.5) / 9.0, 0.0, 1.0)
        shift = -aside * (1.0 - t * t * (3 - 2 * t))
        way = np.gradient(path.xy, axis=0)
        way /= np.maximum(np.linalg.norm(way, axis=1, keepdims=True), 1e-9)
        xy = path.xy + shift[:, None] * np.stack([-way[:, 1], way[:, 0]], -1)
        along = np.concatenate([[0.0], np.cumsum(np.hypot(*np.diff(xy, axis=0).T))])
        moved = resample(xy, path.lane, along)
        moved = replace(moved, gates=path.gates, marks=path.marks, cap_mps=speed_caps(net, moved, driver))
        start = Start("vehicle.car", look, driver, moved, m.lane_s, 0.0, False, role="cut_in", absent=True)
        clear = ((moved.xy[max(0, int((m.lane_s - 4.0) / STEP_M)) : int((m.lane_s + 14.0) / STEP_M)], 1.4),)
        blind, must = float(rng.uniform(0.5, 0.9)), float(rng.uniform(3.6, 5.4) - 1.6 * ease)
        v = m.speed_mps  # ego sees it that late, and then must brake that hard
        cue, _ = m.way.before(m.time_s, v * blind + max(v - 1.5, 0.0) ** 2 / (2 * must) + 4.5 + 2.0 * ease)
        if cue > 0.6:
            return Script("cut_in", m.time_s, m.xy, Extras((start,), (), (), clear), cue_s=cue, blind_s=blind)
    return None


def _stage_hard_brake(run: Recording, moments: list[Moment], rng: np.random.Generator, ease: float) -> Script | None:
    """The vehicle that ego follows brakes for no reason that ego can see."""
    for k in rng.permutation(len(moments)).tolist():
        m = moments[k]
        row = round((m.time_s + EGO_LEAD_S) / TICK_S)
        lead = int(run.leader[row, 0])
        if lead <= 0 or m.speed_mps < 4.5 or run.speed[row, lead] < 4.0:
            continue
        gap = float(np.hypot(*(run.pose[row, lead, :2] - m.xy))) - 4.3
        straight = np.cos(run.pose[row, lead, 2] - m.yaw) > 0.97
        if gap < 2.9 * m.speed_mps and straight:
            hard, must = float(rng.uniform(5.5, 7.5)), float(rng.uniform(4.2, 6.2) - 1.5 * ease)
            v, ahead_v = m.speed_mps, float(run.speed[row, lead])
            # ego looks away until it must brake that hard to stop short of where the other will stand
            blind = (gap - 1.2 + ahead_v**2 / (2 * hard) - v**2 / (2 * must)) / v
            if not 0.4 < blind < LONGEST_GLANCE_S:
                continue
            return Script(
                "hard_brake", m.time_s, m.xy, Extras(), actor=lead, cue_s=m.time_s, blind_s=blind, strength=hard
            )
    return None


def _stage_cross(
    kind: str, world: World, run: Recording, moments: list[Moment], rng: np.random.Generator, ease: float
) -> Script | None:
    """Somebody crosses ego's way in an intersection without having the right to."""
    net = world.net
    for m in moments:
        link = net.lanes[m.lane]
        if (
            link.intersection is None
            or _slowest(m, 3.5) < 3.5
            or (kind == "oncoming_left_turn" and link.turn == "left")
        ):
            continue
        others = [k for k, lane in net.lanes.items() if lane.intersection == link.intersection and k != m.lane]
        for other in rng.permutation(others).tolist():
            spans = conflict(net, m.lane, other)
            lane = net.lanes[other]
            if spans is None or not lane.predecessors or abs(spans[0][0] - m.lane_s) > 2.5:
                continue
            turn = np.cos(lane.centerline[0, 2] - link.centerline[0, 2])
            fits = (lane.turn == "left" and turn < -0.7) if kind == "oncoming_left_turn" else abs(turn) < 0.5
            if not fits or (kind == "run_red" and lane.turn != "straight"):
                continue
            script = _crosser(kind, world, run, m, other, spans[1][0], rng, ease)
            if script is not None:
                return script
    return None


def _slowest(m: Moment, seconds: float) -> float:
    """Ego's lowest speed in the last seconds: who has just given way will do so again."""
    row = round((m.time_s + EGO_LEAD_S) / TICK_S)
    return float(np.min(m.way.speed_mps[max(row - round(seconds / TICK_S), 0) : row + 1]))


def _crosser(
    kind: str,
    world: World,
    run: Recording,
    m: Moment,
    other: int,
    meet_m: float,
    rng: np.random.Generator,
    ease: float,
) -> Script | None:
    """A car that appears up its street and reaches the meeting point about when ego does."""
    net = world.net
    approach = net.lanes[other].predecessors[0]
    look = draw_look("vehicle.car", rng)
    left = kind == "oncoming_left_turn"
    driver = replace(draw_driver(rng), offset_m=0.0, headway_s=0.8, lateral_mps2=3.6 if left else 3.0, accel_mps2=2.3)
    speed = float(rng.uniform(5.5, 7.0) if left else rng.uniform(8.0, 11.0))
    driver = replace(driver, top_mps=speed, speed_factor=2.0)
    lead = list(net.lanes[approach].predecessors)[:1]
    route = [*lead, approach, other, *draw_route(net, net.lanes[other].successors[0], 180.0, rng, turns={})]
    path = build_path(net, route, driver)
    origin = sum(lane_length(net, k) for k in route[: len(lead) + 1])
    caps = path.cap_mps
    meet = origin + meet_m - look.size_lwh_m[0] / 2
    lead_s = float(rng.uniform(3.6, 4.6))
    s, t = meet, 0.0
    while t < lead_s and s > 8.0:
        s -= STEP_M
        t += STEP_M / max(float(caps[int(s / STEP_M)]), 1.0)
    if t < lead_s - 1.0:
        return None
    start = Start("vehicle.car", look, driver, path, s, float(caps[int(s / STEP_M)]), False, role=kind, absent=True)
    late = float(rng.uniform(-0.9, -0.2)) if rng.random() < 0.5 else float(rng.uniform(0.3, 1.0))
    wake = m.time_s - t + late * (1.0 + 0.8 * ease)
    way = path.xy[max(int((s - 8.0) / STEP_M), 0) : int(meet / STEP_M) : 3]
    if wake < 0.6 or not _is_empty(run, way, wake, m.time_s):
        return None
    return Script(kind, m.time_s, m.xy, Extras((start,), (), ()), cue_s=wake, blind_s=float(rng.uniform(0.3, 0.6)))


def _is_empty(run: Recording, way: Float[ndarray, "n 2"], from_s: float, until_s: float) -> bool:
    """Whether no vehicle but ego is on a way for a span of the first run: who waits there would be in the way."""
    for time_s in np.arange(from_s, until_s + 0.25, 0.5):
        row = round((time_s + EGO_LEAD_S) / TICK_S)
        others = run.pose[row, 1:, :2][run.active[row, 1:]]
        if len(others) and np.min(np.hypot(*(others[:, None] - way[None]).transpose(2, 0, 1))) < CLEAR_WAY_M:
            return False
    return True
