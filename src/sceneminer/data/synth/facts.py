"""What can truly be said of one picture of the town: facts with enough pixels behind them, in a form that compares.

A Fact is a tuple of words. ``SceneFacts.facts`` is closed under leaving out: whoever shows a red bus on the left also
shows a red bus, a bus on the left, a bus and a vehicle. So a text is true of a picture when the text's facts are a
subset of the picture's, and one text may be true of many pictures.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cached_property
from itertools import pairwise, product

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from sceneminer.data.synth.catalog import body_style
from sceneminer.data.synth.describe_words import kind_of
from sceneminer.data.synth.facts_look import look_of
from sceneminer.data.synth.facts_place import places_of, sky_of
from sceneminer.data.synth.facts_state import states_of
from sceneminer.data.synth.render import CameraView
from sceneminer.data.synth.scene import MATERIAL_ID, Actor, Drive, ego_at
from sceneminer.geometry.camera import Camera

Fact = tuple[str, ...]
"""("object", kind, look, state, side) with "" for what is not said; ("count", kind, how many); ("sky", …);
("place", …); ("ego", …); ("event", kind of event, kind of actor)."""

REFERENCE_PX = 128 * 224
"""Pixels are counted as in an image of this size: the smallest that is looked at."""
LEAST_PX = {"cone": 12, "person": 24, "child": 30, "worker": 30, "officer": 50, "dog": 30, "barrier": 24}
_LEAST_VEHICLE_PX = 45
_LEAST_OTHER_PX = 40
_LEAST_ROAD_SHARE = 0.12
_CUT_SHARE = 0.055
"""A vehicle that the image's edge cuts must show this share of the image's width to be told."""
FINE_PX = {"van": 130, "pickup": 150, "ambulance": 130, "police car": 180, "moped": 70, "motorcycle": 60, "truck": 90}
FINE_PX |= {
    "trailer": 110,
    "excavator": 110,
    "construction vehicle": 130,
    "bus": 100,
    "bendy bus": 250,
    "large truck": 120,
    "delivery van": 120,
    "semi-trailer": 150,
    "stroller": 60,
    "wheelchair": 60,
}
"""Kinds that take more pixels to tell; below, a vehicle is only a vehicle."""
LARGE_TRUCK_M = 7.0
TRACE_PX = 4
"""With fewer pixels than this in all, a kind counts as absent."""

PEOPLE = frozenset({"person", "child", "worker", "officer", "stroller", "wheelchair"})
TRAFFIC = frozenset(
    {"car", "van", "pickup", "truck", "large truck", "delivery van", "bus", "bendy bus", "ambulance", "police car"}
)
GENERAL = dict.fromkeys(TRAFFIC, "vehicle") | dict.fromkeys(PEOPLE - {"person"}, "person") | {"excavator": "machine"}
GENERAL |= {"construction vehicle": "machine", "motorcycle": "two-wheeler", "moped": "two-wheeler"}
GENERAL |= {"kick scooter": "two-wheeler", "bendy bus": "bus", "large truck": "truck"}
GENERAL |= {"delivery van": "truck", "semi-trailer": "trailer"}
"""The wider word that also fits."""
MANY = {"person": 5, "vehicle": 6, "car": 6, "cone": 6, "barrier": 5, "bicycle": 5, "cyclist": 3}


@dataclass(frozen=True)
class Sight:
    """One object that is seen."""

    kind: str
    looks: tuple[str, ...]
    """Names of its colour, or of its clothes."""
    states: tuple[str, ...]
    side: str
    """left, right, middle; of a clip: left, right, ahead, behind."""
    share: float
    """Of the image's pixels."""
    distance_m: float
    actor_id: int
    box: tuple[int, int, int, int] = (0, 0, 0, 0)
    """u, v of the first pixel, and of the one past the last."""


@dataclass(frozen=True)
class SceneFacts:
    """What one picture shows, or one clip."""

    sights: tuple[Sight, ...]
    """The largest first."""
    counts: tuple[tuple[str, str], ...]
    """Kind and two, three, several, many or none."""
    sky: tuple[str, ...]
    places: tuple[str, ...]
    ego: tuple[str, ...] = ()
    events: tuple[tuple[str, str], ...] = field(default=())
    """Kind of event and kind of the actor in it."""

    @cached_property
    def facts(self) -> frozenset[Fact]:
        """All that is true here, with everything that may be left out left out."""
        found: set[Fact] = {("count", *count) for count in self.counts}
        found |= {("sky", word) for word in self.sky} | {("place", word) for word in self.places}
        found |= {("ego", word) for word in self.ego} | {("event", *event) for event in self.events}
        for sight in self.sights:
            kinds = (sight.kind, *wider(sight.kind))
            found |= {
                ("object", *words)
                for words in product(kinds, ("", *sight.looks), ("", *sight.states), ("", sight.side))
            }
        return frozenset(found)


def wider(kind: str) -> tuple[str, ...]:
    """The wider kinds that a kind belongs to, the nearest first."""
    found: list[str] = []
    while kind in GENERAL:
        kind = GENERAL[kind]
        found.append(kind)
    return tuple(found)


def describes(text_facts: frozenset[Fact], scene: SceneFacts) -> bool:
    """Whether all that a text says is true of a scene."""
    return text_facts <= scene.facts


def view_facts(
    drive: Drive, time_s: float, view: CameraView, *, ego_from_camera: Float[ndarray, "4 4"], camera: Camera
) -> SceneFacts:
    """What one image shows: only what has pixels enough to be seen at 128×224, whatever its size."""
    scale = REFERENCE_PX / view.actor_id.size
    sights, traces = _sights(drive, time_s, view, scale)
    places = places_of(drive, time_s, view, ego_from_camera=ego_from_camera, camera=camera)
    works = sum(s.share for s in sights if s.kind in ("cone", "barrier", "machine", "excavator", "worker"))
    if works * REFERENCE_PX > 70 and sum(s.kind in ("cone", "barrier") for s in sights) >= 2:
        places += ("construction zone",)
    clear = not drive.environment.is_night and drive.environment.fog_m > 500.0
    if clear and _rack_pixels(drive, view) * scale > 90:
        places += ("bicycle rack",)
    counts = count_words(sights, traces)
    street = street_words(sights, counts)
    if np.mean(view.material_id == MATERIAL_ID["asphalt"]) < _LEAST_ROAD_SHARE:
        street = tuple(word for word in street if word != "empty road")
    return SceneFacts(sights, counts, sky_of(drive.environment), places + street)


def _rack_pixels(drive: Drive, view: CameraView) -> int:
    racks = [a.actor_id for a in drive.actors if a.role == "rack" or a.category == "static_object.bicycle_rack"]
    return int(np.isin(view.actor_id, racks, kind="table").sum()) if racks else 0


def street_words(sights: tuple[Sight, ...], counts: tuple[tuple[str, str], ...], *, dense: int = 5) -> tuple[str, ...]:
    """How full the street is; ``dense`` are the driving vehicles that make traffic dense."""
    driving = [s for s in sights if s.kind in TRAFFIC and not {"parked", "double-parked"} & set(s.states)]
    words: list[str] = []
    if len(driving) >= dense:
        words.append("dense traffic")
        if sum("waiting" in s.states for s in driving) >= dense - 1:
            words.append("traffic jam")
    if not driving and ("vehicle", "none") in counts:
        words.append("empty road")
    for side in ("left", "right"):
        parked = [s for s in sights if "parked" in s.states and s.kind in TRAFFIC and s.side == side]
        if len(parked) >= 3:
            words.append(f"row of parked cars {side}")
    if any(word.startswith("row of parked cars") for word in words):
        words.append("row of parked cars")
    return tuple(words)


def count_words(sights: Iterable[Sight], traces: dict[str, int]) -> tuple[tuple[str, str], ...]:
    """How many there are, kind by kind; ``traces`` are the actors with any pixel at all, also too few to be seen."""
    seen: dict[str, int] = {}
    for sight in sights:
        for kind in (sight.kind, *wider(sight.kind)):
            seen[kind] = seen.get(kind, 0) + 1
    found: list[tuple[str, str]] = []
    for kind, n in sorted(seen.items()):
        if n == traces.get(kind, 0) and n in (1, 2, 3):
            found.append((kind, ("one", "two", "three")[n - 1]))
        if n >= 3:
            found.append((kind, "several"))
        if n >= MANY.get(kind, 4):
            found.append((kind, "many"))
    found += [(kind, "none") for kind in ("person", "vehicle", "cyclist") if not traces.get(kind)]
    return tuple(found)


def _sights(drive: Drive, time_s: float, view: CameraView, scale: float) -> tuple[tuple[Sight, ...], dict[str, int]]:
    rows, columns = np.nonzero(view.actor_id >= 0)
    ids = view.actor_id[rows, columns]
    rgb, material, depth = view.rgb[rows, columns], view.material_id[rows, columns], view.depth_m[rows, columns]
    actors = {actor.actor_id: actor for actor in drive.actors}
    root = np.arange(max(actors, default=0) + 1)
    for actor in drive.actors:  # a bendy bus is one thing
        if actor.category == "vehicle.bus.bendy" and actor.attachment is not None:
            root[actor.actor_id] = actor.attachment
    ids = root[ids].astype(np.uint16)  # sorted by radix, ten times as fast
    order = np.argsort(ids, kind="stable")
    edges = np.flatnonzero(np.diff(ids[order].astype(np.int32), prepend=-1, append=-1))
    ego = ego_at(drive, time_s)
    width = view.actor_id.shape[1]
    found: list[Sight] = []
    traces: dict[str, int] = {}
    for a, b in pairwise(edges.tolist()):
        px = order[a:b]
        actor = actors[int(ids[px[0]])]
        kind = spoken_kind(actor)
        if len(px) * scale >= TRACE_PX and kind:
            for name in (kind, *wider(kind)):
                traces[name] = traces.get(name, 0) + 1
        v, u = rows[px], columns[px]
        box = (int(u.min()), int(v.min()), int(u.max()) + 1, int(v.max()) + 1)
        distance = float(np.median(depth[px]))
        kind = _told_kind(kind, len(px) * scale)
        cut = (box[0] == 0 or box[2] == width) and box[2] - box[0] < _CUT_SHARE * width
        if cut and actor.category.startswith("vehicle."):
            continue
        share = len(px) / view.actor_id.size
        if not kind or not _stands_out(view, rgb[px], box, distance, drive):
            continue
        middle = float(u.mean()) / width
        side = "left" if middle < 0.40 else "right" if middle > 0.60 else "middle"
        looks = look_of(actor, kind, rgb[px], material[px], dark=drive.environment.is_night, scale=scale)
        states = states_of(drive, actor, time_s, ego)
        found.append(Sight(kind, looks, states, side, share, distance, actor.actor_id, box))
    return tuple(sorted(found, key=lambda s: (-s.share, s.actor_id))), traces


def spoken_kind(actor: Actor) -> str:
    """The kind an actor is spoken of as; "" for what nobody would mention."""
    kind = {"ped": "person"}.get(kind_of(actor), kind_of(actor))
    length = actor.size_lwh_m[0]
    if kind == "bus" and actor.category == "vehicle.bus.bendy":
        kind = "bendy bus"
    elif kind == "truck":
        small = "delivery van" if body_style(actor.category, actor.variant) == "delivery" else "truck"
        kind = "large truck" if length >= LARGE_TRUCK_M else small
    elif kind == "trailer" and length >= LARGE_TRUCK_M - 1.0:
        kind = "semi-trailer"
    return "" if actor.role == "rack" or kind in ("debris", "cart", "bike rack") else kind


def _told_kind(kind: str, pixels: float) -> str:
    """The kind that so many pixels show; "" where they are too few."""
    if not kind:
        return ""
    big = {"vehicle", "machine"} & {*wider(kind)}
    least = LEAST_PX.get(kind, _LEAST_VEHICLE_PX if big else _LEAST_OTHER_PX)
    if pixels < least:
        return ""
    return next((k for k in (kind, *wider(kind)) if pixels >= FINE_PX.get(k, 0)), "")


def _stands_out(
    view: CameraView, rgb: ndarray, box: tuple[int, int, int, int], distance_m: float, drive: Drive
) -> bool:
    """Fog has not swallowed it, and it differs from what is around it, or within itself."""
    if distance_m > 0.45 * drive.environment.fog_m:
        return False
    u0, v0, u1, v1 = box
    if (u1 - u0) < 0.008 * view.rgb.shape[1] or (v1 - v0) < 0.02 * view.rgb.shape[0]:
        return False
    if len(rgb) > 0.03 * view.actor_id.size and not drive.environment.is_night:
        return True
    around = view.rgb[max(v0 - 3, 0) : v1 + 3, max(u0 - 3, 0) : u1 + 3].reshape(-1, 3)
    own = rgb.mean(0, dtype=np.float64)
    outside = (around.sum(0, dtype=np.float64) - rgb.sum(0, dtype=np.float64)) / max(len(around) - len(rgb), 1)
    return bool(np.abs(own - outside).max() + 0.5 * rgb.std(0).max() > 14.0)
