"""The 20 tags, in order, and the words for them: prompts for zero-shot tagging, with their contrasts. Pure data."""

from collections.abc import Mapping

TAGS: tuple[str, ...] = (
    "night",
    "rain",
    "intersection",
    "ego_turn_left",
    "ego_turn_right",
    "ego_wait",
    "high_speed",
    "lane_change",
    "following_lead",
    "dense_traffic",
    "many_pedestrians",
    "pedestrian_crossing",
    "jaywalker",
    "cyclist",
    "two_wheeler",
    "bus",
    "large_truck",
    "construction_zone",
    "parked_obstruction",
    "parking_lot",
)

TAG_PROMPTS: Mapping[str, tuple[str, ...]] = {
    "night": (
        "a street at night",
        "a photo taken from a car in the dark, lit by headlights and street lamps",
        "driving after nightfall under a black sky",
        "a dark road with glowing lamps and lit windows",
    ),
    "rain": (
        "a street in the rain",
        "driving through rain with drops on the lens",
        "a wet road that reflects lights during a shower",
        "a rainy day seen through a car's camera",
    ),
    "intersection": (
        "a street intersection",
        "a crossroads with traffic lights",
        "a car arriving at a junction of two roads",
        "the middle of a wide crossing of streets",
    ),
    "ego_turn_left": (
        "the car is turning left",
        "the view swings as the car turns left at a junction",
        "making a left turn onto another street",
    ),
    "ego_turn_right": (
        "the car is turning right",
        "the view swings as the car turns right at a corner",
        "making a right turn onto another street",
    ),
    "ego_wait": (
        "waiting at a red traffic light",
        "the car stands still in a queue",
        "stopped behind the stop line",
        "a car waiting for others to pass",
    ),
    "high_speed": (
        "driving fast on a wide open road",
        "a multi-lane road driven at high speed",
        "a fast arterial road or highway",
    ),
    "lane_change": (
        "the car is changing lanes",
        "crossing a dashed lane marking into the next lane",
        "moving over to overtake another vehicle",
    ),
    "following_lead": (
        "driving behind another car",
        "following the vehicle ahead in the same lane",
        "the back of a car close ahead on the road",
    ),
    "dense_traffic": (
        "heavy traffic with many vehicles",
        "a congested street full of cars",
        "a traffic jam",
        "cars queueing in every lane",
    ),
    "many_pedestrians": (
        "many people on the pavement",
        "a crowd of pedestrians beside the road",
        "a busy street with lots of people walking",
    ),
    "pedestrian_crossing": (
        "a pedestrian crossing the street",
        "people walking over a zebra crossing",
        "a person on the crosswalk in front of the car",
    ),
    "jaywalker": (
        "a pedestrian crossing the road where there is no crosswalk",
        "a jaywalker",
        "a person walking across the lanes between cars",
        "somebody steps out onto the road",
    ),
    "cyclist": (
        "a person riding a bicycle",
        "a cyclist on the road",
        "a bicycle rider beside the car",
    ),
    "two_wheeler": (
        "a motorcycle or scooter",
        "a motorbike in traffic",
        "a person on an electric kick scooter",
        "a moped rider",
    ),
    "bus": (
        "a bus on the road",
        "a city bus at a bus stop",
        "a long articulated bus",
    ),
    "large_truck": (
        "a large truck",
        "a lorry with a big cargo box",
        "a heavy goods vehicle or semi-trailer in the street",
    ),
    "construction_zone": (
        "a construction zone on the road",
        "road works with traffic cones and barriers",
        "an excavator and orange cones beside the lane",
    ),
    "parked_obstruction": (
        "a parked vehicle blocking the lane",
        "a delivery van double-parked on the road ahead",
        "a stopped truck that has to be driven around",
    ),
    "parking_lot": (
        "a parking lot",
        "rows of parked cars in a car park",
        "driving through a parking area",
    ),
}
"""What each tag looks like, in the ways people say it."""

TAG_NEGATIVES: Mapping[str, tuple[str, ...]] = {
    "night": ("a street in daylight", "a bright day under a clear sky", "an overcast day"),
    "rain": ("a dry road", "a dry street in the sun", "an overcast day without rain"),
    "intersection": ("a straight road between two junctions", "a street without side roads", "a parking lot"),
    "ego_turn_left": ("the car is driving straight on", "the car is turning right", "the car stands still"),
    "ego_turn_right": ("the car is driving straight on", "the car is turning left", "the car stands still"),
    "ego_wait": ("driving along a free road", "the car is moving with traffic"),
    "high_speed": ("a slow narrow street", "the car stands still", "a parking lot"),
    "lane_change": ("the car keeps to its lane", "a narrow street with a single lane"),
    "following_lead": ("an empty lane ahead", "a free road with nobody in front"),
    "dense_traffic": ("an empty street", "a quiet road with one or two cars"),
    "many_pedestrians": ("a street without people", "an empty pavement", "one person on the pavement"),
    "pedestrian_crossing": ("an empty crosswalk", "people walking along the pavement", "a road without people"),
    "jaywalker": ("people on the pavement", "people on a zebra crossing", "an empty road"),
    "cyclist": ("a street without bicycles", "parked bicycles in a rack", "a person on foot"),
    "two_wheeler": ("a street with cars only", "a bicycle", "a person on foot"),
    "bus": ("a street with cars only", "a large truck", "a van"),
    "large_truck": ("a street with cars only", "a bus", "a pickup truck"),
    "construction_zone": ("a street without road works", "a clear road", "parked cars at the kerb"),
    "parked_obstruction": ("a free lane ahead", "cars parked neatly at the kerb", "cars waiting at a red light"),
    "parking_lot": ("a street between houses", "cars parked at the kerb", "an intersection"),
}
"""What the tag is most easily confused with, for zero-shot contrast."""

BACKGROUND_PROMPTS: tuple[str, ...] = (
    "a street",
    "a photo from a car's camera",
    "an ordinary road in a city",
    "a road with buildings and trees",
)
"""What nearly every image of a drive shows: contrast for any tag."""
