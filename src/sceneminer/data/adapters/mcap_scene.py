"""Boxes of agents out of Foxglove's SceneUpdate: an entity with an id and one cube is an agent at one time.

Source: Foxglove schemas (SceneUpdate, SceneEntity, CubePrimitive); of an entity's ``metadata`` the pairs named below
are read, which are those that sceneminer and Foxglove's own nuScenes converter write.
"""

from collections import Counter
from collections.abc import Mapping
from typing import NamedTuple, get_args

from sceneminer.data.adapters import mcap_foxglove as fox
from sceneminer.data.adapters.mcap_records import Channel
from sceneminer.data.adapters.nuscenes_store import category_of as nuscenes_category
from sceneminer.data.media import is_text
from sceneminer.data.track import Category

CLASS_KEYS = ("category", "class", "label", "type")
"""What a class may be called in metadata, in any case; the first that is there counts."""
SOURCE_KEY, ATTRIBUTE_KEY, MADE_UP_KEY = "source_category", "attribute", "interpolated"
"""The data set's own name for the class; one of its attributes, which may be there several times; and, if it is
``true``, that nobody annotated the box: it is passed over."""
LARGEST_M = 1000.0
"""No agent is longer."""
LONGEST_TEXT = 200
_FARTHEST_M = 1e7
_OTHERS = ("arrows", "spheres", "cylinders", "lines", "triangles", "texts", "models")
_OURS: Mapping[str, Category] = {name: name for name in get_args(Category)}
_WORDS: Mapping[str, Category] = {
    "vehicle": "car",
    "van": "car",
    "motorbike": "motorcycle",
    "motorcyclist": "motorcycle",
    "bike": "bicycle",
    "cyclist": "bicycle",
    "bicyclist": "bicycle",
    "person": "pedestrian",
    "traffic_cone": "cone",
}


class Cube(NamedTuple):
    """One agent at one time, in a frame of the recording."""

    stamp_ns: int | None
    frame: str
    agent: str
    position_m: tuple[float, ...]
    quat_wxyz: tuple[float, ...]
    size_lwh_m: tuple[float, ...]
    category: str
    """As the recording has it; empty where it has none."""
    source_category: str
    attributes: frozenset[str]


def category_of(name: str) -> Category | None:
    """Our category for a class by our own names, nuScenes' or a common word; None where it is none of these."""
    plain = name.strip().lower()
    if plain in _OURS:
        return _OURS[plain]
    found = nuscenes_category(plain)
    return _WORDS.get(plain.replace(" ", "_")) if found == "other" else found


def read_scene(channel: Channel, data: bytes | memoryview) -> tuple[list[Cube], Counter[str]]:
    """The agents of one SceneUpdate, and what else its entities are, counted. ValueError where it does not parse.

    Deletions say nothing of where an agent is: it was where its last box is.
    """
    cubes: list[Cube] = []
    others: Counter[str] = Counter()
    for entity in fox.children(fox.fields_of(channel, data), "entities"):
        try:
            why = _no_agent(entity)
            if why is None and (cube := _cube(entity)) is not None:
                cubes.append(cube)
        except ValueError:
            why = BROKEN
        if why:
            others[why] += 1
    return cubes, others


BROKEN = "finite poses and sizes and short texts"
"""What an entity that was meant as an agent did not have."""


def _no_agent(entity: fox.Fields) -> str | None:
    """What an entity is instead of an agent, empty where it is nothing; None of an agent."""
    count = len(fox.children(entity, "cubes"))
    if count == 0:
        return " and ".join(key for key in _OTHERS if entity.get(key))
    if count > 1:
        return "several cubes"
    return None if fox.text(entity, "id") else "a cube without an id"


def _cube(entity: fox.Fields) -> Cube | None:
    """None of one that was made up between others."""
    (cube,) = fox.children(entity, "cubes")
    pose, size = fox.child(cube, "pose"), fox.child(cube, "size")
    at, turn = fox.child(pose, "position"), fox.child(pose, "orientation")
    facts: dict[str, str] = {}
    attributes = set()
    for pair in fox.children(entity, "metadata"):
        key, value = _short(fox.text(pair, "key")).lower(), fox.text(pair, "value")
        if key == ATTRIBUTE_KEY:
            attributes.add(_short(value))
        elif key == MADE_UP_KEY and value == "true":
            return None
        elif key in (*CLASS_KEYS, SOURCE_KEY):
            facts.setdefault(key, _short(value))
    category = next((facts[key] for key in CLASS_KEYS if facts.get(key)), "")
    found = Cube(
        fox.stamp_ns_of(entity),
        fox.text(entity, "frame_id").lstrip("/"),
        _short(fox.text(entity, "id")),
        tuple(fox.number(at, key) for key in "xyz"),
        tuple(fox.number(turn, key) for key in "wxyz") if turn else (1.0, 0.0, 0.0, 0.0),
        tuple(fox.number(size, key) for key in "xyz"),
        category,
        facts.get(SOURCE_KEY) or category,
        frozenset(attributes),
    )
    length = sum(v * v for v in found.quat_wxyz)
    if abs(length - 1) > 0.02 or max(map(abs, found.position_m)) > _FARTHEST_M:
        raise ValueError("expected a unit quaternion and a place on earth")
    if not all(0 < v <= LARGEST_M for v in found.size_lwh_m):
        raise ValueError(f"expected sides of up to {LARGEST_M} m, found {found.size_lwh_m}")
    return found


def _short(text: str) -> str:
    if len(text) > LONGEST_TEXT or not is_text(text):
        raise ValueError(f"expected at most {LONGEST_TEXT} letters, found {len(text)} or half letters")
    return text
