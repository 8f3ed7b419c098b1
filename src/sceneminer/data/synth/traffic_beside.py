"""Staged events at the side of the road: people and cyclists who come into ego's lane from the kerb."""

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from sceneminer.data.synth.catalog import draw_look
from sceneminer.data.synth.lane_path import lane_at
from sceneminer.data.synth.pedestrians import ANYWHERE, WalkStart, lay_walk
from sceneminer.data.synth.traffic_moment import Moment, Script, open_street, to_ahead, to_left
from sceneminer.data.synth.traffic_net import lane_length
from sceneminer.data.synth.traffic_spawn import kerb_distance
from sceneminer.data.synth.traffic_static import Still
from sceneminer.data.synth.traffic_world import Extras, World

EGO_HALF_M, EGO_HALF_LENGTH_M = 0.865, 2.042
FARTHEST_M = {"jaywalk": 8.2, "near_miss": 8.2}
"""From ego's middle to the kerb where somebody comes from, at most; less where something hides them there."""


def stage_beside(
    kind: str, world: World, moments: list[Moment], rng: np.random.Generator, ease: float
) -> Script | None:
    """Somebody comes from the side of the road into ego's lane."""
    low, high = {"jaywalk": (5.0, 14.0), "door_side_cyclist": (5.5, 14.0)}.get(kind, (4.5, 12.0))
    fit = [m for m in moments if open_street(world, m, low, high)]
    rng.shuffle(fit)  # type: ignore[arg-type]
    for m in fit[:16]:
        right = kerb_distance(world.net, m.xy, to_left(m.yaw) * -1.0)
        if right > FARTHEST_M.get(kind, 6.2):  # somebody from so far off would be seen for long
            continue
        if kind == "door_side_cyclist":
            script = _door_side(world, m, rng, ease)
        else:
            script = _from_side(kind, m, right, kerb_distance(world.net, m.xy, to_left(m.yaw)), rng, ease)
        if script is not None:
            return script
    return None


def _from_side(
    kind: str, m: Moment, right_m: float, left_m: float, rng: np.random.Generator, ease: float
) -> Script | None:
    """A person or cyclist who starts at the right-hand kerb, hidden by a parked van or not."""
    pace = {"step_out": (1.7, 2.6), "jaywalk": (1.1, 1.7), "occluded_cyclist": (2.8, 4.2), "near_miss": (2.6, 3.4)}[
        kind
    ]
    speed, margin = float(rng.uniform(*pace)), (float(rng.uniform(0.45, 0.85)), float(rng.random()))
    hidden = kind in ("step_out", "occluded_cyclist")
    ahead, left = to_ahead(m.yaw), to_left(m.yaw)
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
    at = m.xy - (look.size_lwh_m[0] / 2 + 0.9) * to_ahead(m.yaw) - aside * to_left(m.yaw)
    return Still("vehicle.car", look, (float(at[0]), float(at[1]), 0.0, m.yaw), "parked")


def _spine(item: Still) -> Float[ndarray, "2 2"]:
    """The line down the middle of a thing."""
    half = item.look.size_lwh_m[0] / 2 * to_ahead(item.pose[3])
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
