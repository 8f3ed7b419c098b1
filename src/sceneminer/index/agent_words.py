"""Names that a filter may use of agents at an instant: columns, categories and relations."""

from collections.abc import Mapping

from sceneminer.data.track import CATEGORIES, VEHICLES, VULNERABLE
from sceneminer.labels.relations import FLAGS, RATES

GROUPS: Mapping[str, frozenset[str]] = {
    "vehicle": VEHICLES | {"motorcycle"},
    "rider": frozenset({"bicycle", "motorcycle", "personal_mobility"}),
    "wheeled": VEHICLES | {"bicycle", "motorcycle", "personal_mobility"},
    "vulnerable": VULNERABLE,
    "road_user": VEHICLES | VULNERABLE,
    "agent": frozenset(CATEGORIES),
}
"""Words for several categories at once, wherever a category may stand."""
MEASURES = ("ttc_s", "drac_mps2", "ttce_s", "dce_m", "thw_s", "pet_s", "a_long_req_mps2", "a_lat_req_mps2")
NUMBERS: Mapping[str, str] = {
    "agent.x_m": "ahead of ego (its rear axle), metres",
    "agent.y_m": "to ego's left",
    "agent.distance_m": "from ego's rear axle, middle to middle",
    "agent.speed_mps": "over ground",
    "agent.yaw_rad": "its heading against ego's",
    "agent.length_m": "",
    "agent.width_m": "",
    "agent.risk": "risk in [0, 1] of this agent at this instant",
    **{f"agent.{name}": words for name, words in RATES.items()},
    **{f"measure.{name}": "" for name in (*MEASURES, "rss_violation")},
}
TEXTS = ("agent.category", "agent.track")
BOOLS: Mapping[str, str] = {f"agent.{name}": words for name, words in FLAGS.items()}
PLACES: Mapping[str, str] = {
    "left_of": "the agent is to the left of an X: beside it, in X's own direction",
    "right_of": "the agent is to the right of an X",
    "ahead_of": "the agent is in front of an X",
    "behind": "the agent is behind an X",
    "has_left": "an X is to the agent's left, in the agent's own direction",
    "has_right": "an X is to the agent's right",
    "has_ahead": "an X is in front of the agent",
    "has_behind": "an X is behind the agent",
    "near": "an X is near the agent, box to box",
}
"""Relations between two: NAME('category' [, metres]); X is a category, a word for several, or 'ego'."""
WITHIN_M: Mapping[str, float] = {"left": 10.0, "right": 10.0, "ahead": 50.0, "behind": 50.0, "near": 5.0}
"""Between boxes, where no distance is given: beside somebody means near, in a line may be far."""
REACH_M = 100.0
TURNS: Mapping[str, str] = {
    "turning": "turning('left'), turning('right') or turning(): by 30° over 4 s, moving at 1 m/s or more",
    "accelerating": "accelerating(): by at least 1 m/s²",
    "braking": "braking(): by at least 1 m/s²",
}
TURN_RAD, TURN_MPS, ACCELERATES_MPS2 = 0.5235987755982988, 1.0, 1.0
LASTING_GAP_US = 1_100_000
"""A condition holds on between two instants of an agent at most this far apart."""


def categories_of(word: str) -> frozenset[str] | None:
    """The categories that a word stands for; None for a word that is none."""
    return GROUPS.get(word) or (frozenset({word}) if word in CATEGORIES else None)
