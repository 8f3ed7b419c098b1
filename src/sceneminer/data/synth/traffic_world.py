"""A town in motion: the state of everything, and one tick of it."""

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import shapely
from jaxtyping import Float
from numpy import ndarray

from sceneminer.data.synth.pedestrians import (
    Walkers,
    WalkStart,
    build_walk_net,
    crossing_uses,
    decide_crossings,
    make_walkers,
    move_walkers,
    walker_bodies,
)
from sceneminer.data.synth.scene import EGO_LEAD_S, TICK_S, Signal
from sceneminer.data.synth.traffic_ego import WARM_S, choose_ego
from sceneminer.data.synth.traffic_lanes import consider_lane_changes
from sceneminer.data.synth.traffic_mood import Mood
from sceneminer.data.synth.traffic_net import RoadNet, lane_zebras, without_blockages
from sceneminer.data.synth.traffic_path import STEP_M, TICKS_PER_PLAN, build_path
from sceneminer.data.synth.traffic_rules import stops_ahead
from sceneminer.data.synth.traffic_spawn import EGO_LOOK, draw_jaywalkers, draw_traffic, draw_walkers
from sceneminer.data.synth.traffic_static import (
    Ground,
    Still,
    corners_of,
    furnish,
    park_vehicles,
    place_obstructions,
    set_up_works,
)
from sceneminer.data.synth.vehicles import (
    Bodies,
    Fleet,
    Start,
    fleet_bodies,
    make_fleet,
    move,
    plan_step,
    wake_and_leave,
)


@dataclass
class World:
    """Everything a Drive needs while it runs."""

    net: RoadNet
    mood: Mood
    rng: np.random.Generator
    ego_route: list[int]
    fleet: Fleet
    people: Walkers
    ground: Ground
    still: Bodies
    until_s: float
    """When the recording ends."""
    lights: dict[int, tuple[Signal, ...]]
    """Signals of the traffic across each crossing that has them."""
    violators: set[int] = field(default_factory=set)
    """Vehicles that go without right of way; others foresee their way."""
    act: Callable[["World", float], None] | None = None
    """What a script does before each decision."""


@dataclass(frozen=True)
class Extras:
    """What a script adds to a world; it comes last, so that all else stays as it was."""

    vehicles: tuple[Start, ...] = ()
    people: tuple[WalkStart, ...] = ()
    things: tuple[Still, ...] = ()
    clear: tuple[tuple[Float[ndarray, "_n 2"], float], ...] = ()
    """Lines from which parked vehicles keep so many metres away."""


def make_world(
    roads: RoadNet, mood: Mood, rng: np.random.Generator, *, duration_s: float, extras: Extras | None = None
) -> World:
    """Choose ego's way and fill the streets along it."""
    extras = extras or Extras()
    net, town = without_blockages(roads), roads.town
    seconds = WARM_S + duration_s + 2.0
    ground = Ground(town)
    set_up_works(net, ground, rng)
    route, start_m, driver = choose_ego(net, mood, rng, seconds=seconds)
    way = build_path(net, route, driver).xy[::20]
    place_obstructions(net, route[:8], mood, ground, rng)
    for item in extras.things:
        ground.place(item)
    for item in park_vehicles(town, way, mood, rng):
        box = shapely.Polygon(corners_of(item))
        if not any(shapely.LineString(line).distance(box) < gap for line, gap in extras.clear):
            ground.place(item)
    furnish(town, way, mood, ground, rng)
    path = build_path(net, route, driver, half_width_m=EGO_LOOK.size_lwh_m[1] / 2)
    speed = 0.7 * float(path.cap_mps[int(start_m / STEP_M)])
    ego = Start("vehicle.car", EGO_LOOK, driver, path, start_m, speed, False, role="ego")
    here = path.xy[int(start_m / STEP_M) :]
    taken = [item.pose[:2] for item in ground.items if item.role == "parked_obstruction"]
    starts = [ego, *draw_traffic(net, route, start_m, here[::20], mood, taken, rng)]
    walks = draw_walkers(town, build_walk_net(town), here[::20], mood, rng, seconds=seconds)
    walks += draw_jaywalkers(net, route, mood, rng)
    fleet = make_fleet(net, [*starts, *extras.vehicles])
    still = _still_bodies(ground)
    pavement = np.array([item.pose[2] > 0.0 for item in ground.items if item.role != "rack"], bool)
    people = make_walkers(town, [*walks, *extras.people], still.box[pavement])
    until_s = duration_s + EGO_LEAD_S
    return World(net, mood, rng, route, fleet, people, ground, still, until_s, lights_over_crossings(roads))


def _still_bodies(ground: Ground) -> Bodies:
    rows = [item for item in ground.items if item.role != "rack"]
    box = np.array([[*item.pose[:2], item.pose[3], *item.look.size_lwh_m[:2]] for item in rows]).reshape(-1, 5)
    n = len(box)
    return Bodies(box, np.zeros((n, 2)), np.full(n, -1, np.int64), np.full(n, -1, np.int64))


def step_world(world: World, tick: int, time_s: float) -> None:
    """Advance the world by one tick; decisions are taken every other tick."""
    fleet, people = world.fleet, world.people
    if tick % 20 == 0:
        parked = world.still.box[:, :2]
        wake_and_leave(fleet, parked)
    if tick % TICKS_PER_PLAN == 0:
        if world.act is not None:
            world.act(world, time_s)
        traffic = fleet_bodies(fleet)
        decide_crossings(people, _arrivals(fleet), time_s, _walk_lights(world, time_s), traffic)
        stop = stops_ahead(
            fleet,
            crossing_uses(people, signalled=frozenset(world.lights)),
            time_s,
            violators=frozenset(world.violators),
        )
        bodies = _together(_reach_on(traffic, world.violators), walker_bodies(people), world.still)
        plan_step(fleet, bodies, stop, time_s)
        consider_lane_changes(fleet, tick // TICKS_PER_PLAN, time_s, pushy=world.mood.pushy, until_s=world.until_s)
    move(fleet)
    move_walkers(people, time_s, dt_s=TICK_S)


def _reach_on(traffic: Bodies, violators: set[int]) -> Bodies:
    """Boxes of violators reach ahead to where they will be in 0.9 s."""
    box = traffic.box.copy()
    for k in np.flatnonzero(np.isin(traffic.owner, list(violators))).tolist():
        reach = 0.9 * traffic.velocity[k]
        box[k, :2] += reach / 2
        box[k, 3] += float(np.hypot(*reach))
    return Bodies(box, traffic.velocity, traffic.owner, traffic.seen_by)


def _together(*parts: Bodies) -> Bodies:
    return Bodies(
        np.concatenate([p.box for p in parts]),
        np.concatenate([p.velocity for p in parts]),
        np.concatenate([p.owner for p in parts]),
        np.concatenate([p.seen_by for p in parts]),
    )


def _arrivals(fleet: Fleet) -> dict[int, float]:
    """Seconds until the next vehicle reaches each crossing; who stands or brakes to a stop before it does not count."""
    soonest: dict[int, float] = {}
    front, rear = fleet.front, fleet.rear
    for i in np.flatnonzero(fleet.active).tolist():
        v = float(fleet.v[i])
        for mark in fleet.paths[i].marks:
            if mark.kind != "zebra" or mark.end_m < rear[i]:
                continue
            if mark.start_m > front[i] + 70.0:
                break
            room = mark.start_m - front[i]
            if room < -0.3:
                soonest[mark.index] = 0.0
            elif v > 0.8:
                stops_in = v * v / (2 * max(-float(fleet.a[i]), 0.01))
                if fleet.a[i] > -0.5 or stops_in > room:
                    soonest[mark.index] = min(soonest.get(mark.index, 1e9), room / v)
    return soonest


def _walk_lights(world: World, time_s: float) -> dict[int, bool]:
    """For crossings with signals: whether all traffic across them stands at red for long enough to walk over."""
    lights: dict[int, bool] = {}
    for crossing, signals in world.lights.items():
        axis = world.net.town.crossings[crossing].axis
        seconds = float(np.linalg.norm(axis[1] - axis[0])) / 1.35
        lights[crossing] = all(
            signal.state(time_s) == "red" and signal.state(time_s + seconds) == "red" for signal in signals
        )
    return lights


def lights_over_crossings(net: RoadNet) -> dict[int, tuple[Signal, ...]]:
    """Signals of the approaches whose lanes run over each crossing just before or just after their stop line."""
    found: dict[int, dict[int, Signal]] = {}
    for lane_id, lane in net.lanes.items():
        approach = lane_id if lane.intersection is None else (lane.predecessors or (lane_id,))[0]
        index = net.lanes[approach].signal
        if index is None:
            continue
        for zebra in lane_zebras(net, lane_id):
            to_line = net.stations[lane_id][-1] - zebra.start_m if lane.intersection is None else zebra.start_m
            if to_line < 15.0:
                found.setdefault(zebra.crossing, {})[index] = net.town.signals[index]
    return {crossing: tuple(signals.values()) for crossing, signals in found.items()}
