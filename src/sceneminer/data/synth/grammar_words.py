"""Words for facts of the town: nouns with synonyms, what objects look like and do, sky, places, ego's own motion."""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Noun:
    """A kind of object, in singular and plural."""

    one: tuple[str, ...]
    more: tuple[str, ...]
    rare: tuple[str, ...] = ()
    """Synonyms that training text has in object captions only, and held-out captions prefer."""


NOUNS: Mapping[str, Noun] = {
    "car": Noun(("car", "car", "passenger car"), ("cars",), ("automobile",)),
    "vehicle": Noun(("vehicle",), ("vehicles", "cars and other vehicles"), ("motor vehicle",)),
    "van": Noun(("van", "cargo van"), ("vans",), ("transporter",)),
    "pickup": Noun(("pickup", "pickup truck"), ("pickups", "pickup trucks"), ("pick-up",)),
    "truck": Noun(("truck", "lorry"), ("trucks", "lorries"), ("goods truck",)),
    "large truck": Noun(
        ("large truck", "heavy goods vehicle", "big lorry"), ("large trucks", "big lorries"), ("large goods truck",)
    ),
    "delivery van": Noun(("delivery van", "delivery truck"), ("delivery vans",), ("parcel van",)),
    "bus": Noun(("bus", "bus", "city bus"), ("buses",), ("coach",)),
    "bendy bus": Noun(("articulated bus", "long articulated bus", "bendy bus"), ("articulated buses",), ("long bus",)),
    "trailer": Noun(("trailer",), ("trailers",)),
    "semi-trailer": Noun(("semi-trailer", "trailer with a big cargo box"), ("semi-trailers",)),
    "construction vehicle": Noun(("construction vehicle", "construction machine"), ("construction vehicles",)),
    "machine": Noun(("construction machine", "work machine"), ("construction machines",), ("construction engine",)),
    "excavator": Noun(("excavator", "digger"), ("excavators", "diggers"), ("power shovel",)),
    "ambulance": Noun(("ambulance",), ("ambulances",), ("rescue vehicle",)),
    "police car": Noun(("police car", "police vehicle"), ("police cars",), ("patrol car",)),
    "motorcycle": Noun(("motorcycle", "motorbike"), ("motorcycles", "motorbikes"), ("motor bike",)),
    "moped": Noun(("moped", "scooter", "motor scooter"), ("mopeds", "scooters"), ("light motorcycle",)),
    "two-wheeler": Noun(("two-wheeler", "motorcycle or scooter"), ("two-wheelers",)),
    "cyclist": Noun(
        ("cyclist", "bicycle rider", "person riding a bicycle", "person on a bike"),
        ("cyclists", "people on bicycles"),
        ("bicyclist", "bike rider"),
    ),
    "bicycle": Noun(("bicycle", "bike"), ("bicycles", "bikes"), ("pedal bike",)),
    "person": Noun(("pedestrian", "person", "ped", "somebody"), ("pedestrians", "people", "persons"), ("walker",)),
    "child": Noun(("child", "kid"), ("children", "kids"), ("youngster",)),
    "stroller": Noun(("stroller", "pram"), ("strollers",), ("baby carriage",)),
    "wheelchair": Noun(("wheelchair", "person in a wheelchair"), ("wheelchairs",), ("wheelchair user",)),
    "worker": Noun(("construction worker", "road worker"), ("construction workers", "workers"), ("workman",)),
    "officer": Noun(("police officer",), ("police officers",), ("policeman",)),
    "kick scooter": Noun(
        ("person on an electric kick scooter", "kick scooter rider", "e-scooter rider"),
        ("people on kick scooters", "e-scooters"),
        ("electric scooter rider",),
    ),
    "dog": Noun(("dog",), ("dogs",)),
    "cone": Noun(("traffic cone", "cone"), ("traffic cones", "cones"), ("road cone",)),
    "barrier": Noun(("barrier", "road barrier"), ("barriers", "road barriers"), ("barricade",)),
    "bin": Noun(("bin", "rubbish bin"), ("bins", "rubbish bins"), ("trash bin",)),
}
MOUNTED = {"motorcycle": ("motorcycle rider", "motorcyclist"), "moped": ("moped rider",)}
"""What a two-wheeler with somebody on it may be called, too."""

COLOR_WORDS: Mapping[str, tuple[str, ...]] = {
    "grey": ("grey", "gray"),
    "purple": ("purple", "violet"),
    "beige": ("beige", "tan"),
    "silver": ("silver", "silver-coloured"),
}
"""Other words for a colour; the rest have their own name only."""


@dataclass(frozen=True)
class State:
    """What an object is or does, in four positions."""

    before: tuple[str, ...]
    """Before the noun."""
    after: tuple[str, ...]
    verb: tuple[str, ...]
    tag: tuple[str, ...]
    """After the noun in a list of remarks."""


_VEHICLE = {
    "parked": State(("parked",), ("that is parked", "parked at the side"), ("is parked", "stands parked"), ("parked",)),
    "kerb": State(
        ("neatly parked",), ("at the kerb", "parked at the kerb"), ("is parked at the kerb",), ("parked at kerb",)
    ),
    "moving": State(
        ("moving", "passing"),
        ("driving along", "on the move", "on the road", "in traffic"),
        ("drives along", "is driving", "moves along"),
        ("moving", "driving"),
    ),
    "waiting": State(
        ("waiting", "stopped"),
        ("standing still", "that waits", "that has stopped", "in a queue", "queueing"),
        ("waits", "stands still", "is waiting", "has stopped"),
        ("waiting", "stopped"),
    ),
    "braking": State(
        ("braking",), ("slowing down", "with its brake lights on"), ("brakes", "is slowing down"), ("braking",)
    ),
    "turning": State(("turning",), ("taking a turn", "in a turn"), ("turns", "is turning"), ("turning",)),
    "oncoming": State(
        ("oncoming",),
        ("coming towards us", "coming the other way"),
        ("comes towards us", "comes the other way"),
        ("oncoming",),
    ),
    "leading": State(
        (),
        ("ahead in our lane", "in front of us in the same lane", "close ahead on the road", "seen from the back"),
        ("is ahead in our lane", "is in front of us in the same lane"),
        ("ahead in lane", "in front"),
    ),
    "double-parked": State(
        ("double-parked",),
        ("blocking the lane", "stopped in the lane with hazard lights", "that has to be driven around"),
        ("blocks the lane", "is double-parked on the road ahead", "has to be driven around"),
        ("blocking lane", "double-parked"),
    ),
}
_PERSON = {
    "walking": State(("walking",), ("walking along", "on foot"), ("walks along", "is walking"), ("walking",)),
    "standing": State(("standing",), ("standing around", "waiting"), ("stands around", "is standing"), ("standing",)),
    "sitting": State(("sitting",), ("sitting down",), ("sits", "is sitting"), ("sitting",)),
    "pavement": State(
        (),
        ("on the pavement", "on the sidewalk", "beside the road"),
        ("is on the pavement", "keeps to the sidewalk"),
        ("on pavement", "on sidewalk"),
    ),
    "crossing": State(
        ("crossing",),
        ("crossing the street", "crossing the road", "walking over the road"),
        ("crosses the street", "crosses the road", "is crossing"),
        ("crossing street", "crossing"),
    ),
    "crosswalk": State(
        (),
        ("on the crosswalk", "on a zebra crossing", "using the crosswalk in front of cars"),
        ("walks over the zebra crossing", "is on the crosswalk"),
        ("on crosswalk", "crossing crosswalk"),
    ),
    "jaywalking": State(
        ("jaywalking",),
        ("crossing where there is no crosswalk", "walking across the lanes", "out on the road between cars"),
        ("walks across the lanes", "steps out onto the road", "crosses where there is no crosswalk"),
        ("jaywalking", "crossing without crosswalk"),
    ),
}
_RIDER = {
    "riding": State(
        (), ("riding along", "riding on the road", "riding by"), ("rides along", "rides on the road"), ("riding",)
    ),
    "parked": State(("parked",), ("that is parked", "without a rider"), ("is parked",), ("parked",)),
}
STATES: Mapping[str, Mapping[str, State]] = {"vehicle": _VEHICLE, "person": _PERSON, "rider": _RIDER}
JAYWALKER = ("jaywalker",)
RIDERS = frozenset({"cyclist", "bicycle", "motorcycle", "moped", "two-wheeler", "kick scooter"})
WALKERS = frozenset({"person", "child", "worker", "officer", "stroller", "wheelchair"})

SIDES: Mapping[str, tuple[str, ...]] = {
    "left": ("on the left", "to the left", "on the left side"),
    "right": ("on the right", "to the right", "on the right side"),
    "middle": ("in the middle", "in the centre"),
    "ahead": ("ahead", "in front of the car", "further ahead"),
    "behind": ("behind us", "behind the car"),
}
COUNTS: Mapping[str, tuple[str, ...]] = {
    "one": ("one", "a single", "just one"),
    "two": ("two", "a couple of", "a pair of"),
    "three": ("three",),
    "several": ("several", "a few", "some"),
    "many": ("many", "lots of", "a lot of", "a great number of"),
    "none": ("no",),
}
NOBODY = ("nobody on foot", "not a single person", "nobody to be seen")
CROWD = ("a crowd of", "a whole crowd of")


@dataclass(frozen=True)
class Setting:
    """A sky or a place, as a noun, an adverb, an adjective of the street, and in a list."""

    noun: tuple[str, ...] = ()
    adverb: tuple[str, ...] = ()
    adjective: tuple[str, ...] = ()
    tag: tuple[str, ...] = ()
    plural: bool = False
    weight: float = 0.6


SKY: Mapping[str, Setting] = {
    "night": Setting(
        adverb=(
            "at night",
            "in the dark",
            "after nightfall",
            "under a black sky",
            "lit by headlights and street lamps",
            "among glowing lamps",
        ),
        adjective=("dark",),
        tag=("night", "night", "dark"),
        weight=1.5,
    ),
    "dusk": Setting(
        adverb=("in the twilight", "in low light", "under a low sun"), adjective=("dim",), tag=("twilight", "low light")
    ),
    "day": Setting(
        adverb=("by day", "in daylight", "during the day"), adjective=("daytime",), tag=("day", "daylight"), weight=0.25
    ),
    "rain": Setting(
        adverb=("in the rain", "during a shower", "through rain"),
        adjective=("rainy",),
        tag=("rain", "raining"),
        weight=1.5,
    ),
    "drops": Setting(
        noun=("drops on the lens", "drops on the camera's lens"), tag=("drops on lens",), plural=True, weight=0.8
    ),
    "wet road": Setting(
        adverb=("on a wet road", "on wet asphalt", "on a road that reflects lights"),
        adjective=("wet",),
        tag=("wet road",),
        weight=0.8,
    ),
    "fog": Setting(
        adverb=("in fog", "in the mist", "with poor visibility"),
        adjective=("foggy", "misty"),
        tag=("fog", "foggy"),
        weight=1.5,
    ),
    "overcast": Setting(
        adverb=("under an overcast sky", "under grey clouds", "on a cloudy day"),
        adjective=("overcast", "cloudy"),
        tag=("overcast", "cloudy"),
        weight=0.6,
    ),
    "sunny": Setting(
        adverb=("in sunshine", "under a clear sky", "on a sunny day", "in the sun", "on a bright day"),
        adjective=("sunny", "bright"),
        tag=("sunny", "clear sky"),
        weight=0.6,
    ),
    "dry": Setting(adverb=("on a dry road", "without rain"), adjective=("dry",), tag=("dry",), weight=0.15),
}
PLACES: Mapping[str, Setting] = {
    "intersection": Setting(
        (
            "an intersection",
            "a street intersection",
            "a junction of two roads",
            "the middle of a wide crossing of streets",
        ),
        (
            "at an intersection",
            "at a junction",
            "at a crossroads",
            "where two roads meet",
        ),
        (),
        ("intersection", "at junction", "crossroads"),
        weight=1.1,
    ),
    "zebra crossing": Setting(
        ("a zebra crossing", "a crosswalk", "the stripes of a crosswalk"),
        ("before a zebra crossing", "near a crosswalk"),
        (),
        ("crosswalk", "ped crossing", "zebra crossing"),
    ),
    "parking lot": Setting(
        ("a parking lot", "a car park", "a parking area", "rows of parked cars in a car park"),
        ("by a parking lot", "next to a car park", "beside a parking area"),
        (),
        ("parking lot", "car park"),
        weight=1.6,
    ),
    "construction zone": Setting(
        ("a construction zone", "road works with cones and barriers", "roadworks", "a construction site on the road"),
        ("at a construction zone", "beside road works", "near a construction site"),
        (),
        ("construction", "construction zone", "road works"),
        weight=2.0,
    ),
    "traffic light": Setting(("a traffic light", "traffic lights"), ("by a traffic light",), (), ("traffic light",)),
    "red traffic light": Setting(
        ("a red traffic light", "a traffic light on red"), ("with the light on red",), (), ("red light",)
    ),
    "green traffic light": Setting(
        ("a green traffic light", "a traffic light on green"), ("with the light on green",), (), ("green light",)
    ),
    "amber traffic light": Setting(("an amber traffic light",), (), (), ("amber light",)),
    "bus stop": Setting(
        ("a bus stop", "a bus shelter"), ("at a bus stop", "near a bus shelter"), (), ("bus stop",), weight=1.5
    ),
    "billboard": Setting(("a billboard", "a poster board"), ("near a billboard",), (), ("billboard",), weight=1.0),
    "advert column": Setting(("an advertising column",), (), (), ("advertising column",)),
    "stop sign": Setting(("a stop sign",), ("at a stop sign",), (), ("stop sign",), weight=1.0),
    "trees": Setting(("trees", "some trees"), ("along trees",), (), ("trees",), True, 0.5),
    "many trees": Setting(
        ("many trees", "lots of green trees"), ("under many trees",), ("leafy", "tree-lined"), ("many trees",), True
    ),
    "grass": Setting(("grass", "a strip of grass", "a lawn"), ("beside grass",), ("green",), ("grass",), False, 0.5),
    "buildings": Setting(("buildings", "houses"), ("between houses", "along buildings"), (), ("buildings",), True, 0.3),
    "brick buildings": Setting(
        ("brick houses", "brick buildings"), ("along brick houses",), (), ("brick buildings",), True, 0.6
    ),
    "plaster buildings": Setting(
        ("plastered houses",), ("along plastered houses",), (), ("plastered houses",), True, 0.6
    ),
    "concrete buildings": Setting(
        ("concrete buildings",), ("along concrete buildings",), (), ("concrete buildings",), True, 0.6
    ),
    "tall buildings": Setting(
        ("tall buildings", "high-rise buildings"),
        ("between tall buildings",),
        (),
        ("tall buildings", "high-rise"),
        True,
    ),
    "lit windows": Setting(("lit windows", "houses with lit windows"), (), (), ("lit windows",), True, 0.6),
    "row of parked cars": Setting(
        ("a row of parked cars", "cars parked in a row"), ("along a row of parked cars",), (), ("parked cars",)
    ),
    "row of parked cars left": Setting(
        ("a row of parked cars on the left",), (), (), ("parked cars left",), weight=0.6
    ),
    "row of parked cars right": Setting(
        ("a row of parked cars on the right",), (), (), ("parked cars right",), weight=0.6
    ),
    "dense traffic": Setting(
        ("heavy traffic", "dense traffic", "a street full of cars", "many vehicles in every lane"),
        ("in heavy traffic", "in dense traffic"),
        ("congested", "busy"),
        ("dense traffic", "heavy traffic", "many cars"),
        weight=1.8,
    ),
    "traffic jam": Setting(
        ("a traffic jam", "cars queueing", "a queue of cars in every lane"),
        ("in a traffic jam",),
        ("jammed",),
        ("traffic jam", "queue"),
        weight=1.8,
    ),
    "empty road": Setting(
        ("an empty road",),
        ("on an empty road", "on a free open road"),
        ("empty", "quiet"),
        ("empty road", "no traffic"),
        weight=0.8,
    ),
    "bicycle rack": Setting(
        ("bicycles in a rack", "a bike rack", "parked bicycles in a bicycle rack"), (), (), ("bike rack",), weight=0.9
    ),
    "narrow street": Setting(
        ("only one lane each way",), ("on a narrow street",), ("narrow",), ("narrow street",), weight=0.3
    ),
    "multi-lane road": Setting(
        ("several lanes",), ("on a multi-lane road", "on a wide road"), ("wide", "multi-lane"), ("wide road",)
    ),
}
GROUPS: tuple[frozenset[str], ...] = (
    frozenset({"trees", "many trees"}),
    frozenset(
        {"buildings", "brick buildings", "plaster buildings", "concrete buildings", "tall buildings", "lit windows"}
    ),
    frozenset({"traffic light", "red traffic light", "green traffic light", "amber traffic light"}),
    frozenset({"row of parked cars", "row of parked cars left", "row of parked cars right"}),
    frozenset({"narrow street", "multi-lane road"}),
    frozenset({"dense traffic", "traffic jam", "empty road"}),
    frozenset({"rain", "wet road", "dry"}),
    frozenset({"night", "dusk", "day", "sunny", "overcast"}),
)
"""Of each group at most one word is said."""

RARE_KINDS: Mapping[str, float] = {"car": 0.55, "person": 0.8, "vehicle": 0.35, "cone": 0.7, "barrier": 0.7, "bin": 0.4}
"""How much a kind strikes one, next to 1.2 for the others."""
