"""A fixed probe batch: the same images, rig and drive on every machine, and all that a scene model makes of them."""

import math

import numpy as np
import torch
from numpy import ndarray

from sceneminer.data.frame import Frame, Measurement
from sceneminer.data.log import Sensor
from sceneminer.geometry.camera import Camera
from sceneminer.geometry.pose import pose_from_rotation, pose_from_yaw
from sceneminer.model.geometry import ego_motion, sample_points, token_rays
from sceneminer.model.scene_model import SceneModel
from sceneminer.model.stream import Stream

CLIPS = 2
TEXTS = ("a street at night in the rain", "a cyclist beside a parked truck", "road works")
_WIDTH_PX, _HEIGHT_PX, _FOCAL_PX = 1600, 900, 1266.0
_YAWS_DEG = {"front": 0, "front_left": 55, "front_right": -55, "back_left": 110, "back_right": -110, "back": 180}
# Axes of a camera (x right, y down, z ahead) in the ego frame (x ahead, y left, z up) of one that looks ahead.
_AHEAD = np.array([[0.0, 0, 1], [-1, 0, 0], [0, -1, 0]])


def probe_frames(model: SceneModel) -> list[list[Frame]]:
    """By clip, oldest first: six cameras round a car that turns; the second clip lacks one image and one pose."""
    camera = Camera(_WIDTH_PX, _HEIGHT_PX, _FOCAL_PX, _FOCAL_PX, (_WIDTH_PX - 1) / 2, (_HEIGHT_PX - 1) / 2)
    sensors = {}
    for name, yaw_deg in _YAWS_DEG.items():
        mount = pose_from_yaw(1.5, 0.0, math.radians(yaw_deg)) @ pose_from_rotation(np.array([0.0, 0, 1.6]), _AHEAD)
        sensors[name] = Sensor(name, "camera", mount, camera)
    return [[_frame(model, sensors, clip, k) for k in range(model.config.frames_per_clip)] for clip in range(CLIPS)]


def _frame(model: SceneModel, sensors: dict[str, Sensor], clip: int, k: int) -> Frame:
    time_us = k * model.config.frame_period_us
    ego = None if clip == 1 and k == 0 else pose_from_yaw(4.0 * k, 0.3 * k, 0.05 * k)
    seen = {
        name: Measurement(sensor, time_us, k, ego, not (clip == 1 and k == 1 and name == "back"))
        for name, sensor in sensors.items()
    }
    return Frame("probe", time_us, ego, seen)


def probe_images(model: SceneModel, seed: int) -> list[ndarray]:
    """Of each clip [t v 3 h w] in uint8 at the tower's size: large shapes and grain from a NumPy generator."""
    rng = np.random.default_rng(seed)
    height, width = model.tower.input_size(_WIDTH_PX, _HEIGHT_PX)
    shape = (model.config.frames_per_clip, len(_YAWS_DEG), 3)
    images = []
    for _ in range(CLIPS):
        coarse = rng.integers(0, 200, (*shape, 6, 8))
        rows, columns = np.arange(height) * 6 // height, np.arange(width) * 8 // width
        large = coarse[..., rows[:, None], columns[None, :]]
        images.append((large + rng.integers(0, 56, (*shape, height, width))).astype(np.uint8))
    return images


@torch.no_grad()
def probe_stream(model: SceneModel, *, seed: int = 0) -> dict[str, torch.Tensor]:
    """Everything on the way to the stream, and the stream: by name, in the order in which it is made.

    Images are encoded a frame (six) at a time, so that shapes are fixed.
    """
    found: dict[str, torch.Tensor] = {"text": model.tower.encode_texts(list(TEXTS))}
    parts: dict[str, list[torch.Tensor]] = {
        name: [] for name in ("embeddings", "patches", "bev", "tokens", "embedding")
    }
    for frames, images in zip(probe_frames(model), probe_images(model, seed), strict=True):
        features = [model.encode(torch.from_numpy(frame)) for frame in images]
        embeddings, patches = (torch.stack([getattr(f, k) for f in features]) for k in ("embeddings", "patches"))
        names = list(_YAWS_DEG)
        valid = torch.tensor([[frame.measurements[name].valid for name in names] for frame in frames])
        c = model.config
        points = [sample_points(frame, names, grid=c.grid, heights_m=c.heights_m) for frame in frames]
        rays = np.stack([token_rays(frame, names, token_grid=c.image_token_grid) for frame in frames])
        bev = model.lift_frames(patches, valid, points)
        stream = model.make_stream(
            embeddings=embeddings[None],
            patches=patches[None],
            valid=valid[None],
            rays=torch.from_numpy(rays)[None],
            bev=bev[None],
            last_from_frame=torch.from_numpy(ego_motion(frames))[None],
        )
        made = (embeddings, patches, bev, stream.tokens[0], stream.embedding[0])
        for name, value in zip(parts, made, strict=True):
            parts[name].append(value)
    return found | {name: torch.stack(values) for name, values in parts.items()}


def stream_of(probe: dict[str, torch.Tensor]) -> Stream:
    """The stream in what ``probe_stream`` returned."""
    return Stream(probe["tokens"], probe["embedding"])
