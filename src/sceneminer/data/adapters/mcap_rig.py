"""Cameras and ego's motion of a recording, from camera infos, transforms and odometry."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Bool, Float, Int
from numpy import ndarray

from sceneminer.data.adapters.mcap_clock import Clock, Messages
from sceneminer.data.adapters.mcap_frames import (
    EGO_FRAMES,
    WORLD_FRAMES,
    Tree,
    a_from_b,
    build_tree,
    chain,
    moves,
    poses_between,
)
from sceneminer.data.adapters.mcap_log import path_of
from sceneminer.data.adapters.mcap_messages import Intrinsics, Transform, kind_of, read_transforms, said
from sceneminer.data.adapters.mcap_recording import Recording
from sceneminer.data.errors import Issue, MediaError
from sceneminer.data.log import HELD_US, MAX_POSE_GAP_US, Modality, Sensor
from sceneminer.geometry.camera import Camera, CameraModel
from sceneminer.geometry.pose import interpolate_poses, pose_from_rotation

_PINHOLE = ("", "plumb_bob", "rational_polynomial", "radtan", "brown_conrady")
_FISHEYE = ("equidistant", "fisheye", "kannala_brandt")


@dataclass(frozen=True, eq=False)
class Motion:
    """The frames that are ego's and the world's, all frames, and ego's poses in the world (empty: unknown)."""

    ego: str
    world: str
    tree: Tree
    times_us: Int[ndarray, "p"]
    world_from_ego: Float[ndarray, "p 4 4"]
    issues: tuple[Issue, ...]


def read_motion(
    recordings: Sequence[Recording], topics: Mapping[str, Messages], clock: Clock
) -> tuple[Motion, list[Issue]]:
    """Frames and ego's poses by all topics that tell them, and what of those is unreadable."""
    issues: list[Issue] = []
    transforms: list[tuple[Transform, int]] = []
    odometry: dict[str, list[tuple[Transform, int]]] = {}
    for topic, messages in topics.items():
        kind = kind_of(messages.channel)
        if kind not in ("transform", "pose"):
            continue
        rows = []
        broken: list[Issue] = []
        for row, data in messages.data.items():
            name, log_ns = recordings[int(messages.file[row])].name, int(messages.log_ns[row])
            try:
                each = said(name, read_transforms, messages.channel, data)
            except MediaError as error:
                broken.append(error.issue)
                continue
            rows += [(t, clock.moment_us(t.stamp_ns, log_ns)) for t in each]
        issues += [replace(broken[0], count=len(broken))] if broken else []
        if kind == "transform":
            transforms += rows
        elif rows:
            odometry[topic] = rows
    return find_motion(transforms, odometry), issues


def find_motion(transforms: list[tuple[Transform, int]], odometry: Mapping[str, list[tuple[Transform, int]]]) -> Motion:
    """Ego's poses by the transforms, else by the odometry topic that has most of them in a frame of the world."""
    tree, issues = build_tree(transforms)
    frames = {*tree, *(edge.parent for edge in tree.values())}
    children = [t.child for rows in odometry.values() for t, _ in rows[:1] if t.child]
    ego = next(
        (f for f in (*EGO_FRAMES[:1], *children, *EGO_FRAMES) if f in frames),
        children[0] if children else EGO_FRAMES[0],
    )
    up = chain(tree, ego)
    for world in (*(w for w in WORLD_FRAMES if w in up), up[-1]):
        found = poses_between(tree, world, ego) if world != ego else None
        if found is not None:
            return Motion(ego, world, tree, *found, tuple(issues))
    ranked = sorted(odometry, key=lambda t: (_world_rank(odometry[t]), -len(odometry[t]), t))
    for topic in ranked:
        own, found = build_tree(odometry[topic])
        issues += found
        # A pose without a named child (PoseInFrame) is taken as ego's own.
        for child, edge in own.items():
            joined = {**{k: e for k, e in tree.items() if k != (child or ego)}, (child or ego): edge}
            poses = poses_between(joined, edge.parent, ego)
            if poses is not None:
                issues += _others_left(ranked, topic)
                return Motion(ego, edge.parent, tree, *poses, tuple(issues))
    return Motion(ego, "", tree, np.zeros(0, np.int64), np.zeros((0, 4, 4)), tuple(issues))


def _world_rank(rows: list[tuple[Transform, int]]) -> int:
    parent = rows[0][0].parent if rows else ""
    return WORLD_FRAMES.index(parent) if parent in WORLD_FRAMES else len(WORLD_FRAMES)


def _others_left(topics: list[str], taken: str) -> list[Issue]:
    others = [topic for topic in topics if topic != taken]
    reason = f"expected one topic of ego's poses, found {len(topics)}; {taken} is taken"
    return [Issue("no_pose", others[0], reason, len(others))] if others else []


def world_from_frame(
    motion: Motion, frame: str, times_us: Int[ndarray, "m"]
) -> tuple[Float[ndarray, "m 4 4"], Bool[ndarray, "m"]]:
    """Poses of a frame in the world, and when they are known: what hangs on ego is, while ego's pose is."""
    if frame == motion.world:
        return np.broadcast_to(np.eye(4), (len(times_us), 4, 4)), np.ones(len(times_us), bool)
    if motion.ego in chain(motion.tree, frame):
        world_from_ego, held_us = interpolate_poses(
            motion.times_us, motion.world_from_ego, times_us, max_gap_us=MAX_POSE_GAP_US
        )
        ego_from_frame = a_from_b(motion.tree, motion.ego, frame, times_us)
        assert ego_from_frame is not None
        return world_from_ego @ ego_from_frame, held_us <= HELD_US
    poses = a_from_b(motion.tree, motion.world, frame, times_us)
    if poses is None:
        return np.broadcast_to(np.eye(4), (len(times_us), 4, 4)), np.zeros(len(times_us), bool)
    return poses, np.ones(len(times_us), bool)


def place_sensor(
    name: str, modality: Modality, frame: str, motion: Motion, start_us: int
) -> tuple[Sensor, bool, list[Issue]]:
    """A sensor where the transforms say it is; whether they do."""
    at = np.array([start_us], np.int64)
    pose = np.eye(4)[None] if frame == motion.ego else a_from_b(motion.tree, motion.ego, frame, at)
    if pose is None:
        reason = f"expected transforms from {motion.ego} to {frame or '(no frame)'}, found none; not calibrated"
        return Sensor(name, modality, np.eye(4)), False, [Issue("no_calibration", name, reason)]
    issues = []
    if moves(motion.tree, motion.ego, frame):
        reason = f"expected {frame} to be fixed to {motion.ego}, found it moving; its place at the start is taken"
        issues.append(Issue("no_calibration", name, reason))
    return Sensor(name, modality, np.array(pose[0])), True, issues


def intrinsics_for(topic: str, frame: str, found: Mapping[str, Intrinsics]) -> tuple[str, Intrinsics] | None:
    """The camera info of an image topic: that of its namespace, else the only one of its frame."""
    beside = [t for t in found if path_of(t) == path_of(topic)]
    same_frame = [t for t in found if frame and found[t].frame == frame]
    best = beside[:1] or (same_frame if len(same_frame) == 1 else [])
    return (best[0], found[best[0]]) if best else None


def camera_of(
    name: str, said: Intrinsics, *, rectified: bool, size: tuple[int, int] | None
) -> tuple[Camera | None, Float[ndarray, "4 4"], list[Issue]]:
    """The camera of images of that size, the turn from rectified to raw camera frame, and what is wrong with it.

    Rectified images are described by P and have no distortion left, raw ones by K and D (sensor_msgs/CameraInfo).
    """
    use_p = rectified and said.p[0, 0] > 0
    matrix = said.p[:, :3] if use_p else said.k
    turn = np.eye(4)
    if use_p and np.allclose(said.r @ said.r.T, np.eye(3), atol=1e-3) and np.linalg.det(said.r) > 0:
        left, _, right = np.linalg.svd(said.r)
        turn = pose_from_rotation(np.zeros(3), (left @ right).T)
    model, distortion, issues = ("pinhole", (), []) if use_p else _distortion(name, said)
    try:
        fx, fy, cx, cy = (float(matrix[i, j]) for i, j in ((0, 0), (1, 1), (0, 2), (1, 2)))
        camera = Camera(said.width, said.height, fx, fy, cx, cy, model, distortion)
    except ValueError as error:
        return None, turn, [Issue("no_calibration", name, f"{error}; not calibrated")]
    if size is None or size == (camera.width_px, camera.height_px):
        return camera, turn, issues
    expected = (
        f"expected images of {camera.width_px}×{camera.height_px} as the camera info says, found {size[0]}×{size[1]}"
    )
    if abs((size[0] / camera.width_px) / (size[1] / camera.height_px) - 1) < 0.01:
        issues.append(Issue("no_calibration", name, f"{expected}; the calibration is scaled to them"))
        return camera.resized(*size), turn, issues
    return None, turn, [Issue("no_calibration", name, f"{expected}; not calibrated")]


def _distortion(name: str, said: Intrinsics) -> tuple[CameraModel, tuple[float, ...], list[Issue]]:
    model = said.model.lower()
    d = said.d
    while d and d[-1] == 0 and len(d) not in (4, 5, 8):
        d = d[:-1]
    if model in _FISHEYE and len(d) in (0, 4):
        return "fisheye", d, []
    if not any(d):
        return "pinhole", (), []
    if model in _PINHOLE and len(d) in (4, 5, 8):
        return "pinhole", d, []
    reason = (
        f"expected plumb_bob, rational_polynomial or equidistant distortion, found {said.model!r:.40} of {len(said.d)}"
    )
    return "pinhole", (), [Issue("no_calibration", name, f"{reason} values; only the camera matrix is used")]
