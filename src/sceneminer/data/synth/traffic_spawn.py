"""Who is on the road when a Drive begins: vehicles and people on foot."""

from dataclasses import replace

import numpy as np
import shapely
from jaxtyping import Float
from numpy import ndarray

from sceneminer.data.synth.catalog import Look, draw_look
from sceneminer.data.synth.pedestrians import ANYWHERE, Walk, WalkNet, WalkStart, draw_walk, lay_walk
from sceneminer.data.synth.scene import Town
from sceneminer.data.synth.traffic_mood import Mood
from sceneminer.data.synth.traffic_net import RoadNet, lane_length, lane_pose, stop_station
from sceneminer.data.synth.traffic_path import STEP_M, Driver, build_path, draw_route
from sceneminer.data.synth.vehicles import WAKE_M, Start

EGO_LOOK = Look((4.084, 1.730, 1.562), (0.92, 0.92, 0.90), (0.40, 0.41, 0.43), 0)
"""Renault Zoe."""
BESIDE_M = (2.75, 4.2)
"""So far to the side lies the middle of the next lane."""
LARGE = ("vehicle.truck", "vehicle.bus.rigid", "vehicle.bus.bendy")


def draw_driver(rng: np.random.Generator, category: str = "vehicle.car") -> Driver:
    """Habits of one driver: most are calm, some hurry, a few follow too closely."""
    haste = float(np.clip(rng.normal(0.0, 1.0), -2.0, 2.4))
    driver = Driver(
        speed_factor=0.96 + 0.07 * haste,
        lateral_mps2=2.1 + 0.25 * haste,
        headway_s=float(np.clip(1.5 - 0.28 * haste + rng.normal(0, 0.15), 0.7, 2.3)),
        accel_mps2=float(np.clip(1.7 + 0.25 * haste, 1.1, 2.4)),
        brake_mps2=float(np.clip(2.0 + 0.2 * haste, 1.5, 2.6)),
        standstill_m=float(np.clip(rng.normal(2.3, 0.5), 1.3, 3.6)),
        gap_margin_s=float(np.clip(1.3 - 0.3 * haste, 0.5, 2.2)),
        politeness=float(np.clip(0.6 - 0.2 * haste, 0.0, 1.0)),
        offset_m=float(np.clip(rng.normal(0.0, 0.07), -0.14, 0.14)),
    )
    changes: dict[str, dict[str, float]] = {
        "vehicle.bicycle": {"top_mps": float(rng.uniform(3.8, 6.5)), "accel_mps2": 1.0, "standstill_m": 1.2},
        "vehicle.motorcycle": {"accel_mps2": 2.4, "standstill_m": 1.5},
        "vehicle.truck": {"accel_mps2": 1.0, "speed_factor": 0.88, "lateral_mps2": 1.5, "offset_m": 0.0},
    }
    kind = "vehicle.truck" if category in LARGE else category
    values = {**vars(driver), **changes.get(kind, {})}
    if category == "vehicle.bicycle":
        values["offset_m"] = -float(rng.uniform(0.55, 0.85))
    return Driver(**values)


def draw_traffic(
    net: RoadNet,
    route: list[int],
    start_m: float,
    ego: Float[ndarray, "n 2"],
    mood: Mood,
    taken: list[tuple[float, float]],
    rng: np.random.Generator,
) -> list[Start]:
    """Moving vehicles on the lanes within 125 m of ego's way, far enough apart to drive off safely."""
    starts: list[Start] = []
    places = np.array([*taken, ego[0]])
    here = ego[0]
    lead = _start_lead(net, route, start_m, mood, rng)
    if lead is not None:
        starts.append(lead)
        places = np.concatenate([places, [lead.path.xy[int(lead.s_m / STEP_M)]]])
    for lane_id in net.lanes:
        lane, length = net.lanes[lane_id], lane_length(net, lane_id)
        middle = lane.centerline[len(lane.centerline) // 2, :2]
        if lane.intersection is not None or length < 20.0 or np.min(np.hypot(*(ego - middle).T)) > 125.0:
            continue
        weight = 0.25 if lane.width_m > 5.0 else 0.55 if lane.speed_limit_mps < 11.5 else 1.25
        for at in np.sort(
            rng.uniform(6.0, length - 4.0, int(rng.poisson(mood.vehicles_per_km * weight * length / 1000)))
        ):
            x, y, yaw = lane_pose(net, lane_id, float(at))
            category = _draw_category(lane.speed_limit_mps, lane.width_m, mood, rng)
            space = 17.0 if category in LARGE else 9.0
            if _too_close(places, (x, y, yaw), space) or blocked(net, lane_id, float(at)):
                continue
            start = _start_vehicle(net, lane_id, float(at), category, mood, rng)
            if start is None:
                continue
            asleep = bool(np.hypot(x - here[0], y - here[1]) > WAKE_M)
            starts.append(Start(**{**vars(start), "asleep": asleep}))
            places = np.concatenate([places, [(x, y)]])
    return starts


def _too_close(places: Float[ndarray, "n 2"], pose: tuple[float, float, float], space_m: float) -> bool:
    """Whether somebody starts within a distance, those in the next lanes apart: they drive side by side."""
    x, y, yaw = pose
    delta = places - (x, y)
    aside = np.abs(delta[:, 1] * np.cos(yaw) - delta[:, 0] * np.sin(yaw))
    return bool(np.any((np.hypot(*delta.T) < space_m) & ((aside < BESIDE_M[0]) | (aside > BESIDE_M[1]))))


def blocked(net: RoadNet, lane_id: int, at_m: float) -> bool:
    """Whether something stands in a lane so near that a vehicle could not start there."""
    return any(b.start_m - 32.0 < at_m < b.end_m + 16.0 for b in net.blockages.get(lane_id, []))


def _start_lead(net: RoadNet, route: list[int], start_m: float, mood: Mood, rng: np.random.Generator) -> Start | None:
    """Now and then somebody who drives ahead of ego and goes the same way."""
    at = start_m + float(rng.uniform(15.0, 30.0))
    wanted, category = rng.random() < mood.lead, _draw_category(14.0, 3.2, mood, rng)
    if (
        not wanted
        or category == "vehicle.bicycle"
        or at > lane_length(net, route[0]) - 12.0
        or blocked(net, route[0], at)
    ):
        return None
    look, driver = draw_look(category, rng), draw_driver(rng, category)
    driver = replace(driver, speed_factor=mood.lead_pace * min(driver.speed_factor, 0.97))
    path = build_path(net, route, driver, half_width_m=look.size_lwh_m[1] / 2)
    return Start(
        category, look, driver, path, at, 0.6 * float(path.cap_mps[int(at / STEP_M)]), False, rider="motor" in category
    )


def _draw_category(limit: float, width: float, mood: Mood, rng: np.random.Generator) -> str:
    roomy = limit > 11.5 and width > 2.9
    rows = {
        "vehicle.bicycle": mood.bikes,
        "vehicle.motorcycle": mood.motorcycles,
        "vehicle.truck": mood.trucks if roomy else 0.0,
        "vehicle.bus.rigid": mood.buses * 0.75 if roomy else 0.0,
        "vehicle.bus.bendy": mood.buses * 0.25 if roomy else 0.0,
        "vehicle.emergency.police": 0.008,
        "vehicle.emergency.ambulance": 0.004,
    }
    rows["vehicle.car"] = 1.0 - sum(rows.values())
    names = list(rows)
    return names[int(rng.choice(len(names), p=np.array(list(rows.values()))))]


def _start_vehicle(
    net: RoadNet, lane_id: int, at_m: float, category: str, mood: Mood, rng: np.random.Generator
) -> Start | None:
    look, driver = draw_look(category, rng), draw_driver(rng, category)
    turns = {"straight": 1.6, "left": 0.7, "right": 0.9}
    back = list(net.lanes[lane_id].predecessors)
    lead = [int(back[int(rng.integers(len(back)))])] if back else []
    route = lead + draw_route(net, lane_id, 330.0, rng, turns=turns)
    dwell = _bus_dwell(net, route, rng) if category.startswith("vehicle.bus") else None
    half = look.size_lwh_m[1] / 2
    path = build_path(net, route, driver, half_width_m=half, dwell=dwell)
    s = at_m + sum(lane_length(net, k) for k in lead)
    if not lead and at_m < look.size_lwh_m[0] / 2 + 1.0:
        return None
    room = stop_station(net, lane_id) - at_m - look.size_lwh_m[0] / 2
    if room < 1.0:
        return None
    cap = float(path.cap_mps[min(int(s / STEP_M), len(path.cap_mps) - 1)])
    speed = min(cap, float(np.sqrt(2.0 * 1.5 * room))) * float(rng.uniform(0.7, 1.0))
    tow = _draw_tow(category, look, rng)
    lapse = (1e9, 1e9)
    rider = category in ("vehicle.bicycle", "vehicle.motorcycle")
    return Start(category, look, driver, path, s, speed, False, rider=rider, tow=tow, lapse=lapse)


def _draw_tow(category: str, look: Look, rng: np.random.Generator) -> Look | None:
    if category == "vehicle.bus.bendy":
        length, width, height = look.size_lwh_m
        return Look((0.85 * length, width, height), look.rgb, look.rgb2, look.variant)
    if category == "vehicle.truck" and rng.random() < 0.22:
        return draw_look("vehicle.trailer", rng, style="box")
    if category == "vehicle.car" and rng.random() < 0.02:
        return draw_look("vehicle.trailer", rng, style="small")
    return None


def _bus_dwell(net: RoadNet, route: list[int], rng: np.random.Generator) -> tuple[int, float, float, float] | None:
    """A stop to make at the first bus stop on the way."""
    for spot in net.town.spots:
        if spot.kind == "bus_stop" and spot.lane in route[1:]:
            line = net.lanes[spot.lane].centerline
            k = int(np.argmin(np.hypot(*(line[:, :2] - (spot.x_m, spot.y_m)).T)))
            x, y, yaw = line[k]
            aside = -(spot.x_m - x) * np.sin(yaw) + (spot.y_m - y) * np.cos(yaw)
            return spot.lane, float(net.stations[spot.lane][k]) + 5.0, float(aside) + 0.1, float(rng.uniform(5.0, 12.0))
    return None


def draw_walkers(
    town: Town, net: WalkNet, ego: Float[ndarray, "n 2"], mood: Mood, rng: np.random.Generator, *, seconds: float
) -> list[WalkStart]:
    """People who walk along the pavements within 70 m of ego's way, alone or in groups."""
    starts: list[WalkStart] = []
    for k, edge in enumerate(net.edges):
        length = float(np.hypot(*np.diff(edge.line, axis=0).T).sum())
        if edge.crossing >= 0 or np.min(np.hypot(*(ego - edge.line[len(edge.line) // 2]).T)) > 70.0:
            continue
        for _ in range(int(rng.poisson(mood.walkers * length / 100.0))):
            starts += _draw_group(net, k, length, mood, rng, seconds=seconds)
    return starts


def _draw_group(
    net: WalkNet, edge: int, length: float, mood: Mood, rng: np.random.Generator, *, seconds: float
) -> list[WalkStart]:
    kinds = ["adult", "child", "stroller", "wheelchair", "personal_mobility", "police_officer", "animal"]
    kind = kinds[int(rng.choice(len(kinds), p=[0.85, 0.055, 0.025, 0.015, 0.02, 0.015, 0.02]))]
    usual = {"child": 1.2, "wheelchair": 1.0, "personal_mobility": 3.2, "stroller": 1.15}.get(kind, 1.35)
    speed = float(np.clip(rng.normal(usual, 0.2), 0.6, 4.5)) * (2.0 if kind == "adult" and rng.random() < 0.04 else 1.0)
    walk = draw_walk(
        net, edge, forward=bool(rng.random() < 0.5), length_m=speed * seconds + length + 5.0, cross=mood.cross, rng=rng
    )
    s = float(rng.uniform(0.0, length))
    side = -float(rng.uniform(0.15, 0.9))
    heed = float(rng.uniform(0.85, 1.15)) if rng.random() > 0.08 else 0.4
    pauses: tuple[tuple[float, float], ...] = ()
    if rng.random() < 0.15:
        begin = float(rng.uniform(-2.0, 15.0))
        pauses = ((begin, begin + float(rng.uniform(3.0, 10.0))),)
    group = []
    size = int(rng.choice([1, 2, 3], p=[0.72, 0.22, 0.06])) if kind in ("adult", "child") else 1
    for n in range(size):
        category = "animal" if kind == "animal" else f"human.pedestrian.{kind if n == 0 else 'adult'}"
        start = WalkStart(category, draw_look(category, rng), walk, s, speed, side + 0.85 * n, pauses, heed)
        group.append(start)
    if kind in ("stroller", "animal"):  # somebody pushes it, or holds the lead
        adult = draw_look("human.pedestrian.adult", rng)
        back = 0.95 if kind == "stroller" else 0.2
        aside = side if kind == "stroller" else side + 0.75
        group.append(WalkStart("human.pedestrian.adult", adult, walk, max(s - back, 0.0), speed, aside, pauses, heed))
    return group


def draw_jaywalkers(net: RoadNet, route: list[int], mood: Mood, rng: np.random.Generator) -> list[WalkStart]:
    """People who cross ego's street away from crossings when the road is free for long enough."""
    starts = []
    lanes = [k for k in route[:9] if net.lanes[k].intersection is None and lane_length(net, k) > 40.0]
    for _ in range(int(rng.poisson(2.0 * mood.jaywalkers))):
        if lanes:
            lane_id = lanes[int(rng.integers(len(lanes)))]
            at = float(rng.uniform(12.0, lane_length(net, lane_id) - 16.0))
            walk = across_road(net, lane_id, at, from_left=bool(rng.random() < 0.5), slant_m=float(rng.normal(0, 2.0)))
            speed = float(np.clip(rng.normal(1.5, 0.25), 0.9, 2.6))
            look = draw_look("human.pedestrian.adult", rng)
            first = walk.entries[0][0]
            start = WalkStart("human.pedestrian.adult", look, walk, max(0.0, first - 1.5), speed, 0.0)
            wait = float(rng.uniform(-6.0, 14.0))
            starts.append(replace(start, pauses=((-1e3, wait),), heed=0.9, role="jaywalk_safe"))
    return starts


def across_road(net: RoadNet, lane_id: int, station_m: float, *, from_left: bool, slant_m: float = 0.0) -> Walk:
    """A way over the whole carriageway beside a lane, from pavement to pavement, and on along the far one."""
    x, y, yaw = lane_pose(net, lane_id, station_m)
    ahead, left = np.array([np.cos(yaw), np.sin(yaw)]), np.array([-np.sin(yaw), np.cos(yaw)])
    middle = np.array([x, y])
    right_m, left_m = -kerb_distance(net, middle, -left), kerb_distance(net, middle, left)
    near, far = (left_m, right_m) if from_left else (right_m, left_m)
    step = np.sign(near)
    points = np.array(
        [
            middle + (near + 1.6 * step) * left - 6.0 * ahead,
            middle + (near + 1.2 * step) * left,
            middle + near * left,
            middle + far * left + slant_m * ahead,
            middle + (far - 1.2 * step) * left + slant_m * ahead,
            middle + (far - 1.4 * step) * left + (slant_m + 14.0) * ahead,
        ]
    )
    parts = [points[:3], points[2:4], points[3:]]
    return lay_walk(parts, [-1, ANYWHERE, -1])


def kerb_distance(net: RoadNet, point: Float[ndarray, "2"], direction: Float[ndarray, "2"]) -> float:
    """Metres from a point on the road to its edge in a direction, at most 25."""
    steps = np.arange(0.5, 25.0, 0.25)
    line = point + steps[:, None] * direction
    inside = np.zeros(len(steps), bool)
    for area in (*net.town.road_segments, *net.town.intersections, *net.town.parking_lots):
        if np.min(np.sum((area - point) ** 2, -1)) < 90.0**2:
            inside |= shapely.contains_xy(shapely.Polygon(area), line[:, 0], line[:, 1])
    outside = np.flatnonzero(~inside)
    return float(steps[outside[0]]) if len(outside) else 25.0
