"""What is written down while a world runs, and the actors made of it."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from sceneminer.data.synth.catalog import Look
from sceneminer.data.synth.scene import EGO_LEAD_S, KERB_M, TICK_S, Actor
from sceneminer.data.synth.traffic_static import Still
from sceneminer.data.synth.traffic_world import World
from sceneminer.data.synth.vehicles import Fleet, tow_poses

KEEP_M = 100.0
"""Actors that never come nearer to ego are left out."""
EGO_AXLE_M = 1.385
"""From ego's rear axle to the middle of its box."""


@dataclass
class Recording:
    """States of all movers, tick by tick from EGO_LEAD_S before the Drive to as long after it."""

    pose: Float[ndarray, "t n 3"]
    speed: Float[ndarray, "t n"]
    accel: Float[ndarray, "t n"]
    active: ndarray
    tow: Float[ndarray, "t n 3"]
    indicator: ndarray
    ego_lane: ndarray
    leader: ndarray
    """Vehicle that holds each vehicle back, -1 none (people and still things do not count)."""
    foot: Float[ndarray, "t k 4"]
    """x, y, yaw and speed of people."""
    on_road: ndarray

    @staticmethod
    def empty(world: World, ticks: int) -> "Recording":
        n, k = len(world.fleet.s), len(world.people.s)
        return Recording(
            pose=np.zeros((ticks, n, 3)),
            speed=np.zeros((ticks, n)),
            accel=np.zeros((ticks, n)),
            active=np.zeros((ticks, n), bool),
            tow=np.zeros((ticks, n, 3)),
            indicator=np.zeros((ticks, n), np.int8),
            ego_lane=np.zeros(ticks, np.int32),
            leader=np.full((ticks, n), -1, np.int64),
            foot=np.zeros((ticks, k, 4)),
            on_road=np.zeros((ticks, k), bool),
        )

    def add(self, world: World, tick: int, time_s: float) -> None:
        """Write down the present state."""
        fleet, people = world.fleet, world.people
        self.pose[tick], self.speed[tick], self.accel[tick] = fleet.pose, fleet.v, fleet.a
        self.active[tick], self.tow[tick] = fleet.active, tow_poses(fleet)
        self.indicator[tick] = _indicators(fleet, time_s)
        self.ego_lane[tick] = fleet.lane_now(0)
        self.leader[tick] = fleet.leader
        self.foot[tick, :, :3], self.foot[tick, :, 3] = people.pose, people.v
        self.on_road[tick] = people.on_road


def _indicators(fleet: Fleet, time_s: float) -> ndarray:
    """Turn signals: 30 m before a turn until it is done, and during lane changes."""
    out = np.where(time_s < fleet.changing_until, fleet.changing_side, 0).astype(np.int8)
    for i in np.flatnonzero(fleet.active).tolist():
        for gate in fleet.paths[i].gates:
            turn = fleet.net.lanes[gate.connector].turn
            if gate.start_m - 30.0 < fleet.s[i] < gate.end_m - 2.0 and turn != "straight":
                out[i] = 1 if turn == "left" else -1
    return out


def ego_rows(world: World, recording: Recording) -> tuple[Float[ndarray, "t 5"], ndarray]:
    """Ego's rear axle on the ground and its lane, per tick."""
    pose, speed = recording.pose[:, 0], recording.speed[:, 0]
    yaw = pose[:, 2]
    axle = pose[:, :2] - EGO_AXLE_M * np.stack([np.cos(yaw), np.sin(yaw)], -1)
    rows = np.column_stack([axle, np.zeros(len(yaw)), yaw, speed])
    lots = np.array([lane.lane_id for lane in world.net.lanes.values() if lane.width_m > 5.0 and lane.road is not None])
    return rows, np.where(np.isin(recording.ego_lane, lots), -1, recording.ego_lane).astype(np.int32)


@dataclass(frozen=True)
class Cast:
    """Actors, and which vehicle, person or thing of the world each of them is."""

    actors: tuple[Actor, ...]
    vehicle: dict[int, int]
    """Actor id by index in the Fleet."""
    person: dict[int, int]
    thing: dict[int, int]


def make_actors(world: World, recording: Recording) -> Cast:
    """All actors that come near ego: vehicles, what they pull, people, and still things, with ids from 1."""
    skip = round(EGO_LEAD_S / TICK_S)
    span = slice(skip, len(recording.pose) - skip)
    ego = recording.pose[span, 0, :2]
    actors: list[Actor] = []
    maps: tuple[dict[int, int], dict[int, int], dict[int, int]] = ({-1: -1, 0: -1}, {}, {})
    for i in range(1, len(world.fleet.s)):
        found = _vehicle_actors(world, recording, i, span, ego, len(actors) + 1)
        if found:
            maps[0][i] = found[0].actor_id
        actors += found
    for k in range(len(world.people.s)):
        found = _walker_actors(world, recording, k, span, ego, len(actors) + 1)
        if found:
            maps[1][k] = found[0].actor_id
        actors += found
    for k, item in enumerate(world.ground.items):
        if np.min(np.hypot(*(ego - item.pose[:2]).T)) < KEEP_M:
            actors.append(_still_actor(item, len(actors) + 1))
            maps[2][k] = len(actors)
    return Cast(tuple(actors), *maps)


def _vehicle_actors(
    world: World, recording: Recording, i: int, span: slice, ego: Float[ndarray, "t 2"], first_id: int
) -> list[Actor]:
    fleet = world.fleet
    active, pose, speed = recording.active[span, i], recording.pose[span, i], recording.speed[span, i]
    if not active.any() or np.min(np.hypot(*(ego - pose[:, :2]).T)[active]) > KEEP_M:
        return []
    braking = (recording.accel[span, i] < -0.6) | (speed < 0.2)
    look = fleet.looks[i]
    puller = _actor(
        first_id,
        fleet.category[i],
        look,
        np.column_stack([pose[:, :2], np.zeros(len(pose)), pose[:, 2], speed]),
        active,
        braking,
        recording.indicator[span, i],
        rider=fleet.rider[i],
        role=fleet.role[i],
    )
    tow = fleet.tow[i]
    if tow is None:
        return [puller]
    tail = recording.tow[span, i]
    category = "vehicle.bus.bendy" if fleet.category[i] == "vehicle.bus.bendy" else "vehicle.trailer"
    states = np.column_stack([tail[:, :2], np.zeros(len(tail)), tail[:, 2], speed])
    pulled = _actor(
        first_id + 1, category, tow, states, active, braking, recording.indicator[span, i], attachment=first_id
    )
    return [puller, pulled]


def _actor(
    actor_id: int,
    category: str,
    look: Look,
    states: Float[ndarray, "t 5"],
    present: ndarray,
    braking: ndarray,
    indicator: ndarray,
    *,
    rider: bool = False,
    standing: bool = False,
    attachment: int | None = None,
    role: str = "traffic",
) -> Actor:
    return Actor(
        actor_id=actor_id,
        category=category,
        size_lwh_m=look.size_lwh_m,
        rgb=look.rgb,
        rgb2=look.rgb2,
        variant=look.variant,
        states=np.ascontiguousarray(states, np.float64),
        present=np.ascontiguousarray(present),
        braking=np.ascontiguousarray(braking),
        indicator=np.ascontiguousarray(indicator, np.int8),
        rider=rider,
        standing=standing,
        attachment=attachment,
        role=role,
    )


def _walker_actors(
    world: World, recording: Recording, k: int, span: slice, ego: Float[ndarray, "t 2"], actor_id: int
) -> list[Actor]:
    start, foot, on_road = world.people.starts[k], recording.foot[span, k], recording.on_road[span, k]
    if np.min(np.hypot(*(ego - foot[:, :2]).T)) > KEEP_M:
        return []
    height = np.where(on_road, 0.0, KERB_M)
    states = np.column_stack([foot[:, :2], height, foot[:, 2], foot[:, 3]])
    n = len(states)
    actor = _actor(
        actor_id,
        start.category,
        start.look,
        states,
        np.ones(n, bool),
        np.zeros(n, bool),
        np.zeros(n, np.int8),
        standing=start.standing and not start.rider,
        rider=start.rider,
        role="crossing" if on_road.any() and start.role in ("pavement", "jaywalk_safe") else start.role,
    )
    return [actor]


def _still_actor(item: Still, actor_id: int) -> Actor:
    x, y, z, yaw = item.pose
    return _actor(
        actor_id,
        item.category,
        item.look,
        np.array([[x, y, z, yaw, 0.0]]),
        np.ones(1, bool),
        np.zeros(1, bool),
        np.array([2 if item.hazard else 0], np.int8),
        standing=item.standing,
        role=item.role,
    )
