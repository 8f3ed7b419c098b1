"""Free-text descriptions of Drives in nuScenes' manner: a few comma-separated remarks, never all that could be said.

Each remark is a Fact of the Drive with several wordings. Which facts are told and how is drawn, so that text is no
key to the labels: things are left out and have synonyms, but nothing is named that is not there.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from numpy import ndarray
from shapely import LineString, Point, Polygon

from sceneminer.data.synth.catalog import color_name
from sceneminer.data.synth.describe_words import COLOURED, EVENT_PHRASES, MOVING_WORDS, NOUNS, SIDED, kind_of
from sceneminer.data.synth.scene import Actor, Drive, ego_at

NEAR_M = 35.0
"""Actors farther from ego than this all the time are not spoken of."""
_STEP_S = 0.5
_TELL_SKY = 0.94


@dataclass(frozen=True)
class Fact:
    """Something true of a Drive, how much it strikes one, and ways to say it."""

    name: str
    weight: float
    phrases: tuple[str, ...]


def describe_drive(drive: Drive, rng: np.random.Generator) -> str:
    """One description, e.g. "Rain, parked truck, ped crossing crosswalk, turn left"."""
    return tell(sky_facts(drive), drive_facts(drive), rng)


def tell(sky: list[Fact], others: list[Fact], rng: np.random.Generator) -> str:
    """Most of the sky's facts and three to seven of the others, each in one of its wordings."""
    told = [fact for fact in sky if rng.random() < _TELL_SKY]
    count = min(len(others), int(rng.integers(3, 8)))
    if count:
        weight = np.array([fact.weight for fact in others])
        told += [others[i] for i in rng.choice(len(others), size=count, replace=False, p=weight / weight.sum())]
    phrases = [fact.phrases[int(rng.integers(len(fact.phrases)))] for fact in told]
    text = ", ".join(dict.fromkeys(phrases)) or "driving"
    return text[0].upper() + text[1:]


def sky_facts(drive: Drive) -> list[Fact]:
    """Night, rain, fog, wet road, low sun."""
    sky, facts = drive.environment, []
    if sky.is_night:
        facts.append(Fact("night", 1.0, ("night", "night", "dark")))
    if sky.rain_mm_h > 0.5:
        heavy = ("heavy rain",) if sky.rain_mm_h > 6.0 else ()
        facts.append(Fact("rain", 1.0, ("rain", "rain", "raining", *heavy)))
    elif sky.wetness > 0.3:
        facts.append(Fact("wet", 1.0, ("after rain", "wet road")))
    if sky.fog_m < 300.0:
        facts.append(Fact("fog", 1.0, ("fog", "foggy", "low visibility")))
    if 0.0 < sky.sun_elevation_rad < 0.15 and sky.cloud < 0.4 and sky.fog_m > 1000.0:
        facts.append(Fact("low sun", 1.0, ("low sun", "sun low")))
    return facts


def drive_facts(drive: Drive) -> list[Fact]:
    """All that may be said of a Drive, apart from its sky."""
    times = np.arange(0.0, drive.duration_s + 1e-9, _STEP_S)
    ego = np.stack([ego_at(drive, time) for time in times])
    return [
        *_ego_facts(drive, times, ego),
        *_event_facts(drive),
        *_actor_facts(drive, times, ego),
        *_places(drive, ego),
    ]


def _ego_facts(drive: Drive, times: ndarray, ego: Float[ndarray, "t 5"]) -> list[Fact]:
    facts = []
    lanes = {lane.lane_id: lane for lane in drive.town.lanes}
    driven = [lanes[i] for i in dict.fromkeys(drive.ego_lane.tolist()) if i in lanes]
    crossed = [lane for lane in driven if lane.intersection is not None]
    for side in ("left", "right"):
        if any(lane.turn == side for lane in crossed):
            facts.append(Fact(f"turn {side}", 2.0, (f"turn {side}", f"turning {side}", f"{side} turn")))
    if any(lane.turn == "straight" for lane in crossed):
        facts.append(Fact("cross", 0.8, ("cross intersection", "go straight at intersection")))
    if crossed:
        facts.append(Fact("intersection", 1.2, ("intersection", "at intersection", "junction")))
    if any(lane.signal is not None for lane in driven):
        facts.append(Fact("signal", 0.7, ("traffic light", "traffic lights", "signalized intersection")))
    still = ego[:, 4] < 0.3
    if np.sum(still) * _STEP_S >= 3.0:
        facts.append(Fact("wait", 1.6, ("wait", "waiting", "stopped", "standing still")))
    if np.max(ego[:, 4]) > 13.0:
        facts.append(Fact("fast", 0.7, ("high speed driving", "fast")))
    return facts


def _event_facts(drive: Drive) -> list[Fact]:
    actors = {actor.actor_id: actor for actor in drive.actors}
    facts = []
    for event in drive.events:
        others = [actors[i] for i in event.actors if i in actors]
        if event.kind in EVENT_PHRASES and others and event.start_s < drive.duration_s and event.end_s > 0.0:
            nouns = NOUNS[kind_of(others[0])][0]
            phrases = tuple(phrase.format(actor=noun) for phrase in EVENT_PHRASES[event.kind] for noun in nouns)
            facts.append(Fact(event.kind, 3.0 if event.scripted else 1.4, phrases))
    return facts


def _actor_facts(drive: Drive, times: ndarray, ego: Float[ndarray, "t 5"]) -> list[Fact]:
    near: dict[str, list[_Near]] = {}
    for actor in drive.actors:
        met = _meet(actor, times, ego)
        if met is not None:
            near.setdefault(kind_of(actor), []).append(met)
    facts = [fact for kind, group in near.items() for fact in _kind_facts(kind, group)]
    moving = sum(
        near_one.moving for kind in ("car", "van", "pickup", "truck", "bus") for near_one in near.get(kind, ())
    )
    if moving >= 8:
        facts.append(Fact("dense traffic", 1.2, ("dense traffic", "many cars", "busy road")))
    if moving == 0:
        facts.append(Fact("no traffic", 0.8, ("no moving cars", "empty road")))
    return facts


@dataclass(frozen=True)
class _Near:
    """An actor that ego comes near, as it is when nearest."""

    actor: Actor
    distance_m: float
    side: str
    moving: bool
    """At any time while it is near."""


def _meet(actor: Actor, times: ndarray, ego: Float[ndarray, "t 5"]) -> _Near | None:
    sampled = [actor.at(time) for time in times]
    states = np.stack([state for state, _ in sampled])
    offset = states[:, :2] - ego[:, :2]
    distance = np.hypot(*offset.T)
    close = (distance <= NEAR_M) & np.array([present for _, present in sampled])
    if np.sum(close) < 2:
        return None
    nearest = int(np.argmin(np.where(close, distance, np.inf)))
    (dx, dy), yaw = offset[nearest], ego[nearest, 3]
    left = -np.sin(yaw) * dx + np.cos(yaw) * dy
    side = "left" if left > 2.5 else "right" if left < -2.5 else "ahead"
    return _Near(actor, float(distance[nearest]), side, bool(np.any(np.abs(states[close, 4]) > 0.5)))


def _kind_facts(kind: str, group: list[_Near]) -> Iterable[Fact]:
    """What is said of the actors of one kind: the nearest one, and how many there are."""
    singular, plural = NOUNS[kind]
    first = min(group, key=lambda met: (met.distance_m, met.actor.actor_id))
    words = list(singular)
    if kind in COLOURED:
        words += [f"{color_name(first.actor.rgb)} {noun}" for noun in singular]
    if first.actor.category.startswith("vehicle.") and kind not in ("cyclist", "motorcycle", "moped"):
        if first.actor.role == "parked":
            words = [f"parked {word}" for word in words]
        elif first.moving:
            words += [f"{verb} {word}" for verb in MOVING_WORDS for word in words]
    if kind in SIDED and first.side != "ahead":
        words += [f"{word} {first.side}" for word in singular]
    rare = kind not in ("car", "ped", "bicycle", "van")
    yield Fact(kind, 1.6 if rare else 0.7, tuple(words))
    if len(group) >= 3:
        many = 8 if kind in ("car", "ped", "cone", "barrier") else 4
        phrases = [f"many {noun}" for noun in plural] if len(group) >= many else [f"several {noun}" for noun in plural]
        yield Fact(f"{kind}s", 0.6 if kind in ("car", "bicycle") else 1.2, (*phrases, *plural))
    parked = [met for met in group if met.actor.role == "parked"]
    if kind in ("car", "truck", "van", "bicycle") and len(parked) >= 4:
        sides = {met.side for met in parked}
        suffix = f" {sides.pop()}" if len(sides) == 1 else ""
        yield Fact(f"parked {kind}s", 1.4, tuple(f"parked {noun}{suffix}".replace(" ahead", "") for noun in plural))


def _places(drive: Drive, ego: Float[ndarray, "t 5"]) -> list[Fact]:
    """What the town has along the way."""
    path = LineString(ego[:, :2]) if np.ptp(ego[:, :2], axis=0).max() > 0.5 else Point(ego[0, :2])
    town, facts = drive.town, []
    if any(Polygon(crossing.polygon).distance(path) < 6.0 for crossing in town.crossings):
        facts.append(Fact("crosswalk", 0.9, ("crosswalk", "ped crossing", "zebra crossing")))
    if any(Polygon(lot).distance(path) < 25.0 for lot in town.parking_lots):
        facts.append(Fact("parking lot", 1.5, ("parking lot", "car park", "parking area")))
    if any(Polygon(zone.polygon).distance(path) < 25.0 for zone in town.construction):
        facts.append(Fact("construction", 2.2, ("construction", "construction zone", "roadworks", "road work")))
    spots = [spot for spot in town.spots if spot.kind == "bus_stop"]
    if any(path.distance(Point(spot.x_m, spot.y_m)) < 18.0 for spot in spots):
        facts.append(Fact("bus stop", 1.5, ("bus stop", "at bus stop")))
    props = [(prop, path.distance(Point(prop.pose[0], prop.pose[1]))) for prop in town.props]
    if sum("tree" in prop.kind and distance < 20.0 for prop, distance in props) >= 12:
        facts.append(Fact("trees", 0.9, ("trees", "many trees", "tree-lined street")))
    tall = [prop for prop, distance in props if prop.kind == "building" and distance < 45.0 and prop.size_lwh_m[2] > 24]
    if len(tall) >= 2:
        facts.append(Fact("tall buildings", 0.9, ("tall buildings", "high-rise buildings", "high buildings")))
    return facts
