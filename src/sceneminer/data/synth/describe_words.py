"""Words for what a Drive holds: each kind of actor and event has several, as annotators have."""

from collections.abc import Mapping

from sceneminer.data.synth.catalog import body_style
from sceneminer.data.synth.scene import Actor

NOUNS: Mapping[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "car": (("car",), ("cars",)),
    "van": (("van",), ("vans",)),
    "pickup": (("pickup",), ("pickups",)),
    "truck": (("truck", "lorry"), ("trucks", "lorries")),
    "bus": (("bus",), ("buses",)),
    "trailer": (("trailer",), ("trailers",)),
    "construction vehicle": (("construction vehicle", "construction machine"), ("construction vehicles",)),
    "excavator": (("excavator", "digger"), ("excavators",)),
    "ambulance": (("ambulance",), ("ambulances",)),
    "police car": (("police car", "police vehicle"), ("police cars",)),
    "motorcycle": (("motorcycle", "motorbike"), ("motorcycles", "motorbikes")),
    "moped": (("moped",), ("mopeds",)),
    "cyclist": (("cyclist", "bicyclist", "person on a bike"), ("cyclists", "bicyclists")),
    "bicycle": (("bicycle", "bike"), ("bicycles", "bikes")),
    "ped": (("ped", "pedestrian", "person walking"), ("peds", "pedestrians", "people")),
    "child": (("child", "kid"), ("children", "kids")),
    "stroller": (("stroller", "ped with stroller"), ("strollers",)),
    "wheelchair": (("wheelchair", "person in wheelchair"), ("wheelchairs",)),
    "worker": (("construction worker", "road worker"), ("construction workers", "workers")),
    "officer": (("police officer",), ("police officers",)),
    "kick scooter": (("person on kick scooter", "e-scooter"), ("e-scooters",)),
    "dog": (("dog",), ("dogs",)),
    "cone": (("traffic cone",), ("traffic cones", "cones")),
    "barrier": (("barrier",), ("barriers", "road barriers")),
    "bin": (("bin", "rubbish bin"), ("bins",)),
    "cart": (("cart",), ("carts",)),
    "debris": (("debris", "object on road"), ("debris", "objects on road")),
    "bike rack": (("bike rack", "bicycle rack"), ("bike racks", "bicycle racks")),
}
"""Singular and plural words by kind; a colour or a state may stand before each."""

COLOURED = frozenset({"car", "van", "pickup", "truck", "bus"})
"""Kinds whose colour annotators mention."""
SIDED = frozenset(
    {"truck", "bus", "ped", "worker", "bike rack", "cone", "barrier", "construction vehicle", "excavator"}
)
"""Kinds of which it is said on which side they are."""
MOVING_WORDS = ("moving", "driving")

_BY_CATEGORY = {
    "vehicle.truck": "truck",
    "vehicle.bus.rigid": "bus",
    "vehicle.bus.bendy": "bus",
    "vehicle.trailer": "trailer",
    "vehicle.construction": "construction vehicle",
    "vehicle.emergency.ambulance": "ambulance",
    "vehicle.emergency.police": "police car",
    "human.pedestrian.adult": "ped",
    "human.pedestrian.child": "child",
    "human.pedestrian.construction_worker": "worker",
    "human.pedestrian.police_officer": "officer",
    "human.pedestrian.stroller": "stroller",
    "human.pedestrian.wheelchair": "wheelchair",
    "human.pedestrian.personal_mobility": "kick scooter",
    "animal": "dog",
    "movable_object.trafficcone": "cone",
    "movable_object.barrier": "barrier",
    "movable_object.debris": "debris",
    "static_object.bicycle_rack": "bike rack",
}
_BY_STYLE = {
    ("vehicle.car", "van"): "van",
    ("vehicle.car", "pickup"): "pickup",
    ("vehicle.construction", "excavator"): "excavator",
    ("vehicle.motorcycle", "scooter"): "moped",
    ("movable_object.pushable_pullable", "bin"): "bin",
    ("movable_object.pushable_pullable", "cart"): "cart",
}
_OTHERWISE = {"vehicle.car": "car", "vehicle.motorcycle": "motorcycle"}

EVENT_PHRASES: Mapping[str, tuple[str, ...]] = {
    "cut_in": ("{actor} cutting in", "cut in by {actor}", "{actor} merging in front"),
    "hard_brake": ("{actor} braking hard", "sudden braking", "{actor} ahead brakes"),
    "jaywalk": ("jaywalker", "{actor} crossing outside crosswalk", "jaywalking {actor}"),
    "step_out": ("{actor} stepping onto road", "{actor} steps out"),
    "occluded_cyclist": ("{actor} appearing from behind vehicle", "hidden {actor}"),
    "run_red": ("{actor} running red light", "{actor} ignoring red light"),
    "door_side_cyclist": ("{actor} close alongside", "{actor} passing very close"),
    "near_miss": ("near miss with {actor}", "close encounter with {actor}"),
    "overtake": ("overtaking {actor}", "pass {actor}"),
    "follow": ("following a {actor}", "follow {actor}", "behind a {actor}"),
    "crossing_pedestrian": ("{actor} crossing crosswalk", "{actor} crossing street", "{actor} on crosswalk"),
    "yield_to_pedestrian": ("yield to {actor}", "wait for {actor}", "give way to {actor}"),
    "parked_obstruction": ("{actor} blocking lane", "obstacle in lane", "{actor} standing in lane"),
}
"""What is said of events between ego and an actor; events not listed here are told by ego's own motion."""


def kind_of(actor: Actor) -> str:
    """The kind under which an actor is spoken of."""
    if actor.category == "vehicle.bicycle":
        return "cyclist" if actor.rider else "bicycle"
    if actor.category in _BY_CATEGORY and actor.category != "vehicle.construction":
        return _BY_CATEGORY[actor.category]
    style = _BY_STYLE.get((actor.category, body_style(actor.category, actor.variant)))
    return style or _OTHERWISE.get(actor.category) or _BY_CATEGORY[actor.category]
