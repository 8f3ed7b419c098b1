"""Tracks of any data set as nuScenes instances and annotations."""

import numpy as np
from jaxtyping import Float, Int
from numpy import ndarray

from sceneminer.data.adapters.nuscenes_store import category_of
from sceneminer.data.log import Log
from sceneminer.data.synth.tables import (
    ATTRIBUTES,
    CATEGORIES,
    Row,
    attribute_token,
    category_token,
    chain,
    fixed_tables,
    token,
)
from sceneminer.data.track import Category, Track
from sceneminer.export.origin import clean
from sceneminer.export.subject import MAX_GAP_US
from sceneminer.geometry.pose import interpolate_poses, rotation_to_quat

UNKNOWN_VISIBILITY = "0"
"""A level that nuScenes does not have: what is visible of an object is not read from any data set."""
UNKNOWN_POINTS = -1

# The first class of nuScenes that means the same; the last two are ours, for nuScenes has no such class.
_NUSCENES: dict[Category, str] = {
    "car": "vehicle.car",
    "truck": "vehicle.truck",
    "bus": "vehicle.bus.rigid",
    "trailer": "vehicle.trailer",
    "construction_vehicle": "vehicle.construction",
    "motorcycle": "vehicle.motorcycle",
    "bicycle": "vehicle.bicycle",
    "pedestrian": "human.pedestrian.adult",
    "personal_mobility": "human.pedestrian.personal_mobility",
    "animal": "animal",
    "cone": "movable_object.trafficcone",
    "barrier": "movable_object.barrier",
    "debris": "movable_object.debris",
    "bicycle_rack": "static_object.bicycle_rack",
    "emergency_vehicle": "vehicle.emergency",
    "other": "other",
}


def category_name(track: Track) -> str:
    """The data set's own class where nuScenes' naming gives it the same meaning, else nuScenes' class for it."""
    own = track.source_category
    known = own in {name for name, _ in CATEGORIES} or "." in own
    return clean(own) if known and category_of(own) == track.category else _NUSCENES[track.category]


def annotation_tables(
    tracks: tuple[Track, ...], log: Log, scene: str, *, times_us: Int[ndarray, "s"], samples: list[str]
) -> dict[str, list[Row]]:
    """Rows of ``instance`` and ``sample_annotation`` of one scene, with a row for each sample that a track is at.

    Boxes are those at the samples' times; for a track with boxes at other times too, they are interpolated there.
    """
    instances: list[Row] = []
    annotations: list[Row] = []
    for track in tracks:
        instance = token("instance", scene, track.track_id)
        rows = _track_rows(track, log, instance, times_us=times_us, samples=samples)
        if not rows:
            continue
        annotations += chain(rows)
        instances.append(
            {
                "token": instance,
                "category_token": category_token(category_name(track)),
                "nbr_annotations": len(rows),
                "first_annotation_token": rows[0]["token"],
                "last_annotation_token": rows[-1]["token"],
                "source_track_id": clean(track.track_id),
            }
        )
    return {"instance": instances, "sample_annotation": annotations}


def vocabulary(tracks_used: set[str], attributes_used: set[str]) -> dict[str, list[Row]]:
    """The tables of categories, attributes and visibilities: nuScenes' own, and behind them what else is used."""
    tables = {name: rows for name, rows in fixed_tables(()).items() if name != "sensor"}
    own = "As the data set has it; not a class of nuScenes."
    for name in sorted(tracks_used - {name for name, _ in CATEGORIES}):
        index = len(tables["category"])
        row = {"token": category_token(name), "name": name, "description": own, "index": index}
        tables["category"].append(row)
    for name in sorted(attributes_used - {name for name, _ in ATTRIBUTES}):
        tables["attribute"].append({"token": attribute_token(name), "name": name, "description": own})
    unknown = {"token": UNKNOWN_VISIBILITY, "level": "unknown", "description": "how much is visible is not known"}
    tables["visibility"].insert(0, unknown)
    return tables


def _track_rows(track: Track, log: Log, instance: str, *, times_us: Int[ndarray, "s"], samples: list[str]) -> list[Row]:
    poses, present = _boxes_at(track, log, times_us)
    nearest = np.abs(track.times_us[None, :] - times_us[:, None]).argmin(1)
    exact = track.times_us[nearest] == times_us
    rows = []
    for k in np.flatnonzero(present):
        at = int(nearest[k])
        length, width, height = track.size_lwh_m[at].tolist()
        attributes = sorted(clean(name) for name in track.attributes[at]) if track.attributes else []
        points = UNKNOWN_POINTS if track.lidar_points is None or not exact[k] else int(track.lidar_points[at])
        rows.append(
            {
                "token": token("annotation", instance, samples[k]),
                "sample_token": samples[k],
                "instance_token": instance,
                "visibility_token": UNKNOWN_VISIBILITY,
                "attribute_tokens": [attribute_token(name) for name in attributes],
                "translation": poses[k, :3, 3].tolist(),
                "size": [width, length, height],
                "rotation": rotation_to_quat(poses[k, :3, :3]).tolist(),
                "num_lidar_pts": points,
                "num_radar_pts": 0,
            }
        )
    return rows


def _boxes_at(track: Track, log: Log, times_us: Int[ndarray, "s"]) -> tuple[Float[ndarray, "s 4 4"], ndarray]:
    """``world_from_box`` at times and where it is there: where a sample has no box, none is made up between others."""
    right = np.clip(np.searchsorted(track.times_us, times_us), 0, len(track.times_us) - 1)
    exact = track.times_us[right] == times_us
    if np.all(np.isin(track.times_us, log.reference_times_us)):
        return track.world_from_box[right], exact
    poses, held_us = interpolate_poses(track.times_us, track.world_from_box, times_us, max_gap_us=MAX_GAP_US)
    poses = np.where(exact[:, None, None], track.world_from_box[right], poses)
    return poses, exact | (held_us == 0)
