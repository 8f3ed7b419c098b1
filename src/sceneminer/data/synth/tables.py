"""The nuScenes v1.0 tables: rows that are the same in every folder, tokens, and how a table is written.

Source: nuScenes schema (nuscenes-devkit, docs/schema_nuscenes.md), with the lidarseg category list and its indices.
"""

import hashlib
import itertools
import json
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from sceneminer.data.synth.rig import MOUNTS

Row = dict[str, Any]

TABLES = (
    "attribute",
    "calibrated_sensor",
    "category",
    "ego_pose",
    "instance",
    "log",
    "map",
    "sample",
    "sample_annotation",
    "sample_data",
    "scene",
    "sensor",
    "visibility",
)
"""The 13 tables of nuScenes v1.0; every folder has all of them."""

CATEGORIES: tuple[tuple[str, str], ...] = (
    ("noise", "A LiDAR return that belongs to no solid thing, such as rain or a mirror image."),
    ("animal", "A cat, dog, bird or other animal."),
    ("human.pedestrian.adult", "A grown person on foot."),
    ("human.pedestrian.child", "A child on foot."),
    ("human.pedestrian.construction_worker", "A person at work on a building or road site."),
    ("human.pedestrian.personal_mobility", "A person on a small scooter, board or the like."),
    ("human.pedestrian.police_officer", "A police officer on foot."),
    ("human.pedestrian.stroller", "A pram or stroller, with the child in it."),
    ("human.pedestrian.wheelchair", "A wheelchair, with the person in it."),
    ("movable_object.barrier", "A barrier put up for a while to guide traffic."),
    ("movable_object.debris", "Something left on the road that is too large to drive over."),
    ("movable_object.pushable_pullable", "A bin, cart or trolley that a person pushes or pulls."),
    ("movable_object.trafficcone", "A traffic cone."),
    ("static_object.bicycle_rack", "A rack, with the bicycles parked in it."),
    ("vehicle.bicycle", "A bicycle, with its rider if there is one."),
    ("vehicle.bus.bendy", "One section of an articulated bus."),
    ("vehicle.bus.rigid", "A bus of one section."),
    ("vehicle.car", "A car, van or other vehicle for up to ten people."),
    ("vehicle.construction", "An excavator, roller or other machine for building."),
    ("vehicle.emergency.ambulance", "An ambulance."),
    ("vehicle.emergency.police", "A police vehicle."),
    ("vehicle.motorcycle", "A motorcycle or moped, with its rider if there is one."),
    ("vehicle.trailer", "Something pulled by a vehicle."),
    ("vehicle.truck", "A vehicle made to carry goods."),
    ("flat.driveable_surface", "Ground that vehicles may drive on."),
    ("flat.other", "Flat ground that is none of the others, such as water or a rail bed."),
    ("flat.sidewalk", "Raised ground for people on foot."),
    ("flat.terrain", "Grass, soil and other natural ground."),
    ("static.manmade", "Buildings, walls, poles and signs."),
    ("static.other", "Something solid that is none of the others."),
    ("static.vegetation", "Trees, bushes and hedges."),
    ("vehicle.ego", "The recording vehicle itself."),
)
"""(name, description); the position is the lidarseg index."""

ATTRIBUTES: tuple[tuple[str, str], ...] = (
    ("vehicle.moving", "It moves."),
    ("vehicle.stopped", "It stands but means to go on."),
    ("vehicle.parked", "It stands and nobody means to drive it soon."),
    ("cycle.with_rider", "Somebody sits on it."),
    ("cycle.without_rider", "Nobody sits on it."),
    ("pedestrian.moving", "The person moves."),
    ("pedestrian.standing", "The person stands."),
    ("pedestrian.sitting_lying_down", "The person sits or lies."),
)

VISIBILITY_BOUNDS = (0.4, 0.6, 0.8)
"""Visible shares at which levels 2, 3 and 4 begin."""


def token(*parts: object) -> str:
    """32 hex digits that depend on the parts and on nothing else."""
    return hashlib.sha256("\x1f".join(map(str, parts)).encode()).hexdigest()[:32]


def category_token(name: str) -> str:
    return token("category", name)


def attribute_token(name: str) -> str:
    return token("attribute", name)


def sensor_token(channel: str) -> str:
    return token("sensor", channel)


def visibility_token(share: float) -> str:
    """Level 1 to 4 of a visible share, as the token of its row."""
    return str(1 + sum(share >= bound for bound in VISIBILITY_BOUNDS))


def fixed_tables(channels: tuple[str, ...]) -> dict[str, list[Row]]:
    """The rows of category, attribute, visibility and sensor."""
    bounds = (0, *(round(100 * bound) for bound in VISIBILITY_BOUNDS), 100)
    return {
        "category": [
            {"token": category_token(name), "name": name, "description": text, "index": index}
            for index, (name, text) in enumerate(CATEGORIES)
        ],
        "attribute": [{"token": attribute_token(name), "name": name, "description": text} for name, text in ATTRIBUTES],
        "visibility": [
            {
                "token": str(level),
                "level": f"v{low}-{high}",
                "description": f"between {low} and {high} % of the object is visible",
            }
            for level, (low, high) in enumerate(itertools.pairwise(bounds), 1)
        ],
        "sensor": [
            {"token": sensor_token(mount.channel), "channel": mount.channel, "modality": mount.modality}
            for mount in MOUNTS
            if mount.channel in channels
        ],
    }


def chain(rows: list[Row]) -> list[Row]:
    """The same rows, each naming its neighbours in ``prev`` and ``next`` ("" at the ends)."""
    tokens = ["", *(row["token"] for row in rows), ""]
    for row, before, after in zip(rows, tokens[:-2], tokens[2:], strict=True):
        row["prev"], row["next"] = before, after
    return rows


def write_json(path: Path, value: object) -> None:
    """Write JSON whole or not at all: a reader, or a run after a kill, never finds half a file."""
    if isinstance(value, list):
        text = "[\n" + ",\n".join(json.dumps(row) for row in value) + "\n]\n"
    else:
        text = json.dumps(value) + "\n"
    write_bytes(path, text.encode())


def write_bytes(path: Path, data: bytes) -> None:
    """Write a file whole or not at all; two processes may write the same one at once."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    partial.write_bytes(data)
    partial.replace(path)


def rounded(values: Iterable[float], digits: int) -> list[float]:
    """Plain floats for JSON: 0.1 mm and 1e-9 of a rotation are far below what any sensor knows."""
    return [round(float(value), digits) + 0.0 for value in values]
