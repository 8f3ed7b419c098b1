"""What stands still: parked vehicles, works with their cones and barriers, racks, bins, people who wait or sit."""

from dataclasses import dataclass

import numpy as np
import shapely
from jaxtyping import Float
from numpy import ndarray

from sceneminer.data.synth.catalog import Look, draw_look
from sceneminer.data.synth.scene import KERB_M, ConstructionZone, Spot, Town
from sceneminer.data.synth.traffic_mood import Mood
from sceneminer.data.synth.traffic_net import RoadNet, block_lanes, lane_length, lane_pose
from sceneminer.geometry.box import footprint, footprint_gap


@dataclass(frozen=True)
class Still:
    """One thing that never moves during a Drive."""

    category: str
    look: Look
    pose: tuple[float, float, float, float]
    """x, y, z, yaw"""
    role: str
    standing: bool = False
    hazard: bool = False


class Ground:
    """Things set down so far, so that nothing is set down twice in one place."""

    def __init__(self, town: Town) -> None:
        areas = [shapely.Polygon(ring) for ring in (*town.road_segments, *town.intersections)]
        self._road = shapely.buffer(shapely.union_all(areas), 0.15)
        shapely.prepare(self._road)
        self.items: list[Still] = []
        self._corners = np.zeros((0, 4, 2))

    def place(self, item: Still, *, gap_m: float = 0.15) -> bool:
        """Add a thing unless something stands there already, or it belongs on the pavement and would stand off it."""
        corners = corners_of(item)
        if item.pose[2] > 0.0 and shapely.contains_xy(self._road, corners[:, 0], corners[:, 1]).any():
            return False
        near = np.abs(self._corners[:, 0] - corners[0]).sum(-1) < 30.0
        if near.any() and np.min(footprint_gap(corners[None], self._corners[near])) < gap_m:
            return False
        self.items.append(item)
        self._corners = np.concatenate([self._corners, corners[None]])
        return True


def corners_of(item: Still) -> Float[ndarray, "4 2"]:
    """The footprint of a thing."""
    x, y, _, yaw = item.pose
    return footprint(np.array([x, y]), np.array(yaw), np.array(item.look.size_lwh_m[:2]))


def park_vehicles(town: Town, near: Float[ndarray, "n 2"], mood: Mood, rng: np.random.Generator) -> list[Still]:
    """Vehicles on kerb and lot spots within 95 m of ego's way, and bicycles locked to racks on the pavement."""
    found: list[Still] = []
    for spot in town.spots:
        if np.min(np.hypot(*(near - (spot.x_m, spot.y_m)).T)) > 95.0 or spot.kind == "bus_stop":
            continue
        taken = mood.parked if spot.kind == "kerb" else min(0.9, mood.parked + 0.1)
        if rng.random() < taken:
            found += _park(spot, rng)
    return found


def _park(spot: Spot, rng: np.random.Generator) -> list[Still]:
    kind = rng.choice(5, p=[0.88, 0.05, 0.012, 0.03, 0.028])
    category = ("vehicle.car", "vehicle.truck", "vehicle.motorcycle", "vehicle.bicycle", "vehicle.car")[int(kind)]
    look = draw_look(category, rng, style="delivery" if category == "vehicle.truck" else None)
    length, width, _ = look.size_lwh_m
    if length > spot.length_m + 0.3 or width > spot.width_m - 0.05:
        look = draw_look("vehicle.car", rng, style="hatchback")
        category, (length, width, _) = "vehicle.car", look.size_lwh_m
    slack = max(0.0, spot.length_m - length) / 2
    ahead = float(rng.uniform(-slack, slack)) * 0.7
    aside = -max(0.0, spot.width_m - width) / 2 * float(rng.uniform(0.55, 1.0)) if spot.kind == "kerb" else 0.0
    c, s = np.cos(spot.yaw_rad), np.sin(spot.yaw_rad)
    yaw = spot.yaw_rad + float(rng.normal(0.0, 0.012))
    if spot.kind == "lot" and rng.random() < 0.3:
        yaw += np.pi
    x, y = spot.x_m + ahead * c - aside * s, spot.y_m + ahead * s + aside * c
    return [Still(category, look, (x, y, 0.0, yaw), "parked")]


def set_up_works(net: RoadNet, ground: Ground, rng: np.random.Generator) -> None:
    """Cones and barriers round every construction zone, a machine and workers in it; lanes learn to avoid it."""
    for k, zone in enumerate(net.town.construction):
        block_lanes(net, zone.polygon, kind="construction", actor=-2 - k)
        _fence(net, zone, ground, rng)
        ring = zone.polygon
        middle = ring.mean(0)
        _, _, yaw = lane_pose(net, zone.lane, (zone.start_m + zone.end_m) / 2)
        heading = np.array([np.cos(float(yaw)), np.sin(float(yaw))])
        span = (ring - middle) @ np.array([-heading[1], heading[0]])
        room = float(np.ptp(span))
        if room > 2.2:
            category = "vehicle.construction" if rng.random() < 0.8 else "vehicle.truck"
            look = draw_look(category, rng)
            turn = float(yaw) + (np.pi if rng.random() < 0.3 else 0.0)
            shrink = min(look.size_lwh_m[1], room - 0.5)
            look = Look((look.size_lwh_m[0], shrink, look.size_lwh_m[2]), look.rgb, look.rgb2, look.variant)
            at = middle + heading * rng.uniform(-1.0, 1.0)
            ground.place(Still(category, look, (float(at[0]), float(at[1]), 0.0, turn), "construction"))
        for _ in range(int(rng.integers(1, 5))):
            at = middle + heading * rng.uniform(-0.4, 0.4) * (zone.end_m - zone.start_m)
            at = at + np.array([-heading[1], heading[0]]) * rng.uniform(-0.3, 0.3) * room
            look = draw_look("human.pedestrian.construction_worker", rng)
            pose = (float(at[0]), float(at[1]), 0.0, float(rng.uniform(-np.pi, np.pi)))
            ground.place(
                Still("human.pedestrian.construction_worker", look, pose, "construction", standing=rng.random() < 0.85)
            )


def _fence(net: RoadNet, zone: ConstructionZone, ground: Ground, rng: np.random.Generator) -> None:
    """Cones with barriers between them along the inside of a zone's edge."""
    inner = np.asarray(shapely.Polygon(zone.polygon).buffer(-0.4, join_style="mitre").exterior.coords)[:-1]
    barrier_share = float(rng.uniform(0.15, 0.7))
    for a, b in zip(inner, np.roll(inner, -1, 0), strict=True):
        length = float(np.linalg.norm(b - a))
        across = float(np.arctan2(b[1] - a[1], b[0] - a[0]) + np.pi / 2)
        for u in np.arange(0.0, max(length - 0.8, 0.1), 2.6):
            inside = 1.3 < u < length - 1.3
            kind = "movable_object.barrier" if inside and rng.random() < barrier_share else "movable_object.trafficcone"
            x, y = a + (b - a) * (u / max(length, 1e-6))
            pose = (float(x), float(y), 0.0, across + float(rng.normal(0.0, 0.04)))
            ground.place(Still(kind, draw_look(kind, rng), pose, "construction"), gap_m=0.05)


def obstruct(
    net: RoadNet, lane_id: int, station_m: float, ground: Ground, rng: np.random.Generator, *, into_m: float
) -> Still | None:
    """A vehicle double-parked in a lane with its hazard lights on, ``into_m`` of it inside the lane."""
    while (beside := net.lanes[lane_id].right) is not None:  # they stand by the kerb, not between lanes
        lane_id = beside
    lane = net.lanes[lane_id]
    category = ("vehicle.car", "vehicle.truck")[int(rng.random() < 0.35)]
    look = draw_look(category, rng, style="delivery" if category == "vehicle.truck" else None)
    x, y, yaw = lane_pose(net, lane_id, station_m)
    aside = -lane.width_m / 2 + into_m - look.size_lwh_m[1] / 2
    pose = (x - aside * np.sin(yaw), y + aside * np.cos(yaw), 0.0, yaw + float(rng.normal(0.0, 0.02)))
    item = Still(category, look, pose, "parked_obstruction", hazard=True)
    if not ground.place(item, gap_m=0.3):
        return None
    block_lanes(net, corners_of(item), kind="parked_obstruction", actor=len(ground.items) - 1)
    return item


def place_obstructions(net: RoadNet, route: list[int], mood: Mood, ground: Ground, rng: np.random.Generator) -> None:
    """Double-parked vehicles along ego's way, away from junctions and crossings."""
    lanes = [k for k in route if net.lanes[k].intersection is None and lane_length(net, k) > 46.0]
    for _ in range(int(rng.poisson(mood.double_parked))):
        if lanes:
            lane_id = lanes[int(rng.integers(len(lanes)))]
            first = 48.0 if lane_id == route[0] else 20.0 if net.lanes[lane_id].left is None else 32.0
            at = float(rng.uniform(first, max(first + 1.0, lane_length(net, lane_id) - 22.0)))
            if at > lane_length(net, lane_id) - 20.0:
                continue
            obstruct(net, lane_id, at, ground, rng, into_m=float(rng.uniform(0.7, 1.7)))


def furnish(town: Town, near: Float[ndarray, "n 2"], mood: Mood, ground: Ground, rng: np.random.Generator) -> None:
    """Racks with bicycles, bins, and people who stand or sit, beside the pavements near ego's way."""
    density = mood.walkers
    for path in town.walk_paths:
        length = float(np.hypot(*np.diff(path, axis=0).T).sum())
        if length < 18.0 or np.min(np.hypot(*(near - path[len(path) // 2]).T)) > 80.0:
            continue
        for _ in range(int(rng.poisson(length * 0.010))):
            _furniture(path, ground, rng)
        for _ in range(int(rng.poisson(length * 0.004 * density))):
            _idlers(path, ground, rng)
    for spot in town.spots:
        if spot.kind == "bus_stop" and np.min(np.hypot(*(near - (spot.x_m, spot.y_m)).T)) < 90.0:
            _queue_at_stop(spot, int(rng.poisson(1.0 + density * 0.6)), ground, rng)


def _beside(path: Float[ndarray, "n 2"], aside: float, rng: np.random.Generator) -> tuple[float, float, float]:
    k = int(rng.integers(2, max(3, len(path) - 3)))
    way = path[min(k + 1, len(path) - 1)] - path[k - 1]
    yaw = float(np.arctan2(way[1], way[0]))
    return float(path[k, 0] - aside * np.sin(yaw)), float(path[k, 1] + aside * np.cos(yaw)), yaw


def _furniture(path: Float[ndarray, "n 2"], ground: Ground, rng: np.random.Generator) -> None:
    x, y, yaw = _beside(path, float(rng.choice([-1.0, 1.0])) * 1.12, rng)
    if rng.random() < 0.5:
        kind = "movable_object.pushable_pullable" if rng.random() < 0.75 else "movable_object.debris"
        ground.place(Still(kind, draw_look(kind, rng), (x, y, KERB_M, yaw + float(rng.normal(0, 0.3))), "pavement"))
        return
    rack = draw_look("static_object.bicycle_rack", rng)
    rack = Look((rack.size_lwh_m[0], 0.9, rack.size_lwh_m[2]), rack.rgb, rack.rgb2, rack.variant)
    if not ground.place(Still("static_object.bicycle_rack", rack, (x, y, KERB_M, yaw), "pavement")):
        return
    for slot in np.arange(-rack.size_lwh_m[0] / 2 + 0.4, rack.size_lwh_m[0] / 2 - 0.2, 0.7):
        if rng.random() < 0.55:  # bicycles stand inside the rack's box, as nuScenes annotates them
            bike = draw_look("vehicle.bicycle", rng)
            at = (x + slot * np.cos(yaw), y + slot * np.sin(yaw), KERB_M, yaw + np.pi / 2 + float(rng.normal(0, 0.08)))
            ground.items.append(Still("vehicle.bicycle", bike, at, "rack"))


def _idlers(path: Float[ndarray, "n 2"], ground: Ground, rng: np.random.Generator) -> None:
    """One to three people who stand and talk, or one who sits."""
    x, y, yaw = _beside(path, float(rng.choice([-1.0, 1.0])) * float(rng.uniform(0.4, 0.95)), rng)
    count = int(rng.choice([1, 1, 2, 3]))
    sits = count == 1 and rng.random() < 0.3
    for k in range(count):
        turn = 2 * np.pi * k / count
        kind = "human.pedestrian.police_officer" if rng.random() < 0.03 else "human.pedestrian.adult"
        pose = (
            x + 0.55 * np.cos(turn),
            y + 0.55 * np.sin(turn),
            KERB_M,
            turn + np.pi if count > 1 else yaw + np.pi / 2,
        )
        ground.place(Still(kind, draw_look(kind, rng), pose, "pavement", standing=not sits), gap_m=0.05)


def _queue_at_stop(spot: Spot, count: int, ground: Ground, rng: np.random.Generator) -> None:
    for _ in range(count):
        ahead, aside = float(rng.uniform(-5.0, 5.0)), -spot.width_m / 2 - float(rng.uniform(0.7, 2.2))
        c, s = np.cos(spot.yaw_rad), np.sin(spot.yaw_rad)
        pose = (
            spot.x_m + ahead * c - aside * s,
            spot.y_m + ahead * s + aside * c,
            KERB_M,
            spot.yaw_rad + np.pi / 2 + float(rng.normal(0.0, 0.7)),
        )
        kind = "human.pedestrian.child" if rng.random() < 0.1 else "human.pedestrian.adult"
        ground.place(Still(kind, draw_look(kind, rng), pose, "bus_stop", standing=rng.random() < 0.75))
