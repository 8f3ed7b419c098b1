"""Staged events among vehicles: who cuts in, brakes hard, or crosses without having the right to."""

from dataclasses import replace

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from sceneminer.data.synth.catalog import draw_look
from sceneminer.data.synth.scene import EGO_LEAD_S, TICK_S
from sceneminer.data.synth.traffic_moment import Moment, Script, open_street, to_ahead, to_left
from sceneminer.data.synth.traffic_net import conflict, lane_length
from sceneminer.data.synth.traffic_path import STEP_M, build_path, draw_route, resample, speed_caps
from sceneminer.data.synth.traffic_record import Recording
from sceneminer.data.synth.traffic_spawn import draw_driver, kerb_distance
from sceneminer.data.synth.traffic_world import Extras, World
from sceneminer.data.synth.vehicles import Start

CLEAR_WAY_M = 2.4
LONGEST_GLANCE_S = 2.6
"""Glances off the road of more than 2 s are what crashes are made of (Klauer et al. 2006); few last longer."""


def stage_cut_in(
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
        ahead, left = delta @ to_ahead(m.yaw), delta @ to_left(m.yaw)
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
    fit = [m for m in moments if open_street(world, m, 6.0, 13.5)]
    rng.shuffle(fit)  # type: ignore[arg-type]
    net = world.net
    fit = [m for m in fit if lane_length(net, m.lane) - m.lane_s > 26.0]
    for m in fit[:16]:
        right = kerb_distance(net, m.xy, to_left(m.yaw) * -1.0)
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


def stage_hard_brake(run: Recording, moments: list[Moment], rng: np.random.Generator, ease: float) -> Script | None:
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


def stage_cross(
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
