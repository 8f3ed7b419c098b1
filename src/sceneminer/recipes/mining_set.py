"""Windows as clips in tensors: what a step of ``mining`` reads, and what is true of it.

Towns' windows have one rig and cameras that look at each Frame's own time, so that where a BEV point lies in the images
is the same for every Frame and is worked out once. Windows of other logs hold the calibration of every image.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from jaxtyping import Bool, Float, Float16, Int
from numpy import ndarray
from torch import Tensor

from sceneminer.data.frame import Frame, Measurement
from sceneminer.data.log import Sensor
from sceneminer.data.synth.rig import rig_sensors
from sceneminer.data.track import CATEGORIES, VEHICLES, VULNERABLE
from sceneminer.geometry.camera import Camera
from sceneminer.geometry.pose import invert
from sceneminer.labels.ego import EGO_SIZE
from sceneminer.model.config import ModelConfig
from sceneminer.model.geometry import LiftPoints, sample_points, token_rays
from sceneminer.model.lift import Lift
from sceneminer.recipes.mining_data import CAMERAS, FRAME_US, STATE_US
from sceneminer.recipes.mining_features import Window

CLASSES = ("vehicle", "vulnerable", "static")
"""Of agents in dense targets and in forecasts."""
FRAMES = 4
NOW = FRAMES - 1
_STEPS = FRAME_US // STATE_US


@dataclass(frozen=True, eq=False)
class ClipRef:
    """A clip of a window: its Frames are ``first`` to ``first + 3``."""

    window: int
    first: int


@dataclass(frozen=True, eq=False)
class Agents:
    """Agents around ego at a clip's last Frame, in its ego frame, with where they go: padded to a common count."""

    state: Float[Tensor, "c a 8"]
    """x, y, yaw, vx, vy, yaw rate, length, width; metres, seconds, radians."""
    future: Float[Tensor, "c a f 2"]
    """x, y every half second, from half a second on to 4 s; NaN where unknown."""
    past: Float[Tensor, "c a p 2"]
    """x, y at the clip's earlier Frames, oldest first; NaN where absent."""
    kind: Int[Tensor, "c a"]
    """Index into ``CLASSES``."""
    risk: Float[Tensor, "c a"]
    """Largest over the clip."""
    there: Bool[Tensor, "c a"]
    row: Int[Tensor, "c a"]
    """Of the window's agents; -1 where there is none."""


@dataclass(frozen=True, eq=False)
class Batch:
    """What the trunk reads of some clips."""

    embeddings: Float[Tensor, "c t v e"]
    patches: Float16[Tensor, "c t v gh gw d"]
    last_from_frame: Float[Tensor, "c t 4 4"]
    views: "Views"


@dataclass(frozen=True, eq=False)
class Views:
    """Where BEV points and image tokens of some Frames lie."""

    points: tuple[LiftPoints, ...]
    """One a Frame, or a single one that holds for all."""
    rays: Float[Tensor, "*b v ty tx 3"]
    """With the Frames' dimensions in front, or without where they hold for all."""


def class_of(category: str) -> int:
    return 0 if category in VEHICLES else 1 if category in VULNERABLE else 2


assert {class_of(category) for category in CATEGORIES} == {0, 1, 2}


def clips_of_windows(windows: Sequence[Window], *, stride: int = 1) -> list[ClipRef]:
    """Every clip of every window; ``stride`` in half seconds (2: as mining cuts them)."""
    return [ClipRef(w, k) for w, window in enumerate(windows) for k in range(0, window.clips, stride)]


def read_batch(windows: Sequence[Window], clips: Sequence[ClipRef], config: ModelConfig) -> Batch:
    """The tower's features of the clips, ego's motion, and where things lie in the images."""
    return batch_of(windows, clips, config, torch.stack([windows[c.window].patches(c.first, FRAMES) for c in clips]))


def batch_of(windows: Sequence[Window], clips: Sequence[ClipRef], config: ModelConfig, patches: Tensor) -> Batch:
    """``read_batch`` with patches that are at hand, pooled or whole."""
    embeddings = torch.stack([windows[c.window].embeddings[c.first : c.first + FRAMES] for c in clips]).float()
    motion = torch.stack([motion_of(windows[c.window], c.first) for c in clips])
    return Batch(embeddings, patches, motion, views_of(windows, clips, config))


def views_of(windows: Sequence[Window], clips: Sequence[ClipRef], config: ModelConfig) -> Views:
    """Of every Frame of some clips: the same for all where the windows are of towns."""
    if "camera_from_ego" not in windows[clips[0].window].tensors:
        return town_views(config, windows[clips[0].window].size_hw)
    found = [window_views(windows[c.window], config) for c in clips]
    spans = [slice(c.first, c.first + FRAMES) for c in clips]
    points = tuple(p for views, span in zip(found, spans, strict=True) for p in views.points[span])
    return Views(points, torch.stack([views.rays[span] for views, span in zip(found, spans, strict=True)]))


@lru_cache(maxsize=64)
def window_views(window: Window, config: ModelConfig) -> Views:
    """Of every Frame of a window, from the calibration of each image."""
    if "camera_from_ego" not in window.tensors:
        return town_views(config, window.size_hw)
    points, rays, eye = [], [], np.eye(4)
    for t in range(len(window.embeddings)):
        sensors = [
            Sensor(f"camera {v}", "camera", invert(pose), lens) for v, (pose, lens) in enumerate(cameras_of(window, t))
        ]
        seen = {sensor.name: Measurement(sensor, 0, 0, eye, True) for sensor in sensors}
        frame = Frame("", 0, eye, seen)
        points.append(sample_points(frame, tuple(seen), grid=config.grid, heights_m=config.heights_m))
        rays.append(token_rays(frame, tuple(seen), token_grid=config.image_token_grid))
    return Views(tuple(points), torch.from_numpy(np.stack(rays)))


def cameras_of(window: Window, frame: int) -> list[tuple[Float[ndarray, "4 4"], Camera]]:
    """camera_from_ego and lens of each camera at one Frame."""
    if "camera_from_ego" not in window.tensors:
        sensors = rig_sensors(window.size_hw, CAMERAS).sensors
        found = [(sensors[name].ego_from_sensor, sensors[name].camera) for name in CAMERAS]
        return [(invert(pose), lens) for pose, lens in found if lens is not None]
    poses, intrinsics, size = (window.tensors[name][frame] for name in ("camera_from_ego", "intrinsics", "size_px"))
    return [
        (pose, Camera(int(w), int(h), float(k[0, 0]), float(k[1, 1]), float(k[0, 2]), float(k[1, 2])))
        for pose, k, (w, h) in zip(poses, intrinsics, size, strict=True)
    ]


def motion_of(window: Window, first: int) -> Float[Tensor, "t 4 4"]:
    """``last_from_frame`` of a clip."""
    poses = window.tensors["world_from_ego"][first : first + FRAMES]
    return torch.from_numpy((invert(poses[-1]) @ poses).astype(np.float32))


@lru_cache(maxsize=4)
def town_views(config: ModelConfig, size_hw: tuple[int, int]) -> Views:
    """Where BEV points lie in a town's six cameras, and the rays of their tokens: the same for every Frame."""
    sensors = rig_sensors(size_hw, CAMERAS).sensors
    eye = np.eye(4)
    frame = Frame("", 0, eye, {name: Measurement(sensors[name], 0, 0, eye, True) for name in CAMERAS})
    points = sample_points(frame, CAMERAS, grid=config.grid, heights_m=config.heights_m)
    return Views((points,), torch.from_numpy(token_rays(frame, CAMERAS, token_grid=config.image_token_grid)))


def lift_views(lift: Lift, patches: Float[Tensor, "n v gh gw d"], views: Views) -> Float[Tensor, "n ch y x"]:
    """The BEV of each Frame."""
    if len(views.points) == 1:
        return lift_batch(lift, patches, views.points[0])
    seen = torch.ones(patches.shape[1], dtype=torch.bool)
    return torch.stack([lift(frame.float(), seen, p) for frame, p in zip(patches, views.points, strict=True)])


def lift_batch(lift: Lift, patches: Float[Tensor, "n v gh gw d"], points: LiftPoints) -> Float[Tensor, "n ch y x"]:
    """``lift`` of many Frames that share their points: the same numbers up to rounding, several times as fast."""
    n, views, rows, columns, _ = patches.shape
    normed = lift.norm(patches.float())
    # Heights before patches, so that a point's corners are counted within its height.
    features = lift.reduce(normed).flatten(2, 3).unflatten(-1, (lift.levels, -1)).transpose(2, 3).flatten(2, 3)
    probability = (lift.distance(normed).softmax(-1) * lift.bins).flatten(2, 3)
    cell, level = lift.get_buffer("cell"), lift.get_buffer("level")
    cells = lift.shape[0] * lift.shape[1]
    total = features.new_zeros(n, cells, lift.width)
    count = torch.zeros(cells)
    for view in range(views):
        seen = torch.from_numpy(points.visible[view].nonzero()[0])
        if len(seen) == 0:
            continue
        corner, weight, low, fraction = lift.places(
            torch.from_numpy(points.uv[view])[seen], torch.from_numpy(points.distance_m[view])[seen], (rows, columns)
        )
        chance, bins = probability[:, view].flatten(1), corner * lift.bins + low
        # index_select: its backward pass is an index_add, several times as fast as that of fancy indexing.
        nearer, farther = (chance.index_select(1, b.flatten()).unflatten(1, corner.shape) for b in (bins, bins + 1))
        at_distance = nearer * (1 - fraction) + farther * fraction
        of_level = corner + level[seen, None] * (rows * columns)
        pulled = features[:, view].index_select(1, of_level.flatten()).unflatten(1, corner.shape)
        total = total.index_add(1, cell[seen], torch.einsum("npk,npkc->npc", weight * at_distance, pulled).to(total))
        count = count.index_add(0, cell[seen], torch.ones(len(seen)))
    count = count.to(total)
    mean = total / count.clamp(min=1.0)[:, None]
    observed = (count > 0).to(mean)[:, None].expand(n, -1, 1)
    return torch.cat([mean, observed], -1).transpose(1, 2).unflatten(2, lift.shape)


def agents_of(windows: Sequence[Window], clips: Sequence[ClipRef], *, reach_m: float = 50.0) -> Agents:
    """Agents within reach at each clip's last Frame, nearest first."""
    found = [_agents(windows[c.window], c.first, reach_m) for c in clips]
    most = max(1, *(len(a["row"]) for a in found))

    def padded(name: str, fill: int | float) -> Tensor:
        out = []
        for agents in found:
            value = np.asarray(agents[name])
            room = np.full((most - len(value), *value.shape[1:]), fill, value.dtype)
            out.append(np.concatenate([value, room]))
        return torch.from_numpy(np.stack(out))

    row = padded("row", -1)
    floats = {name: padded(name, np.nan).float() for name in ("state", "future", "past", "risk")}
    return Agents(**floats, kind=padded("kind", 0), there=row >= 0, row=row)


def _agents(window: Window, first: int, reach_m: float) -> Mapping[str, ndarray]:
    now = (first + NOW) * _STEPS
    pose = window.tensors["world_from_ego"][first + NOW]
    states = window.tensors["agents"]
    here = states[:, now].astype(np.float64)
    xy, yaw = planar(pose, here[:, :2]), np.arctan2(pose[1, 0], pose[0, 0])
    rotated = here[:, 3:5] @ pose[:2, :2]
    state = np.concatenate([xy, (here[:, 2:3] - yaw + np.pi) % (2 * np.pi) - np.pi, rotated, here[:, 5:]], 1)
    distance = np.hypot(xy[:, 0] - EGO_SIZE.rear_axle_to_center_m, xy[:, 1])
    near = np.flatnonzero(np.isfinite(state).all(1) & (distance <= reach_m))
    near = near[np.argsort(distance[near], kind="stable")]
    ahead = now + _STEPS * np.arange(1, 9)
    behind = now - _STEPS * np.arange(NOW, 0, -1)
    risk = window.tensors["agent_risk"][near, first * _STEPS : first * _STEPS + 4 * _STEPS + 1]
    kinds = np.array([class_of(category) for category in window.truth["categories"]], np.int64)
    return {
        "state": state[near],
        "future": planar(pose, states[near][:, ahead, :2].astype(np.float64)),
        "past": planar(pose, states[near][:, behind, :2].astype(np.float64)),
        "kind": kinds[near],
        "risk": np.nan_to_num(risk).max(1, initial=0.0),
        "row": near.astype(np.int64),
    }


def planar(world_from_ego: Float[ndarray, "4 4"], xy: Float[ndarray, "*b 2"]) -> Float[ndarray, "*b 2"]:
    """Points of the world's plane in the ego frame."""
    return (xy - world_from_ego[:2, 3]) @ world_from_ego[:2, :2]
