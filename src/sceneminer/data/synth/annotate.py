"""3-D annotations of a keyframe: boxes, attributes, points and visibility, from what the sensors returned."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Bool, Float, Float32, Int32
from numpy import ndarray

from sceneminer.data.synth.map_expansion import map_offset
from sceneminer.data.synth.scene import Actor, Drive, ego_at
from sceneminer.data.synth.tables import Row, attribute_token, category_token, chain, rounded, token, visibility_token
from sceneminer.geometry.box import box_corners
from sceneminer.geometry.camera import Camera
from sceneminer.geometry.pose import invert, pose_from_yaw, transform

RANGE_M = 80.0
"""Objects farther from ego are not annotated."""
MOVING_MPS = 0.4
_NEAR_M = 0.1
_OCCLUDER_GAP_M = 0.1
"""What is nearer than the box by this much hides it; the object's own mesh may reach its box's face."""


@dataclass
class Sightings:
    """What the sensors of one keyframe saw of each actor: pixels over all cameras, and LiDAR points."""

    visible_px: dict[int, int] = field(default_factory=dict)
    hidden_px: dict[int, int] = field(default_factory=dict)
    """Pixels of the box's silhouette in front of which something else stands."""
    through_px: dict[int, int] = field(default_factory=dict)
    """Pixels of the box's silhouette that show what lies behind: boxes are larger than what they hold."""
    lidar_points: dict[int, int] = field(default_factory=dict)

    def visible_share(self, actor_id: int) -> float:
        """Share of the object that cameras see, of what would be seen if nothing stood in front of it.

        Hidden pixels count as the object's in the same proportion as the pixels of its silhouette that are not
        hidden. Parts outside every image count neither way. 0 for what no camera sees.
        """
        visible = self.visible_px.get(actor_id, 0)
        if visible == 0:
            return 0.0
        filled = visible / (visible + self.through_px.get(actor_id, 0))
        return visible / (visible + filled * self.hidden_px.get(actor_id, 0))


def actor_pose(actor: Actor, time_s: float) -> tuple[Float[ndarray, "4 4"], bool]:
    """Pose of an actor's box centre in the town frame, and whether it is present."""
    (x, y, z, yaw, _), present = actor.at(time_s)
    return pose_from_yaw(x, y, yaw, z_m=z + actor.size_lwh_m[2] / 2), present


def ego_pose(drive: Drive, time_s: float) -> Float[ndarray, "4 4"]:
    """``town_from_ego`` at a time."""
    x, y, z, yaw, _ = ego_at(drive, time_s)
    return pose_from_yaw(x, y, yaw, z_m=z)


def add_camera(
    seen: Sightings,
    drive: Drive,
    time_s: float,
    *,
    actor_id: Int32[ndarray, "h w"],
    depth_m: Float32[ndarray, "h w"],
    ego_from_camera: Float[ndarray, "4 4"],
    camera: Camera,
) -> None:
    """Count what one image, with its actor ids (-1: none) and depths along z, shows and hides of each actor."""
    ids, counts = np.unique(actor_id[actor_id >= 0], return_counts=True)
    _add(seen.visible_px, dict(zip(ids.tolist(), counts.tolist(), strict=True)))
    camera_from_town = invert(ego_pose(drive, time_s) @ ego_from_camera)
    ego_xy = ego_at(drive, time_s)[:2]
    for actor in drive.actors:
        town_from_box, present = actor_pose(actor, time_s)
        if not present or np.hypot(*(town_from_box[:2, 3] - ego_xy)) > RANGE_M:
            continue
        camera_from_box = camera_from_town @ town_from_box
        window = _window(camera, camera_from_box, actor)
        if window is None:
            continue
        entry_m = _box_depth(camera, camera_from_box, actor, window)
        other = (entry_m > 0) & (actor_id[window] != actor.actor_id)
        nearer = depth_m[window] < entry_m - _OCCLUDER_GAP_M
        _add(seen.hidden_px, {actor.actor_id: int(np.sum(other & nearer))})
        _add(seen.through_px, {actor.actor_id: int(np.sum(other & ~nearer))})


def add_lidar(seen: Sightings, actor_id: Int32[ndarray, "n"]) -> None:
    """Count a sweep's points by actor (-1: none)."""
    ids, counts = np.unique(actor_id[actor_id >= 0], return_counts=True)
    _add(seen.lidar_points, dict(zip(ids.tolist(), counts.tolist(), strict=True)))


def annotation_tables(
    drive: Drive, key: str, *, times_s: list[float], samples: list[str], sightings: Mapping[int, Sightings]
) -> dict[str, list[Row]]:
    """Rows of ``instance`` and ``sample_annotation`` of one log.

    An actor is annotated at a keyframe when it is present, within 80 m of ego, and has a LiDAR point or a visible
    pixel. ``sightings`` are by keyframe index, ``samples`` the keyframes' tokens.
    """
    instances: list[Row] = []
    annotations: list[Row] = []
    for actor in drive.actors:
        instance = token("instance", key, actor.actor_id)
        rows = [
            _annotation(drive, actor, instance, sample=samples[k], time_s=times_s[k], seen=seen)
            for k, seen in sorted(sightings.items())
            if _is_annotated(drive, actor, times_s[k], seen)
        ]
        if not rows:
            continue
        chain(rows)
        annotations += rows
        instances.append(
            {
                "token": instance,
                "category_token": category_token(actor.category),
                "nbr_annotations": len(rows),
                "first_annotation_token": rows[0]["token"],
                "last_annotation_token": rows[-1]["token"],
            }
        )
    return {"instance": instances, "sample_annotation": annotations}


def attribute_of(actor: Actor, time_s: float) -> str | None:
    """nuScenes attribute of an actor at a time; None for kinds that have none."""
    speed = abs(actor.at(time_s)[0][4])
    if actor.category in ("vehicle.bicycle", "vehicle.motorcycle"):
        return "cycle.with_rider" if actor.rider else "cycle.without_rider"
    if actor.category.startswith("vehicle."):
        if speed > MOVING_MPS:
            return "vehicle.moving"
        never_moves = len(actor.states) == 1
        return "vehicle.parked" if actor.role == "parked" or never_moves else "vehicle.stopped"
    if actor.category.startswith("human."):
        if speed > MOVING_MPS / 2:
            return "pedestrian.moving"
        return "pedestrian.standing" if actor.standing else "pedestrian.sitting_lying_down"
    return None


def _is_annotated(drive: Drive, actor: Actor, time_s: float, seen: Sightings) -> bool:
    state, present = actor.at(time_s)
    near = np.hypot(*(state[:2] - ego_at(drive, time_s)[:2])) <= RANGE_M
    sensed = actor.actor_id in seen.lidar_points or actor.actor_id in seen.visible_px
    return bool(present and near and sensed)


def _annotation(drive: Drive, actor: Actor, instance: str, *, sample: str, time_s: float, seen: Sightings) -> Row:
    pose, _ = actor_pose(actor, time_s)
    length, width, height = actor.size_lwh_m
    yaw = np.arctan2(pose[1, 0], pose[0, 0])
    attribute = attribute_of(actor, time_s)
    return {
        "token": token("annotation", instance, sample),
        "sample_token": sample,
        "instance_token": instance,
        "visibility_token": visibility_token(seen.visible_share(actor.actor_id)),
        "attribute_tokens": [] if attribute is None else [attribute_token(attribute)],
        "translation": rounded(pose[:3, 3] + (*map_offset(drive.town), 0.0), 3),
        "size": rounded((width, length, height), 3),
        "rotation": rounded((np.cos(yaw / 2), 0.0, 0.0, np.sin(yaw / 2)), 9),
        "num_lidar_pts": seen.lidar_points.get(actor.actor_id, 0),
        "num_radar_pts": 0,
    }


def _window(camera: Camera, camera_from_box: ndarray, actor: Actor) -> tuple[slice, slice] | None:
    """Rows and columns that the box can cover; None where it lies outside the image."""
    corners = box_corners(camera_from_box, np.array(actor.size_lwh_m))
    if np.all(corners[:, 2] < _NEAR_M):
        return None
    if np.any(corners[:, 2] < _NEAR_M):
        return slice(0, camera.height_px), slice(0, camera.width_px)
    u = camera.fx * corners[:, 0] / corners[:, 2] + camera.cx
    v = camera.fy * corners[:, 1] / corners[:, 2] + camera.cy
    left, right = max(int(np.floor(u.min())), 0), min(int(np.ceil(u.max())) + 1, camera.width_px)
    top, bottom = max(int(np.floor(v.min())), 0), min(int(np.ceil(v.max())) + 1, camera.height_px)
    return (slice(top, bottom), slice(left, right)) if left < right and top < bottom else None


def _box_depth(
    camera: Camera, camera_from_box: ndarray, actor: Actor, window: tuple[slice, slice]
) -> Float[ndarray, "y x"]:
    """Depth along z at which each pixel's ray enters the box; 0 where it misses."""
    v, u = np.mgrid[window]
    rays = np.stack([(u - camera.cx) / camera.fx, (v - camera.cy) / camera.fy, np.ones(u.shape)], -1)
    box_from_camera = invert(camera_from_box)
    direction = rays @ box_from_camera[:3, :3].T
    origin = transform(box_from_camera, np.zeros((1, 3)))[0]
    half = np.array(actor.size_lwh_m) / 2
    direction = np.where(np.abs(direction) < 1e-9, 1e-9, direction)
    one, two = (-half - origin) / direction, (half - origin) / direction
    enter, leave = np.minimum(one, two).max(-1), np.maximum(one, two).min(-1)
    hit: Bool[ndarray, "y x"] = (leave > enter) & (enter > _NEAR_M)
    return np.where(hit, enter, 0.0)


def _add(counts: dict[int, int], more: Mapping[int, int]) -> None:
    for key, count in more.items():
        counts[key] = counts.get(key, 0) + count
